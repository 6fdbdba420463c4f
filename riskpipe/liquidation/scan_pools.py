"""What a pool must hold for one risk unit under a portfolio-margin model: the compiled form of `margin.scan`.

Holdings are given as rows of a `UnitTable`, whose results are those of the lane, with signed sizes. Sums are taken in
the order of the holdings, each multiplication and addition on its own: the same pool in the same state of the market
has the same bits wherever it is asked for.
"""

from typing import NamedTuple

import numpy as np

from riskpipe.compiled import inlined, internal
from riskpipe.domain.book import BoolArray, FloatArray, IntArray
from riskpipe.liquidation.scan_models import (
    ADDED,
    AT_LEAST,
    BOTH,
    BY_DELTA,
    BY_EXPIRY,
    BY_LIQUIDITY,
    BY_NAKED_SHORT,
    BY_SIZE,
    LARGEST,
    LONG,
    OPTION,
    SPOT,
    Scans,
)
from riskpipe.liquidation.scan_units import UnitTable


class UnitScratch(NamedTuple):
    """What one requirement is computed in; sums by expiry and by strike, and marks, are 0 between two."""

    size: FloatArray  # [holding] as far as it counts
    change: FloatArray  # [k] USD that the holdings gain in a cell
    own: FloatArray  # [k] USD that the options of one expiry gain
    figure: FloatArray  # [group] USD
    worst: FloatArray  # [group] USD, the largest loss over its cells
    is_done: BoolArray  # [e]
    by_expiry: FloatArray  # [e] USD
    by_strike: FloatArray  # [strike key] options


def make_unit_scratch(scans: Scans, table: UnitTable, most_holdings: int) -> UnitScratch:
    """Return scratch for units of at most so many holdings."""
    n_expiries, n_columns = table.vol_range.shape
    most_groups = int(np.max(scans.n_groups, initial=0))
    return UnitScratch(
        size=np.zeros(most_holdings),
        change=np.zeros(n_columns),
        own=np.zeros(n_columns),
        figure=np.zeros(most_groups),
        worst=np.zeros(most_groups),
        is_done=np.zeros(n_expiries, dtype=np.bool_),
        by_expiry=np.zeros(n_expiries),
        by_strike=np.zeros(int(np.max(table.strike_key, initial=-1)) + 1),
    )


@internal
def unit_requirement(
    scans: Scans, table: UnitTable, m: int, rows: IntArray, sizes: FloatArray, n: int, scratch: UnitScratch
) -> tuple[float, float]:
    """Return maintenance and initial margin, USD, that model m asks for the first n holdings, all of one risk unit."""
    if n == 0:
        return 0.0, 0.0
    figure = scratch.figure
    for g in range(scans.n_groups[m]):
        figure[g] = 0.0
    set_counted(scans, table, m, rows, sizes, n, scratch.size)
    set_changes(scans, table, m, rows, n, scratch)
    if scans.has_long_value[m] or scans.scan_start[m] < scans.scan_start[m + 1]:
        add_expiries(scans, table, m, rows, n, scratch)
    add_worst_losses(scans, m, scratch)
    for h in range(scans.charge_start[m], scans.charge_start[m + 1]):
        figure[scans.charge_group[h]] += charge_usd(scans, table, h, rows, n, scratch)
    for x in range(scans.multiplier_start[m], scans.multiplier_start[m + 1]):
        g = scans.multiplier_group[x]
        multiplied = 0.0
        for t in range(scans.tier_start[x], scans.tier_start[x + 1]):
            band = max(0.0, min(figure[g], scans.tier_top[t]) - scans.tier_floor[t])
            multiplied += scans.tier_factor[t] * band
        figure[g] = multiplied
    return combined(scans, m, peg_price(table, rows, n), figure)


@inlined
def peg_price(table: UnitTable, rows: IntArray, n: int) -> float:
    """USD price that the first holding settles in which does not pay in the underlying; 1 where all do."""
    for j in range(n):
        if table.kind[rows[j]] != SPOT and not table.is_coin_settled[rows[j]]:
            return table.peg_price[rows[j]]
    return 1.0


@inlined
def set_counted(
    scans: Scans, table: UnitTable, m: int, rows: IntArray, sizes: FloatArray, n: int, counted: FloatArray
) -> None:
    """Set the sizes that count: all, or spot only as far as it hedges the delta of the rest."""
    share = 1.0
    if scans.counts_hedges_only[m]:
        owned, to_hedge = 0.0, 0.0
        for j in range(n):
            if table.kind[rows[j]] == SPOT:
                owned += sizes[j]
            else:
                to_hedge -= sizes[j] * table.delta[rows[j]]
        share = max(0.0, min(1.0, to_hedge / owned)) if owned != 0.0 else 0.0
    for j in range(n):
        counted[j] = share * sizes[j] if table.kind[rows[j]] == SPOT else sizes[j]


