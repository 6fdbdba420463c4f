"""Replication in every form of the report: grades beside headlines, why, shares by venue, worst mismatches."""

import io
import json
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from support.replications import replication

from riskpipe.domain.replication import Mismatch, Replication
from riskpipe.report.build import build
from riskpipe.report.render import render


def why(report):
    (point,) = [point for point in build(report).points if point.text.startswith("Replication")]
    return point


def test_every_headline_carries_the_grade_in_every_form(night, files):
    document = build(night)
    graded = [point for point in document.points if point.grade]
    assert len(graded) >= 4
    assert {point.grade for point in graded} == {figure.grade for figure in document.figures.figures} == {"B"}
    assert all((point.source is None) == (point.grade == "") for point in document.points)
    page = files["index.html"].decode()
    head = page[page.index('id="know"') : page.index('<section id="liquidation"')]
    assert head.count('<span class="mark mark-b">replication B</span>') == len(graded) + len(document.figures.figures)
    lines = files["summary.md"].decode().splitlines()
    assert sum(line.endswith(" (replication B)") for line in lines) == len(graded)
    data = json.loads(files["report.json"])
    assert [point["grade"] for point in data["points"]] == [point.grade or None for point in document.points]
    assert {figure["grade"] for figure in data["key_figures"]["figures"]} == {"B"}
    assert data["replication"]["grade"] == "B"
    for name in ("ranges", "range_values"):
        assert set(pq.read_table(io.BytesIO(files[f"{name}.parquet"]))["grade"].to_pylist()) == {"B"}


def test_one_sentence_says_why_and_what_each_venue_has(night):
    assert why(night).text == (
        "Replication of every headline is B: equity on bravo is matched to 1 bp for 96.33% of accounts and 96.33% of "
        "USD, the least of any figure and venue (A takes 99%, B 95%); by venue: bravo B, alpha A."
    )
    assert why(night).tone == "warn"


@pytest.mark.parametrize(
    ("shares", "grade", "tone"),
    [
        ({"alpha": 1.0, "bravo": 0.99}, "A", "good"),
        ({"alpha": 0.2, "bravo": None}, "C", "bad"),
        ({"alpha": 1.0, "bravo": None}, "not checked", "unknown"),
        ({"alpha": None}, "not checked", "unknown"),
        ({}, "not checked", "unknown"),
    ],
)
def test_what_is_not_checked_is_never_good(night, shares, grade, tone):
    report = replace(night, replication=replication(**shares))
    point = why(report)
    assert point.text.startswith(f"Replication of every headline is {grade}: ")
    assert point.tone == tone
    assert {one.grade for one in build(report).figures.figures} == {grade}
    section = next(one for one in build(report).sections if one.name == "replication")
    assert section.blocks[0].tone == tone
    page = render(report)["index.html"].decode()
    assert ('class="mark mark-a"' in page) == (1.0 in shares.values())  # of alpha's own row, at most
    assert ("replication A</span>" in page) == (grade == "A")


def test_venues_that_report_nothing_are_named(night):
    report = replace(night, replication=replication(alpha=1.0, bravo=None))
    assert "bravo reports no equity and no maintenance margin; by venue: bravo not checked, alpha A" in why(report).text


def test_a_venue_with_approximated_rules_is_named_with_their_number(night):
    rules = {"approximated": [{"rule": "one"}, {"rule": "two"}], "rules": []}
    report = replace(night, config={"venues": {"bravo": rules, "alpha": {}, "elsewhere": rules}})
    assert why(report).text.endswith("; approximated, as the venue's file says: 2 rules of bravo.")
    table = build(report).tables()["replication"]
    columns = {one.name: one.values for one in table.columns}
    assert set(zip(columns["venue"], columns["n_approximated"], strict=True)) == {("alpha", 0), ("bravo", 2)}


def test_shares_stand_by_venue_and_figure_the_worst_first(night, files):
    stored = pq.read_table(io.BytesIO(files["replication.parquet"])).to_pylist()
    assert [(row["grade"], row["venue"], row["figure"]) for row in stored] == [
        ("B", "bravo", "equity"),
        ("B", "bravo", "maintenance margin"),
        ("A", "alpha", "equity"),
        ("A", "alpha", "maintenance margin"),
    ]
    assert [row["share_of_accounts"] for row in stored] == pytest.approx([0.9633, 0.9633, 1.0, 1.0])
    assert "| B | bravo | equity | 96.33% | 96.33% | 100% |" in files["summary.md"].decode()
    unknown = replace(night, replication=replication(alpha=None))
    row = pq.read_table(io.BytesIO(render(unknown)["replication.parquet"])).to_pylist()[0]
    assert (row["grade"], row["share_of_accounts"], row["share_of_usd"]) == ("not checked", None, None)


def test_mismatches_are_listed_to_the_cent_with_their_difference_in_usd_and_bp(night, files):
    (row,) = pq.read_table(io.BytesIO(files["replication_mismatches.parquet"])).to_pylist()
    assert (row["account"], row["venue"], row["figure"]) == ("a7", "bravo", "maintenance margin")
    assert (row["reported"], row["computed"], row["weight"]) == (12_345.67, 12_349.67, 2.0)
    assert row["difference"] == pytest.approx(4.0)
    assert row["basis_points"] == pytest.approx(4.0 / 12_345.67 * 1e4)
    assert "12,345.67" in files["index.html"].decode()
    assert "1 of 8 listed" in build(night).tables()["replication_mismatches"].caption
    nowhere = replication(Mismatch("a7", "bravo", "equity", 0.0, float("nan"), 1.0), bravo=0.5)
    page = render(replace(night, replication=nowhere))["index.html"].decode()
    assert page.count('<td class="number">n/a</td>') >= 3  # computed, and the difference in USD and in bp


def test_a_run_that_kept_no_comparison_says_so(quiet):
    assert quiet.replication == Replication()
    assert "nothing was compared" in why(quiet).text
    assert not {"replication", "replication_mismatches"} & build(quiet).tables().keys()


def test_names_of_accounts_and_venues_do_nothing_in_page_or_markdown(hostile):
    files = render(hostile)
    page = files["index.html"].decode()
    section = page[page.index('<section id="replication"') : page.index('<section id="findings"')]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in section
    assert "<script" not in section
    assert "1 rule of &lt;script&gt;" in section
    assert "<" not in files["summary.md"].decode()
    assert "\u202e" not in page
