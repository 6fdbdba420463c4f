"""Columns: Arrow columns as numpy arrays, how rows find what they name, and how rows are named to people."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from riskpipe.domain.book import BoolArray, FloatArray, IntArray, OffsetArray
from riskpipe.domain.findings import Findings, Reason, Severity
from riskpipe.ingest.names import NameIndex

N_LISTED = 20


def floats(table: pa.Table, name: str) -> FloatArray:
    """Return a number column as float64; null becomes NaN."""
    return table.column(name).to_numpy()


def nulls(table: pa.Table, name: str) -> BoolArray:
    """Return where a column is null (NaN is not)."""
    column = table.column(name)
    if column.null_count == 0:
        return np.zeros(len(column), dtype=bool)
    return column.is_null().to_numpy()


def booleans(table: pa.Table, name: str) -> BoolArray:
    """Return a boolean column; null becomes false."""
    return pc.fill_null(table.column(name), fill_value=False).to_numpy()


def equals(table: pa.Table, name: str, text: str) -> BoolArray:
    """Return where a string column has a value; null is never equal."""
    column = table.column(name)
    if pa.types.is_dictionary(column.type):
        return rows_of(column, pa.array([text], pa.string())) == 0
    return pc.fill_null(pc.equal(column, text), fill_value=False).to_numpy()


def one_piece(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return a column as one contiguous array."""
    if isinstance(column, pa.Array):
        return column
    pieces = column.combine_chunks()
    return pieces if isinstance(pieces, pa.Array) else pa.concat_arrays(pieces.chunks)


def unique_names(*columns: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return the distinct non-null strings of columns, in order of first appearance."""
    pieces = [pc.unique(one_piece(column)).cast(pa.string()) for column in columns]
    return pc.drop_null(pc.unique(pa.concat_arrays(pieces)))


def coded(column: pa.ChunkedArray | pa.Array) -> pa.DictionaryArray:
    """Return a string column in one piece as codes into its distinct strings."""
    return one_piece(column if pa.types.is_dictionary(column.type) else column.dictionary_encode())


def rows_of(names: pa.ChunkedArray | pa.Array, ids: pa.ChunkedArray | pa.Array) -> IntArray:
    """Return where names stand in a list of ids.

    Parameters
    ----------
    names: [n] strings to look up, plain or as codes into a dictionary.
    ids: [m] strings; of equal ones the first counts.

    Returns
    -------
    [n] int32 row of each name in `ids`; -1 where it is null or absent.
    """
    index = NameIndex(one_piece(ids))
    if not pa.types.is_dictionary(names.type):
        return index.rows_of(one_piece(names))
    names = coded(names)
    row_of_code = np.append(index.rows_of(names.dictionary), np.int32(-1))
    return row_of_code[pc.fill_null(names.indices, fill_value=-1).to_numpy()]


def repeated_rows(table: pa.Table, key: Sequence[str], *, null_is_value: Sequence[str] = ()) -> IntArray:
    """Return the rows whose key another, earlier row has already.

    A row with a null in its key has no key and repeats nothing, unless the column is one of `null_is_value`.
    """
    if len(key) == 1:
        return NameIndex(one_piece(table.column(key[0]))).repeated()
    rows = np.arange(table.num_rows, dtype=np.int32)
    if table.num_rows == 0:
        return rows
    group = np.zeros(table.num_rows, dtype=np.int64)
    has_key = np.ones(table.num_rows, dtype=bool)
    for name in key:
        codes = one_piece(table.column(name)).dictionary_encode(null_encoding="encode").indices.to_numpy()
        group = np.unique(group * (int(codes.max()) + 1) + codes, return_inverse=True)[1]
        if name not in null_is_value:
            has_key &= ~nulls(table, name)
    first = np.full(int(group.max()) + 1, table.num_rows, dtype=np.int64)
    np.minimum.at(first, group[has_key], rows[has_key])
    return rows[has_key & (first[group] != rows)]


def starts(counts: IntArray | OffsetArray) -> OffsetArray:
    """Return the running start of each group and the total at the end, [n + 1], from group sizes [n]."""
    result = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=result[1:])
    return result


def _printable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_timestamp(column.type):
        return column
    return column.cast(pa.timestamp("us")).cast(pa.string())  # Python's datetime cannot hold every year Arrow can


def name_rows(
    table: pa.Table,
    rows: IntArray | OffsetArray,
    columns: Sequence[str],
    *,
    limit: int = N_LISTED,
    row_numbers: bool = False,
) -> list[str]:
    """Return up to `limit` rows named by some of their columns, as `asset='BTC' venue=None`."""
    shown = np.asarray(rows[:limit], dtype=np.int64)
    chosen = table.select(list(columns)).take(pa.array(shown))
    records = pa.table([_printable(column) for column in chosen.columns], names=chosen.column_names).to_pylist()
    texts = [" ".join(f"{name}={value!r}" for name, value in record.items()) for record in records]
    return [f"row {row}: {text}" for row, text in zip(shown, texts, strict=True)] if row_numbers else texts


def report_rows(
    findings: Findings,
    severity: Severity,
    reason: Reason,
    table: pa.Table,
    rows: IntArray | OffsetArray,
    where: str,
    message: str,
    columns: Sequence[str],
    *,
    row_numbers: bool = False,
) -> None:
    """Add a finding about rows of a table, counted and named by some of their columns; none where there are no rows."""
    if len(rows):
        names = name_rows(table, rows, columns, limit=5, row_numbers=row_numbers)
        findings.add(severity, reason, where, message, count=len(rows), examples=names)


def enumerate_some(items: Sequence[str], n_items: int | None = None, *, limit: int = N_LISTED) -> str:
    """Return `a; b; c (and 7 more)` for a message."""
    total = len(items) if n_items is None else n_items
    shown = items[:limit]
    more = f" (and {total - len(shown)} more)" if total > len(shown) else ""
    return "; ".join(shown) + more
