"""Hedges broken by the closings, all lanes at once."""

from typing import NamedTuple

import numpy as np

from riskpipe.compiled import inlined, internal
from riskpipe.domain.book import FloatArray
from riskpipe.liquidation.bits import has_any, set_wide_mask
from riskpipe.liquidation.health import start_amounts
from riskpipe.liquidation.lanes import Lanes, State
from riskpipe.liquidation.loans import Loans
from riskpipe.liquidation.lowering import Pools, Terms
from riskpipe.liquidation.options import option_delta
from riskpipe.liquidation.positions import entry_offset, place_of, position_offset, position_size
from riskpipe.liquidation.prices import mark_row, notional_row, payoff_row
from riskpipe.liquidation.records import Draft
from riskpipe.liquidation.waterfall import Winners


class Deltas(NamedTuple):
    """One entity's USD delta by asset over lanes."""

    before: FloatArray  # [c, lane]
    after: FloatArray  # [c, lane]
    has_leg: np.ndarray  # [c] bool
    broken: FloatArray  # [lane] USD over all entities
    shocked: FloatArray  # [rows, lane] prices
    vol_factor: FloatArray  # [lane]
    counted: FloatArray  # [lane] what one unit of a position's size counts


def make_deltas(terms: Terms, lanes: Lanes, state: State) -> Deltas:
    """Allocate the scratch of one entity, and spread the shocked prices of groups over their lanes."""
    n_c, n_lanes = len(terms.index_price), state.trigger.shape[1]
    shape = (n_c, n_lanes)
    shocked = np.ones_like(state.trigger)
    shocked[:, : len(lanes.row)] = state.shocked[:, lanes.group]
    vol_factor, counted = np.ones(n_lanes), np.zeros(n_lanes)
    vol_factor[: len(lanes.row)] += lanes.shocks.vol_shock[lanes.group]
    has_leg = np.zeros(n_c, dtype=np.bool_)
    return Deltas(np.zeros(shape), np.zeros(shape), has_leg, np.zeros(n_lanes), shocked, vol_factor, counted)


@internal
def add_broken_hedges(
    pools: Pools, terms: Terms, draft: Draft, state: State, loans: Loans, winners: Winners, deltas: Deltas, s0: int,
    s1: int, has_removed: bool,
) -> None:  # fmt: skip
    """Add the growth of entities' absolute USD delta by the closings, at shocked marks, in lanes s0 to s1 - 1.

    A spot leg is a balance together with what settles in it; a futures leg counts its signed notional, an option's its
    delta.
    """
    for e in range(len(pools.can_break)):
        if not pools.can_break[e]:
            continue
        start, stop = pools.entity_account_start[e], pools.entity_account_start[e + 1]
        is_touched = has_removed
        for n in range(start, stop):
            a = pools.entity_account[n]
            for p in range(pools.account_pool_start[a], pools.account_pool_start[a + 1]):
                is_touched = is_touched or has_any(state.closed[p])
        if not is_touched:
            continue
        for n in range(start, stop):
            a = pools.entity_account[n]
            for p in range(pools.account_pool_start[a], pools.account_pool_start[a + 1]):
                m = place_of(loans.pool, p) if pools.account_is_lending[a] else -1
                if m >= 0:
                    add_loan_deltas(pools, terms, deltas, loans, m, s0, s1)
                    continue
                add_deltas(
                    pools, terms, draft, deltas, deltas.shocked, state.trigger, state.closed[p],
                    state.mask[s0:s1], winners.removed, p, s0, s1,
                )  # fmt: skip
        for c in range(len(deltas.has_leg)):
            if not deltas.has_leg[c]:
                continue
            deltas.has_leg[c] = False
            before, after, broken = deltas.before[c, s0:s1], deltas.after[c, s0:s1], deltas.broken[s0:s1]
            for s in range(s1 - s0):
                broken[s] += max(0.0, abs(after[s]) - abs(before[s]))
                before[s], after[s] = 0.0, 0.0


