"""Numbers of the head as low, central and high."""

import re
from dataclasses import replace

import numpy as np
import pytest
from support.hand_made import hand_made

from riskpipe.domain.scenarios import Variant
from riskpipe.measures.registry import take_measures
from riskpipe.report import numbers
from riskpipe.report.build import build
from riskpipe.report.grade import width_grade
from riskpipe.report.points import fund_points, named_points, volatility_points, worst_move_point
from riskpipe.report.ranges import ONE_VARIANT, Ranged, same_cell

GAP = (Variant(gap_share=1.0), Variant(gap_share=0.0))


def with_cube(quiet, *args, **kwargs):
    tree = hand_made(*args, **kwargs)
    return replace(quiet, cube=tree, measures=take_measures(tree))


def test_a_number_is_written_with_low_and_high_only_where_variants_disagree():
    of = Ranged(["gap_share=1", "gap_share=0"])
    assert of.said(np.array([5.0, 4.0]), numbers.usd) == "USD 5 (low USD 4, high USD 5)"
    assert of.said(np.array([3.0, 3.0]), numbers.usd) == "USD 3"
    assert of.ending == "low and high over 2 variants, driven by gap_share; other numbers do not vary"
    assert of.width == pytest.approx(0.2)


def test_a_difference_that_no_digit_shows_is_not_written_as_a_range():
    of = Ranged(["kappa=1", "kappa=2"])
    assert of.said(np.array([6.031e6, 6.034e6]), numbers.usd) == "USD 6.03M"
    assert of.ending == "the same under every variant"
    assert of.width == 0.0


def test_one_variant_has_no_range_and_agreeing_variants_say_so():
    one, two = Ranged(["as configured"]), Ranged(["kappa=1", "kappa=2"])
    assert one.said(np.array([5.0]), numbers.usd) == "USD 5"
    assert one.ending == ONE_VARIANT
    assert two.said(np.array([5.0, 5.0]), numbers.usd) == "USD 5"
    assert two.ending == "the same under every variant"


def test_a_range_around_nothing_is_infinitely_wide():
    of = Ranged(["kappa=1", "kappa=2"])
    of.said(np.array([0.0, 5.0]), numbers.usd)
    assert np.isinf(of.width)
    assert width_grade(of.width) == "C"


@pytest.mark.parametrize("moves", [[np.inf, 0.1], [0.1, np.inf], [np.inf, np.inf, 0.1]])
def test_a_range_without_bound_is_infinitely_wide_whichever_variant_is_central(moves):
    of = Ranged([f"kappa={n}" for n, _ in enumerate(moves)])
    assert of.counted(np.array(moves)).is_wide
    assert np.isinf(of.width)


def test_the_same_cell_differs_in_its_variant_only(night):
    flat = night.measures["liquidation"]
    for scenario in range(flat.sizes["scenario"]):
        rows = same_cell(night, scenario)
        assert scenario in rows.tolist()
        assert flat["variant"].values[rows].tolist() == night.measures["variants"]["variant"].values.tolist()
        for axis in ("index_shock", "basis_shock", "depth_factor", "name"):
            assert len(set(flat[axis].values[rows].tolist())) == 1


def test_draws_alike_in_every_label_keep_their_order(quiet):
    report = with_cube(quiet, {"index_shock": [-0.1, -0.1]}, variants=GAP)
    assert [same_cell(report, scenario).tolist() for scenario in range(4)] == [[0, 2], [1, 3], [0, 2], [1, 3]]


def test_a_scenario_that_stands_nowhere_on_some_axis_is_found_under_every_variant(quiet):
    report = with_cube(quiet, {"index_shock": [-0.1, 0.0]}, variants=GAP)
    flat = report.measures["liquidation"].copy(deep=True)
    flat["basis_shock"] = ("scenario", np.array([np.nan, 0.0, np.nan, 0.0]))
    flat = flat.set_coords("basis_shock")
    report = replace(report, measures={**report.measures, "liquidation": flat})
    assert [same_cell(report, scenario).tolist() for scenario in range(4)] == [[0, 2], [1, 3], [0, 2], [1, 3]]


def test_the_worst_move_says_each_of_its_numbers_under_every_variant(quiet):
    values = {"system/liquidated_notional": [9.0, 0.0, 4.0, 0.0], "system/liquidated_accounts": [2.0, 0.0, 1.0, 0.0],
              "exposure/liquidated_notional_long": np.array([9.0, 0.0, 4.0, 0.0])[:, None, None],
              "funds/shortfall": [[6.0], [0.0], [7.0], [0.0]]}  # fmt: skip
    report = with_cube(quiet, {"index_shock": [-0.1, 0.0]}, values, variants=GAP)
    text = worst_move_point(report).text
    assert "2 accounts (low 1 account, high 2 accounts)" in text
    assert "USD 9 (low USD 4, high USD 9) of positions" in text
    assert "uncovered loss USD 6 (low USD 6, high USD 7); low and high over 2 variants, driven by gap_share" in text


