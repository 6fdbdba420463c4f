"""Black-76: published values, parity, bounds, greeks as slopes, implied volatility, and recorded option chains."""

import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from riskpipe.pricing.black76 import (
    delta,
    implied_volatility,
    inverse_option_value,
    option_value,
    settlement_payoff,
    settlement_pnl,
    vega,
)

SAS = "SAS documentation of BLACKCLPRC"
HULL = "MathWorks documentation of blkprice, which is Hull's example of an option on futures"
DERIBIT = "https://www.deribit.com/pages/docs/options example 1; https://deribit.com/docs/options-documentation 1 and 2"
CHAINS = Path(__file__).resolve().parents[3] / "shared" / "data" / "deribit_options"

forwards = st.floats(1e-3, 1e6)
moneyness = st.floats(0.2, 5.0)
years = st.floats(1e-4, 5.0)
volatilities = st.floats(0.01, 5.0)


@pytest.mark.parametrize(
    ("strike", "time", "forward", "rate", "volatility", "call"),
    [(50.0, 0.25, 48.0, 0.05, 0.25, 1.5513014272), (9.0, 1 / 12, 10.0, 0.05, 0.2, 1.0031514194)],
)
def test_a_discounted_call_is_worth_the_published_value(strike, time, forward, rate, volatility, call):
    found = option_value(True, forward, strike, time, volatility, math.exp(-rate * time))
    assert found == pytest.approx(call, abs=1e-9), SAS


@pytest.mark.parametrize("is_call", [True, False])
def test_at_the_money_call_and_put_are_worth_the_published_value(is_call):
    found = option_value(is_call, 20.0, 20.0, 1 / 3, 0.25, math.exp(-0.09 / 3))
    assert found == pytest.approx(1.1166, abs=5e-5), HULL


@pytest.mark.parametrize(
    ("is_call", "strike", "settlement", "premium", "payoff", "pnl"),
    [
        (True, 10_000.0, 12_500.0, 0.05, 0.2, 0.15),
        (True, 300.0, 400.0, 0.01, 0.25, 0.24),
        (False, 300.0, 200.0, 0.01, 0.5, 0.49),
        (False, 300.0, 400.0, 0.01, 0.0, -0.01),
    ],
)
def test_a_coin_settled_option_pays_the_published_coins(is_call, strike, settlement, premium, payoff, pnl):
    assert settlement_payoff(is_call, settlement, strike) == pytest.approx(payoff, abs=1e-12), DERIBIT
    assert settlement_pnl(is_call, 1.0, settlement, strike, premium) == pytest.approx(pnl, abs=1e-12), DERIBIT
    assert settlement_pnl(is_call, -3.0, settlement, strike, premium) == pytest.approx(-3.0 * pnl, abs=1e-12)


def test_coin_parity_is_the_forward_minus_the_strike_over_the_forward():
    forward, strike, time, volatility = 60_000.0, 65_000.0, 30 / 365, 0.6
    call = inverse_option_value(True, forward, strike, time, volatility)
    put = inverse_option_value(False, forward, strike, time, volatility)
    assert call - put == pytest.approx(-1 / 12, abs=1e-12)
    assert (call, put) == pytest.approx((0.0372978026, 0.1206311359), abs=1e-10)


@given(forwards, moneyness, years, volatilities, st.floats(0.5, 1.0))
def test_parity_and_bounds_hold_everywhere(forward, ratio, time, volatility, discount):
    strike = ratio * forward
    call = option_value(True, forward, strike, time, volatility, discount)
    put = option_value(False, forward, strike, time, volatility, discount)
    largest = max(forward, strike)
    assert call - put == pytest.approx(discount * (forward - strike), abs=1e-15 * largest)
    assert discount * max(0.0, forward - strike) <= call <= discount * forward * (1.0 + 1e-15)
    assert discount * max(0.0, strike - forward) <= put <= discount * strike * (1.0 + 1e-15)
    more = option_value(True, forward, strike, time, 1.1 * volatility, discount)
    assert more >= call - 1e-15 * largest
    assert option_value(True, 2.0 * forward, 2.0 * strike, time, volatility, discount) == pytest.approx(2.0 * call)


