"""Options and portfolio accounts: what enters a book, what is refused, and whose accounts are quarantined."""

import numpy as np
import pytest
from support.snapshot_builder import assembled, instrument, problems_of, rows, scaled_account

from riskpipe.domain.findings import Reason
from riskpipe.ingest.controls import LONG_SHORT, control_totals, gross_notional
from riskpipe.ingest.venue_tables import VenueTables

EXPIRY = "2024-09-27T08:00:00+00:00"
NAN = float("nan")


def with_options(**changes):
    """Return tables with options on both venues, held by portfolio accounts p1 (alpha) and p2, p3 (beta).

    `changes` are to the row of BTC-PUT, which pays in coins and is held by p2 and p3.
    """
    tables = scaled_account(rows(), 60)
    option = {"kind": "option", "tier_schedule": None, "expiry": EXPIRY}
    tables["instruments"] += [
        instrument("BTC-CALL", "alpha", **option, strike=6e4, option_type="call"),
        instrument("BTC-PUT", "beta", **option, strike=4.5e4, option_type="put", settlement_asset="BTC") | changes,
    ]
    tables["quotes"] += [
        {"instrument_id": "BTC-CALL", "mark_price": 900.0, "implied_vol": 0.6, "depth_usd_1pct": 1e5},
        {"instrument_id": "BTC-PUT", "mark_price": 0.012, "depth_usd_1pct": 1e5},
    ]
    for name, venue in (("p1", "alpha"), ("p2", "beta"), ("p3", "beta")):
        tables["accounts"].append({"account_id": name, "venue": venue, "kind": "margin", "margin_mode": "portfolio"})
        tables["balances"].append({"account_id": name, "asset": "USDT", "quantity": 10.0})
    for name, option_id, quantity in (("p1", "BTC-CALL", 2.0), ("p2", "BTC-PUT", 0.3), ("p3", "BTC-PUT", -0.3)):
        tables["positions"].append(
            {"account_id": name, "instrument_id": option_id, "quantity": quantity, "entry_price": 0.01}
        )
    return tables


def changed(tables, table, key, **values):
    for row in tables[table]:
        if all(row.get(name) == value for name, value in key.items()):
            row.update(values)
    return tables


ALL_RULES = {"alpha": VenueTables(portfolio=frozenset({"*"})), "beta": VenueTables(portfolio=frozenset({"BTC"}))}


def test_options_are_in_the_book_as_they_were_given(tmp_path):
    book, findings = assembled(tmp_path, with_options(), venues=ALL_RULES)
    assert not findings.items
    names, assets = book.names("instrument"), book.names("asset")
    call, put = names.index("BTC-CALL"), names.index("BTC-PUT")
    np.testing.assert_array_equal(np.flatnonzero(book.is_option), [call, put])
    np.testing.assert_array_equal(book.instrument_strike[[call, put]], [6e4, 4.5e4])
    assert np.isnan(book.instrument_strike[~book.is_option]).all()
    np.testing.assert_array_equal(np.flatnonzero(book.instrument_is_call), [call])
    np.testing.assert_array_equal(book.implied_vol[[call, put]], [0.6, NAN])
    np.testing.assert_array_equal(book.mark_price[[call, put]], [900.0, 0.012])
    assert not np.diff(book.instrument_tier_start)[[call, put]].any()
    assert np.diff(book.instrument_tier_start)[~book.is_option].all()
    accounts = np.array(book.names("account"))
    assert accounts[book.account_is_portfolio].tolist() == ["p1", "p2", "p3"]
    settled = {
        accounts[book.pool_account[pool]]: assets[
            book.slot_asset[book.pool_slot_start[pool] + book.position_slot[position]]
        ]
        for pool in range(book.n_pools)
        for position in range(book.pool_position_start[pool], book.pool_position_start[pool + 1])
        if book.is_option[book.position_instrument[position]]
    }
    assert settled == {"p1": "USDT", "p2": "BTC", "p3": "BTC"}


