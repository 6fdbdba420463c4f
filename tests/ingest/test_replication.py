"""Reported figures against computed ones: exact shares, what matches, which mismatches are listed."""

import time
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.books import book as minimal_book

from riskpipe.domain.replication import MAX_MISMATCHES
from riskpipe.ingest.replication import is_matched, replicate

VENUES = ("alpha", "bravo")


def book_of(rows):
    """A book of accounts (name, venue, weight, reported equity, reported maintenance margin)."""
    names, venue, weight, equity, maintenance = zip(*rows, strict=True)
    return minimal_book(
        labels={"account": names, "venue": VENUES},
        account_venue=np.array([VENUES.index(one) for one in venue], np.int32),
        account_weight=np.array(weight, float),
        account_is_lending=np.zeros(len(rows), bool),
        account_reported_equity=np.array(equity, float),
        account_reported_maintenance_margin=np.array(maintenance, float),
    )


def replicated(rows, equity, maintenance):
    return replicate(book_of(rows), equity=np.array(equity, float), maintenance_margin=np.array(maintenance, float))


def test_shares_are_by_weight_and_by_reported_amount_times_weight_for_each_venue_and_figure():
    rows = [
        ("a", "alpha", 3.0, 1_000.0, 10.0),
        ("b", "alpha", 1.0, -5_000.0, 0.0),
        ("c", "alpha", 6.0, np.nan, 40.0),
        ("d", "bravo", 1.0, 100.0, np.nan),
        ("e", "bravo", 1.0, 300.0, np.nan),
    ]
    found = replicated(rows, [1_000.05, -5_001.0, 2_000.0, 100.0, np.nan], [10.0, 0.0, 41.0, 1.0, 1.0])
    alpha, alpha_margin, bravo, bravo_margin = found.figures
    assert [(one.venue, one.figure) for one in found.figures] == [
        (venue, figure) for venue in VENUES for figure in ("equity", "maintenance margin")
    ]
    assert (alpha.accounts, alpha.reporting, alpha.matched, alpha.n_mismatched) == (10.0, 4.0, 3.0, 1)
    assert (alpha.share_of_accounts, alpha.share_of_usd) == (0.75, 3_000.0 / 8_000.0)
    covered = 3 * 1_000.05 + 5_001.0
    assert alpha.share_reporting == pytest.approx(min(0.4, covered / (covered + 12_000.0)))
    assert (alpha_margin.share_of_accounts, alpha_margin.share_of_usd) == (0.4, 30.0 / 270.0)
    assert (bravo.share_of_accounts, bravo.share_of_usd, bravo.grade) == (0.5, 0.25, "C")
    assert (bravo_margin.reporting, bravo_margin.grade) == (0.0, "not checked")
    listed = [(one.account, one.venue, one.figure, one.weight) for one in found.mismatches]
    assert listed == [
        ("e", "bravo", "equity", 1.0),
        ("b", "alpha", "equity", 1.0),
        ("c", "alpha", "maintenance margin", 6.0),
    ]


@pytest.mark.parametrize(
    ("reported", "computed", "matches"),
    [
        (1e6, 1e6 * (1 + 0.999e-4), True),
        (1e6, 1e6 * (1 + 1.001e-4), False),
        (-1e6, -1e6 * (1 - 0.999e-4), True),
        (-1e6, 1e6, False),
        (5.00, 5.009, True),  # in whole cents: known to a cent
        (5.00, 5.011, False),
        (5.0012345, 5.0012345 * (1 + 2e-4), False),  # not in whole cents: known better
        (0.0, 0.0, True),
        (0.0, -0.009, True),
        (0.0, 1.0, False),
        (7.0, np.nan, False),
        (1e308, 1e308, True),
    ],
)
def test_matched_is_one_bp_of_the_reported_or_a_cent_of_whole_cents(reported, computed, matches):
    assert is_matched(np.array([reported]), np.array([computed])).tolist() == [matches]


def test_small_accounts_that_report_do_not_stand_for_large_ones_that_do_not():
    rows = [(f"a{n}", "alpha", 1.0, 10.0, 1.0) for n in range(9)] + [("whale", "alpha", 2.0, np.nan, 1.0)]
    equity, margin = replicated(rows, [10.0] * 9 + [-100.0], [1.0] * 10).figures
    assert equity.share_reporting == 90.0 / 290.0
    assert (equity.share_of_accounts, equity.share_of_usd, equity.grade) == (1.0, 1.0, "not checked")
    assert (margin.share_reporting, margin.grade) == (1.0, "A")


def test_equal_mismatches_are_listed_in_order_of_the_account():
    rows = [(f"a{n:02}", "alpha", 1.0, 100.0, 1.0) for n in reversed(range(30))]
    found = replicated(rows, [200.0] * 30, [1.0] * 30)
    assert [one.account for one in found.mismatches] == [f"a{n:02}" for n in range(MAX_MISMATCHES)]


def test_a_venue_without_accounts_enters_nothing():
    found = replicated([("a", "bravo", 1.0, 10.0, 1.0)], [10.0], [1.0])
    assert found.venues == ("bravo",)
    assert found.grade() == "A"


