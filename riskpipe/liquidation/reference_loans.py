"""The specification of loans: their health, what one liquidation takes, and what is left of them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from riskpipe.domain.book import Book
from riskpipe.domain.rules import LendingRules, VenueRules
from riskpipe.liquidation.lowering import LEAST_RISE
from riskpipe.liquidation.state import Prices
from riskpipe.margin.lending import (
    CloseFactor,
    health_factor,
    is_liquidatable,
    largest_repayment,
    liquidation_profit,
    permitted_repayment,
)


class Model(Protocol):
    """What loans need of the model."""

    book: Book

    def slots(self, p: int) -> range:
        """Return the slots of a pool."""

    def own_venue_price(self, p: int, c: int, asset: list[float]) -> float:
        """Return the price of what is owned."""


@dataclass(frozen=True)
class Loan:
    """A whole loan at one state of the market, USD: as if nothing had been repaid."""

    weighted: float
    """Collateral times liquidation thresholds."""
    collateral: float
    debt: float
    bonus: float
    """Of the collateral, weighted by value."""


@dataclass
class LoanState:
    """What is left of every loan of a scenario, and the flow of its liquidations."""

    debt_left: dict[int, float] = field(default_factory=dict)
    """By pool, a share; 1 where missing."""
    collateral_left: dict[int, float] = field(default_factory=dict)
    bought: dict[int, float] = field(default_factory=dict)
    """By asset: units bought, debts repaid less collateral sold, weighted."""
    seized: dict[tuple[int, int], float] = field(default_factory=dict)
    """By venue and asset: units sold, weighted."""
    balances: dict[tuple[int, int], float] = field(default_factory=dict)
    """By venue and asset: balances of collateral that were sold from, weighted."""

    def liquidated(self) -> set[int]:
        """Return the pools that were liquidated, in part or whole."""
        return {p for p, left in self.debt_left.items() if left < 1.0}

    def left(self, p: int) -> tuple[float, float]:
        """Return the shares of a pool's debt and collateral that are left."""
        return self.debt_left.get(p, 1.0), self.collateral_left.get(p, 1.0)


def loan_pools(book: Book) -> list[int]:
    """Return the pools of lending accounts that owe something."""
    return [
        p
        for p in range(book.n_pools)
        if book.account_is_lending[book.pool_account[p]]
        and any(book.slot_quantity[k] < 0.0 for k in range(book.pool_slot_start[p], book.pool_slot_start[p + 1]))
    ]


def loan_at(model: Model, p: int, prices: Prices, extra_haircut: float) -> Loan:
    """Value a whole loan."""
    book = model.book
    venue = int(book.account_venue[book.pool_account[p]])
    weighted = collateral = debt = gain = 0.0
    for k in model.slots(p):
        c, quantity = int(book.slot_asset[k]), float(book.slot_quantity[k])
        if quantity < 0.0:
            debt -= quantity * prices.asset[c]
            continue
        value = quantity * model.own_venue_price(p, c, prices.asset)
        threshold = float(book.slot_threshold[k])
        if math.isnan(threshold):
            threshold = float(book.lending_threshold[venue, c])
        if not math.isnan(threshold):
            weighted += value * max(0.0, threshold - extra_haircut)
        bonus = float(book.lending_bonus[venue, c])
        gain += value * (0.0 if math.isnan(bonus) else bonus)
        collateral += value
    return Loan(weighted, collateral, debt, gain / collateral if collateral > 0.0 else 0.0)


def close_factor(model: Model, p: int, rules: LendingRules) -> CloseFactor:
    """Return how much of a loan one liquidation may repay: the collateral table's least share, else the venue's."""
    book = model.book
    venue = int(book.account_venue[book.pool_account[p]])
    held = [k for k in model.slots(p) if book.slot_quantity[k] >= 0.0]
    shares = [float(book.close_factor[venue, book.slot_asset[k]]) for k in held]
    given = [share for share in shares if not math.isnan(share)]
    share = min(given) if given else rules.close_factor
    return CloseFactor(share, rules.full_health, rules.full_below_usd, rules.minimum_leftover_usd, "account")


