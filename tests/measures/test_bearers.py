"""Who bears auto-deleveraging, as the measure and the report tell it."""

import numpy as np
import pytest
from support.hand_made import hand_made

from riskpipe.measures.bearers import adl_bearers

NAN = np.nan


def of(**values):
    return adl_bearers(
        hand_made(
            {"index_shock": [-0.2, 0.0]}, {f"adl/{name}": np.array(value) for name, value in values.items()},
            contributor=["1", "2"], fund=["alpha", "bravo"],
        )
    )  # fmt: skip


def test_costs_of_listed_owners_others_and_several_add_up_to_all_that_is_taken():
    found = of(
        cost=[[6.0, 4.0], [60.0, 40.0]],
        entity_name=np.array([["whale", ""], ["shark", "whale"]], object),
        entity_cost=[[7.0, 0.0], [50.0, 20.0]],
        several_cost=[1.0, 30.0],
        level=[0.975, NAN],
        scenario=[NAN, 1.0],
    )
    assert found["view"].values.tolist() == ["tail", "worst"]
    assert found["total"].values.tolist() == [10.0, 100.0]
    assert found["others_cost"].values.tolist() == [2.0, 0.0]
    assert found["entity_share"].values.tolist() == [[0.7, 0.0], [0.5, 0.2]]
    assert found["scenario"].values.tolist() == [-1, 1]


def test_what_is_not_computed_is_nan_and_what_is_not_taken_has_no_shares():
    found = of(
        cost=[[NAN, NAN], [0.0, 0.0]], entity_cost=[[NAN, NAN], [0.0, 0.0]], several_cost=[NAN, 0.0], level=[NAN, NAN],
        scenario=[NAN, NAN],
    )  # fmt: skip
    tail, worst = (found.sel(view=view) for view in ("tail", "worst"))
    assert np.isnan(float(tail["total"]))
    assert np.isnan(float(tail["others_cost"]))
    assert float(worst["total"]) == 0.0
    assert np.isnan(worst["entity_share"].values).all()
    assert int(worst["scenario"]) == -1


def test_rounding_leaves_nothing_for_others():
    found = of(cost=[[0.3, 0.0]] * 2, entity_cost=[[0.1, 0.2]] * 2)
    assert found["others_cost"].values.tolist() == pytest.approx([0.0, 0.0], abs=0.0)
