"""Portfolio margin by scan: the scalar definition of what a `ScanModel` requires for one risk unit.

Cells are repriced one holding at a time (`risk_unit.cell_change`), so that a compiled form can keep, per instrument,
the USD that one unit of size gains in every cell: a pool's profit in a cell is then the sum of size x that number, and
only what stands in this module and in `scan_charges` is left to do per pool.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, fields, replace

from riskpipe.margin.risk_unit import UnitHolding, UnitMarket, cell_change, unit_delta, unit_value
from riskpipe.margin.scan_charges import charge_usd, expiry_of, multiplied
from riskpipe.margin.scan_model import Cell, ExpiryScan, LongValueDiscount, ScanModel


@dataclass(frozen=True)
class ScanResult:
    """What a model requires for one risk unit, and why. Every number is NaN where an input is.

    `groups` are the figures that were combined, USD >= 0, after multipliers. `changes` is the profit of each of the
    model's cells, USD signed, after weight, relief and gain share. `worst_cells` names for each group the cell of its
    largest loss, an index into the model's cells, -1 where none of its cells loses.
    """

    maintenance_margin: float
    initial_margin: float
    groups: dict[str, float]
    changes: tuple[float, ...]
    worst_cells: dict[str, int]


def requirement(model: ScanModel, holdings: Sequence[UnitHolding], market: UnitMarket) -> ScanResult:
    """What a model requires for the holdings of one risk unit, USD: 0 <= maintenance margin <= initial margin.

    An account's requirement is the sum over its risk units (OKX and Derive add them up).
    """
    if _has_nan(holdings, market):
        nan = math.nan
        return ScanResult(
            nan, nan, dict.fromkeys(model.groups(), nan), (nan,) * len(model.cells), dict.fromkeys(model.groups(), -1)
        )
    counted = in_use(model, holdings, market)
    changes = tuple(cell_profit(model, cell, counted, market) for cell in model.cells)
    groups, worst_cells = {}, {}
    for group in model.groups():
        groups[group], worst_cells[group] = _figure(model, group, changes, counted, market)
    base = combined(model, groups)
    initial_factor = model.initial_factor + model.peg_factor * max(0.0, model.peg_threshold - market.peg_price)
    initial = initial_factor * base + math.fsum(groups[group] for group in model.added_to_initial)
    return ScanResult(model.maintenance_factor * base, initial, groups, changes, worst_cells)


def combined(model: ScanModel, groups: dict[str, float]) -> float:
    """Base of the requirement from the figures of its groups, USD: max(largest + added, each of at_least).

    NaN where a figure that counts is. The combination is OKX's MMR = max(max(MR1, MR2, MR6) + MR3 + MR4 + MR5, MR7).
    """
    if any(math.isnan(groups[group]) for group in (*model.largest, *model.added, *model.at_least)):
        return math.nan
    largest = max((groups[group] for group in model.largest), default=0.0)
    total = largest + math.fsum(groups[group] for group in model.added)
    return max(total, *(groups[group] for group in model.at_least)) if model.at_least else total


def in_use(model: ScanModel, holdings: Sequence[UnitHolding], market: UnitMarket) -> list[UnitHolding]:
    """Return the holdings that a model counts: all, or spot only as far as it hedges the delta of the rest.

    Source: OKX, Portfolio margin mode (Risk Unit Merge), "Spot in use".
    """
    if model.spot_use == "all":
        return list(holdings)
    derivatives = [holding for holding in holdings if holding.instrument.kind != "spot"]
    spot = [holding for holding in holdings if holding.instrument.kind == "spot"]
    owned = math.fsum(holding.size for holding in spot)
    to_hedge = -math.fsum(holding.size * unit_delta(model, holding.instrument, market) for holding in derivatives)
    share = max(0.0, min(1.0, to_hedge / owned)) if owned != 0.0 else 0.0
    return derivatives + [replace(holding, size=share * holding.size) for holding in spot]


def cell_profit(model: ScanModel, cell: Cell, holdings: Sequence[UnitHolding], market: UnitMarket) -> float:
    """USD that the holdings gain in a cell, signed, after weight, relief and gain share."""
    settled = cell.price_move if cell.settled_at is None else cell.settled_at
    relief = cell.relief_usd / (1.0 + settled) if model.valued_in == "settlement" else cell.relief_usd
    profit = cell.weight * unit_profit(model, cell, holdings, market)
    profit = math.copysign(max(0.0, abs(profit) - relief), profit)
    return model.gain_share * profit if profit > 0.0 else profit


def unit_profit(model: ScanModel, cell: Cell, holdings: Sequence[UnitHolding], market: UnitMarket) -> float:
    """USD that the holdings gain in a cell, signed, before weight and relief; long expiries are discounted."""
    total = 0.0
    values: dict[Hashable, list[float]] = {}  # of each expiry's options: worth now, worth then, discount
    for holding in holdings:
        instrument = holding.instrument
        change = holding.size * cell_change(model, cell, instrument, market)
        total += change
        if model.long_value is not None and instrument.kind == "option":
            factor = long_value_factor(model.long_value, instrument.years, instrument.rate)
            worth = values.setdefault(expiry_of(instrument), [0.0, factor])
            worth[0] += holding.size * unit_value(instrument, market) + change
    return total - math.fsum((1.0 - factor) * max(0.0, worth) for worth, factor in values.values())


def long_value_factor(discount: LongValueDiscount, years: float, rate: float) -> float:
    """Share of an expiry's positive option value that counts in a cell."""
    return discount.factor * math.exp(-years * (discount.rate_multiple * rate + discount.rate_addition))


