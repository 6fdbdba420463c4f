"""Lending accounts: what of them reaches the book, what quarantines them, what their assets need."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.books import book as minimal_book
from support.snapshot_builder import HEADER, arrow_table, assembled, problems_of, rows, scaled_account, write_snapshot

from riskpipe.cube.books import open_book, put_book
from riskpipe.cube.store import open_store
from riskpipe.domain.findings import Findings, Reason, Severity
from riskpipe.domain.instant import parse_as_of
from riskpipe.domain.snapshot import Snapshot
from riskpipe.domain.tables import TABLES
from riskpipe.ingest.assemble import assemble
from riskpipe.ingest.read import read_snapshot

NAN = math.nan
TERMS = {"liquidation_threshold": 0.8, "liquidation_bonus": 0.05, "close_factor": 0.5}


def but_bonuses(findings):
    """Return the findings but those of bonuses, which most of these snapshots leave to the venue's rules."""
    return [finding for finding in findings if finding.reason is not Reason.NO_BONUS]


def collateral(quantity=2.0, *, account="l1", asset="BTC", threshold=None):
    return {"account_id": account, "asset": asset, "quantity": quantity, "liquidation_threshold": threshold}


def with_loan(tables, *balances, account="l1", venue="alpha"):
    """Add a lending account, by default of 2 BTC against 40,000 USDT, and alpha's terms for BTC."""
    tables["accounts"].append({"account_id": account, "venue": venue, "kind": "lending"})
    tables["balances"] += list(balances) or [collateral(), collateral(-40_000.0, asset="USDT")]
    for row in tables["collateral"]:
        if (row["venue"], row["asset"], row["floor_usd"]) == ("alpha", "BTC", 0.0):
            row.update(TERMS)
    return tables


def loan_slots(book, account="l1"):
    """The slots of an account's one pool as (asset, quantity, own threshold or None)."""
    ix = book.names("account").index(account)
    assert book.account_is_lending[ix]
    (pool,) = range(*book.account_pool_start[ix : ix + 2])
    assert not book.pool_is_isolated[pool]
    assert np.diff(book.pool_position_start)[pool] == 0
    slots = slice(*book.pool_slot_start[pool : pool + 2])
    names = book.names("asset")
    return [(names[asset], quantity, own) for asset, quantity, own in told(book, slots)]


def told(book, slots):
    columns = (book.slot_asset[slots].tolist(), book.slot_quantity[slots].tolist(), book.slot_threshold[slots].tolist())
    return [(asset, quantity, None if math.isnan(own) else own) for asset, quantity, own in zip(*columns, strict=True)]


# --- in the book -----------------------------------------------------------------------------------------------------


def test_a_loan_is_one_pool_of_collateral_and_debt_beside_its_venues_terms(tmp_path):
    book, findings = assembled(tmp_path, with_loan(rows()))
    assert not but_bonuses(findings)
    assert book.account_is_lending.tolist() == [False] * 5 + [True]
    assert loan_slots(book) == [("BTC", 2.0, None), ("USDT", -40_000.0, None)]
    assert book.names("asset") == ["BTC", "USDT", "USD"]
    for name, value in zip(("lending_threshold", "lending_bonus", "close_factor"), TERMS.values(), strict=True):
        np.testing.assert_array_equal(getattr(book, name), [[value, NAN, NAN], [NAN] * 3], err_msg=name)
    assert np.isnan(book.slot_threshold[: book.pool_slot_start[-2]]).all()


def test_own_thresholds_stand_with_their_collateral_and_amounts_of_one_asset_add_up(tmp_path):
    balances = [
        collateral(1.0, threshold=0.9),
        collateral(-10_000.0, asset="USDT"),
        collateral(0.5, threshold=0.9),
        collateral(-5_000.0, asset="USDT"),
    ]
    book, findings = assembled(tmp_path, with_loan(rows(), *balances))
    assert not but_bonuses(findings)
    assert loan_slots(book) == [("BTC", 1.5, 0.9), ("USDT", -15_000.0, None)]


