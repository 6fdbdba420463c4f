"""Waterfalls: who pays in the worst scenarios, as measured and as drawn."""

from dataclasses import replace

import numpy as np
import pytest
from support.hand_made import hand_made

from riskpipe.domain.scenarios import Variant
from riskpipe.measures.registry import take_measures
from riskpipe.measures.waterfall import waterfalls
from riskpipe.report.build import build
from riskpipe.report.document import Chart
from riskpipe.report.sections.waterfall import PAYERS

STAGES = ("fee_offset", "fund_used", "backstop_loss", "adl_loss", "socialised_loss", "residual")


def chart_of(report):
    blocks = [block for one in build(report).sections for block in one.blocks]
    return next((one for one in blocks if isinstance(one, Chart) and one.name == "waterfall"), None)


def test_what_payers_bear_adds_up_to_the_shortfall_and_behind_the_funds_to_the_uncovered_loss(night):
    found = night.measures["waterfalls"]
    assert (found["shortfall"].values > 0.0).any()
    np.testing.assert_allclose(sum(found[name] for name in STAGES), found["shortfall"], rtol=1e-12, atol=1e-6)
    np.testing.assert_allclose(sum(found[name] for name in STAGES[3:]), found["uncovered_loss"], rtol=1e-12, atol=1e-6)


def test_the_systems_waterfall_on_the_grid_is_that_of_the_headline(night):
    found = night.measures["waterfalls"].sel(among="grid").isel(variant=0, party=0)
    headline = night.measures["headline_cells"].sel(headline="uncovered_loss")
    assert float(found["uncovered_loss"]) == float(headline["value"])
    assert int(found["scenario"]) == int(headline["scenario"])


def test_each_party_has_its_own_worst_scenario_and_a_venue_adds_up_its_funds():
    shortfall = [[1.0, 9.0, 0.0], [6.0, 1.0, 0.0], [7.0, 0.0, 0.0]]
    values = {"funds/shortfall": shortfall, "funds/residual": shortfall, "book/fund_venue": ["alpha", "alpha", "bravo"]}
    tree = hand_made({"index_shock": [-0.2, -0.1, 0.1]}, values, fund=["one", "two", "three"], venue=["alpha", "bravo"])
    found = waterfalls(tree).sel(among="grid").isel(variant=0)
    worst = dict(zip([*(found["scope"] + " " + found["place"]).values], found["scenario"].values.tolist(), strict=True))
    assert worst == {"system ": 0, "venue alpha": 0, "venue bravo": -1, "fund one": 2, "fund two": 0, "fund three": -1}
    assert found["shortfall"].values.tolist() == [10.0, 10.0, 0.0, 7.0, 9.0, 0.0]


def test_a_named_scenario_counts_among_all_scenarios_only():
    values = {"funds/shortfall": [[1.0], [5.0]]}
    tree = hand_made({"index_shock": [-0.1]}, values, historical=[("a bad day", {"index_shock": -0.5})])
    found = waterfalls(tree).isel(variant=0, party=0)
    assert found["shortfall"].sel(among="grid") == 1.0
    assert found["shortfall"].sel(among="all scenarios") == 5.0


def test_where_the_grid_moves_nothing_no_scenario_is_called_a_cell_of_it(quiet):
    values = {"funds/shortfall": [[0.0], [5.0]], "funds/residual": [[0.0], [5.0]]}
    tree = hand_made({"index_shock": [0.0]}, values, historical=[("a bad day", {"index_shock": -0.5})])
    chart = chart_of(replace(quiet, cube=tree, measures=take_measures(tree)))
    among = next(one for one in chart.table.columns if one.name == "among")
    assert set(among.values) == {"Worst of all scenarios"}


def test_the_bars_drawn_descend_from_the_shortfall_to_what_is_unpaid_in_every_row(night):
    chart = chart_of(night)
    first, *middle, last = chart.data["steps"]
    assert (first["kind"], last["name"]) == ("whole", "residual")
    whole = np.array(first["values"])
    paid = sum(np.array(one["values"]) for one in middle if one["kind"] == "paid")
    np.testing.assert_allclose(whole - paid, last["values"], rtol=1e-5, atol=1e-5 * whole.max())
    (uncovered,) = (one for one in middle if one["kind"] == "left")
    table = {one.name: one.values for one in chart.table.columns}
    np.testing.assert_allclose(uncovered["values"], table["uncovered_loss"], rtol=1e-5)
    assert set(PAYERS) <= set(table)
    assert table["of"][0] == "All funds"


def test_where_nobody_stands_behind_a_fund_uncovered_and_unpaid_are_one_bar(night):
    found = night.measures["waterfalls"]
    nobody = {name: found[name] * 0.0 for name in ("adl_loss", "socialised_loss")}
    report = replace(night, measures={**night.measures, "waterfalls": found.assign(nobody)})
    assert [one["name"] for one in chart_of(report).data["steps"]][-1] == "residual"
    assert all(one["name"] != "uncovered_loss" for one in chart_of(report).data["steps"])


@pytest.mark.parametrize("variants", [(Variant(gap_share=1.0),), (Variant(gap_share=1.0), Variant(gap_share=0.0))])
def test_where_nothing_falls_to_any_fund_there_is_no_waterfall(variants):
    found = waterfalls(hand_made({"index_shock": [-0.1, 0.0]}, variants=variants))
    assert (found["scenario"].values == -1).all()
    assert not found["shortfall"].values.any()


def test_a_quiet_night_draws_no_waterfall(quiet):
    assert chart_of(quiet) is None
