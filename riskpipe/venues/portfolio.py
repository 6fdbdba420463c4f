"""Portfolio margin of a venue as configuration: strict keys, types and places; what it computes is `riskpipe.margin`.

The keys are those of `riskpipe.margin.scan_parameters.scan_model`, which fills in defaults and checks that names
match: only keys that are set are handed on.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from riskpipe.venues.fields import Float, Strict

Groups = tuple[str, ...] | None
Kinds = tuple[Literal["spot", "perpetual", "future", "option"], ...] | None


class VolShockConfig(Strict):
    """How far implied volatilities move, by days to expiry."""

    name: str | None = None
    up: Float | None = None
    down: Float | None = None
    short_power: Float | None = None
    long_power: Float | None = None
    reference_days: Float | None = None
    floor_days: Float | None = None
    is_relative: bool | None = None
    least_raised: Float | None = None
    curve: tuple[tuple[Float, Float, Float], ...] | None = None


class _CellTerms(Strict):
    weight: Float | None = None
    group: str | None = None
    days: Float | None = None
    vol_shock: str | None = None
    relief_usd: Float | None = None
    settled_at: Float | None = None


class CellConfig(_CellTerms):
    """One state of the market tried."""

    price_move: Float
    vol_move: Float | None = None


class CellGridConfig(_CellTerms):
    """The product of price moves and volatility moves as cells."""

    price_moves: tuple[Float, ...]
    vol_moves: tuple[Float, ...] | None = None


class ExpiryScanConfig(Strict):
    """Options of each expiry on their own."""

    group: str
    cells: tuple[CellConfig, ...]
    factor: Float | None = None
    annual_factor: Float | None = None


class SizeChargeConfig(Strict):
    """A rate of price and unsigned size."""

    charge: Literal["size"]
    group: str
    rate: Float
    kinds: Kinds = None
    side: Literal["both", "long", "short"] | None = None
    priced_at: Literal["index", "mark"] | None = None


class NakedShortChargeConfig(Strict):
    """A rate of the index per option sold beyond those bought."""

    charge: Literal["naked_short"]
    group: str
    rate: Float


class ExpiryChargeConfig(Strict):
    """A move of each expiry's net exposure."""

    charge: Literal["expiry"]
    group: str
    annual_move: Float | None = None
    least_move: Float | None = None
    exposure: Literal["delta", "vega"] | None = None
    counted: Literal["every", "offsetting"] | None = None
    kinds: Kinds = None


class DeltaChargeConfig(Strict):
    """Rates of the unit's delta."""

    charge: Literal["delta"]
    group: str
    net_rate: Float | None = None
    hedged_rate: Float | None = None
    kinds: Kinds = None


class LiquidityChargeConfig(Strict):
    """A charge on a large net delta."""

    charge: Literal["liquidity"]
    group: str
    threshold_usd: Float
    slope: Float
    largest_rate: Float


class ConfidenceChargeConfig(Strict):
    """A charge on holdings whose price feed is uncertain."""

    charge: Literal["confidence"]
    group: str
    threshold: Float
    factor: Float


ChargeConfig = Annotated[
    SizeChargeConfig
    | NakedShortChargeConfig
    | ExpiryChargeConfig
    | DeltaChargeConfig
    | LiquidityChargeConfig
    | ConfidenceChargeConfig,
    Field(discriminator="charge"),
]


class MultiplierConfig(Strict):
    """Tiers of factors by which a group's figure is multiplied."""

    group: str
    tiers: tuple[tuple[Float, Float], ...]


class LongValueConfig(Strict):
    """What an expiry's options count for where they are worth something."""

    factor: Float
    rate_multiple: Float | None = None
    rate_addition: Float | None = None


class PortfolioConfig(Strict):
    """A portfolio-margin rule of one risk unit."""

    cells: tuple[CellConfig, ...] | None = None
    grids: tuple[CellGridConfig, ...] | None = None
    largest: Groups = None
    added: Groups = None
    at_least: Groups = None
    added_to_initial: Groups = None
    vol_shocks: tuple[VolShockConfig, ...] | None = None
    expiry_scans: tuple[ExpiryScanConfig, ...] | None = None
    charges: tuple[ChargeConfig, ...] | None = None
    multipliers: tuple[MultiplierConfig, ...] | None = None
    long_value: LongValueConfig | None = None
    valued_in: Literal["usd", "settlement"] | None = None
    spot_use: Literal["all", "hedge"] | None = None
    maintenance_factor: Float | None = None
    initial_factor: Float | None = None
    peg_threshold: Float | None = None
    peg_factor: Float | None = None
    gain_share: Float | None = None

    def parameters(self) -> dict[str, Any]:
        """Return the plain values that `scan_model` reads: the keys set, lists as lists."""
        return self.model_dump(mode="json", exclude_none=True)
