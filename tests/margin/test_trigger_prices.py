"""Prices at which things happen, against the requirement itself: healthy up to the price, failing beyond."""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from margin.conformance import holdings
from support.margin_models import size_slopes, tiered_models

from riskpipe.margin.model import Holding, Tiered
from riskpipe.margin.trigger_prices import (
    bankruptcy_price,
    isolated_margin,
    liquidation_price,
    liquidation_prices,
    margin_call_price,
    margin_call_prices,
    margin_excess,
    price_on_tick,
)
from riskpipe.margin.venue_prices import binance_coin_price, binance_linear_price

MODELS = st.one_of(tiered_models(), size_slopes())
BEYOND = 1e-9


@dataclass(frozen=True)
class Pool:
    model: object
    legs: tuple
    balance: float
    other: float

    def excess(self, price, requirement="maintenance"):
        moved = [leg.at_mark(price) for leg in self.legs]
        needed = sum(getattr(self.model, f"{requirement}_margin")(leg) for leg in moved)
        return margin_excess(self.model, moved, balance=self.balance, other_excess_usd=self.other) - (
            needed - sum(self.model.maintenance_margin(leg) for leg in moved)
        )

    def scale(self, price):
        """USD that the terms of the excess reach at a mark: what its rounding is a part of."""
        worth = self.legs[0].at_mark(price).settlement_price
        terms = abs(self.balance) * worth + abs(self.other)
        for leg in self.legs:
            coins = (1.0 / price + 1.0 / leg.entry_price) if leg.is_inverse else price + leg.entry_price
            terms += abs(leg.size) * coins * worth + self.model.maintenance_margin(leg.at_mark(price))
        return terms


@st.composite
def pools(draw, n_legs=1):
    model, first = draw(MODELS), draw(holdings())
    legs = [first]
    for _ in range(n_legs - 1):
        share, entry = -draw(st.floats(0.05, 3.0)), draw(st.floats(0.4, 2.0))
        legs.append(replace(first, size=first.size * share, entry_price=first.mark_price * entry))
    needed = sum(model.maintenance_margin(leg) for leg in legs)
    # from under water to many times the requirement
    bare = margin_excess(model, legs, balance=0.0)
    wanted = needed * draw(st.floats(-0.5, 1.0)) * 10.0 ** draw(st.floats(-2.0, 2.5)) - bare
    in_dollars = draw(st.sampled_from([0.0, 0.0, 0.5, -0.3, 1.0]))
    return Pool(model, tuple(legs), (1.0 - in_dollars) * wanted / first.settlement_price, in_dollars * wanted)


def check_side(pool, price, requirement, *, is_down):
    """Healthy at the mark: healthy all the way to the price, failing past it. Failing: the same from the other side."""
    mark, noise = pool.legs[0].mark_price, 1e-12
    if abs(pool.excess(mark, requirement)) <= 1e-9 * pool.scale(mark):
        return  # at the price already, to rounding
    is_healthy = pool.excess(mark, requirement) > 0.0
    goes_down = is_down == is_healthy
    end = price if not math.isnan(price) else mark * (1e-9 if goes_down else 1e9)
    assert (end <= mark) == goes_down
    for place in np.geomspace(mark, end, 80)[1:-1]:
        excess = pool.excess(float(place), requirement)
        assert (excess if is_healthy else -excess) >= -noise * pool.scale(place)
    if not math.isnan(price):
        beyond = 1.0 - BEYOND if is_down else 1.0 + BEYOND
        past, before = pool.excess(price * beyond, requirement), pool.excess(price / beyond, requirement)
        assert past <= noise * pool.scale(price)
        assert before >= -noise * pool.scale(price)


@given(pools())
def test_a_position_is_healthy_up_to_its_liquidation_price_and_fails_beyond(pool):
    (leg,) = pool.legs
    price = liquidation_price(pool.model, leg, balance=pool.balance, other_excess_usd=pool.other)
    check_side(pool, price, "maintenance", is_down=leg.size > 0.0)


@given(pools())
def test_a_position_is_called_for_margin_at_its_margin_call_price(pool):
    (leg,) = pool.legs
    price = margin_call_price(pool.model, leg, balance=pool.balance, other_excess_usd=pool.other)
    check_side(pool, price, "initial", is_down=leg.size > 0.0)


@given(pools(n_legs=2), st.sampled_from(["maintenance", "initial"]))
def test_legs_in_hedge_mode_share_a_price_on_each_side(pool, requirement):
    prices = {"maintenance": liquidation_prices, "initial": margin_call_prices}[requirement]
    found = prices(pool.model, pool.legs, balance=pool.balance, other_excess_usd=pool.other)
    check_side(pool, found.down, requirement, is_down=True)
    check_side(pool, found.up, requirement, is_down=False)


