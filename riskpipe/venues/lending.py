"""Lending rules of a protocol as configuration: what counts as collateral, how much a liquidation takes."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from riskpipe.venues.fields import DEFAULT, NotNegative, Share, Strict

Protocol = Literal["aave_v3", "compound_v3", "morpho", "maker"]


class LendingAssetConfig(Strict):
    """How an asset counts as collateral."""

    liquidation_threshold: Share
    """Share of its value that stands behind debt (Compound: liquidateCF, Morpho: LLTV, Maker: 1 / mat)."""
    liquidation_bonus: NotNegative = 0.0
    """Collateral beyond the debt repaid that a liquidator takes; Morpho's follows from `incentive`."""
    loan_to_value: Share = 0.0
    """Share of its value that may be borrowed (Compound: borrowCF)."""
    protocol_fee: Share = 0.0
    """Share of the bonus that the protocol keeps."""
    liquidation_factor: Share = 1.0
    """Compound: share of its value that absorption credits."""

    @model_validator(mode="after")
    def _threshold_covers_borrowing(self) -> Self:
        if self.loan_to_value > self.liquidation_threshold:
            raise ValueError("loan_to_value may not exceed liquidation_threshold")
        return self


class EModeConfig(Strict):
    """Terms that replace those of the member assets for accounts in an efficiency mode."""

    assets: Annotated[tuple[str, ...], Field(min_length=1)]
    liquidation_threshold: Share
    liquidation_bonus: NotNegative
    loan_to_value: Share = 0.0


class CloseFactorConfig(Strict):
    """How much of a debt one liquidation may repay; the defaults let it repay all."""

    share: Share = 1.0
    full_health: NotNegative = 0.0
    full_below_usd: NotNegative = 0.0
    minimum_leftover_usd: NotNegative = 0.0
    of: Literal["reserve", "account"] = "reserve"


class IncentiveConfig(Strict):
    """Morpho's factor of collateral seized over debt repaid: min(largest, 1 / (1 - cursor (1 - threshold)))."""

    cursor: Share = 0.3
    largest: Annotated[NotNegative, Field(ge=1.0)] = 1.15


class LendingConfig(Strict):
    """A protocol's rules: its assets by name, its efficiency modes, how much of a debt goes at once."""

    protocol: Protocol
    assets: dict[str, LendingAssetConfig] = Field(default_factory=dict)
    emode: dict[str, EModeConfig] = Field(default_factory=dict)
    close_factor: CloseFactorConfig = CloseFactorConfig()
    store_front_price_factor: Share = 1.0
    """Compound: share of 1 - liquidation_factor at which seized collateral is sold below its price."""
    incentive: IncentiveConfig = IncentiveConfig()
    liquidation_cost_usd: NotNegative = 0.0
    """What a liquidation costs whoever does it (gas): one that does not earn it back does not happen."""

    @model_validator(mode="after")
    def _modes_name_known_assets(self) -> Self:
        unknown = sorted({asset for mode in self.emode.values() for asset in mode.assets} - self.assets.keys())
        if unknown:
            raise ValueError(f"emode names assets without terms: {', '.join(unknown)}")
        return self

    def bonus_of(self, terms: LendingAssetConfig) -> float:
        """Return what a liquidation takes beyond the debt it repays, a fraction of it."""
        if self.protocol == "compound_v3":
            return 1.0 / terms.liquidation_factor - 1.0 if terms.liquidation_factor > 0.0 else 0.0
        if self.protocol == "morpho":
            rest = 1.0 - self.incentive.cursor * (1.0 - terms.liquidation_threshold)
            return min(self.incentive.largest, 1.0 / rest) - 1.0
        return terms.liquidation_bonus

    def terms_of(self, asset: str) -> LendingAssetConfig | None:
        """Return the terms of an asset, else the default's; None without either: it stands behind no debt."""
        return self.assets.get(asset, self.assets.get(DEFAULT))
