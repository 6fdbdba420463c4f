"""Impact laws: published figures, limits, and the mean of a law along its own flow."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from riskpipe.pricing.impact import EXPONENTIAL, LARGEST_FALL, LINEAR, average_impact, impact, is_limited

CONT_SCHAANNING = (
    "Cont and Schaanning (2017), figures of github.com/wolfstam/FinNetValu test/models/test_csmodel.jl: c = 0.4,"
    " ADV 50, daily volatility 2%, 20 days, floor half the price: D = 4472.14, delta = 2236.07, Psi(34.73) = 0.00771"
)
laws = st.sampled_from([EXPONENTIAL, LINEAR])
flows = st.floats(1e-3, 1e9).flatmap(lambda size: st.sampled_from([size, -size]))
depths = st.floats(1e3, 1e8)
floors = st.floats(0.0, 0.95)
caps = st.floats(0.05, 5.0)


def limit_of(floor):
    return min(1.0 - floor, LARGEST_FALL)


def test_the_exponential_law_is_cont_and_schaannings():
    depth = 0.4 * 50.0 / 0.02 * math.sqrt(20.0)
    assert depth == pytest.approx(4472.14, abs=5e-3), CONT_SCHAANNING
    assert (1.0 - 0.5) * depth == pytest.approx(2236.07, abs=5e-3), CONT_SCHAANNING
    fall = impact(EXPONENTIAL, -34.73, depth, 0.5, 0.5, 3.0)
    assert -fall == pytest.approx(0.00771, abs=5e-6), CONT_SCHAANNING
    assert 1.0 + fall == pytest.approx(0.99229, abs=5e-6), CONT_SCHAANNING


@pytest.mark.parametrize(
    ("law", "flow", "move"),
    [
        (EXPONENTIAL, -100.0 * math.log(2.0), -0.5),
        (EXPONENTIAL, 100.0 * math.log(2.0), 1.0),
        (LINEAR, -50.0, -0.5),
        (LINEAR, 50.0, 0.5),
        (EXPONENTIAL, 0.0, 0.0),
        (LINEAR, -1e9, -0.99),
        (EXPONENTIAL, -1e9, -0.99),
        (LINEAR, 1e9, 3.0),
        (EXPONENTIAL, 1e9, 3.0),
    ],
)
def test_laws_by_hand(law, flow, move):
    assert impact(law, flow, 100.0, 0.0, LARGEST_FALL, 3.0) == pytest.approx(move)
    assert is_limited(move, flow, LARGEST_FALL, 3.0) == (abs(flow) == 1e9)


@given(laws, flows, depths, floors, caps)
def test_every_law_follows_its_flow_within_its_limits(law, flow, depth, floor, cap):
    limit = limit_of(floor)
    move = impact(law, flow, depth, floor, limit, cap)
    assert -limit <= move <= cap
    assert move == 0.0 or math.copysign(1.0, move) == math.copysign(1.0, flow)
    # more of the same flow, or a thinner book, never moves the price less
    assert abs(impact(law, 1.5 * flow, depth, floor, limit, cap)) >= abs(move)
    assert abs(impact(law, flow, depth / 1.5, floor, limit, cap)) >= abs(move)


@given(laws, depths, floors, caps)
def test_a_small_flow_moves_the_price_by_its_share_of_depth(law, depth, floor, cap):
    for flow in (-1e-4 * depth, 1e-4 * depth):
        assume(cap > 1e-3)
        assert impact(law, flow, depth, floor, limit_of(floor), cap) == pytest.approx(flow / depth, rel=2e-3)


@given(laws, flows, depths, floors, caps, st.floats(0.0, 1.0))
def test_the_average_is_the_mean_of_the_law_along_its_flow(law, flow, depth, floor, cap, share):
    # a caller may narrow the fall further, as an index near a hundredth of its price does
    limit = limit_of(floor) * share
    average = average_impact(law, flow, depth, floor, limit, cap)
    move = impact(law, flow, depth, floor, limit, cap)
    assert abs(average) <= abs(move) + 1e-12
    assert average * flow >= -1e-12 * abs(flow)
    # 4000 midpoints, graded towards the start of the flow where the law bends
    edges = abs(flow) * np.linspace(0.0, 1.0, 4001) ** 3
    middle = 0.5 * (edges[1:] + edges[:-1])
    moves = [impact(law, math.copysign(size, flow), depth, floor, limit, cap) for size in middle]
    assert average == pytest.approx(float(np.diff(edges) @ moves) / abs(flow), abs=2e-3 * max(1.0, cap))


def test_the_average_of_a_law_that_stops_is_weighed_with_its_limit():
    # falls linearly to -0.99 over 99 of flow, then stays: (99 x 0.495 + 101 x 0.99) / 200
    assert average_impact(LINEAR, -200.0, 100.0, 0.0, LARGEST_FALL, 3.0) == pytest.approx(-(49.005 + 99.99) / 200.0)
    # rises linearly to 0.5 over 50, then stays
    assert average_impact(LINEAR, 100.0, 100.0, 0.0, LARGEST_FALL, 0.5) == pytest.approx((12.5 + 25.0) / 100.0)
    assert average_impact(EXPONENTIAL, 0.0, 100.0, 0.0, LARGEST_FALL, 3.0) == 0.0
