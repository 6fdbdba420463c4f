"""Sparse account parts: what each block tells about the accounts it hit, merged once in an order that cannot matter."""

import io
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from riskpipe.cube.digest import digest_arrays
from riskpipe.cube.protocol import Store
from riskpipe.domain.parts import AccountPart
from riskpipe.errors import StoreError

_SCHEMA = pa.schema(
    [
        pa.field("account_ix", pa.int64(), nullable=False),
        pa.field("set_ix", pa.int64(), nullable=False),
        pa.field("liquidated_scenarios", pa.int64(), nullable=False),
        pa.field("shortfall_max", pa.float64(), nullable=False),
    ]
)
# Accounts ascend and few of them are hit twice, so that a dictionary of their numbers saves nothing and takes most of
# the time: a quarter of the time and four fifths of the bytes of Parquet's own choice.
_ENCODINGS = {
    field.name: "DELTA_BINARY_PACKED" if pa.types.is_integer(field.type) else "BYTE_STREAM_SPLIT" for field in _SCHEMA
}


def write_part(store: Store, key: str, part: AccountPart) -> str:
    """Write a part as Parquet, read it back, and return the SHA-256 of its decoded columns.

    Raises StoreError when columns differ in length or type, rows are not in strictly ascending order of (account, set),
    a shortfall is not finite or below 0, or what is read back differs.
    """
    columns = part.columns()
    lengths = {array.shape for array in columns.values()}
    if len(lengths) > 1 or any(columns[field.name].dtype != field.type.to_pandas_dtype() for field in _SCHEMA):
        raise StoreError(f"{key}: columns must be equally long, of types int64, int64, int64, float64")
    same = np.diff(part.account_ix) == 0
    if not np.all((np.diff(part.account_ix) > 0) | (same & (np.diff(part.set_ix) > 0))):
        raise StoreError(f"{key}: rows must be in ascending order of (account_ix, set_ix), each pair once")
    if not np.all(np.isfinite(part.shortfall_max) & (part.shortfall_max >= 0)):
        raise StoreError(f"{key}: shortfall_max must be finite and not negative")
    sink = io.BytesIO()
    table = pa.table(columns, schema=_SCHEMA)
    pq.write_table(table, sink, compression="zstd", use_dictionary=False, column_encoding=_ENCODINGS)
    store.write(key, sink.getvalue())
    digest = digest_arrays(columns)
    if digest_arrays(read_part(store, key).columns()) != digest:
        raise StoreError(f"{store.uri}/{key} reads back otherwise than it was written. Check the disk")
    return digest


def read_part(store: Store, key: str) -> AccountPart:
    """Read one part; StoreError when it is missing or torn."""
    try:
        table = pq.read_table(io.BytesIO(store.read(key)), schema=_SCHEMA)
    except (pa.ArrowException, OSError) as error:
        raise StoreError(f"{store.uri}/{key} cannot be read: {error}") from error
    return AccountPart(**{field.name: table[field.name].to_numpy() for field in _SCHEMA})


def part_digest(store: Store, key: str) -> str:
    """SHA-256 of a stored part's decoded columns."""
    return digest_arrays(read_part(store, key).columns())


def merge_parts(
    parts: Iterable[AccountPart], n_accounts: int, n_sets: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum the counts and take the maxima of all parts.

    Returns `liquidated_scenarios` and `shortfall_max` (USD), both float64 [n_accounts, n_sets], 0 where never hit.
    Counts are integers and maxima do not round, so the order of parts cannot matter. Raises StoreError for an index out
    of range.
    """
    counts = np.zeros((n_accounts, n_sets), np.int64)
    maxima = np.zeros((n_accounts, n_sets), np.float64)
    for part in parts:
        for index, size in ((part.account_ix, n_accounts), (part.set_ix, n_sets)):
            if np.any((index < 0) | (index >= size)):
                raise StoreError(
                    f"an account part names an index outside 0 to {size - 1}: {index.min()} to {index.max()}"
                )
        at = (part.account_ix, part.set_ix)  # each pair once in a part, so plain indexing adds every row
        counts[at] += part.liquidated_scenarios
        maxima[at] = np.maximum(maxima[at], part.shortfall_max)
    return counts.astype(np.float64), maxima
