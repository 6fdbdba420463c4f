"""Portfolio-margin models as the bare arrays that compiled code walks: `margin.scan_model` says what each number means.

A model's *columns* are its own cells, then those of its expiry scans. Groups are numbered within their model. Ranges of
volatility are missing here, because they depend on the expiry (`scan_units.UnitTable`), and so is the share of gains
that counts, because no requirement grows or shrinks by a gain.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, chain
from typing import NamedTuple

import numpy as np

from riskpipe.domain.book import Book, BoolArray, FloatArray, IntArray, OffsetArray
from riskpipe.domain.rules import Rules
from riskpipe.margin.scan_model import (
    DAYS_PER_YEAR,
    KINDS,
    Cell,
    Charge,
    ConfidenceCharge,
    DeltaCharge,
    ExpiryCharge,
    Kind,
    LiquidityCharge,
    NakedShortCharge,
    ScanModel,
    SizeCharge,
)
from riskpipe.margin.scan_parameters import scan_model

SPOT, PERPETUAL, FUTURE, OPTION = range(len(KINDS))
UNMOVED, BY_SHARE, BY_POINTS = range(3)  # how a cell moves volatilities
BY_SIZE, BY_NAKED_SHORT, BY_EXPIRY, BY_DELTA, BY_LIQUIDITY, BY_CONFIDENCE = range(6)
LARGEST, ADDED, AT_LEAST, ADDED_TO_INITIAL = range(4)  # what a group's figure is used for
BOTH, LONG, SHORT = range(3)
SIDES = {"both": BOTH, "long": LONG, "short": SHORT}


class Scans(NamedTuple):
    """Models m with their columns k, expiry scans z, charges h, multipliers x with tiers t, and uses u of groups."""

    cell_start: OffsetArray  # [m + 1]
    n_own: IntArray  # [m] columns that are no expiry scan's
    price_move: FloatArray  # [k]
    settled_at: FloatArray  # [k] move of the index at which coins are counted
    vol_form: IntArray  # [k] UNMOVED, BY_SHARE or BY_POINTS
    least_vol: FloatArray  # [k]
    years_passed: FloatArray  # [k]
    weight: FloatArray  # [k]
    relief: FloatArray  # [k] USD, where profit is measured in coins at the moved index
    cell_group: IntArray  # [k] -1 in expiry scans
    scan_start: OffsetArray  # [m + 1]
    scan_group: IntArray  # [z]
    scan_first: IntArray  # [z] column from the model's first
    scan_stop: IntArray  # [z]
    scan_factor: FloatArray  # [z]
    scan_annual_factor: FloatArray  # [z]
    charge_start: OffsetArray  # [m + 1]
    charge_group: IntArray  # [h]
    charge_form: IntArray  # [h] BY_SIZE, ...
    charge_kinds: IntArray  # [h] a bit for each kind counted
    charge_side: IntArray  # [h] BOTH, LONG or SHORT
    charge_is_at_mark: BoolArray  # [h]
    charge_is_vega: BoolArray  # [h]
    charge_is_offsetting: BoolArray  # [h]
    charge_numbers: FloatArray  # [h, 3] see `_lowered`
    multiplier_start: OffsetArray  # [m + 1]
    multiplier_group: IntArray  # [x]
    tier_start: OffsetArray  # [x + 1]
    tier_floor: FloatArray  # [t] USD
    tier_top: FloatArray  # [t] USD
    tier_factor: FloatArray  # [t]
    use_start: OffsetArray  # [m + 1]
    use_form: IntArray  # [u] LARGEST, ...
    use_group: IntArray  # [u]
    n_groups: IntArray  # [m]
    is_in_coin: BoolArray  # [m] profit is measured in the settlement asset
    counts_hedges_only: BoolArray  # [m] of spot
    has_long_value: BoolArray  # [m]
    has_delta: BoolArray  # [m] deltas are asked for
    has_vega: BoolArray  # [m]
    maintenance_factor: FloatArray  # [m]
    initial_factor: FloatArray  # [m]
    peg_threshold: FloatArray  # [m]
    peg_factor: FloatArray  # [m]


class _Lowered(NamedTuple):
    """A charge as codes and numbers."""

    form: int
    numbers: tuple[float, float, float]
    kinds: tuple[Kind, ...] = KINDS
    side: int = BOTH
    is_at_mark: bool = False
    is_vega: bool = False
    is_offsetting: bool = False


def unit_models(book: Book, rules: Rules) -> dict[tuple[int, int], ScanModel]:
    """Return portfolio margin by venue and underlying, where a venue has any."""
    names, found = book.names("asset"), {}
    for v, venue in enumerate(rules.venues):
        for u in book.underlyings.tolist():
            parameters = venue.portfolio.get(names[u], venue.portfolio.get("*"))
            if parameters is not None:
                found[v, u] = scan_model(parameters)
    return found


def columns(model: ScanModel) -> list[Cell]:
    """Return a model's own cells, then those of its expiry scans."""
    return [*model.cells, *(cell for scan in model.expiry_scans for cell in scan.cells)]


