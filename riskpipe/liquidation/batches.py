"""Batches: pools that are evaluated by one call, for a call passes every array of its tuples by value."""

from typing import NamedTuple

import numpy as np

from riskpipe.compiled import inlined, internal
from riskpipe.domain.book import BoolArray, FloatArray, OffsetArray
from riskpipe.liquidation.bits import negative_lanes, put_block
from riskpipe.liquidation.footprint import BATCH, WIDTH, n_words
from riskpipe.liquidation.forms import play
from riskpipe.liquidation.health import play_alone, record_alone
from riskpipe.liquidation.lowering import Pools, Terms
from riskpipe.liquidation.records import MAINTENANCE, Draft, record_pool
from riskpipe.liquidation.sketches import play_sketch


class Batch(NamedTuple):
    """Some pools, enough of them that a call costs nothing, and their health over lanes."""

    pool: OffsetArray  # [b] pools, or the places of their records on a tape
    start: OffsetArray  # [b] where a record or sketch starts among the numbers that are played
    failing: np.ndarray  # [b, words] lanes in which it misses what it must hold
    is_sure: BoolArray  # [b] its sketch has left no doubt
    rough: np.ndarray  # [1, lane] float32 scratch
    health: FloatArray  # [b, lane] USD
    amount: FloatArray  # [lane] scratch
    term: FloatArray  # [lane] scratch


def make_batch(n_lanes: int) -> Batch:
    """Allocate a batch for a multiple of the width."""
    return Batch(
        pool=np.zeros(BATCH, dtype=np.int64),
        start=np.zeros(BATCH, dtype=np.int64),
        failing=np.zeros((BATCH, n_words(n_lanes)), dtype=np.uint64),
        is_sure=np.zeros(BATCH, dtype=np.bool_),
        rough=np.zeros((1, n_lanes), dtype=np.float32),
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
    """Set in which of the first n lanes the b-th pool fails."""
    for block in range(n_lanes // WIDTH):
        put_block(batch.failing[b], block, negative_lanes(batch.health[b], block * WIDTH))


@internal
def evaluate(number: FloatArray, batch: Batch, n: int, price: FloatArray, n_lanes: int) -> None:
    """Set health and failing of the first n pools of a batch in the first lanes from their records.

    Bits of lanes that only fill up a block mean nothing.
    """
    for b in range(n):
        record = number[batch.start[b] :]
        play(record, price, n_lanes, batch.amount, batch.term, batch.health[b])
        note_failing(batch, b, n_lanes)


@internal
def evaluate_sketches(number: np.ndarray, batch: Batch, n: int, price: np.ndarray, n_blocks: int) -> None:
    """Set failing of the first n pools of a batch in the first blocks of lanes from their sketches, and whether it is
    sure. Prices in single precision.
    """  # noqa: D205
    for b in range(n):
        batch.is_sure[b] = play_sketch(number[batch.start[b] :], price, n_blocks, batch.rough, batch.failing[b])


@inlined
def make_sure(
    pools: Pools, terms: Terms, draft: Draft, batch: Batch, b: int, p: int, low: FloatArray, high: FloatArray,
    price: FloatArray, n_blocks: int,
) -> None:  # fmt: skip
    """Set failing of the b-th of a batch, pool p, where its sketch has left doubts."""
    if not batch.is_sure[b]:
        record_alone(pools, terms, draft, p, low, high, MAINTENANCE)
        play_alone(draft.record, price, n_blocks * WIDTH, batch.amount, batch.term, batch.health[b])
        note_failing(batch, b, n_blocks * WIDTH)


@internal
def record_batch(
    pools: Pools, terms: Terms, draft: Draft, batch: Batch, n: int, kind: int, low: FloatArray, high: FloatArray
) -> None:
    """Write the records of the first n pools of a batch, for prices that lie within [low, high], among draft.records.

    All in one call: it costs as much as a record.
    """
    most = len(draft.record)
    for b in range(n):
        batch.start[b] = b * most
        record_pool(pools, terms, draft, batch.pool[b], low, high, kind, draft.records[b * most : (b + 1) * most])
