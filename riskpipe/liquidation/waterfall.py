"""The loss waterfall of every fund in every lane: fees, insurance fund, auto-deleveraging of the winners."""

from typing import NamedTuple

import numpy as np

from riskpipe.compiled import inlined, internal
from riskpipe.domain.book import FloatArray
from riskpipe.domain.schema import N_RANKS
from riskpipe.liquidation.bits import has_any, set_wide_mask
from riskpipe.liquidation.closeout import Losses
from riskpipe.liquidation.lanes import Lanes, State
from riskpipe.liquidation.lowering import ADL, FEE_OFFSET, FUND, N_STAGES, SETTLED, Pools, Terms, VariantRules
from riskpipe.liquidation.positions import entry_offset, position_size
from riskpipe.liquidation.prices import notional_row, payoff_row
from riskpipe.liquidation.results import Results


class Winners(NamedTuple):
    """Open positions in profit, by instrument and side (long, short), where a fund turns to them."""

    first: np.ndarray  # [i, 2] first lane in which they are asked
    stop: np.ndarray  # [i, 2] one past the last; 0 = in none
    best: FloatArray  # [i, 2] the payoff at which a position of that side earns most in those lanes
    profit: FloatArray  # [i, 2, lane] USD at final prices
    notional: FloatArray  # [i, 2, lane] USD at the final mark
    removed: FloatArray  # [i, 2, lane] share of each position that is removed


def make_winners(terms: Terms, n_lanes: int) -> Winners:
    """Allocate the sums of winners."""
    n_i = len(terms.venue)
    profit, notional, removed = (np.zeros((n_i, 2, n_lanes)) for _ in range(3))
    return Winners(
        first=np.zeros((n_i, 2), dtype=np.int64),
        stop=np.zeros((n_i, 2), dtype=np.int64),
        best=np.zeros((n_i, 2)),
        profit=profit,
        notional=notional,
        removed=removed,
    )


@inlined
def payment(terms: Terms, state: State, losses: Losses, f: int, s: int, stage: int, left: float) -> float:
    """Return what the fees collected or the insurance fund pay of what is left of fund f's loss in lane s."""
    if stage == FEE_OFFSET:
        return min(left, losses.fees[f, s])
    return min(left, terms.fund_balance[f] * state.trigger[terms.fund_asset[f], s])


@inlined
def left_before_adl(terms: Terms, rules: VariantRules, state: State, losses: Losses, f: int, s: int) -> float:
    """Return what fund f's winners are asked for in lane s, 0 where its venue has no auto-deleveraging."""
    left = losses.shortfall[f, s]
    for n in range(N_STAGES):
        stage = rules.stages[terms.fund_venue[f], n]
        if stage < 0 or left <= 0.0:
            return 0.0
        if stage == ADL:
            return left
        left -= payment(terms, state, losses, f, s, stage, left)
    return 0.0


@internal
def ask_winners(
    terms: Terms, rules: VariantRules, lanes: Lanes, state: State, losses: Losses, winners: Winners
) -> bool:
    """Set the lanes in which winners of each instrument and side are asked; returns whether any are."""
    is_asked = False
    for i in range(len(terms.venue)):
        f = terms.fund[i]
        payoff = state.trigger[payoff_row(terms, i)]
        for side in range(2):
            winners.first[i, side], winners.stop[i, side] = len(lanes.row), 0
            best = -np.inf if side == 0 else np.inf
            for s in range(len(lanes.row)):
                if losses.side_shortfall[i, 1 - side, s] <= 0.0:
                    continue
                if left_before_adl(terms, rules, state, losses, f, s) <= 0.0:
                    continue
                is_asked = True
                winners.first[i, side] = min(winners.first[i, side], s)
                winners.stop[i, side] = s + 1
                best = max(best, payoff[s]) if side == 0 else min(best, payoff[s])
            winners.best[i, side] = best
    return is_asked


