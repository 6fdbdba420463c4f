"""Funds against their largest owners, against the tail of losses, and over depth."""

from dataclasses import replace

import numpy as np
import pytest
from strategies import random_case
from support.cubes import cube, kernel_cube
from support.hand_made import COORDINATES, hand_made

from riskpipe.domain.scenarios import Variant
from riskpipe.measures.adequacy import adl_cost, cover, exhaustion_by_depth, fund_tail
from riskpipe.measures.distribution import tail_mean
from riskpipe.measures.funds import exhaustion
from riskpipe.scenarios.grid import scenario_set

VARIANTS = (Variant(gap_share=1.0), Variant(gap_share=0.0))


@pytest.fixture(scope="module")
def simulated_tree():
    planned = scenario_set({"index_shock": [-0.4, 0.0]}, [], VARIANTS, n_simulated=80)
    rng = np.random.default_rng(1)
    shocks = np.where(np.isnan(planned.index_shock), np.tile(rng.normal(0, 0.2, 82), 2), planned.index_shock)
    return kernel_cube(random_case(3, n_accounts=60), replace(planned, index_shock=shocks))


def test_cover_is_the_scenario_in_which_the_fund_is_smallest_against_its_largest_owners():
    shortfall = np.zeros((3, 1, 10))
    shortfall[:, 0, :3] = [[50.0, 10.0, 5.0], [40.0, 40.0, 40.0], [0.0, 0.0, 0.0]]
    entity = np.full((3, 1, 10), -1.0)
    entity[:2, 0, :3] = [[4, 2, 1], [3, 4, 5]]
    values = {
        "entities/entity_shortfall": shortfall,
        "entities/entity": entity,
        "funds/fund_balance": np.array([[60.0], [60.0], [60.0]]),
    }
    found = cover(hand_made({"index_shock": [-0.2, -0.1, 0.0]}, values)).isel(fund=0, variant=0).sel(set="grid")
    assert found["ratio"].values.tolist() == [60.0 / 50.0, 60.0 / 80.0], "Cover-2 is not set by the scenario of Cover-1"
    assert found["scenario"].values.tolist() == [0, 1]
    assert found["owners_shortfall"].values.tolist() == [50.0, 80.0]
    assert found["entity"].values.tolist() == [4, 3]


def test_a_fund_without_a_shortfall_has_no_cover_and_an_empty_fund_covers_nothing():
    nothing = cover(hand_made({"index_shock": [-0.1, 0.0]})).isel(fund=0, variant=0).sel(set="grid", owners=1)
    assert np.isnan(float(nothing["ratio"]))
    assert (int(nothing["scenario"]), int(nothing["entity"])) == (-1, -1)
    held = {"funds/fund_balance": np.array([[5.0], [6.0]])}
    unused = cover(hand_made({"index_shock": [-0.1, 0.0]}, held)).isel(fund=0, variant=0).sel(set="grid", owners=1)
    assert (float(unused["ratio"]), float(unused["owners_shortfall"])) == (np.inf, 0.0), "no limit below it is reached"
    owed = np.zeros((2, 1, 10))
    owed[:, 0, 0] = [3.0, 7.0]
    empty = cover(hand_made({"index_shock": [-0.1, 0.0]}, {"entities/entity_shortfall": owed})).isel(fund=0, variant=0)
    one = empty.sel(set="grid", owners=1)
    assert (float(one["ratio"]), int(one["scenario"])) == (0.0, 1), "of equal ratios, where most is owed"


def test_who_bears_the_tail_adds_up_to_its_expected_shortfall(simulated_tree):
    found = fund_tail(simulated_tree)
    assert (found["expected_shortfall"] > 0.0).any()
    np.testing.assert_allclose(found["borne"].sum("payer"), found["expected_shortfall"], rtol=1e-12, atol=1e-6)
    funds = simulated_tree["funds"].to_dataset()
    rows = np.flatnonzero(
        (funds["set"].values == "simulated") & (funds["variant"].values == funds["variant"].values[0])
    )
    losses = funds["shortfall"].values[rows, 0]
    expected = tail_mean(losses, np.ones(len(rows)), 0.95)
    assert float(found["expected_shortfall"].isel(fund=0, variant=0).sel(level=0.95)) == pytest.approx(expected)
    balance = funds["fund_balance"].values[rows, 0]
    in_tail = float(found["fund_balance"].isel(fund=0, variant=0).sel(level=0.95))
    assert balance.min() * (1 - 1e-12) <= in_tail <= balance.max() * (1 + 1e-12)


