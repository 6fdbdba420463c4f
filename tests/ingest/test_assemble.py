import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.snapshot_builder import HEADER, arrow_table, instrument, rows, write_snapshot

from riskpipe.domain.findings import Findings, Reason
from riskpipe.domain.instant import parse_as_of
from riskpipe.domain.snapshot import Snapshot
from riskpipe.domain.tables import TABLES
from riskpipe.ingest.assemble import assemble
from riskpipe.ingest.read import read_snapshot
from riskpipe.ingest.reference_arrays import recompute_deductions


def in_memory(tables):
    return Snapshot(
        "memory",
        parse_as_of(HEADER["as_of"]),
        HEADER["numeraire"],
        "tests",
        {name: arrow_table(name, tables[name]) for name in TABLES},
        {},
        Findings(),
    )


def assembled(tables):
    return assemble([in_memory(tables)])


def test_the_minimal_snapshot_becomes_the_book_written_out_here(tmp_path):
    book, findings = assemble([read_snapshot(write_snapshot(tmp_path))])
    assert not findings.items
    labels = {name: book.names(name) for name in book.labels}
    assert labels == {
        "account": ["a1", "a2", "a3", "b1", "b2"],
        "venue": ["alpha", "beta"],
        "asset": ["BTC", "USDT", "USD"],
        "instrument": ["BTC-PERP", "BTC-FUT", "BTC-INV"],
        "fund": ["alpha-fund", "alpha", "beta"],
        "entity": ["fund-x", "a2", "a3", "b2"],
        "segment": ["pro", "retail"],
    }
    expected = {
        "account_venue": [0, 0, 0, 1, 1],
        "account_entity": [0, 1, 2, 0, 3],
        "account_has_entity": [True, False, False, True, False],
        "account_segment": [0, 1, -1, -1, -1],
        "account_weight": [1, 10, 1, 1, 1],
        "account_is_exempt": [False, False, False, False, True],
        "account_pool_start": [0, 1, 3, 4, 5, 6],
        "entity_account_start": [0, 2, 3, 4, 5],
        "entity_account": [0, 3, 1, 2, 4],
        "pool_account": [0, 1, 1, 2, 3, 4],
        "pool_is_isolated": [False, False, True, False, False, False],
        "pool_position_start": [0, 2, 3, 4, 4, 5, 5],
        "position_instrument": [0, 1, 0, 0, 2],
        "position_quantity": [-4, 2, 0.2, 0.1, 1000],
        "position_entry_price": [52_000, 51_000, 50_500, 49_000, 50_000],
        "position_slot": [1, 1, 0, 0, 0],
        "pool_slot_start": [0, 2, 3, 4, 6, 7, 8],
        "slot_asset": [0, 1, 1, 1, 0, 1, 0, 1],
        "slot_quantity": [1, 100_000, 500, 800, 2, -20_000, 3, 50],
        "instrument_venue": [0, 0, 1],
        "instrument_kind": [0, 1, 0],
        "instrument_quote": [1, 1, 2],
        "instrument_settlement": [1, 1, 0],
        "instrument_expiry_us": [-1, 1_727_424_000_000_000, -1],
        "instrument_fund": [0, 1, 2],
        "instrument_tier_start": [0, 3, 6, 7],
        "tier_deduction": [0, 500, 500 + 250_000 * (0.05 - 0.02), 0, 500, 500 + 250_000 * (0.05 - 0.02), 0],
        "table_depth_bid": [math.nan, math.nan, 3e6 / 0.01],
        "table_depth_ask": [math.nan, math.nan, 6e6 / 0.01],
        "index_price": [50_000, 0.999, 1],
        "index_beta": [1, 0, 0],
        "venue_price": [[math.nan] * 3, [math.nan, 0.998, math.nan]],
        "collateral_band_start": [0, 2, 3, 3, 4, 4, 4],
        "band_haircut": [0.05, 0.2, 0, 0],
        "borrow_maintenance_rate": [[0, 0.03, 0], [0, 0, 0]],
        "fund_venue": [0, 0, 1],
        "fund_asset": [1, 2, 2],
        "fund_balance": [1e6, 0, 0],
        "venue_fund": [1, 2],
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(getattr(book, name), values, err_msg=name)


def test_every_array_has_the_type_its_field_promises(tmp_path):
    book, _ = assemble([read_snapshot(write_snapshot(tmp_path))])
    promised = {"FloatArray": "f8", "IntArray": "i4", "OffsetArray": "i8", "BoolArray": "?"}
    names = {
        id(kind): name
        for name, kind in vars(__import__("riskpipe.domain.book", fromlist=["x"])).items()
        if name in promised
    }
    for name, array in book.arrays().items():
        annotation = type(book).__annotations__[name]
        assert array.dtype == promised[names[id(annotation)]], name
        assert array.flags.c_contiguous, name


ACCOUNT_IDS = [f"acct-{n}" for n in (3, 1, 4, 2, 0, 9, 7)]
ASSETS = ["BTC", "USDT", "USD"]
NUMBER = st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 3))


