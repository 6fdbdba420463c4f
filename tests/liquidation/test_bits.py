"""Bits: sets of lanes against plain Python."""

import numba
import numpy as np
import pytest

from riskpipe.liquidation.bits import (
    PLANES,
    add_to_tally,
    bits_up_to,
    empty_tally,
    first_lane,
    first_lanes,
    make_tally,
    negative_lanes,
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
def ends(words):
    return first_lane(words), stop_lane(words)


@numba.njit(cache=False)
def up_to(n):
    return bits_up_to(n)


@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 127, 128])
def test_the_first_lanes_are_those_and_no_other(n):
    words = first_lanes(n, 2)
    assert int(words[0]) + (int(words[1]) << WORD) == 2**n - 1
    assert int(up_to(n)) == 2 ** min(n, WORD) - 1


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
