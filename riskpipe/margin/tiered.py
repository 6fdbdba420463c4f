"""Tiered margin and haircut collateral, one scalar at a time: the definition the compiled forms are compared with."""

from collections.abc import Sequence


def tier_deductions(floors: Sequence[float], rates: Sequence[float]) -> list[float]:
    """USD deducted in each tier so that the requirement is continuous: d_k = d_(k-1) + floor_k (rate_k - rate_(k-1)).

    Known to venues as cum, maintenance amount or maintenance deduction.
    """
    deductions = [0.0]
    for k in range(1, len(floors)):
        deductions.append(deductions[-1] + floors[k] * (rates[k] - rates[k - 1]))
    return deductions


def tier_of(notional: float, floors: Sequence[float]) -> int:
    """Index of the tier a USD notional falls in: the last whose floor does not exceed it."""
    k = 0
    while k + 1 < len(floors) and notional >= floors[k + 1]:
        k += 1
    return k


def maintenance_margin(
    notional: float, floors: Sequence[float], rates: Sequence[float], deductions: Sequence[float]
) -> float:
    """Maintenance margin of a USD notional >= 0, USD: rate_k N - deduction_k of its tier."""
    k = tier_of(notional, floors)
    return rates[k] * notional - deductions[k]


def initial_margin(notional: float, floors: Sequence[float], rates: Sequence[float]) -> float:
    """Initial margin of a USD notional >= 0, USD: initial_rate_k N of its tier (it jumps at tier edges)."""
    return rates[tier_of(notional, floors)] * notional


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
