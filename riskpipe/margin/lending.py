"""Collateral health: when a loan can be liquidated, how much of it, for how much collateral, and whether it pays.

All amounts are USD at the protocol's oracle prices, collateral and debt both positive. Four protocols differ in words
but not in the comparison: a loan is liquidatable when its weighted collateral is *less* than its debt, and a new debt
may *equal* what the collateral allows (Aave: health factor below 1; Compound: liquidity below 0; Morpho: debt above
collateral x price x LLTV; Maker: ink x spot below art x rate). NaN in, NaN out; of a comparison: False.

Aave v3: https://github.com/aave-dao/aave-v3-origin src/contracts/protocol/libraries/logic/LiquidationLogic.sol and
GenericLogic.sol. What Compound, Maker and Morpho do differently is `riskpipe.margin.lending_protocols`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class LendingAsset:
    """How a protocol counts one asset as collateral."""

    liquidation_threshold: float
    """Share of its value that stands behind debt (Compound: liquidateCF, Morpho: LLTV, Maker: 1 / mat)."""
    liquidation_bonus: float = 0.0
    """Collateral beyond the debt repaid that a liquidator takes, a fraction of it: 0.05 for 105%."""
    loan_to_value: float = 0.0
    """Share of its value that may be borrowed (Compound: borrowCF)."""
    protocol_fee: float = 0.0
    """Share of the bonus that the protocol keeps."""


@dataclass(frozen=True)
class EMode:
    """An efficiency mode: for accounts in it, its terms replace those of its member assets."""

    assets: tuple[str, ...]
    liquidation_threshold: float
    liquidation_bonus: float
    loan_to_value: float = 0.0


@dataclass(frozen=True)
class CloseFactor:
    """How much of a debt one liquidation may repay; the defaults let it repay all.

    Aave v3.0 to v3.2: share 0.5, full_health 0.95, of the reserve's debt. v3.3 and later: also full_below_usd 2000 and
    minimum_leftover_usd 1000, of the account's debt. Source: LiquidationLogic.sol and docs/3.3/Aave-v3.3-features.md.
    """

    share: float = 1.0
    """Share of the debt while the health factor is above `full_health`."""
    full_health: float = 0.0
    """Health factor at or below which all may be repaid."""
    full_below_usd: float = 0.0
    """All may be repaid where the reserve's debt, or collateral, is worth less than this."""
    minimum_leftover_usd: float = 0.0
    """A liquidation that leaves less than this of a debt or collateral, but not nothing of either, is refused."""
    of: Literal["reserve", "account"] = "reserve"
    """The debt that `share` is of: that in the asset repaid, or all debt of the account (capped at the former)."""


@dataclass(frozen=True)
class Seizure:
    """What one liquidation moves, USD."""

    repaid: float
    """Debt that the liquidator repays."""
    seized: float
    """Collateral that the borrower loses, the protocol's fee included."""
    protocol_fee: float
    """Part of `seized` that the protocol keeps."""


def effective_terms(asset: str, terms: LendingAsset, emode: EMode | None) -> LendingAsset:
    """Terms of an asset for an account in an efficiency mode (None: in none): the mode's for its members."""
    if emode is None or asset not in emode.assets:
        return terms
    return LendingAsset(
        liquidation_threshold=emode.liquidation_threshold,
        liquidation_bonus=emode.liquidation_bonus,
        loan_to_value=emode.loan_to_value,
        protocol_fee=terms.protocol_fee,
    )


def weighted_collateral(values: Sequence[float], weights: Sequence[float]) -> float:
    """Collateral that counts, USD: each asset's value times its threshold (or loan-to-value, for borrowing)."""
    return sum(value * weight for value, weight in zip(values, weights, strict=True))


def health_factor(weighted: float, debt: float) -> float:
    """Weighted collateral over debt: below 1 is liquidatable; inf without debt; NaN for NaN."""
    if debt == 0.0:
        return math.nan if math.isnan(weighted) else math.inf
    return weighted / debt


def is_liquidatable(weighted: float, debt: float) -> bool:
    """Whether a loan can be liquidated: weighted collateral is less than the debt. Equal is healthy; NaN is False."""
    return weighted < debt


