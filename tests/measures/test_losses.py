"""Losses over scenarios with probabilities."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import random_case
from support.cubes import cube, kernel_cube
from support.hand_made import COORDINATES

from riskpipe.domain.scenarios import Variant
from riskpipe.measures.distribution import quantile, tail_mean
from riskpipe.measures.funds import uncovered_loss
from riskpipe.measures.losses import HEADLINES, loss_distribution
from riskpipe.scenarios.grid import scenario_set

VARIANTS = (Variant(gap_share=1.0), Variant(gap_share=0.0))


def test_the_tail_mean_is_the_mean_of_the_worst_share_also_through_an_atom():
    even = np.full(100, 0.01)
    losses = np.arange(100.0)
    assert tail_mean(losses, even, 0.95) == pytest.approx(np.mean([95, 96, 97, 98, 99]))
    assert tail_mean(np.array([0.0, 10.0]), np.array([0.9, 0.1]), 0.95) == pytest.approx(10.0)
    assert tail_mean(np.array([0.0, 10.0, 100.0]), np.array([0.9, 0.07, 0.03]), 0.95) == pytest.approx(
        0.6 * 100 + 0.4 * 10
    )
    with pytest.raises(ValueError, match="level must be"):
        tail_mean(losses, even, 1.0)
    with pytest.raises(ValueError, match="unweighted grid"):
        tail_mean(losses, np.full(100, np.nan), 0.95)


@given(st.lists(st.floats(0.0, 1e6), min_size=2, max_size=60), st.floats(0.01, 0.98))
def test_the_tail_mean_lies_between_quantile_and_largest_and_grows_with_the_level(losses, level):
    losses, even = np.array(losses), np.ones(len(losses))
    low, high = tail_mean(losses, even, level), tail_mean(losses, even, 0.5 * (1.0 + level))
    room = 1e-9 * (1.0 + losses.max())
    assert quantile(losses, even, level) - room <= low <= high + room <= losses.max() + 3 * room


def test_only_simulated_scenarios_of_each_variant_make_its_distribution():
    planned = scenario_set(
        {"index_shock": [-0.9, 0.0]}, [("a bad day", {"index_shock": -0.9})], VARIANTS, n_simulated=40
    )
    shocks = np.where(np.isnan(planned.index_shock), np.tile(np.linspace(-0.4, 0.3, 43), 2), planned.index_shock)
    tree = kernel_cube(random_case(3, n_accounts=60), replace(planned, index_shock=shocks))
    found = loss_distribution(tree)
    assert found.attrs["n_scenarios"] == 40
    loss = uncovered_loss(tree).sum(axis=1)
    for v in range(2):
        rows = slice(43 * v + 3, 43 * v + 43)
        one = found.isel(variant=v, series=HEADLINES.index("uncovered_loss"))
        assert one["mean"] == pytest.approx(loss[rows].mean())
        assert one["largest"] == loss[rows].max() != loss[43 * v : 43 * v + 3].max()
        assert one["chance"] == pytest.approx(np.mean(loss[rows] > 0.0))
        assert one["value_at_risk"].sel(level=0.95) == np.sort(loss[rows])[37]
        assert one["expected_shortfall"].sel(level=0.95) == pytest.approx(np.sort(loss[rows])[-2:].mean())
    assert (found["chance"] > 0.0).any()


def test_scenarios_count_by_their_probability_for_system_venues_and_funds():
    planned = scenario_set({"index_shock": [0.0]}, [], (Variant(),), n_simulated=4)
    probability = np.array([np.nan, 0.1, 0.2, 0.3, 0.4])
    planned = replace(planned, index_shock=np.nan_to_num(planned.index_shock), probability=probability)
    shortfall = np.zeros((5, 3))
    shortfall[1:] = [[8.0, 0.0, 1.0], [4.0, 2.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    used = shortfall.copy()
    used[1, 0] = 5.0
    closed = np.zeros((5, 2, 1))
    closed[1:, 1, 0] = [10.0, 20.0, 30.0, 0.0]
    values = {
        "funds/shortfall": shortfall,
        "funds/fund_used": used,
        "exposure/liquidated_notional_long": closed,
        "book/fund_venue": np.array(["alpha", "alpha", "bravo"], object),
    }
    places = COORDINATES | {"venue": ["alpha", "bravo"], "fund": ["main", "alts", "bravo"]}
    found = loss_distribution(cube(planned, values, places)).isel(variant=0)
    keys = list(zip(*(found[name].values.tolist() for name in ("scope", "place", "headline")), strict=True))
    assert keys[:3] == [("system", "", name) for name in HEADLINES]
    assert ("fund", "alts", "liquidated_notional") not in keys

    def numbers(*key):
        one = found.isel(series=keys.index(key))
        return [float(one["mean"]), float(one["chance"]), float(one["value_at_risk"].sel(level=0.95))]

    assert numbers("venue", "alpha", "shortfall") == pytest.approx([0.8 + 1.2 + 0.4, 0.7, 8.0])
    assert numbers("fund", "alts", "shortfall") == pytest.approx([0.8, 0.6, 2.0])
    assert numbers("system", "", "shortfall") == pytest.approx([0.9 + 1.2 + 0.4, 0.7, 9.0])
    assert numbers("venue", "alpha", "uncovered_loss") == pytest.approx([0.3, 0.1, 3.0])
    assert numbers("venue", "bravo", "liquidated_notional") == pytest.approx([1.0 + 4.0 + 9.0, 0.6, 30.0])


def test_a_simulated_set_without_probabilities_is_refused():
    planned = scenario_set({"index_shock": [0.0]}, [], (Variant(),), n_simulated=4)
    probability = np.array([np.nan, 0.5, 0.5, np.nan, 0.1])
    still = replace(planned, index_shock=np.nan_to_num(planned.index_shock), probability=probability)
    with pytest.raises(ValueError, match="1 of 4 scenarios have no probability"):
        loss_distribution(cube(still, {}, COORDINATES))


def test_without_probabilities_there_is_no_distribution(tree):
    found = loss_distribution(tree)
    assert found.attrs["n_scenarios"] == 0
    assert all(np.isnan(values).all() for values in found.data_vars.values())
