"""Tape: the records of all pools one after the other, made once and played in every round."""

from dataclasses import dataclass

import numpy as np

from riskpipe.domain.book import FloatArray, OffsetArray
from riskpipe.liquidation.compiled import compiled
from riskpipe.liquidation.lowering import Pools, Terms
from riskpipe.liquidation.records import MAINTENANCE, Draft, most_numbers, record_pool

ROOM = 3.0  # factor by which prices may move further before the tape is made anew


@dataclass
class Tape:
    """Maintenance records of the pools that can be closed."""

    start: OffsetArray  # [p] where a pool's record starts
    number: FloatArray  # [numbers]; what lies beyond the last record is memory never touched
    low: FloatArray  # [rows] the box that the records hold in
    high: FloatArray  # [rows]


def make_tape(pools: Pools, terms: Terms, rows: int) -> Tape:
    """Return a tape that holds nowhere, with room for more numbers than most books need."""
    n = 2 * len(pools.account) + 6 * (len(pools.instrument) + len(pools.asset)) + most_numbers(pools, terms)
    return Tape(
        start=np.empty(len(pools.account), dtype=np.int64),
        number=np.empty(n),
        low=np.full(rows, np.inf),
        high=np.full(rows, -np.inf),
    )


def fit(pools: Pools, terms: Terms, draft: Draft, tape: Tape, low: FloatArray, high: FloatArray) -> None:
    """Make a tape that does not hold within [low, high] anew, with some room around it."""
    if np.all(tape.low <= low) and np.all(high <= tape.high):
        return
    tape.low = np.where(low > 0.0, low / ROOM, low * ROOM)  # what an inverse contract pays is negative
    tape.high = np.where(high > 0.0, high * ROOM, high / ROOM)
    p, at, most = 0, 0, len(draft.record)
    while True:
        p, at = _record(pools, terms, draft, tape.start, tape.number, tape.low, tape.high, p, at, most)
        if p == len(pools.account):
            return
        longer = np.empty(len(tape.number) * 3 // 2 + most)
        longer[:at] = tape.number[:at]
        tape.number = longer


@compiled
def _record(
    pools: Pools, terms: Terms, draft: Draft, start: OffsetArray, number: FloatArray, low: FloatArray,
    high: FloatArray, p: int, at: int, most: int,
) -> tuple[int, int]:  # fmt: skip
    """Write records from pool p and number `at` on; returns where it stops: at the end, or out of room."""
    while p < len(pools.account) and at + most <= len(number):
        if pools.can_close[p]:
            start[p] = at
            at += record_pool(pools, terms, draft, p, low, high, MAINTENANCE, number[at : at + most])
        p += 1
    return p, at
