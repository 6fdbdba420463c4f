"""Close-out of the closed pools and the loss waterfall of every fund, one scenario at a time."""

from typing import NamedTuple

import numpy as np

from riskpipe.domain.book import FloatArray
from riskpipe.domain.schema import N_RANKS
from riskpipe.liquidation.compiled import Work, compiled, inlined, known_failure, set_ray
from riskpipe.liquidation.lowering import FEE_OFFSET, FUND, N_STAGES, SETTLED, Pools, Terms, VariantRules


class FundRow(NamedTuple):
    """One scenario's rows of /funds and /entities, written in place."""

    shortfall: FloatArray  # [f]
    fee_offset: FloatArray
    fund_used: FloatArray
    backstop_loss: FloatArray
    adl_loss: FloatArray
    adl_notional: FloatArray
    socialised_loss: FloatArray
    residual: FloatArray
    fund_balance: FloatArray
    entity_shortfall: FloatArray  # [f, 10]
    entity_uncovered_loss: FloatArray
    entity: FloatArray


@inlined
def close_pool(
    pools: Pools, terms: Terms, rules: VariantRules, work: Work, p: int, x: float, y: float, haircut: float
) -> tuple[float, float]:
    """Close every position of pool p: true equity (USD, before the fee) and the fee; exits are left in `work`."""
    venue = pools.venue[p]
    start = pools.position_start[p]
    n_positions = pools.position_start[p + 1] - start
    state = work.shocked
    gap_share = rules.gap_share[venue]
    if gap_share < 1.0:
        first = known_failure(pools, terms, work, p, x, y, haircut)
        if not np.isnan(first):
            point = first + gap_share * (1.0 - first)
            set_ray(pools, terms, work.ray, p, x * point, y * point)
            state = work.ray
    first_slot = pools.slot_start[p]
    n_slots = pools.slot_start[p + 1] - first_slot
    for j in range(n_slots):
        work.amounts[j] = pools.quantity[first_slot + j]
    closed_notional = 0.0
    for j in range(n_positions):
        q = start + j
        i = pools.instrument[q]
        exit_mark = state.mark[i] * work.exit_factor[i]
        quote = work.trigger.asset[terms.quote[i]]
        if terms.is_inverse[i]:
            work.exit_payoff[j] = -1.0 / exit_mark
            work.exit_notional[j] = abs(pools.size[q]) * quote
            start_payoff = -1.0 / terms.mark_price[i]
        else:
            work.exit_payoff[j] = exit_mark
            work.exit_notional[j] = abs(pools.size[q]) * (exit_mark * quote)
            start_payoff = terms.mark_price[i]
        work.amounts[pools.position_slot[q]] += pools.size[q] * work.exit_payoff[j] - pools.offset[q]
        closed_notional += work.exit_notional[j]
        lost = pools.size[q] * (start_payoff - work.exit_payoff[j])
        work.loss[j] = max(0.0, lost * work.trigger.asset[terms.settlement[i]])
    true_equity = 0.0
    for j in range(n_slots):
        c = pools.asset[first_slot + j]
        price = work.trigger.asset[c]
        if work.amounts[j] > 0.0:
            price *= terms.venue_ratio[venue, c]
        true_equity += work.amounts[j] * price
    return true_equity, rules.fee_rate[venue] * closed_notional


@compiled
def close_all(
    pools: Pools, terms: Terms, rules: VariantRules, work: Work, x: float, y: float, haircut: float, row: FundRow,
    account_shortfall: FloatArray,
) -> None:  # fmt: skip
    """Close out every closed pool; set each fund's shortfall, fees, shortfall by side, and its ten largest entities."""
    n_funds = len(terms.fund_venue)
    for f in range(n_funds):
        row.shortfall[f] = 0.0
        work.fund_fees[f] = 0.0
    work.side_shortfall[:] = 0.0
    work.is_touched[:] = False
    for p in range(len(pools.account)):
        if not work.is_closed[p]:
            continue
        account = pools.account[p]
        weight = pools.weight[p]
        true_equity, fee = close_pool(pools, terms, rules, work, p, x, y, haircut)
        shortfall = weight * max(0.0, -true_equity)
        fees = weight * min(fee, max(0.0, true_equity))
        account_shortfall[account] += shortfall
        if shortfall > 0.0 and pools.account_ranks[account]:
            work.is_touched[pools.account_entity[account]] = True
        start = pools.position_start[p]
        n_positions = pools.position_start[p + 1] - start
        total_loss, total_notional = 0.0, 0.0
        for j in range(n_positions):
            total_loss += work.loss[j]
            total_notional += work.exit_notional[j]
        work.pool_part[p] = 0.0
        if total_notional == 0.0:
            row.shortfall[terms.venue_fund[pools.venue[p]]] += shortfall
            work.pool_part[p] = shortfall
        for j in range(n_positions):
            q = start + j
            i = pools.instrument[q]
            f = terms.fund[i]
            work.position_part[q] = 0.0
            if fees > 0.0 and total_notional > 0.0:
                work.fund_fees[f] += fees * (work.exit_notional[j] / total_notional)
            if shortfall > 0.0 and total_notional > 0.0:
                share = work.loss[j] / total_loss if total_loss > 0.0 else work.exit_notional[j] / total_notional
                part = shortfall * share
                work.position_part[q] = part
                row.shortfall[f] += part
                work.side_shortfall[i, 0 if pools.size[q] > 0.0 else 1] += part
    rank_entities(pools, terms, work, row)


