"""Seats: active lanes side by side, and the candidates of later rounds: pools open in some seat's lane."""

import numpy as np

from riskpipe.compiled import compiled, inlined
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
    for w in range(len(state.active)):
        state.remaining[w] = state.active[w]
    _end_seating(state, n)
    return n


@compiled
def keep_active_seats(state: State, n_seats: int) -> int:
    """Move the seats whose lanes are still active side by side; returns how many."""
    n = 0
    state.remaining[:] = 0
    for m in range(n_seats):
        if has_lane(state.active, state.seat[m]):
            add_lane(state.remaining, m)
            state.seat[n] = state.seat[m]
            n += 1
    _end_seating(state, n)
    return n


@inlined
def _end_seating(state: State, n: int) -> None:
    for m in range(n, len(state.seat)):
        state.seat[m] = state.seat[0]
    for w in range(len(state.remaining)):
        state.n_seated[w] = set_squeeze(state.remaining[w], state.squeeze[w])


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


@inlined
def _squeeze_open(state: State, opened: np.ndarray) -> bool:
    """Move what remains of a set of lanes or seats to the seats that are theirs now; returns whether any does."""
    at, found = 0, NO_LANE
    for w in range(len(opened)):
        left = opened[w] & state.remaining[w]
        opened[w] = 0  # what moves goes to this word or one before it
        if left != NO_LANE:
            found |= left
            seats, shift = squeeze(left, state.squeeze[w]), np.uint64(at % WORD)
            opened[at // WORD] |= seats << shift
            if at % WORD + state.n_seated[w] > WORD:
                opened[at // WORD + 1] |= seats >> (np.uint64(WORD) - shift)
        at += state.n_seated[w]
    return found != NO_LANE


@compiled
def find_open(state: State, pool: np.ndarray, first: int, n_records: int) -> int:
    """List the records of a tile whose pools are open in a seat's lane; returns how many."""
    n = 0
    for j in range(n_records):
        opened, closed = state.open[first + j], state.closed[pool[j]]
        for w in range(len(opened)):
            opened[w] = ~closed[w]
        if _squeeze_open(state, opened):
            state.candidate[first + n] = j
            n += 1
    return n


@compiled
def find_still_open(state: State, first: int, n_candidates: int) -> int:
    """List those of a tile's candidates that are open in a seat's lane, seats having moved; returns how many."""
    n = 0
    for k in range(first, first + n_candidates):
        j = state.candidate[k]
        if _squeeze_open(state, state.open[first + j]):
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
