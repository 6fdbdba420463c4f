"""Liquidation prices in the closed forms that venues publish, for one tier.

`riskpipe.margin.trigger_prices` finds the same prices for any tiers; these are the words of the venues, to check it by
and to answer for a venue whose page states a rule of its own. `side` is +1 for a long and -1 for a short, sizes are
and entry prices are positive, prices quote units. NaN in, NaN out; a price not above 0 or not finite is none: NaN.
"""

import math
from dataclasses import dataclass
from typing import Literal

Side = Literal[1, -1]


def binance_linear_price(
    *,
    side: Side,
    size: float,
    entry_price: float,
    wallet_balance: float,
    maintenance_rate: float,
    maintenance_amount: float = 0.0,
    other_maintenance: float = 0.0,
    other_unrealised_pnl: float = 0.0,
) -> float:
    """Liquidation price of Binance USD-M in one-way mode: (WB - TMM1 + UPNL1 + cum - s q E) / (q MMR - s q).

    `size` in coins; wallet balance (isolated: the position's), the others' maintenance margin and unrealised PnL at
    their marks (0 for isolated), and the tier's `maintenance_amount` in quote units.
    Source: https://www.binance.com/en/support/faq/b3c689c1f50a44cabb3a84e663b81d93.
    """
    ahead = wallet_balance - other_maintenance + other_unrealised_pnl + maintenance_amount
    return _price(ahead - side * size * entry_price, size * (maintenance_rate - side))


def binance_coin_price(
    *,
    side: Side,
    contracts: float,
    contract_size: float,
    entry_price: float,
    wallet_balance: float,
    maintenance_rate: float,
    maintenance_amount: float = 0.0,
    other_maintenance: float = 0.0,
    other_unrealised_pnl: float = 0.0,
) -> float:
    """Liquidation price of Binance COIN-M in one-way mode: B (MMR + s) / ((WB - TMM1 + UPNL1 + cum) / CM + s B / E).

    `contract_size` CM in USD; balance, margin, PnL and the tier's amount in coins.
    Source: https://www.binance.com/en/support/faq/ceccfcfb4e3a45e3b48b0b1bb1a8ae46.
    """
    ahead = (wallet_balance - other_maintenance + other_unrealised_pnl + maintenance_amount) / contract_size
    return _price(contracts * (maintenance_rate + side), ahead + side * contracts / entry_price)


def hyperliquid_price(
    *, side: Side, price: float, size: float, margin_available: float, maintenance_leverage: float
) -> float:
    """Liquidation price of Hyperliquid: price - s margin_available / size / (1 - l s), l = 1 / maintenance leverage.

    Isolated: `price` is the entry price, `margin_available` the isolated margin less maintenance there; cross: the
    mark, and the account value less its maintenance. Maintenance leverage is twice the maximum leverage of the tier.
    Source: https://hyperliquid.gitbook.io/hyperliquid-docs/trading/liquidations.
    """
    rate = 1.0 / maintenance_leverage
    return _price(price - side * margin_available / size / (1.0 - rate * side), 1.0)


def bybit_linear_price_at_entry(
    *,
    side: Side,
    size: float,
    entry_price: float,
    leverage: float,
    maintenance_rate: float,
    deduction: float = 0.0,
    extra_margin: float = 0.0,
) -> float:
    """Liquidation price of Bybit USDT contracts, isolated, maintenance at entry: E - s ((IM - MM) + extra) / q.

    Source: https://testnet.bybit.com/en-US/help-center/s/article/Liquidation-Price-USDT-Contract.
    """
    value = size * entry_price
    free = value / leverage - (value * maintenance_rate - deduction) + extra_margin
    return _price(entry_price - side * free / size, 1.0)


def bybit_inverse_price_at_entry(
    *,
    side: Side,
    size: float,
    entry_price: float,
    leverage: float,
    maintenance_rate: float,
    deduction: float = 0.0,
    extra_margin: float = 0.0,
) -> float:
    """Liquidation price of Bybit inverse contracts by the older rule, maintenance at entry: N / (N/E + s (IM - MM)).

    `size` N in USD; deduction and extra margin in coins. One print of the page subtracts extra / N from the price,
    which is no price: here extra margin counts as margin, beside IM. Source:
    https://testnet.bybit.com/ar-SA/help-center/article/Liquidation-Price-Calculation-under-Isolated-Mode-Unified-Trading-Account
    (as it was until 2024-09).
    """
    value = size / entry_price
    free = value / leverage - (value * maintenance_rate - deduction) + extra_margin
    return _price(size, value + side * free)


def bybit_inverse_price_at_mark(
    *,
    side: Side,
    size: float,
    entry_price: float,
    leverage: float,
    maintenance_rate: float,
    deduction: float = 0.0,
    extra_margin: float = 0.0,
    taker_rate: float = 0.0,
) -> float:
    """Liquidation price of Bybit inverse contracts by the newer rule, maintenance at the mark.

    N (1 + s MMR) / (N/E + s (N/E/L + extra / (1 + s taker) + deduction)); units as in `bybit_inverse_price_at_entry`.
    Source: https://www.kbybit.com/en/help-center/article/Liquidation-Price-Calculation-under-Isolated-Mode-Unified-Trading-Account
    (updated 2026-05-27).
    """
    value = size / entry_price
    margin = value / leverage + extra_margin / (1.0 + side * taker_rate) + deduction
    return _price(size * (1.0 + side * maintenance_rate), value + side * margin)


@dataclass(frozen=True)
class CrossPrices:
    """Where a cross position is liquidated and where it is bankrupt, quote units."""

    liquidation: float
    bankruptcy: float


def bybit_inverse_cross_prices(
    *,
    side: Side,
    size: float,
    entry_price: float,
    balance: float,
    maintenance_rate: float,
    taker_rate: float,
) -> CrossPrices:
    """Prices of Bybit inverse contracts in cross mode by the older rule: the closing fee is that at bankruptcy.

    Bankruptcy = N (1 + s taker) / (N/E + s balance); liquidation where balance + PnL = N/E MMR + N taker / bankruptcy.
    `size` N in USD, `balance` in coins less order margin. Source:
    https://help.bybit.com/hc/en-us/articles/360039261334-How-to-calculate-Liquidation-Price-Inverse-Contract-.
    """
    value = size / entry_price
    bankruptcy = _price(size * (1.0 + side * taker_rate), value + side * balance)
    fee = size * taker_rate / bankruptcy
    free = balance - value * maintenance_rate - fee
    return CrossPrices(liquidation=_price(size, value + side * free), bankruptcy=bankruptcy)


def _price(numerator: float, denominator: float) -> float:
    price = numerator / denominator if denominator != 0.0 else math.nan
    return price if 0.0 < price < math.inf else math.nan
