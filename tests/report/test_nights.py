"""Headlines over the last nights."""

from dataclasses import replace

from riskpipe.report.build import build
from riskpipe.report.report_input import PastNight
from riskpipe.report.sections.nights import HEADLINES

PAST = (
    PastNight("2024-08-03T00:00:00+00:00", "one", dict.fromkeys(HEADLINES, (1.0, 2.0, 3.0, "A"))),
    PastNight("2024-08-04T00:00:00+00:00", "two", {}),
)


def test_a_first_night_has_no_such_section(night):
    assert "nights" not in {section.name for section in build(night).sections}


def test_each_headline_stands_night_by_night_with_this_one_last_and_gaps_shown(night):
    table = build(replace(night, nights=PAST)).tables()["nights"]
    rows = [dict(zip((one.name for one in table.columns), row, strict=True)) for row in table.rows()]
    assert [row["run"] for row in rows] == ["one", "two", night.run_id] * len(HEADLINES)
    assert [(row["low"], row["central"], row["high"]) for row in rows[:2]] == [(1.0, 2.0, 3.0), (None, None, None)]
    assert rows[1]["grade"] == "not checked"
    assert "1 night could not be read" in table.caption
    ranges = night.measures["ranges"].sel(scope="grid", headline="shortfall")
    last = next(row for row in rows if row["run"] == night.run_id and row["headline"] == "Shortfall")
    assert last["high"] == float(ranges["high"].values)


def test_a_night_that_cannot_be_read_gives_its_chart_no_number(night):
    section = next(one for one in build(replace(night, nights=PAST)).sections if one.name == "nights")
    (chart,) = section.blocks
    assert all(series["values"][1] is None for series in chart.data["series"])
