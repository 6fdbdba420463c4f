"""Batches: pools that are evaluated by one call, for a call passes every array of its tuples by value."""

from typing import NamedTuple

import numpy as np

from riskpipe.compiled import inlined, internal
from riskpipe.domain.book import BoolArray, FloatArray, OffsetArray
from riskpipe.liquidation.bits import ALL_BITS, NO_LANE, bits_up_to, negative_lanes, put_block, zeros_below
from riskpipe.liquidation.cushions import renew_cushions, worn_shares
from riskpipe.liquidation.footprint import BATCH, CUSHION_BATCH, SHARE, WIDTH, WORD, n_shares, n_words
from riskpipe.liquidation.forms import play
from riskpipe.liquidation.health import play_alone
from riskpipe.liquidation.lowering import Pools, Terms
from riskpipe.liquidation.records import MAINTENANCE, Draft, record_alone
from riskpipe.liquidation.sketches import EVERY_LANE_OF_SHARE, look, play_sketch


class Batch(NamedTuple):
    """Some pools, enough of them that a call costs nothing, and their health over lanes."""

    pool: OffsetArray  # [b] pools, or the places of their records on a tape
    start: OffsetArray  # [b] where a record or sketch starts among the numbers that are played
    failing: np.ndarray  # [b, words] lanes in which it misses what it must hold
    is_sure: BoolArray  # [b] its sketch has left no doubt
    worn: np.ndarray  # [b] shares in which a cushion is worn, as the bits of a word
    used: np.ndarray  # [b, share] float32: how far
    due: np.ndarray  # [b, words] lanes that are looked at
    place: OffsetArray  # [share] of one pool: the first lane of each share that is looked at
    least: np.ndarray  # [share] float32: and its least health there
    health: FloatArray  # [b, lane] USD
    amount: FloatArray  # [lane] scratch
    term: FloatArray  # [lane] scratch


def make_batch(n_lanes: int) -> Batch:
    """Allocate a batch for a multiple of the width."""
    return Batch(
        pool=np.zeros(CUSHION_BATCH, dtype=np.int64),
        start=np.zeros(CUSHION_BATCH, dtype=np.int64),
        failing=np.zeros((CUSHION_BATCH, n_words(n_lanes)), dtype=np.uint64),
        is_sure=np.zeros(CUSHION_BATCH, dtype=np.bool_),
        worn=np.zeros(CUSHION_BATCH, dtype=np.uint64),
        used=np.zeros((CUSHION_BATCH, n_shares(n_lanes)), dtype=np.float32),
        due=np.zeros((CUSHION_BATCH, n_words(n_lanes)), dtype=np.uint64),
        place=np.zeros(n_lanes // SHARE, dtype=np.int64),
        least=np.zeros(n_lanes // SHARE, dtype=np.float32),
        health=np.zeros((BATCH, n_lanes)),
        amount=np.zeros(n_lanes),
        term=np.zeros(n_lanes),
    )


@inlined
def is_due(n: int, is_end: bool) -> bool:
    """Whether a batch of n pools is to be evaluated: it is full, or holds the last of the book."""
    return n == BATCH or (n > 0 and is_end)


@inlined
def note_failing(batch: Batch, b: int, h: int, n_lanes: int) -> None:
    """Set in which of the first n lanes the b-th pool fails, whose health is the h-th."""
    for block in range(n_lanes // WIDTH):
        put_block(batch.failing[b], block, negative_lanes(batch.health[h], block * WIDTH))


@internal
def evaluate(number: FloatArray, batch: Batch, n: int, price: FloatArray, n_lanes: int) -> None:
    """Set health and failing of the first n pools of a batch in the first lanes from their records.

    Bits of lanes that only fill up a block mean nothing.
    """
    for b in range(n):
        record = number[batch.start[b] :]
        play(record, price, n_lanes, batch.amount, batch.term, batch.health[b])
        note_failing(batch, b, b, n_lanes)


@internal
def evaluate_sketches(number: np.ndarray, batch: Batch, n: int, price: np.ndarray, n_blocks: int) -> None:
    """Set failing of the first n pools of a batch in the first blocks of lanes from their sketches, and whether it is
    sure. Prices in single precision.
    """  # noqa: D205
    for b in range(n):
        sketch = number[batch.start[b] :]
        batch.is_sure[b] = play_sketch(sketch, price, n_blocks, batch.failing[b])


@internal
def find_worn(
    number: np.ndarray, start: OffsetArray, cushion: np.ndarray, travel: np.ndarray, first: int, stop: int,
    batch: Batch, is_new: bool, is_first: bool,
) -> int:  # fmt: skip
    """Put the records from first to stop (exclusive) whose cushion is worn, or all of them (is_new, and is_first: when
    there are no cushions), into a batch; returns how many.
    """  # noqa: D205
    n = 0
    for j in range(first, stop):
        worn = ALL_BITS if is_first else worn_shares(number[start[j] :], j, cushion, travel, batch.used, n)
        batch.pool[n], batch.worn[n] = j, ALL_BITS if is_new else worn
        n += int(is_new or worn != NO_LANE)  # no branch: nobody could predict it
    return n


@internal
def look_at_worn(
    number: np.ndarray, start: OffsetArray, cushion: np.ndarray, opened: np.ndarray, due: np.ndarray, price: np.ndarray,
    batch: Batch, n: int, n_shares: int, is_first: bool,
) -> int:  # fmt: skip
    """Look at the first n of a batch in the shares in which they are worn, and renew their cushions.

    Sets failing in the lanes that are due [words] and open [record, words], and whether it is sure (is_first: in all
    that are due, and there are no cushions). Where no lane of a share is left to look at, its cushion can no longer be
    worn. Returns how many it looked at.
    """
    every, looked_at = bits_up_to(n_shares), 0
    for b in range(n):
        j, worn, n_places = batch.pool[b], batch.worn[b] & every, 0
        lanes = batch.due[b]
        for w in range(len(due)):
            lanes[w] = due[w] if is_first else due[w] & opened[j, w]
        while worn != NO_LANE:
            share = zeros_below(worn)
            worn &= worn - np.uint64(1)
            lane = share * SHARE
            if (lanes[lane // WORD] >> np.uint64(lane % WORD)) & EVERY_LANE_OF_SHARE != NO_LANE:
                batch.place[n_places] = lane
                n_places += 1
            elif not is_first:
                cushion[j, share] = np.inf
        sketch = number[start[j] :]
        batch.is_sure[b] = look(sketch, price, batch.place, n_places, lanes, batch.failing[b], batch.least)
        looked_at += int(n_places > 0)
        if not is_first:
            renew_cushions(sketch, cushion[j], batch.used[b], batch.least, batch.place, n_places)
    return looked_at


@inlined
def make_sure(
    pools: Pools, terms: Terms, draft: Draft, batch: Batch, b: int, p: int, low: FloatArray, high: FloatArray,
    price: FloatArray, n_blocks: int,
) -> None:  # fmt: skip
    """Set failing of the b-th of a batch, pool p, where its sketch has left doubts."""
    if not batch.is_sure[b]:
        record_alone(pools, terms, draft, p, low, high, MAINTENANCE)
        play_alone(draft.record, price, n_blocks * WIDTH, batch.amount, batch.term, batch.health[0])
        note_failing(batch, b, 0, n_blocks * WIDTH)
