"""Cushions: how far prices may still travel before an open pool can newly fail, so that a round looks at those pools
only whose cushion is worn.

A pool's *guards* bound how fast its health can fall: for each price that it depends on a weight, what health loses at
the most for each unit that the price falls, or rises. *Travel* is how far prices have fallen, and how far risen, round
by round, added up; of a share of lanes side by side the farthest in each round. The cushion of a pool in a share is its
least health at the last look there, less twice the bound of its sketch (`sketches`), plus weights x travel of that
time: as long as weights x travel stay below it, no lane of the share in which the pool is open can have come to fail.
Before the first look it is 0, and only what has not moved at all is taken for calm.

What settles in a coin is guarded as `base x price of the coin + sizes x worth`, worth being payoff x price of the coin
in USD: of an inverse contract it hardly moves, where either factor does.

Weights, travel and cushions are in single precision. A sum of n products, n <= MOST_GUARDS, is off by less than
(n + 2) 2^-24 of itself (Higham, Accuracy and Stability of Numerical Algorithms, second edition, 3.1), weights and
travel are rounded up, and DOUBT is taken off before anything is called calm.
"""  # noqa: D205

import numpy as np

from riskpipe.compiled import compiled, inlined
from riskpipe.liquidation.bits import ALL_BITS, NO_LANE, has_lane
from riskpipe.liquidation.footprint import GUARD, MOST_GUARDS, SHARE, SHARES
from riskpipe.liquidation.forms import POSITION
from riskpipe.liquidation.lanes import Lanes, State
from riskpipe.liquidation.lowering import Terms
from riskpipe.liquidation.prices import payoff_row
from riskpipe.liquidation.sketches import (
    MOST,
    RAMP,
    SKETCH_BALANCE,
    SKETCH_COIN,
    SKETCH_EDGE,
    SKETCH_HEAD,
    SKETCH_LINE,
)
from riskpipe.liquidation.vectors import bits_at_most, fused, product, put_lanes, shares_of, spread_shares

UNGUARDED = -1.0
DOUBT = 2.0**-16
UP = 1.0 + 2.0**-22
LEAST_WEIGHT = 1e-12  # what moves is never taken for what does not
ULPS = 2.0**-50  # of a product that stays as it is while its factors move


@inlined
def put_guard(sketch: np.ndarray, at: int, row: int, weight: float, n_prices: int) -> int:
    """Write a guard against falls of a price, or with a negative weight against rises; returns where it ends."""
    sketch[at] = row if weight >= 0.0 else n_prices + row
    sketch[at + 1] = max(abs(weight), LEAST_WEIGHT) * UP
    return at + GUARD


@inlined
def put_guards(sketch: np.ndarray, at: int, row: int, weight: float, is_rising: bool, n_prices: int) -> int:
    """Write a guard where health rises with weight x price, one for each direction where that is not sure."""
    at = put_guard(sketch, at, row, weight, n_prices)
    return at if is_rising else put_guard(sketch, at, row, -weight, n_prices)


@inlined
def write_guards(terms: Terms, sketch: np.ndarray, end: int, peak: np.ndarray) -> int:
    """Write the guards of a sketch behind it, for prices of at most `peak` [rows]; returns where they end."""
    n_assets, n_instruments = len(terms.index_price), len(terms.venue)
    n_prices = n_assets + 4 * n_instruments
    head, at, start = int(sketch[0]), SKETCH_HEAD, end
    n, n_ramps, n_balances = head % MOST, head // MOST % MOST, head // (MOST * MOST)
    stop = end + GUARD * (MOST_GUARDS - 4)  # of the largest balance's guards, positions apart
    for _ in range(n):
        if sketch[at + 1] != 0.0:
            end = put_guard(sketch, end, int(sketch[at]), sketch[at + 1], n_prices)
        at += SKETCH_LINE
    is_guarded = sketch[1] < np.inf
    for _ in range(n_ramps):
        is_guarded = is_guarded and end < stop
        if is_guarded:
            end = put_guard(sketch, end, int(sketch[at]), np.float64(sketch[at + 1]) * sketch[at + 3], n_prices)
        at += RAMP
    for _ in range(n_balances):
        is_guarded = is_guarded and end < stop
        if not is_guarded:
            break
        if sketch[at] < 0.0:
            coin, row, slope = int(-1.0 - sketch[at]), int(sketch[at + 1]), abs(np.float64(sketch[at + 2]))
            curvature, x = abs(np.float64(sketch[at + 4])), peak[row]
            coins = (curvature * x + slope) * x + abs(sketch[at + 3])
            end = put_guards(sketch, end, coin, coins, False, n_prices)
            end = put_guards(sketch, end, row, (2.0 * curvature * x + slope) * peak[coin], False, n_prices)
            at += SKETCH_COIN
            continue
        row, ratio, base = int(sketch[at]), np.float64(sketch[at + 1]), np.float64(sketch[at + 2])
        n_positions, n_edges, credit = int(sketch[at + 3]), int(sketch[at + 4]), np.float64(sketch[at + 5])
        at += SKETCH_BALANCE
        is_rising, bends, last = ratio >= 0.0 and credit >= 0.0, abs(credit), credit
        for _edge in range(n_edges):
            last += sketch[at + 1]
            is_rising = is_rising and last >= -1e-6
            bends += abs(sketch[at + 1])
            at += SKETCH_EDGE
        unit = max(abs(ratio) * bends, 1.0)
        end = put_guards(sketch, end, row, base * unit, is_rising, n_prices)
        for _position in range(n_positions):
            is_guarded = is_guarded and end < stop
            if is_guarded:
                worth = n_prices - n_instruments + int(sketch[at]) - n_assets - n_instruments
                end = put_guards(sketch, end, worth, sketch[at + 1] * unit, is_rising, n_prices)
            at += POSITION
    sketch[3], sketch[4] = start, (end - start) // GUARD
    if not is_guarded:
        sketch[4] = UNGUARDED
        return start
    return end


