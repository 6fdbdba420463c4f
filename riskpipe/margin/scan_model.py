"""Parameters of a portfolio-margin scan: the moves tried, what is charged besides, how the figures combine.

Nothing of a venue is code. SPAN's 16 scenarios, OKX's MR1 to MR7, Deribit's risk matrix with its extended table,
Derive's PMRM and Paradex's grid are values of `ScanModel`; they stand in configs/venues with their sources.

A *group* is a name under which figures are collected: the largest weighted loss over the cells that carry it, plus
every expiry scan and charge that carries it, multiplied by the group's `Multiplier` if it has one. The base of the
requirement is

    max(largest of `largest` + sum of `added`, each of `at_least`)

maintenance margin is `maintenance_factor` times it, initial margin `initial_factor` times it plus `added_to_initial`.

Moves and rates are fractions, times are years unless days are named, money is USD, sizes are units of underlying.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from riskpipe.errors import ConfigError

Kind = Literal["spot", "perpetual", "future", "option"]
KINDS: tuple[Kind, ...] = ("spot", "perpetual", "future", "option")
DAYS_PER_YEAR = 365.0


@dataclass(frozen=True)
class VolShock:
    """How far implied volatilities move in a cell whose `vol_move` is +1 (`up`) or -1 (`down`), by days to expiry.

    The range is `up` or `down` times (reference_days / max(days, floor_days))^power, with the short power up to
    `reference_days` and the long one beyond; where `curve` has rows (days, up, down), the range is read off them
    instead, straight lines between rows and flat outside. Relative ranges multiply the volatility, others are added
    to it (0.30 = 30 points). It never falls below 0, nor in a cell that raises it below `least_raised`.
    """

    name: str = "vol"
    up: float = 0.0
    down: float = 0.0
    short_power: float = 0.0
    long_power: float = 0.0
    reference_days: float = 30.0
    floor_days: float = 1.0
    is_relative: bool = True
    least_raised: float = 0.0
    curve: tuple[tuple[float, float, float], ...] = ()


@dataclass(frozen=True)
class Cell:
    """One state of the market tried: prices move by `price_move` (index, marks, forwards), volatilities by a range.

    The volatility range is that of `vol_shock`, times `vol_move` (+1 up, -1 down, 0 unmoved).

    `weight` is the share of the profit or loss that counts; `relief_usd` is then taken off it, never past zero (a
    dampener). `days` pass. Where profit is measured in the settlement coin, USD become coins at the index moved by
    `settled_at` (`price_move` where it is None).
    """

    price_move: float
    vol_move: float = 0.0
    weight: float = 1.0
    group: str = "scan"
    days: float = 0.0
    vol_shock: str = "vol"
    relief_usd: float = 0.0
    settled_at: float | None = None


@dataclass(frozen=True)
class ExpiryScan:
    """Options of each expiry on their own: the largest loss over `cells`, x (factor + annual_factor x years), summed.

    Expiries do not offset each other: a charge for forwards (or volatilities) of different expiries moving apart.
    """

    group: str
    cells: tuple[Cell, ...]
    factor: float = 1.0
    annual_factor: float = 0.0


@dataclass(frozen=True)
class SizeCharge:
    """Charge of `rate` x price x unsigned size of every holding of the `kinds`.

    `side` counts all holdings or only long or short ones; the price is the index or the holding's own mark (for an
    option the forward of its expiry).
    """

    group: str
    rate: float
    kinds: tuple[Kind, ...] = KINDS
    side: Literal["both", "long", "short"] = "both"
    priced_at: Literal["index", "mark"] = "index"


@dataclass(frozen=True)
class NakedShortCharge:
    """Charge of `rate` x index per option sold beyond those bought at the same strike and expiry, call or put."""

    group: str
    rate: float


@dataclass(frozen=True)
class ExpiryCharge:
    """Charge for the net exposure of each expiry, x move, spot and perpetuals being expiries of their own.

    The exposure is the delta x index, or the USD per 1.00 of volatility; the move is max(least_move, annual_move x
    years). `every` adds up all unsigned products; `offsetting` counts only what hedges across expiries, both sides of
    it: the share of the longs and of the shorts that the smaller total covers (OKX's basis risk: 10 BTC of spot against
    as many of a perpetual at 67,111 and 0.6% are charged 8,053.32, either alone nothing).
    """

    group: str
    annual_move: float = 0.0
    least_move: float = 0.0
    exposure: Literal["delta", "vega"] = "delta"
    counted: Literal["every", "offsetting"] = "every"
    kinds: tuple[Kind, ...] = KINDS


@dataclass(frozen=True)
class DeltaCharge:
    """Charge on the unit's delta: net_rate x |net| + hedged_rate x the smaller of long and short deltas, x index."""

    group: str
    net_rate: float = 0.0
    hedged_rate: float = 0.0
    kinds: tuple[Kind, ...] = KINDS


@dataclass(frozen=True)
class LiquidityCharge:
    """Charge on a large net delta d: |d| x index x min(largest_rate, slope x units of |d| above the threshold).

    Bought options only offset: d is the delta of everything else, brought towards 0 by theirs, never past it.
    """

    group: str
    threshold_usd: float
    slope: float
    largest_rate: float


@dataclass(frozen=True)
class ConfidenceCharge:
    """Charge of (1 - confidence) x factor x index x unsigned size of holdings whose price feed is below `threshold`."""

    group: str
    threshold: float
    factor: float


