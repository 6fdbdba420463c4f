"""A pool's health over lanes: equity less what it must hold, by the one expression that every test of a scenario uses.

A pool is a sum of lines (see `forms`), all of it when it is *plain*: when whatever settles does so at par, in the quote
asset of linear contracts. Other settlement amounts are valued lane by lane: what they count depends on their sign and
band.
"""

import math
from typing import NamedTuple

import numpy as np

from riskpipe.domain.book import BoolArray, FloatArray, IntArray
from riskpipe.liquidation.compiled import inlined, internal
from riskpipe.liquidation.forms import (
    EDGE,
    GROSS,
    INTERCEPT,
    INTERCEPT_ABOVE,
    MANY_EDGES,
    N_COEFFICIENTS,
    ONE_EDGE,
    PLAIN,
    SLOPE,
    SLOPE_ABOVE,
    add_edged,
    add_plain,
)
from riskpipe.liquidation.lowering import CREDIT_AT_PAR, Pools, Terms
from riskpipe.liquidation.prices import notional_row, payoff_row

MAINTENANCE, INITIAL = range(2)  # what a pool must hold


class Lines(NamedTuple):
    """One pool as lines over price rows, and scratch over lanes."""

    row: IntArray  # [n]
    coefficient: FloatArray  # [6, n]
    size: FloatArray  # [n] signed size of a position at par, else 0
    first: IntArray  # [n] tier or band at the lowest price of the box
    last: IntArray  # [n] and at the highest
    is_slot: BoolArray  # [n] a balance's line, with bands; else a position's, with tiers
    base: FloatArray  # [slots] quantity less the offsets of what settles in it
    is_valued: BoolArray  # [slots] what settles in it does not do so at par
    term: FloatArray  # [lane]
    health: FloatArray  # [lane]
    amount: FloatArray  # [slots, lane]


def make_lines(pools: Pools, n_lanes: int) -> Lines:
    """Allocate the scratch of one pool."""
    most_slots = int(np.max(np.diff(pools.slot_start), initial=0))
    n = most_slots + int(np.max(np.diff(pools.position_start), initial=0))
    return Lines(
        row=np.zeros(n, dtype=np.int32),
        coefficient=np.zeros((N_COEFFICIENTS, n)),
        size=np.zeros(n),
        first=np.zeros(n, dtype=np.int32),
        last=np.zeros(n, dtype=np.int32),
        is_slot=np.zeros(n, dtype=np.bool_),
        base=np.zeros(most_slots),
        is_valued=np.zeros(most_slots, dtype=np.bool_),
        term=np.zeros(n_lanes),
        health=np.zeros(n_lanes),
        amount=np.zeros((most_slots, n_lanes)),
    )


@inlined
def position_size(pools: Pools, terms: Terms, q: int) -> float:
    """Size a: contracts times multiplier, signed."""
    return pools.quantity[q] * terms.multiplier[pools.instrument[q]]


@inlined
def position_offset(pools: Pools, terms: Terms, q: int) -> float:
    """Offset b: PnL in the settlement asset is a x payoff - b."""
    size = position_size(pools, terms, q)
    return -size / pools.entry_price[q] if terms.is_inverse[pools.instrument[q]] else size * pools.entry_price[q]


@inlined
def tier_from(terms: Terms, i: int, k: int, notional: float) -> int:
    """Tier of a notional, looked for from tier k of instrument i upwards."""
    last = terms.tier_start[i + 1] - 1
    while k < last and notional >= terms.tier_floor[k + 1]:
        k += 1
    return k


@inlined
def band_from(terms: Terms, asset_row: int, k: int, value: float) -> int:
    """Haircut band of a value, looked for from band k upwards."""
    last = terms.band_start[asset_row + 1] - 1
    while k < last and value >= terms.band_floor[k + 1]:
        k += 1
    return k


@inlined
def set_line(c: FloatArray, t: int, gross: float, slope: float, intercept: float) -> None:
    """Set a line; one without an edge is given one that is never reached only where a neighbour has one."""
    c[GROSS, t] = gross
    c[SLOPE, t] = slope
    c[INTERCEPT, t] = intercept


@inlined
def set_above(c: FloatArray, t: int, edge: float, slope: float, intercept: float) -> None:
    """Give line t an edge and what holds above it."""
    c[EDGE, t] = edge
    c[SLOPE_ABOVE, t] = slope
    c[INTERCEPT_ABOVE, t] = intercept