@internal
def add_winners(pools: Pools, terms: Terms, state: State, winners: Winners) -> None:
    """Add up profit and notional of the open positions in profit, where they are asked."""
    n = len(state.mask)
    mask = state.mask
    for p in range(len(pools.account)):
        weight = pools.account_weight[pools.account[p]]
        has_mask = False
        for q in range(pools.position_start[p], pools.position_start[p + 1]):
            i = pools.instrument[q]
            side = 0 if pools.quantity[q] > 0.0 else 1
            s0, s1 = winners.first[i, side], winners.stop[i, side]
            if s1 == 0:
                continue
            size, offset = position_size(pools, terms, q), entry_offset(pools, terms, q)
            if size * winners.best[i, side] - offset <= 0.0:
                continue
            if not has_mask:
                has_mask = True
                if not has_any(state.closed[p]):
                    for s in range(n):
                        mask[s] = weight
                else:
                    set_wide_mask(state.closed[p], 0, mask)
                    for s in range(n):
                        mask[s] = (1.0 - mask[s]) * weight
            gross = abs(size)
            payoff, price = state.trigger[payoff_row(terms, i), s0:s1], state.trigger[terms.settlement[i], s0:s1]
            counted = state.trigger[notional_row(terms, i), s0:s1]
            profits, notionals = winners.profit[i, side, s0:s1], winners.notional[i, side, s0:s1]
            open_weight = mask[s0:s1]
            for s in range(s1 - s0):
                profit = size * payoff[s] - offset
                worth, gross_worth = profit * price[s], gross * counted[s]
                is_ahead = profit > 0.0
                profits[s] += open_weight[s] * (worth if is_ahead else 0.0)
                notionals[s] += open_weight[s] * (gross_worth if is_ahead else 0.0)


@inlined
def deleverage(
    terms: Terms, losses: Losses, winners: Winners, f: int, s: int, loss: float, adl_notional: FloatArray
) -> float:
    """Charge a fund's remaining loss to winners pro rata to profit, instrument by instrument; returns what was paid."""
    paid = 0.0
    for i in range(len(terms.venue)):
        if terms.fund[i] != f:
            continue
        for side in range(2):  # of the closed positions
            amount = losses.side_shortfall[i, side, s]
            profit = winners.profit[i, 1 - side, s]
            if amount <= 0.0 or profit <= 0.0:
                continue
            taken = min(loss * (amount / losses.shortfall[f, s]), profit)
            share = taken / profit
            winners.removed[i, 1 - side, s] = share
            adl_notional[f] += winners.notional[i, 1 - side, s] * share
            paid += taken
    return loss if loss - paid <= SETTLED * loss else paid


@internal
def run_waterfall(
    terms: Terms, rules: VariantRules, state: State, losses: Losses, winners: Winners, s: int, out: Results, r: int
) -> bool:
    """Run every fund's stages in its venue's order in lane s into row r; returns whether winners lost anything."""
    has_removed = False
    for f in range(len(terms.fund_venue)):
        shortfall = losses.shortfall[f, s]
        out.shortfall[r, f] = shortfall
        out.fund_balance[r, f] = terms.fund_balance[f] * state.trigger[terms.fund_asset[f], s]
        left = shortfall
        for n in range(N_STAGES):
            stage = rules.stages[terms.fund_venue[f], n]
            if stage < 0 or left <= 0.0:
                break
            if stage == FEE_OFFSET:
                paid = payment(terms, state, losses, f, s, stage, left)
                out.fee_offset[r, f] = paid
            elif stage == FUND:
                paid = payment(terms, state, losses, f, s, stage, left)
                out.fund_used[r, f] = paid
            else:
                paid = deleverage(terms, losses, winners, f, s, left, out.adl_notional[r])
                has_removed = has_removed or paid > 0.0
                out.adl_loss[r, f] = paid
            left -= paid
        out.residual[r, f] = left
        uncovered = max(0.0, shortfall - (out.fee_offset[r, f] + out.fund_used[r, f] + out.backstop_loss[r, f]))
        for rank in range(N_RANKS):
            part = losses.entity_shortfall[f, rank, s]
            out.entity_shortfall[r, f, rank] = part
            out.entity_uncovered_loss[r, f, rank] = part / shortfall * uncovered if part > 0.0 else 0.0
            out.entity[r, f, rank] = losses.entity[f, rank, s]
    return has_removed