@given(st.floats(10.0, 1e5), moneyness, st.floats(0.01, 3.0), st.floats(0.1, 3.0), st.booleans())
def test_greeks_are_the_slopes_of_the_value(forward, ratio, time, volatility, is_call):
    strike, discount = ratio * forward, 0.9

    def value(at_forward, at_volatility):
        return option_value(is_call, at_forward, strike, time, at_volatility, discount)

    step = 1e-5 * volatility * math.sqrt(time) * forward
    slope = (value(forward + step, volatility) - value(forward - step, volatility)) / (2.0 * step)
    assert delta(is_call, forward, strike, time, volatility, discount) == pytest.approx(slope, abs=1e-6)
    step = 1e-5 * volatility
    slope = (value(forward, volatility + step) - value(forward, volatility - step)) / (2.0 * step)
    found = vega(forward, strike, time, volatility, discount)
    assert found == pytest.approx(slope, rel=1e-5, abs=1e-6 * forward)
    assert found >= 0.0


@given(forwards, st.floats(0.05, 20.0), years, st.floats(0.01, 8.0), st.floats(0.5, 1.0), st.booleans())
def test_implied_volatility_gives_the_price_back(forward, ratio, time, volatility, discount, is_call):
    strike = ratio * forward
    price = option_value(is_call, forward, strike, time, volatility, discount)
    found = implied_volatility(is_call, price, forward, strike, time, discount)
    bound = discount * (forward if is_call else strike)
    if price >= bound * (1.0 - 1e-15):
        return  # at its bound in floating point: no volatility in particular
    assert option_value(is_call, forward, strike, time, found, discount) == pytest.approx(
        price, abs=4e-15 * max(forward, strike)
    )
    slope = vega(forward, strike, time, volatility, discount)
    if slope * volatility > 1e-6 * max(forward, strike):  # where the price says something about the volatility
        assert found == pytest.approx(volatility, rel=1e-7)


def test_implied_volatility_is_zero_at_the_intrinsic_value_and_undefined_outside_the_bounds():
    assert implied_volatility(True, 9.0, 110.0, 100.0, 1.0, 0.9) == 0.0
    for price in (8.9, 99.0, 120.0, math.nan):  # below intrinsic, at the bound, beyond it
        assert math.isnan(implied_volatility(True, price, 110.0, 100.0, 1.0, 0.9))
    assert math.isnan(implied_volatility(False, 90.0, 110.0, 100.0, 1.0, 0.9))
    assert math.isnan(implied_volatility(True, 20.0, 110.0, 100.0, 0.0, 1.0))
    # a millionth of a cent far out of the money still has one
    tiny = option_value(True, 100.0, 1_000.0, 0.1, 0.7, 1.0)
    assert 0.0 < tiny < 1e-20
    assert implied_volatility(True, 1e-8, 100.0, 1_000.0, 0.1, 1.0) > 0.7


@pytest.mark.parametrize(("time", "volatility"), [(0.0, 0.5), (-0.1, 0.5), (1.0, 0.0), (0.0, 0.0)])
def test_without_time_or_volatility_an_option_is_worth_exercising_it(time, volatility):
    for forward, strike in ((110.0, 100.0), (100.0, 110.0), (100.0, 100.0)):
        assert option_value(True, forward, strike, time, volatility, 0.9) == 0.9 * max(0.0, forward - strike)
        assert option_value(False, forward, strike, time, volatility, 0.9) == 0.9 * max(0.0, strike - forward)
        assert vega(forward, strike, time, volatility, 1.0) == 0.0
        share = 0.5 if forward == strike else float(forward > strike)
        assert delta(True, forward, strike, time, volatility, 1.0) == share
        assert delta(False, forward, strike, time, volatility, 1.0) == share - 1.0


def test_at_the_edges_values_are_limits():
    assert option_value(True, 0.0, 100.0, 1.0, 0.5, 1.0) == 0.0
    assert option_value(False, 0.0, 100.0, 1.0, 0.5, 1.0) == 100.0
    assert option_value(True, 100.0, 100.0, 1.0, math.inf, 1.0) == 100.0
    assert option_value(False, 100.0, 90.0, 1.0, 1e9, 1.0) == 90.0
    assert option_value(True, 100.0, 1e9, 0.01, 0.1, 1.0) == 0.0
    assert option_value(True, 1e9, 1.0, 0.01, 0.1, 1.0) == 1e9 - 1.0
    nearly = option_value(True, 100.0, 100.0, 1.0, 1e-9, 1.0)  # at the money: F x s / sqrt(2 pi)
    assert nearly == pytest.approx(100.0 * 1e-9 / math.sqrt(2.0 * math.pi), rel=1e-6)