@given(pools())
def test_margin_is_called_before_liquidation_and_liquidation_comes_before_bankruptcy(pool):
    (leg,) = pool.legs
    given_margin = {"balance": pool.balance, "other_excess_usd": pool.other}
    if pool.excess(leg.mark_price, "initial") < 0.0:
        return
    call = margin_call_price(pool.model, leg, **given_margin)
    liquidation = liquidation_price(pool.model, leg, **given_margin)
    bankruptcy = bankruptcy_price(leg, balance=pool.balance, other_equity_usd=pool.other)
    prices = [price for price in (call, liquidation, bankruptcy) if not math.isnan(price)]
    worst_last = prices if leg.size < 0.0 else [-price for price in prices]
    assert all(low <= high + 1e-9 * abs(high) for low, high in pairwise(worst_last))
    # what is never called is never liquidated, and what is never liquidated is never bankrupt
    exists = [not math.isnan(price) for price in (call, liquidation, bankruptcy)]
    assert exists == sorted(exists, reverse=True)


@given(pools(), st.sampled_from([0.0, 0.0006]))
def test_nothing_is_left_at_the_bankruptcy_price(pool, fee_rate):
    (leg,) = pool.legs
    price = bankruptcy_price(leg, balance=pool.balance, other_equity_usd=pool.other, fee_rate=fee_rate)
    if math.isnan(price):
        return
    fee_alone = Tiered((0.0,), (0.0,), (0.0,), unit="coin" if leg.is_inverse else "usd", fee_rate=fee_rate)
    left = replace(pool, model=fee_alone)
    assert abs(left.excess(price)) <= 1e-9 * left.scale(price)


ONE_TIER = Tiered((0.0,), (0.1,), (0.02,), deductions=(3.0,))


def a_holding(**changes):
    standard = {
        "size": 2.0,
        "is_inverse": False,
        "entry_price": 100.0,
        "mark_price": 104.0,
        "quote_price": 1.0,
        "settlement_price": 1.0,
    }
    return Holding(**(standard | changes))


@pytest.mark.parametrize("size", [2.0, -2.0])
def test_the_solution_kept_is_inside_its_own_tier_whatever_tier_the_position_is_in_now(size):
    # 200 of notional is in the first tier, 2,200 in the second, where the requirement is twice as steep
    model = Tiered((0.0, 1_000.0), (0.1, 0.2), (0.05, 0.1))
    for entry, margin in ((100.0, 100.0), (1_100.0, 1_000.0), (600.0, 250.0), (450.0, 300.0)):
        holding = a_holding(size=size, entry_price=entry, mark_price=entry)
        price = liquidation_price(model, holding, balance=margin)
        notional = 2.0 * price
        rate, deduction = (0.05, 0.0) if notional < 1_000.0 else (0.1, 50.0)
        assert margin + size * (price - entry) == pytest.approx(rate * notional - deduction)
    # the tier of the present notional gives another price, which is not the one
    holding = a_holding(size=2.0, entry_price=600.0, mark_price=600.0)
    assert liquidation_price(model, holding, balance=400.0) == pytest.approx((1_200.0 - 400.0) / (2.0 * 0.95))
    assert abs((1_200.0 - 400.0 - 50.0) / (2.0 * 0.9) - (1_200.0 - 400.0) / (2.0 * 0.95)) > 1.0


def test_coin_tiers_of_an_inverse_position_change_with_its_price():
    # 10,000 USD are 1 coin at 10,000 and 2.5 at 4,000, above the second floor of 2 coins
    model = Tiered((0.0, 2.0), (0.1, 0.2), (0.05, 0.15), unit="coin")
    holding = a_holding(size=1e4, is_inverse=True, entry_price=1e4, mark_price=1e4, settlement_price=1e4)
    price = liquidation_price(model, holding, balance=1.5)
    coins = 1e4 / price
    assert coins > 2.0
    assert 1.5 + 1e4 * (1e-4 - 1.0 / price) == pytest.approx(0.15 * coins - 2.0 * 0.1)
    assert price == pytest.approx(
        binance_coin_price(
            side=1,
            contracts=100.0,
            contract_size=100.0,
            entry_price=1e4,
            wallet_balance=1.5,
            maintenance_rate=0.15,
            maintenance_amount=0.2,
        )
    )


