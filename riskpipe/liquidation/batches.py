"""Batches: pools that are evaluated by one call, for a call passes every array of its tuples by value."""

from typing import NamedTuple

import numpy as np

from riskpipe.domain.book import FloatArray, OffsetArray
from riskpipe.liquidation.compiled import inlined, internal
from riskpipe.liquidation.health import Lines, set_health
from riskpipe.liquidation.lowering import Pools, Terms

BATCH = 16


class Batch(NamedTuple):
    """Some pools and the lanes that each is looked at in: enough of them that a call costs nothing."""

    pool: OffsetArray  # [b]
    start: OffsetArray  # [b] first lane
    stop: OffsetArray  # [b] one past the last
    negative: OffsetArray  # [b] lanes in which it misses what it must hold
    health: FloatArray  # [b, lane] USD, set in those lanes


def make_batch(n_lanes: int) -> Batch:
    """Allocate a batch."""
    pool, start, stop, negative = (np.zeros(BATCH, dtype=np.int64) for _ in range(4))
    return Batch(pool, start, stop, negative, np.zeros((BATCH, n_lanes)))


@inlined
def add_pool(batch: Batch, n: int, p: int, s0: int, s1: int) -> int:
    """Put pool p and the lanes that it is looked at in after the n that a batch holds; returns how many it holds."""
    batch.pool[n], batch.start[n], batch.stop[n] = p, s0, s1
    return n + 1


@inlined
def is_due(n: int, is_end: bool) -> bool:
    """Whether a batch of n pools is to be evaluated: it is full, or holds the last of the book."""
    return n == BATCH or (n > 0 and is_end)


@internal
def evaluate(
    pools: Pools, terms: Terms, lines: Lines, batch: Batch, n: int, kind: int, price: FloatArray, low: FloatArray,
    high: FloatArray,
) -> None:  # fmt: skip
    """Set health and negative of the first n pools of a batch, at prices that lie within [low, high]."""
    for b in range(n):
        batch.negative[b] = set_health(
            pools, terms, lines, batch.pool[b], low, high, kind, price, batch.start[b], batch.stop[b], batch.health[b]
        )
