"""Names: where each of millions of names stands in a list of millions of ids, compared as bytes where they lie.

Nothing is copied or made a Python string. Rows of one account mostly stand together, and tables mostly keep accounts in
one order: a name is compared with the id found last and with the next before it is looked up by its hash.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from riskpipe.compiled import compiled, inlined
from riskpipe.domain.book import IntArray

_FREE = -1
_ROW = 0x7FFFFFFF


class _Text(NamedTuple):
    data: np.ndarray  # bytes of all names
    start: np.ndarray  # [n + 1] where each begins


class _Index(NamedTuple):
    """Ids in an open hash table with linear probing."""

    ids: _Text
    first: np.ndarray  # [m] row of the first equal id, -1 where null
    table: np.ndarray  # a power of two: upper half of an id's hash, then its row in 32 bits; -1 = free


@inlined
def _is_same(text: _Text, row: int, other: _Text, other_row: int) -> bool:
    begin, other_begin = text.start[row], other.start[other_row]
    n_bytes = text.start[row + 1] - begin
    if other.start[other_row + 1] - other_begin != n_bytes:
        return False
    for k in range(n_bytes - 1, -1, -1):  # noqa: SIM110  # ids differ toward their end; numba knows no generators
        if text.data[begin + k] != other.data[other_begin + k]:
            return False
    return True


@inlined
def _hash(text: _Text, row: int) -> np.int64:
    result = np.uint64(0)
    for k in range(text.start[row], text.start[row + 1]):
        result = (result ^ np.uint64(text.data[k])) * np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio
    return np.int64(result)


@inlined
def _place(names: _Text, k: int, hash_of_name: np.int64, index: _Index) -> np.int64:
    """Place in the table of name k: that of its id, or the free one where it would stand."""
    mask = len(index.table) - 1
    place = (hash_of_name >> 32) & mask
    entry = index.table[place]
    while entry != _FREE and not (entry >> 32 == hash_of_name >> 32 and _is_same(index.ids, entry & _ROW, names, k)):
        place = (place + 1) & mask
        entry = index.table[place]
    return place


@compiled
def _set_hashes(names: _Text, hashes: np.ndarray) -> None:
    for k in range(len(hashes)):
        hashes[k] = _hash(names, k)


@compiled
def _fill(index: _Index, rows: np.ndarray, hashes: np.ndarray) -> None:
    for row in rows:
        place = _place(index.ids, row, hashes[row], index)
        if index.table[place] == _FREE:
            index.table[place] = (hashes[row] >> 32 << 32) | row
        index.first[row] = index.table[place] & _ROW


@compiled
def _find(names: _Text, index: _Index, found: np.ndarray) -> None:
    row = -1
    for k in range(len(found)):
        if row < 0 or not _is_same(index.ids, row, names, k):
            row += 1
            if row == len(index.first) or not _is_same(index.ids, row, names, k) or index.first[row] != row:
                entry = index.table[_place(names, k, _hash(names, k), index)]
                row = -1 if entry == _FREE else entry & _ROW
        found[k] = row


def _text(names: pa.Array) -> _Text:
    if names.type != pa.string():
        raise TypeError(f"names must be of Arrow's type string, got {names.type}")
    _, start, data = names.buffers()
    if not len(names):
        start = bytes(4)  # Arrow may leave it out
    parts = np.frombuffer(data or b"", np.uint8), np.frombuffer(start, np.int32)[names.offset :][: len(names) + 1]
    for part in parts:
        part.setflags(write=False)  # so that all are of one type, for which the loops are compiled
    return _Text(*parts)


def _is_valid(names: pa.Array) -> np.ndarray:
    return names.is_valid().to_numpy(zero_copy_only=False)


class NameIndex:
    """A list of ids in which names can be found.

    Parameters
    ----------
    ids: [m] strings, in one piece; null is no id.

    Attributes
    ----------
    first: [m] int32 row of the first of equal ids; -1 where null.
    """

    def __init__(self, ids: pa.StringArray) -> None:
        n_places = 1 << (2 * len(ids)).bit_length()
        self._index = _Index(_text(ids), np.full(len(ids), -1, np.int32), np.full(n_places, _FREE, np.int64))
        hashes = np.empty(len(ids), np.int64)
        _set_hashes(self._index.ids, hashes)
        _fill(self._index, np.flatnonzero(_is_valid(ids)), hashes)
        self.first: IntArray = self._index.first

    def repeated(self) -> IntArray:
        """Return the rows whose id an earlier row has already."""
        rows = np.arange(len(self.first), dtype=np.int32)
        return rows[(self.first >= 0) & (self.first != rows)]

    def rows_of(self, names: pa.StringArray) -> IntArray:
        """Return the row of each name [n], int32, of equal ids the first; -1 where a name is null or absent."""
        found = np.empty(len(names), np.int32)
        _find(_text(names), self._index, found)
        if names.null_count:
            found[~_is_valid(names)] = -1
        return found