def test_the_fund_in_the_tail_is_what_it_is_worth_in_those_scenarios():
    planned = scenario_set({"index_shock": [0.0]}, [], (Variant(),), n_simulated=100)
    worth = np.append(500.0, 200.0 - np.arange(100.0))  # a fund in coins, worth less where more is lost
    values = {"funds/shortfall": np.append(0.0, np.arange(100.0))[:, None], "funds/fund_balance": worth[:, None]}
    still = replace(planned, index_shock=np.nan_to_num(planned.index_shock))
    one = fund_tail(cube(still, values, COORDINATES)).isel(fund=0, variant=0).sel(level=0.95)
    assert [float(one[name]) for name in ("expected_shortfall", "fund_balance", "fund_over_shortfall")] == (
        pytest.approx([97.0, 103.0, 103.0 / 97.0])
    )


def test_a_fund_to_which_nothing_falls_is_larger_than_any_tail():
    planned = scenario_set({"index_shock": [0.0]}, [], (Variant(),), n_simulated=100)
    still = replace(planned, index_shock=np.nan_to_num(planned.index_shock))
    nothing = {"funds/shortfall": np.zeros((101, 1))}
    for balance, ratio in ((7.0, np.inf), (0.0, np.nan)):
        values = {**nothing, "funds/fund_balance": np.full((101, 1), balance)}
        found = fund_tail(cube(still, values, COORDINATES))["fund_over_shortfall"].values
        assert np.array_equal(found, np.full(found.shape, ratio), equal_nan=True)


def test_without_probabilities_a_fund_has_no_tail(tree):
    found = fund_tail(tree)
    assert all(np.isnan(found[name].values).all() for name in found.data_vars)


def test_the_curve_over_depth_is_the_walk_at_neutral_depth_and_worse_where_books_are_thin():
    axes = {"index_shock": [-0.3, -0.2, -0.1, 0.0, 0.1], "depth_factor": [1.0, 0.5, 0.1]}
    cells = hand_made(axes)["system"].to_dataset()
    breaks = {1.0: 0.25, 0.5: 0.15, 0.1: 0.05}
    fall, depth = -cells["index_shock"].values, cells["depth_factor"].values
    lost = np.array([f > breaks[d] for f, d in zip(fall, depth, strict=True)]) * 9.0
    tree = hand_made(axes, {"funds/shortfall": lost[:, None]})
    curve = exhaustion_by_depth(tree).isel(fund=0, variant=0)
    assert curve["depth_factor"].values.tolist() == [1.0, 0.5, 0.1]
    assert curve["first_exhausted"].sel(direction="down").values.tolist() == [-0.3, -0.2, -0.1]
    assert curve["last_held"].sel(direction="down").values.tolist() == [-0.2, -0.1, 0.0]
    assert np.isnan(curve["first_exhausted"].sel(direction="up").values).all()


def test_the_curve_at_depth_one_is_the_bracket_of_the_whole_walk(tree):
    whole, curve = exhaustion(tree), exhaustion_by_depth(tree).sel(depth_factor=1.0)
    for name in ("last_held", "first_exhausted", "heals_at"):
        np.testing.assert_array_equal(whole[name], curve[name])
    np.testing.assert_array_equal(whole["status"], curve["status"])


def test_the_cost_of_adl_is_that_of_the_scenario_that_takes_most():
    values = {
        "funds/adl_loss": np.array([[10.0], [30.0], [0.0]]),
        "funds/adl_notional": np.array([[100.0], [60.0], [0.0]]),
        "funds/shortfall": np.array([[10.0], [40.0], [0.0]]),
    }
    found = adl_cost(hand_made({"index_shock": [-0.1, -0.2, 0.0]}, values)).isel(fund=0, variant=0)
    numbers = [float(found[name]) for name in ("adl_loss", "adl_notional", "loss_share", "shortfall_share")]
    assert numbers == [30.0, 60.0, 0.5, 0.75]
    assert (int(found["scenario"]), int(found["n_scenarios"])) == (1, 2)
    none = adl_cost(hand_made({"index_shock": [0.0]})).isel(fund=0, variant=0)
    assert (int(none["scenario"]), int(none["n_scenarios"])) == (-1, 0)
    assert np.isnan(float(none["loss_share"]))
