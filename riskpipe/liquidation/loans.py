"""Loans of all lanes: liquidated round by round, in part or whole, and what is left of them."""

import math
from typing import NamedTuple

import numpy as np

from riskpipe.compiled import compiled, inlined
from riskpipe.domain.book import FloatArray, OffsetArray
from riskpipe.liquidation.bits import add_lane, has_lane
from riskpipe.liquidation.forms import collateral_slope
from riskpipe.liquidation.lanes import Lanes, State
from riskpipe.liquidation.lowering import LEAST_RISE, Pools, Terms, VariantRules
from riskpipe.liquidation.positions import collateral_threshold


class Loans(NamedTuple):
    """Pools of lending accounts that owe something, what is left of them, and one of them over lanes."""

    pool: OffsetArray  # [l] ascending
    share: FloatArray  # [l] of the debt left that one liquidation repays, NaN = the venue's
    debt_left: FloatArray  # [l, lane] share
    collateral_left: FloatArray  # [l, lane] share
    seized: FloatArray  # [v, c, lane] units of collateral sold, weighted
    balances: FloatArray  # [v, c, lane] balances of collateral sold from, weighted
    underwater: FloatArray  # [lane] USD of debt beyond collateral, weighted, at final prices
    weighted: FloatArray  # [lane] USD of one whole loan's collateral, times its thresholds
    collateral: FloatArray  # [lane] USD
    gain: FloatArray  # [lane] USD of bonus on all of it
    debt: FloatArray  # [lane] USD


def loan_pools(pools: Pools) -> OffsetArray:
    """Return the pools of lending accounts that owe something."""
    n_debts = np.concatenate(([0], np.cumsum(pools.slot_quantity < 0.0)))
    owes = n_debts[pools.slot_start[1:]] > n_debts[pools.slot_start[:-1]]
    return np.flatnonzero(owes & pools.account_is_lending[pools.account]).astype(np.int64)


def make_loans(pools: Pools, terms: Terms, pool: OffsetArray, n_lanes: int) -> Loans:
    """Return loans of which everything is left."""
    shape = (*terms.borrow_rate.shape, n_lanes)
    weighted, collateral, gain, debt, underwater = (np.zeros(n_lanes) for _ in range(5))
    loans = Loans(
        pool=pool,
        share=np.full(len(pool), np.nan),
        debt_left=np.ones((len(pool), n_lanes)),
        collateral_left=np.ones((len(pool), n_lanes)),
        seized=np.zeros(shape),
        balances=np.zeros(shape),
        underwater=underwater,
        weighted=weighted,
        collateral=collateral,
        gain=gain,
        debt=debt,
    )
    _set_shares(pools, terms, loans)
    return loans


@compiled
def _set_shares(pools: Pools, terms: Terms, loans: Loans) -> None:
    """Set each loan's share to the least that the collateral table gives for what it holds."""
    for m in range(len(loans.pool)):
        p = loans.pool[m]
        venue = pools.account_venue[pools.account[p]]
        for k in range(pools.slot_start[p], pools.slot_start[p + 1]):
            share = terms.close_factor[venue, pools.asset[k]]
            if pools.slot_quantity[k] >= 0.0 and not math.isnan(share) and not share >= loans.share[m]:
                loans.share[m] = share


@inlined
def set_values(pools: Pools, terms: Terms, loans: Loans, p: int, price: FloatArray) -> None:
    """Set what the whole loan of pool p comes to in every lane."""
    venue = pools.account_venue[pools.account[p]]
    weighted, collateral, gain, debt = loans.weighted, loans.collateral, loans.gain, loans.debt
    for s in range(len(debt)):
        weighted[s], collateral[s], gain[s], debt[s] = 0.0, 0.0, 0.0, 0.0
    for k in range(pools.slot_start[p], pools.slot_start[p + 1]):
        asset, quantity = pools.asset[k], pools.slot_quantity[k]
        x, ratio = price[asset], terms.venue_ratio[venue, asset]
        if quantity < 0.0:
            for s in range(len(debt)):
                debt[s] -= quantity * x[s]
            continue
        threshold = collateral_threshold(pools, terms, venue, k) - terms.extra_haircut
        slope, bonus = collateral_slope(quantity, ratio, threshold), terms.lending_bonus[venue, asset]
        for s in range(len(debt)):
            value = quantity * (x[s] * ratio)
            weighted[s] += slope * x[s]
            collateral[s] += value
            gain[s] += value * bonus