def liquidate_once(
    model: Model, p: int, loan: Loan, left: tuple[float, float], rules: LendingRules
) -> tuple[float, float] | None:
    """Return the shares of debt and collateral that one liquidation leaves; None where there is none."""
    debt, collateral = loan.debt * left[0], loan.collateral * left[1]
    weighted = loan.weighted * left[1]
    if not is_liquidatable(weighted, debt) or collateral <= 0.0:
        return None
    rule = close_factor(model, p, rules)
    most = largest_repayment(
        rule,
        health=health_factor(weighted, debt),
        reserve_debt=debt,
        reserve_collateral=collateral,
        account_debt=debt,
    )
    step = permitted_repayment(rule, most, debt=debt, collateral=collateral, bonus=loan.bonus)
    profit = liquidation_profit(
        step.repaid, bonus=loan.bonus, protocol_fee=rules.protocol_fee, cost=rules.liquidation_cost_usd
    )
    closes_itself = loan.bonus == 0.0 and rules.liquidation_cost_usd == 0.0
    if step.repaid <= LEAST_RISE * loan.debt or not (profit > 0.0 or closes_itself):
        return None
    return (
        0.0 if step.repaid >= debt else left[0] - step.repaid / loan.debt,
        0.0 if step.seized >= collateral else left[1] - step.seized / loan.collateral,
    )


def liquidate_loans(
    model: Model, state: LoanState, pools: Iterable[int], prices: Prices, extra_haircut: float, rules: list[VenueRules]
) -> tuple[dict[int, tuple[float, float]], float]:
    """Return what the loans that can be liquidated have left after one liquidation each, and the nearest miss: the
    smallest excess of any over what it holds and owes.
    """  # noqa: D205
    steps, nearest = {}, math.inf
    for p in pools:
        loan, left = loan_at(model, p, prices, extra_haircut), state.left(p)
        excess = loan.weighted * left[1] - loan.debt * left[0]
        if left[1] > 0.0:
            nearest = min(nearest, abs(excess) / (loan.collateral + loan.debt))
        venue = int(model.book.account_venue[model.book.pool_account[p]])
        after = liquidate_once(model, p, loan, left, rules[venue].lending)
        if after is not None:
            steps[p] = after
    return steps, nearest


def take_steps(model: Model, state: LoanState, steps: dict[int, tuple[float, float]]) -> None:
    """Let liquidations happen: what is left, and the flow of what is repaid and sold."""
    book = model.book
    for p, (debt_left, collateral_left) in steps.items():
        before = state.left(p)
        account = int(book.pool_account[p])
        weight, venue = float(book.account_weight[account]), int(book.account_venue[account])
        for k in model.slots(p):
            c, quantity = int(book.slot_asset[k]), float(book.slot_quantity[k])
            if quantity < 0.0:
                state.bought[c] = state.bought.get(c, 0.0) - weight * quantity * (before[0] - debt_left)
                continue
            sold = weight * quantity * (before[1] - collateral_left)
            state.bought[c] = state.bought.get(c, 0.0) - sold
            state.seized[venue, c] = state.seized.get((venue, c), 0.0) + sold
            if p not in state.debt_left and quantity > 0.0:
                state.balances[venue, c] = state.balances.get((venue, c), 0.0) + weight
        state.debt_left[p], state.collateral_left[p] = debt_left, collateral_left


def loan_shortfall(model: Model, p: int, state: LoanState, final: Prices) -> float:
    """USD of debt that is left beyond the collateral that is left, at final prices, weighted; liquidated or not."""
    loan, left = loan_at(model, p, final, 0.0), state.left(p)
    weight = float(model.book.account_weight[model.book.pool_account[p]])
    return weight * max(0.0, loan.debt * left[0] - loan.collateral * left[1])


def seized_notional(state: LoanState, shocked: Prices) -> float:
    """USD of collateral sold, at the shocked prices."""
    return sum(units * shocked.asset[c] for (_, c), units in state.seized.items())
