"""Records: pools lowered to the bare numbers that `forms` plays, for prices that lie within a box.

A line is in one tier or band, or has an edge for each that starts inside the box. Within a box every notional and value
lies between those at its corners, since rounding is monotone: these tiers are all that a lane can meet, and what a lane
gets does not depend on how wide the box is.
"""

from typing import NamedTuple

import numpy as np

from riskpipe.compiled import inlined, internal
from riskpipe.domain.book import BoolArray, FloatArray, IntArray, OffsetArray
from riskpipe.liquidation.footprint import BATCH, GUARD, MOST_GUARDS
from riskpipe.liquidation.forms import (
    BALANCE,
    COIN_MARGIN,
    EDGE,
    HEAD,
    MANY_EDGES,
    MANY_EDGES_LINE,
    MOST_LINES,
    N_FORMS,
    ONE_EDGE,
    ONE_EDGE_LINE,
    PLAIN,
    PLAIN_LINE,
    POSITION,
    collateral_slope,
)
from riskpipe.liquidation.lowering import BY_SIZE, CREDIT_AT_PAR, IN_COINS, Pools, Terms, widest
from riskpipe.liquidation.positions import (
    band_from,
    collateral_threshold,
    position_offset,
    position_size,
    tier_from,
)
from riskpipe.liquidation.prices import notional_row, payoff_row

MAINTENANCE, INITIAL = range(2)  # what a pool must hold


class Draft(NamedTuple):
    """One pool's lines before their form is known, its record, and scratch over lanes."""

    row: IntArray  # [n]
    gross: FloatArray  # [n]
    slope: FloatArray  # [n]
    intercept: FloatArray  # [n]
    size: FloatArray  # [n] signed size of a position at par, else 0
    extra: FloatArray  # [n] what is added to every tier's rate
    first: IntArray  # [n] tier or band at the lowest price of the box
    last: IntArray  # [n] and at the highest
    is_slot: BoolArray  # [n] a balance's line, with bands; else a position's, with tiers
    base: FloatArray  # [slots] quantity less the offsets of what settles in it
    is_valued: BoolArray  # [slots] what settles in it does not do so at par
    record: FloatArray  # [numbers] of one pool: the first of `records`
    sketch: np.ndarray  # [numbers] float32, of one pool, with room for its guards
    records: FloatArray  # [numbers] of a batch of pools, each with room for the longest
    pool: OffsetArray  # [b] scratch: whose these are, where there is no batch of health
    start: OffsetArray  # [b] and where each starts
    term: FloatArray  # [lane]
    health: FloatArray  # [lane]
    amount: FloatArray  # [slots, lane]


def most_numbers(pools: Pools, terms: Terms) -> int:
    """Count the numbers that no pool's record exceeds."""
    of_slot = ONE_EDGE_LINE + BALANCE + 2 * EDGE * widest(terms.band_start)  # as a line and as a balance
    of_position = 2 * ONE_EDGE_LINE + POSITION + COIN_MARGIN + 2 * EDGE * widest(terms.tier_start)
    return HEAD + widest(pools.slot_start) * of_slot + widest(pools.position_start) * of_position


def most_sketched(pools: Pools, terms: Terms) -> int:
    """Count the numbers that no pool's sketch exceeds with its guards."""
    return 2 * most_numbers(pools, terms) + GUARD * MOST_GUARDS


def make_draft(pools: Pools, terms: Terms, n_lanes: int) -> Draft:
    """Allocate the scratch of one pool."""
    most_slots = widest(pools.slot_start)
    n, n_numbers = most_slots + 2 * widest(pools.position_start), most_numbers(pools, terms)
    row, first, last = (np.zeros(n, dtype=np.int32) for _ in range(3))
    gross, slope, intercept, size, extra = (np.zeros(n) for _ in range(5))
    records = np.zeros(BATCH * n_numbers)
    return Draft(
        row=row,
        gross=gross,
        slope=slope,
        intercept=intercept,
        size=size,
        extra=extra,
        first=first,
        last=last,
        is_slot=np.zeros(n, dtype=np.bool_),
        base=np.zeros(most_slots),
        is_valued=np.zeros(most_slots, dtype=np.bool_),
        record=records[:n_numbers],
        sketch=np.zeros(most_sketched(pools, terms), dtype=np.float32),
        records=records,
        pool=np.zeros(BATCH, dtype=np.int64),
        start=np.zeros(BATCH, dtype=np.int64),
        term=np.zeros(n_lanes),
        health=np.zeros(n_lanes),
        amount=np.zeros((max(most_slots, 1), n_lanes)),
    )


