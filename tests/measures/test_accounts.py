import numpy as np
import pytest
from support.hand_made import hand_made

from riskpipe.measures.accounts import NEVER, NOW, distances
from riskpipe.measures.concentration import account_concentration, entity_concentration, shortfall_owners


def test_every_account_stands_in_one_bin_of_each_direction(tree, measures):
    accounts = tree["accounts"].to_dataset()
    binned = measures["distances"]
    whole = {"accounts": accounts["weight"], "equity": accounts["equity"] * accounts["weight"]}
    for name, expected in whole.items():
        for direction in ("down", "up"):
            np.testing.assert_allclose(float(binned[name].sel(direction=direction).sum()), float(expected.sum()))


def test_bins_are_closed_on_the_far_side():
    names = [f"a{n}" for n in range(5)]
    values = {
        "accounts/distance_to_liquidation_down": np.array([0.0, 0.01, 0.010001, np.nan, 1.5]),
        "accounts/venue": np.array(["alpha"] * 5, object),
    }
    binned = distances(hand_made({"index_shock": [-1.5, 0.2]}, values, account=names))
    one = binned["accounts"].sel(direction="down", venue="alpha").to_series()
    assert [one[NOW], one["0% to 1%"], one["1% to 2%"], one[NEVER], one["100% to 150%"]] == [1, 1, 1, 1, 1]


def test_bins_end_at_the_furthest_move_searched_in_each_direction():
    binned = distances(hand_made({"index_shock": [-0.35, 0.0, 0.12]}))
    bins = binned["bin"].values.tolist()
    assert bins[-2:] == ["30% to 35%", NEVER]
    up = [
        name
        for name, is_searched in zip(bins, binned["is_searched"].sel(direction="up").values, strict=True)
        if is_searched
    ]
    assert up[-2:] == ["10% to 12%", NEVER]


def test_pseudo_accounts_stay_out_of_the_list_and_in_the_total():
    values = {
        "accounts/equity": np.array([5.0, 3.0, 100.0, -7.0]),
        "accounts/weight": np.array([1.0, 1.0, 20.0, 1.0]),
    }
    top = account_concentration(hand_made({"index_shock": [0.0]}, values, account=list("abcd")), 3)
    equity = top.sel(quantity="equity")
    assert equity["account"].values.tolist() == ["a", "b", ""]
    assert float(equity["total"]) == 2008.0
    assert int(top["n_pseudo_accounts"]) == 1


def test_an_entity_is_added_up_over_the_funds_that_list_it():
    entity, amount = np.full((1, 2, 10), -1.0), np.zeros((1, 2, 10))
    entity[0, 0, :2], amount[0, 0, :2] = [7, 4], [6.0, 5.0]
    entity[0, 1, :1], amount[0, 1, :1] = [4], [3.0]
    values = {
        "entities/entity": entity,
        "entities/entity_shortfall": amount,
        "funds/shortfall": np.array([[12.0, 4.0]]),
    }
    found = entity_concentration(hand_made({"index_shock": [0.0]}, values, fund=["f", "g"]))
    assert int(found["entity"][0]) == 4
    assert float(found["entity_share"][0]) == 0.5
    assert float(found["listed_share"][0]) == 14 / 16


def test_owners_of_the_largest_shortfall_are_added_over_funds_and_concentrated_as_they_are():
    entity, amount = np.full((2, 2, 10), -1.0), np.zeros((2, 2, 10))
    entity[0, :, :2], amount[0, :, :2] = [[7, 3], [3, 5]], [[30.0, 20.0], [25.0, 5.0]]
    values = {
        "entities/entity": entity,
        "entities/entity_shortfall": amount,
        "funds/shortfall": np.array([[60.0, 40.0], [0.0, 0.0]]),
    }
    tree = hand_made({"index_shock": [-0.2, 0.0]}, values, fund=["alpha", "alts"])
    found = shortfall_owners(tree, 4).isel(variant=0)
    assert found["entity"].values.tolist() == [3, 7, 5, -1]
    assert found["shortfall"].values.tolist() == [45.0, 30.0, 5.0, 0.0]
    assert found["share"].values.tolist() == [0.45, 0.3, 0.05, 0.0]
    assert float(found["hhi"]) == pytest.approx(45.0**2 + 30.0**2 + 5.0**2)
    assert float(found["listed_share"]) == pytest.approx(0.8)
    assert int(found["scenario"]) == 0


def test_without_a_shortfall_there_is_no_largest_entity():
    found = entity_concentration(hand_made({"index_shock": [0.0]}))
    assert int(found["entity"][0]) == -1
    assert np.isnan(found["entity_share"][0])
