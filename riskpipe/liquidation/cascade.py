"""The cascades of all lanes: trigger, forced flow, impact, round by round, until nobody new is closed in any lane."""

from collections.abc import Callable

import numpy as np

from riskpipe.compiled import compiled, inlined, internal
from riskpipe.domain.book import FloatArray, OffsetArray
from riskpipe.liquidation.batches import Batch, evaluate, find_worn, is_due, look_at_worn, make_sure
from riskpipe.liquidation.bits import NO_LANE, add_lane, first_lanes, has_any, zeros_below
from riskpipe.liquidation.cushions import set_travel
from riskpipe.liquidation.flow import add_closed, move_prices, set_impact
from riskpipe.liquidation.footprint import CUSHION_BATCH, SHARE, WIDTH, WORD
from riskpipe.liquidation.lanes import Lanes, State
from riskpipe.liquidation.loans import Loans, liquidate_loans, set_first_seized
from riskpipe.liquidation.lowering import Pools, Terms, VariantRules
from riskpipe.liquidation.portfolios import CALLS, FIRST, LAST, LATER, Portfolios, visit_portfolios
from riskpipe.liquidation.prices import notional_row, pad, round_prices, set_shocked_lanes
from riskpipe.liquidation.records import INITIAL, MAINTENANCE, Draft, record_pools
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
    start: OffsetArray, number: np.ndarray, batch: Batch, state: State, price: FloatArray, first: int,
    n_records: int, n_lanes: int, due: np.ndarray, is_new: bool, is_first: bool,
) -> int:  # fmt: skip
    """Note in which of the lanes (is_first: groups) that are due [words] the pools of a tile fail that are open there,
    looking at those whose cushion is worn, or at all of them (is_new). Returns how many were looked at.
    """  # noqa: D205
    looked_at, n_blocks, n_shares = 0, (n_lanes + WIDTH - 1) // WIDTH, (n_lanes + SHARE - 1) // SHARE
    round_prices(price, state.rounded, n_blocks * WIDTH)
    opened, cushion = state.open[first:], state.cushion[first:]
    for j in range(0, n_records, CUSHION_BATCH):
        n = find_worn(
            number, start, cushion, state.travel, j, min(j + CUSHION_BATCH, n_records), batch, is_new, is_first
        )
        looked_at += look_at_worn(number, start, cushion, opened, due, state.rounded, batch, n, n_shares, is_first)
        for b in range(n):
            p = tape_pool[batch.pool[b]]
            make_sure(pools, terms, draft, batch, b, p, low, high, price, n_blocks)
            for w in range(len(due)):
                failing = batch.failing[b, w] & batch.due[b, w]
                if failing == NO_LANE:
                    continue
                state.fallen[p, w] |= failing
                add_lane(state.has_fallen, p)
                shut(opened[batch.pool[b]], state.group_lanes, w, failing, is_first)
    return looked_at


@inlined
def shut(opened: np.ndarray, group_lanes: np.ndarray, w: int, failing: np.uint64, is_first: bool) -> None:
    """Drop the failing lanes (is_first: groups) of word w from a set of open lanes."""
    if not is_first:
        opened[w] &= ~failing
        return
    while failing != NO_LANE:
        group = w * WORD + zeros_below(failing)
        failing &= failing - np.uint64(1)
        for v in range(len(opened)):
            opened[v] &= ~group_lanes[group, v]


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
            for w in range(len(state.active)):
                fallen = state.fallen[p, w]
                state.fallen[p, w] = 0
                while fallen != NO_LANE:
                    s = w * WORD + zeros_below(fallen)
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
        state.called[:] = 0  # what is open was kept here
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
        record_pools(pools, terms, draft, batch.pool, batch.start, n, kind, state.low, state.high)
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
    tiles, n_groups, n_lanes = tape.tiles(len(pools.account)), len(lanes.shocks.index_shock), len(lanes.row)
    state.open[:] = state.every
    groups = first_lanes(n_groups, len(state.active))
    for tile in tiles:
        fit(pools, terms, draft, tape, tile, state.low, state.high)
        play = pools, terms, draft, *tape.played(), batch, state
        find_failing(*play, state.shocked, tile[0], tape.n_records, n_groups, groups, True, True)
        close_fallen(pools, terms, rules, state, state.shocked, *tile, True, False)
    if len(portfolios.units.pool) > 0:
        visit_portfolios(pools, terms, rules, lanes, state, portfolios, FIRST)
    spread_first(terms, rules, lanes, state)
    if len(loans.pool) > 0:
        liquidate_loans(pools, terms, rules, lanes, state, loans, is_first=True, is_last=False)
        set_first_seized(lanes, state, loans)
    n_rounds, looked_at, boxes = 1, 0, [tape.n_boxes] * len(tiles)
    while move_prices(terms, rules, lanes, state) > 0:
        if watch is not None:
            watch()
        set_travel(terms, lanes, state, n_rounds == 1)
        is_last = n_rounds >= rules.max_rounds
        for t, tile in enumerate(tiles):
            fit(pools, terms, draft, tape, tile, state.low, state.high)
            is_new, boxes[t] = boxes[t] != tape.n_boxes, tape.n_boxes
            play = pools, terms, draft, *tape.played(), batch, state
            looked_at += find_failing(
                *play, state.trigger, tile[0], tape.n_records, n_lanes, state.active, is_new, False
            )
            close_fallen(pools, terms, rules, state, state.trigger, *tile, False, is_last)
        if len(loans.pool) > 0:
            liquidate_loans(pools, terms, rules, lanes, state, loans, is_first=False, is_last=is_last)
        if len(portfolios.units.pool) > 0:
            visit_portfolios(pools, terms, rules, lanes, state, portfolios, LAST if is_last else LATER)
        n_rounds += 1
    return looked_at
