"""Tiered margin and haircut collateral: published tables, and what every ladder must satisfy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskpipe.margin.tiered import (
    collateral_credit,
    initial_margin,
    maintenance_margin,
    tier_deductions,
    tier_of,
)

GIST = (
    "https://gist.github.com/highfestiva/b71e76f51eed84d56c1be8ebbcc286b5 ; recursion"
    " https://www.binance.com/au/support/faq/b3c689c1f50a44cabb3a84e663b81d93"
)
FREQTRADE = "https://github.com/freqtrade/freqtrade/blob/c9ae5e1e9ff25bb55dd61f5e5519f7c479291edb/"
LEVERAGE_TIERS = FREQTRADE + "freqtrade/exchange/binance_leverage_tiers.json (2024-10-24)"
LOOKUP = FREQTRADE + "tests/exchange/test_exchange.py (test_get_maintenance_ratio_and_amt)"
HYPERLIQUID = "https://hyperliquid.gitbook.io/hyperliquid-docs/trading/margin-tiers"
BYBIT = "https://www.bybit-global.com/kk-KZ/help-center Maintenance Margin (USDT Contract): 3500 in tiers of 1000"
OKX = "https://www.globenewswire.com/news-release/2024/07/18/2915393/0/en/OKX-Adjusts-Discount-Rates-for-BETH.html"

BTC_2021 = (
    [0.0, 5e4, 2.5e5, 1e6, 1e7, 2e7, 5e7, 1e8, 2e8, 3e8],
    [0.004, 0.005, 0.01, 0.025, 0.05, 0.1, 0.125, 0.15, 0.25, 0.5],
    [0.0, 50.0, 1_300.0, 16_300.0, 266_300.0, 1_266_300.0, 2_516_300.0, 5_016_300.0, 25_016_300.0, 100_016_300.0],
)
BTC_2024 = (
    [0.0, 5e4, 6e5, 3e6, 1.2e7, 7e7, 1e8, 2.3e8, 4.8e8, 6e8, 8e8, 1.2e9],
    [0.004, 0.005, 0.0065, 0.01, 0.02, 0.025, 0.05, 0.1, 0.125, 0.15, 0.25, 0.5],
    [
        *(0.0, 50.0, 950.0, 11_450.0, 131_450.0, 481_450.0, 2_981_450.0, 14_481_450.0),
        *(26_481_450.0, 41_481_450.0, 121_481_450.0, 421_481_450.0),
    ],
)


@pytest.mark.parametrize(("table", "source"), [(BTC_2021, GIST), (BTC_2024, LEVERAGE_TIERS)], ids=["2021", "2024"])
def test_deductions_are_the_published_maintenance_amounts(table, source):
    floors, rates, published = table
    assert tier_deductions(floors, rates) == pytest.approx(published, rel=1e-9), source


@pytest.mark.parametrize(("notional", "rate", "amount"), [(2e7, 0.5, 1_527_500.0), (500.0, 0.025, 0.0)])
def test_a_notional_falls_in_its_published_tier(notional, rate, amount):
    floors, rates = [0.0, 1e5, 5e5, 1e6, 2e6, 5e6], [0.025, 0.05, 0.1, 0.15, 0.25, 0.5]
    k, deductions = tier_of(notional, floors), tier_deductions(floors, rates)
    assert (rates[k], deductions[k]) == (rate, pytest.approx(amount, rel=1e-9)), LOOKUP
    assert maintenance_margin(notional, floors, rates, deductions) == pytest.approx(rate * notional - amount)


@pytest.mark.parametrize(
    ("floors", "rates", "notional", "margin", "source"),
    [
        # half the initial rate of leverage 20 and 10, and of 25 and 15
        ([0.0, 7e7], [1 / 40, 1 / 20], 1e8, 3_250_000.0, HYPERLIQUID),
        ([0.0, 1e8], [1 / 50, 1 / 30], 1.5e8, 3_666_666.666666667, HYPERLIQUID),
        ([0.0, 1e3, 2e3, 3e3, 4e3], [0.02, 0.025, 0.03, 0.035, 0.04], 3_500.0, 92.5, BYBIT),
    ],
    ids=["hyperliquid SOL", "hyperliquid ETH", "bybit"],
)
def test_maintenance_margin_is_the_published_one(floors, rates, notional, margin, source):
    found = maintenance_margin(notional, floors, rates, tier_deductions(floors, rates))
    assert found == pytest.approx(margin, rel=1e-9), source


def test_collateral_credit_is_the_published_one():
    # 2m at 95%, 2m at 85%, the last of 5m at 50%
    credit = collateral_credit(5e6, [0.0, 2e6, 4e6, 8e6], [0.05, 0.15, 0.5, 1.0])
    assert credit == pytest.approx(4.1e6, rel=1e-9), OKX


@st.composite
def ladders(draw):
    n = draw(st.integers(1, 8))
    steps = draw(st.lists(st.floats(1.0, 1e7), min_size=n - 1, max_size=n - 1))
    rises = draw(st.lists(st.floats(1e-4, 0.1), min_size=n, max_size=n))
    factor = draw(st.floats(1.0, 2.0))
    rates = np.cumsum(rises).tolist()
    return np.concatenate(([0.0], np.cumsum(steps))).tolist(), rates, [factor * rate for rate in rates]


@given(ladders(), st.floats(0.0, 1e9))
def test_maintenance_margin_is_convex_the_largest_tier_line_and_never_above_initial(ladder, notional):
    floors, rates, initial_rates = ladder
    deductions = tier_deductions(floors, rates)
    margin = maintenance_margin(notional, floors, rates, deductions)
    lines = [rate * notional - deduction for rate, deduction in zip(rates, deductions, strict=True)]
    assert margin == pytest.approx(max(lines), rel=1e-9, abs=1e-6)
    assert margin >= -1e-9 * notional
    assert margin <= initial_margin(notional, floors, initial_rates) * (1.0 + 1e-12)
    # band by band, as venues explain it
    tops = [*floors[1:], np.inf]
    by_band = sum(
        rate * max(0.0, min(notional, top) - floor) for floor, top, rate in zip(floors, tops, rates, strict=True)
    )
    assert margin == pytest.approx(by_band, rel=1e-9, abs=1e-6)


@given(ladders())
def test_maintenance_margin_is_continuous_across_tier_edges(ladder):
    floors, rates, _ = ladder
    deductions = tier_deductions(floors, rates)
    for k, floor in enumerate(floors[1:], start=1):
        below = np.nextafter(floor, 0.0)
        assert (tier_of(below, floors), tier_of(floor, floors)) == (k - 1, k)
        assert maintenance_margin(below, floors, rates, deductions) == pytest.approx(
            maintenance_margin(floor, floors, rates, deductions), rel=1e-12, abs=1e-12 * floor
        )


@given(
    st.floats(-1e6, 1e6),
    st.lists(st.floats(0.0, 1.0), min_size=1, max_size=5),
    st.floats(0.0, 0.5),
    st.floats(0.0, 1e5),
)
def test_credit_is_par_when_owed_and_else_continuous_and_never_more_than_the_value(value, haircuts, extra, more):
    floors = [1e4 * k for k in range(len(haircuts))]
    credit = collateral_credit(value, floors, haircuts, extra)
    if value <= 0.0:
        assert credit == value
        return
    assert 0.0 <= credit <= value
    assert credit <= collateral_credit(value, floors, haircuts)
    grown = collateral_credit(value + more, floors, haircuts, extra)
    assert -1e-6 <= grown - credit <= more + 1e-6
    assert collateral_credit(value, [], []) == 0.0