@inlined
def set_changes(scans: Scans, table: UnitTable, m: int, rows: IntArray, n: int, scratch: UnitScratch) -> None:
    """Set what the holdings gain in each of the model's own cells."""
    n_own = scans.n_own[m]
    change = scratch.change
    for k in range(n_own):
        change[k] = 0.0
    for j in range(n):
        size, gain = scratch.size[j], table.gain[rows[j]]
        for k in range(n_own):
            change[k] += size * gain[k]


@inlined
def add_expiries(scans: Scans, table: UnitTable, m: int, rows: IntArray, n: int, scratch: UnitScratch) -> None:
    """Take what expiries of positive option value do not count for off each cell, and add the expiry scans."""
    change, own, is_done = scratch.change, scratch.own, scratch.is_done
    n_columns = scans.cell_start[m + 1] - scans.cell_start[m]
    for j in range(n):
        r = rows[j]
        expiry = table.expiry[r]
        if table.kind[r] != OPTION or is_done[expiry]:
            continue
        is_done[expiry] = True
        for k in range(n_columns):
            own[k] = 0.0
        value = 0.0
        for i in range(j, n):
            if table.kind[rows[i]] == OPTION and table.expiry[rows[i]] == expiry:
                size, gain = scratch.size[i], table.gain[rows[i]]
                value += size * table.value[rows[i]]
                for k in range(n_columns):
                    own[k] += size * gain[k]
        if scans.has_long_value[m]:
            discount = 1.0 - table.long_share[r]
            for k in range(scans.n_own[m]):
                change[k] -= discount * max(0.0, value + own[k])
        for z in range(scans.scan_start[m], scans.scan_start[m + 1]):
            worst = 0.0
            for k in range(scans.scan_first[z], scans.scan_stop[z]):
                worst = max(worst, -scans.weight[scans.cell_start[m] + k] * own[k])
            factor = scans.scan_factor[z] + scans.scan_annual_factor[z] * table.years[r]
            scratch.figure[scans.scan_group[z]] += worst * factor
    for j in range(n):
        is_done[table.expiry[rows[j]]] = False


@inlined
def add_worst_losses(scans: Scans, m: int, scratch: UnitScratch) -> None:
    """Add to each group's figure its largest loss over the cells, after weight and relief.

    A cell that gains is no loss, whatever share of the gain counts.
    """
    first, worst = scans.cell_start[m], scratch.worst
    for g in range(scans.n_groups[m]):
        worst[g] = 0.0
    for k in range(scans.n_own[m]):
        g = scans.cell_group[first + k]
        worst[g] = max(worst[g], -scans.weight[first + k] * scratch.change[k] - scans.relief[first + k])
    for g in range(scans.n_groups[m]):
        scratch.figure[g] += worst[g]


@inlined
def combined(scans: Scans, m: int, peg: float, figure: FloatArray) -> tuple[float, float]:
    """Return maintenance and initial margin from the groups' figures."""
    largest, added, least, added_to_initial = -np.inf, 0.0, -np.inf, 0.0
    for u in range(scans.use_start[m], scans.use_start[m + 1]):
        usd = figure[scans.use_group[u]]
        if scans.use_form[u] == LARGEST:
            largest = max(largest, usd)
        elif scans.use_form[u] == ADDED:
            added += usd
        elif scans.use_form[u] == AT_LEAST:
            least = max(least, usd)
        else:
            added_to_initial += usd
    base = max((0.0 if largest == -np.inf else largest) + added, least)
    initial_factor = scans.initial_factor[m] + scans.peg_factor[m] * max(0.0, scans.peg_threshold[m] - peg)
    return scans.maintenance_factor[m] * base, initial_factor * base + added_to_initial


@inlined
def charge_usd(scans: Scans, table: UnitTable, h: int, rows: IntArray, n: int, scratch: UnitScratch) -> float:
    """USD that charge h asks for the holdings (the formulas are those of `margin.scan_charges`)."""
    form, numbers, index = scans.charge_form[h], scans.charge_numbers[h], table.index_price[rows[0]]
    if form == BY_SIZE:
        return numbers[0] * priced_size(scans, table, h, rows, n, scratch.size)
    if form == BY_NAKED_SHORT:
        return numbers[0] * index * naked_shorts(table, rows, n, scratch)
    if form == BY_EXPIRY:
        return expiry_charge(scans, table, h, rows, n, scratch)
    if form == BY_DELTA:
        return index * delta_charge(scans, table, h, rows, n, scratch.size)
    if form == BY_LIQUIDITY:
        return liquidity_charge(table, numbers, index, rows, n, scratch.size)
    usd = 0.0
    for j in range(n):
        if table.confidence[rows[j]] < numbers[0]:
            doubt = (1.0 - table.confidence[rows[j]]) * numbers[1] * index
            usd += doubt * coins(table, rows[j], scratch.size[j])
    return usd


