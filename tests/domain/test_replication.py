"""Grades: thresholds, coverage, and the worst of what enters."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.replications import figure, replication

from riskpipe.domain.replication import Mismatch, Replication, percent, worst_grade

GRADES = st.sampled_from(["A", "B", "C", "not checked"])


@pytest.mark.parametrize(
    ("accounts", "usd", "grade"),
    [
        (1.0, 1.0, "A"),
        (0.99, 0.99, "A"),
        (0.9899, 1.0, "B"),
        (1.0, 0.9899, "B"),
        (0.95, 0.95, "B"),
        (0.9499, 1.0, "C"),
        (1.0, 0.0, "C"),
    ],
)
def test_a_grade_takes_both_shares(accounts, usd, grade):
    assert figure(accounts=accounts, usd=usd).grade == grade


def test_rounding_of_sums_costs_no_grade():
    weights = [1 / 3] * 100
    share = sum(weights[:99]) / sum(weights)
    assert share < 0.99
    assert figure(accounts=share).grade == "A"
    assert percent(share) == "99%"


def test_what_nobody_reports_is_not_checked_and_a_few_who_do_cannot_make_it_good():
    assert figure(reporting=0.0).grade == "not checked"
    assert figure(reporting=49.0).grade == "not checked"
    assert figure(reporting=50.0).grade == "A"
    assert figure(reporting=1.0, accounts=0.5).grade == "C"


def test_where_only_zeros_are_reported_accounts_alone_decide():
    assert figure(is_money=False).grade == "A"
    assert figure(is_money=False, accounts=0.96).grade == "B"
    assert math.isnan(figure(is_money=False).share_of_usd)


@given(st.lists(GRADES), st.lists(GRADES))
def test_a_grade_is_the_worst_of_all_that_enter(some, more):
    together = worst_grade([*some, *more])
    assert together == worst_grade([*more, *some])
    assert (together == "A") == (set(some + more) == {"A"})
    assert (together == "C") == ("C" in some + more)
    assert worst_grade([]) == "not checked"


def test_a_number_has_the_grade_of_the_worst_venue_that_enters_it():
    found = replication(alpha=1.0, bravo=0.97, charlie=None, delta=0.5)
    assert found.venues == ("alpha", "bravo", "charlie", "delta")
    assert found.grade(["alpha"]) == "A"
    assert found.grade(["alpha", "bravo"]) == "B"
    assert found.grade(["bravo", "charlie"]) == "not checked"
    assert found.grade() == "C"
    assert found.grade(["alpha", "unheard of"]) == "not checked"
    assert Replication().grade() == "not checked"


def test_one_figure_without_reports_leaves_its_venue_unchecked():
    both = (figure("alpha", "equity"), figure("alpha", "maintenance margin", reporting=0.0))
    assert Replication(both).grade() == "not checked"


def test_what_is_kept_reads_back_as_it_was_and_holds_no_nan():
    rows = (Mismatch("a", "alpha", "equity", 0.0, 5.0, 2.0), Mismatch("b", "alpha", "equity", 1e-320, 1e6, 2.0))
    found = replication(*rows, alpha=0.97, bravo=None)
    kept = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert Replication.from_json(kept) == found
    assert kept["grade"] == "not checked"
    assert [one["grade"] for one in kept["figures"]] == ["B", "B", "not checked", "not checked"]
    assert [one["basis_points"] for one in kept["mismatches"]] == [None, None]
    unknown = Mismatch("c", "alpha", "equity", 7.0, math.nan, 1.0)
    assert math.isnan(Replication.from_json(Replication((), (unknown,)).as_json()).mismatches[0].computed)


def test_a_difference_is_computed_less_reported_in_usd_and_in_bp_of_the_reported():
    mismatch = Mismatch("a", "alpha", "equity", -2_000.0, -2_001.0, 3.0)
    assert (mismatch.difference, mismatch.basis_points) == (-1.0, pytest.approx(-5.0))


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (1.0, "100%"),
        (0.999999, "99.99%"),
        (0.98997, "98.99%"),
        (0.99, "99%"),
        (0.57, "57%"),
        (0.0, "0%"),
        (math.nan, "n/a"),
    ],
)
def test_shares_are_rounded_down_so_that_none_looks_like_a_threshold_it_misses(share, text):
    assert percent(share) == text