@pytest.mark.parametrize("place", range(5))
def test_nan_in_is_nan_out(place):
    numbers = [100.0, 90.0, 0.5, 0.6, 1.0]
    for at_expiry in (False, True):
        given_numbers = [*numbers]
        if at_expiry:
            given_numbers[2] = 0.0
        given_numbers[place] = math.nan
        for is_call in (True, False):
            assert math.isnan(option_value(is_call, *given_numbers))
            assert math.isnan(delta(is_call, *given_numbers))
        if not (at_expiry and place == 4):
            assert math.isnan(vega(*given_numbers))


def test_compiled_as_they_stand_the_values_have_the_same_bits():
    rng = np.random.default_rng(1)
    compiled_value, compiled_delta, compiled_vega = (
        njit(error_model="numpy")(function) for function in (option_value, delta, vega)
    )
    for row in rng.uniform([50.0, 50.0, -0.1, -0.1], [150.0, 150.0, 2.0, 2.0], (300, 4)).tolist():
        for is_call in (True, False):
            assert compiled_value(is_call, *row, 0.9) == option_value(is_call, *row, 0.9)
            assert compiled_delta(is_call, *row, 0.9) == delta(is_call, *row, 0.9)
        assert compiled_vega(*row, 0.9) == vega(*row, 0.9)


@pytest.mark.skipif(not CHAINS.is_dir(), reason=f"recorded option chains are not at ../shared/data ({CHAINS})")
@pytest.mark.parametrize("coin", ["btc", "eth"])
def test_recorded_chains_are_repriced_from_their_volatilities_and_give_them_back(coin):
    """Deribit's marks in coins of 2021-02-11, with the forward of each expiry and rate 0: rounding apart they agree."""
    errors, deltas, volatilities_back = [], [], []
    for row in pq.read_table(CHAINS / f"deribit_{coin}_chain_2021-02.parquet").to_pylist():
        forward, strike, time = row["underlying_price"], row["strike"], row["T"]
        is_call, volatility = row["cp"] == "C", row["mark_iv"] / 100.0
        mark = inverse_option_value(is_call, forward, strike, time, volatility)
        errors.append(abs(mark - row["mark_price"]))
        deltas.append(abs(delta(is_call, forward, strike, time, volatility, 1.0) - row["greeks.delta"]))
        found = implied_volatility(is_call, row["mark_price"] * forward, forward, strike, time, 1.0)
        if 0.1 < abs(row["greeks.delta"]) < 0.9:
            volatilities_back.append(abs(found - volatility))
    assert len(errors) > 900
    assert np.median(errors) < 1e-5
    assert max(errors) < 6e-4
    assert max(deltas) < 1e-4
    assert np.median(volatilities_back) < 2e-4
    assert max(volatilities_back) < 0.02


@pytest.mark.skipif(not CHAINS.is_dir(), reason=f"recorded option chains are not at ../shared/data ({CHAINS})")
def test_a_recorded_chain_without_volatilities_gets_them():
    """Marks of 2024-01-08 come without volatilities; call and put of one strike must imply the same one."""
    implied = {}
    for row in pq.read_table(CHAINS / "deribit_eth_book_summary_2024-01-08.parquet").to_pylist():
        expiry = np.datetime64(f"20{row['expire_date'][-2:]}", "Y")
        month = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"].index(
            row["expire_date"][-5:-2]
        )
        day = expiry.astype("datetime64[M]") + month
        at = day.astype("datetime64[h]") + np.timedelta64(24 * (int(row["expire_date"][:-5]) - 1) + 8, "h")
        time = float((at - np.datetime64(row["ts"].replace(tzinfo=None))) / np.timedelta64(365 * 24, "h"))
        forward, strike = row["underlying_price"], float(row["strike_price"])
        found = implied_volatility(row["option_type"] == "C", row["mark_price"] * forward, forward, strike, time, 1.0)
        implied.setdefault((row["expire_date"], strike), []).append((found, vega(forward, strike, time, 0.6, 1.0)))
    pairs = [pair for pair in implied.values() if len(pair) == 2 and pair[0][1] > 1.0]
    assert len(pairs) > 150
    gaps = [abs(call - put) for (call, _), (put, _) in pairs]
    assert np.median(gaps) < 1e-3
    assert all(0.2 < volatility < 3.0 for pair in pairs for volatility, _ in pair)