@inlined
def tier_terms(terms: Terms, k: int, kind: int) -> tuple[float, float]:
    """Rate and deduction of tier k."""
    if kind == MAINTENANCE:
        return terms.tier_maintenance_rate[k], terms.tier_deduction[k]
    return terms.tier_initial_rate[k], 0.0


@inlined
def tier_line(terms: Terms, k: int, size: float, gross: float, extra: float, kind: int) -> tuple[float, float]:
    """Slope and intercept over a position's price in tier k."""
    rate, deduction = tier_terms(terms, k, kind)
    return size - (rate + extra) * gross, deduction


@inlined
def edge_of(terms: Terms, draft: Draft, t: int, k: int, kind: int) -> tuple[float, float, float]:
    """Where tier or band k of line t starts, and its slope and intercept there."""
    if draft.is_slot[t]:
        return terms.band_floor[k], draft.gross[t] * terms.band_credit[k], terms.band_intercept[k]
    slope, intercept = tier_line(terms, k, draft.size[t], draft.gross[t], draft.extra[t], kind)
    return terms.tier_floor[k], slope, intercept


@inlined
def set_line(
    draft: Draft, t: int, row: int, gross: float, slope: float, intercept: float, first: int, last: int, form: int
) -> int:
    """Set line t of a draft; returns the form that it and the lines before it need."""
    draft.row[t], draft.gross[t], draft.slope[t], draft.intercept[t] = row, gross, slope, intercept
    draft.first[t], draft.last[t] = first, last
    if last == first:
        return form
    return max(form, ONE_EDGE if last == first + 1 else MANY_EDGES)


@inlined
def set_slots(
    pools: Pools, terms: Terms, draft: Draft, p: int, low: FloatArray, high: FloatArray, is_stable: bool, n: int,
    constant: float, form: int,
) -> tuple[int, float, int]:  # fmt: skip
    """Add the lines of a pool's balances in stable assets, or in the others; see `record_pool`."""
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
        if pools.account_is_lending[pools.account[p]]:
            threshold = collateral_threshold(pools, terms, venue, first_slot + j)
            slope = collateral_slope(quantity, terms.venue_ratio[venue, asset], threshold - terms.extra_haircut)
        elif draft.is_valued[j]:
            slope = -owed
        elif quantity < 0.0 or terms.credit_kind[at] == CREDIT_AT_PAR:
            slope = draft.base[j] - owed
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
        draft.is_slot[n] = True
        form = set_line(draft, n, asset, gross, slope, intercept, k, last, form)
        n += 1
    return n, constant, form


@inlined
def set_lines(
    pools: Pools, terms: Terms, draft: Draft, p: int, low: FloatArray, high: FloatArray, kind: int
) -> tuple[int, float, int, int]:
    """Set a draft to pool p; returns how many lines, what comes before them, their form, how many balances follow."""
    first_slot, first = pools.slot_start[p], pools.position_start[p]
    n_slots, n_positions = pools.slot_start[p + 1] - first_slot, pools.position_start[p + 1] - first
    n_balances = 0
    for j in range(n_slots):
        draft.base[j] = pools.slot_quantity[first_slot + j]
        draft.is_valued[j] = False
    for q in range(first, first + n_positions):
        slot = pools.position_slot[q]
        draft.base[slot] -= position_offset(pools, terms, q)
        if not terms.settles_at_par[pools.instrument[q]] and not draft.is_valued[slot]:
            draft.is_valued[slot] = True
            n_balances += 1
    n, constant, form = 0, 0.0, PLAIN
    n, constant, form = set_slots(pools, terms, draft, p, low, high, True, n, constant, form)
    n, constant, form = set_slots(pools, terms, draft, p, low, high, False, n, constant, form)
    for q in range(first, first + n_positions):
        i = pools.instrument[q]
        if terms.margin_form[i] == IN_COINS:
            n_balances += 1
            continue
        size = position_size(pools, terms, q)
        gross, r, fee = abs(size), notional_row(terms, i), terms.margin_fee[i]
        if draft.is_valued[pools.position_slot[q]]:
            size = 0.0
        extra = gross * (terms.maintenance_slope[i] if kind == MAINTENANCE else terms.initial_slope[i])
        if terms.is_at_entry[i]:
            slope = size - fee * gross
            if n == 0 and low[r] == high[r]:
                constant += slope * low[r]
            elif slope != 0.0:
                draft.is_slot[n] = False
                form = set_line(draft, n, r, gross, slope, 0.0, 0, 0, form)
                n += 1
            r, size = terms.quote[i], 0.0
        else:
            extra += fee
        k, per_size = terms.tier_start[i], pools.entry_price[q] if terms.is_at_entry[i] else 1.0
        if terms.margin_form[i] == BY_SIZE:
            k = tier_from(terms, i, k, gross)
            rate, deduction = tier_terms(terms, k, kind)
            slope = size - ((rate + extra) * gross - deduction) * per_size
            intercept, last = 0.0, k
        else:
            gross *= per_size
            k = tier_from(terms, i, k, gross * low[r])
            last = tier_from(terms, i, k, gross * high[r])
            slope, intercept = tier_line(terms, k, size, gross, extra, kind)
        if n == 0 and low[r] == high[r]:
            constant += slope * low[r] + intercept
            continue
        draft.size[n], draft.extra[n], draft.is_slot[n] = size, extra, False
        form = set_line(draft, n, r, gross, slope, intercept, k, last, form)
        n += 1
    return n, constant, form, n_balances


