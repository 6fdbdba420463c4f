import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.hand_made import hand_made, index_cube

from riskpipe.measures.funds import exhaustion, fund_losses, uncovered_loss, volatility


def found(tree, direction):
    one = exhaustion(tree).isel(fund=0, variant=0).sel(direction=direction)
    numbers = [float(one[name]) for name in ("last_held", "first_exhausted", "heals_at")]
    return [None if np.isnan(value) else value for value in numbers], str(one["status"].values)


SHOCKS = [-0.4, -0.3, -0.2, -0.1, 0.0, 0.1, 0.2]


@pytest.mark.parametrize(
    ("uncovered", "down", "up"),
    [
        ([9, 9, 0, 0, 0, 0, 5], [-0.2, -0.3, None], [0.1, 0.2, None]),
        ([0, 9, 0, 0, 0, 0, 0], [-0.2, -0.3, -0.4], [0.2, None, None]),  # heals further out
        ([9, 0, 9, 0, 0, 0, 0], [-0.1, -0.2, -0.3], [0.2, None, None]),
        ([0, 0, 0, 0, 9, 0, 9], [None, 0.0, -0.1], [None, 0.0, 0.1]),
        ([0, 0, 0, 0, 0, 0, 0], [-0.4, None, None], [0.2, None, None]),
    ],
)
def test_the_bracket_is_the_last_value_that_holds_and_the_first_that_does_not(uncovered, down, up):
    tree = index_cube(SHOCKS, uncovered)
    assert found(tree, "down")[0] == down
    assert found(tree, "up")[0] == up


def test_the_order_of_the_axis_in_the_file_does_not_matter():
    order = [3, 0, 6, 2, 5, 1, 4]
    uncovered = [9, 9, 0, 0, 0, 0, 5]
    tree = index_cube([SHOCKS[k] for k in order], [uncovered[k] for k in order])
    assert found(tree, "down")[0] == [-0.2, -0.3, None]


@pytest.mark.parametrize(
    ("shocks", "uncovered", "status"),
    [
        ([0.0, 0.1], [0, 0], "the grid has no shock in this direction"),
        ([-0.1, 0.1], [9, 0], "exhausted at the grid's smallest shock"),
        ([-0.1, 0.0], [0, 0], "not on the index axis with other axes neutral"),
        ([-0.1, 0.0], [0, 9], "exhausted without a shock"),
    ],
)
def test_a_walk_without_a_bracket_says_why(shocks, uncovered, status):
    assert found(index_cube(shocks, uncovered), "down")[1] == status


@given(st.lists(st.booleans(), min_size=1, max_size=9))
def test_a_bracket_holds_inside_and_breaks_outside(flags):
    shocks = [-0.1 * k for k in range(len(flags))]
    (last, first, _), _ = found(index_cube(shocks, [5.0 * flag for flag in flags]), "down")
    if first is None:
        assert not any(flags)
    else:
        place = shocks.index(first)
        assert flags[place]
        assert not any(flags[:place])
        assert last == (shocks[place - 1] if place else None)


def test_a_plane_off_neutral_is_named():
    tree = hand_made({"index_shock": [-0.1, 0.0], "depth_factor": [0.5, 0.1]})
    assert "depth_factor 0.5" in exhaustion(tree).attrs["plane"]


def test_rounding_of_a_fund_that_pays_everything_does_not_exhaust_it():
    shortfall = 0.1 + 0.2  # 0.30000000000000004
    tree = index_cube([0.0], [shortfall], fund_used=[0.3])
    assert uncovered_loss(tree)[0, 0] == 0.0
    assert not fund_losses(tree)["is_exhausted"].values.any()


def test_uncovered_loss_is_what_the_later_stages_bear(measures):
    losses = measures["fund_losses"]
    later = losses["adl_loss"] + losses["socialised_loss"] + losses["residual"]
    np.testing.assert_allclose(losses["uncovered_loss"], later, rtol=1e-12, atol=1e-6)


def test_the_drawdown_of_an_empty_fund_is_not_a_number():
    tree = hand_made({"index_shock": [0.0]})
    assert np.isnan(fund_losses(tree)["drawdown"].values).all()


def test_cells_off_the_axis_that_exhaust_are_counted_and_volatility_does_not_multiply_them():
    axes = {"index_shock": [0.0, 0.1], "vol_shock": [0.0, 1.0], "depth_factor": [1.0, 0.1]}
    shape = hand_made(axes)["system"].to_dataset()
    loss = 9.0 * ((shape["index_shock"].values > 0) & (shape["depth_factor"].values < 1))
    one = exhaustion(hand_made(axes, {"funds/shortfall": loss[:, None]})).isel(fund=0, variant=0).sel(direction="up")
    assert np.isnan(float(one["first_exhausted"]))
    assert (int(one["n_cells_exhausted"]), int(one["n_cells"])) == (1, 4)


def test_volatility_alone_is_told_only_where_it_changes_a_number():
    axes = {"index_shock": [0.0, -0.2], "vol_shock": [0.5, 0.0, -0.3]}  # in this order, volatility fastest
    told = volatility(hand_made(axes, {"funds/shortfall": np.array([[9.0], [0.0], [1.0], [99.0], [0.0], [0.0]])}))
    assert told["vol_shock"].values.tolist() == [-0.3, 0.0, 0.5]
    assert told["uncovered_loss"].values.tolist() == [[[1.0], [0.0], [9.0]]]
    same = volatility(hand_made(axes, {"funds/shortfall": np.array([[3.0]] * 3 + [[99.0]] * 3)}))
    assert same.sizes["vol_shock"] == 0
