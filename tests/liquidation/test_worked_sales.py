"""Collateral sold to cover negative settlement balances, on paper: what is sold, in which order, and what it moves."""

import numpy as np
import pytest
from support.equality import run_both
from support.worlds import Account, Contract, rules_of, shocks, world

CONTRACTS = [Contract("BTCUSDT"), Contract("ETHUSDT", underlying="ETH")]
DEPTH = {"BTC": 1e5, "ETH": 2e5}


def sold(balances, order, *, size=100.0, weight=1.0):
    """Return the values of one account, long ETH from 100 to 80, whose venue sells collateral in an order (or not)."""
    account = Account("a", balances=balances, positions=(("ETHUSDT", size, 100.0),), weight=weight)
    rules = rules_of({"collateral_sale": order})
    bands = {("alpha", "ETH"): ((0.0, 0.0),)}
    case = world(CONTRACTS, [account], index_depth=DEPTH, rules=rules, bands=bands, scenarios=shocks(-0.2))
    return run_both(case)


def index_move(values, instrument):
    return values["instruments/mark_price"][0, instrument] / 80.0 - 1.0


def test_collateral_is_sold_for_what_the_closed_pool_owes_and_pays_for_the_move():
    kept = sold({"BTC": 20.0}, None)
    assert kept["funds/shortfall"][0].sum() == pytest.approx(400.0)  # 2,000 lost, 20 BTC at 80
    assert index_move(kept, 0) == 0.0
    covered = sold({"BTC": 20.0}, ())
    fall = np.exp(-1600.0 / 1e5)  # all 1,600 USD of it
    assert index_move(covered, 0) == pytest.approx(fall - 1.0, rel=1e-12)
    assert covered["funds/shortfall"][0].sum() == pytest.approx(2000.0 - 1600.0 * fall, rel=1e-12)


def test_no_more_is_sold_than_is_owed_in_the_venues_order():
    held = {"BTC": 20.0, "ETH": 10.0}  # 1,600 and 800 USD; 2,020 are owed
    first = sold(held, ("ETH",), size=101.0)
    assert index_move(first, 1) == pytest.approx(np.exp(-800.0 / 2e5) - 1.0, rel=1e-12)
    assert index_move(first, 0) == pytest.approx(np.exp(-1220.0 / 1e5) - 1.0, rel=1e-12)
    other = sold(held, ("BTC", "ETH"), size=101.0)
    assert index_move(other, 0) == pytest.approx(np.exp(-1600.0 / 1e5) - 1.0, rel=1e-12)
    assert index_move(other, 1) == pytest.approx(np.exp(-420.0 / 2e5) - 1.0, rel=1e-12)


def test_a_row_of_many_accounts_sells_for_all_of_them():
    many = sold({"BTC": 20.0}, (), weight=3.0)
    assert index_move(many, 0) == pytest.approx(np.exp(-4800.0 / 1e5) - 1.0, rel=1e-12)


def test_a_pool_that_owes_nothing_sells_nothing():
    values = sold({"BTC": 20.0, "USDT": 2500.0}, (), size=120.0)
    assert values["system/liquidated_accounts"][0] == 0.0
    closed = sold({"BTC": 0.5, "USDT": 2300.0}, (), size=115.0)  # closed with 40 USD of margin, no debt in USDT
    assert closed["system/liquidated_accounts"][0] == 1.0
    assert index_move(closed, 0) == 0.0
