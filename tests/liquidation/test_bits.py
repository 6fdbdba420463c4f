"""Bits: sets of lanes against plain Python."""

import numba
import numpy as np

from riskpipe.liquidation.bits import negative_lanes
from riskpipe.liquidation.footprint import WIDTH


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
