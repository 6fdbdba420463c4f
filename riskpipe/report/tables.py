"""Tables of the report as Parquet: whole, one file each, with labels and kinds in the columns' metadata."""

import io
import re

import pyarrow as pa
import pyarrow.parquet as pq

from riskpipe.report.document import Column, Table

_NAME = re.compile(r"^[a-z][a-z0-9_]*$")
_TYPES = {"text": pa.string(), "code": pa.string(), "flag": pa.bool_(), "id": pa.int64()}


def file_name(table: Table) -> str:
    """Name of a table's file. Raises ValueError for a name that is no plain word: never one from data."""
    if not _NAME.match(table.name):
        raise ValueError(f"table name {table.name!r} is not lower-case letters, digits and underscores")
    return f"{table.name}.parquet"


def parquet_bytes(table: Table) -> bytes:
    """Write a table as Parquet; numbers are float64, ids int64; NaN and None are null, as SQL expects."""
    arrays = [_array(column) for column in table.columns]
    schema = pa.schema(
        [
            pa.field(column.name, array.type, metadata={"label": column.label, "kind": column.kind})
            for column, array in zip(table.columns, arrays, strict=True)
        ],
        metadata={"caption": table.caption},
    )
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), sink, compression="zstd")
    return sink.getvalue()


def _array(column: Column) -> pa.Array:
    """One column as Arrow."""
    kind = _TYPES.get(column.kind, pa.float64())
    if pa.types.is_string(kind):
        return pa.array([None if value is None else str(value) for value in column.values], kind)
    if pa.types.is_integer(kind):
        return pa.array([None if value is None else int(value) for value in column.values], kind)
    if pa.types.is_boolean(kind):
        return pa.array([None if value is None else bool(value) for value in column.values], kind)
    return pa.array([None if value is None else float(value) for value in column.values], kind, from_pandas=True)
