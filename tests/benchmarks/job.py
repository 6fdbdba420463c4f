"""The job that the kernel's health pass and every baseline do: how many pools fail at each scenario's shocked prices.

Prices are computed here in numpy from the definition of the shocked market; no code of the kernel is used, so that
equal counts say something. `Lowered` is the work a careful user would do once for a book and a grid, which no baseline
is charged for: sorting, margin as a sum of ramps step x max(0, N - floor), and which ramps start inside the box.
"""

from dataclasses import dataclass

import numpy as np

SMALLEST_SHARE = 0.01


@dataclass(frozen=True)
class Prices:
    """Of a grid: payoff and USD notional per unit of size [i, s], asset prices [c, s]."""

    payoff: np.ndarray
    notional: np.ndarray
    asset: np.ndarray

    def columns(self, start: int, stop: int) -> "Prices":
        return Prices(*(np.ascontiguousarray(a[:, start:stop]) for a in (self.payoff, self.notional, self.asset)))


def shocked_prices(book, market, scenarios) -> Prices:
    """Prices of every scenario before any impact."""
    price = market.index_price[:, None]
    beta = market.index_beta[:, None]
    asset = np.maximum(price * (1.0 + beta * scenarios.index_shock), SMALLEST_SHARE * price)
    basis = np.maximum(market.basis[:, None] + scenarios.basis_shock, SMALLEST_SHARE - 1.0)
    quote = asset[book.instrument_quote]
    mark = asset[book.instrument_underlying] / quote * (1.0 + basis)
    is_inverse = book.instrument_is_inverse[:, None]
    return Prices(np.where(is_inverse, -1.0 / mark, mark), np.where(is_inverse, quote, mark * quote), asset)


@dataclass(frozen=True)
class Lowered:
    """Positions in order of pool and slot; ramps as (row, floor, step) triples; p pools, k slots, q positions."""

    n_pools: int
    instrument: np.ndarray  # [q]
    size: np.ndarray  # [q]
    offset: np.ndarray  # [q]
    pool: np.ndarray  # [q]
    slot: np.ndarray  # [q]
    base_rate: np.ndarray  # [q] of the tier at the lowest notional of the box
    base_deduction: np.ndarray  # [q]
    ramp: tuple[np.ndarray, np.ndarray, np.ndarray]  # position, floor, step: tiers that start inside the box
    slot_pool: np.ndarray  # [k]
    slot_asset: np.ndarray  # [k]
    quantity: np.ndarray  # [k]
    venue_ratio: np.ndarray  # [k]
    credit: np.ndarray  # [k] share of a positive value, first band
    debt_rate: np.ndarray  # [k] margin on what is borrowed, 0 where nothing is
    band: tuple[np.ndarray, np.ndarray, np.ndarray]  # slot, floor, step: further bands that are reached
    tier_floor: np.ndarray  # [i, t] padded with infinity: for those who look tiers up
    tier_rate: np.ndarray  # [i, t]
    tier_deduction: np.ndarray  # [i, t]

    @property
    def crossing_share(self) -> float:
        """Share of positions with a tier's floor inside the box."""
        return len(np.unique(self.ramp[0])) / len(self.size)