@inlined
def coins(table: UnitTable, r: int, size: float) -> float:
    """Units of underlying that a size of row r is, unsigned."""
    is_inverse = table.is_coin_settled[r] and table.kind[r] != SPOT and table.kind[r] != OPTION
    return abs(size) / table.price[r] if is_inverse else abs(size)


@inlined
def is_counted(scans: Scans, table: UnitTable, h: int, r: int) -> bool:
    """Tell whether charge h counts the kind of row r."""
    return (scans.charge_kinds[h] >> table.kind[r]) & 1 == 1


@inlined
def priced_size(scans: Scans, table: UnitTable, h: int, rows: IntArray, n: int, sizes: FloatArray) -> float:
    """USD of the holdings' unsigned sizes at the price and on the side that charge h counts."""
    side, usd = scans.charge_side[h], 0.0
    for j in range(n):
        r, size = rows[j], sizes[j]
        if is_counted(scans, table, h, r) and (side == BOTH or (size > 0.0) == (side == LONG)):
            mark = table.price[r] if table.is_coin_settled[r] else table.price[r] * table.quote_price[r]
            usd += coins(table, r, size) * (mark if scans.charge_is_at_mark[h] else table.index_price[r])
    return usd


@inlined
def naked_shorts(table: UnitTable, rows: IntArray, n: int, scratch: UnitScratch) -> float:
    """Options sold beyond those bought at each strike and expiry."""
    net, sold = scratch.by_strike, 0.0
    for j in range(n):
        if table.kind[rows[j]] == OPTION:
            net[table.strike_key[rows[j]]] += scratch.size[j]
    for j in range(n):
        key = table.strike_key[rows[j]]
        sold += max(0.0, -net[key])
        net[key] = 0.0
    return sold


@inlined
def expiry_charge(scans: Scans, table: UnitTable, h: int, rows: IntArray, n: int, scratch: UnitScratch) -> float:
    """USD of the moves of each expiry's net exposure."""
    annual_move, least_move, net = scans.charge_numbers[h, 0], scans.charge_numbers[h, 1], scratch.by_expiry
    for j in range(n):
        r = rows[j]
        if is_counted(scans, table, h, r):
            if scans.charge_is_vega[h]:
                net[table.expiry[r]] += scratch.size[j] * table.vega[r]
            else:
                net[table.expiry[r]] += scratch.size[j] * table.delta[r] * table.index_price[r]
    longs, long_cost, shorts, short_cost = 0.0, 0.0, 0.0, 0.0
    for j in range(n):
        r = rows[j]
        usd = net[table.expiry[r]]
        net[table.expiry[r]] = 0.0
        move = max(least_move, annual_move * table.years[r])
        longs += max(0.0, usd)
        long_cost += move * max(0.0, usd)
        shorts += max(0.0, -usd)
        short_cost += move * max(0.0, -usd)
    if not scans.charge_is_offsetting[h]:
        return long_cost + short_cost
    hedged = min(longs, shorts)
    return hedged * (long_cost / longs + short_cost / shorts) if hedged > 0.0 else 0.0


@inlined
def delta_charge(scans: Scans, table: UnitTable, h: int, rows: IntArray, n: int, sizes: FloatArray) -> float:
    """Coins charged on the net and on the hedged delta."""
    longs, shorts = 0.0, 0.0
    for j in range(n):
        if is_counted(scans, table, h, rows[j]):
            delta = sizes[j] * table.delta[rows[j]]
            longs += max(0.0, delta)
            shorts += max(0.0, -delta)
    return scans.charge_numbers[h, 0] * abs(longs - shorts) + scans.charge_numbers[h, 1] * min(longs, shorts)


@inlined
def liquidity_charge(
    table: UnitTable, numbers: FloatArray, index: float, rows: IntArray, n: int, sizes: FloatArray
) -> float:
    """USD charged on a net delta beyond a threshold; numbers: threshold USD, slope, largest rate."""
    bought, others = 0.0, 0.0
    for j in range(n):
        delta = sizes[j] * table.delta[rows[j]]
        if table.kind[rows[j]] == OPTION and sizes[j] > 0.0:
            bought += delta
        else:
            others += delta
    net = max(0.0, abs(others) - max(0.0, -bought if others > 0.0 else bought))
    excess = max(0.0, net - numbers[0] / index)
    return net * index * min(numbers[2], numbers[1] * excess)