@inlined
def liquidation(
    rules: VariantRules, venue: int, share: float, weighted: float, collateral: float, debt: float, bonus: float
) -> tuple[float, float]:
    """Return what one liquidation repays and seizes, USD: as margin.lending permits it; 0 where none happens."""
    rest, leftover = 1.0 + bonus, rules.least_left[venue]
    most = debt
    is_small = debt < rules.full_below[venue] or collateral < rules.full_below[venue]
    if not is_small and weighted / debt > rules.full_health[venue]:
        most = share * debt
    repaid, seized = most, most * rest
    if seized > collateral:
        repaid, seized = collateral / rest, collateral
    debt_left, collateral_left = debt - repaid, collateral - seized
    if debt_left > 0.0 and collateral_left > 0.0 and (debt_left < leftover or collateral_left < leftover):
        repaid = max(0.0, min(repaid, min(debt - leftover, (collateral - leftover) / rest)))
        seized = repaid * rest
    cost = rules.liquidation_cost[venue]
    profit = repaid * (bonus * (1.0 - rules.protocol_fee[venue])) - cost
    if profit > 0.0 or (bonus == 0.0 and cost == 0.0):
        return repaid, seized
    return 0.0, 0.0


@inlined
def take(pools: Pools, loans: Loans, state: State, p: int, s: int, debt: float, collateral: float) -> None:
    """Add the flow of repaying a share of pool p's debt and selling a share of its collateral in lane s."""
    a = pools.account[p]
    weight, venue = pools.account_weight[a], pools.account_venue[a]
    is_new = not has_lane(state.closed[p], s)
    for k in range(pools.slot_start[p], pools.slot_start[p + 1]):
        asset, quantity = pools.asset[k], pools.slot_quantity[k]
        if quantity < 0.0:
            state.spot[asset, s] -= weight * quantity * debt
            continue
        sold = weight * quantity * collateral
        state.spot[asset, s] -= sold
        loans.seized[venue, asset, s] += sold
        if is_new and quantity > 0.0:
            loans.balances[venue, asset, s] += weight
    add_lane(state.closed[p], s)


@compiled
def liquidate_loans(
    pools: Pools, terms: Terms, rules: VariantRules, lanes: Lanes, state: State, loans: Loans, is_first: bool,
    is_last: bool,
) -> None:  # fmt: skip
    """Liquidate once, in every active lane (at first: in every lane), each loan that can be; in the last round only
    note it.
    """  # noqa: D205
    for m in range(len(loans.pool)):
        p = loans.pool[m]
        a = pools.account[p]
        if pools.account_is_exempt[a]:
            continue
        venue = pools.account_venue[a]
        share = rules.close_factor[venue] if math.isnan(loans.share[m]) else loans.share[m]
        set_values(pools, terms, loans, p, state.trigger)
        for s in range(len(lanes.row)):
            if not is_first and not has_lane(state.active, s):
                continue
            debt_left, collateral_left = loans.debt_left[m, s], loans.collateral_left[m, s]
            weighted, collateral = loans.weighted[s] * collateral_left, loans.collateral[s] * collateral_left
            debt = loans.debt[s] * debt_left
            if not weighted < debt or collateral <= 0.0:
                continue
            bonus = loans.gain[s] / loans.collateral[s]
            repaid, seized = liquidation(rules, venue, share, weighted, collateral, debt, bonus)
            if repaid <= LEAST_RISE * loans.debt[s]:
                continue
            if is_last:
                state.is_cut_off[s] = True
                continue
            loans.debt_left[m, s] = 0.0 if repaid >= debt else debt_left - repaid / loans.debt[s]
            loans.collateral_left[m, s] = (
                0.0 if seized >= collateral else collateral_left - seized / loans.collateral[s]
            )
            take(
                pools, loans, state, p, s, debt_left - loans.debt_left[m, s],
                collateral_left - loans.collateral_left[m, s],
            )  # fmt: skip
            state.has_risen[s] = True


@compiled
def set_first_seized(lanes: Lanes, state: State, loans: Loans) -> None:
    """Add what the first round sold to every lane's first round."""
    for v in range(loans.seized.shape[0]):
        for c in range(loans.seized.shape[1]):
            for s in range(len(lanes.row)):
                state.first_round[s] += loans.seized[v, c, s] * state.shocked[c, lanes.group[s]]


@inlined
def set_shortfall(pools: Pools, terms: Terms, state: State, loans: Loans, m: int, shortfall: FloatArray) -> float:
    """Set shortfall[lane] of loan m, USD weighted: debt left beyond collateral left at final prices, liquidated or not;
    returns the largest.
    """  # noqa: D205
    p, most = loans.pool[m], 0.0
    weight = pools.account_weight[pools.account[p]]
    set_values(pools, terms, loans, p, state.trigger)
    for s in range(len(shortfall)):
        left = loans.debt[s] * loans.debt_left[m, s] - loans.collateral[s] * loans.collateral_left[m, s]
        shortfall[s] = weight * max(0.0, left)
        most = max(most, shortfall[s])
    return most
