"""Seats: active lanes side by side, and the candidates of later rounds: pools open in some seat's lane."""

import numpy as np

from riskpipe.compiled import compiled
from riskpipe.liquidation.bits import NO_LANE, add_lane, bit_of, has_lane, set_squeeze, squeeze
from riskpipe.liquidation.footprint import WIDTH, WORD
from riskpipe.liquidation.lanes import State


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
    for w in range(len(state.active)):
        state.n_seated[w] = set_squeeze(state.active[w], state.squeeze[w])
    return n


@compiled
def seat_groups(state: State, first: int, n_records: int, n_groups: int) -> None:
    """Give every group a seat, and make every record of a tile a candidate that is open in all of them."""
    for m in range(len(state.seat)):
        state.seat[m] = m if m < n_groups else 0
    state.is_due[:] = 0
    for m in range(n_groups):
        add_lane(state.is_due, m)
    for j in range(n_records):
        state.candidate[first + j] = j
        for w in range(len(state.is_due)):
            state.open[first + j, w] = state.is_due[w]


@compiled
def find_open(state: State, pool: np.ndarray, first: int, n_records: int) -> int:
    """List the records of a tile whose pools are open in a seat's lane; returns how many."""
    n = 0
    for j in range(n_records):
        p, at, found = pool[j], 0, NO_LANE
        opened = state.open[first + j]
        for w in range(len(opened)):
            opened[w] = 0
        for w in range(len(opened)):
            lanes = ~state.closed[p, w] & state.active[w]
            if lanes != NO_LANE:
                found |= lanes
                seats, shift = squeeze(lanes, state.squeeze[w]), np.uint64(at % WORD)
                opened[at // WORD] |= seats << shift
                if at % WORD + state.n_seated[w] > WORD:
                    opened[at // WORD + 1] |= seats >> (np.uint64(WORD) - shift)
            at += state.n_seated[w]
        if found != NO_LANE:
            state.candidate[first + n] = j
            n += 1
    return n


@compiled
def set_seated(state: State, n_seats: int) -> None:
    """Set the prices of seats, and which of them are due."""
    state.is_due[:] = 0
    for m in range(n_seats):
        if has_lane(state.active, state.seat[m]):
            add_lane(state.is_due, m)
    for r in range(state.trigger.shape[0]):
        for m in range((n_seats + WIDTH - 1) // WIDTH * WIDTH):
            state.seated[r, m] = state.trigger[r, state.seat[m]]


@compiled
def moved_bits(state: State) -> np.uint64:
    """Bits of the assets and instruments whose price moved in the last round in any lane."""
    moved = NO_LANE
    for c in range(len(state.has_asset_moved)):
        if state.has_asset_moved[c]:
            moved |= bit_of(c)
    for i in range(len(state.has_instrument_moved)):
        if state.has_instrument_moved[i]:
            moved |= bit_of(len(state.has_asset_moved) + i)
    return moved