@inlined
def set_slots(
    pools: Pools, terms: Terms, lines: Lines, p: int, low: FloatArray, high: FloatArray, is_stable: bool, n: int,
    constant: float, form: int,
) -> tuple[int, float, int]:  # fmt: skip
    """Add the lines of a pool's balances in stable assets, or in the others; see `set_lines`."""
    c = lines.coefficient
    first_slot = pools.slot_start[p]
    venue = pools.account_venue[pools.account[p]]
    for j in range(pools.slot_start[p + 1] - first_slot):
        asset = pools.asset[first_slot + j]
        if (terms.index_beta[asset] == 0.0) != is_stable:
            continue
        quantity = pools.slot_quantity[first_slot + j]
        owed = terms.borrow_rate[venue, asset] * max(0.0, -quantity)
        at = venue * len(terms.index_price) + asset
        slope, intercept, gross, k, last = 0.0, 0.0, 0.0, 0, 0
        if lines.is_valued[j]:
            slope = -owed
        elif quantity < 0.0 or terms.credit_kind[at] == CREDIT_AT_PAR:
            slope = lines.base[j] - owed
        elif terms.band_start[at] < terms.band_start[at + 1]:
            gross = quantity * terms.venue_ratio[venue, asset]
            k = band_from(terms, at, terms.band_start[at], gross * low[asset])
            last = band_from(terms, at, k, gross * high[asset])
            slope, intercept = gross * terms.band_credit[k], terms.band_intercept[k]
        if slope == 0.0 and intercept == 0.0 and last == k:
            continue
        if n == 0 and low[asset] == high[asset]:  # what no lane can tell apart is added once
            constant += slope * low[asset] + intercept
            continue
        lines.row[n], lines.first[n], lines.last[n], lines.is_slot[n] = asset, k, last, True
        set_line(c, n, gross, slope, intercept)
        if last > k:
            form = max(form, ONE_EDGE if last == k + 1 else MANY_EDGES)
            set_above(c, n, terms.band_floor[k + 1], gross * terms.band_credit[k + 1], terms.band_intercept[k + 1])
        n += 1
    return n, constant, form


@inlined
def set_lines(
    pools: Pools, terms: Terms, lines: Lines, p: int, low: FloatArray, high: FloatArray, kind: int
) -> tuple[int, float, int]:
    """Lower pool p to lines that hold while prices stay within [low, high]; returns how many, a constant that comes
    before them, and their form. What is valued amount by amount (`add_valued`) is left out but for its margin.

    Balances come first, those in assets of beta 0 before the others, then positions, each in canonical order. Within a
    box every notional and value lies between those at its corners, since rounding is monotone: the tiers in between
    are all that a lane can meet.
    """  # noqa: D205
    c = lines.coefficient
    first_slot, first = pools.slot_start[p], pools.position_start[p]
    n_slots, n_positions = pools.slot_start[p + 1] - first_slot, pools.position_start[p + 1] - first
    for j in range(n_slots):
        lines.base[j] = pools.slot_quantity[first_slot + j]
        lines.is_valued[j] = False
    for q in range(first, first + n_positions):
        slot = pools.position_slot[q]
        lines.base[slot] -= position_offset(pools, terms, q)
        if not terms.settles_at_par[pools.instrument[q]]:
            lines.is_valued[slot] = True
    n, constant, form = 0, 0.0, PLAIN
    n, constant, form = set_slots(pools, terms, lines, p, low, high, True, n, constant, form)
    n, constant, form = set_slots(pools, terms, lines, p, low, high, False, n, constant, form)
    for q in range(first, first + n_positions):
        i = pools.instrument[q]
        size = position_size(pools, terms, q)
        gross, r = abs(size), notional_row(terms, i)
        if lines.is_valued[pools.position_slot[q]]:
            size = 0.0
        k = tier_from(terms, i, terms.tier_start[i], gross * low[r])
        last = tier_from(terms, i, k, gross * high[r])
        slope, intercept = tier_line(terms, k, size, gross, kind)
        lines.row[n], lines.first[n], lines.last[n], lines.is_slot[n] = r, k, last, False
        lines.size[n] = size
        set_line(c, n, gross, slope, intercept)
        if last > k:
            form = max(form, ONE_EDGE if last == k + 1 else MANY_EDGES)
            slope, intercept = tier_line(terms, k + 1, size, gross, kind)
            set_above(c, n, terms.tier_floor[k + 1], slope, intercept)
        n += 1
    if form == ONE_EDGE:
        for t in range(n):
            if lines.first[t] == lines.last[t]:
                set_above(c, t, math.inf, c[SLOPE, t], c[INTERCEPT, t])
    return n, constant, form


