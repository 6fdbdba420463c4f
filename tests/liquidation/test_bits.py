"""Bits: sets of lanes against plain Python."""

import numba
import numpy as np

from riskpipe.liquidation.bits import (
    PLANES,
    add_to_tally,
    empty_tally,
    first_lane,
    make_tally,
    negative_lanes,
    set_squeeze,
    squeeze,
    stop_lane,
)
from riskpipe.liquidation.footprint import WIDTH, WORD


@numba.njit(cache=False)
def negative(row, first):
    return negative_lanes(row, first)


def test_negative_lanes_are_those_below_zero_and_no_other():
    rng = np.random.default_rng(0)
    special = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 5e-324, -5e-324])
    for _ in range(50):
        row = np.where(rng.random(100) < 0.3, rng.choice(special, 100), rng.normal(size=100))
        first = int(rng.integers(0, 100 - WIDTH + 1))
        expected = sum(1 << n for n in range(WIDTH) if row[first + n] < 0.0)
        assert int(negative(row, first)) == expected


@numba.njit(cache=False)
def squeezed(mask, word, steps):
    n = set_squeeze(mask, steps)
    return n, squeeze(word & mask, steps)


@numba.njit(cache=False)
def ends(words):
    return first_lane(words), stop_lane(words)


def test_bits_of_a_mask_are_squeezed_side_by_side_in_their_order():
    rng = np.random.default_rng(1)
    edges = [0, 1, 2**63, 2**64 - 1, 2**32 - 1, 2**64 - 2**32]
    for mask in [*edges, *(int(word) for word in rng.integers(0, 2**64, 40, dtype=np.uint64))]:
        word = int(rng.integers(0, 2**64, dtype=np.uint64))
        places = [bit for bit in range(WORD) if mask >> bit & 1]
        expected = sum((word >> bit & 1) << m for m, bit in enumerate(places))
        n, found = squeezed(np.uint64(mask), np.uint64(word), np.zeros(6, dtype=np.uint64))
        assert (n, int(found)) == (len(places), expected), f"mask {mask:#x}, word {word:#x}"


def test_first_and_last_lanes_are_those_of_the_lowest_and_highest_bits():
    for lanes in ([], [0], [63], [64], [127], [5, 70], [0, 127], [64, 65]):
        words = np.zeros(2, dtype=np.uint64)
        for s in lanes:
            words[s // WORD] |= np.uint64(1) << np.uint64(s % WORD)
        assert ends(words) == (min(lanes, default=-1), max(lanes, default=-1) + 1)


@numba.njit(cache=False)
def tallied(tally, sets, sizes, count):
    for k in range(len(sizes)):
        first = sizes[k, 0]
        add_to_tally(tally, sets[first : first + 16], sizes[k, 1], count)
    empty_tally(tally, count)


def test_a_tally_counts_every_bit_however_many_sets_and_batches():
    rng = np.random.default_rng(2)
    for n_lanes in (1, 32, 100, 128):
        n_batches = 3 * 2**PLANES // 16 + 1
        dense = rng.random((16 * n_batches, n_lanes)) < rng.choice([0.0, 0.01, 0.5, 1.0], (16 * n_batches, 1))
        n_words = -(-n_lanes // WORD)
        sets = np.zeros((len(dense), n_words), dtype=np.uint64)
        for s in range(n_lanes):
            sets[:, s // WORD] |= dense[:, s].astype(np.uint64) << np.uint64(s % WORD)
        sizes = [(16 * b, int(rng.choice([16, 16, 16, 1, 6]))) for b in range(n_batches)]
        expected = sum(dense[first : first + n].sum(axis=0) for first, n in sizes)
        count = np.zeros(n_lanes, dtype=np.int64)
        tallied(make_tally(n_words), sets, np.array(sizes), count)
        assert count.tolist() == expected.tolist()
