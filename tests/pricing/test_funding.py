"""Funding: the clamp's dead band, each venue's share and cap, and who pays whom."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskpipe.pricing.funding import (
    RULES,
    FundingRule,
    annual_band,
    annual_rate,
    clamped_rate,
    dead_band,
    funding_payment,
    funding_rate,
    premium_index,
    rate_cap,
    rising_average,
)

premiums = st.floats(-0.1, 0.1)


@given(premium=premiums, interest=st.floats(-1e-3, 1e-3), clamp=st.floats(0.0, 1e-3))
def test_within_the_band_the_rate_is_the_interest_and_beyond_it_moves_with_the_premium(premium, interest, clamp):
    rate = clamped_rate(premium, interest, clamp)
    if abs(interest - premium) <= clamp:
        assert rate == pytest.approx(interest, abs=1e-15)
    else:
        assert rate == pytest.approx(premium + np.copysign(clamp, interest - premium), abs=1e-15)


@given(premium=premiums)
def test_a_clamp_without_interest_is_a_damper(premium):
    """Deribit, Funding specifications: max(0.025%, premium) + min(-0.025%, premium)."""
    damped = max(2.5e-4, premium) + min(-2.5e-4, premium)
    assert funding_rate(premium, RULES["deribit"]) == pytest.approx(damped, abs=1e-15)


@pytest.mark.parametrize("venue", RULES)
def test_rates_rise_with_the_premium_within_the_cap(venue):
    rule = replace(RULES[venue], cap=min(RULES[venue].cap, 0.003))
    rates = funding_rate(np.linspace(-0.2, 0.2, 401), rule)
    assert (np.diff(rates) >= 0.0).all()
    assert rates[0] == -rule.cap
    assert rates[-1] == rule.cap
    assert rule.source


def test_worked_rates_of_venues():
    # Hyperliquid docs: impact price 1% over the index, 8-hour rate 0.95%, an eighth of it each hour
    assert funding_rate(0.01, RULES["hyperliquid"]) == pytest.approx(0.0095 / 8.0)
    assert funding_rate(0.5, RULES["hyperliquid"]) == 0.04
    # half the interval, half the interest: a contract that settles every 4 hours
    assert funding_rate(0.0, replace(RULES["binance"], interval_hours=4.0)) == pytest.approx(5e-5)
    assert rate_cap(0.004) == pytest.approx(0.003)
    assert dead_band(RULES["binance"]) == pytest.approx((-4e-4, 6e-4))
    assert annual_band(RULES["binance"]) == pytest.approx(0.5475)
    assert annual_rate(1e-4, 8.0) == pytest.approx(0.1095)


def test_an_order_book_around_the_index_has_no_premium():
    assert premium_index(99.0, 101.0, 100.0) == 0.0
    assert premium_index(100.5, 101.0, 100.0) == pytest.approx(0.005)
    assert premium_index(98.0, 99.0, 100.0) == pytest.approx(-0.01)
    np.testing.assert_allclose(premium_index(np.array([99.0, 102.0]), np.array([101.0, 103.0]), 100.0), [0.0, 0.02])


def test_the_last_premium_weighs_most():
    assert rising_average(np.array([0.0, 0.0, 6.0])) == pytest.approx(3.0)
    assert rising_average(np.full(480, 2e-4)) == pytest.approx(2e-4)


@given(rate=st.floats(-0.01, 0.01), quantity=st.floats(-1e3, 1e3), price=st.floats(1.0, 1e5))
def test_what_longs_pay_shorts_receive(rate, quantity, price):
    for pays in (funding_payment, partial(funding_payment, is_inverse=True)):
        assert pays(quantity, 2.0, price, rate) == -pays(-quantity, 2.0, price, rate)
        assert pays(quantity, 2.0, price, rate, 0.25) == pytest.approx(0.25 * pays(quantity, 2.0, price, rate))
    # an inverse position's coins are worth the linear payment on its quote value
    coins = funding_payment(quantity, 100.0, price, rate, is_inverse=True)
    assert coins * price == pytest.approx(quantity * 100.0 * rate)


def test_unknown_premiums_stay_unknown():
    assert np.isnan(funding_rate(np.array([np.nan, 0.0]), RULES["binance"])).tolist() == [True, False]


@pytest.mark.parametrize("wrong", [{"interval_hours": 0.0}, {"clamp": -1e-4}, {"cap": -1.0}])
def test_what_is_no_rule_is_refused(wrong):
    with pytest.raises(ValueError, match="must"):
        FundingRule(**({"interval_hours": 8.0, "premium_hours": 8.0, "interest": 0.0, "clamp": 0.0} | wrong))