def test_a_fund_that_another_variant_does_not_exhaust_says_so_and_has_the_lowest_grade(quiet):
    values = {"funds/shortfall": [[6.0], [0.0], [0.0], [0.0]]}
    report = with_cube(quiet, {"index_shock": [-0.1, 0.0]}, values, variants=GAP)
    first, *_ = fund_points(report)
    assert "exhausted at -10% (low -10%, high not exhausted)" in first.text
    assert first.grade == "C"


def test_a_direction_in_which_only_another_variant_exhausts_a_fund_has_the_lowest_grade_too(quiet):
    values = {"funds/shortfall": [[0.0], [0.0], [6.0], [6.0], [0.0], [6.0]]}
    report = with_cube(quiet, {"index_shock": [-0.1, 0.0, 0.1]}, values, variants=GAP)
    first, *_ = fund_points(report)
    assert "(low -10%, high not exhausted)" in first.text
    assert first.grade == "C"


def test_that_no_index_move_exhausts_a_fund_is_not_said_where_none_was_tried(quiet):
    report = with_cube(quiet, {"index_shock": [0.0]}, {"funds/shortfall": [[0.0], [0.0]]}, variants=GAP)
    values = {**report.measures, "fund_losses": report.measures["fund_losses"].assign(
        fund_balance=report.measures["fund_losses"]["fund_balance"] + 1.0)}  # fmt: skip
    (point,) = fund_points(replace(report, measures=values))
    assert "not exhausted" not in point.text
    assert "Whether an index move exhausts any of 1 fund is not checked" in point.text
    assert point.tone == "unknown"
    assert point.grade == "not checked"


def test_where_the_grid_moves_nothing_ranges_are_said_to_be_over_all_scenarios(quiet):
    values = {"funds/shortfall": [[0.0], [9.0], [0.0], [3.0]], "system/liquidated_notional": [0.0, 9.0, 0.0, 9.0]}
    past = [("a bad day", {"index_shock": -0.5})]
    report = with_cube(quiet, {"index_shock": [0.0]}, values, variants=GAP, historical=past)
    tables = build(report).tables()
    for name in ("ranges", "range_values", "variants"):
        scope = next(one for one in tables[name].columns if one.name == "scope")
        assert set(scope.values) == {"all scenarios"}
    assert "all scenarios" in tables["ranges"].caption
    assert "index axis" not in tables["ranges"].caption


def test_nothing_liquidated_is_no_good_news_where_another_variant_liquidates(quiet):
    values = {"system/liquidated_notional": [0.0, 0.0, 5.0, 0.0]}
    point = worst_move_point(with_cube(quiet, {"index_shock": [-0.1, 0.0]}, values, variants=GAP))
    assert point.text.startswith("Nothing is liquidated by any index move")
    assert "(high USD 5 under gap_share=0 path (closed on the way))" in point.text
    assert (point.tone, point.grade) == ("warn", "C")


def test_volatility_alone_is_said_under_every_variant(quiet):
    axes = {"index_shock": [0.0], "vol_shock": [0.0, 0.5]}
    values = {"funds/shortfall": [[0.0], [9.0], [0.0], [3.0]]}
    (point,) = volatility_points(with_cube(quiet, axes, values, variants=GAP))
    assert "USD 9 (low USD 3, high USD 9) at +50%; fund alpha exhausted at +50%" in point.text


def test_the_worst_named_scenario_is_said_under_every_variant(quiet):
    values = {"funds/shortfall": [[0.0], [9.0], [0.0], [3.0]]}
    past = [("a bad day", {"index_shock": -0.5})]
    (point,) = named_points(with_cube(quiet, {"index_shock": [-0.1]}, values, variants=GAP, historical=past))
    assert "uncovered loss USD 9 (low USD 3, high USD 9)" in point.text
    assert "at most" not in point.text, "the same scenario under another variant is in the range"


def test_every_graded_sentence_and_figure_has_a_range_or_says_why_not(night, quiet):
    told = re.compile(
        r"low |the same under every variant|one variant: no range|under any variant|no variant moves|is suppressed"
    )
    for report in (night, quiet):
        document = build(report)
        said = [point.text for point in document.points if point.grade]
        said += [one.note for one in document.figures.figures if one.value not in {"USD 0", "0", "n/a"}]
        assert said
        assert [text for text in said if not told.search(text)] == []
