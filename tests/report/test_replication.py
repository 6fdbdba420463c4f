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
    """What the section says first."""
    (section,) = [one for one in build(report).sections if one.name == "replication"]
    return section.blocks[0]


def test_one_sentence_says_why_and_what_each_venue_has(night):
    assert why(night).text == (
        "Replication is B: equity on bravo is matched to 1 bp for 96.33% of accounts and 96.33% of USD, the least of "
        "any; by venue: bravo B, alpha A."
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
    assert why(report).text.startswith(f"Replication is {grade}: ")
    assert why(report).tone == tone
    assert json.loads(render(report)["report.json"])["replication"]["grade"] == grade


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