def borrow_capacity(values: Sequence[float], loan_to_values: Sequence[float], debt: float) -> float:
    """USD that may be borrowed more: weighted by loan-to-value, less the debt, at least 0; all of it may be taken."""
    room = weighted_collateral(values, loan_to_values) - debt
    return room if math.isnan(room) else max(0.0, room)


def collateral_liquidation_price(quantity: float, threshold: float, other_weighted: float, debt: float) -> float:
    """Price of one collateral asset, USD, below which a loan is liquidatable, all else unchanged.

    NaN where there is none: no such collateral, or the rest covers the debt.
    """
    weight = quantity * threshold
    price = (debt - other_weighted) / weight if weight > 0.0 else math.nan
    return price if price > 0.0 else math.nan


def largest_repayment(
    rule: CloseFactor, *, health: float, reserve_debt: float, reserve_collateral: float, account_debt: float
) -> float:
    """USD of a debt that one liquidation may repay at most, for one debt asset and one collateral asset.

    `reserve_debt` is owed in the asset repaid, `reserve_collateral` held in the asset seized, `account_debt` is all.
    An account with one asset on each side has `reserve_debt` = `account_debt`.
    """
    if math.isnan(health + reserve_debt + reserve_collateral + account_debt):
        return math.nan
    is_small = reserve_debt < rule.full_below_usd or reserve_collateral < rule.full_below_usd
    if is_small or health <= rule.full_health:
        return reserve_debt
    if rule.of == "account":
        return min(reserve_debt, rule.share * account_debt)
    return rule.share * reserve_debt


def seizure(repay: float, *, collateral: float, bonus: float, protocol_fee: float = 0.0) -> Seizure:
    """Return what a liquidator gets for repaying `repay` USD of debt against `collateral` USD of one asset.

    The debt with its bonus; where the collateral is short it is taken whole, and the debt repaid shrinks to
    collateral / (1 + bonus). The protocol keeps `protocol_fee` of the bonus part.
    """
    seized = repay * (1.0 + bonus)
    if math.isnan(seized + collateral + protocol_fee):
        return Seizure(math.nan, math.nan, math.nan)
    if seized > collateral:
        seized, repay = collateral, collateral / (1.0 + bonus)
    return Seizure(repaid=repay, seized=seized, protocol_fee=(seized - seized / (1.0 + bonus)) * protocol_fee)


def leaves_dust(rule: CloseFactor, *, debt_left: float, collateral_left: float) -> bool:
    """Whether a liquidation is refused for what it leaves: something of both, and of either less than the minimum."""
    minimum = rule.minimum_leftover_usd
    return debt_left > 0.0 and collateral_left > 0.0 and (debt_left < minimum or collateral_left < minimum)


def permitted_repayment(
    rule: CloseFactor, most: float, *, debt: float, collateral: float, bonus: float, protocol_fee: float = 0.0
) -> Seizure:
    """Return the largest liquidation of at most `most` USD that leaves no dust.

    Either everything on one side goes, or both sides keep the minimum: where `most` reaches neither, it is cut until
    they do. Nothing at all (0) where even that is impossible. The protocol's fee counts as gone, as in Aave v3.5 (v3.3
    still counted it as left).
    """
    whole = seizure(_least(most, debt), collateral=collateral, bonus=bonus, protocol_fee=protocol_fee)
    if not leaves_dust(rule, debt_left=debt - whole.repaid, collateral_left=collateral - whole.seized):
        return whole
    minimum = rule.minimum_leftover_usd
    less = max(0.0, min(whole.repaid, debt - minimum, (collateral - minimum) / (1.0 + bonus)))
    return seizure(less, collateral=collateral, bonus=bonus, protocol_fee=protocol_fee)


def liquidation_profit(
    repay: float, *, bonus: float, protocol_fee: float = 0.0, cost: float = 0.0, slippage: float = 0.0
) -> float:
    """USD that a liquidator earns: repay x bonus x (1 - fee), less cost and what selling the collateral loses.

    `cost` (gas and alike) in USD; `slippage` a fraction of the collateral received. Worth while only above 0.
    """
    gain = bonus * (1.0 - protocol_fee)
    return repay * (gain - slippage * (1.0 + gain)) - cost