def test_an_initial_margin_that_jumps_over_the_equity_calls_at_the_tier_edge():
    model = Tiered((0.0, 1_000.0), (0.1, 0.5), (0.05, 0.1))
    short = a_holding(size=-1.0, entry_price=800.0, mark_price=800.0)
    # at 1,000 the initial margin jumps from 100 to 500; equity is 500 there
    assert margin_call_price(model, short, balance=600.0) == 1_000.0
    # a long that is called above the edge is not called just below it, and is again further down
    long = a_holding(size=1.0, entry_price=1_200.0, mark_price=1_500.0)
    assert margin_call_price(model, long, balance=300.0) == pytest.approx(1_800.0)
    assert margin_call_price(model, replace(long, mark_price=990.0), balance=330.0) == pytest.approx(870.0 / 0.9)


def test_there_is_no_price_for_what_no_price_fails():
    nothing = {
        "no position": (a_holding(size=0.0), 1.0),
        "a long with more than its notional": (a_holding(), 300.0),
        "an inverse short covered by its own coin": (
            a_holding(size=-1e4, is_inverse=True, entry_price=1e4, mark_price=1e4, settlement_price=1e4),
            1.0,
        ),
        "NaN": (a_holding(entry_price=math.nan), 1.0),
        "NaN at the mark": (a_holding(mark_price=math.nan), 1.0),
        "no margin known": (a_holding(), math.nan),
    }
    flat = Tiered((0.0,), (0.1,), (0.02,))
    for why, (holding, balance) in nothing.items():
        assert math.isnan(liquidation_price(flat, holding, balance=balance)), why
        assert math.isnan(margin_call_price(flat, holding, balance=balance)), why
        if why != "NaN at the mark":
            assert math.isnan(bankruptcy_price(holding, balance=balance)), why
    assert math.isnan(liquidation_prices(flat, [], balance=1.0).down)
    assert math.isnan(margin_excess(flat, [], balance=1.0))


def test_a_pool_that_fails_already_is_told_the_price_that_would_heal_it():
    long = a_holding(mark_price=60.0)
    price = liquidation_price(ONE_TIER, long, balance=10.0)
    assert price == pytest.approx((200.0 - 10.0 - 3.0) / (2.0 * 0.98))
    assert price > long.mark_price
    assert margin_excess(ONE_TIER, [long], balance=10.0) < 0.0
    assert margin_excess(ONE_TIER, [long.at_mark(price)], balance=10.0) == pytest.approx(0.0, abs=1e-9)


def test_holdings_of_two_instruments_are_refused():
    with pytest.raises(ValueError, match="legs of one instrument"):
        liquidation_prices(ONE_TIER, [a_holding(), a_holding(mark_price=5.0)], balance=1.0)


@given(
    st.floats(0.01, 100.0),
    st.sampled_from([1.0, -1.0]),
    st.floats(0.0, 500.0),
    st.floats(-200.0, 200.0),
)
def test_other_positions_move_a_cross_price_by_their_excess_frozen_at_their_marks(size, side, balance, other):
    holding = a_holding(size=side * size)
    general = liquidation_price(ONE_TIER, holding, balance=balance, other_excess_usd=other)
    closed = binance_linear_price(
        side=int(side),
        size=size,
        entry_price=100.0,
        wallet_balance=balance,
        maintenance_rate=0.02,
        maintenance_amount=3.0,
        other_maintenance=max(0.0, -other),
        other_unrealised_pnl=max(0.0, other),
    )
    assert general == pytest.approx(closed, rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("leverage", [1.0, 3.0, 50.0])
def test_isolated_bankruptcy_is_the_entry_price_less_its_leverage(leverage):
    for side in (1.0, -1.0):
        linear = a_holding(size=side * 2.0)
        price = bankruptcy_price(linear, balance=isolated_margin(linear, leverage))
        expected = 100.0 * (1.0 - side / leverage)
        assert price == (pytest.approx(expected) if expected > 0.0 else pytest.approx(math.nan, nan_ok=True))
        inverse = a_holding(size=side * 1e4, is_inverse=True, settlement_price=104.0)
        price = bankruptcy_price(inverse, balance=isolated_margin(inverse, leverage))
        if leverage + side > 0.0:
            assert price == pytest.approx(100.0 * leverage / (leverage + side))
        else:
            assert math.isnan(price)


def test_a_price_on_a_tick_leaves_no_deficit():
    assert price_on_tick(7_735.3725, 0.5, is_long=True) == 7_735.5
    assert price_on_tick(7_735.3725, 0.5, is_long=False) == 7_735.0
    assert price_on_tick(0.30000000000000004, 0.1, is_long=True) == pytest.approx(0.3)
    assert price_on_tick(0.7999999999999999, 0.1, is_long=False) == pytest.approx(0.8)
    assert math.isnan(price_on_tick(math.nan, 0.5, is_long=True))