def expiry_scan_usd(model: ScanModel, scan: ExpiryScan, holdings: Sequence[UnitHolding], market: UnitMarket) -> float:
    """USD of an expiry scan: every expiry's options on their own, each at the cell worst for it."""
    total = 0.0
    options = [holding for holding in holdings if holding.instrument.kind == "option"]
    for years in sorted({holding.instrument.years for holding in options}):
        own = [holding for holding in options if holding.instrument.years == years]
        losses = [
            -cell.weight * math.fsum(h.size * cell_change(model, cell, h.instrument, market) for h in own)
            for cell in scan.cells
        ]
        total += max(0.0, *losses) * (scan.factor + scan.annual_factor * years)
    return total


def worst_cell(model: ScanModel, group: str, changes: Sequence[float]) -> tuple[float, int]:
    """Return the largest loss over a group's cells, USD >= 0, and its cell, -1 where none of them loses.

    `changes` holds the profit of each of the model's cells, USD signed; of equal losses the first counts. NaN, -1
    where a change of the group is NaN.
    """
    if any(math.isnan(change) for cell, change in zip(model.cells, changes, strict=True) if cell.group == group):
        return math.nan, -1
    worst, worst_ix = 0.0, -1
    for k, cell in enumerate(model.cells):
        if cell.group == group and -changes[k] > worst:
            worst, worst_ix = -changes[k], k
    return worst, worst_ix


def _figure(
    model: ScanModel, group: str, changes: Sequence[float], holdings: Sequence[UnitHolding], market: UnitMarket
) -> tuple[float, int]:
    worst, worst_ix = worst_cell(model, group, changes)
    parts = [worst]
    parts += [expiry_scan_usd(model, scan, holdings, market) for scan in model.expiry_scans if scan.group == group]
    parts += [charge_usd(model, charge, holdings, market) for charge in model.charges if charge.group == group]
    figure = math.fsum(parts)
    for multiplier in model.multipliers:
        if multiplier.group == group:
            figure = multiplied(multiplier, figure)
    return figure, worst_ix


def _has_nan(holdings: Sequence[UnitHolding], market: UnitMarket) -> bool:
    parts: list[object] = [market, *holdings, *(holding.instrument for holding in holdings)]
    values = [getattr(part, field.name) for part in parts for field in fields(part)]  # type: ignore[arg-type]
    return any(isinstance(value, float) and math.isnan(value) for value in values)