def test_collateral_and_debt_in_one_asset_are_not_netted(tmp_path):
    """Of a coin at a threshold of 76%, 90 borrowed against 100 can be liquidated; 10 without debt cannot."""
    balances = [collateral(-90.0, asset="USDT"), collateral(100.0, asset="USDT", threshold=0.76)]
    book, _ = assembled(tmp_path, with_loan(rows(), *balances))
    assert loan_slots(book) == [("USDT", 100.0, 0.76), ("USDT", -90.0, None)]
    margin = with_loan(rows(), *balances)
    margin["accounts"][-1]["kind"] = "margin"
    book, _ = assembled(tmp_path / "margin", margin)
    assert book.slot_quantity[-1] == 10.0


OWNERS = ("l1", "l2", "m1")
PRICED = ("BTC", "USDT", "USD")
BALANCE = st.tuples(st.sampled_from(OWNERS), st.sampled_from(PRICED), st.integers(-4, 4).map(float))


@settings(max_examples=150)
@given(st.lists(BALANCE, max_size=14), st.lists(st.sampled_from([None, 0.5, 0.75, 1.0]), min_size=9, max_size=9))
def test_slots_are_those_of_loops_over_the_rows(balances, thresholds):
    own = {(owner, asset): thresholds[3 * a + c] for a, owner in enumerate(OWNERS) for c, asset in enumerate(PRICED)}
    tables = rows() | {"positions": [], "balances": []}
    tables["accounts"] = [
        {"account_id": name, "venue": "alpha", "kind": "margin" if name == "m1" else "lending"} for name in OWNERS
    ]
    tables["balances"] = [
        collateral(quantity, account=owner, asset=asset, threshold=own[owner, asset])
        for owner, asset, quantity in balances
    ]
    book, _ = assemble([in_memory(tables)])
    for ix, owner in enumerate(OWNERS):
        is_loan, slots = owner != "m1", {}
        for who, asset, quantity in balances:
            if who == owner:
                key = PRICED.index(asset), is_loan and quantity < 0
                slots[key] = slots.get(key, 0.0) + quantity
        expected = [
            (asset, slots[asset, is_debt], own[owner, PRICED[asset]] if is_loan and not is_debt else None)
            for asset, is_debt in sorted(slots)
        ]
        cells = slice(*book.pool_slot_start[ix : ix + 2])
        assert told(book, cells) == expected


def in_memory(tables):
    content = {name: arrow_table(name, tables[name]) for name in TABLES}
    return Snapshot("memory", parse_as_of(HEADER["as_of"]), HEADER["numeraire"], "tests", content, {}, Findings())


def test_a_stored_book_keeps_its_loans(tmp_path):
    book, _ = assembled(tmp_path / "snapshot", with_loan(rows(), collateral(threshold=0.9)))
    store = open_store(str(tmp_path / "store"))
    stored = open_book(store, put_book(store, book), is_verified=True)
    names = ("account_is_lending", "slot_threshold", "lending_threshold", "lending_bonus", "close_factor")
    for name in names:
        np.testing.assert_array_equal(getattr(stored, name), getattr(book, name), err_msg=name)
    other, _ = assembled(tmp_path / "other", with_loan(rows(), collateral(threshold=0.8)))
    assert put_book(store, other) != put_book(store, book)


def test_joined_snapshots_keep_thresholds_with_their_accounts(tmp_path):
    first = with_loan(rows(), collateral(threshold=0.9), collateral(-1.0, asset="USDT"))
    second = {name: [] for name in rows()} | {
        "accounts": [{"account_id": "l2", "venue": "gamma", "kind": "lending"}],
        "balances": [collateral(-3.0, account="l2", asset="USDT"), collateral(1.0, account="l2", threshold=0.6)],
        "prices": rows()["prices"][:2],
    }
    snapshots = [read_snapshot(write_snapshot(tmp_path / str(n), **some)) for n, some in enumerate((first, second))]
    book, findings = assemble(snapshots)
    assert not but_bonuses(findings)
    assert loan_slots(book) == [("BTC", 2.0, 0.9), ("USDT", -1.0, None)]
    assert loan_slots(book, "l2") == [("BTC", 1.0, 0.6), ("USDT", -3.0, None)]


