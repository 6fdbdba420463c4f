"""Crowding: how much open interest delta-neutral entities hold, by books worked by hand and laws for any book."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import random_book
from support.books import book

from riskpipe.calibrate.spreads.crowding import crowding
from riskpipe.domain.book import InstrumentKind

BTC, ETH, USDT, USD = range(4)


def holding(accounts, **overrides):
    """Book of accounts as (entity or None, weight, {instrument: contracts}, {asset: units}); BTC 50,000, ETH 2,500."""
    n = len(accounts)
    known = [name for name, *_ in accounts]
    names = list(dict.fromkeys(name or f"#{a}" for a, name in enumerate(known)))
    entity = np.array([names.index(name or f"#{a}") for a, name in enumerate(known)], np.int32)
    order = np.argsort(entity, kind="stable").astype(np.int32)
    positions = [(a, i, q) for a, (_, _, held, _) in enumerate(accounts) for i, q in sorted(held.items())]
    slots = [(a, c, q) for a, (_, _, _, balance) in enumerate(accounts) for c, q in sorted(balance.items())]
    starts = [np.concatenate(([0], np.cumsum(np.bincount([row[0] for row in rows], minlength=n)))) if rows
              else np.zeros(n + 1, int) for rows in (positions, slots)]  # fmt: skip
    return book(
        labels={"account": [f"account{a}" for a in range(n)], "entity": names, **overrides.pop("labels", {})},
        account_venue=np.zeros(n, np.int32),
        account_entity=entity,
        account_has_entity=np.array([name is not None for name in known]),
        account_segment=np.full(n, -1, np.int32),
        account_weight=np.array([weight for _, weight, *_ in accounts], float),
        account_is_exempt=np.zeros(n, bool),
        account_reported_equity=np.full(n, np.nan),
        account_reported_maintenance_margin=np.full(n, np.nan),
        account_pool_start=np.arange(n + 1, dtype=np.int64),
        entity_account_start=np.concatenate(([0], np.cumsum(np.bincount(entity)))).astype(np.int64),
        entity_account=order,
        pool_account=np.arange(n, dtype=np.int32),
        pool_is_isolated=np.zeros(n, bool),
        pool_position_start=starts[0].astype(np.int64),
        pool_slot_start=starts[1].astype(np.int64),
        position_instrument=np.array([i for _, i, _ in positions], np.int32),
        position_quantity=np.array([q for *_, q in positions], float),
        position_entry_price=overrides.pop("entry", np.full(len(positions), 50_000.0)),
        position_slot=np.zeros(len(positions), np.int32),
        slot_asset=np.array([c for _, c, _ in slots], np.int32),
        slot_quantity=np.array([q for *_, q in slots], float),
        mark_price=overrides.pop("mark_price", np.array([50_000.0, 2_500.0])),
        index_price=overrides.pop("index_price", np.array([50_000.0, 2_500.0, 1.0, 1.0])),
        **overrides,
    )


CARRY = ("carry", 1.0, {0: -2.0}, {BTC: 2.0})
LONG = ("punter", 1.0, {0: 4.0}, {USDT: 50_000.0})
SHORT = ("bear", 1.0, {0: -2.0}, {USDT: 50_000.0})


def test_half_of_the_shorts_are_carry_trades_in_a_book_worked_by_hand():
    found = crowding(holding([CARRY, LONG, SHORT]))
    assert (found.long_usd[0], found.short_usd[0]) == (200_000.0, 200_000.0)
    assert found.neutral_short_usd[0] == 100_000.0
    assert found.neutral_short_share[0] == 0.5
    assert found.neutral_share[0] == 0.25
    assert found.neutral_long_share[0] == 0.0
    assert np.isnan(found.neutral_share[1]), "nobody holds the other contract"


@pytest.mark.parametrize(("spot", "is_neutral"), [(2.0, True), (1.81, True), (2.2, True), (1.79, False), (2.3, False)])
def test_a_tenth_of_the_larger_leg_may_be_left(spot, is_neutral):
    found = crowding(holding([("carry", 1.0, {0: -2.0}, {BTC: spot}), LONG]))
    assert (found.neutral_short_share[0] == 1.0) == is_neutral


def test_legs_in_two_accounts_are_one_trade_only_where_the_owner_is_known():
    apart = [("carry", 1.0, {0: -2.0}, {}), ("carry", 1.0, {}, {BTC: 2.0}), LONG]
    assert crowding(holding(apart)).neutral_short_share[0] == 1.0
    unknown = [(None, *rest) for _, *rest in apart]
    found = crowding(holding(unknown))
    assert found.neutral_short_share[0] == 0.0
    assert found.unknown_share[0] == 1.0


def test_two_contracts_against_each_other_are_neutral_on_both_sides():
    pair = {"instrument_underlying": np.array([BTC, BTC], np.int32), "mark_price": np.array([50_000.0, 50_000.0])}
    found = crowding(holding([("carry", 1.0, {0: -2.0, 1: 2.0}, {}), LONG], **pair))
    assert (found.neutral_short_share[0], found.neutral_long_share[1]) == (1.0, 1.0)


def test_a_claim_on_the_asset_is_a_long_leg_at_its_own_price():
    staked = {
        "labels": {"asset": ["BTC", "ETH", "USDT", "stETH"]},
        "index_price": np.array([50_000.0, 2_500.0, 1.0, 2_450.0]),
    }
    rows = [("carry", 1.0, {1: -10.0}, {3: 10.0}), ("punter", 1.0, {1: 10.0}, {})]
    assert crowding(holding(rows, **staked)).neutral_short_share[1] == 1.0
    assert crowding(holding(rows, **staked), claims={}).neutral_short_share[1] == 0.0
    assert crowding(holding(rows, **staked), tolerance=0.01).neutral_short_share[1] == 0.0, "2% less in USD"


def test_a_borrowed_asset_is_a_short_leg():
    found = crowding(holding([("reverse", 1.0, {0: 2.0}, {BTC: -2.0}), SHORT]))
    assert found.neutral_long_share[0] == 1.0


def test_coin_margin_and_its_profit_hedge_an_inverse_short():
    """1 BTC of collateral against 500 contracts of 100 USD sold at 40,000: at 50,000 the coin PnL is -0.25 BTC."""
    inverse = {
        "instrument_is_inverse": np.array([True, False]),
        "instrument_multiplier": np.array([100.0, 1.0]),
        "instrument_settlement": np.array([BTC, USDT], np.int32),
        "instrument_quote": np.array([USD, USDT], np.int32),
    }
    rows = [("carry", 1.0, {0: -500.0}, {BTC: 1.25})]
    found = crowding(holding(rows, entry=np.array([40_000.0]), **inverse))
    assert found.short_usd[0] == 50_000.0
    assert found.neutral_short_share[0] == 1.0, "1.25 BTC - 0.25 BTC x 50,000 = 50,000"
    assert crowding(holding(rows, entry=np.array([40_000.0]), **inverse), tolerance=1e-9).neutral_short_share[0] == 1.0
    assert crowding(holding(rows, entry=np.array([50_000.0]), **inverse)).neutral_short_share[0] == 0.0


def test_options_count_neither_as_interest_nor_as_a_leg():
    option = {"instrument_kind": np.array([InstrumentKind.PERPETUAL, InstrumentKind.OPTION], np.int32),
              "instrument_underlying": np.array([BTC, BTC], np.int32)}  # fmt: skip
    found = crowding(holding([("buyer", 1.0, {0: -2.0, 1: 40.0}, {}), LONG], **option))
    assert found.neutral_short_share[0] == 0.0
    assert found.long_usd[1] == 0.0


@settings(max_examples=20)
@given(st.integers(0, 2**31))
def test_in_any_book_parts_are_within_wholes_and_weights_count_accounts(seed):
    given_book = random_book(np.random.default_rng(seed), n_accounts=20)
    found = crowding(given_book)
    assert (found.neutral_long_usd <= found.long_usd).all()
    assert (found.neutral_short_usd <= found.short_usd).all()
    wider = crowding(given_book, tolerance=0.5)
    assert (wider.neutral_share >= found.neutral_share)[np.isfinite(found.neutral_share)].all()
    thrice = crowding(replace(given_book, account_weight=3.0 * given_book.account_weight))
    np.testing.assert_allclose(thrice.short_usd, 3.0 * found.short_usd)
    np.testing.assert_allclose(thrice.neutral_short_usd, 3.0 * found.neutral_short_usd)
    total = (found.long_usd + found.short_usd).sum()
    instrument = given_book.position_instrument
    price = np.where(given_book.instrument_is_inverse, 1.0, given_book.mark_price)[instrument]
    weight = given_book.account_weight[
        given_book.pool_account[np.repeat(np.arange(given_book.n_pools), np.diff(given_book.pool_position_start))]
    ]
    quote = given_book.index_price[given_book.instrument_quote[instrument]]
    size = np.abs(given_book.position_quantity) * given_book.instrument_multiplier[instrument]
    assert total == pytest.approx(float((weight * size * price * quote).sum()))


def test_an_empty_book_has_no_interest():
    found = crowding(holding([("idle", 1.0, {}, {USDT: 1.0})]))
    assert found.long_usd.tolist() == [0.0, 0.0]
    assert np.isnan(found.neutral_share).all()
