"""Tiered margin and haircut collateral, one scalar at a time: the definition the compiled forms are compared with.

Venues count tiers in USD of notional or in coins: these functions take either, and everything they return is in the
unit of the floors.
"""

import math
from collections.abc import Sequence


def next_deduction(floor: float, rate: float, previous_rate: float, previous_deduction: float) -> float:
    """Deduction of a tier from the one below it: d_k = d_(k-1) + floor_k (rate_k - rate_(k-1)), in the floor's unit.

    Source: https://www.binance.com/au/support/faq/b3c689c1f50a44cabb3a84e663b81d93 (USD) and
    https://www.binance.com/es/support/faq/ceccfcfb4e3a45e3b48b0b1bb1a8ae46 (coins).
    """
    return previous_deduction + floor * (rate - previous_rate)


def tier_deductions(floors: Sequence[float], rates: Sequence[float]) -> list[float]:
    """What each tier deducts so that the requirement is continuous, by the recursion of `next_deduction` from 0.

    Known to venues as cum, maintenance amount or maintenance deduction.
    """
    deductions = [0.0]
    for k in range(1, len(floors)):
        deductions.append(next_deduction(floors[k], rates[k], rates[k - 1], deductions[-1]))
    return deductions


def tier_of(notional: float, floors: Sequence[float]) -> int:
    """Index of the tier a notional falls in: the last whose floor does not exceed it (0 for NaN)."""
    k = 0
    while k + 1 < len(floors) and notional >= floors[k + 1]:
        k += 1
    return k


def maintenance_margin(
    notional: float, floors: Sequence[float], rates: Sequence[float], deductions: Sequence[float]
) -> float:
    """Maintenance margin of a notional >= 0: rate_k N - deduction_k of its tier, in the floors' unit; NaN for NaN."""
    k = tier_of(notional, floors)
    return rates[k] * notional - deductions[k]


def initial_margin(notional: float, floors: Sequence[float], rates: Sequence[float]) -> float:
    """Initial margin of a notional >= 0: initial_rate_k N of its tier (it jumps at tier edges); NaN for NaN."""
    return rates[tier_of(notional, floors)] * notional


def initial_rate_at_open_interest(base_rate: float, open_interest: float, lower: float, upper: float) -> float:
    """Initial rate of a market whose open interest nears its cap: from base_rate at `lower` to 1 at `upper` and beyond.

    Open interest and its bounds in one unit, lower < upper. NaN in, NaN out. dYdX v4: min(base + max((OI - lower) /
    (upper - lower), 0) (1 - base), 1), https://github.com/dydxprotocol/v4-chain
    protocol/x/perpetuals/types/liquidity_tier.go.
    """
    share = (open_interest - lower) / (upper - lower)
    if math.isnan(share):
        return math.nan
    return min(base_rate + max(share, 0.0) * (1.0 - base_rate), 1.0)


def collateral_credit(
    value: float, floors: Sequence[float], haircuts: Sequence[float], extra_haircut: float = 0.0
) -> float:
    """Credit in USD for an asset worth `value` USD: par when it is owed (value <= 0); else band by band
    max(0, 1 - haircut_k - extra_haircut) of the value inside the band. No bands: no credit.
    """  # noqa: D205
    if value <= 0.0:
        return value
    credit = 0.0
    for k, floor in enumerate(floors):
        if value <= floor:
            break
        top = floors[k + 1] if k + 1 < len(floors) else value
        credit += (min(value, top) - floor) * max(0.0, 1.0 - haircuts[k] - extra_haircut)
    return credit
