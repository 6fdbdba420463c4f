"""Measures of what the book holds."""

import numpy as np
import pytest
from support.hand_made import hand_made

from riskpipe.domain.holdings import HOLDINGS, LEVELS
from riskpipe.measures.holdings import collateral_ratios, margin_calls, neutral_books, owners, positions


def test_a_position_is_held_against_the_side_on_which_it_is_closed():
    held = np.zeros((2, 10))
    held[0, :2] = [300.0, -100.0]
    values = {
        "book/position": held,
        "book/position_entity": np.where(held == 0.0, -1.0, 3.0),
        "book/depth_sale": np.array([10.0, 10.0]),
        "book/depth_purchase": np.array([50.0, np.nan]),
        "book/daily_volume": np.array([500.0, np.nan]),
        "book/open_interest_long": np.array([400.0, 0.0]),
        "book/open_interest_short": np.array([600.0, 0.0]),
    }
    tree = hand_made({"index_shock": [0.0]}, values, instrument=["BTC-PERP", "ETH-PERP"])
    found = positions(tree).isel(instrument=0)
    assert found["depth_multiple"].values[:2].tolist() == [30.0, 2.0], "a long sells, a short buys"
    assert found["days_to_liquidate"].values[:2].tolist() == [3.0, 1.0], "at a fifth of the volume"
    assert found["interest_share"].values[:2].tolist() == [0.5, 1.0 / 6.0]
    assert np.isnan(found["depth_multiple"].values[2:]).all()
    assert np.isnan(positions(tree).isel(instrument=1)["days_to_liquidate"].values).all()


def test_shares_of_owners_are_of_all_that_is_held(tree):
    found = owners(tree)
    assert found["holding"].values.tolist() == list(HOLDINGS)
    np.testing.assert_allclose(found["share"] * found["holding_total"], found["holding_amount"], rtol=1e-12)
    np.testing.assert_allclose(found["share"].sum("rank"), found["top_share"], rtol=1e-12)
    assert (found["top_share"] <= 1.0 + 1e-12).all()
    assert found.attrs["searched"] == {"down": 0.5, "up": 0.2}


def test_the_margin_call_ladder_is_that_of_its_cells(measures, tree):
    found, system = margin_calls(tree), tree["system"].to_dataset()
    at = found.isel(variant=0).sel(index_shock=-0.2)
    row = np.flatnonzero(
        (system["index_shock"] == -0.2) & (system["basis_shock"] == 0.0) & (system["depth_factor"] == 1.0)
    )[0]
    assert float(at["margin_call_accounts"]) == system["margin_call_accounts"].values[row]
    assert float(at["liquidated_accounts"]) == system["liquidated_accounts"].values[row]
    levels = measures["liquidation_map"]
    assert levels["level"].values.tolist() == list(LEVELS)
    assert float(levels["map_accounts"].sum()) > 0.0


def test_the_volatility_of_a_ratio_is_its_slope_times_the_simulated_deviation_and_unmeasured_without():
    values = {
        "book/equity": np.array([300.0]),
        "book/maintenance_margin": np.array([100.0]),
        "book/index_delta": np.array([-50.0]),
        "book/ratio_slope": np.full((1, 5), 2.0),
        "book/collateral_ratio": np.full((1, 5), 3.0),
    }
    without = collateral_ratios(hand_made({"index_shock": [-0.1, 0.0]}, values))
    assert float(without["ratio"].values[0]) == 3.0
    assert np.isnan(without["ratio_volatility"].values).all()
    assert np.isnan(without["account_volatility"].values).all()


def test_the_volatility_of_a_ratio_uses_probabilities():
    tree = hand_made(
        {"index_shock": [-0.1, 0.1]},
        {
            "book/equity": np.array([300.0]),
            "book/maintenance_margin": np.array([100.0]),
            "book/index_delta": np.array([-50.0]),
            "book/ratio_slope": np.full((1, 5), 2.0),
        },
    )
    system = tree["system"].to_dataset()
    names = np.array(["simulated", "simulated"], object)
    one = system.assign_coords(set=("scenario", np.array(["grid", "simulated"], object)))
    tree["system"] = one.assign_coords(probability=("scenario", np.array([np.nan, 1.0])))
    assert np.isnan(collateral_ratios(tree).attrs["index_deviation"]), "one scenario deviates from nothing"
    tree["system"] = system.assign_coords(set=("scenario", names), probability=("scenario", np.array([0.8, 0.2])))
    found = collateral_ratios(tree)
    deviation = 0.2 * np.sqrt(0.8 * 0.2)
    assert found.attrs["index_deviation"] == pytest.approx(deviation)
    assert float(found["ratio_volatility"].values[0]) == pytest.approx(0.5 * deviation)
    assert found["account_volatility"].values == pytest.approx(2.0 * deviation)


def test_margin_of_neutral_books_is_told_venue_by_venue():
    values = {
        "book/neutral_interest": np.array([200.0, 0.0]),
        "book/neutral_equity": np.array([50.0, 0.0]),
        "book/neutral_maintenance_margin": np.array([20.0, 0.0]),
        "book/neutral_nearby": np.array([[50.0, 150.0], [0.0, 0.0]]),
        "book/shared_interest": np.array([[800.0, 0.0], [0.0, 300.0]]),
    }
    found = neutral_books(hand_made({"index_shock": [0.0]}, values, venue=["alpha", "bravo"]))
    assert found["ratio"].values[0] == 2.5
    assert found["interest_share"].values.tolist() == [0.25, 0.0]
    assert found["nearby_share"].values[0].tolist() == [0.25, 0.75]
    assert np.isnan(found["nearby_share"].values[1]).all()
