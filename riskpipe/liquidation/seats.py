"""Seats: active lanes side by side, and the candidates of later rounds: pools open in some seat's lane."""

import numpy as np

from riskpipe.compiled import compiled
from riskpipe.liquidation.bits import BLOCK, NO_LANE, add_lane, has_any, has_lane, lanes_of_seats
from riskpipe.liquidation.footprint import WIDTH, WORD
from riskpipe.liquidation.lanes import State
from riskpipe.liquidation.lowering import Pools


@compiled
def seat_lanes(state: State) -> int:
    """Give each active lane a seat, all side by side; returns how many. Seats that fill up a block repeat the first."""
    n = 0
    for s in range(len(state.seat)):
        if has_lane(state.active, s):
            state.seat[n] = s
            n += 1
    for m in range(n, len(state.seat)):
        state.seat[m] = state.seat[0]
    return n


@compiled
def find_open(pools: Pools, state: State, first: int, stop: int, n_seats: int) -> int:
    """List the pools of a tile that can be closed and are open in a seat's lane; returns how many."""
    n = 0
    for p in range(first, stop):
        if not pools.can_close[p]:
            continue
        is_closed, found = has_any(state.closed[p]), NO_LANE
        state.open[p] = 0
        for block in range(0, n_seats, WIDTH):
            lanes = BLOCK
            if is_closed:
                lanes = ~lanes_of_seats(state.closed[p], state.seat[block : block + WIDTH]) & BLOCK
            if n_seats - block < WIDTH:
                lanes &= (np.uint64(1) << np.uint64(n_seats - block)) - np.uint64(1)
            state.open[p, block // WORD] |= lanes << np.uint64(block % WORD)
            found |= lanes
        if found != NO_LANE:
            state.candidate[first + n] = p
            n += 1
    return n


@compiled
def set_seated(state: State, n_seats: int) -> bool:
    """Set the prices of seats, and which of them are due; returns whether every instrument's price moved."""
    state.is_due[:] = 0
    for m in range(n_seats):
        if has_lane(state.active, state.seat[m]):
            add_lane(state.is_due, m)
    for r in range(state.trigger.shape[0]):
        for m in range((n_seats + WIDTH - 1) // WIDTH * WIDTH):
            state.seated[r, m] = state.trigger[r, state.seat[m]]
    have_all_moved = True
    for i in range(len(state.has_instrument_moved)):
        have_all_moved = have_all_moved and state.has_instrument_moved[i]
    return have_all_moved