@st.composite
def portfolios(draw):
    tables = rows()
    names = draw(st.lists(st.sampled_from(ACCOUNT_IDS), min_size=1, unique=True))
    owners = st.sampled_from(names)
    tables["accounts"] = [{"account_id": name, "venue": "alpha", "kind": "margin"} for name in names]
    entities = draw(
        st.lists(st.sampled_from([None, "x", "y", ACCOUNT_IDS[0]]), min_size=len(names), max_size=len(names))
    )
    for row, entity in zip(tables["accounts"], entities, strict=True):
        row["entity_id"] = entity
    tables["instruments"] = [
        instrument("P", "alpha"),
        instrument("C", "alpha", quote_asset="USD", settlement_asset="BTC", is_inverse=True),
    ]
    tables["quotes"] = [{"instrument_id": name, "mark_price": 5e4, "depth_usd_1pct": 1e7} for name in ("P", "C")]
    balance = st.fixed_dictionaries({"account_id": owners, "asset": st.sampled_from(ASSETS), "quantity": NUMBER})
    position = st.fixed_dictionaries(
        {
            "account_id": owners,
            "instrument_id": st.sampled_from(["P", "C"]),
            "quantity": NUMBER,
            "entry_price": st.floats(1.0, 1e5),
            "isolated_margin": st.none() | st.floats(0.0, 1e5),
        }
    )
    tables["balances"] = draw(st.lists(balance, max_size=15))
    tables["positions"] = draw(st.lists(position, max_size=15))
    return tables


def pools_by_loops(tables, assets):
    """Return each pool as (account, is_isolated, positions, {asset: quantity}), in canonical order."""
    settlement = {row["instrument_id"]: row["settlement_asset"] for row in tables["instruments"]}
    order = [row["instrument_id"] for row in tables["instruments"]]
    result = []
    for account in (row["account_id"] for row in tables["accounts"]):
        held = [row for row in tables["positions"] if row["account_id"] == account]
        cross = sorted(
            (row for row in held if row["isolated_margin"] is None), key=lambda row: order.index(row["instrument_id"])
        )
        slots = {}
        for row in tables["balances"]:
            if row["account_id"] == account:
                slots[row["asset"]] = slots.get(row["asset"], 0.0) + row["quantity"]
        for row in cross:
            slots.setdefault(settlement[row["instrument_id"]], 0.0)
        result.append((account, False, cross, slots))
        result += [
            (account, True, [row], {settlement[row["instrument_id"]]: row["isolated_margin"]})
            for row in held
            if row["isolated_margin"] is not None
        ]
    return [
        (account, isolated, positions, sorted(slots.items(), key=lambda item: assets.index(item[0])))
        for account, isolated, positions, slots in result
    ]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(portfolios())
def test_pools_equal_those_made_by_plain_loops(tables):
    book, _ = assembled(tables)
    assets, instruments, accounts = book.names("asset"), book.names("instrument"), book.names("account")
    expected = pools_by_loops(tables, assets)
    assert book.n_pools == len(expected)
    for pool, (account, isolated, positions, slots) in enumerate(expected):
        assert accounts[book.pool_account[pool]] == account
        assert book.pool_is_isolated[pool] == isolated
        held = slice(*book.pool_position_start[pool : pool + 2])
        cells = slice(*book.pool_slot_start[pool : pool + 2])
        assert [assets[ix] for ix in book.slot_asset[cells]] == [asset for asset, _ in slots]
        assert book.slot_quantity[cells].tolist() == [quantity for _, quantity in slots]
        assert book.position_quantity[held].tolist() == [row["quantity"] for row in positions]
        assert book.position_entry_price[held].tolist() == [row["entry_price"] for row in positions]
        assert [instruments[ix] for ix in book.position_instrument[held]] == [row["instrument_id"] for row in positions]
        settles = book.slot_asset[cells][book.position_slot[held]]
        assert settles.tolist() == book.instrument_settlement[book.position_instrument[held]].tolist()
    starts = book.account_pool_start
    assert all(not book.pool_is_isolated[start] for start in starts[:-1])
    assert book.pool_account.tolist() == [
        a for a, (start, stop) in enumerate(pairwise(starts)) for _ in range(start, stop)
    ]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(portfolios())