def test_lending_accounts_have_no_maintenance_margin_unless_they_report_one():
    rows = [("a", "alpha", 1.0, 10.0, np.nan), ("b", "alpha", 1.0, 20.0, np.nan), ("c", "bravo", 1.0, 30.0, 3.0)]
    is_lending = np.array([True, True, False])

    def found(book):
        computed = {"equity": np.array([10.0, 20.0, 30.0]), "maintenance_margin": np.array([0.0, 0.0, 3.0])}
        return replicate(replace(book, account_is_lending=is_lending), **computed)

    only = found(book_of(rows))
    assert [(one.venue, one.figure) for one in only.figures] == [
        ("alpha", "equity"),
        ("bravo", "equity"),
        ("bravo", "maintenance margin"),
    ]
    assert (only.grade(["alpha"]), only.grade()) == ("A", "A")
    reporting = found(book_of([("a", "alpha", 1.0, 10.0, 5.0), *rows[1:]]))
    margin = next(one for one in reporting.of_venue("alpha") if one.figure == "maintenance margin")
    assert (margin.accounts, margin.reporting, margin.grade) == (1.0, 1.0, "C")


def test_at_most_twenty_mismatches_are_listed_half_for_each_figure_or_more_where_the_other_has_fewer():
    rows = [(f"a{n:03}", "alpha", 1.0 + n % 2, 1_000.0 + n, 100.0) for n in range(100)]
    equity = [row[3] + 1.0 + n // 2 for n, row in enumerate(rows)]

    def count(margins):
        found = replicated(rows, equity, margins)
        assert len(found.mismatches) == MAX_MISMATCHES
        return sum(one.figure == "equity" for one in found.mismatches)

    assert count([200.0] * 100) == 10
    assert count([200.0] * 3 + [100.0] * 97) == 17
    found = replicated(rows, equity, [100.0] * 100)
    sizes = [abs(one.difference) * one.weight for one in found.mismatches]
    assert len(sizes) == MAX_MISMATCHES
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == max((1.0 + n // 2) * (1.0 + n % 2) for n in range(100))
    assert found.figures[0].n_mismatched == 100


AMOUNTS = st.one_of(st.just(0.0), st.floats(100.0, 1e9), st.floats(-1e9, -100.0))
ACCOUNT = st.tuples(
    st.sampled_from(VENUES),
    st.integers(1, 50),
    st.one_of(AMOUNTS, st.just(np.nan)),
    st.one_of(st.floats(100.0, 1e6), st.just(np.nan)),
    st.sampled_from([0.0, 0.5e-4, 2e-4, -0.3, np.nan]),
    st.sampled_from([0.0, -0.5e-4, 0.01]),
)


def case(accounts):
    rows = [(f"a{n}", venue, weight, *reported) for n, (venue, weight, *reported, _, _) in enumerate(accounts)]
    errors = np.array([row[4:] for row in accounts])
    reported = np.array([row[2:4] for row in accounts])
    computed = np.where(np.isnan(reported), 5_000.0, reported * (1.0 + errors))
    return book_of(rows), computed[:, 0], computed[:, 1]


def shares(found):
    return [(one.venue, one.figure, one.share_of_accounts, one.share_of_usd, one.grade) for one in found.figures]


def assert_alike(one, other):
    assert len(one) == len(other)
    for first, second in zip(one, other, strict=True):
        assert (first[:2], first[4]) == (second[:2], second[4])
        np.testing.assert_allclose(first[2:4], second[2:4], rtol=1e-12)


@given(st.lists(ACCOUNT, min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_the_order_of_accounts_changes_nothing(accounts, random):
    book, equity, margin = case(accounts)
    order = np.array(random.sample(range(len(accounts)), len(accounts)))
    names = book.names("account")
    fields = ("account_venue", "account_weight", "account_reported_equity", "account_reported_maintenance_margin")
    shuffled = replace(
        book,
        labels={**book.labels, "account": pa.array([names[n] for n in order], pa.string())},
        **{name: getattr(book, name)[order] for name in fields},
    )
    found = replicate(book, equity=equity, maintenance_margin=margin)
    other = replicate(shuffled, equity=equity[order], maintenance_margin=margin[order])
    assert_alike(shares(found), shares(other))
    assert repr(found.mismatches) == repr(other.mismatches)  # NaN is written alike


@given(st.lists(ACCOUNT, min_size=1, max_size=40), st.sampled_from([2.0, 1_024.0, 3.0, 1e6]))
def test_scaling_all_money_changes_no_share_where_a_cent_is_below_a_basis_point(accounts, factor):
    book, equity, margin = case(accounts)
    scaled = replace(
        book,
        account_reported_equity=book.account_reported_equity * factor,
        account_reported_maintenance_margin=book.account_reported_maintenance_margin * factor,
    )
    found = replicate(book, equity=equity, maintenance_margin=margin)
    other = replicate(scaled, equity=equity * factor, maintenance_margin=margin * factor)
    assert_alike(shares(found), shares(other))
    assert [one.account for one in found.mismatches] == [one.account for one in other.mismatches]


def test_a_million_accounts_take_well_under_a_second():
    n = 1_000_000
    rng = np.random.default_rng(5)
    equity = rng.lognormal(8.0, 2.0, n)
    reported = np.where(rng.random(n) < 0.97, equity, equity * 1.001)
    book = minimal_book(
        labels={"account": [f"a{row}" for row in range(n)], "venue": VENUES},
        account_venue=rng.integers(0, 2, n).astype(np.int32),
        account_weight=np.ones(n),
        account_is_lending=np.zeros(n, bool),
        account_reported_equity=reported,
        account_reported_maintenance_margin=reported * 0.01,
    )
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        found = replicate(book, equity=equity, maintenance_margin=equity * 0.01)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1.0
    assert found.grade() == "B"
    assert len(found.mismatches) == MAX_MISMATCHES
