"""Tape: the records of pools one after the other, made once and played in every round.

A book of more pools than a tile holds goes tile by tile in every round, each tile recorded anew.
"""

from dataclasses import dataclass

import numpy as np

from riskpipe.compiled import compiled
from riskpipe.domain.book import FloatArray, OffsetArray
from riskpipe.liquidation.footprint import TILE_POOLS
from riskpipe.liquidation.lowering import Pools, Terms
from riskpipe.liquidation.records import MAINTENANCE, Draft, most_numbers, record_pool

ROOM = 3.0  # factor by which prices may move further before the tape is made anew


@dataclass
class Tape:
    """Maintenance records of the pools of one tile that can be closed."""

    extra_haircut: float  # of the terms that its records were made for
    first: int  # pool of the tile whose records are on the tape, -1 = none's
    start: OffsetArray  # [pools of a tile] where a pool's record starts
    number: FloatArray  # [numbers]; what lies beyond the last record is memory never touched
    low: FloatArray  # [rows] the box that the records hold in
    high: FloatArray  # [rows]

    def tiles(self, n_pools: int) -> list[tuple[int, int]]:
        """Return the first pool and one past the last of each tile."""
        size = max(len(self.start), 1)
        return [(first, min(first + size, n_pools)) for first in range(0, max(n_pools, 1), size)]


def make_tape(pools: Pools, terms: Terms, rows: int) -> Tape:
    """Return a tape that holds nowhere, with room for more numbers than most tiles need."""
    n_pools = len(pools.account)
    n_tile = min(n_pools, TILE_POOLS)
    n = 2 * n_pools + 6 * (len(pools.instrument) + len(pools.asset))
    return Tape(
        extra_haircut=0.0,
        first=-1,
        start=np.empty(n_tile, dtype=np.int64),
        number=np.empty(n * n_tile // max(n_pools, 1) + most_numbers(pools, terms)),
        low=np.full(rows, np.inf),
        high=np.full(rows, -np.inf),
    )


def fit(
    pools: Pools, terms: Terms, draft: Draft, tape: Tape, tile: tuple[int, int], low: FloatArray, high: FloatArray,
    room: float = ROOM,
) -> None:  # fmt: skip
    """Make a tape anew that is not of this tile or does not hold within [low, high], with some room around it."""
    first, stop = tile
    if first == tape.first and np.all(tape.low <= low) and np.all(high <= tape.high):
        return
    tape.first = first
    tape.low = np.where(low > 0.0, low / room, low * room)  # what an inverse contract pays is negative
    tape.high = np.where(high > 0.0, high * room, high / room)
    still = _still_rows(terms, low, high)
    tape.low[still], tape.high[still] = low[still], high[still]
    of_options = np.flatnonzero(terms.is_option) + len(terms.index_price)
    for r in range(3):  # no record holds any
        rows = of_options + r * len(terms.is_option)
        tape.low[rows], tape.high[rows] = -np.inf, np.inf
    p, at, most = first, 0, len(draft.record)
    while True:
        p, at = _record(pools, terms, draft, tape.start, tape.number, tape.low, tape.high, first, stop, p, at, most)
        if p == stop:
            return
        longer = np.empty(len(tape.number) * 3 // 2 + most)
        longer[:at] = tape.number[:at]
        tape.number = longer


def _still_rows(terms: Terms, low: FloatArray, high: FloatArray) -> OffsetArray:
    """Return the rows that no shock moves, and flow hardly ever: stable assets, and what inverse contracts are worth in
    them. Without room they add to a record's constant instead of a line.
    """  # noqa: D205
    n = len(terms.index_beta)
    is_still = (terms.index_beta == 0.0) & (low[:n] == high[:n])
    return np.concatenate((np.flatnonzero(is_still), n + np.flatnonzero(terms.is_inverse & is_still[terms.quote])))


@compiled
def _record(
    pools: Pools, terms: Terms, draft: Draft, start: OffsetArray, number: FloatArray, low: FloatArray,
    high: FloatArray, first: int, stop: int, p: int, at: int, most: int,
) -> tuple[int, int]:  # fmt: skip
    """Write records from pool p and number `at` on; returns where it stops: at the tile's end, or out of room."""
    while p < stop and at + most <= len(number):
        if pools.can_close[p]:
            start[p - first] = at
            at += record_pool(pools, terms, draft, p, low, high, MAINTENANCE, number[at : at + most])
        p += 1
    return p, at
