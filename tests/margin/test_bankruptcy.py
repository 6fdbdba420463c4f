"""Bankruptcy prices: the published ones, and what is left after closing at them: nothing."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskpipe.margin.bankruptcy import (
    OraclePosition,
    cross_bankruptcy_quote,
    cross_bankruptcy_quote_in_quanta,
    cross_maintenance_margin,
    net_collateral,
)
from riskpipe.margin.model import Holding
from riskpipe.margin.trigger_prices import bankruptcy_price, isolated_margin, price_on_tick

BYBIT_ADL = "https://help.bybit.com/hc/en-us/articles/900000031623"
DYDX = "https://github.com/dydxprotocol/v4-chain protocol/x/clob/keeper/liquidations_test.go"


def test_bankruptcy_prices_are_the_published_ones():
    holding = Holding(1.0, False, 10_000.0, 10_000.0, 1.0, 1.0)
    assert bankruptcy_price(holding, balance=isolated_margin(holding, 50.0)) == pytest.approx(9_800.0)
    holding = Holding(5_000.0, True, 7_890.08, 7_890.08, 1.0, 7_890.08)
    price = bankruptcy_price(holding, balance=isolated_margin(holding, 50.0))
    assert price == pytest.approx(7_735.372549, abs=1e-6), BYBIT_ADL
    assert price_on_tick(price, 0.5, is_long=True) == 7_735.5, BYBIT_ADL


BTC_ORACLE, ETH_ORACLE = 50_000.0, 3_000.0


@pytest.mark.parametrize(
    ("balance", "btc", "eth", "closes", "change", "published"),
    [
        (-4_501.0, 0.1, 0.0, "btc", -0.1, 4_501.0),
        (5_499.0, -0.1, 0.0, "btc", 0.1, -5_499.0),
        (-5_000.0, 0.1, 0.0, "btc", -0.05, 2_500.0),
        (-5_100.0, 0.1, 0.0, "btc", -0.1, 5_100.0),
        (-490.0, 0.004, 0.1, "eth", -0.1, 294.0),
        (510.0, -0.004, -0.1, "eth", 0.1, -306.0),
        (110.0, 0.004, -0.1, "eth", 0.1, -306.0),
        (-13.0, 1.0, 0.0, "btc", -0.00021347, 0.002776),
    ],
)
def test_dydx_shares_net_collateral_by_maintenance_margin(balance, btc, eth, closes, change, published):
    positions = [OraclePosition(btc, BTC_ORACLE, 0.1), OraclePosition(eth, ETH_ORACLE, 0.1)]
    closed = ["btc", "eth"].index(closes)
    in_quanta = cross_bankruptcy_quote_in_quanta(balance, positions, closed, change, 1e-6)
    assert in_quanta == pytest.approx(published, abs=1e-9), DYDX
    exact = cross_bankruptcy_quote(balance, positions, closed, change)
    assert 0.0 <= in_quanta - exact + 1e-9 <= 1e-6 + 2e-9


@given(
    st.floats(-1e6, 1e6),
    st.lists(st.tuples(st.floats(-50.0, 50.0), st.floats(1.0, 1e5), st.floats(0.001, 0.2)), min_size=1, max_size=5),
    st.floats(0.01, 1.0),
)
def test_closing_every_position_at_its_bankruptcy_price_leaves_nothing(balance, rows, share):
    positions = [OraclePosition(*row) for row in rows if abs(row[0]) > 1e-3]
    if not positions:
        return
    scale = abs(balance) + sum(abs(p.size) * p.price for p in positions)
    received = sum(cross_bankruptcy_quote(balance, positions, k, -p.size) for k, p in enumerate(positions))
    assert abs(balance + received) <= 1e-9 * scale
    # a part of one position, closed there, leaves collateral over margin as it was
    first = positions[0]
    quote = cross_bankruptcy_quote(balance, positions, 0, -share * first.size)
    rest = [OraclePosition((1.0 - share) * first.size, first.price, first.maintenance_rate), *positions[1:]]
    before = net_collateral(balance, positions) / cross_maintenance_margin(positions)
    after = net_collateral(balance + quote, rest)
    assert abs(after - before * cross_maintenance_margin(rest)) <= 1e-9 * scale


@given(
    st.integers(-(10**9), 10**9),
    st.lists(st.tuples(st.integers(-(10**9), 10**9), st.integers(1, 200_000)), min_size=1, max_size=4),
    st.floats(0.001, 1.0),
)
def test_quanta_round_margins_up_and_the_share_of_collateral_down(balance, rows, part):
    # at a price of 1, sizes in millionths are whole quanta of a millionth
    values, rates = [value for value, _ in rows], [rate for _, rate in rows]
    change = -round(part * values[0])
    if change == 0:
        return

    def margin(value, rate):
        return math.ceil(Fraction(abs(value) * rate, 10**6))

    total = sum(map(margin, values, rates))
    freed = margin(values[0], rates[0]) - margin(values[0] + change, rates[0])
    expected = math.ceil(-change - Fraction((balance + sum(values)) * freed, total))
    positions = [OraclePosition(value / 1e6, 1.0, rate / 1e6) for value, rate in rows]
    found = cross_bankruptcy_quote_in_quanta(balance / 1e6, positions, 0, change / 1e6, 1e-6)
    assert round(found / 1e-6) == expected


def test_what_is_no_reduction_has_no_bankruptcy_price():
    positions = [OraclePosition(1.0, 100.0, 0.1), OraclePosition(-2.0, 10.0, 0.0)]
    for change in (0.5, -1.5, 0.0):
        with pytest.raises(ValueError, match="expected the opposite sign"):
            cross_bankruptcy_quote(0.0, positions, 0, change)
        with pytest.raises(ValueError, match="expected the opposite sign"):
            cross_bankruptcy_quote_in_quanta(0.0, positions, 0, change, 1e-6)
    assert math.isnan(cross_bankruptcy_quote(0.0, positions[1:], 0, 1.0))
    assert math.isnan(cross_bankruptcy_quote_in_quanta(0.0, positions[1:], 0, 1.0, 1e-6))
    assert math.isnan(cross_bankruptcy_quote(math.nan, positions, 0, -1.0))
    assert math.isnan(cross_bankruptcy_quote_in_quanta(math.nan, positions, 0, -1.0, 1e-6))