@compiled
def set_travel(terms: Terms, lanes: Lanes, state: State, is_first: bool) -> None:
    """Add to travel what the active lanes' prices have moved since the round before, or since the shocks (is_first: as
    if they had moved both ways).
    """  # noqa: D205
    n_table = state.trigger.shape[0]
    n_prices = n_table + len(terms.venue)
    for k in range(n_prices):
        r = (k + n_table) % n_prices  # what payoffs are worth comes first: it asks what they were before
        i = r - n_table
        for share in range(state.travel.shape[1]):
            fall, rise = 0.0, 0.0
            for s in range(share * SHARE, min(len(lanes.row), (share + 1) * SHARE)):
                if not has_lane(state.active, s):
                    continue
                if i < 0:
                    now, before = state.trigger[r, s], state.seen[r, s]
                    if is_first:
                        before = state.shocked[r, lanes.group[s]]
                    moved, noise = now - before, 0.0
                else:
                    coin, payoff = terms.settlement[i], payoff_row(terms, i)
                    usd, paid = state.seen[coin, s], state.seen[payoff, s]
                    if is_first:
                        usd, paid = state.shocked[coin, lanes.group[s]], state.shocked[payoff, lanes.group[s]]
                    now = state.trigger[coin, s] * state.trigger[payoff, s]
                    moved = now - usd * paid
                    is_moved = usd != state.trigger[coin, s] or paid != state.trigger[payoff, s]
                    noise = ULPS * abs(now) if is_moved else 0.0
                fall, rise = max(fall, noise - moved), max(rise, noise + moved)
                if i < 0:
                    state.seen[r, s] = now
            if is_first:
                fall = rise = max(fall, rise)
            state.travelled[r, share] += fall
            state.travelled[n_prices + r, share] += rise
            state.travel[r, share] = state.travelled[r, share] * UP
            state.travel[n_prices + r, share] = state.travelled[n_prices + r, share] * UP


@inlined
def worn_shares(
    sketch: np.ndarray, j: int, cushion: np.ndarray, travel: np.ndarray, used: np.ndarray, b: int
) -> np.uint64:
    """Return in which shares the cushion of record j is worn, as the lowest bits of a word, and set used[b, share] to
    its weights x travel. Without guards it is worn in all.
    """  # noqa: D205
    n, guards, worn = int(sketch[4]), sketch[int(sketch[3]) :], NO_LANE
    if n < 0:
        return ALL_BITS
    for first in range(0, cushion.shape[1], SHARES):
        spent = spread_shares(np.float32(0.0))
        for g in range(n):
            weight, row = guards[GUARD * g + 1], int(guards[GUARD * g])
            spent = fused(spread_shares(weight), shares_of(travel, row, first), spent)
        put_lanes(used, b, first, spent)
        at_most = product(spent, spread_shares(np.float32(1.0 + DOUBT)))
        is_calm = bits_at_most(at_most, shares_of(cushion, j, first))
        worn |= (~is_calm & np.uint64(2**SHARES - 1)) << np.uint64(first)
    return worn


@inlined
def renew_cushions(
    sketch: np.ndarray, cushion: np.ndarray, used: np.ndarray, least: np.ndarray, places: np.ndarray, n: int
) -> None:
    """Set the cushions of one record in n shares, after a look that found their least health [n]."""
    for k in range(n):
        share = places[k] // SHARE
        left = np.float64(least[k]) - 2.0 * np.float64(sketch[1])
        cushion[share] = left + np.float64(used[share]) * (1.0 - DOUBT)
