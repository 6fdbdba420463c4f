"""Grades of headlines: the worst of four parts, in every form; and headlines that are not shown."""

import io
import json
import re
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from support.replications import replication

from riskpipe.domain.controls import Control
from riskpipe.ingest import controls as ingest_controls
from riskpipe.report import grade as graded
from riskpipe.report.build import build
from riskpipe.report.grade import COVERAGE, LONG_SHORT, grade_parts, headline_grade
from riskpipe.report.render import render

WHOLE = {"alpha": 1.0, "bravo": 1.0}


def instruments(report):
    return [str(name) for name in report.measures["positions"]["instrument"].values]


def controls(report, *, covered=1.0, missing=0.0):
    """Control totals of which every instrument lacks so much."""
    names = instruments(report)
    return (
        *(Control(COVERAGE, name, "ok", covered, 1.0, "") for name in names),
        *(Control(LONG_SHORT, name, "differs" if missing else "ok", 10.0, 10.0 - 10.0 * missing, "") for name in names),
    )


def with_width(report, width):
    """A report whose uncovered loss has this width over its central value, wherever it is measured."""
    ranges = report.measures["ranges"]
    changed = ranges.assign(low=ranges["low"] * 0 + 10.0, central=ranges["central"] * 0 + 10.0)
    changed = changed.assign(high=changed["central"] * (1.0 + width))
    return replace(report, measures={**report.measures, "ranges": changed})


@pytest.fixture(scope="session")
def good(night):
    """A night whose every part is as good as can be."""
    report = replace(night, replication=replication(**WHOLE), controls=controls(night))
    return with_width(report, 0.0)


def parts(report):
    return {part.name: part.grade for part in grade_parts(report)}


def test_the_controls_read_here_are_those_that_ingest_writes():
    assert (LONG_SHORT, COVERAGE) == (ingest_controls.LONG_SHORT, ingest_controls.COVERAGE)


def test_a_grade_is_that_of_its_worst_part(good):
    assert set(parts(good).values()) == {"A"}
    assert headline_grade(good) == "A"
    spoiled = {
        "replication": replace(good, replication=replication(alpha=1.0, bravo=0.96)),
        "coverage": replace(good, controls=controls(good, covered=0.96)),
        "control totals": replace(good, controls=controls(good, missing=0.04)),
        "width": with_width(good, 0.9),
    }
    for name, report in spoiled.items():
        assert {part for part, grade in parts(report).items() if grade != "A"} == {name}
        assert headline_grade(report) == "B"


@pytest.mark.parametrize(("width", "grade"), [(0.25, "A"), (0.26, "B"), (1.0, "B"), (1.01, "C")])
def test_a_wide_range_is_a_poor_grade(good, width, grade):
    assert headline_grade(with_width(good, width)) == grade


def test_more_than_the_whole_market_is_as_wrong_as_less(good):
    assert parts(replace(good, controls=controls(good, covered=1.3)))["coverage"] == "C"


def test_what_was_not_measured_is_not_checked(good, quiet):
    assert parts(replace(good, controls=()))["coverage"] == "not checked"
    assert parts(replace(good, controls=()))["control totals"] == "not checked"
    assert parts(replace(good, replication=replication()))["replication"] == "not checked"
    assert parts(quiet)["width"] == "not checked", "one variant has no width"


def test_every_headline_carries_its_grade_in_every_form(good):
    document, files = build(good), render(good)
    marked = [point for point in document.points if point.grade]
    assert len(marked) >= 4
    assert {figure.grade for figure in document.figures.figures} == {"A"}
    assert "A" in {point.grade for point in marked} <= {"A", "B"}, "a sentence is as wide as its widest number"
    page = files["index.html"].decode()
    head = page[page.index('id="know"') : page.index('<section id="liquidation"')]
    assert len(re.findall(r'<span class="mark mark-[ab]">grade ', head)) == len(marked) + len(document.figures.figures)
    lines = files["summary.md"].decode().splitlines()
    assert sum(line.endswith((" (grade A)", " (grade B)")) for line in lines) == len(marked)
    data = json.loads(files["report.json"])
    assert [point["grade"] for point in data["points"]] == [point.grade or None for point in document.points]
    assert [part["grade"] for part in data["grade"]] == ["A"] * 4
    stored = pq.read_table(io.BytesIO(files["ranges.parquet"]))["grade"].to_pylist()
    assert set(stored) == {"A"}


def test_headlines_are_suppressed_where_control_totals_fail_saying_why(good):
    report = replace(good, controls=controls(good, missing=0.2))
    document, data = build(report), json.loads(render(report)["report.json"])
    assert {figure.value for figure in document.figures.figures} == {"suppressed"}
    said = [point.text for point in document.points if "suppressed" in point.text]
    assert len(said) == 1
    assert "only 80% of open interest has its other side in the book" in said[0]
    assert not any(point.grade for point in document.points)
    assert "80%" in data["suppressed"]
    assert json.loads(render(good)["report.json"])["suppressed"] is None


def test_a_book_that_is_part_of_a_market_is_shown_with_the_grade_of_what_it_covers(good):
    report = replace(good, controls=controls(good, covered=0.3, missing=0.5))
    assert not graded.suppressed_words(report)
    assert (parts(report)["coverage"], headline_grade(report)) == ("C", "C")
    whole = [replace(one, status="not checked", value=np.nan) if one.name == COVERAGE else one
             for one in controls(good, missing=0.5)]  # fmt: skip
    assert graded.suppressed_words(replace(good, controls=tuple(whole))), "of a market that is not known it may be all"
    short = [replace(one, value=0.0) for one in controls(good, covered=0.3, missing=0.5)]
    assert graded.suppressed_words(replace(good, controls=tuple(short))), "all longs are missing"


def test_a_contract_of_little_interest_suppresses_nothing(good):
    held = good.measures["positions"]
    size = np.maximum(held["open_interest_long"].values, held["open_interest_short"].values)
    least = instruments(good)[int(np.where(size > 0.0, size, np.inf).argmin())]
    share = float(size[size > 0.0].min() / size.sum())
    assert share < 1.0 - graded.LEAST_BALANCED
    broken = [
        replace(one, status="differs", expected=0.0) if (one.name, one.subject) == (LONG_SHORT, least) else one
        for one in controls(good)
    ]
    assert not graded.suppressed_words(replace(good, controls=tuple(broken)))
