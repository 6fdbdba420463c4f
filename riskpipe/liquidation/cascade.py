"""The cascades of all lanes: trigger, forced flow, impact, round by round, until nobody new is closed in any lane."""

import math

import numpy as np

from riskpipe.domain.book import FloatArray
from riskpipe.liquidation.batches import Batch, add_pool, evaluate, is_due
from riskpipe.liquidation.bits import NO_LANE, add_lane, first_block, has_any, has_lane, stop_block
from riskpipe.liquidation.compiled import (
    SMALLEST_INDEX_SHARE,
    average_impact,
    compiled,
    impact,
    inlined,
    internal,
    is_limited,
)
from riskpipe.liquidation.footprint import WIDTH, WORD
from riskpipe.liquidation.health import INITIAL, MAINTENANCE, Lines, position_size
from riskpipe.liquidation.lanes import Lanes, State
from riskpipe.liquidation.lowering import VWAP, Pools, Terms, VariantRules
from riskpipe.liquidation.prices import (
    index_ratio,
    mark_row,
    notional_row,
    pad,
    set_bounds,
    set_mark,
    set_shocked_lane,
)
from riskpipe.liquidation.reach import CLOSED, lengthen_path, set_codes, set_first_codes, set_scales


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
        depth = (terms.depth_bid[i] if kept < 0.0 else terms.depth_ask[i]) * depth_factor
        floor, limit, cap = rules.price_floor[i], rules.fall_limit[i], rules.price_cap[i]
        own = impact(rules.law[i], kept, depth, floor, limit, cap)
        state.own[i, s] = own
        state.own_average[i, s] = average_impact(rules.law[i], kept, depth, floor, limit, cap)
        limits_hit += is_limited(own, kept, limit, cap)
        state.dislocation[i, s] = min(max(rules.response[i] * own, -rules.band[i]), rules.band[i])
    for c in range(len(terms.index_price)):
        flow = state.index_flow[c]
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
    for r in range(price.shape[0]):
        state.before[r, s] = price[r, s]
    for c in range(len(terms.index_price)):
        price[c, s] = state.shocked[c, g] * (1.0 + state.index_move[c, s])
    for i in range(len(terms.venue)):
        mark = state.shocked[mark_row(terms, i), g] * index_ratio(terms, state.index_move, i, s)
        set_mark(terms, price, i, s, mark * (1.0 + state.dislocation[i, s]))


@inlined
def add_closed(pools: Pools, terms: Terms, state: State, p: int, s0: int, s1: int) -> None:
    """Add pool p's positions to what is closed in the lanes (or groups) whose mask is 1."""
    weight, mask = pools.account_weight[pools.account[p]], state.mask[s0:s1]
    for q in range(pools.position_start[p], pools.position_start[p + 1]):
        size = position_size(pools, terms, q)
        if size == 0.0:
            continue
        i = pools.instrument[q]
        closed = state.sold[i, s0:s1] if size > 0.0 else state.bought[i, s0:s1]
        positions = state.positions[i, s0:s1]
        amount = weight * abs(size)
        for s in range(len(mask)):
            closed[s] += amount * mask[s]
            positions[s] += weight * mask[s]


@internal
def close_first(pools: Pools, terms: Terms, lines: Lines, batch: Batch, lanes: Lanes, state: State) -> None:
    """Close, in every group of lanes, the pools that fail at its shocked prices; note how far the others reach."""
    n_groups, n_pools, wide = len(lanes.index_shock), len(pools.account), state.shocked.shape[1]
    n = 0
    for last in range(n_pools):
        if pools.can_close[last]:
            n = add_pool(batch, n, last, 0, wide)
        if not is_due(n, last == n_pools - 1):
            continue
        evaluate(pools, terms, lines, batch, n, MAINTENANCE, state.shocked, state.low, state.high)
        for b in range(n):
            p = batch.pool[b]
            set_first_codes(pools, lanes, state, p, batch.health[b])
            if batch.negative[b] == 0:
                continue
            mask = state.mask[:wide]
            for g in range(wide):
                mask[g] = 0.0
            has_risen = False
            for g in range(n_groups):
                if batch.health[b, g] < 0.0:
                    mask[g] = 1.0
                    state.has_risen[g] = True
                    has_risen = True
                    for w in range(len(state.active)):
                        state.closed[p, w] |= state.group_lanes[g, w]
                    for s in range(lanes.group_start[g], lanes.group_start[g + 1]):
                        state.code[p, s] = CLOSED
            if has_risen:
                add_closed(pools, terms, state, p, 0, wide)
        n = 0