@inlined
def add_loan_deltas(pools: Pools, terms: Terms, deltas: Deltas, loans: Loans, m: int, s0: int, s1: int) -> None:
    """Add a loan's USD delta by asset, before and after its liquidations."""
    p = loans.pool[m]
    weight = pools.account_weight[pools.account[p]]
    for k in range(pools.slot_start[p], pools.slot_start[p + 1]):
        c, quantity = pools.asset[k], pools.slot_quantity[k]
        if terms.underlying_cell[c] < 0:
            continue
        left = loans.debt_left[m, s0:s1] if quantity < 0.0 else loans.collateral_left[m, s0:s1]
        price, before, after = deltas.shocked[c, s0:s1], deltas.before[c, s0:s1], deltas.after[c, s0:s1]
        deltas.has_leg[c] = True
        for s in range(s1 - s0):
            spot = weight * (quantity * price[s])
            before[s] += spot
            after[s] += spot * left[s]


@internal
def set_option_deltas(
    terms: Terms, price: FloatArray, vol_factor: FloatArray, i: int, s0: int, counted: FloatArray
) -> None:
    """Set the USD that one unit of option i gains where the index doubles, by its delta, in lanes from s0 on; a
    coin-settled option's is net of its own value, which counts as a balance of the coin.
    """  # noqa: D205
    for m in range(len(counted)):
        s = s0 + m
        forward, volatility = price[mark_row(terms, i), s], terms.option_vol[i] * vol_factor[s]
        found = option_delta(terms.is_call[i], forward, terms.strike[i], terms.years[i], volatility, 1.0)
        usd = found * forward * price[terms.quote[i], s]
        worth = price[notional_row(terms, i), s] if terms.is_coin_settled[i] else 0.0
        counted[m] = usd - worth


@inlined
def add_deltas(
    pools: Pools, terms: Terms, draft: Draft, deltas: Deltas, shocked: FloatArray, final: FloatArray,
    closed: np.ndarray, mask: FloatArray, removed: FloatArray, p: int, s0: int, s1: int,
) -> None:  # fmt: skip
    """Add a pool's USD delta by asset, before and after the closings."""
    weight, lanes = pools.account_weight[pools.account[p]], s1 - s0
    first = pools.slot_start[p]
    n_slots = pools.slot_start[p + 1] - first
    set_wide_mask(closed, s0, mask)
    start_amounts(pools, draft, p, s0, s1)
    for q in range(pools.position_start[p], pools.position_start[p + 1]):
        i = pools.instrument[q]
        u, paid = terms.underlying[i], payoff_row(terms, i)
        size, offset = position_size(pools, terms, q), position_offset(pools, terms, q)
        entry = entry_offset(pools, terms, q)
        amount, payoff = draft.amount[pools.position_slot[q], s0:s1], shocked[paid, s0:s1]
        counted, final_payoff = shocked[notional_row(terms, i), s0:s1], final[paid, s0:s1]
        if terms.is_option[i]:
            counted = deltas.counted[s0:s1]
            set_option_deltas(terms, shocked, deltas.vol_factor, i, s0, counted)
        taken = removed[i, 0 if size > 0.0 else 1, s0:s1]
        before, after = deltas.before[u, s0:s1], deltas.after[u, s0:s1]
        deltas.has_leg[u] = True
        for s in range(lanes):
            amount[s] += size * payoff[s] - offset
            delta = weight * (size * counted[s])
            before[s] += delta
            # only what is open and in profit at the final mark is removed
            left = 1.0 - taken[s]
            left = left if size * final_payoff[s] - entry > 0.0 else 1.0
            after[s] += delta * (left * (1.0 - mask[s]))
    for j in range(n_slots):
        c = pools.asset[first + j]
        if terms.underlying_cell[c] < 0:
            continue
        amount, price = draft.amount[j, s0:s1], shocked[c, s0:s1]
        before, after = deltas.before[c, s0:s1], deltas.after[c, s0:s1]
        deltas.has_leg[c] = True
        for s in range(lanes):
            spot = weight * (amount[s] * price[s])
            before[s] += spot
            after[s] += spot