def test_the_notional_of_an_option_is_its_premium_and_longs_are_held_against_shorts(tmp_path):
    book, _ = assembled(tmp_path, with_options(multiplier=0.1), venues=ALL_RULES)
    on_option = book.is_option[book.position_instrument]
    # 900 USDT at 0.999 USD; 0.012 BTC at 50,000 USD
    premiums = [2.0 * 900.0 * 0.999, 0.3 * 0.1 * 0.012 * 5e4, 0.3 * 0.1 * 0.012 * 5e4]
    np.testing.assert_allclose(gross_notional(book)[on_option], premiums, rtol=1e-14)
    verdicts = {control.subject: control.status for control in control_totals(book) if control.name == LONG_SHORT}
    assert (verdicts["BTC-CALL"], verdicts["BTC-PUT"]) == ("differs", "ok")


WRONG = {
    "no strike": ({"strike": None}, "strike must be given for an option"),
    "strike NaN": ({"strike": NAN}, "strike must be given for an option"),
    "no expiry": ({"expiry": None}, "expiry must be given for an option"),
    "expired": ({"expiry": "2024-08-05T00:00:00+00:00"}, "expiry must be later than as_of"),
    "no type": ({"option_type": None}, "option_type must be given for an option"),
    "inverse": ({"is_inverse": True}, "is_inverse must be false for an option"),
    "settled elsewhere": ({"settlement_asset": "USD"}, "settlement_asset must be the underlying or the quote asset"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_held_option_that_cannot_be_priced_is_refused_and_an_unheld_one_dropped(tmp_path, case):
    changes, said = WRONG[case]
    (problem,) = problems_of(tmp_path / "held", with_options(**changes), venues=ALL_RULES)
    assert said in problem
    assert "BTC-PUT" in problem
    tables = with_options(**changes)
    tables["positions"] = [row for row in tables["positions"] if row["instrument_id"] != "BTC-PUT"]
    book, findings = assembled(tmp_path / "unheld", tables, venues=ALL_RULES)
    assert "BTC-PUT" not in book.names("instrument")
    assert [found.reason for found in findings if found.where == "instruments"] == [Reason.UNUSED_MARKET_ROW]


QUARANTINED = {
    "option of a cross account": (
        ("accounts", {"account_id": "p2"}, {"margin_mode": "cross"}), "positions", Reason.UNSUPPORTED
    ),
    "option in an isolated position": (
        ("positions", {"account_id": "p2"}, {"isolated_margin": 1.0}), "positions", Reason.UNSUPPORTED
    ),
    "loan with portfolio margin": (
        ("accounts", {"account_id": "p2"}, {"kind": "lending"}), "accounts", Reason.UNSUPPORTED
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", QUARANTINED)
def test_accounts_whose_options_are_not_computed_leave_whole(tmp_path, case):
    change, where, reason = QUARANTINED[case]
    tables = changed(with_options(), change[0], change[1], **change[2])
    book, findings = assembled(tmp_path, tables, venues=ALL_RULES)
    assert {"p1", "p3"} < set(book.names("account"))
    assert "p2" not in book.names("account")
    assert [(found.where, found.reason, found.count) for found in findings] == [(where, reason, 1)]


@pytest.mark.parametrize(
    "venues",
    [{}, {"beta": VenueTables()}, {"beta": VenueTables(portfolio=frozenset({"ETH"}))}],
    ids=["venue without configuration", "no rules", "rules of another underlying"],
)
def test_a_portfolio_account_without_rules_for_what_it_holds_is_quarantined(tmp_path, venues):
    alpha = {"alpha": VenueTables(portfolio=frozenset({"BTC"}))}
    tables = with_options()
    tables["accounts"].append({"account_id": "idle", "venue": "beta", "kind": "margin", "margin_mode": "portfolio"})
    book, findings = assembled(tmp_path, tables, venues=alpha | venues)
    assert {"p1", "idle"} < set(book.names("account")), "who holds nothing needs no rules"
    assert not {"p2", "p3"} & set(book.names("account"))
    (found,) = findings
    assert (found.reason, found.where, found.count) == (Reason.NO_PORTFOLIO_RULES, "positions", 2)
    isolated = {"account_id": "p2", "instrument_id": "BTC-INV", "isolated_margin": 1.0}
    tables["positions"] = [row for row in tables["positions"] if row["account_id"] not in {"p2", "p3"}]
    tables["positions"].append(isolated | {"quantity": 1.0, "entry_price": 5e4})
    book, findings = assembled(tmp_path / "isolated", tables, venues=alpha | venues)
    assert "p2" in book.names("account"), "isolated positions are margined by tiers"
    assert not findings.items


def test_without_any_rules_given_portfolio_accounts_stay_and_a_finding_says_that_none_was_checked(tmp_path):
    book, findings = assembled(tmp_path, with_options())
    assert book.account_is_portfolio.sum() == 3
    assert [(found.reason, found.where, found.count) for found in findings] == [
        (Reason.NOT_CHECKED, "accounts.margin_mode", 3)
    ]
    assert not assembled(tmp_path / "none", scaled_account(rows(), 60))[1].items


TIERS_NEEDED = {
    "cross pool of a portfolio account": ({"account_id": "p1"}, False),
    "isolated position of a portfolio account": ({"account_id": "p1", "isolated_margin": 500.0}, True),
    "cross account": ({"account_id": "copy-0"}, True),
}


@pytest.mark.parametrize("case", TIERS_NEEDED)
def test_tiers_are_needed_by_what_is_not_scanned_only(tmp_path, case):
    holder, is_needed = TIERS_NEEDED[case]
    tables = with_options()
    tables["instruments"].append(instrument("BTC-NEW", "alpha", tier_schedule=None))
    tables["quotes"].append({"instrument_id": "BTC-NEW", "mark_price": 5e4, "depth_usd_1pct": 1e6})
    tables["positions"] += [
        {"account_id": "p1", "instrument_id": "BTC-NEW", "quantity": 1.0, "entry_price": 5e4},
        {"instrument_id": "BTC-NEW", "quantity": -1.0, "entry_price": 5e4, **holder},
    ]
    if is_needed:
        (problem,) = problems_of(tmp_path, tables, venues=ALL_RULES)
        assert "tier_schedule must be given" in problem
        assert "BTC-NEW" in problem
        return
    book, _ = assembled(tmp_path, tables, venues=ALL_RULES)
    new = book.names("instrument").index("BTC-NEW")
    assert book.instrument_tier_start[new] == book.instrument_tier_start[new + 1]


def test_tiers_of_an_option_are_not_read_and_a_finding_says_so(tmp_path):
    book, findings = assembled(tmp_path, with_options(tier_schedule="t1"), venues=ALL_RULES)
    put = book.names("instrument").index("BTC-PUT")
    assert book.instrument_tier_start[put] == book.instrument_tier_start[put + 1]
    assert [(found.reason, found.where) for found in findings] == [(Reason.UNREAD_VALUE, "instruments")]


@pytest.mark.parametrize("route", ["quote", "volume", "table"])
def test_depth_of_an_option_comes_by_any_route_and_none_is_refused(tmp_path, route):
    tables = changed(with_options(), "quotes", {"instrument_id": "BTC-PUT"}, depth_usd_1pct=None)
    (problem,) = problems_of(tmp_path / "none", tables, venues=ALL_RULES)
    assert "no depth by any route" in problem
    assert "BTC-PUT" in problem
    own = {"quote": {"depth_usd_1pct": 7e4}, "volume": {"adv_usd": 1e6, "daily_vol": 0.5}, "table": {}}[route]
    changed(tables, "quotes", {"instrument_id": "BTC-PUT"}, **own)
    if route == "table":
        tables["depth"] += [
            {"instrument_id": "BTC-PUT", "side": side, "distance_bps": 50.0, "cumulative_usd": 3e4}
            for side in ("bid", "ask")
        ]
    book, _ = assembled(tmp_path, tables, venues=ALL_RULES)
    put = book.names("instrument").index("BTC-PUT")
    found = (book.depth_usd_1pct[put], book.adv_usd[put], book.table_depth_bid[put], book.table_depth_ask[put])
    expected = {
        "quote": (7e4, NAN, NAN, NAN),
        "volume": (NAN, 1e6, NAN, NAN),
        "table": (NAN, NAN, 6e6, 6e6),
    }[route]
    np.testing.assert_array_equal(found, expected)