def test_accounts_share_an_entity_exactly_if_they_name_the_same_one(tables):
    book, _ = assembled(tables)
    named = [row["entity_id"] for row in tables["accounts"]]
    for a, first in enumerate(named):
        for b, second in enumerate(named):
            assert (book.account_entity[a] == book.account_entity[b]) == (
                a == b or (first is not None and first == second)
            )
    labels = book.names("entity")
    accounts = book.names("account")
    assert [labels[e] for e in book.account_entity] == [e or accounts[a] for a, e in enumerate(named)]
    for e, (start, stop) in enumerate(pairwise(book.entity_account_start)):
        members = book.entity_account[start:stop].tolist()
        assert members == [a for a in range(len(named)) if book.account_entity[a] == e]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(portfolios(), st.randoms(use_true_random=False))
def test_the_order_of_rows_between_accounts_does_not_matter(tables, random):
    book, _ = assembled(tables)
    for name in ("balances", "positions"):
        by_owner = {}
        for row in tables[name]:
            by_owner.setdefault(row["account_id"], []).append(row)
        owners = [row["account_id"] for row in tables[name]]
        random.shuffle(owners)
        tables[name] = [by_owner[owner].pop(0) for owner in owners]
    other, _ = assembled(tables)
    for name, array in book.arrays().items():
        assert array.tobytes() == other.arrays()[name].tobytes(), name


@given(st.lists(st.tuples(st.floats(1.0, 1e8), st.floats(0.0, 0.1)), min_size=1, max_size=8), st.floats(0.0, 1.0))
def test_recomputed_deductions_make_margin_continuous(steps, first_rate):
    floors = np.concatenate([[0.0], np.cumsum([step for step, _ in steps])])
    rates = np.concatenate([[first_rate], first_rate + np.cumsum([rise for _, rise in steps])])
    deduction = recompute_deductions(floors, rates)
    below = rates[:-1] * floors[1:] - deduction[:-1]
    above = rates[1:] * floors[1:] - deduction[1:]
    np.testing.assert_allclose(above, below, rtol=1e-12, atol=1e-6)


def test_a_given_deduction_is_kept_and_a_difference_is_a_finding():
    tables = rows()
    tables["margin_tiers"][1]["deduction"] = 510.0
    tables["margin_tiers"][2]["deduction"] = 8_000.0 * (1 + 9e-7)
    book, findings = assembled(tables)
    assert book.tier_deduction[:3].tolist() == [0.0, 510.0, 8_000.0 * (1 + 9e-7)]
    (finding,) = findings
    assert (finding.reason, finding.count) == (Reason.DEDUCTION_DIFFERS, 1)
    assert "510.0" in finding.examples[0]
    assert "recomputed" in finding.examples[0]


def test_a_credit_balance_may_be_priced_by_its_venue_alone():
    tables = rows()
    tables["prices"] += [
        {"asset": "ETH", "venue": "alpha", "index_price": 2_500.0},
        {"asset": "ETH", "venue": "beta", "index_price": 2_501.0},
    ]
    tables["balances"] += [{"account_id": name, "asset": "ETH", "quantity": 1.0} for name in ("a3", "b2")]
    book, findings = assembled(tables)
    eth = book.names("asset").index("ETH")
    assert book.index_price[eth] == 2_500.0
    assert book.venue_price[:, eth].tolist() == [2_500.0, 2_501.0]
    assert [finding.reason for finding in findings] == [Reason.MISSING_PRICE]


def test_only_venues_that_can_need_a_default_fund_have_one():
    tables = rows()
    tables["insurance_funds"] += [
        {"fund": "beta", "venue": "beta", "asset": "USD", "balance": 7.0},
        {"fund": "far", "venue": "gamma", "asset": "USD", "balance": 1.0},
    ]
    book, _ = assembled(tables)
    assert book.names("fund") == ["alpha-fund", "beta", "far", "alpha"]
    assert book.names("venue") == ["alpha", "beta", "gamma"]
    assert book.venue_fund.tolist() == [3, 1, -1]
    assert book.fund_balance.tolist() == [1e6, 7.0, 1.0, 0.0]


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_a_share_outside_its_range_is_an_error_of_the_caller(share):
    with pytest.raises(ValueError, match="from 0 to 1"):
        assemble([in_memory(rows())], max_quarantined_share=share)
    with pytest.raises(ValueError, match="at least one"):
        assemble([])


def test_a_book_of_spot_balances_alone_needs_no_instruments():
    spot = rows() | {name: [] for name in TABLES if name not in {"accounts", "balances", "prices"}}
    book, findings = assembled(spot)
    assert (book.n_positions, book.n_instruments, book.n_pools) == (0, 0, book.n_accounts)
    assert book.names("fund") == book.names("venue") == ["alpha", "beta"]
    assert not findings.items
    bare = spot | {"balances": [], "prices": []}
    assert assembled(bare)[0].names("asset") == ["USD"]
