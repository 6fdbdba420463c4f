"""Requirements and prices that venues work out in their own pages, digit for digit."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskpipe.margin.model import Holding, SizeSlope, Tiered
from riskpipe.margin.tiered import initial_rate_at_open_interest, next_deduction, tier_deductions
from riskpipe.margin.trigger_prices import (
    bankruptcy_price,
    isolated_margin,
    liquidation_price,
    liquidation_prices,
    price_on_tick,
)
from riskpipe.margin.venue_prices import (
    binance_coin_price,
    binance_linear_price,
    bybit_inverse_cross_prices,
    bybit_inverse_price_at_entry,
    bybit_inverse_price_at_mark,
    bybit_linear_price_at_entry,
    hyperliquid_price,
)

FREQTRADE = "https://github.com/freqtrade/freqtrade/blob/c9ae5e1e9ff25bb55dd61f5e5519f7c479291edb/tests/exchange/"
LIQUIDATION = FREQTRADE + "test_exchange.py (test_get_liquidation_price)"
CROSS = FREQTRADE + "test_binance.py (test_liquidation_price_binance)"
LEVERAGE_TIERS = "freqtrade@c9ae5e1e freqtrade/exchange/binance_leverage_tiers.json (2024-10-24)"
USD_M = "https://www.binance.com/au/support/faq/b3c689c1f50a44cabb3a84e663b81d93"
COIN_M = "https://www.binance.com/es/support/faq/ceccfcfb4e3a45e3b48b0b1bb1a8ae46"
COIN_M_TIERS = "https://www.binance.com/en/support/faq/be2c7d9d95b04a7e8044ed02dd7dfe5c"
HYPERLIQUID = "freqtrade tests/exchange/test_hyperliquid.py @3b1fb5af (as the exchange returned it)"
HYPERLIQUID_TIERS = "https://hyperliquid.gitbook.io/hyperliquid-docs/trading/margin-tiers"
BYBIT_USDT = "https://testnet.bybit.com/en-US/help-center/s/article/Liquidation-Price-USDT-Contract"
BYBIT_USDT_2020 = (
    "https://cryptoarmy.io/faq/how-to-calculate-the-liquidation-price-of-usdt-perpetual-contract-on-bybit/"
)
BYBIT_INVERSE = (
    "https://help.bybit.com/hc/en-us/articles/360039261334-How-to-calculate-Liquidation-Price-Inverse-Contract-"
)
PHEMEX = "https://phemex.com/help-center/liq-price-for-USDTM"
DERIBIT = "https://support.deribit.com/hc/en-us/articles/25944738177565-Linear-Perpetual"
DERIBIT_2022 = "https://support.deribit.com/hc/en-us/articles/25944826427293-11-January-2022"


def linear(size, entry, mark=None):
    return Holding(size, False, entry, entry if mark is None else mark, 1.0, 1.0)


def inverse(size, entry):
    return Holding(size, True, entry, entry, 1.0, entry)


def one_tier(rate, deduction=0.0, **terms):
    return Tiered((0.0,), (rate,), (rate,), (deduction,), **terms)


# -------------------------------------------------------------------------------------------- tiers and slopes
def test_binance_maintenance_amounts_are_the_recursion():
    assert next_deduction(250_000.0, 0.01, 0.005, 50.0) == pytest.approx(1_300.0, rel=1e-12), USD_M
    assert next_deduction(50.0, 0.05, 0.025, 0.56) == pytest.approx(1.81, rel=1e-12), COIN_M
    eth = [0.0, 5e4, 6e5, 3e6, 1.2e7, 5e7, 6.5e7, 1.5e8, 3.2e8, 4e8, 5.3e8, 8e8]
    rates = [0.004, 0.005, 0.0065, 0.01, 0.02, 0.025, 0.05, 0.1, 0.125, 0.15, 0.25, 0.5]
    published = [0.0, 50.0, 950.0, 11_450.0, 131_450.0, 381_450.0, 2_006_450.0, 9_506_450.0, 17_506_450.0]
    published += [27_506_450.0, 80_506_450.0, 280_506_450.0]
    assert tier_deductions(eth, rates) == pytest.approx(published, rel=1e-12), LEVERAGE_TIERS


@pytest.mark.parametrize(
    ("floors", "amount"),
    [((0.0, 10.0, 20.0, 30.0, 50.0, 100.0, 200.0), 11.81), ((0.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0), 11.605)],
    ids=["until 2021-07", "since 2021-07"],
)
def test_binance_coin_tiers_take_300_coins_at_an_eighth_less_the_published_amount(floors, amount):
    rates = (0.004, 0.005, 0.01, 0.025, 0.05, 0.1, 0.125)
    model = Tiered(floors, tuple(2.0 * rate for rate in rates), rates, unit="coin")
    assert model.deductions[-1] == pytest.approx(amount, rel=1e-12), (COIN_M, COIN_M_TIERS)
    holding = inverse(300.0 * 25_000.0, 25_000.0)
    assert model.maintenance_margin(holding) == pytest.approx((300.0 * 0.125 - amount) * 25_000.0)
    # 100 contracts of 100 USD at 25,000 are 0.4 coins in the first tier
    assert model.maintenance_margin(inverse(1e4, 25_000.0)) / 25_000.0 == pytest.approx(0.0016, rel=1e-12), COIN_M


def test_hyperliquid_halves_the_initial_rate_of_each_tier():
    model = Tiered((0.0, 1.5e8), (1 / 40, 1 / 20), (1 / 80, 1 / 40))
    assert model.maintenance_margin(linear(2_000.0, 1e5)) == pytest.approx(3.125e6), HYPERLIQUID_TIERS


@pytest.mark.parametrize(
    ("model", "price", "size", "initial", "maintenance"),
    [
        (SizeSlope(0.02, 0.01, 5e-5, 5e-5), 1e5, 25.0, 53_125.0, 28_125.0),
        (SizeSlope(0.02, 0.01, 5e-5, 5e-5), 1e5, 350.0, 1_312_500.0, 962_500.0),
        (SizeSlope(0.04, 0.02, 5e-6, 5e-6), 200.0, 25.0, 200.625, 100.625),
        (SizeSlope(0.04, 0.02, 5e-6, 5e-6), 200.0, 6_000.0, 84_000.0, 60_000.0),
    ],
)
def test_deribit_margin_grows_with_the_square_of_size(model, price, size, initial, maintenance):
    holding = linear(size, price)
    assert model.initial_margin(holding) == pytest.approx(initial, abs=1e-6), DERIBIT
    assert model.maintenance_margin(holding) == pytest.approx(maintenance, abs=1e-6), DERIBIT


def test_deribit_coin_contracts_have_the_same_rates_of_coins():
    before, after = SizeSlope(0.02, 0.01, 2e-6, 2e-6), SizeSlope(0.02, 0.01, 4e-6, 4e-6)
    holding = inverse(1e6 * 2_500.0, 2_500.0)  # a million coins
    assert before.maintenance_margin(holding) / 2_500.0 == pytest.approx(1e6 * 2.01), DERIBIT_2022
    assert after.maintenance_margin(holding) / 2_500.0 == pytest.approx(1e6 * 4.01), DERIBIT_2022


def test_dydx_initial_rate_rises_with_open_interest():
    source = "dydxprotocol/v4-chain protocol/x/perpetuals/types/liquidity_tier.go"
    rates = [initial_rate_at_open_interest(0.2, oi, 25e6, 50e6) for oi in (0.0, 25e6, 37.5e6, 50e6, 1e9)]
    assert rates == pytest.approx([0.2, 0.2, 0.6, 1.0, 1.0]), source
    assert math.isnan(initial_rate_at_open_interest(0.2, math.nan, 25e6, 50e6))


# ------------------------------------------------------------------------------------------ liquidation prices
@pytest.mark.parametrize(
    ("side", "leverage", "entry", "binance", "gate", "bybit"),
    [
        (-1, 5.0, 10.0, 11.89108910891089, 11.87413417771621, 11.9),
        (-1, 3.0, 10.0, 13.211221122079207, 13.193482419684678, 13.233333333),
        (-1, 5.0, 8.0, 9.514851485148514, 9.499307342172967, None),
        (1, 5.0, 10.0, 8.070707070707071, 8.085708510208207, 8.1),
        (1, 3.0, 10.0, 6.723905723905723, 6.738090425173506, 6.7666666667),
        (1, 1.0, 10.0, None, None, 0.1),
        (-1, 1.0, 10.0, None, None, 19.9),
        (1, 10.0, 10.0, None, None, 9.1),
        (-1, 10.0, 10.0, None, None, 10.9),
    ],
)
def test_one_position_has_the_price_of_each_venues_rule(side, leverage, entry, binance, gate, bybit):
    holding, margin = linear(float(side), entry), entry / leverage
    if binance is not None:
        found = liquidation_price(one_tier(0.01, 0.01), holding, balance=margin)
        assert found == pytest.approx(binance, rel=1e-9), LIQUIDATION
    if gate is not None:
        found = liquidation_price(one_tier(0.01, fee_rate=0.0006), holding, balance=margin)
        assert found == pytest.approx(gate, rel=1e-12), LIQUIDATION
    if bybit is not None:
        found = liquidation_price(one_tier(0.01, valued_at="entry"), holding, balance=margin)
        assert found == pytest.approx(bybit, rel=1e-6), LIQUIDATION


@pytest.mark.parametrize(("side", "price"), [(-1, 11.897689768976898), (1, 8.063973063973064)])
def test_the_maintenance_amount_weighs_more_on_a_smaller_position(side, price):
    found = liquidation_price(one_tier(0.01, 0.01), linear(0.6 * side, 10.0), balance=1.2)
    assert found == pytest.approx(price, rel=1e-12), LIQUIDATION


BINANCE_ACCOUNT = {"wallet_balance": 1_535_443.01}
ETH = {"size": 3_683.979, "entry_price": 1_456.84, "maintenance_rate": 0.10, "maintenance_amount": 135_365.0}
BTC = {"size": 109.488, "entry_price": 32_481.980, "maintenance_rate": 0.025, "maintenance_amount": 16_300.0}


@pytest.mark.parametrize(
    ("position", "others", "price"),
    [
        (ETH, (0.0, 0.0), 1_114.78),
        (BTC, (0.0, 0.0), 18_778.73),
        (ETH, (71_200.81144, -56_354.57), 1_153.26),
        (BTC, (356_512.508, -448_192.89), 26_316.89),
    ],
    ids=["ETH isolated", "BTC isolated", "ETH cross", "BTC cross"],
)
def test_binance_freezes_the_other_positions_at_their_marks(position, others, price):
    maintenance, pnl = others
    found = binance_linear_price(
        side=1, other_maintenance=maintenance, other_unrealised_pnl=pnl, **BINANCE_ACCOUNT, **position
    )
    assert found == pytest.approx(price, abs=0.005), CROSS
    model = one_tier(position["maintenance_rate"], position["maintenance_amount"])
    holding = linear(position["size"], position["entry_price"])
    general = liquidation_price(model, holding, balance=1_535_443.01, other_excess_usd=pnl - maintenance)
    assert general == pytest.approx(found, rel=1e-12)


def test_in_hedge_mode_both_legs_add_to_binances_formula():
    # (WB + cumL + cumS - L EPL + S EPS) / (L MMRL + S MMRS - L + S)
    legs = [linear(3.0, 100.0, 110.0), linear(-1.0, 120.0, 110.0)]
    expected = (40.0 + 2.0 * 1.5 - 300.0 + 120.0) / (3.0 * 0.02 + 0.02 - 3.0 + 1.0)
    found = liquidation_prices(one_tier(0.02, 1.5), legs, balance=40.0)
    assert found.down == pytest.approx(expected, rel=1e-12), USD_M
    assert math.isnan(found.up)


@given(
    st.sampled_from([1, -1]),
    st.floats(1.0, 1e4),
    st.floats(0.0, 5.0),
    st.floats(0.0, 0.2),
    st.floats(0.0, 0.1),
    st.floats(-0.1, 0.1),
)
def test_binances_coin_formula_is_the_general_solution(side, contracts, balance, rate, amount, other):
    holding = inverse(side * contracts * 100.0, 20_000.0)
    general = liquidation_price(one_tier(rate, amount, unit="coin"), holding, balance=balance + other)
    closed = binance_coin_price(
        side=side,
        contracts=contracts,
        contract_size=100.0,
        entry_price=20_000.0,
        wallet_balance=balance,
        maintenance_rate=rate,
        maintenance_amount=amount,
        other_unrealised_pnl=other,
    )
    assert general == pytest.approx(closed, rel=1e-9, nan_ok=True), COIN_M


def test_hyperliquid_price_is_the_one_that_the_exchange_returned():
    terms = {"side": 1, "price": 62_739.0, "size": 0.00077, "maintenance_leverage": 100.0}
    margin = 24.137992
    found = hyperliquid_price(margin_available=margin - 0.01 * 62_739.0 * 0.00077, **terms)
    # the margin is printed to a millionth, 1.3e-3 of price
    assert found == pytest.approx(31_708.03843631, abs=1.3e-3), HYPERLIQUID
    general = liquidation_price(one_tier(0.01), linear(0.00077, 62_739.0), balance=margin)
    assert general == pytest.approx(found, rel=1e-12)
    # from any mark, with the margin that is left there
    left = margin + 0.00077 * (50_000.0 - 62_739.0) - 0.01 * 50_000.0 * 0.00077
    again = hyperliquid_price(margin_available=left, **(terms | {"price": 50_000.0}))
    assert again == pytest.approx(found, rel=1e-12)


@pytest.mark.parametrize(
    ("side", "entry", "leverage", "price", "source"),
    [
        (1, 20_000.0, 50.0, 19_700.0, BYBIT_USDT),
        (1, 10_000.0, 50.0, 9_850.0, BYBIT_USDT_2020),
        (-1, 8_000.0, 40.0, 8_160.0, BYBIT_USDT_2020),
    ],
)
def test_bybit_usdt_contracts_keep_the_maintenance_of_their_entry(side, entry, leverage, price, source):
    terms = {"side": side, "size": 1.0, "entry_price": entry, "leverage": leverage, "maintenance_rate": 0.005}
    assert bybit_linear_price_at_entry(**terms) == pytest.approx(price, rel=1e-12), source
    # extra margin moves the price by its share per coin
    assert bybit_linear_price_at_entry(**terms, extra_margin=10.0) == pytest.approx(price - side * 10.0)
    holding = linear(float(side), entry)
    balance = isolated_margin(holding, leverage) + 10.0
    general = liquidation_price(one_tier(0.005, valued_at="entry"), holding, balance=balance)
    assert general == pytest.approx(price - side * 10.0, rel=1e-12)


@pytest.mark.parametrize(("side", "old", "new"), [(1, 45_662.10, 45_681.82), (-1, 55_248.62, 55_277.78)])
def test_bybit_inverse_contracts_have_two_answers_by_date(side, old, new):
    terms = {"side": side, "size": 60_000.0, "entry_price": 50_000.0, "leverage": 10.0, "maintenance_rate": 0.005}
    assert bybit_inverse_price_at_entry(**terms) == pytest.approx(old, abs=0.005)
    assert bybit_inverse_price_at_mark(**terms) == pytest.approx(new, abs=0.005)


@given(st.sampled_from([1, -1]), st.floats(1.1, 50.0), st.floats(0.0, 0.02), st.floats(0.0, 0.002), st.floats(0.0, 0.5))
def test_bybits_inverse_rules_are_coin_tiers_at_entry_and_at_mark(side, leverage, rate, deduction, extra):
    holding = inverse(side * 60_000.0, 50_000.0)
    terms = {"size": 60_000.0, "entry_price": 50_000.0, "leverage": leverage, "maintenance_rate": rate}
    terms |= {"side": side, "deduction": deduction, "extra_margin": extra}
    balance = isolated_margin(holding, leverage) + extra
    for when, closed in (("entry", bybit_inverse_price_at_entry), ("mark", bybit_inverse_price_at_mark)):
        model = one_tier(rate, deduction, unit="coin", valued_at=when)
        general = liquidation_price(model, holding, balance=balance)
        assert general == pytest.approx(closed(**terms), rel=1e-9, nan_ok=True)
    # a closing fee set aside from extra margin: 1 + s taker of it is left
    with_fee = bybit_inverse_price_at_mark(**terms, taker_rate=0.0006)
    less = liquidation_price(
        one_tier(rate, deduction, unit="coin"), holding, balance=balance - extra + extra / (1.0 + side * 0.0006)
    )
    assert with_fee == pytest.approx(less, rel=1e-9, nan_ok=True)


def test_bybits_older_cross_rule_charges_the_fee_of_the_bankruptcy_price():
    terms = {"size": 1e4, "entry_price": 8_000.0, "balance": 0.5, "maintenance_rate": 0.005, "taker_rate": 0.00075}
    prices = bybit_inverse_cross_prices(side=1, **terms)
    assert prices.bankruptcy == pytest.approx(5_718.57, abs=0.005), BYBIT_INVERSE
    assert price_on_tick(prices.liquidation, 0.5, is_long=True) == 5_739.5, BYBIT_INVERSE
    holding = inverse(1e4, 8_000.0)
    assert bankruptcy_price(holding, balance=0.5, fee_rate=0.00075) == pytest.approx(prices.bankruptcy, rel=1e-12)
    short = bybit_inverse_cross_prices(side=-1, **terms)
    assert short.bankruptcy > short.liquidation > 8_000.0
    assert bankruptcy_price(inverse(-1e4, 8_000.0), balance=0.5, fee_rate=0.00075) == pytest.approx(short.bankruptcy)


def test_phemex_has_its_closing_fee_inside_the_trigger():
    # 500 contracts of 0.4 at 5x: 200 of value, and a margin that holds the fee at bankruptcy
    margin = 200.0 / 5.0 + (200.0 - 200.0 / 5.0) * 0.0006
    found = liquidation_price(one_tier(0.01, fee_rate=0.0006), linear(500.0, 0.4), balance=margin)
    assert found == pytest.approx(0.3232, abs=5e-5), PHEMEX


def test_a_linear_price_has_the_textbook_form():
    # 100 at 10x and 0.5%: E (1 -+ 1/L) / (1 -+ rate)
    for side, price in ((1.0, 90.4522613), (-1.0, 109.4527363)):
        assert liquidation_price(one_tier(0.005), linear(side, 100.0), balance=10.0) == pytest.approx(price, abs=1e-6)