@inlined
def write_edge(record: FloatArray, at: int, edge: float, slope: float, intercept: float) -> int:
    """Write an edge; returns where it ends."""
    record[at], record[at + 1], record[at + 2] = edge, slope, intercept
    return at + EDGE


@inlined
def write_line(terms: Terms, draft: Draft, t: int, form: int, kind: int, record: FloatArray, at: int) -> int:
    """Write line t of a draft; returns where it ends."""
    record[at], record[at + 1], record[at + 2] = draft.row[t], draft.slope[t], draft.intercept[t]
    if form == PLAIN:
        return at + PLAIN_LINE
    record[at + 3] = draft.gross[t]
    first, last = draft.first[t], draft.last[t]
    if form == ONE_EDGE:
        edge, slope, intercept = np.inf, draft.slope[t], draft.intercept[t]  # never reached where there is none
        if last > first:
            edge, slope, intercept = edge_of(terms, draft, t, last, kind)
        return write_edge(record, at + 4, edge, slope, intercept)
    record[at + 4] = last - first
    end = at + MANY_EDGES_LINE
    for k in range(first + 1, last + 1):
        edge, slope, intercept = edge_of(terms, draft, t, k, kind)
        end = write_edge(record, end, edge, slope, intercept)
    return end


@inlined
def write_balance(
    pools: Pools, terms: Terms, draft: Draft, p: int, j: int, low: FloatArray, high: FloatArray, record: FloatArray,
    at: int,
) -> int:  # fmt: skip
    """Write the balance in slot j of pool p, and what settles in it; returns where it ends."""
    venue, asset = pools.account_venue[pools.account[p]], pools.asset[pools.slot_start[p] + j]
    least, most, n = draft.base[j], draft.base[j], 0
    for q in range(pools.position_start[p], pools.position_start[p + 1]):
        if pools.position_slot[q] != j:
            continue
        size, r = position_size(pools, terms, q), payoff_row(terms, pools.instrument[q])
        least += size * (low[r] if size > 0.0 else high[r])
        most += size * (high[r] if size > 0.0 else low[r])
        n += 1
    ratio = terms.venue_ratio[venue, asset]
    bands = venue * len(terms.index_price) + asset
    k = terms.band_start[bands]
    last, credit, intercept = k, 0.0, 0.0
    if k < terms.band_start[bands + 1]:
        # sums of bounds are bounds, and products too: rounding is monotone
        k = band_from(terms, bands, k, max(0.0, least) * (low[asset] * ratio))
        last = band_from(terms, bands, k, max(0.0, most) * (high[asset] * ratio))
        credit, intercept = terms.band_credit[k], terms.band_intercept[k]
    record[at], record[at + 1], record[at + 2], record[at + 3] = asset, ratio, draft.base[j], n
    record[at + 4], record[at + 5], record[at + 6] = last - k, credit, intercept
    end = at + BALANCE
    for above in range(k + 1, last + 1):
        end = write_edge(record, end, terms.band_floor[above], terms.band_credit[above], terms.band_intercept[above])
    for q in range(pools.position_start[p], pools.position_start[p + 1]):
        if pools.position_slot[q] == j:
            record[end] = payoff_row(terms, pools.instrument[q])
            record[end + 1] = position_size(pools, terms, q)
            end += POSITION
    return end


