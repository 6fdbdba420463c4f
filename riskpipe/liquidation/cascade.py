"""The cascades of all lanes: trigger, forced flow, impact, round by round, until nobody new is closed in any lane."""

from collections.abc import Callable

import numpy as np

from riskpipe.compiled import compiled, internal
from riskpipe.domain.book import FloatArray, OffsetArray
from riskpipe.liquidation.batches import Batch, evaluate, evaluate_sketches, is_due, make_sure, record_batch
from riskpipe.liquidation.bits import ALL_BITS, NO_LANE, add_lane, has_any, has_common, zeros_below
from riskpipe.liquidation.flow import add_closed, move_prices, set_impact
from riskpipe.liquidation.footprint import WIDTH, WORD, padded
from riskpipe.liquidation.lanes import Lanes, State
from riskpipe.liquidation.loans import Loans, liquidate_loans, set_first_seized
from riskpipe.liquidation.lowering import Pools, Terms, VariantRules
from riskpipe.liquidation.portfolios import CALLS, FIRST, LAST, LATER, Portfolios, visit_portfolios
from riskpipe.liquidation.prices import notional_row, pad, round_prices, set_shocked_lanes
from riskpipe.liquidation.records import INITIAL, MAINTENANCE, Draft
from riskpipe.liquidation.seats import (
    find_open,
    find_still_open,
    keep_active_seats,
    moved_bits,
    seat_groups,
    seat_lanes,
    set_seated,
)
from riskpipe.liquidation.tape import Tape, fit


@internal
def spread_groups(lanes: Lanes, closed: FloatArray) -> None:
    """Turn what is closed by group into what is closed by lane, in place: a group's number is at most its lanes'."""
    for i in range(closed.shape[0]):
        for s in range(len(lanes.group) - 1, -1, -1):
            closed[i, s] = closed[i, lanes.group[s]]


@compiled
def find_failing(
    pools: Pools, terms: Terms, draft: Draft, low: FloatArray, high: FloatArray, tape_pool: np.ndarray,
    held: np.ndarray, start: OffsetArray, number: np.ndarray, batch: Batch, state: State, price: FloatArray,
    first: int, n_candidates: int, n_seats: int, moved: np.uint64,
) -> tuple[int, int]:  # fmt: skip
    """Note in which seats that are due the candidates of a tile fail that are open there and hold what has moved.

    Returns how many are candidates from now on, and how many were looked at.
    """
    kept, looked_at, n = 0, 0, 0
    n_blocks, n_words = (n_seats + WIDTH - 1) // WIDTH, (n_seats + WORD - 1) // WORD
    round_prices(price, state.rounded, n_blocks * WIDTH)
    for k in range(first, first + n_candidates):
        j = state.candidate[k]
        if has_common(state.open[first + j], state.is_due):
            state.candidate[first + kept] = j
            kept += 1
            if held[j] & moved != NO_LANE:
                batch.pool[n], batch.start[n] = j, start[j]
                n += 1
        if not is_due(n, k == first + n_candidates - 1):
            continue
        looked_at += n
        evaluate_sketches(number, batch, n, state.rounded, n_blocks)
        for b in range(n):
            j = batch.pool[b]
            make_sure(pools, terms, draft, batch, b, tape_pool[j], low, high, price, n_blocks)
            for w in range(n_words):
                failing = batch.failing[b, w] & state.open[first + j, w] & state.is_due[w]
                if failing != NO_LANE:
                    state.open[first + j, w] &= ~failing
                    state.fallen[tape_pool[j], w] |= failing
                    add_lane(state.has_fallen, tape_pool[j])
        n = 0
    return kept, looked_at


