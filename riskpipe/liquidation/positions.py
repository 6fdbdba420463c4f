"""Positions: their size and offset, and the tiers, bands and thresholds that they and balances fall under."""

import math

from riskpipe.compiled import inlined
from riskpipe.domain.book import FloatArray, OffsetArray
from riskpipe.liquidation.lowering import Pools, Terms


@inlined
def position_size(pools: Pools, terms: Terms, q: int) -> float:
    """Size a: contracts times multiplier, signed."""
    return pools.quantity[q] * terms.multiplier[pools.instrument[q]]


@inlined
def position_offset(pools: Pools, terms: Terms, q: int) -> float:
    """Offset b: what settles is a x payoff - b, a position's PnL or an option's value."""
    if terms.is_option[pools.instrument[q]]:
        return 0.0
    return entry_offset(pools, terms, q)


@inlined
def entry_offset(pools: Pools, terms: Terms, q: int) -> float:
    """Offset of the PnL since entry in the settlement asset, a x payoff - b, of options too."""
    size = position_size(pools, terms, q)
    return -size / pools.entry_price[q] if terms.is_inverse[pools.instrument[q]] else size * pools.entry_price[q]


@inlined
def step_from(floors: FloatArray, k: int, stop: int, value: float) -> int:
    """Tier of a notional or haircut band of a value, looked for from k up to stop - 1."""
    while k < stop - 1 and value >= floors[k + 1]:
        k += 1
    return k


@inlined
def tier_from(terms: Terms, i: int, k: int, notional: float) -> int:
    """Tier of a notional, looked for from tier k of instrument i upwards."""
    return step_from(terms.tier_floor, k, terms.tier_start[i + 1], notional)


@inlined
def band_from(terms: Terms, asset_row: int, k: int, value: float) -> int:
    """Haircut band of a value, looked for from band k upwards."""
    return step_from(terms.band_floor, k, terms.band_start[asset_row + 1], value)


@inlined
def collateral_threshold(pools: Pools, terms: Terms, venue: int, k: int) -> float:
    """Liquidation threshold of a loan's balance: its own, else the venue's, else 0."""
    own = pools.slot_threshold[k]
    return terms.lending_threshold[venue, pools.asset[k]] if math.isnan(own) else own


@inlined
def place_of(pool: OffsetArray, p: int) -> int:
    """Return where p stands among pools in ascending order, -1 when it does not."""
    low, high = 0, len(pool)
    while low < high:
        middle = (low + high) // 2
        if pool[middle] < p:
            low = middle + 1
        else:
            high = middle
    return low if low < len(pool) and pool[low] == p else -1
