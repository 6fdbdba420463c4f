"""Flow: what closings sell and buy, and how it moves every mark and index."""

import math

from riskpipe.compiled import compiled, inlined, internal
from riskpipe.domain.book import FloatArray
from riskpipe.liquidation.bits import add_lane
from riskpipe.liquidation.lanes import Lanes, State
from riskpipe.liquidation.lowering import Pools, Terms, VariantRules
from riskpipe.liquidation.options import option_mark
from riskpipe.liquidation.positions import position_size
from riskpipe.liquidation.prices import index_ratio, mark_row, notional_row, set_bounds, set_mark, set_option
from riskpipe.liquidation.sales import sell_collateral
from riskpipe.liquidation.shocks import SMALLEST_INDEX_SHARE, average_impact, impact, is_limited


@internal
def set_impact(terms: Terms, rules: VariantRules, lanes: Lanes, state: State, s: int) -> int:
    """Set lane s's flow and the moves of every mark and index that it causes; returns how many laws stand at a limit.

    The index is never moved below one hundredth of its snapshot price.
    """
    g = lanes.group[s]
    depth_factor = lanes.depth_factor[s]
    limits_hit = 0
    for c in range(len(terms.index_price)):
        state.index_flow[c] = 0.0
        state.index_move[c, s] = 0.0
        state.index_average[c, s] = 0.0
    for i in range(len(terms.venue)):
        u = terms.underlying[i]
        flow = (state.bought[i, s] - state.sold[i, s]) * state.shocked[notional_row(terms, i), g]
        state.flow[i, s] = flow
        moved = 0.0
        if not math.isnan(terms.index_depth[u]):
            moved = math.copysign(min(rules.kappa[i] * abs(flow), rules.capacity[i]), flow)
        state.index_flow[u] += moved
        kept = flow - moved
        if terms.is_option[i]:  # its book is as deep in contracts, whatever they have come to be worth
            premium = terms.mark_price[i] * terms.index_price[terms.settlement[i]]
            kept = (state.bought[i, s] - state.sold[i, s]) * premium
        depth = (terms.depth_bid[i] if kept < 0.0 else terms.depth_ask[i]) * depth_factor
        floor, limit, cap = rules.price_floor[i], rules.fall_limit[i], rules.price_cap[i]
        own = impact(rules.law[i], kept, depth, floor, limit, cap)
        state.own[i, s] = own
        state.own_average[i, s] = average_impact(rules.law[i], kept, depth, floor, limit, cap)
        limits_hit += is_limited(own, kept, limit, cap)
        state.dislocation[i, s] = min(max(rules.response[i] * own, -rules.band[i]), rules.band[i])
    for c in range(len(terms.index_price)):
        flow = state.index_flow[c] + state.spot[c, s] * state.shocked[c, g]
        if math.isnan(terms.index_depth[c]) or flow == 0.0:
            continue
        room = 1.0 - SMALLEST_INDEX_SHARE * terms.index_price[c] / state.shocked[c, g]
        limit = min(min(1.0 - rules.index_floor, 0.99), room)
        depth, floor, cap = terms.index_depth[c] * depth_factor, rules.index_floor, rules.index_cap
        state.index_move[c, s] = impact(rules.index_law, flow, depth, floor, limit, cap)
        state.index_average[c, s] = average_impact(rules.index_law, flow, depth, floor, limit, cap)
        limits_hit += is_limited(state.index_move[c, s], flow, limit, cap)
    return limits_hit


@internal
def set_trigger(terms: Terms, lanes: Lanes, state: State, s: int) -> None:
    """Set lane s's trigger prices: what the venue's mark and the index show after the flow so far."""
    g = lanes.group[s]
    price = state.trigger
    for c in range(len(terms.index_price)):
        price[c, s] = state.shocked[c, g] * (1.0 + state.index_move[c, s])
    for i in range(len(terms.venue)):
        moved = state.shocked[mark_row(terms, i), g] * index_ratio(terms, state.index_move, i, s)
        if terms.is_option[i]:
            mark = option_mark(terms, i, moved, 1.0 + lanes.shocks.vol_shock[g], state.dislocation[i, s])
            set_option(terms, price, i, s, moved, mark)
            continue
        set_mark(terms, price, i, s, moved * (1.0 + state.dislocation[i, s]))


@inlined
def add_closed(
    pools: Pools, terms: Terms, rules: VariantRules, state: State, p: int, n_lanes: int, price: FloatArray
) -> None:
    """Add pool p's positions to what is closed in the first n lanes (or groups) of state.risen, at their prices."""
    weight, venue = pools.account_weight[pools.account[p]], pools.account_venue[pools.account[p]]
    if rules.sells_collateral[venue]:
        for m in range(n_lanes):
            s = state.risen[m]
            sell_collateral(pools, terms, rules.sale_rank[venue], state, p, price, s)
    for q in range(pools.position_start[p], pools.position_start[p + 1]):
        size = position_size(pools, terms, q)
        if size == 0.0:
            continue
        i = pools.instrument[q]
        closed = state.sold[i] if size > 0.0 else state.bought[i]
        positions = state.positions[i]
        amount = weight * abs(size)
        for m in range(n_lanes):
            closed[state.risen[m]] += amount
            positions[state.risen[m]] += weight


@compiled
def move_prices(terms: Terms, rules: VariantRules, lanes: Lanes, state: State) -> int:
    """Let the flow so far of every lane that rose move its prices; those lanes alone stay active.

    Returns how many these are, and sets the bounds of all prices.
    """
    n_active = 0
    for w in range(len(state.active)):
        state.active[w] = 0
    for s in range(len(lanes.row)):
        if state.has_risen[s]:
            state.has_risen[s] = False
            state.rounds[s] += 1
            add_lane(state.active, s)
            n_active += 1
            state.limits_hit[s] = max(state.limits_hit[s], set_impact(terms, rules, lanes, state, s))
            set_trigger(terms, lanes, state, s)
    set_bounds(state.trigger, len(lanes.row), state.low, state.high)
    return n_active
