"""The cascades of all lanes: trigger, forced flow, impact, round by round, until nobody new is closed in any lane."""

import math

import numpy as np

from riskpipe.compiled import compiled, inlined, internal
from riskpipe.domain.book import FloatArray, OffsetArray
from riskpipe.liquidation.batches import Batch, evaluate, evaluate_afresh, failing_lanes, is_due
from riskpipe.liquidation.bits import (
    BLOCK,
    NO_LANE,
    add_lane,
    first_block,
    has_any,
    has_lane,
    lanes_of_seats,
    stop_block,
)
from riskpipe.liquidation.footprint import WIDTH, WORD
from riskpipe.liquidation.lanes import Lanes, State
from riskpipe.liquidation.lowering import VWAP, Pools, Terms, VariantRules
from riskpipe.liquidation.positions import position_size
from riskpipe.liquidation.prices import (
    index_ratio,
    mark_row,
    notional_row,
    pad,
    set_bounds,
    set_mark,
    set_shocked_lane,
)
from riskpipe.liquidation.records import INITIAL, MAINTENANCE, Draft
from riskpipe.liquidation.shocks import SMALLEST_INDEX_SHARE, average_impact, impact, is_limited
from riskpipe.liquidation.tape import Tape, fit


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
    for c in range(len(terms.index_price)):
        moved = state.shocked[c, g] * (1.0 + state.index_move[c, s])
        state.has_asset_moved[c] |= moved != price[c, s]
        price[c, s] = moved
    for i in range(len(terms.venue)):
        moved = state.shocked[mark_row(terms, i), g] * index_ratio(terms, state.index_move, i, s)
        moved = moved * (1.0 + state.dislocation[i, s])
        state.has_instrument_moved[i] |= moved != price[mark_row(terms, i), s] or state.has_asset_moved[terms.quote[i]]
        set_mark(terms, price, i, s, moved)


@inlined
def add_closed(pools: Pools, terms: Terms, state: State, p: int, n_lanes: int) -> None:
    """Add pool p's positions to what is closed in the first n lanes (or groups) of state.risen."""
    weight = pools.account_weight[pools.account[p]]
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
def close_first(
    pools: Pools, terms: Terms, start: OffsetArray, number: FloatArray, batch: Batch, lanes: Lanes, state: State,
    first: int, stop: int,
) -> None:  # fmt: skip
    """Close, in every group of lanes, the pools of a tile that fail at its shocked prices."""
    n_groups, wide, n = len(lanes.index_shock), state.shocked.shape[1], 0
    for last in range(first, stop):
        if pools.can_close[last]:
            batch.pool[n] = last
            n += 1
        if not is_due(n, last == stop - 1):
            continue
        evaluate(start, number, first, batch, n, state.shocked, np.int64(0), wide)  # no literal: compiled once
        for b in range(n):
            if batch.negative[b] == 0:
                continue
            p, n_risen = batch.pool[b], 0
            for g in range(n_groups):
                if batch.health[b, g] < 0.0:
                    state.risen[n_risen] = g
                    n_risen += 1
                    state.has_risen[g] = True
                    for w in range(len(state.active)):
                        state.closed[p, w] |= state.group_lanes[g, w]
            add_closed(pools, terms, state, p, n_risen)
        n = 0


@internal
def spread_groups(lanes: Lanes, closed: FloatArray) -> None:
    """Turn what is closed by group into what is closed by lane, in place: a group's number is at most its lanes'."""
    for i in range(closed.shape[0]):
        for s in range(len(lanes.group) - 1, -1, -1):
            closed[i, s] = closed[i, lanes.group[s]]


@inlined
def may_fail(pools: Pools, state: State, p: int) -> bool:
    """Whether pool p is open in an active lane and holds something that moved in the last round in any lane."""
    is_open = NO_LANE
    for w in range(len(state.active)):
        is_open |= state.active[w] & ~state.closed[p, w]
    if is_open == NO_LANE or not pools.can_close[p]:
        return False
    for q in range(pools.position_start[p], pools.position_start[p + 1]):
        if state.has_instrument_moved[pools.instrument[q]]:
            return True
    moved = False
    for k in range(pools.slot_start[p], pools.slot_start[p + 1]):
        moved = moved or state.has_asset_moved[pools.asset[k]]
    return moved