@internal
def spread_groups(lanes: Lanes, closed: FloatArray) -> None:
    """Turn what is closed by group into what is closed by lane, in place: a group's number is at most its lanes'."""
    for i in range(closed.shape[0]):
        for s in range(len(lanes.group) - 1, -1, -1):
            closed[i, s] = closed[i, lanes.group[s]]


@internal
def close_again(
    pools: Pools, terms: Terms, lines: Lines, batch: Batch, state: State, s0: int, s1: int, is_last: bool
) -> int:
    """Close the pools that fail at the trigger prices of lanes s0 to s1 - 1, all active lanes among them; in the last
    round only note that some would. Only pools that may fail are looked at: returns how many.
    """  # noqa: D205
    looked_at, n, n_pools = 0, 0, len(pools.account)
    for last in range(n_pools):
        start, stop = s1, s0
        for block in range(s0, s1 if pools.can_close[last] else s0, WIDTH):
            code = state.code[last, block : block + WIDTH]
            level = state.level[pools.cell[last], block : block + WIDTH]
            may_fail = np.uint8(0)
            for s in range(WIDTH):
                may_fail |= np.uint8(code[s] < level[s])
            if may_fail != 0:
                start, stop = min(start, block), block + WIDTH
        if start < stop:
            n = add_pool(batch, n, last, start, stop)
        if not is_due(n, last == n_pools - 1):
            continue
        looked_at += n
        evaluate(pools, terms, lines, batch, n, MAINTENANCE, state.trigger, state.low, state.high)
        for b in range(n):
            p = batch.pool[b]
            set_codes(pools, state, p, batch.start[b], batch.stop[b], batch.health[b])
            if batch.negative[b] > 0:
                close_risen(pools, terms, batch, state, b, is_last)
        n = 0
    return looked_at


@inlined
def close_risen(pools: Pools, terms: Terms, batch: Batch, state: State, b: int, is_last: bool) -> None:
    """Close the b-th pool of a batch in the active lanes in which it fails."""
    p, s0, s1 = batch.pool[b], batch.start[b], batch.stop[b]
    has_risen = False
    for s in range(s0, s1):
        is_new = batch.health[b, s] < 0.0 and has_lane(state.active, s) and not has_lane(state.closed[p], s)
        state.mask[s] = 0.0
        if is_new and is_last:
            state.is_cut_off[s] = True
        elif is_new:
            state.mask[s] = 1.0
            state.has_risen[s] = True
            has_risen = True
            state.code[p, s] = CLOSED
            add_lane(state.closed[p], s)
    if has_risen:
        add_closed(pools, terms, state, p, s0, s1)


@internal
def call_margin(pools: Pools, terms: Terms, lines: Lines, batch: Batch, state: State, n_lanes: int, kind: int) -> None:
    """Set the lanes in which an open pool misses its initial margin; then (kind MAINTENANCE) drop those in which it
    fails and stays open all the same, exempt or cut off: it is past a call.
    """  # noqa: D205
    n, n_pools, n_words = 0, len(pools.account), len(state.active)
    is_cut_off = False
    for s in range(len(state.is_cut_off)):
        is_cut_off = is_cut_off or state.is_cut_off[s]
    for last in range(n_pools):
        has_work = kind == INITIAL
        if kind == MAINTENANCE and (is_cut_off or not pools.can_close[last]):
            has_work = has_any(state.called[last])
        if has_work:
            n = add_pool(batch, n, last, 0, state.trigger.shape[1])
        if not is_due(n, last == n_pools - 1):
            continue
        evaluate(pools, terms, lines, batch, n, kind, state.trigger, state.low, state.high)
        for b in range(n):
            p = batch.pool[b]
            if batch.negative[b] == 0:
                continue
            for w in range(n_words):
                word = NO_LANE
                for s in range(w * WORD, min(n_lanes, (w + 1) * WORD)):
                    word |= np.uint64(batch.health[b, s] < 0.0) << np.uint64(s & 63)
                if kind == INITIAL:
                    state.called[p, w] = word & ~state.closed[p, w]
                else:
                    state.called[p, w] &= ~word
        n = 0