@inlined
def write_coin_margin(
    pools: Pools, terms: Terms, q: int, low: FloatArray, high: FloatArray, kind: int, record: FloatArray, at: int
) -> int:
    """Write what position q requires in coins, negative, as a parabola in its payoff price; returns where it ends."""
    i = pools.instrument[q]
    gross, r, n_edges = abs(position_size(pools, terms, q)), payoff_row(terms, i), 0
    per_coin = terms.maintenance_slope[i] if kind == MAINTENANCE else terms.initial_slope[i]
    record[at], record[at + 1], record[at + 2] = -1.0 - terms.settlement[i], r, -gross
    end = at + COIN_MARGIN
    if terms.is_at_entry[i]:
        coins = gross / pools.entry_price[q]
        rate, deduction = tier_terms(terms, tier_from(terms, i, terms.tier_start[i], coins), kind)
        slope, intercept = terms.margin_fee[i] * gross, deduction - (rate + per_coin * coins) * coins
        per_coin = 0.0
    else:
        k = tier_from(terms, i, terms.tier_start[i], -gross * high[r])
        last = tier_from(terms, i, k, -gross * low[r])
        slope, intercept = tier_line(terms, k, 0.0, -gross, terms.margin_fee[i], kind)
        for above in range(k + 1, last + 1):
            steeper, higher = tier_line(terms, above, 0.0, -gross, terms.margin_fee[i], kind)
            end = write_edge(record, end, terms.tier_floor[above], steeper, higher)
        n_edges = last - k
    record[at + 3], record[at + 4], record[at + 5] = slope, intercept, -per_coin * gross * gross
    record[at + 6] = n_edges
    return end


@inlined
def record_pool(
    pools: Pools, terms: Terms, draft: Draft, p: int, low: FloatArray, high: FloatArray, kind: int, record: FloatArray
) -> int:
    """Write the record of pool p that holds while prices stay within [low, high]; returns how many numbers it has.

    Balances come first, those in assets of beta 0 before the others, then positions, each in canonical order, then the
    balances that something settles in otherwise than at par, whose lines hold their margin only, then what positions
    require in coins.
    """
    n, constant, form, n_balances = set_lines(pools, terms, draft, p, low, high, kind)
    record[0], record[1] = form + N_FORMS * (n + MOST_LINES * n_balances), constant
    at = HEAD
    for t in range(n):
        at = write_line(terms, draft, t, form, kind, record, at)
    if n_balances > 0:
        for j in range(pools.slot_start[p + 1] - pools.slot_start[p]):
            if draft.is_valued[j]:
                at = write_balance(pools, terms, draft, p, j, low, high, record, at)
        for q in range(pools.position_start[p], pools.position_start[p + 1]):
            if terms.margin_form[pools.instrument[q]] == IN_COINS:
                at = write_coin_margin(pools, terms, q, low, high, kind, record, at)
    return at


@internal
def record_pools(
    pools: Pools, terms: Terms, draft: Draft, which: OffsetArray, start: OffsetArray, n: int, kind: int,
    low: FloatArray, high: FloatArray,
) -> None:  # fmt: skip
    """Write the records of the first n pools of `which`, for prices within [low, high], among draft.records, and where
    each starts.

    All in one call: it costs as much as a record. The only place where `record_pool` is compiled, which takes half a
    minute.
    """  # noqa: D205
    most = len(draft.record)
    for b in range(n):
        start[b] = b * most
        record_pool(pools, terms, draft, which[b], low, high, kind, draft.records[b * most : (b + 1) * most])


@inlined
def record_alone(
    pools: Pools, terms: Terms, draft: Draft, p: int, low: FloatArray, high: FloatArray, kind: int
) -> None:
    """Set draft.record to that of pool p, for prices within [low, high]."""
    draft.pool[0] = p
    record_pools(pools, terms, draft, draft.pool, draft.start, 1, kind, low, high)