@compiled
def seat_lanes(state: State) -> bool:
    """Give each active lane a seat, where its prices stand side by side with the others', if one block holds them all.

    Returns whether it does; else each lane's seat is the lane.
    """
    n = 0
    for s in range(len(state.seat)):
        if has_lane(state.active, s):
            state.seat[n] = s
            n += 1
    if n > WIDTH:
        for s in range(len(state.seat)):
            state.seat[s] = s
        return False
    for m in range(n, WIDTH):
        state.seat[m] = state.seat[0]
    for r in range(state.trigger.shape[0]):
        for m in range(WIDTH):
            state.seated[r, m] = state.trigger[r, state.seat[m]]
    return True


@compiled
def close_again(
    pools: Pools, terms: Terms, start: OffsetArray, number: FloatArray, batch: Batch, state: State,
    first: int, stop: int, is_seated: bool, is_last: bool,
) -> int:  # fmt: skip
    """Close the pools of a tile that fail at the trigger prices of active lanes; in the last round only note it.

    Returns how many pools are open and hold something that moved, and were looked at.
    """
    price, s0, s1 = state.trigger, first_block(state.active), stop_block(state.active)
    if is_seated:
        price, s0, s1 = state.seated, 0, WIDTH
    looked_at, n = 0, 0
    for last in range(first, stop):
        if may_fail(pools, state, last):
            batch.pool[n] = last
            n += 1
        if not is_due(n, last == stop - 1):
            continue
        looked_at += n
        evaluate(start, number, first, batch, n, price, s0, s1)
        for b in range(n):
            if batch.negative[b] > 0:
                close_risen(pools, terms, batch, state, b, s0, s1, is_seated, is_last)
        n = 0
    return looked_at


@inlined
def close_risen(
    pools: Pools, terms: Terms, batch: Batch, state: State, b: int, s0: int, s1: int, is_seated: bool, is_last: bool
) -> None:
    """Close the b-th pool of a batch in the active lanes in which it fails."""
    p, n_risen = batch.pool[b], 0
    for block in range(s0, s1, WIDTH):
        if is_seated:
            is_open = ~lanes_of_seats(state.closed[p], state.seat[:WIDTH]) & BLOCK
        else:
            w = block // WORD
            is_open = ((state.active[w] & ~state.closed[p, w]) >> np.uint64(block % WORD)) & BLOCK
        if is_open == NO_LANE:
            continue
        failing = failing_lanes(batch, b, block) & is_open
        if failing == NO_LANE:
            continue
        for m in range(WIDTH):
            s = state.seat[block + m]  # a lane that also fills up the block is closed only once
            if (failing >> np.uint64(m)) & np.uint64(1) != NO_LANE and not has_lane(state.closed[p], s):
                if is_last:
                    state.is_cut_off[s] = True
                else:
                    state.has_risen[s] = True
                    add_lane(state.closed[p], s)
                    state.risen[n_risen] = s
                    n_risen += 1
    if n_risen > 0:
        add_closed(pools, terms, state, p, n_risen)


@compiled
def call_margin(pools: Pools, terms: Terms, draft: Draft, batch: Batch, state: State, kind: int) -> None:
    """Set the lanes in which an open pool misses its initial margin; then (kind MAINTENANCE) drop those in which it
    fails and stays open all the same, exempt or cut off: it is past a call.
    """  # noqa: D205
    n, n_pools, wide = 0, len(pools.account), state.trigger.shape[1]
    is_cut_off = False
    for s in range(len(state.is_cut_off)):
        is_cut_off = is_cut_off or state.is_cut_off[s]
    for last in range(n_pools):
        has_work = kind == INITIAL
        if kind == MAINTENANCE and (is_cut_off or not pools.can_close[last]):
            has_work = has_any(state.called[last])
        if has_work:
            batch.pool[n] = last
            n += 1
        if not is_due(n, last == n_pools - 1):
            continue
        evaluate_afresh(pools, terms, draft, batch, n, kind, state.trigger, state.low, state.high)
        for b in range(n):
            p = batch.pool[b]
            if batch.negative[b] == 0:
                continue
            for block in range(0, wide, WIDTH):
                w = block // WORD
                failing = failing_lanes(batch, b, block) << np.uint64(block % WORD)
                if kind == INITIAL:
                    state.called[p, w] |= failing & ~state.closed[p, w] & state.every[w]
                else:
                    state.called[p, w] &= ~failing
        n = 0