def smallest_profitable_repayment(
    cost: float, *, bonus: float, protocol_fee: float = 0.0, slippage: float = 0.0
) -> float:
    """USD of debt that a liquidation must repay to earn its cost: cost / (bonus (1 - fee)) without slippage.

    Only more than this is worth while. inf where no amount is, because slippage eats the bonus. NaN for NaN.
    """
    margin = liquidation_profit(1.0, bonus=bonus, protocol_fee=protocol_fee, slippage=slippage)
    return math.inf if margin <= 0.0 else cost / margin


def toxic_loan_to_value(bonus: float) -> float:
    """Loan-to-value above which liquidating makes a loan worse: 1 / (1 + bonus), where debt and bonus eat all.

    Source: Warmuz et al., arXiv 2212.07306; McFarlane, arXiv 2510.10171.
    """
    return 1.0 / (1.0 + bonus)


def is_toxic(loan_to_value: float, bonus: float) -> bool:
    """Whether liquidating destroys value for the pool: loan-to-value x (1 + bonus) > 1. False for NaN.

    With a liquidation threshold as loan-to-value this is a static check of an asset: True means that its loans are
    toxic from the moment they can be liquidated.
    """
    return loan_to_value * (1.0 + bonus) > 1.0


def bad_debt(debt: float, collateral: float, bonus: float) -> float:
    """USD of debt that full liquidation leaves: what collateral / (1 + bonus) does not repay, at least 0."""
    left = debt - collateral / (1.0 + bonus)
    return left if math.isnan(left) else max(0.0, left)


def liquidatable_fall(health: float) -> float:
    """Fall of the collateral's price, a fraction, beyond which a loan is liquidatable: 1 - 1 / health, at least 0."""
    fall = 1.0 - 1.0 / health
    return fall if math.isnan(fall) else max(0.0, fall)


def toxic_fall(health: float, threshold: float, bonus: float) -> float:
    """Fall of the collateral's price, a fraction, beyond which full liquidation leaves bad debt, at least 0.

    1 - (1 + bonus) threshold / health, for a loan against one asset.
    """
    fall = 1.0 - (1.0 + bonus) * threshold / health
    return fall if math.isnan(fall) else max(0.0, fall)


@dataclass(frozen=True)
class LoanOutcome:
    """A loan after all the liquidations that were possible and worth while, USD."""

    repaid: float
    seized: float
    protocol_fee: float
    debt_left: float
    collateral_left: float
    n_liquidations: int


def liquidate(
    rule: CloseFactor,
    *,
    debt: float,
    collateral: float,
    threshold: float,
    bonus: float,
    protocol_fee: float = 0.0,
    cost: float = 0.0,
    slippage: float = 0.0,
    most_liquidations: int = 1000,
) -> LoanOutcome:
    """Liquidate a loan with one asset on each side again and again, while it can be and is worth while.

    Each step repays the most that the rule permits at unchanged prices, and happens only where `liquidation_profit` of
    it is above 0: a loan can stay liquidatable and not be liquidated. NaN in, NaN out (and no liquidation).
    """
    repaid = seized = fee = 0.0
    n = 0
    while n < most_liquidations and is_liquidatable(collateral * threshold, debt):
        most = largest_repayment(
            rule,
            health=health_factor(collateral * threshold, debt),
            reserve_debt=debt,
            reserve_collateral=collateral,
            account_debt=debt,
        )
        step = permitted_repayment(rule, most, debt=debt, collateral=collateral, bonus=bonus, protocol_fee=protocol_fee)
        gain = liquidation_profit(step.repaid, bonus=bonus, protocol_fee=protocol_fee, cost=cost, slippage=slippage)
        if not (step.repaid > 0.0 and gain > 0.0):
            break
        debt, collateral = debt - step.repaid, collateral - step.seized
        repaid, seized, fee = repaid + step.repaid, seized + step.seized, fee + step.protocol_fee
        n += 1
    if math.isnan(debt + collateral):
        return LoanOutcome(math.nan, math.nan, math.nan, math.nan, math.nan, 0)
    return LoanOutcome(repaid, seized, fee, debt, collateral, n)


def _least(one: float, other: float) -> float:
    return math.nan if math.isnan(one + other) else min(one, other)
