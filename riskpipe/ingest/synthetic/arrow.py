"""Arrow tables with exactly the columns and types of the snapshot format."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from riskpipe.domain.tables import Table
from riskpipe.ingest.cast import ARROW_TYPES, arrow_schema


def arrow_table(table: Table, columns: Mapping[str, Any]) -> pa.Table:
    """Return the columns given as a table of the format; NaN in a float column becomes null, a column left out is null.

    `columns` maps names to Arrow arrays, numpy arrays (times as microseconds since 1970) or lists, all of one length.
    Raises ValueError for a name the table does not have.
    """
    if unknown := sorted(set(columns) - {column.name for column in table.columns}):
        raise ValueError(f"{table.name} has no column {unknown[0]!r}")
    n_rows = len(next(iter(columns.values())))
    arrays = [
        _arrow_array(columns[column.name], ARROW_TYPES[column.type])
        if column.name in columns
        else pa.nulls(n_rows, ARROW_TYPES[column.type])
        for column in table.columns
    ]
    return pa.Table.from_arrays(arrays, schema=arrow_schema(table))


def _arrow_array(values: Any, arrow_type: pa.DataType) -> pa.Array:  # noqa: ANN401
    """Return values as an Arrow array of the type."""
    if isinstance(values, pa.Array | pa.ChunkedArray):
        array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
        return array.cast(arrow_type)
    if isinstance(values, np.ndarray) and np.issubdtype(values.dtype, np.floating):
        return pa.array(values, type=arrow_type, mask=np.isnan(values))
    return pa.array(values, type=arrow_type)
