"""What Compound v3, Maker and Morpho do in their own way: absorption, the store front, vaults, incentive factors.

Health and what can be borrowed are the same comparison everywhere: `riskpipe.margin.lending`. NaN in, NaN out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Absorption:
    """What Compound v3 does with an account it absorbs, USD: everything is taken and the debt is gone."""

    repaid: float
    """Debt paid out of the protocol's reserves: all of it."""
    returned: float
    """Base asset credited to the account, where its collateral was worth more than its debt."""
    reserves_loss: float
    """Reserves paid, less what the collateral brings at the store front's discount; negative: a gain."""


def absorb(
    debt: float,
    values: Sequence[float],
    liquidation_factors: Sequence[float],
    store_front_price_factor: float = 1.0,
) -> Absorption:
    """Return the outcome of absorbing a Compound v3 account.

    All collateral is seized and credited at its liquidation factor; a credit beyond the debt is the account's, a debt
    beyond the credit is the reserves'. Seized collateral is counted at what `quote_collateral` sells it for.
    Source: https://github.com/compound-finance/comet contracts/Comet.sol (absorbInternal).
    """
    credit = sum(value * factor for value, factor in zip(values, liquidation_factors, strict=True))
    returned = credit - debt if math.isnan(credit - debt) else max(0.0, credit - debt)
    sold = sum(
        value * (1.0 - store_front_price_factor * (1.0 - factor))
        for value, factor in zip(values, liquidation_factors, strict=True)
    )
    return Absorption(repaid=debt, returned=returned, reserves_loss=debt + returned - sold)


def quote_collateral(
    base_amount: float,
    *,
    base_price: float,
    collateral_price: float,
    liquidation_factor: float,
    store_front_price_factor: float,
) -> float:
    """Units of seized collateral that Compound v3 sells for an amount of the base asset.

    The price is discounted by store front factor x (1 - liquidation factor). Prices in USD per unit.
    Source: https://github.com/compound-finance/comet contracts/Comet.sol (quoteCollateral).
    """
    discount = store_front_price_factor * (1.0 - liquidation_factor)
    return base_amount * base_price / (collateral_price * (1.0 - discount))


def vault_spot(price: float, liquidation_ratio: float, par: float = 1.0) -> float:
    """Maker's spot: DAI that a unit of collateral carries, price / par / liquidation ratio (mat, 1.5 for 150%).

    Source: https://github.com/makerdao/dss src/spot.sol (poke).
    """
    return price / par / liquidation_ratio


def is_vault_unsafe(ink: float, spot: float, art: float, rate: float) -> bool:
    """Whether a Maker vault may be barked at: spot > 0 and ink x spot < art x rate. Equal is safe; NaN is False.

    `ink` units of collateral, `art` normalised debt, `rate` its accumulated factor.
    Source: https://github.com/makerdao/dss src/dog.sol (bark).
    """
    return spot > 0.0 and ink * spot < art * rate


def vault_liquidation_price(ink: float, art: float, rate: float, liquidation_ratio: float, par: float = 1.0) -> float:
    """Price of the collateral below which a Maker vault is unsafe, in par's unit; NaN without collateral or debt."""
    return art * rate * liquidation_ratio * par / ink if ink > 0.0 and art > 0.0 else math.nan


def liquidation_incentive_factor(lltv: float, cursor: float = 0.3, largest: float = 1.15) -> float:
    """Morpho's factor of collateral seized over debt repaid: min(largest, 1 / (1 - cursor (1 - lltv))).

    `lltv` is the market's liquidation loan-to-value; less 1 it is the liquidation bonus.
    Source: https://github.com/morpho-org/morpho-blue src/Morpho.sol (liquidate); constants: libraries/ConstantsLib.sol.
    """
    factor = 1.0 / (1.0 - cursor * (1.0 - lltv))
    return factor if math.isnan(factor) else min(largest, factor)


@dataclass(frozen=True)
class MorphoOutcome:
    """A Morpho loan after a liquidation, in units of the loan asset (debt) and of the collateral asset."""

    repaid: float
    seized: float
    debt_left: float
    collateral_left: float
    bad_debt: float
    """Debt that nothing stands behind any more: suppliers bear it at once, and `debt_left` is 0."""


def morpho_liquidation(
    *,
    seized: float,
    debt: float,
    collateral: float,
    price: float,
    lltv: float,
    cursor: float = 0.3,
    largest: float = 1.15,
) -> MorphoOutcome:
    """Return a Morpho liquidation that seizes `seized` units of collateral, at most what the debt is worth of it.

    `price` is loan units per unit of collateral; the incentive is that of `liquidation_incentive_factor`. Up to all of
    the debt may be repaid; a loan without collateral left is bad debt, whatever is still owed. Healthy loans (debt <=
    collateral x price x lltv) are left alone: nothing happens.
    Source: https://github.com/morpho-org/morpho-blue src/Morpho.sol (liquidate).
    """
    if math.isnan(seized + debt + collateral * price * lltv):
        return MorphoOutcome(math.nan, math.nan, math.nan, math.nan, math.nan)
    if debt <= collateral * price * lltv:
        return MorphoOutcome(0.0, 0.0, debt, collateral, 0.0)
    factor = liquidation_incentive_factor(lltv, cursor, largest)
    taken = min(seized, collateral, debt * factor / price)
    repaid = min(debt, taken * price / factor)
    collateral_left, debt_left = collateral - taken, debt - repaid
    if collateral_left > 0.0:
        return MorphoOutcome(repaid, taken, debt_left, collateral_left, 0.0)
    return MorphoOutcome(repaid, taken, 0.0, 0.0, debt_left)