def lower_scans(models: Sequence[ScanModel]) -> Scans:
    """Lower models, in their order, to read-only arrays."""
    groups = [{group: n for n, group in enumerate(model.groups())} for model in models]
    own = list(zip(models, groups, strict=True))
    uses = [[(form, of[group]) for form, names in enumerate(_uses(model)) for group in names] for model, of in own]
    charges = [_lowered(charge) for model in models for charge in model.charges]
    multipliers = [(multiplier, of[multiplier.group]) for model, of in own for multiplier in model.multipliers]
    tiers = [tier for multiplier, _ in multipliers for tier in multiplier.tiers]
    return Scans(
        cell_start=_starts(len(columns(model)) for model in models),
        n_own=_integers(len(model.cells) for model in models),
        **_cells(models, groups),
        scan_start=_starts(len(model.expiry_scans) for model in models),
        scan_group=_integers(of[scan.group] for model, of in own for scan in model.expiry_scans),
        scan_first=_integers(edge for model in models for edge in _scan_edges(model)[:-1]),
        scan_stop=_integers(edge for model in models for edge in _scan_edges(model)[1:]),
        scan_factor=_numbers(scan.factor for model in models for scan in model.expiry_scans),
        scan_annual_factor=_numbers(scan.annual_factor for model in models for scan in model.expiry_scans),
        charge_start=_starts(len(model.charges) for model in models),
        charge_group=_integers(of[charge.group] for model, of in own for charge in model.charges),
        charge_form=_integers(charge.form for charge in charges),
        charge_kinds=_integers(sum(1 << KINDS.index(kind) for kind in set(charge.kinds)) for charge in charges),
        charge_side=_integers(charge.side for charge in charges),
        charge_is_at_mark=_flags(charge.is_at_mark for charge in charges),
        charge_is_vega=_flags(charge.is_vega for charge in charges),
        charge_is_offsetting=_flags(charge.is_offsetting for charge in charges),
        charge_numbers=_frozen(np.array([charge.numbers for charge in charges], dtype=np.float64).reshape(-1, 3)),
        multiplier_start=_starts(len(model.multipliers) for model in models),
        multiplier_group=_integers(group for _, group in multipliers),
        tier_start=_starts(len(multiplier.tiers) for multiplier, _ in multipliers),
        tier_floor=_numbers(floor for floor, _ in tiers),
        tier_top=_numbers(
            top for multiplier, _ in multipliers for top in (*(floor for floor, _ in multiplier.tiers[1:]), np.inf)
        ),
        tier_factor=_numbers(factor for _, factor in tiers),
        use_start=_starts(len(of_model) for of_model in uses),
        use_form=_integers(form for form, _ in chain(*uses)),
        use_group=_integers(group for _, group in chain(*uses)),
        n_groups=_integers(len(of) for of in groups),
        is_in_coin=_flags(model.valued_in == "settlement" for model in models),
        counts_hedges_only=_flags(model.spot_use == "hedge" for model in models),
        has_long_value=_flags(model.long_value is not None for model in models),
        has_delta=_flags(model.spot_use == "hedge" or any(map(_asks_delta, model.charges)) for model in models),
        has_vega=_flags(any(map(_asks_vega, model.charges)) for model in models),
        maintenance_factor=_numbers(model.maintenance_factor for model in models),
        initial_factor=_numbers(model.initial_factor for model in models),
        peg_threshold=_numbers(model.peg_threshold for model in models),
        peg_factor=_numbers(model.peg_factor for model in models),
    )


