"""Loans in the report: what to know first, the frontier, the venues, and debt under water along the index."""

import io
import re
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from support.loan_cubes import HandLoan, loan_cube

from riskpipe.measures.registry import take_measures
from riskpipe.report.build import build
from riskpipe.report.document import Chart
from riskpipe.report.render import render

SAFE = HandLoan(2_000.0, 0.8, 0.05, 1_000.0, venue="bravo")
TIGHT = HandLoan(1_300.0, 0.8, 0.05, 1_000.0, weight=3.0)
LATE = HandLoan(1_040.0, 0.8, 0.05, 1_000.0)
GREEDY = HandLoan(1_090.0, 0.95, 0.1, 1_000.0)  # toxic, and healthy
AXES = {"index_shock": [-0.4, -0.2, 0.0]}


def with_book(report, loans, **changes):
    tree = loan_cube(loans, axes=AXES, **changes)
    return replace(report, cube=tree, measures=take_measures(tree))


def section_of(report):
    return next(section for section in build(report).sections if section.name == "loans")


def first_words(report):
    (point,) = [one for one in build(report).points if "toxic" in one.text]
    return point


def test_a_book_without_loans_has_no_section_and_no_point_about_them(quiet):
    document = build(quiet)
    assert "loans" not in [section.name for section in document.sections]
    assert not [point for point in document.points if "toxic" in point.text]


def test_the_first_sentence_says_how_much_is_toxic_now_and_what_that_means(quiet):
    report = with_book(quiet, [SAFE, TIGHT, LATE])
    assert first_words(report).text == (
        "USD 1K of USD 5K of debt (20%) is toxic at the snapshot's prices (no variant moves this): the collateral is "
        "worth less than the debt with the liquidator's bonus, so that liquidating it all leaves debt unpaid; it can "
        "be liquidated now. A fall "
        "of all collateral by 20%, debts unchanged, would make another USD 3K toxic."
    )
    assert section_of(report).blocks[0].text == first_words(report).text


@pytest.mark.parametrize(
    ("loans", "tone", "words"),
    [
        ([SAFE], "good", "None of USD 1K of debt is toxic at the snapshot's prices"),
        ([SAFE], "good", "by 20%, debts unchanged, would make none of it toxic."),
        ([SAFE, TIGHT], "plain", "would make USD 3K of it toxic."),
        ([SAFE, GREEDY], "warn", "none of it can be liquidated yet"),
        ([GREEDY, LATE], "bad", "USD 1K of it can be liquidated now"),
        ([HandLoan(1e8, 0.8, 0.05, 1e7), LATE], "warn", "(0.01%) is toxic"),
        ([GREEDY, LATE], "bad", "would make no more of it toxic."),
    ],
)
def test_toxic_debt_that_can_be_liquidated_is_bad_and_none_within_the_fall_is_good(quiet, loans, tone, words):
    point = first_words(with_book(quiet, loans))
    assert point.tone == tone
    assert words in point.text


def test_the_section_says_what_the_static_check_leaves_out(quiet):
    text = section_of(with_book(quiet, [TIGHT])).blocks[1].text
    for words in (
        "no cascade",
        "no slippage",
        "its debt stays",
        "all that it holds falls by the same fraction",
        "not what would be lost",
    ):
        assert words in text


def test_the_frontier_holds_the_measure_in_page_and_file(quiet):
    report = with_book(quiet, [SAFE, TIGHT, LATE])
    files = render(report)
    stored = pq.read_table(io.BytesIO(files["loan_frontier.parquet"])).to_pydict()
    whole = report.measures["loans"].sum("venue")
    assert stored["fall"] == report.measures["loans"]["fall"].values.tolist()
    for name in ("liquidatable_debt", "toxic_debt", "liquidatable_toxic_debt", "toxic_accounts"):
        assert stored[name] == whole[name].values.tolist()
    assert stored["toxic_share"] == [debt / 5_000.0 for debt in stored["toxic_debt"]]
    page = files["index.html"].decode()
    assert '<section id="loans"' in page
    assert "USD 4K" in page


def test_the_stacked_parts_hold_every_loan_once(quiet):
    report = with_book(quiet, [SAFE, TIGHT, LATE, GREEDY])
    taken = report.measures["loans"]
    stored = pq.read_table(io.BytesIO(render(report)["loan_frontier_venues.parquet"])).to_pydict()
    only, both, toxic = (stored[name] for name in ("liquidatable_only", "both", "toxic_only"))
    assert [a + b for a, b in zip(only, both, strict=True)] == taken["liquidatable_debt"].values.reshape(-1).tolist()
    assert [a + b for a, b in zip(toxic, both, strict=True)] == taken["toxic_debt"].values.reshape(-1).tolist()
    assert max(only) > 0.0
    assert max(both) > 0.0
    assert max(toxic) > 0.0


def test_underwater_debt_is_drawn_along_the_index_and_in_words_where_there_is_none(quiet):
    drawn = {one.name: one for one in section_of(
        with_book(quiet, [TIGHT], **{"system/underwater_debt": [70.0, 7.0, 0.0]})
    ).blocks if isinstance(one, Chart)}  # fmt: skip
    chart = drawn["underwater_debt"]
    assert chart.data["x"]["values"] == [-0.4, -0.2, 0.0]
    assert chart.data["series"][0]["values"] == [70.0, 7.0, 0.0]
    none = section_of(with_book(quiet, [TIGHT])).blocks[-1]
    assert "No index move of the grid leaves debt beyond its collateral" in none.text


def test_hostile_venue_names_do_nothing(quiet):
    names = ("<script>alert(1)</script>", "a|b](http://evil.example)")
    loans = [HandLoan(1_300.0, 0.8, 0.05, 1_000.0, venue=name) for name in names]
    files = render(with_book(quiet, loans))
    page, summary = files["index.html"].decode(), files["summary.md"].decode()
    shown = page[page.index('<section id="loans"') :]
    assert names[0] not in page
    assert "&lt;script&gt;alert(1)" in shown
    assert "<script>" not in summary
    assert not re.search(r"(?<!\\)\]\(", summary)
