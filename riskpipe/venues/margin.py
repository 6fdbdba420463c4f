"""Margin rules of a venue as configuration: tiers of notional or coins, rates that grow with size, portfolio margin."""

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from riskpipe.venues.fields import DEFAULT, BelowOne, Float, NotNegative, Share, Strict
from riskpipe.venues.portfolio import PortfolioConfig

MarginModel = Literal["tiered", "size_slope", "collateral_health"]


def _tiers(rows: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
    floors, initial, maintenance = (tuple(row[k] for row in rows) for k in range(3))
    problems = []
    if floors[:1] != (0.0,) or not all(low < high for low, high in pairwise(floors)):
        problems.append("floors must be 0 first and then rise")
    for name, rates in (("initial", initial), ("maintenance", maintenance)):
        if not all(0.0 <= rate <= 1.0 for rate in rates) or not all(low <= high for low, high in pairwise(rates)):
            problems.append(f"{name} rates must be from 0 to 1 and never fall")
    if not all(low <= high for low, high in zip(maintenance, initial, strict=True)):
        problems.append("no maintenance rate may exceed the initial rate beside it")
    if len({len(row) for row in rows}) > 1:
        problems.append("either every tier has a deduction or none has")
    if problems:
        raise ValueError("; ".join(problems))
    return rows


Tier = Annotated[tuple[Float, ...], Field(min_length=3, max_length=4)]
Tiers = Annotated[tuple[Tier, ...], AfterValidator(_tiers)]
"""[floor, initial_rate, maintenance_rate], or a fourth number, the deduction, where it is not that of the recursion."""


class SlopeConfig(Strict):
    """Rates that grow with size: (rate + slope x coins) x notional."""

    initial_rate: Share
    maintenance_rate: Share
    initial_slope: NotNegative = 0.0
    maintenance_slope: NotNegative = 0.0

    @model_validator(mode="after")
    def _initial_covers_maintenance(self) -> Self:
        if self.maintenance_rate > self.initial_rate or self.maintenance_slope > self.initial_slope:
            raise ValueError("neither the maintenance rate nor its slope may exceed the initial one")
        return self


class ContractMargin(Strict):
    """How single positions are margined; tables are named after a tier schedule, an instrument or an underlying."""

    model: MarginModel = "tiered"
    unit: Literal["usd", "coin"] = "usd"
    """What the floors of tiers count: USD of notional, or coins."""
    valued_at: Literal["mark", "entry"] = "mark"
    """The price at which the requirement takes the notional."""
    fee_rate: BelowOne = 0.0
    """A closing fee that counts in the trigger, on the notional at the mark."""
    tiers: dict[str, Tiers] = Field(default_factory=dict)
    slopes: dict[str, SlopeConfig] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _tables_are_the_models(self) -> Self:
        if self.slopes and self.model != "size_slope":
            raise ValueError(f"slopes belong to model size_slope, not to {self.model}")
        if self.model == "size_slope" and not self.slopes:
            raise ValueError("model size_slope needs slopes")
        if self.model != "tiered" and (self.tiers or self.unit != "usd"):
            raise ValueError(f"tiers and their unit belong to model tiered, not to {self.model}")
        return self

    def tiers_of(self, *names: str | None) -> tuple[tuple[float, ...], ...] | None:
        """Return the tiers under the first of the names that has any, else the default's; None without either."""
        return next((self.tiers[name] for name in (*names, DEFAULT) if name in self.tiers), None)

    def slope_of(self, *names: str | None) -> SlopeConfig | None:
        """Return the slopes under the first of the names that has any, else the default's; None without either."""
        return next((self.slopes[name] for name in (*names, DEFAULT) if name in self.slopes), None)


class MarginConfig(ContractMargin):
    """A venue's margin: of its contracts, of its inverse contracts where they differ, of portfolio accounts."""

    inverse: ContractMargin | None = None
    """Inverse contracts, whole; left out, they follow the same rules as linear ones."""
    portfolio: dict[str, PortfolioConfig] = Field(default_factory=dict)
    """Accounts of margin mode portfolio, by risk unit."""

    @model_validator(mode="after")
    def _collateral_health_is_of_no_contract(self) -> Self:
        if self.model == "collateral_health" and (self.inverse is not None or self.portfolio):
            raise ValueError("model collateral_health is of lending accounts: it has neither inverse nor portfolio")
        return self

    def of(self, *, is_inverse: bool) -> ContractMargin:
        """Return the rules of linear or of inverse contracts."""
        return self.inverse if is_inverse and self.inverse is not None else self

    def portfolio_of(self, unit: str) -> PortfolioConfig | None:
        """Return the portfolio rule of a risk unit, else the default's; None without either."""
        return self.portfolio.get(unit, self.portfolio.get(DEFAULT))
