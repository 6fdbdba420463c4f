"""Contagion: losses given distress, amplification, overlaps of books."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support.cubes import cube
from support.hand_made import hand_made

from riskpipe.domain.scenarios import Variant
from riskpipe.measures.contagion import amplification, conditional_losses, overlaps, venue_overlap
from riskpipe.measures.distribution import tail_mean
from riskpipe.measures.marginal import conditional_expected_shortfall
from riskpipe.scenarios.grid import scenario_set

PLACES = {"venue": ["alpha", "bravo"], "underlying": ["BTC", "ETH"], "fund": ["alpha", "alts", "bravo"],
          "instrument": ["BTC-PERP"], "account": ["a0"]}  # fmt: skip
FLOWS = arrays(np.float64, (3, 4), elements=st.floats(-1e9, 1e9).map(lambda x: round(x, 3)))
DEPTHS = arrays(np.float64, 4, elements=st.one_of(st.just(np.nan), st.floats(1e3, 1e9)))


def simulated_cube(values, n=100):
    planned = scenario_set({"index_shock": [0.0]}, [], (Variant(),), n_simulated=n)
    values = {"book/fund_venue": np.array(["alpha", "alpha", "bravo"], object), **values}
    return cube(replace(planned, index_shock=np.nan_to_num(planned.index_shock)), values, PLACES)


def test_losses_given_distress_are_those_of_the_scenarios_in_which_the_other_loses_most():
    rng = np.random.default_rng(0)
    shortfall = np.zeros((101, 3))
    shortfall[1:, 0] = rng.exponential(size=100)
    shortfall[1:, 1] = np.where(np.arange(100) < 2, 50.0, 0.0)  # of alpha's second fund, in two scenarios only
    shortfall[1:, 2] = np.arange(100.0)
    found = conditional_losses(simulated_cube({"funds/shortfall": shortfall})).isel(variant=0).sel(headline="shortfall")
    assert found["party"].values.tolist() == ["system", "alpha", "bravo", "alpha", "alts"]
    assert found["scope"].values.tolist() == ["system", "venue", "venue", "fund", "fund"], "a lone fund is its venue"
    assert found["distressed_scope"].values.tolist() == found["scope"].values.tolist(), "alpha is a venue and a fund"
    system, alpha, bravo, alts = 0, 1, 2, 4
    mean, tail = found["conditional_mean"].values, found["conditional_shortfall"].values
    losses, even = shortfall[1:], np.full(100, 0.01)
    assert mean[bravo, bravo] == pytest.approx(97.0)
    assert mean[bravo, alpha] == pytest.approx(losses[95:, :2].sum(axis=1).mean())
    assert mean[alts, bravo] == pytest.approx(0.5), "only the two scenarios in which it loses are its distress"
    assert found["chance"].values[alts] == pytest.approx(0.02)
    assert found["n_distress"].values[[bravo, alts]] == pytest.approx([5.0, 2.0])
    of_alpha = conditional_expected_shortfall(losses[:, :2].sum(axis=1), losses[:, 2], even, 0.95)
    assert tail[bravo, alpha] == pytest.approx(of_alpha)
    parts = mean[system, [alpha, bravo]].sum()
    assert parts == pytest.approx(tail_mean(losses.sum(axis=1), even, 0.95)), "venues add up to the system"


def test_who_never_loses_is_never_in_distress_and_funds_close_nothing():
    found = conditional_losses(simulated_cube({})).isel(variant=0)
    assert np.isnan(found["conditional_mean"].values).all()
    assert found["chance"].sel(headline="shortfall").values.tolist() == [0.0] * 5
    closed = found["chance"].sel(headline="liquidated_notional").values
    assert closed[:3].tolist() == [0.0] * 3
    assert np.isnan(closed[3:]).all()


def test_amplification_tells_both_sums_of_the_same_scenario(measures, tree):
    found, system = measures["amplification"], tree["system"].to_dataset()
    for v, label in enumerate(found["variant"].values):
        inside = np.flatnonzero((system["variant"].values == label) & (system["set"].values == "grid"))
        total, first = (system[name].values for name in ("liquidated_notional", "first_round_notional"))
        one = found.isel(variant=v).sel(set="grid")
        rows = one["scenario"].values
        assert set(rows[:2].tolist()) <= set(inside.tolist())
        assert rows[2] == -1
        assert total[rows[0]] == total[inside].max()
        assert total[rows[1]] / first[rows[1]] == pytest.approx((total[inside] / first[inside]).max())
        for name, values in (("liquidated_notional", total), ("first_round_notional", first)):
            np.testing.assert_array_equal(one[name].values[:2], values[rows[:2]])
        assert np.isnan(one["liquidated_notional"].values[2]), "a grid has no mean"


def test_the_mean_amplification_is_over_probabilities():
    total = np.append(99.0, np.arange(100.0))
    values = {"system/liquidated_notional": total, "system/first_round_notional": total / 2}
    one = amplification(simulated_cube(values)).isel(variant=0).sel(set="simulated", reading="mean")
    assert [float(one[name]) for name in ("first_round_notional", "liquidated_notional", "amplification")] == (
        pytest.approx([24.75, 49.5, 2.0])
    )


def test_of_equal_amplifications_the_one_that_closes_more_is_told():
    values = {
        "system/liquidated_notional": np.array([4.0, 8.0, 9.0]),
        "system/first_round_notional": np.array([2.0, 4.0, 9.0]),
    }
    one = amplification(hand_made({"index_shock": [-0.3, -0.2, 0.0]}, values)).isel(variant=0).sel(set="grid")
    assert one["scenario"].values.tolist() == [2, 1, -1]


@given(FLOWS, DEPTHS)
def test_overlaps_are_symmetric_bounded_and_one_with_themselves(flow, depth):
    alike, cost = overlaps(flow, depth)
    np.testing.assert_array_equal(alike, alike.T)
    np.testing.assert_array_equal(cost, cost.T)
    assert (np.abs(np.nan_to_num(alike)) <= 1.0).all()
    own = np.diag(alike)
    np.testing.assert_allclose(own[~np.isnan(own)], 1.0, rtol=1e-12)
    is_known = depth > 0.0
    assert np.isnan(own).tolist() == (~(flow[:, is_known] ** 2 > 0.0).any(axis=1)).tolist()


@given(FLOWS, st.floats(0.1, 10.0))
def test_an_overlap_does_not_depend_on_size_and_its_cost_does(flow, factor):
    depth = np.array([1e6, 2e6, 3e6, 4e6])
    larger = flow.copy()
    larger[0] *= factor
    alike, cost = overlaps(flow, depth)
    other_alike, other_cost = overlaps(larger, depth)
    np.testing.assert_allclose(other_alike, alike, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(other_cost[0, 1:], factor * cost[0, 1:], rtol=1e-9, atol=1e-9)


def test_venues_that_sell_the_same_worsen_each_others_prices_and_hedge_each_other_else():
    longs, shorts = np.zeros((2, 2, 2)), np.zeros((2, 2, 2))
    longs[0] = [[100.0, 0.0], [50.0, 0.0]]  # both sell BTC
    longs[0, 1, 1] = 50.0
    values = {
        "exposure/liquidated_notional_long": longs,
        "exposure/liquidated_notional_short": shorts,
        "system/liquidated_notional": longs.sum(axis=(1, 2)),
        "book/underlying_depth": np.array([10.0, np.nan]),  # ETH's depth is unknown: left out
        "book/shared_interest": np.array([[400.0, 100.0], [60.0, 60.0]]),
    }
    tree = hand_made({"index_shock": [-0.3, 0.0]}, values, **PLACES)
    found = venue_overlap(tree)
    one = found.isel(variant=0)
    assert int(one["scenario"]) == 0
    assert one["overlap"].values.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert one["price_cost"].values[0, 1] == pytest.approx(100.0 * 50.0 / 1000.0), "1% per USD 10: 5% of what is sold"
    assert found["shared_share"].values[0, 1] == 0.25
    assert found["shared_share"].values[1, 0] == 1.0
