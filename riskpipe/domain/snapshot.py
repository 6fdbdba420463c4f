"""Snapshot: one venue's portfolio at one instant, as read and validated, before it becomes arrays."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa

from riskpipe.domain.findings import Findings


@dataclass(frozen=True)
class Snapshot:
    """Tables of one book at one `as_of`.

    Attributes
    ----------
    uri: where it was read from.
    as_of: the instant described, timezone-aware UTC.
    numeraire: asset in which money is counted.
    source: who made it, for the report.
    tables: `riskpipe.domain.tables.TABLES` name -> Arrow table holding exactly the schema's columns and types
        (string, float64, bool, timestamp[us, UTC]; strings that many rows repeat may be codes into a dictionary);
        absent optional tables are empty, absent optional columns null.
    file_hashes: relative path -> SHA-256 of the bytes read; part of a run's identity.
    """

    uri: str
    as_of: datetime
    numeraire: str
    source: str
    tables: Mapping[str, pa.Table]
    file_hashes: Mapping[str, str]
    findings: Findings = field(default_factory=Findings)