def lower(book, market, prices: Prices) -> Lowered:
    size = book.position_quantity * book.instrument_multiplier[book.position_instrument]
    pool = np.repeat(np.arange(book.n_pools), np.diff(book.pool_position_start))
    slot = book.pool_slot_start[pool] + book.position_slot
    order = np.argsort(slot, kind="stable")  # slots of a pool stand together: pools stay in order
    size, pool, slot = size[order], pool[order], slot[order]
    instrument = np.asarray(book.position_instrument)[order]
    entry = book.position_entry_price[order]
    offset = np.where(book.instrument_is_inverse[instrument], -size / entry, size * entry)
    floor, rate, deduction = _padded_tiers(book)
    tier, ramp = _ramps(np.abs(size), instrument, prices, floor, rate)
    slot_pool = np.repeat(np.arange(book.n_pools), np.diff(book.pool_slot_start))
    venue = book.account_venue[book.pool_account[slot_pool]]
    quantity = np.asarray(book.slot_quantity)
    row = venue * book.n_assets + book.slot_asset
    ratio = market.venue_price_ratio[venue, book.slot_asset]
    first, bands = _bands(book, row, _highest_values(prices, size, offset, instrument, slot, book, quantity) * ratio)
    return Lowered(
        n_pools=book.n_pools,
        instrument=instrument,
        size=size,
        offset=offset,
        pool=pool,
        slot=slot,
        base_rate=rate[instrument, tier],
        base_deduction=deduction[instrument, tier],
        ramp=ramp,
        slot_pool=slot_pool,
        slot_asset=np.asarray(book.slot_asset),
        quantity=quantity,
        venue_ratio=ratio,
        credit=first,
        debt_rate=np.where(quantity < 0.0, book.borrow_maintenance_rate[venue, book.slot_asset], 0.0),
        band=bands,
        tier_floor=floor,
        tier_rate=rate,
        tier_deduction=deduction,
    )


def _padded_tiers(book):
    n = np.diff(book.instrument_tier_start)
    is_there = np.arange(n.max()) < n[:, None]
    floor, rate, deduction = (np.zeros(is_there.shape) for _ in range(3))
    floor[:] = np.inf
    floor[is_there], rate[is_there], deduction[is_there] = (
        book.tier_floor,
        book.tier_maintenance_rate,
        book.tier_deduction,
    )
    return floor, rate, deduction


def _ramps(size, instrument, prices, floor, rate):
    """Tier at the lowest notional of each position, and the (position, floor, step) of each that starts in its box."""
    low = size * prices.notional.min(axis=1)[instrument]
    high = size * prices.notional.max(axis=1)[instrument]
    tier = np.zeros(len(size), int)
    found = []
    for k in range(1, floor.shape[1]):
        here = floor[instrument, k]
        tier += low >= here
        inside = np.flatnonzero((low < here) & (here <= high))
        found.append((inside, here[inside], (rate[:, k] - rate[:, k - 1])[instrument[inside]]))
    position, starts, step = (np.concatenate(part) for part in zip(*found, strict=True)) if found else ([], [], [])
    by_position = np.argsort(position, kind="stable")
    return tier, tuple(np.asarray(part)[by_position] for part in (position, starts, step))


def _highest_values(prices, size, offset, instrument, slot, book, quantity):
    """Upper bound of each slot's USD value over the box."""
    ends = (size * prices.payoff.min(axis=1)[instrument], size * prices.payoff.max(axis=1)[instrument])
    gain = np.maximum(*ends) - offset
    amount = quantity + np.bincount(slot, gain, minlength=len(quantity))
    return np.maximum(amount, 0.0) * prices.asset.max(axis=1)[book.slot_asset]


def _bands(book, row, highest):
    """Credit of the first band of each slot, and the (slot, floor, step) of each further band that may be reached."""
    start, n = book.collateral_band_start[row], np.diff(book.collateral_band_start)[row]
    credit = np.append(1.0 - book.band_haircut, 0.0)
    floor = np.append(book.band_floor, np.inf)
    first = np.where(n > 0, credit[start], 0.0)
    found = []
    for k in range(1, int(n.max())):
        inside = np.flatnonzero(n > k)
        at = start[inside] + k
        reached = highest[inside] > floor[at]
        inside, at = inside[reached], at[reached]
        found.append((inside, floor[at], credit[at] - credit[at - 1]))
    slot, starts, step = (
        (np.concatenate(part) for part in zip(*found, strict=True)) if found else (np.zeros(0, int), *np.zeros((2, 0)))
    )
    by_slot = np.argsort(slot, kind="stable")
    return first, (slot[by_slot], starts[by_slot], step[by_slot])