def test_a_book_of_loans_alone_needs_no_instruments(tmp_path):
    tables = {name: [] for name in rows()} | {"prices": rows()["prices"]}
    balances = [collateral(threshold=0.8), collateral(-40_000.0, asset="USDT")]
    book, findings = assembled(tmp_path, with_loan(tables, *balances))
    assert (book.n_instruments, book.n_positions, book.n_pools) == (0, 0, 1)
    assert book.names("fund") == ["alpha"]
    assert not but_bonuses(findings)


def test_a_book_made_without_loans_has_none():
    book = minimal_book()
    assert not book.account_is_lending.any()
    assert book.account_is_lending.shape == (book.n_accounts,)
    assert book.slot_threshold.shape == book.slot_asset.shape
    assert np.isnan(book.slot_threshold).all()
    for name in ("lending_threshold", "lending_bonus", "close_factor"):
        assert getattr(book, name).shape == (book.n_venues, book.n_assets)
        assert np.isnan(getattr(book, name)).all()


# --- quarantined -----------------------------------------------------------------------------------------------------

POSITION = {"account_id": "l1", "instrument_id": "BTC-PERP", "quantity": 0.01, "entry_price": 5e4}
QUARANTINED = {
    "a position": ([POSITION], [], "positions", Reason.UNSUPPORTED, "may hold balances only"),
    "two thresholds": (
        [], [collateral(threshold=0.8), collateral(threshold=0.9)], "balances", Reason.BAD_VALUE, "must be the same",
    ),
    "a threshold and the venue's": (
        [], [collateral(threshold=0.8), collateral()], "balances", Reason.BAD_VALUE, "must be the same",
    ),
    "a threshold above 1": ([], [collateral(threshold=1.01)], "balances", Reason.BAD_VALUE, "a fraction from 0 to 1"),
    "a threshold of NaN": ([], [collateral(threshold=NAN)], "balances", Reason.BAD_VALUE, "a fraction from 0 to 1"),
    "an unknown asset": ([], [collateral(asset="SHELLS")], "balances", Reason.UNKNOWN_ASSET, "asset must be named"),
}  # fmt: skip


@pytest.mark.parametrize("case", QUARANTINED)
def test_what_cannot_be_a_loan_quarantines_the_whole_account(tmp_path, case):
    positions, balances, where, reason, said = QUARANTINED[case]
    tables = scaled_account(with_loan(rows(), *balances, collateral(-100.0, asset="USDT")), 100)
    tables["positions"] += positions
    book, findings = assembled(tmp_path, tables)
    assert not book.account_is_lending.any()
    clean, _ = assembled(tmp_path / "clean", scaled_account(rows(), 100))
    np.testing.assert_array_equal(book.slot_quantity, clean.slot_quantity)
    np.testing.assert_array_equal(book.position_quantity, clean.position_quantity)
    (finding,) = findings
    assert (finding.where, finding.reason, finding.count) == (where, reason, 1)
    assert said in finding.message


def test_thresholds_of_other_accounts_assets_and_debts_contradict_nothing(tmp_path):
    tables = with_loan(rows(), collateral(threshold=0.8), collateral(100.0, asset="USDT", threshold=0.7))
    with_loan(tables, collateral(account="l2", threshold=0.6), account="l2")
    tables["balances"] += [
        collateral(-1.0, asset="USDT", threshold=0.1),
        collateral(-1.0, asset="USDT", threshold=0.2),
    ]
    book, findings = assembled(tmp_path, tables)
    assert book.account_is_lending.sum() == 2
    assert loan_slots(book) == [("BTC", 2.0, 0.8), ("USDT", 100.0, 0.7), ("USDT", -2.0, None)]
    assert [(finding.reason, finding.count) for finding in but_bonuses(findings)] == [(Reason.UNREAD_VALUE, 2)]


