"""Batches: pools that are evaluated by one call, for a call passes every array of its tuples by value."""

from typing import NamedTuple

import numpy as np

from riskpipe.compiled import inlined, internal
from riskpipe.domain.book import FloatArray, OffsetArray
from riskpipe.liquidation.bits import negative_lanes
from riskpipe.liquidation.footprint import WIDTH
from riskpipe.liquidation.forms import play
from riskpipe.liquidation.health import set_health
from riskpipe.liquidation.lowering import Pools, Terms
from riskpipe.liquidation.records import Draft

BATCH = 16


class Batch(NamedTuple):
    """Some pools, enough of them that a call costs nothing, and their health over lanes."""

    pool: OffsetArray  # [b] pools, or the places of their records on a tape
    failing: np.ndarray  # [b, blocks of lanes] bits: lanes in which it misses what it must hold
    health: FloatArray  # [b, lane] USD
    amount: FloatArray  # [lane] scratch
    term: FloatArray  # [lane] scratch


def make_batch(n_lanes: int) -> Batch:
    """Allocate a batch for a multiple of the width."""
    return Batch(
        pool=np.zeros(BATCH, dtype=np.int64),
        failing=np.zeros((BATCH, n_lanes // WIDTH), dtype=np.uint64),
        health=np.zeros((BATCH, n_lanes)),
        amount=np.zeros(n_lanes),
        term=np.zeros(n_lanes),
    )


@inlined
def is_due(n: int, is_end: bool) -> bool:
    """Whether a batch of n pools is to be evaluated: it is full, or holds the last of the book."""
    return n == BATCH or (n > 0 and is_end)


@inlined
def note_failing(batch: Batch, b: int, n_lanes: int) -> None:
    """Set in which blocks of the first n lanes the b-th pool fails."""
    for block in range(0, n_lanes, WIDTH):
        batch.failing[b, block // WIDTH] = negative_lanes(batch.health[b], block)


@internal
def evaluate(start: OffsetArray, number: FloatArray, batch: Batch, n: int, price: FloatArray, n_lanes: int) -> None:
    """Set health and failing of the first n pools of a batch in the first lanes from their records on a tape. Bits of
    lanes that only fill up a block mean nothing.
    """  # noqa: D205
    for b in range(n):
        record = number[start[batch.pool[b]] :]
        play(record, price, n_lanes, batch.amount, batch.term, batch.health[b])
        note_failing(batch, b, n_lanes)


@internal
def evaluate_afresh(
    pools: Pools, terms: Terms, draft: Draft, batch: Batch, n: int, kind: int, price: FloatArray, low: FloatArray,
    high: FloatArray,
) -> None:  # fmt: skip
    """Set the same in all lanes, at prices that lie within [low, high], from records made for the purpose."""
    n_lanes = price.shape[1]
    for b in range(n):
        set_health(pools, terms, draft, batch.pool[b], low, high, kind, price, n_lanes, batch.health[b])
        note_failing(batch, b, n_lanes)
