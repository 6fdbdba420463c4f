"""The cascade of one scenario: trigger, forced flow, impact, round by round, until nobody new is closed."""

import math

from riskpipe.domain.book import FloatArray
from riskpipe.liquidation.compiled import (
    SMALLEST_INDEX_SHARE,
    Work,
    average_impact,
    compiled,
    impact,
    is_limited,
    pool_health,
    set_instrument,
    set_shocked,
)
from riskpipe.liquidation.lowering import VWAP, Pools, Terms, VariantRules


@compiled
def set_impact(terms: Terms, rules: VariantRules, work: Work, depth_factor: float) -> int:
    """Set the moves of every mark and index that the flow causes; returns how many laws stand at a limit."""
    limits_hit = 0
    for c in range(len(terms.index_price)):
        work.index_flow[c] = 0.0
        work.index_move[c] = 0.0
        work.index_average[c] = 0.0
    for i in range(len(terms.venue)):
        u = terms.underlying[i]
        moved = 0.0
        if not math.isnan(terms.index_depth[u]):
            moved = math.copysign(min(rules.kappa[i] * abs(work.flow[i]), rules.capacity[i]), work.flow[i])
        work.index_flow[u] += moved
        kept = work.flow[i] - moved
        depth = (terms.depth_bid[i] if kept < 0.0 else terms.depth_ask[i]) * depth_factor
        floor, limit, cap = rules.price_floor[i], rules.fall_limit[i], rules.price_cap[i]
        work.own[i] = impact(rules.law[i], kept, depth, floor, limit, cap)
        work.own_average[i] = average_impact(rules.law[i], kept, depth, floor, limit, cap)
        if is_limited(work.own[i], kept, limit, cap):
            limits_hit += 1
        work.dislocation[i] = min(max(rules.response[i] * work.own[i], -rules.band[i]), rules.band[i])
    for c in range(len(terms.index_price)):
        if math.isnan(terms.index_depth[c]) or work.index_flow[c] == 0.0:
            continue
        # the index is never moved below one hundredth of its snapshot price
        room = 1.0 - SMALLEST_INDEX_SHARE * terms.index_price[c] / work.shocked.asset[c]
        limit = min(min(1.0 - rules.index_floor, 0.99), room)
        depth = terms.index_depth[c] * depth_factor
        flow, floor, cap = work.index_flow[c], rules.index_floor, rules.index_cap
        work.index_move[c] = impact(rules.index_law, flow, depth, floor, limit, cap)
        work.index_average[c] = average_impact(rules.index_law, flow, depth, floor, limit, cap)
        if is_limited(work.index_move[c], flow, limit, cap):
            limits_hit += 1
    return limits_hit


@compiled
def set_trigger(terms: Terms, work: Work) -> None:
    """Set trigger prices: what the venue's mark and the index show after the flow so far."""
    for c in range(len(terms.index_price)):
        work.trigger.asset[c] = work.shocked.asset[c] * (1.0 + work.index_move[c])
    for i in range(len(terms.venue)):
        index_move = (1.0 + work.index_move[terms.underlying[i]]) / (1.0 + work.index_move[terms.quote[i]])
        set_instrument(terms, work.trigger, i, work.shocked.mark[i] * index_move * (1.0 + work.dislocation[i]))


@compiled
def run_cascade(
    pools: Pools, terms: Terms, rules: VariantRules, work: Work, x: float, y: float, depth_factor: float, haircut: float
) -> tuple[int, float, float, int, bool]:
    """Run one scenario's rounds to the fixed point, leaving prices, flow and closed pools in `work`.

    Returns rounds, first-round notional (USD), margin-call accounts (weighted), the most laws at a limit in any
    round (each of them has shaped what follows), and whether it was cut off.
    """
    set_shocked(terms, work.shocked, x, y)
    for p in range(len(pools.account)):
        work.is_closed[p] = False
    for i in range(len(terms.venue)):
        work.flow[i] = 0.0
    limits_hit = set_impact(terms, rules, work, depth_factor)
    rounds, first_round, called = 0, 0.0, 0.0
    is_cut_off = False
    while True:
        set_trigger(terms, work)
        has_risen = False
        notional, called = 0.0, 0.0
        last_called = -1
        for p in range(len(pools.account)):
            if work.is_closed[p]:
                continue
            equity, maintenance, initial = pool_health(pools, terms, work.amounts, p, work.trigger, haircut)
            excess = equity - maintenance
            if excess >= 0.0:
                if equity < initial and pools.account[p] != last_called:
                    last_called = pools.account[p]
                    called += pools.weight[p]
                continue
            if not pools.can_close[p]:
                continue
            if rounds >= rules.max_rounds:
                is_cut_off = True
                continue
            has_risen = True
            work.is_closed[p] = True
            for q in range(pools.position_start[p], pools.position_start[p + 1]):
                i = pools.instrument[q]
                traded = pools.weight[p] * pools.size[q] * work.shocked.notional[i]
                work.flow[i] -= traded
                notional += abs(traded)
        if not has_risen:
            break
        rounds += 1
        if rounds == 1:
            first_round = notional
        limits_hit = max(limits_hit, set_impact(terms, rules, work, depth_factor))
    return rounds, first_round, called, limits_hit, is_cut_off


@compiled
def set_exit_factors(terms: Terms, rules: VariantRules, work: Work) -> None:
    """Set what impact leaves of each instrument's pre-impact exit price."""
    for i in range(len(terms.venue)):
        u, quote = terms.underlying[i], terms.quote[i]
        alpha = rules.alpha[terms.venue[i]]
        if alpha == VWAP:
            index_move = (1.0 + work.index_average[u]) / (1.0 + work.index_average[quote])
            work.exit_factor[i] = index_move * (1.0 + work.own_average[i])
        else:
            fill = (1.0 + work.index_move[u]) / (1.0 + work.index_move[quote]) * (1.0 + work.own[i])
            work.exit_factor[i] = 1.0 + alpha * (fill - 1.0)


@compiled
def write_instruments(
    terms: Terms,
    work: Work,
    y: float,
    forced_flow: FloatArray,
    impact_: FloatArray,
    mark_price: FloatArray,
    dislocation: FloatArray,
    basis: FloatArray,
) -> None:
    """Write one scenario's rows of /instruments."""
    for i in range(len(terms.venue)):
        u, quote = terms.underlying[i], terms.quote[i]
        start = max(terms.basis[i] + y, SMALLEST_INDEX_SHARE - 1.0)
        forced_flow[i] = work.flow[i]
        impact_[i] = (1.0 + work.index_move[u]) / (1.0 + work.index_move[quote]) * (1.0 + work.own[i]) - 1.0
        mark_price[i] = work.trigger.mark[i]
        dislocation[i] = work.dislocation[i]
        basis[i] = (1.0 + start) * (1.0 + work.dislocation[i]) - 1.0
