"""Position models: what a venue requires of one position in one state of the market.

A model is a frozen dataclass of parameters; the venues' own numbers are configuration, and what cannot be meant is a
ConfigError that lists every problem. Requirements are USD. To find the prices at which something happens, a model also
describes its requirement as `Piece`s: the same requirement in the settlement asset, as the mark moves and everything
else stays.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, Protocol

from riskpipe.errors import ConfigError
from riskpipe.margin.tiered import initial_margin, maintenance_margin, tier_deductions

TierUnit = Literal["usd", "coin"]
Valuation = Literal["mark", "entry"]
Requirement = Literal["maintenance", "initial"]


@dataclass(frozen=True)
class Holding:
    """One position in one state of the market."""

    size: float
    """Contracts x multiplier, + long, - short: units of the underlying (linear), quote units (inverse)."""
    is_inverse: bool
    entry_price: float
    """Quote units."""
    mark_price: float
    """Quote units."""
    quote_price: float
    """USD per quote unit."""
    settlement_price: float
    """USD per unit of the settlement asset: the quote asset's (linear), the coin's (inverse)."""

    def at_mark(self, price: float) -> "Holding":
        """Return the same position with its mark at `price` (quote units).

        The coin that an inverse contract settles in moves with the mark, in proportion; a quote asset stays.
        """
        moved = self.settlement_price * price / self.mark_price if self.is_inverse else self.settlement_price
        return replace(self, mark_price=price, settlement_price=moved)


@dataclass(frozen=True)
class Piece:
    """A requirement in the settlement asset over a range of x: constant + slope x + curvature x^2.

    x is the mark for linear contracts and 1/mark for inverse ones, so that PnL is a line in it. The range is
    [lower, upper) in x, and the pieces of a requirement follow each other from 0 to infinity.
    """

    lower: float
    upper: float
    constant: float
    slope: float
    curvature: float = 0.0


class PositionModel(Protocol):
    """What a margin model of single positions answers. `tests/margin/conformance.py` holds what each must satisfy."""

    def maintenance_margin(self, holding: Holding) -> float:
        """Maintenance margin, USD >= 0; the position is liquidatable when equity is less."""
        ...

    def initial_margin(self, holding: Holding) -> float:
        """Initial margin, USD, never less than maintenance."""
        ...


class PiecewiseModel(PositionModel, Protocol):
    """A model whose requirement is known as a function of the mark, piece by piece."""

    def pieces(self, holding: Holding, requirement: Requirement) -> tuple[Piece, ...]:
        """Return a requirement as the mark moves (see `Piece`), in the settlement asset."""
        ...


@dataclass(frozen=True)
class Tiered:
    """Tiers of notional: rate_k N - deduction_k of the tier that N falls in, with an initial rate beside it.

    `deductions` left empty are recomputed so that the requirement is continuous; given ones are used as they are.
    `unit` is what tiers count: USD of notional (|size| mark S_q linear, |size| S_q inverse), or coins (|size| linear,
    |size| / price inverse), where the requirement is in coins and worth the coin's USD price. `valued_at` entry takes
    the notional at the entry price, whatever the mark does: an inverse requirement is then a constant amount of coins.
    `fee_rate` is a closing fee that counts in the trigger, on the notional at the mark; it is part of both
    requirements, so that initial is never below maintenance for its sake.

    Sources: https://www.binance.com/au/support/faq/b3c689c1f50a44cabb3a84e663b81d93 (USD),
    https://www.binance.com/es/support/faq/ceccfcfb4e3a45e3b48b0b1bb1a8ae46 (coins), entry:
    https://testnet.bybit.com/en-US/help-center/s/article/Liquidation-Price-USDT-Contract; fee:
    open-lib.com/11556 (OKX).
    """

    floors: tuple[float, ...]
    initial_rates: tuple[float, ...]
    maintenance_rates: tuple[float, ...]
    deductions: tuple[float, ...] = ()
    unit: TierUnit = "usd"
    valued_at: Valuation = "mark"
    fee_rate: float = 0.0

    def __post_init__(self) -> None:
        """Refuse tiers that are none, all reasons at once; recompute deductions that are not given."""
        floors, initial, maintenance = self.floors, self.initial_rates, self.maintenance_rates
        problems = []
        if not floors or {len(initial), len(maintenance), len(self.deductions) or len(floors)} != {len(floors)}:
            problems.append(
                f"floors, initial_rates, maintenance_rates and deductions have {len(floors)}, {len(initial)}, "
                f"{len(maintenance)} and {len(self.deductions)} entries: give each tier one of each (or no deductions)"
            )
        else:
            if floors[0] != 0.0 or not _rises(floors, is_strict=True):
                problems.append(f"floors {floors}: expected 0 first and then rising numbers")
            if not (initial[0] >= 0.0 and maintenance[0] >= 0.0 and _rises(initial) and _rises(maintenance)):
                problems.append(
                    f"rates {initial} and {maintenance}: expected none below 0 and none below the one before"
                )
            if not all(low <= high for low, high in zip(maintenance, initial, strict=True)):
                problems.append(f"maintenance_rates {maintenance}: expected none above initial_rates {initial}")
        problems += _fee_problems(self.fee_rate)
        _raise("Tiered", problems)
        if not self.deductions:
            object.__setattr__(self, "deductions", tuple(tier_deductions(floors, maintenance)))

    def maintenance_margin(self, holding: Holding) -> float:
        """Maintenance margin, USD, closing fee included; NaN for NaN."""
        amount, unit_price = self._measured(holding)
        return self._in_tiers(amount, "maintenance") * unit_price + self._fee(holding)

    def initial_margin(self, holding: Holding) -> float:
        """Initial margin, USD, closing fee included (it jumps at tier edges); NaN for NaN."""
        amount, unit_price = self._measured(holding)
        return self._in_tiers(amount, "initial") * unit_price + self._fee(holding)

    def pieces(self, holding: Holding, requirement: Requirement) -> tuple[Piece, ...]:
        """Return a requirement as the mark moves: a piece for each tier where tiers follow the mark, else one."""
        size = abs(holding.size)
        if size == 0.0:
            return (Piece(0.0, math.inf, 0.0, 0.0),)
        rates = self.maintenance_rates if requirement == "maintenance" else self.initial_rates
        deductions = self.deductions if requirement == "maintenance" else (0.0,) * len(self.floors)
        # settlement units for a USD: as they are for a quote asset, per unit of x for a coin that moves with the mark
        per_usd = (holding.mark_price if holding.is_inverse else 1.0) / holding.settlement_price
        per_quote = per_usd * holding.quote_price
        is_coins_of_inverse = self.unit == "coin" and holding.is_inverse
        fee = self.fee_rate * size * (1.0 if is_coins_of_inverse else per_quote)
        if self.valued_at == "entry":
            value = self._in_tiers(self._measured(holding)[0], requirement)
            if self.unit == "usd":
                value *= per_usd / (holding.entry_price if holding.is_inverse else 1.0)
            elif not holding.is_inverse:
                value *= per_quote * holding.entry_price
            return (Piece(0.0, math.inf, value, fee),)
        if (self.unit == "coin") != holding.is_inverse:  # the amount that tiers count does not follow the mark
            value = self._in_tiers(self._measured(holding)[0], requirement)
            return (Piece(0.0, math.inf, 0.0, value * (per_usd if holding.is_inverse else per_quote) + fee),)
        per_x = size if is_coins_of_inverse else size * holding.quote_price
        per_unit = 1.0 if is_coins_of_inverse else per_usd
        tops = (*self.floors[1:], math.inf)
        return tuple(
            Piece(floor / per_x, top / per_x, -deduction * per_unit, rate * per_x * per_unit + fee)
            for floor, top, rate, deduction in zip(self.floors, tops, rates, deductions, strict=True)
        )

    def _in_tiers(self, amount: float, requirement: Requirement) -> float:
        if requirement == "initial":
            return initial_margin(amount, self.floors, self.initial_rates)
        return maintenance_margin(amount, self.floors, self.maintenance_rates, self.deductions)

    def _measured(self, holding: Holding) -> tuple[float, float]:
        """Return the amount that tiers count, and the USD that a unit of the requirement is worth."""
        size = abs(holding.size)
        price = holding.mark_price if self.valued_at == "mark" else holding.entry_price
        if self.unit == "coin":
            if holding.is_inverse:
                return size / price, holding.settlement_price
            return size, price * holding.quote_price
        if holding.is_inverse:
            return size * holding.quote_price, holding.mark_price / price if self.valued_at == "entry" else 1.0
        return size * price * holding.quote_price, 1.0

    def _fee(self, holding: Holding) -> float:
        size = abs(holding.size)
        if not holding.is_inverse:
            value = size * holding.mark_price * holding.quote_price
        elif self.unit == "coin":
            value = size / holding.mark_price * holding.settlement_price
        else:
            value = size * holding.quote_price
        return self.fee_rate * value


@dataclass(frozen=True)
class SizeSlope:
    """Rates that grow with size: (rate + slope x coins) x notional, where coins are |size| (linear) or |size| / price.

    The requirement is in coins, worth the coin's USD price (mark x S_q linear, the settlement asset inverse); it is
    quadratic in size. `valued_at` and `fee_rate` are those of `Tiered`.

    Source: https://support.deribit.com/hc/en-us/articles/25944738177565-Linear-Perpetual and, for the coin-settled
    contracts, https://support.deribit.com/hc/en-us/articles/25944826427293-11-January-2022.
    """

    initial_rate: float
    maintenance_rate: float
    initial_slope: float = 0.0
    """Per coin."""
    maintenance_slope: float = 0.0
    """Per coin."""
    valued_at: Valuation = "mark"
    fee_rate: float = 0.0

    def __post_init__(self) -> None:
        """Refuse rates below 0, and maintenance above initial, all reasons at once."""
        problems = _fee_problems(self.fee_rate)
        for name, low, high in (
            ("rate", self.maintenance_rate, self.initial_rate),
            ("slope", self.maintenance_slope, self.initial_slope),
        ):
            if not 0.0 <= low <= high:
                problems.append(
                    f"{name}s {low} (maintenance) and {high} (initial): expected 0 <= maintenance <= initial"
                )
        _raise("SizeSlope", problems)

    def maintenance_margin(self, holding: Holding) -> float:
        """Maintenance margin, USD, closing fee included; NaN for NaN."""
        return self._margin(holding, self.maintenance_rate, self.maintenance_slope)

    def initial_margin(self, holding: Holding) -> float:
        """Initial margin, USD, closing fee included; NaN for NaN."""
        return self._margin(holding, self.initial_rate, self.initial_slope)

    def pieces(self, holding: Holding, requirement: Requirement) -> tuple[Piece, ...]:
        """Return a requirement as the mark moves: one piece, a line in the mark (linear) or a parabola in 1/mark."""
        rate, slope = self.maintenance_rate, self.maintenance_slope
        if requirement == "initial":
            rate, slope = self.initial_rate, self.initial_slope
        size = abs(holding.size)
        per_coin = 1.0 if holding.is_inverse else holding.quote_price / holding.settlement_price
        fee = self.fee_rate * size * per_coin
        if self.valued_at == "entry":
            coins = size / holding.entry_price if holding.is_inverse else size
            value = (rate + slope * coins) * coins * per_coin
            return (Piece(0.0, math.inf, value if holding.is_inverse else value * holding.entry_price, fee),)
        if holding.is_inverse:
            return (Piece(0.0, math.inf, 0.0, rate * size + fee, slope * size * size),)
        return (Piece(0.0, math.inf, 0.0, (rate + slope * size) * size * per_coin + fee),)

    def _margin(self, holding: Holding, rate: float, slope: float) -> float:
        price = holding.mark_price if self.valued_at == "mark" else holding.entry_price
        size = abs(holding.size)
        if holding.is_inverse:
            coins, closed, coin_price = size / price, size / holding.mark_price, holding.settlement_price
            return ((rate + slope * coins) * coins + self.fee_rate * closed) * coin_price
        value = (rate + slope * size) * size * price + self.fee_rate * size * holding.mark_price
        return value * holding.quote_price


def _rises(values: Sequence[float], *, is_strict: bool = False) -> bool:
    return all(low < high if is_strict else low <= high for low, high in pairwise(values))


def _fee_problems(fee_rate: float) -> list[str]:
    return [] if 0.0 <= fee_rate < 1.0 else [f"fee_rate {fee_rate}: expected a fraction of 0 or more and less than 1"]


def _raise(model: str, problems: list[str]) -> None:
    if problems:
        listed = "".join(f"\n  - {problem}" for problem in problems)
        raise ConfigError(f"margin model {model}: {len(problems)} problem(s){listed}")
