"""Limits held against measures: the number meant is the number read, and what cannot be read is never fine."""

import math
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from riskpipe.cube.template import scenario_coordinates
from riskpipe.domain.limits import Limit
from riskpipe.domain.scenarios import Variant
from riskpipe.measures.limits import hold_against, limit_problems
from riskpipe.measures.registry import MEASURES, take_measures
from riskpipe.measures.shapes import blank_cube
from riskpipe.scenarios.grid import scenario_set

LIMIT = Limit("x", "fund_losses", "drawdown", {}, "max", "above", 0.5, 0.9, False, "desk", "call")


def measured(values):
    """Drawdown of two funds in four scenarios."""
    array = xr.DataArray(
        np.array(values, dtype=float),
        dims=("scenario", "fund"),
        coords={
            "scenario": range(4),
            "fund": ["alpha", "bravo"],
            "index_shock": ("scenario", [-0.4, -0.4, 0.1, 0.1 + 1e-15]),
            "variant": ("scenario", ["gap", "path", "gap", "path"]),
        },
        attrs={"units": "share", "sources": ["funds/fund_used"]},
    )
    return {"fund_losses": xr.Dataset({"drawdown": array})}


PLAIN = measured([[0.1, 0.2], [0.3, 0.4], [0.6, 0.95], [0.7, 0.0]])
HOLED = measured([[0.1, math.nan], [0.3, math.nan], [0.6, 0.95], [0.7, math.nan]])


def held(measures, **changes):
    (state,) = hold_against(measures, [replace(LIMIT, **changes)])
    return state


@pytest.mark.parametrize(
    ("at", "reduce", "value"),
    [
        ({}, "max", 0.95),
        ({}, "min", 0.0),
        ({"fund": ("alpha",)}, "sum", 1.7),
        ({"fund": ("alpha",)}, "mean", 0.425),
        ({"index_shock": (-0.4,)}, "max", 0.4),
        ({"index_shock": (0.1,), "fund": ("alpha",)}, "min", 0.6),
        ({"index_shock": (-0.4,), "variant": ("path",), "fund": ("alpha",)}, None, 0.3),
        ({"scenario": (2.0, 3.0), "fund": ("bravo",)}, "max", 0.95),
    ],
)
def test_the_number_is_that_of_the_labels_named(at, reduce, value):
    assert held(PLAIN, at=at, reduce=reduce).value == pytest.approx(value, abs=1e-12)


def test_the_cell_that_sets_an_extreme_is_named():
    state = held(PLAIN)
    assert state.level == "breach"
    assert state.cell == {"fund": "bravo", "scenario": 2.0, "index_shock": 0.1, "variant": "gap"}
    assert (state.n_cells, state.units, state.sources) == (8, "share", ("funds/fund_used",))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"at": {"fund": ("charlie",)}}, "no fund 'charlie'"),
        ({"at": {"fund": ("alpha", "charlie")}}, "no fund 'charlie'"),
        ({"at": {"nothing": ("alpha",)}}, "nothing is no dimension"),
        ({"at": {"index_shock": ("-40%",)}}, "no index_shock '-40%'"),
        ({"at": {"scenario": (0.0,), "variant": ("path",)}}, "never stand together"),
        ({"reduce": None}, "8 cells"),
        ({"variable": "shortfall"}, "no fund_losses/shortfall"),
        ({"measure": "other"}, "no other/drawdown"),
    ],
)
def test_what_cannot_be_read_is_not_measured_and_says_why(changes, words):
    state = held(PLAIN, **changes)
    assert state.level == "not measured"
    assert math.isnan(state.value)
    assert words in state.reason
    assert state.is_over


def test_a_cell_without_a_number_is_never_silently_fine():
    for reduce in ("max", "min", "mean", "sum"):
        state = held(HOLED, at={"index_shock": (-0.4,)}, reduce=reduce)
        assert state.level == "not measured"
        assert "2 of 4 cells" in state.reason
        assert not math.isnan(held(HOLED, at={"index_shock": (-0.4,)}, reduce=reduce, allow_unmeasured=True).value)
    assert held(HOLED).level == "breach"  # by a cell that is known, whatever the others are
    assert held(HOLED, reduce="sum", breach=0.1, warn=None).level == "not measured"
    none = held(HOLED, at={"index_shock": (-0.4,), "fund": ("bravo",)}, allow_unmeasured=True)
    assert none.level == "not measured"


