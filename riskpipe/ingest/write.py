"""Write: a snapshot's tables as the files of the format, for those who make snapshots."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from riskpipe.domain.tables import SNAPSHOT_FORMAT, SNAPSHOT_VERSION, TABLES
from riskpipe.ingest.synthetic.arrow import arrow_table

_ROW_GROUP_ROWS = 262_144


def write_tables(directory: Path, tables: Mapping[str, pa.Table], as_of: datetime, source: str) -> None:
    """Write one snapshot. snapshot.json goes first and comes last, so that a half-written directory is no snapshot.

    Parameters
    ----------
    directory: made if absent, in a folder that exists; tables of an earlier snapshot there are replaced or removed.
    tables: by the format's names, with the format's columns and types (see `arrow_table`).
    as_of: the instant described, with a time zone.
    source: who made it and from what, for the report.
    """
    directory.mkdir(exist_ok=True)
    header = directory / "snapshot.json"
    header.unlink(missing_ok=True)
    for name in TABLES:
        (directory / f"{name}.parquet").unlink(missing_ok=True)
    for name, table in tables.items():
        pq.write_table(table, directory / f"{name}.parquet", compression="zstd", row_group_size=_ROW_GROUP_ROWS)
    content = {
        "format": SNAPSHOT_FORMAT,
        "version": SNAPSHOT_VERSION,
        "as_of": as_of.isoformat(),
        "numeraire": "USD",
        "source": source,
    }
    header.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def records(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    """Return rows given as mappings as a table of the format; keys that the table does not have are left out."""
    columns = [column.name for column in TABLES[name].columns]
    return arrow_table(TABLES[name], {column: [row.get(column) for row in rows] for column in columns})