@compiled
def move_prices(terms: Terms, rules: VariantRules, lanes: Lanes, state: State) -> int:
    """Let the flow so far of every lane that rose move its prices; those lanes alone stay active.

    Returns how many these are, and sets which prices moved and the bounds of all of them.
    """
    n_active = 0
    for w in range(len(state.active)):
        state.active[w] = 0
    state.has_instrument_moved[:] = False
    state.has_asset_moved[:] = False
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


@compiled
def set_shocked(terms: Terms, lanes: Lanes, state: State) -> None:
    """Set the shocked prices of every group, the lanes' trigger prices to them, and their bounds."""
    n_groups = len(lanes.index_shock)
    for g in range(n_groups):
        set_shocked_lane(terms, state.shocked, g, lanes.index_shock[g], lanes.basis_shock[g])
    for s in range(len(lanes.row)):
        for r in range(len(state.low)):
            state.trigger[r, s] = state.shocked[r, lanes.group[s]]
    pad(state.shocked, n_groups)
    pad(state.trigger, len(lanes.row))
    set_bounds(state.shocked, n_groups, state.low, state.high)


@compiled
def spread_first(terms: Terms, rules: VariantRules, lanes: Lanes, state: State) -> None:
    """Turn what the first round closed by group into what it closed by lane; lanes where it closed nothing are done."""
    for g in range(len(lanes.index_shock)):
        state.mask[g] = 1.0 if state.has_risen[g] else 0.0
    spread_groups(lanes, state.sold)
    spread_groups(lanes, state.bought)
    spread_groups(lanes, state.positions)
    for s in range(len(lanes.row) - 1, -1, -1):
        state.has_risen[s] = state.mask[lanes.group[s]] == 1.0
        if not state.has_risen[s]:
            state.limits_hit[s] = set_impact(terms, rules, lanes, state, s)
        for i in range(len(terms.venue)):
            size = state.sold[i, s] + state.bought[i, s]
            state.first_round[s] += size * state.shocked[notional_row(terms, i), lanes.group[s]]


def run_cascades(
    pools: Pools, terms: Terms, rules: VariantRules, draft: Draft, batch: Batch, lanes: Lanes, state: State, tape: Tape
) -> int:
    """Run all lanes to their fixed points, leaving prices, flow, closed pools and calls in `state` (new on entry).

    The tape is made anew when prices leave its box, or for another tile. Returns how often a pool was looked at in
    later rounds. `limits_hit` is the most laws at a limit in any round: each of them has shaped what follows.
    """
    set_shocked(terms, lanes, state)
    tiles = tape.tiles(len(pools.account))
    for tile in tiles:
        fit(pools, terms, draft, tape, tile, state.low, state.high)
        close_first(pools, terms, tape.start, tape.number, batch, lanes, state, *tile)
    spread_first(terms, rules, lanes, state)
    n_rounds, looked_at = 1, 0
    while move_prices(terms, rules, lanes, state) > 0:
        is_seated, is_last = seat_lanes(state), n_rounds >= rules.max_rounds
        for tile in tiles:
            fit(pools, terms, draft, tape, tile, state.low, state.high)
            looked_at += close_again(pools, terms, tape.start, tape.number, batch, state, *tile, is_seated, is_last)
        n_rounds += 1
    call_margin(pools, terms, draft, batch, state, INITIAL)
    call_margin(pools, terms, draft, batch, state, MAINTENANCE)
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