Charge = SizeCharge | NakedShortCharge | ExpiryCharge | DeltaCharge | LiquidityCharge | ConfidenceCharge


@dataclass(frozen=True)
class Multiplier:
    """Tiers (floor in USD, factor) that a group's figure is multiplied by, band by band.

    Source: OKEx notice of 2021-12-21: of a raw 30,000 with tiers 0 x 1 and 10,000 x 2 become 10,000 + 20,000 x 2.
    """

    group: str
    tiers: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class LongValueDiscount:
    """What the options of an expiry are worth in a cell, if positive, counts for
    factor x exp(-years x (rate_multiple x rate + rate_addition)) of it.
    """  # noqa: D205

    factor: float
    rate_multiple: float = 0.0
    rate_addition: float = 0.0


@dataclass(frozen=True)
class ScanModel:
    """A portfolio-margin rule as values; see the module for how its groups combine.

    `valued_in` says whether a profit is the change of USD value at the moved prices, or the change in each contract's
    settlement asset at today's price (venues that margin coin-settled books in coins). `spot_use` counts spot as a
    whole or only as far as it hedges the derivatives' delta. Below `peg_threshold` of the settlement stablecoin (USD)
    the initial factor grows by peg_factor x the gap. `gain_share` of a cell's profit counts where units are added up.
    Raises ConfigError, every problem listed, where names do not match or a number is out of its range.
    """

    cells: tuple[Cell, ...]
    largest: tuple[str, ...] = ("scan",)
    added: tuple[str, ...] = ()
    at_least: tuple[str, ...] = ()
    added_to_initial: tuple[str, ...] = ()
    vol_shocks: tuple[VolShock, ...] = (VolShock(),)
    expiry_scans: tuple[ExpiryScan, ...] = ()
    charges: tuple[Charge, ...] = ()
    multipliers: tuple[Multiplier, ...] = ()
    long_value: LongValueDiscount | None = None
    valued_in: Literal["usd", "settlement"] = "usd"
    spot_use: Literal["all", "hedge"] = "all"
    maintenance_factor: float = 1.0
    initial_factor: float = 1.0
    peg_threshold: float = 0.0
    peg_factor: float = 0.0
    gain_share: float = 1.0

    def __post_init__(self) -> None:
        """Refuse parameters that cannot be meant."""
        if problems := list(_problems(self)):
            listed = "".join(f"\n  - {problem}" for problem in problems)
            raise ConfigError(f"portfolio margin model: {len(problems)} problem(s){listed}")

    def groups(self) -> tuple[str, ...]:
        """Return every group that a figure of the requirement belongs to, in the order of first use."""
        parts = [*self.cells, *self.expiry_scans, *self.charges]
        return tuple(dict.fromkeys(part.group for part in parts))

    def vol_shock(self, name: str) -> VolShock:
        """Return the volatility shock of a name."""
        return next(shock for shock in self.vol_shocks if shock.name == name)


def _problems(model: ScanModel) -> Iterator[str]:
    groups, shocks = set(model.groups()), {shock.name for shock in model.vol_shocks}
    for use in ("largest", "added", "at_least", "added_to_initial"):
        for group in getattr(model, use):
            if group not in groups:
                yield f"{use}: no cell, scan or charge is of group {group!r}; known are {', '.join(sorted(groups))}"
    used = {*model.largest, *model.added, *model.at_least, *model.added_to_initial}
    for group in sorted(groups - used):
        yield f"group {group!r} is in none of largest, added, at_least, added_to_initial: it would count for nothing"
    if not model.cells and not model.expiry_scans and not model.charges:
        yield "no cell, scan or charge: every requirement would be 0"
    for scan in model.expiry_scans:
        if not scan.cells:
            yield f"expiry scan of group {scan.group!r}: it has no cells"
    for cell in [*model.cells, *(cell for scan in model.expiry_scans for cell in scan.cells)]:
        if not (cell.price_move > -1.0 and (cell.settled_at is None or cell.settled_at > -1.0)):
            yield f"cell {cell}: prices cannot fall by 100% or more"
        if not (cell.weight >= 0.0 and cell.relief_usd >= 0.0 and cell.days >= 0.0):
            yield f"cell {cell}: weight, relief_usd and days are expected to be >= 0"
        if cell.vol_shock not in shocks:
            yield f"cell {cell}: no volatility shock is named {cell.vol_shock!r}"
    for shock in model.vol_shocks:
        if not (shock.floor_days > 0.0 and shock.reference_days > 0.0):
            yield f"volatility shock {shock.name!r}: reference_days and floor_days are expected to be > 0"
        if not _is_rising([row[0] for row in shock.curve]):
            yield f"volatility shock {shock.name!r}: the days of the curve are expected to rise"
    for multiplier in model.multipliers:
        floors = [floor for floor, _ in multiplier.tiers]
        if multiplier.group not in groups or not floors or floors[0] != 0.0 or not _is_rising(floors):
            yield f"multiplier {multiplier}: expected a known group and floors that rise from 0"
    if not 0.0 <= model.maintenance_factor <= model.initial_factor:
        factors = f"{model.maintenance_factor} and {model.initial_factor}"
        yield f"expected 0 <= maintenance_factor <= initial_factor, got {factors}"
    if not (model.peg_factor >= 0.0 and 0.0 <= model.gain_share <= 1.0):
        yield f"expected peg_factor >= 0 and gain_share in [0, 1], got {model.peg_factor} and {model.gain_share}"


def _is_rising(numbers: list[float]) -> bool:
    return all(below < above for below, above in pairwise(numbers))
