"""Batches: pools that are evaluated by one call, for a call passes every array of its tuples by value."""

from typing import NamedTuple

import numpy as np

from riskpipe.compiled import inlined, internal
from riskpipe.domain.book import FloatArray, OffsetArray
from riskpipe.liquidation.footprint import WIDTH
from riskpipe.liquidation.forms import play
from riskpipe.liquidation.health import set_health
from riskpipe.liquidation.lowering import Pools, Terms
from riskpipe.liquidation.records import Draft

BATCH = 16


class Batch(NamedTuple):
    """Some pools, enough of them that a call costs nothing, and their health over lanes."""

    pool: OffsetArray  # [b]
    negative: OffsetArray  # [b] lanes in which it misses what it must hold
    health: FloatArray  # [b, lane] USD
    amount: FloatArray  # [lane] scratch
    term: FloatArray  # [lane] scratch


def make_batch(n_lanes: int) -> Batch:
    """Allocate a batch."""
    pool, negative = (np.zeros(BATCH, dtype=np.int64) for _ in range(2))
    return Batch(
        pool=pool,
        negative=negative,
        health=np.zeros((BATCH, n_lanes)),
        amount=np.zeros(n_lanes),
        term=np.zeros(n_lanes),
    )


@inlined
def is_due(n: int, is_end: bool) -> bool:
    """Whether a batch of n pools is to be evaluated: it is full, or holds the last of the book."""
    return n == BATCH or (n > 0 and is_end)


@internal
def evaluate(
    start: OffsetArray, number: FloatArray, first: int, batch: Batch, n: int, price: FloatArray, s0: int, s1: int
) -> None:
    """Set health and negative of the first n pools of a batch in lanes s0 to s1 - 1 from their records on a tape, whose
    first pool is given.
    """  # noqa: D205
    for b in range(n):
        record = number[start[batch.pool[b] - first] :]
        batch.negative[b] = play(record, price, s0, s1, batch.amount, batch.term, batch.health[b])


@internal
def evaluate_afresh(
    pools: Pools, terms: Terms, draft: Draft, batch: Batch, n: int, kind: int, price: FloatArray, low: FloatArray,
    high: FloatArray,
) -> None:  # fmt: skip
    """Set the same in all lanes, at prices that lie within [low, high], from records made for the purpose."""
    for b in range(n):
        batch.negative[b] = set_health(
            pools, terms, draft, batch.pool[b], low, high, kind, price, 0, price.shape[1], batch.health[b]
        )


@inlined
def failing_lanes(batch: Batch, b: int, s0: int) -> np.uint64:
    """Return the lanes from s0 on, as many as the width, in which the b-th pool fails, as the lowest bits of a word."""
    health, word = batch.health[b, s0 : s0 + WIDTH], np.int64(0)
    for s in range(len(health)):  # the compiler takes this for a sum, which it can do side by side
        word += np.int64(health[s] < 0.0) << s
    return np.uint64(word)
