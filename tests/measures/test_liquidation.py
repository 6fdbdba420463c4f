import numpy as np
import pytest
import xarray as xr
from support.hand_made import hand_made

from riskpipe.errors import ComputeError
from riskpipe.measures.concentration import herfindahl
from riskpipe.measures.liquidation import ladder, liquidation
from riskpipe.measures.registry import take_measures
from riskpipe.measures.worst import rank_cells


def test_ladder_sums_equal_the_exposure_of_its_scenarios(tree, measures):
    steps, exposure = measures["ladder"], tree["exposure"].to_dataset()
    for side in ("long", "short"):
        whole = exposure[f"liquidated_notional_{side}"].isel(scenario=steps.attrs["scenarios"])
        np.testing.assert_allclose(float(steps[side].sum()), float(whole.sum()), rtol=1e-12)
        at = steps[side].isel(variant=0).sel(index_shock=-0.2)
        row = np.flatnonzero(
            (exposure["variant"] == exposure["variant"][0])
            & (exposure["index_shock"] == -0.2)
            & (exposure["basis_shock"] == 0.0)
            & (exposure["depth_factor"] == 1.0)
            & (exposure["set"] == "grid")
        )
        np.testing.assert_array_equal(at, exposure[f"liquidated_notional_{side}"].values[row[0]])


def test_long_and_short_add_up_to_the_notional_of_the_system(measures):
    flat = measures["liquidation"]
    np.testing.assert_allclose(
        flat["liquidated_long"] + flat["liquidated_short"], flat["liquidated_notional"], rtol=1e-9, atol=1e-6
    )


def test_amplification_is_total_over_first_round_and_undefined_where_nothing_is_closed():
    values = {
        "system/liquidated_notional": np.array([0.0, 30.0]),
        "system/first_round_notional": np.array([0.0, 10.0]),
    }
    amplification = liquidation(hand_made({"index_shock": [0.0, -0.1]}, values))["amplification"].values
    assert np.isnan(amplification[0])
    assert amplification[1] == 3.0


def test_a_cell_that_was_never_written_is_an_error_and_not_a_zero():
    tree = hand_made({"index_shock": [0.0, -0.1]}, {"exposure/liquidated_notional_long": np.array([0.0, np.nan])})
    with pytest.raises(ComputeError, match="NaN in 1 of 2"):
        ladder(tree)


def test_a_missing_variable_is_named():
    tree = hand_made({"index_shock": [0.0]})
    del tree["exposure"]["liquidated_notional_long"]
    with pytest.raises(ComputeError, match="exposure/liquidated_notional_long"):
        ladder(tree)


def test_worst_cells_are_ranked_by_loss_then_notional_and_empty_ones_left_out():
    order = rank_cells(np.array([0.0, 5, 5, 0, 9]), np.array([3.0, 1, 2, 0, 0]), np.ones(5, bool))
    assert order.tolist() == [4, 2, 1, 0]


def test_worst_cells_of_the_cube_descend(measures):
    worst = measures["worst_cells"]
    assert (np.diff(worst["uncovered_loss"]) <= 0).all()
    total = measures["fund_losses"]["uncovered_loss"].sum("fund")
    assert float(worst["uncovered_loss"][0]) == float(total.max())


@pytest.mark.parametrize(
    ("amounts", "index"), [([1.0, 0, 0], 10_000.0), ([1.0, 1, 1, 1], 2_500.0), ([3.0, 1], 6_250.0)]
)
def test_herfindahl_is_the_sum_of_squared_percentage_shares(amounts, index):
    assert herfindahl(np.array(amounts)) == pytest.approx(index, rel=1e-12)


def test_nothing_has_no_concentration():
    assert np.isnan(herfindahl(np.zeros(3)))


def test_every_measure_survives_a_cube_in_which_nothing_happens():
    for taken in take_measures(hand_made({"index_shock": [-0.1, 0.0]})).values():
        assert isinstance(taken, xr.Dataset)