def test_a_quarantined_loan_weighs_its_debt_and_not_its_collateral(tmp_path):
    tables = rows() | {"positions": []}
    tables["balances"] = [row for row in tables["balances"] if row["account_id"] != "a3"]
    tables = with_loan(tables)
    with_loan(tables, collateral(1e6, account="l2"), collateral(-1_000.0, account="l2", asset="USDT"), account="l2")
    tables["accounts"][-1]["weight"] = 3.0
    tables["positions"].append(POSITION | {"account_id": "l2", "quantity": 0.0})
    share = 3 * 1_000.0 / (40_000.0 + 3 * 1_000.0)
    (problem,) = problems_of(tmp_path, tables, max_quarantined_share=share - 1e-9)
    assert f"{share:.2%} of the snapshot is quarantined (2,997 of 42,957 USD gross notional)" in problem
    book, _ = assembled(tmp_path, tables, max_quarantined_share=share + 1e-9)
    assert book.account_is_lending.sum() == 1


def test_collateral_without_any_threshold_counts_nothing_and_says_so(tmp_path):
    tables = with_loan(rows(), collateral(), collateral(5.0, asset="USDT"), collateral(0.0, asset="USD"))
    with_loan(tables, collateral(7.0, account="l2", asset="USDT"), account="l2")
    book, findings = assembled(tmp_path, tables)
    (finding,) = but_bonuses(findings)
    assert np.isnan(book.lending_threshold[0, 1])
    assert (finding.severity, finding.reason, finding.count) == (Severity.WARNING, Reason.NO_THRESHOLD, 2)
    assert finding.examples == ("USDT on alpha",)
    tables["collateral"][0]["liquidation_threshold"] = 0.0
    book, findings = assembled(tmp_path / "none", tables)
    assert not but_bonuses(findings), "a threshold of 0 is one"
    assert book.lending_threshold[0, 1] == 0.0


def test_collateral_that_liquidations_take_without_a_bonus_is_told_with_its_worth(tmp_path):
    tables = with_loan(rows(), collateral(), collateral(5.0, asset="USDT"))
    tables["collateral"][1] |= TERMS | {"liquidation_bonus": None}
    _, findings = assembled(tmp_path, tables)
    (finding,) = (finding for finding in findings if finding.reason is Reason.NO_BONUS)
    assert set(finding.examples) == {"BTC on alpha", "USDT on alpha"}
    assert "USD 100,005" in finding.message


@pytest.mark.parametrize(("quantity", "who"), [(3.0, "a loan's collateral"), (-3.0, "a debt")])
def test_collateral_and_debt_need_a_price_for_every_venue(tmp_path, quantity, who):
    tables = with_loan(rows(), collateral(), collateral(quantity, asset="ETH", threshold=0.8))
    tables["prices"].append({"asset": "ETH", "venue": "alpha", "index_price": 2_500.0})
    (problem,) = problems_of(tmp_path, tables)
    assert f"asset 'ETH' has no venue-null index_price, which {who} needs" in problem
    tables["prices"].append({"asset": "ETH", "index_price": 2_501.0})
    book, _ = assembled(tmp_path / "priced", tables)
    assert book.index_price[book.names("asset").index("ETH")] == 2_501.0


@pytest.mark.parametrize("column", TERMS)
def test_bands_of_one_asset_agree_on_the_terms_of_loans(tmp_path, column):
    tables = with_loan(rows())
    tables["collateral"][2] |= {column: 0.25}
    (problem,) = problems_of(tmp_path, tables)
    assert f"{column} differs between the bands of one venue and asset" in problem
    tables["collateral"][2] |= {column: TERMS[column]}
    assembled(tmp_path / "agreed", tables)


def test_a_threshold_of_a_margin_account_is_not_read_and_says_so(tmp_path):
    tables = rows()
    tables["balances"][1]["liquidation_threshold"] = 0.5
    tables["balances"].append(collateral(0.25, account="a1", threshold=0.6))
    book, (finding,) = assembled(tmp_path, tables)
    assert (finding.reason, finding.count) == (Reason.UNREAD_VALUE, 2)
    assert finding.examples[0] == "row 1: account_id='a1' asset='BTC'"
    assert book.slot_quantity[0] == 1.25
    assert np.isnan(book.slot_threshold).all()