@internal
def move_prices(terms: Terms, rules: VariantRules, lanes: Lanes, state: State) -> tuple[int, int]:
    """Let the flow so far of every lane that rose move its prices; those lanes alone stay active.

    Returns the first block of active lanes and one past the last, 0 when there are none.
    """
    for w in range(len(state.active)):
        state.active[w] = 0
    for s in range(len(lanes.row)):
        for cell in range(state.level.shape[0]):
            state.level[cell, s] = 0
        if state.has_risen[s]:
            state.has_risen[s] = False
            state.rounds[s] += 1
            add_lane(state.active, s)
            state.limits_hit[s] = max(state.limits_hit[s], set_impact(terms, rules, lanes, state, s))
            set_trigger(terms, lanes, state, s)
            lengthen_path(terms, state, s)
            set_scales(terms, state, s)
    pad(state.trigger, len(lanes.row))
    set_bounds(state.trigger, len(lanes.row), state.low, state.high)
    return first_block(state.active), stop_block(state.active)


@compiled
def run_cascades(
    pools: Pools, terms: Terms, rules: VariantRules, lines: Lines, batch: Batch, lanes: Lanes, state: State
) -> int:
    """Run all lanes to their fixed points, leaving prices, flow, closed pools and calls in `state` (new on entry).

    Returns how often a pool was looked at in later rounds. `limits_hit` is the most laws at a limit in any round: each
    of them has shaped what follows.
    """
    n, n_groups = len(lanes.row), len(lanes.index_shock)
    set_shocked_lane(terms, state.trigger, 0, 0.0, 0.0)
    for r in range(len(state.start)):
        state.start[r] = state.trigger[r, 0]
    for g in range(n_groups):
        set_shocked_lane(terms, state.shocked, g, lanes.index_shock[g], lanes.basis_shock[g])
    pad(state.shocked, n_groups)
    set_bounds(state.shocked, n_groups, state.low, state.high)
    for s in range(n):
        for r in range(len(state.start)):
            state.trigger[r, s] = state.shocked[r, lanes.group[s]]
        set_scales(terms, state, s)
        for cell in range(state.scale.shape[0]):
            state.group_scale[cell, lanes.group[s]] = state.scale[cell, s]
    close_first(pools, terms, lines, batch, lanes, state)
    for g in range(n_groups):
        state.mask[g] = 1.0 if state.has_risen[g] else 0.0
    spread_groups(lanes, state.sold)
    spread_groups(lanes, state.bought)
    spread_groups(lanes, state.positions)
    for s in range(n - 1, -1, -1):
        state.has_risen[s] = state.mask[lanes.group[s]] == 1.0
        if not state.has_risen[s]:
            state.limits_hit[s] = set_impact(terms, rules, lanes, state, s)
        for i in range(len(terms.venue)):
            size = state.sold[i, s] + state.bought[i, s]
            state.first_round[s] += size * state.shocked[notional_row(terms, i), lanes.group[s]]
    n_rounds, looked_at = 0, 0
    while True:
        s0, s1 = move_prices(terms, rules, lanes, state)
        n_rounds += 1
        if s1 == 0:
            break
        looked_at += close_again(pools, terms, lines, batch, state, s0, s1, n_rounds >= rules.max_rounds)
    call_margin(pools, terms, lines, batch, state, n, INITIAL)
    call_margin(pools, terms, lines, batch, state, n, MAINTENANCE)
    return looked_at


@compiled
def set_exit_factors(terms: Terms, rules: VariantRules, lanes: Lanes, state: State, factor: FloatArray) -> None:
    """Set factor[i, lane], what impact leaves of each instrument's pre-impact exit price."""
    for i in range(len(terms.venue)):
        alpha = rules.alpha[terms.venue[i]]
        for s in range(len(lanes.row)):
            if alpha == VWAP:
                factor[i, s] = index_ratio(terms, state.index_average, i, s) * (1.0 + state.own_average[i, s])
            else:
                fill = index_ratio(terms, state.index_move, i, s) * (1.0 + state.own[i, s])
                factor[i, s] = 1.0 + alpha * (fill - 1.0)