@compiled
def rank_entities(pools: Pools, terms: Terms, work: Work, row: FundRow) -> None:
    """Write each fund's ten largest entities; of equals the one with the lower index stands first."""
    row.entity_shortfall[:] = 0.0
    row.entity[:] = -1.0
    for e in range(len(work.is_touched)):
        if not work.is_touched[e]:
            continue
        work.entity_loss[:] = 0.0
        for n in range(pools.entity_account_start[e], pools.entity_account_start[e + 1]):
            a = pools.entity_account[n]
            if not pools.account_ranks[a]:
                continue
            for p in range(pools.account_pool_start[a], pools.account_pool_start[a + 1]):
                if work.is_closed[p]:
                    add_parts(pools, terms, work, p)
        for f in range(len(work.entity_loss)):
            insert_entity(row, f, e, work.entity_loss[f])


@inlined
def add_parts(pools: Pools, terms: Terms, work: Work, p: int) -> None:
    """Add a closed pool's parts of its shortfall to its entity's losses by fund."""
    if work.pool_part[p] > 0.0:
        work.entity_loss[terms.venue_fund[pools.venue[p]]] += work.pool_part[p]
    for q in range(pools.position_start[p], pools.position_start[p + 1]):
        work.entity_loss[terms.fund[pools.instrument[q]]] += work.position_part[q]


@inlined
def insert_entity(row: FundRow, f: int, e: int, loss: float) -> None:
    """Insert an entity's loss into a fund's list of the largest."""
    if loss <= row.entity_shortfall[f, N_RANKS - 1]:
        return
    place = N_RANKS - 1
    while place > 0 and loss > row.entity_shortfall[f, place - 1]:
        row.entity_shortfall[f, place] = row.entity_shortfall[f, place - 1]
        row.entity[f, place] = row.entity[f, place - 1]
        place -= 1
    row.entity_shortfall[f, place] = loss
    row.entity[f, place] = e


@compiled
def set_winners(pools: Pools, terms: Terms, work: Work) -> None:
    """Set profit and notional, USD at final prices, of the open positions in profit, by instrument and side."""
    work.winner_profit[:] = 0.0
    work.winner_notional[:] = 0.0
    for p in range(len(pools.account)):
        if work.is_closed[p]:
            continue
        for q in range(pools.position_start[p], pools.position_start[p + 1]):
            i = pools.instrument[q]
            side = 0 if pools.size[q] > 0.0 else 1
            if work.side_shortfall[i, 1 - side] == 0.0:
                continue
            profit = pools.size[q] * work.trigger.payoff[i] - pools.offset[q]
            if profit > 0.0:
                work.winner_profit[i, side] += pools.weight[p] * (profit * work.trigger.asset[terms.settlement[i]])
                work.winner_notional[i, side] += pools.weight[p] * (abs(pools.size[q]) * work.trigger.notional[i])


@compiled
def run_waterfalls(pools: Pools, terms: Terms, rules: VariantRules, work: Work, row: FundRow) -> bool:
    """Run every fund's stages in its venue's order; returns whether ADL removed anything (`work.removed`)."""
    work.removed[:] = 0.0
    has_winners, has_removed = False, False
    for f in range(len(terms.fund_venue)):
        shortfall = row.shortfall[f]
        row.fund_balance[f] = terms.fund_balance[f] * work.trigger.asset[terms.fund_asset[f]]
        row.fee_offset[f], row.fund_used[f], row.backstop_loss[f] = 0.0, 0.0, 0.0
        row.adl_loss[f], row.adl_notional[f], row.socialised_loss[f] = 0.0, 0.0, 0.0
        left = shortfall
        for n in range(N_STAGES):
            stage = rules.stages[terms.fund_venue[f], n]
            if stage < 0 or left <= 0.0:
                break
            if stage == FEE_OFFSET:
                paid = min(left, work.fund_fees[f])
                row.fee_offset[f] = paid
            elif stage == FUND:
                paid = min(left, row.fund_balance[f])
                row.fund_used[f] = paid
            else:
                if not has_winners:
                    set_winners(pools, terms, work)
                    has_winners = True
                paid = deleverage(terms, work, row, f, left)
                has_removed = has_removed or paid > 0.0
                row.adl_loss[f] = paid
            left -= paid
        row.residual[f] = left
        uncovered = max(0.0, shortfall - (row.fee_offset[f] + row.fund_used[f] + row.backstop_loss[f]))
        for rank in range(N_RANKS):
            part = row.entity_shortfall[f, rank]
            row.entity_uncovered_loss[f, rank] = part / shortfall * uncovered if part > 0.0 else 0.0
    return has_removed


@compiled
def deleverage(terms: Terms, work: Work, row: FundRow, f: int, loss: float) -> float:
    """Charge a fund's remaining loss to winners pro rata to profit, instrument by instrument; returns what was paid."""
    paid = 0.0
    for i in range(len(terms.venue)):
        if terms.fund[i] != f:
            continue
        for side in range(2):  # of the closed positions
            amount = work.side_shortfall[i, side]
            profit = work.winner_profit[i, 1 - side]
            if amount <= 0.0 or profit <= 0.0:
                continue
            taken = min(loss * (amount / row.shortfall[f]), profit)
            share = taken / profit
            work.removed[i, 1 - side] = share
            row.adl_notional[f] += work.winner_notional[i, 1 - side] * share
            paid += taken
    return loss if loss - paid <= SETTLED * loss else paid