@inlined
def tier_line(terms: Terms, k: int, size: float, gross: float, kind: int) -> tuple[float, float]:
    """Slope and intercept over a position's notional price in tier k."""
    if kind == MAINTENANCE:
        return size - terms.tier_maintenance_rate[k] * gross, terms.tier_deduction[k]
    return size - terms.tier_initial_rate[k] * gross, 0.0


@internal
def add_many(
    terms: Terms, lines: Lines, price: FloatArray, n: int, constant: float, s0: int, s1: int, kind: int, h: FloatArray
) -> int:
    """Set h[s0:s1] to the sum of n lines with any number of edges; returns how many lanes are negative."""
    c, term, total = lines.coefficient, lines.term[s0:s1], h[s0:s1]
    lanes = s1 - s0  # rows are cut to the lanes, for an index from 0 is one that the compiler knows not to wrap around
    for s in range(lanes):
        total[s] = constant
    for t in range(n):
        x = price[lines.row[t], s0:s1]
        gross, slope, intercept = c[GROSS, t], c[SLOPE, t], c[INTERCEPT, t]
        for s in range(lanes):
            term[s] = slope * x[s] + intercept
        for k in range(lines.first[t] + 1, lines.last[t] + 1):
            if lines.is_slot[t]:
                edge, slope, intercept = terms.band_floor[k], gross * terms.band_credit[k], terms.band_intercept[k]
            else:
                edge = terms.tier_floor[k]
                slope, intercept = tier_line(terms, k, lines.size[t], gross, kind)
            for s in range(lanes):
                above = slope * x[s] + intercept
                term[s] = above if gross * x[s] >= edge else term[s]
        for s in range(lanes):
            total[s] = total[s] + term[s]
    negative = 0
    for s in range(lanes):
        negative += total[s] < 0.0
    return negative


@inlined
def add_lines(
    terms: Terms, lines: Lines, price: FloatArray, n: int, constant: float, form: int, s0: int, s1: int, kind: int,
    h: FloatArray,
) -> int:  # fmt: skip
    """Set h[s0:s1] to a constant plus n lines; returns how many lanes are negative."""
    if form == PLAIN:
        return add_plain(price, lines.row, lines.coefficient, n, constant, s0, s1, h)
    if form == ONE_EDGE:
        return add_edged(price, lines.row, lines.coefficient, n, constant, s0, s1, h)
    return add_many(terms, lines, price, n, constant, s0, s1, kind, h)


@internal
def add_valued(
    pools: Pools, terms: Terms, lines: Lines, p: int, low: FloatArray, high: FloatArray, price: FloatArray,
    s0: int, s1: int, h: FloatArray,
) -> int:  # fmt: skip
    """Add to h[s0:s1] what pool p's valued amounts count for; returns how many lanes are negative."""
    first_slot = pools.slot_start[p]
    venue = pools.account_venue[pools.account[p]]
    lanes, total, term = s1 - s0, h[s0:s1], lines.term[s0:s1]
    negative = 0
    for j in range(pools.slot_start[p + 1] - first_slot):
        if not lines.is_valued[j]:
            continue
        amount, base = lines.amount[j, s0:s1], lines.base[j]
        least, most = base, base
        for s in range(lanes):
            amount[s] = base
        for q in range(pools.position_start[p], pools.position_start[p + 1]):
            if pools.position_slot[q] != j:
                continue
            size, r = position_size(pools, terms, q), payoff_row(terms, pools.instrument[q])
            payoff = price[r, s0:s1]
            for s in range(lanes):
                amount[s] += size * payoff[s]
            least += size * (low[r] if size > 0.0 else high[r])
            most += size * (high[r] if size > 0.0 else low[r])
        asset = pools.asset[first_slot + j]
        ratio = terms.venue_ratio[venue, asset]
        at = venue * len(terms.index_price) + asset
        x = price[asset, s0:s1]
        k = terms.band_start[at]
        last, value_credit, intercept = k, 0.0, 0.0
        if k < terms.band_start[at + 1]:
            # sums of bounds are bounds, and products too: rounding is monotone
            k = band_from(terms, at, k, max(0.0, least) * (low[asset] * ratio))
            last = band_from(terms, at, k, max(0.0, most) * (high[asset] * ratio))
            value_credit, intercept = terms.band_credit[k], terms.band_intercept[k]
        for s in range(lanes):
            owned = amount[s] * (x[s] * ratio)
            term[s] = owned * value_credit + intercept
        for above in range(k + 1, last + 1):
            edge, value_credit, intercept = (
                terms.band_floor[above],
                terms.band_credit[above],
                terms.band_intercept[above],
            )
            for s in range(lanes):
                owned = amount[s] * (x[s] * ratio)
                counted = owned * value_credit + intercept
                term[s] = counted if owned >= edge else term[s]
        negative = 0
        for s in range(lanes):
            owed = amount[s] * x[s]
            counted = term[s]
            v = total[s] + (counted if amount[s] > 0.0 else owed)
            total[s] = v
            negative += v < 0.0
    return negative


