"""Tape: the sketches of pools' records one after the other, made once and played in every round.

Those that are played by the same steps stand side by side. A book of more pools than a tile holds goes tile by tile in
every round, each tile recorded anew.
"""

from dataclasses import dataclass

import numpy as np

from riskpipe.compiled import compiled
from riskpipe.domain.book import FloatArray, OffsetArray
from riskpipe.liquidation.cushions import write_guards
from riskpipe.liquidation.footprint import BATCH, TILE_POOLS
from riskpipe.liquidation.lowering import Pools, Terms
from riskpipe.liquidation.records import MAINTENANCE, Draft, most_sketched, record_pools
from riskpipe.liquidation.sketches import sketch_class, write_sketch

ROOM = 3.0  # factor by which prices may move further before the tape is made anew


@dataclass
class Tape:
    """Sketches and guards of the maintenance records of the pools of one tile that can be closed; the j-th is not that
    of the j-th pool.
    """  # noqa: D205

    extra_haircut: float  # of the terms that its records were made for
    first: int  # pool of the tile whose records are on the tape, -1 = none's
    n_records: int
    pool: np.ndarray  # [records] int32: by class when first made, ascending within one; of a book in tiles ascending
    start: OffsetArray  # [records] where a sketch starts
    number: np.ndarray  # [numbers] float32; what lies beyond the last record is memory never touched
    low: FloatArray  # [rows] the box that the records hold in
    high: FloatArray  # [rows]
    n_boxes: int  # how many boxes it has had: guards of one say nothing of cushions of another

    def tiles(self, n_pools: int) -> list[tuple[int, int]]:
        """Return the first pool and one past the last of each tile."""
        size = max(len(self.start), 1)
        return [(first, min(first + size, n_pools)) for first in range(0, max(n_pools, 1), size)]

    def played(self) -> tuple[np.ndarray, ...]:
        """Return what compiled loops play: the box, then whose sketches, where they start, numbers."""
        return self.low, self.high, self.pool, self.start, self.number


def make_tape(pools: Pools, terms: Terms, rows: int) -> Tape:
    """Return a tape that holds nowhere, with room for more numbers than most tiles need."""
    n_pools = len(pools.account)
    n_tile = min(n_pools, TILE_POOLS)
    n = 5 * n_pools + 8 * (len(pools.instrument) + len(pools.asset))
    return Tape(
        extra_haircut=0.0,
        first=-1,
        n_records=0,
        pool=np.empty(n_tile, dtype=np.int32),
        start=np.empty(n_tile, dtype=np.int64),
        number=np.empty(n * n_tile // max(n_pools, 1) + BATCH * most_sketched(pools, terms), dtype=np.float32),
        low=np.full(rows, np.inf),
        high=np.full(rows, -np.inf),
        n_boxes=0,
    )


def fit(
    pools: Pools, terms: Terms, draft: Draft, tape: Tape, tile: tuple[int, int], low: FloatArray, high: FloatArray,
    room: float = ROOM,
) -> None:  # fmt: skip
    """Make a tape anew that is not of this tile or does not hold within [low, high], with some room around it."""
    first, stop = tile
    is_other = first != tape.first
    is_outside = not (np.all(tape.low <= low) and np.all(high <= tape.high))
    if not is_other and not is_outside:
        return
    tape.first = first
    if is_outside:
        _set_box(terms, tape, low, high, room)
    peak = np.maximum(np.abs(tape.low), np.abs(tape.high))
    what = pools, terms, draft, tape.low, tape.high, peak, tape.pool, tape.start
    if is_other:  # else rounds go on with places of records
        is_wanted = pools.can_close[first:stop]
        tape.n_records = int(np.count_nonzero(is_wanted))
        tape.pool[: tape.n_records] = np.flatnonzero(is_wanted) + first
    n = tape.n_records
    if is_other and len(tape.pool) == len(pools.account):  # a book in tiles is recorded too often for this to pay
        by_class = np.empty(n, dtype=np.int16)
        _record(*what, tape.number, by_class, True, n, 0, 0)
        tape.pool[:n] = tape.pool[:n][np.argsort(by_class, kind="stable")]
    j, at, no_class = 0, 0, np.empty(0, dtype=np.int16)
    while True:
        j, at = _record(*what, tape.number, no_class, False, n, j, at)
        if j == n:
            return
        longer = np.empty(len(tape.number) * 3 // 2 + BATCH * len(draft.sketch), dtype=np.float32)
        longer[:at] = tape.number[:at]
        tape.number = longer


def _set_box(terms: Terms, tape: Tape, low: FloatArray, high: FloatArray, room: float) -> None:
    tape.n_boxes += 1
    tape.low = np.where(low > 0.0, low / room, low * room)  # what an inverse contract pays is negative
    tape.high = np.where(high > 0.0, high * room, high / room)
    still = _still_rows(terms, low, high)
    tape.low[still], tape.high[still] = low[still], high[still]
    of_options = np.flatnonzero(terms.is_option) + len(terms.index_price)
    for r in range(3):  # no record holds any
        rows = of_options + r * len(terms.is_option)
        tape.low[rows], tape.high[rows] = -np.inf, np.inf


def _still_rows(terms: Terms, low: FloatArray, high: FloatArray) -> OffsetArray:
    """Return the rows that no shock moves, and flow hardly ever: stable assets, and what inverse contracts are worth in
    them. Without room they add to a record's constant instead of a line.
    """  # noqa: D205
    n = len(terms.index_beta)
    is_still = (terms.index_beta == 0.0) & (low[:n] == high[:n])
    return np.concatenate((np.flatnonzero(is_still), n + np.flatnonzero(terms.is_inverse & is_still[terms.quote])))


@compiled
def _record(
    pools: Pools, terms: Terms, draft: Draft, low: FloatArray, high: FloatArray, peak: FloatArray, pool: np.ndarray,
    start: OffsetArray, number: np.ndarray, by_class: np.ndarray, is_trial: bool, n: int, j: int,
    at: int,
) -> tuple[int, int]:  # fmt: skip
    """Write the sketches of the j-th to the n-th record from number `at` on, or only set their classes (is_trial).

    Returns where it stops: at the last, or out of room.
    """
    longest = len(draft.sketch)
    while j < n and (is_trial or at + BATCH * longest <= len(number)):
        n_batch = min(BATCH, n - j)
        for b in range(n_batch):
            draft.pool[b] = pool[j + b]
        record_pools(pools, terms, draft, draft.pool, draft.start, n_batch, MAINTENANCE, low, high)
        for b in range(n_batch):
            sketch = draft.sketch if is_trial else number[at : at + longest]
            length = write_sketch(draft.records[draft.start[b] :], peak, sketch)
            if is_trial:
                by_class[j + b] = sketch_class(sketch[0])
            else:
                start[j + b] = at
                at += write_guards(terms, sketch, length, peak)
        j += n_batch
    return j, at