def test_a_level_that_a_sum_reaches_on_paper_is_reached():
    assert 0.3 + 0.6 < 0.9, "by rounding"
    tenths = measured([[0.3, 0.0], [0.6, 0.0], [0.0, 0.0], [0.0, 0.0]])
    assert held(tenths, reduce="sum").level == "breach"
    assert held(tenths, reduce="sum", breach=0.9 + 1e-9).level == "warn"


@pytest.mark.parametrize(("reduce", "direction"), [("min", "above"), ("max", "below")])
def test_the_mildest_cell_breaches_nothing_while_another_without_a_number_may_be_milder(reduce, direction):
    every_known_cell_is_over = (
        {"breach": 0.05, "warn": None} if direction == "above" else {"breach": 0.99, "warn": None}
    )
    state = held(HOLED, reduce=reduce, direction=direction, **every_known_cell_is_over)
    assert state.level == "not measured"
    assert "3 of 8" in state.reason
    fine = held(HOLED, reduce=reduce, direction=direction, allow_unmeasured=True, **every_known_cell_is_over)
    assert fine.level == "breach"


@pytest.fixture(scope="module")
def shapes():
    grid = {"index_shock": [-0.4, 0.0], "basis_shock": [0.0], "vol_shock": [0.0], "depth_factor": [1.0, 0.2]}
    scenarios = scenario_set(grid, [], (Variant(gap_share=1.0), Variant(gap_share=0.0)), n_simulated=2)
    return take_measures(blank_cube(scenario_coordinates(scenarios), scenarios.sets))


def test_every_measure_can_be_taken_of_a_blank_cube(shapes):
    assert shapes.keys() == MEASURES.keys()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"measure": "fund_loses"}, "did you mean 'fund_losses'"),
        ({"variable": "drawdwn"}, "did you mean 'drawdown'"),
        ({"measure": "exhaustion", "variable": "status"}, "no number 'status'"),
        ({"at": {"fnd": ("alpha",)}}, "did you mean 'fund'"),
        ({"at": {"variant": ("gap_share=2",)}}, "no variant 'gap_share=2'"),
        ({"at": {"index_shock": (-0.3,)}}, "no index_shock -0.3"),
        ({"reduce": None}, "more than one cell"),
        ({"reduce": None, "at": {"fund": ("alpha",)}}, "name scenario in `at`"),
    ],
)
def test_what_is_wrong_with_the_wording_is_known_beforehand(shapes, changes, words):
    (problem,) = limit_problems([replace(LIMIT, **changes)], shapes)
    assert problem.startswith("risk_limits.x: ")
    assert words in problem


@pytest.mark.parametrize(
    "changes",
    [
        {"at": {"fund": ("whatever the data say",)}},
        {"reduce": None, "at": {"fund": ("alpha",), "scenario": (3.0,)}},
        {"measure": "ranges", "variable": "high", "reduce": None,
         "at": {"headline": ("uncovered_loss",), "scope": ("grid",)}},
        {"measure": "loss_distribution", "variable": "expected_shortfall", "reduce": None,
         "at": {"scope": ("system",), "headline": ("shortfall",), "level": (0.99,), "variant": ("gap_share=1",)}},
        {"measure": "exhausting_moves", "variable": "first_exhausted", "at": {"mover": ("SOL",)}, "reduce": "min"},
        {"measure": "worst_cells", "variable": "uncovered_loss", "at": {"index_shock": (-0.123,)}},
        {"measure": "worst_index_move", "variable": "uncovered_loss", "reduce": None},
        {"measure": "volatility", "variable": "uncovered_loss"},
    ],
)  # fmt: skip
def test_what_only_the_data_can_tell_is_no_problem_beforehand(shapes, changes):
    assert limit_problems([replace(LIMIT, **changes)], shapes) == []
