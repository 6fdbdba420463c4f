"""Rules: how each venue liquidates and who pays, as plain values.

Parameters come from configs/venues and the run's file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

ImpactLaw = Literal["exponential", "linear"]
Stage = Literal["fee_offset", "fund", "adl"]
CloseOutAlpha = float | Literal["vwap"]


@dataclass(frozen=True)
class ContractRules:
    """How a contract's margin follows from its tiers: (rate_k + slope x coins) x amount - deduction_k, and a fee.

    Coins are the size (linear contracts), or the size over the price (inverse ones).
    """

    unit: Literal["usd", "coin"] = "usd"
    """What tiers count: USD of notional, or coins; the requirement is in the same unit."""
    valued_at: Literal["mark", "entry"] = "mark"
    """The price at which the requirement takes the amount. Inverse contracts at entry need coins."""
    fee_rate: float = 0.0
    """Closing fee inside the trigger, on the notional at the mark."""
    initial_slope: float = 0.0
    """Per coin."""
    maintenance_slope: float = 0.0
    """Per coin."""


@dataclass(frozen=True)
class LendingRules:
    """How much of a loan one liquidation repays, and when it is worth while."""

    close_factor: float = 1.0
    """Share of the debt left, where the collateral table gives none."""
    full_health: float = 0.0
    """Health factor at or below which all may be repaid."""
    full_below_usd: float = 0.0
    """All may be repaid where debt or collateral left is worth less."""
    minimum_leftover_usd: float = 0.0
    """A liquidation leaves as much of both debt and collateral, or nothing of one of them."""
    protocol_fee: float = 0.0
    """Share of the bonus that the protocol keeps."""
    liquidation_cost_usd: float = 0.0
    """What a liquidation costs whoever does it (gas): one that does not earn it back does not happen."""


@dataclass(frozen=True)
class VenueRules:
    """One venue's margin, liquidation, impact and loss rules (design defaults)."""

    venue: str
    policy: Literal["full"] = "full"
    fee_rate: float = 0.0
    close_out_alpha: CloseOutAlpha = 1.0
    gap_share: float = 1.0
    max_rounds: int = 100
    law: ImpactLaw = "exponential"
    price_floor: float = 0.0
    price_cap: float = 3.0
    kappa: float = 0.0
    mark_response: float = 1.0
    option_mark_response: float = 0.0
    """Options are marked off a surface, which a forced trade in one of them hardly moves."""
    mark_band: float | None = None
    depth_coefficient: float = 0.4
    arbitrage_capacity_usd: float | None = None
    waterfall: tuple[Stage, ...] = ("fee_offset", "fund", "adl")
    adl_policy: Literal["pro_rata"] = "pro_rata"
    fund_haircut: float = 0.0
    collateral_sale: tuple[str, ...] | None = None
    """Assets in the order in which they are sold to cover negative settlement balances of closed pools; those not named
    come last. None: such balances stay as they are."""
    lending: LendingRules = LendingRules()
    portfolio: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Parameters of portfolio margin by underlying ("*" = every other), as `margin.scan_parameters` reads them. What
    portfolio accounts hold on an underlying with no parameters requires nothing: such accounts do not enter a book."""


@dataclass(frozen=True)
class IndexImpact:
    """How net spot flow moves an index."""

    law: ImpactLaw = "exponential"
    price_floor: float = 0.0
    price_cap: float = 3.0


@dataclass(frozen=True)
class Rules:
    """The rules of every venue, in the order of the book's venue labels, and of the indices."""

    venues: tuple[VenueRules, ...]
    index_impact: IndexImpact = IndexImpact()
    contracts: Mapping[str, ContractRules] = field(default_factory=dict)
    """By instrument label; those left out follow the defaults of `ContractRules`."""