def _cells(models: Sequence[ScanModel], groups: Sequence[dict[str, int]]) -> dict[str, np.ndarray]:
    """Return the fields of `Scans` by column."""
    cells = [(model, cell) for model in models for cell in columns(model)]
    settled = [cell.price_move if cell.settled_at is None else cell.settled_at for _, cell in cells]
    in_group = [
        of[model.cells[k].group] if k < len(model.cells) else -1
        for model, of in zip(models, groups, strict=True)
        for k in range(len(columns(model)))
    ]

    def vol_form(model: ScanModel, cell: Cell) -> int:
        if cell.vol_move == 0.0:
            return UNMOVED
        return BY_SHARE if model.vol_shock(cell.vol_shock).is_relative else BY_POINTS

    return {
        "price_move": _numbers(cell.price_move for _, cell in cells),
        "settled_at": _numbers(settled),
        "vol_form": _integers(vol_form(model, cell) for model, cell in cells),
        "least_vol": _numbers(
            model.vol_shock(cell.vol_shock).least_raised if cell.vol_move > 0.0 else 0.0 for model, cell in cells
        ),
        "years_passed": _numbers(cell.days / DAYS_PER_YEAR for _, cell in cells),
        "weight": _numbers(cell.weight for _, cell in cells),
        "relief": _numbers(
            cell.relief_usd / (1.0 + move) if model.valued_in == "settlement" else cell.relief_usd
            for (model, cell), move in zip(cells, settled, strict=True)
        ),
        "cell_group": _integers(in_group),
    }


def _scan_edges(model: ScanModel) -> list[int]:
    """Return the columns at which a model's expiry scans start, and where the last ends."""
    return list(accumulate((len(scan.cells) for scan in model.expiry_scans), initial=len(model.cells)))


def _uses(model: ScanModel) -> tuple[tuple[str, ...], ...]:
    """Return the groups of each use, in the order of the codes."""
    return model.largest, model.added, model.at_least, model.added_to_initial


def _lowered(charge: Charge) -> _Lowered:
    """Return a charge as codes and numbers."""
    match charge:
        case SizeCharge():
            is_at_mark = charge.priced_at == "mark"
            return _Lowered(BY_SIZE, (charge.rate, 0.0, 0.0), charge.kinds, SIDES[charge.side], is_at_mark)
        case NakedShortCharge():
            return _Lowered(BY_NAKED_SHORT, (charge.rate, 0.0, 0.0))
        case ExpiryCharge():
            return _Lowered(
                BY_EXPIRY,
                (charge.annual_move, charge.least_move, 0.0),
                charge.kinds,
                is_vega=charge.exposure == "vega",
                is_offsetting=charge.counted == "offsetting",
            )
        case DeltaCharge():
            return _Lowered(BY_DELTA, (charge.net_rate, charge.hedged_rate, 0.0), charge.kinds)
        case LiquidityCharge():
            return _Lowered(BY_LIQUIDITY, (charge.threshold_usd, charge.slope, charge.largest_rate))
        case ConfidenceCharge():
            return _Lowered(BY_CONFIDENCE, (charge.threshold, charge.factor, 0.0))


def _asks_delta(charge: Charge) -> bool:
    is_delta_of_expiry = isinstance(charge, ExpiryCharge) and charge.exposure == "delta"
    return is_delta_of_expiry or isinstance(charge, DeltaCharge | LiquidityCharge)


def _asks_vega(charge: Charge) -> bool:
    return isinstance(charge, ExpiryCharge) and charge.exposure == "vega"


def _starts(counts: Iterable[int]) -> OffsetArray:
    return _offsets(accumulate(counts, initial=0))


def _array(dtype: type[np.generic]) -> Callable[[Iterable[object]], np.ndarray]:
    return lambda values: _frozen(np.array(list(values), dtype=dtype))


def _frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


_integers, _offsets, _numbers, _flags = (_array(dtype) for dtype in (np.int32, np.int64, np.float64, np.bool_))