@inlined
def set_health(
    pools: Pools, terms: Terms, lines: Lines, p: int, low: FloatArray, high: FloatArray, kind: int,
    price: FloatArray, s0: int, s1: int, h: FloatArray,
) -> int:  # fmt: skip
    """Set h[s0:s1], pool p's equity less its maintenance (or initial) margin in USD, at prices that lie within
    [low, high]; returns how many lanes are negative.
    """  # noqa: D205
    n, constant, form = set_lines(pools, terms, lines, p, low, high, kind)
    negative = add_lines(terms, lines, price, n, constant, form, s0, s1, kind, h)
    if pools.is_plain[p]:
        return negative
    return add_valued(pools, terms, lines, p, low, high, price, s0, s1, h)


@inlined
def pool_health(
    pools: Pools, terms: Terms, amounts: FloatArray, p: int, price: FloatArray, s: int, extra_haircut: float
) -> tuple[float, float, float]:
    """Equity, maintenance margin and initial margin in USD of pool p of any kind, in one lane, under a haircut of the
    lane's own: for what is looked at once.
    """  # noqa: D205
    first = pools.slot_start[p]
    n_slots = pools.slot_start[p + 1] - first
    for j in range(n_slots):
        amounts[j] = pools.slot_quantity[first + j]
    maintenance, initial = 0.0, 0.0
    for q in range(pools.position_start[p], pools.position_start[p + 1]):
        i = pools.instrument[q]
        size = position_size(pools, terms, q)
        amounts[pools.position_slot[q]] += size * price[payoff_row(terms, i), s] - position_offset(pools, terms, q)
        notional = abs(size) * price[notional_row(terms, i), s]
        k = tier_from(terms, i, terms.tier_start[i], notional)
        maintenance += terms.tier_maintenance_rate[k] * notional - terms.tier_deduction[k]
        initial += terms.tier_initial_rate[k] * notional
    venue = pools.account_venue[pools.account[p]]
    equity = 0.0
    for j in range(n_slots):
        asset = pools.asset[first + j]
        usd = price[asset, s]
        owed = terms.borrow_rate[venue, asset] * (max(0.0, -pools.slot_quantity[first + j]) * usd)
        maintenance += owed
        initial += owed
        if amounts[j] <= 0.0:
            equity += amounts[j] * usd
            continue
        value = amounts[j] * (usd * terms.venue_ratio[venue, asset])
        at = venue * len(terms.index_price) + asset
        stop = terms.band_start[at + 1]
        for k in range(terms.band_start[at], stop):
            floor = terms.band_floor[k]
            if value <= floor:
                break
            top = min(value, terms.band_floor[k + 1]) if k + 1 < stop else value
            equity += (top - floor) * max(0.0, 1.0 - terms.band_haircut[k] - extra_haircut)
    return equity, maintenance, initial


@inlined
def start_amounts(pools: Pools, lines: Lines, p: int, s0: int, s1: int) -> None:
    """Set lines.amount of pool p to what it holds in lanes s0 to s1 - 1, before what settles in it."""
    first = pools.slot_start[p]
    for j in range(pools.slot_start[p + 1] - first):
        amount, quantity = lines.amount[j, s0:s1], pools.slot_quantity[first + j]
        for s in range(s1 - s0):
            amount[s] = quantity