@compiled
def close_fallen(
    pools: Pools, terms: Terms, rules: VariantRules, state: State, price: FloatArray, first: int, stop: int,
    is_first: bool, is_last: bool,
) -> None:  # fmt: skip
    """Close the pools of a tile where `find_failing` noted them, in the order in which flow adds up: in lanes, at first
    in groups of them; in the last round only note which lanes are cut off.
    """  # noqa: D205
    for k in range(first // WORD, (stop + WORD - 1) // WORD):
        pools_left = state.has_fallen[k]
        state.has_fallen[k] = 0
        while pools_left != NO_LANE:
            p, n_risen = k * WORD + zeros_below(pools_left), 0
            pools_left &= pools_left - np.uint64(1)
            for w in range(len(state.is_due)):
                fallen = state.fallen[p, w]
                state.fallen[p, w] = 0
                while fallen != NO_LANE:
                    s = state.seat[w * WORD + zeros_below(fallen)]
                    fallen &= fallen - np.uint64(1)
                    if is_last:
                        state.is_cut_off[s] = True
                        continue
                    state.has_risen[s] = True
                    state.risen[n_risen] = s
                    n_risen += 1
                    if is_first:
                        for v in range(len(state.active)):
                            state.closed[p, v] |= state.group_lanes[s, v]
                    else:
                        add_lane(state.closed[p], s)
            if n_risen > 0:
                add_closed(pools, terms, rules, state, p, n_risen, price)


@compiled
def call_margin(pools: Pools, terms: Terms, draft: Draft, batch: Batch, state: State, kind: int) -> None:
    """Set the lanes in which an open pool misses its initial margin; then (kind MAINTENANCE) drop those in which it
    fails and stays open all the same, exempt or cut off: it is past a call.
    """  # noqa: D205
    n, n_pools, wide = 0, len(pools.account), state.trigger.shape[1]
    if kind == INITIAL:
        state.called[:] = 0  # candidates' seats were kept here
    is_cut_off = False
    for s in range(len(state.is_cut_off)):
        is_cut_off = is_cut_off or state.is_cut_off[s]
    for last in range(n_pools):
        account = pools.account[last]
        has_work = kind == INITIAL and (pools.can_close[last] or pools.account_is_exempt[account])
        has_work = has_work and not (pools.account_is_lending[account] or pools.is_portfolio[last])
        if kind == MAINTENANCE and (is_cut_off or not pools.can_close[last]):
            has_work = has_any(state.called[last])
        if has_work:
            batch.pool[n] = last
            n += 1
        if not is_due(n, last == n_pools - 1):
            continue
        record_batch(pools, terms, draft, batch, n, kind, state.low, state.high)
        evaluate(draft.records, batch, n, state.trigger, wide)
        for b in range(n):
            p = batch.pool[b]
            for w in range(len(state.every)):
                failing = batch.failing[b, w]
                if kind == INITIAL:
                    state.called[p, w] |= failing & ~state.closed[p, w] & state.every[w]
                else:
                    state.called[p, w] &= ~failing
        n = 0


@compiled
def set_shocked(terms: Terms, lanes: Lanes, state: State) -> None:
    """Set the shocked prices of every group, the lanes' trigger prices to them, and their bounds."""
    set_shocked_lanes(terms, state.shocked, lanes.shocks, state.low, state.high)
    for s in range(len(lanes.row)):
        for r in range(len(state.low)):
            state.trigger[r, s] = state.shocked[r, lanes.group[s]]
    pad(state.trigger, len(lanes.row))


@compiled
def spread_first(terms: Terms, rules: VariantRules, lanes: Lanes, state: State) -> None:
    """Turn what the first round closed by group into what it closed by lane; lanes where it closed nothing are done."""
    for g in range(len(lanes.shocks.index_shock)):
        state.mask[g] = 1.0 if state.has_risen[g] else 0.0
    spread_groups(lanes, state.sold)
    spread_groups(lanes, state.bought)
    spread_groups(lanes, state.positions)
    spread_groups(lanes, state.spot)
    for s in range(len(lanes.row) - 1, -1, -1):
        state.has_risen[s] = state.mask[lanes.group[s]] == 1.0
        if not state.has_risen[s]:
            state.limits_hit[s] = set_impact(terms, rules, lanes, state, s)
        for i in range(len(terms.venue)):
            size = state.sold[i, s] + state.bought[i, s]
            state.first_round[s] += size * state.shocked[notional_row(terms, i), lanes.group[s]]


def run_cascades(
    pools: Pools, terms: Terms, rules: VariantRules, draft: Draft, batch: Batch, lanes: Lanes, state: State, tape: Tape,
    loans: Loans, portfolios: Portfolios,
) -> int:  # fmt: skip
    """Run all lanes to their fixed points, leaving prices, flow, closed pools and calls in `state` (new on entry).

    Returns how often a pool was looked at in later rounds.
    """
    looked_at = run_rounds(pools, terms, rules, draft, batch, lanes, state, tape, loans, portfolios)
    call_margin(pools, terms, draft, batch, state, INITIAL)
    call_margin(pools, terms, draft, batch, state, MAINTENANCE)
    if len(portfolios.units.pool) > 0:
        visit_portfolios(pools, terms, rules, lanes, state, portfolios, CALLS)
    return looked_at


def run_rounds(
    pools: Pools, terms: Terms, rules: VariantRules, draft: Draft, batch: Batch, lanes: Lanes, state: State, tape: Tape,
    loans: Loans, portfolios: Portfolios, watch: Callable[[], None] | None = None,
) -> int:  # fmt: skip
    """Run all lanes round by round, without margin calls. `watch` is called at shocked prices, and again each time that
    a round's flow has moved them.

    The tape is made anew when prices leave its box, or for another tile. Returns how often a pool was looked at in
    later rounds. `limits_hit` is the most laws at a limit in any round: each of them has shaped what follows.
    """  # noqa: D205
    set_shocked(terms, lanes, state)
    if watch is not None:
        watch()
    tiles, n_groups = tape.tiles(len(pools.account)), len(lanes.shocks.index_shock)
    for tile in tiles:
        fit(pools, terms, draft, tape, tile, state.low, state.high)
        seat_groups(state, tile[0], tape.n_records, n_groups)
        play = pools, terms, draft, *tape.played(), batch, state
        find_failing(*play, state.shocked, tile[0], tape.n_records, n_groups, ALL_BITS)
        close_fallen(pools, terms, rules, state, state.shocked, *tile, True, False)
    if len(portfolios.units.pool) > 0:
        visit_portfolios(pools, terms, rules, lanes, state, portfolios, FIRST)
    spread_first(terms, rules, lanes, state)
    if len(loans.pool) > 0:
        liquidate_loans(pools, terms, rules, lanes, state, loans, is_first=True, is_last=False)
        set_first_seized(lanes, state, loans)
    n_rounds, looked_at, n_seats, n_candidates = 1, 0, 0, [0] * len(tiles)
    while (n_active := move_prices(terms, rules, lanes, state)) > 0:
        if watch is not None:
            watch()
        is_seated_first = n_seats == 0
        is_reseated = not is_seated_first and (padded(n_active) < padded(n_seats) or 2 * n_active <= n_seats)
        if is_seated_first:
            n_seats = seat_lanes(state)
        elif is_reseated:
            n_seats = keep_active_seats(state, n_seats)
        set_seated(state, n_seats)
        is_last, moved = n_rounds >= rules.max_rounds, np.uint64(moved_bits(state))
        for t, tile in enumerate(tiles):
            fit(pools, terms, draft, tape, tile, state.low, state.high)
            if is_seated_first:
                n_candidates[t] = find_open(state, tape.pool, tile[0], tape.n_records)
            elif is_reseated:
                n_candidates[t] = find_still_open(state, tile[0], n_candidates[t])
            play = pools, terms, draft, *tape.played(), batch, state
            n_candidates[t], looked = find_failing(*play, state.seated, tile[0], n_candidates[t], n_seats, moved)
            close_fallen(pools, terms, rules, state, state.trigger, *tile, False, is_last)
            looked_at += looked
        if len(loans.pool) > 0:
            liquidate_loans(pools, terms, rules, lanes, state, loans, is_first=False, is_last=is_last)
        if len(portfolios.units.pool) > 0:
            visit_portfolios(pools, terms, rules, lanes, state, portfolios, LAST if is_last else LATER)
        n_rounds += 1
    return looked_at
