"""Payoffs against published sums."""

import pytest

from riskpipe.pricing.payoff import inverse_pnl, linear_pnl, notional_usd, pnl

BYBIT = "https://mobie.io/faq/what-is-the-quotation-method-of-bybit-inverse-perpetual-contracts"
ARTICLE = "https://romanornr.medium.com/trading-bitcoin-inverse-futures-contracts-dbdccae9eddd"
ORANGEX = (
    "https://www.orangex.com/support/help/articles/400-how-to-calculate-profit-%26-loss-for-usdt-margined-perpetual-"
    "contracts"
)


@pytest.mark.parametrize(
    ("quantity_usd", "entry", "exit_price", "coins", "tolerance", "source"),
    [
        (10_000.0, 8_000.0, 12_500.0, 0.45, 1e-12, BYBIT),
        (60_000.0, 600.0, 700.0, 14.286, 5e-4, ARTICLE),
        (-16_000.0, 8_000.0, 10_000.0, -0.4, 5e-4, ARTICLE),
        (16_000.0, 16_000.0, 8_000.0, -1.0, 5e-4, ARTICLE),
    ],
)
def test_inverse_profits_are_the_published_coins(quantity_usd, entry, exit_price, coins, tolerance, source):
    assert inverse_pnl(quantity_usd, 1.0, entry, exit_price) == pytest.approx(coins, abs=tolerance), source


def test_linear_profit_is_the_published_amount():
    # a short of 10,000 USDT from 50,000 to 45,000 is 0.2 coins and earns 1,000
    assert linear_pnl(-10_000.0 / 50_000.0, 1.0, 50_000.0, 45_000.0) == pytest.approx(1_000.0, abs=1e-9), ORANGEX


def test_a_contract_of_many_units_is_that_many_contracts_of_one():
    for is_inverse in (False, True):
        many = pnl(is_inverse=is_inverse, quantity=3.0, multiplier=100.0, entry_price=50.0, mark_price=40.0)
        assert many == pytest.approx(
            pnl(is_inverse=is_inverse, quantity=300.0, multiplier=1.0, entry_price=50.0, mark_price=40.0)
        )
        assert many < 0.0


def test_notional_follows_the_mark_of_linear_contracts_only():
    given = {"quantity": -3.0, "multiplier": 10.0, "mark_price": 40.0, "quote_price": 0.5}
    assert notional_usd(is_inverse=False, **given) == 600.0
    assert notional_usd(is_inverse=True, **given) == 15.0
