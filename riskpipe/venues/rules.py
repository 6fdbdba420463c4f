"""The rules of one venue at one time, flat: the defaults are the design's."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from riskpipe.venues.fields import Bands, BelowOne, Int, Law, NotNegative, Positive, Share, Strict
from riskpipe.venues.lending import LendingConfig
from riskpipe.venues.margin import MarginConfig

Stage = Literal["fee_offset", "fund", "adl"]


class LiquidationConfig(Strict):
    """How a venue closes pools."""

    policy: Literal["full"] = "full"
    fee_rate: BelowOne = 0.0
    close_out_alpha: Share | Literal["vwap"] = 1.0
    gap_share: Share = 1.0
    max_rounds: Annotated[Int, Field(ge=1)] = 100
    collateral_sale: tuple[str, ...] | None = None
    """Assets in the order in which they are sold to cover negative settlement balances; null: none is sold."""


class IndexImpactConfig(Strict):
    """How net spot flow moves an index."""

    law: Law = "exponential"
    price_floor: BelowOne = 0.0
    price_cap: Positive = 3.0


class ImpactConfig(IndexImpactConfig):
    """How forced flow moves a venue's marks."""

    kappa: Share = 0.0
    mark_response: Share = 1.0
    option_mark_response: Share = 0.0
    mark_band: Positive | None = None
    depth_coefficient: Positive = 0.4
    arbitrage_capacity_usd: NotNegative | None = None


class AdlConfig(Strict):
    """How a venue allocates auto-deleveraging."""

    policy: Literal["pro_rata"] = "pro_rata"


class VenueConfig(Strict):
    """One venue's rules."""

    source: str | None = None
    margin: MarginConfig = MarginConfig()
    collateral: dict[str, Bands] = Field(default_factory=dict)
    """Haircut bands by asset, used where the snapshot's table has no row."""
    initial_collateral: dict[str, Bands] = Field(default_factory=dict)
    """Haircut bands that count in the initial requirement only; the trigger credits such assets by `collateral`."""
    lending: LendingConfig | None = None
    """Rules of lending accounts, used where neither the snapshot's collateral table nor the account's row says."""
    liquidation: LiquidationConfig = LiquidationConfig()
    impact: ImpactConfig = ImpactConfig()
    waterfall: tuple[Stage, ...] = ("fee_offset", "fund", "adl")
    adl: AdlConfig = AdlConfig()
    fund_haircut: Share = 0.0

    @field_validator("waterfall")
    @classmethod
    def _once_each(cls, stages: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(stages)) != len(stages):
            raise ValueError("each stage may stand once only")
        return stages

    @model_validator(mode="after")
    def _lending_is_collateral_health(self) -> Self:
        if self.lending is not None and self.margin.model != "collateral_health":
            raise ValueError(f"lending needs margin.model collateral_health, not {self.margin.model}")
        return self
