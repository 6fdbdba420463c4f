"""Crowding of basis trades: how much of a contract's open interest delta-neutral entities hold.

They hold one leg against another, long spot and short the perpetual most of all, and leave together: when funding
turns, or when the contract leg is liquidated while the other gains. Who they are is seen only where accounts name their
owner; legs with unknown owners look directional, so that every share here is a lower bound.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from riskpipe.calibrate.spreads.pairs import CLAIMS
from riskpipe.domain.book import Book, BoolArray, FloatArray, IntArray, OffsetArray
from riskpipe.domain.holdings import NEUTRAL_TOLERANCE as NEUTRAL


@dataclass(frozen=True)
class Crowding:
    """Open interest by side in USD at marks and index prices, and what delta-neutral entities hold of it, [i].

    Options have none (their delta needs a model) and are left out; 0 / 0 is NaN.
    """

    long_usd: FloatArray  # held by all accounts of the book, weighted
    short_usd: FloatArray
    neutral_long_usd: FloatArray  # held by entities that are delta-neutral in the underlying
    neutral_short_usd: FloatArray
    unknown_usd: FloatArray  # both sides, held by accounts without an entity

    @property
    def neutral_share(self) -> FloatArray:
        """Share of open interest, both sides, that delta-neutral entities hold; a lower bound."""
        return _share(self.neutral_long_usd + self.neutral_short_usd, self.long_usd + self.short_usd)

    @property
    def neutral_short_share(self) -> FloatArray:
        """Share of the short side that delta-neutral entities hold: cash-and-carry; a lower bound."""
        return _share(self.neutral_short_usd, self.short_usd)

    @property
    def neutral_long_share(self) -> FloatArray:
        """Share of the long side that delta-neutral entities hold: the reverse trade; a lower bound."""
        return _share(self.neutral_long_usd, self.long_usd)

    @property
    def unknown_share(self) -> FloatArray:
        """Share of open interest, both sides, whose owner is not known beyond the account."""
        return _share(self.unknown_usd, self.long_usd + self.short_usd)


def _share(part: FloatArray, whole: FloatArray) -> FloatArray:
    has_any = whole > 0.0
    return np.where(has_any, part / np.where(has_any, whole, 1.0), np.nan)


@dataclass(frozen=True)
class _Exposures:
    """Positions' and balances' signed USD, by entity and underlying."""

    entity: IntArray  # [n]
    underlying: IntArray  # [n]
    usd: FloatArray  # [n]


def crowding(book: Book, *, tolerance: float = NEUTRAL, claims: Mapping[str, str] = CLAIMS) -> Crowding:
    """Return how crowded each contract is with delta-neutral holders.

    An entity is delta-neutral in an underlying where it is long and short of it, and what is left, |long - short|, is
    at most `tolerance` of the larger of the two. Long and short are contracts other than options, balances (collateral,
    loans, borrowed assets as shorts) and the unrealised PnL of coin-settled contracts, at marks and index prices.
    Balances of a claim (staked forms, wrappers: `claims`, names in any case) count as their base asset, by their own
    price. An account counts as often as its weight says. Numbers are sums of what a book gives; a price that is missing
    leaves its leg out.
    """
    account, legs = _contract_legs(book)
    instrument, weight = book.position_instrument, book.account_weight[account]
    usd, entity, underlying = legs.usd, legs.entity, legs.underlying
    is_neutral, key_of = _neutral_keys(_exposures(book, legs, account, weight, claims), book.n_assets, tolerance)
    keys = entity.astype(np.int64) * book.n_assets + underlying
    is_held_neutral = is_neutral[np.searchsorted(key_of, keys)]

    def total(chosen: BoolArray) -> FloatArray:
        return np.bincount(instrument[chosen], np.abs(usd[chosen]), book.n_instruments).astype(np.float64)

    is_unknown = ~book.account_has_entity[account]
    return Crowding(
        long_usd=total(usd > 0.0),
        short_usd=total(usd < 0.0),
        neutral_long_usd=total((usd > 0.0) & is_held_neutral),
        neutral_short_usd=total((usd < 0.0) & is_held_neutral),
        unknown_usd=total(is_unknown),
    )


def neutral_owners(book: Book, *, tolerance: float = NEUTRAL, claims: Mapping[str, str] = CLAIMS) -> BoolArray:
    """Tell which entities are delta-neutral over all that contracts follow, [e].

    One is, where it is long and short of something, and what is left, |long - short|, summed over underlyings, is at
    most `tolerance` of the sum of the larger sides. Legs are those of `crowding`; balances of assets that no contract
    follows (settlement money) are no legs.
    """
    account, legs = _contract_legs(book)
    parts = _exposures(book, legs, account, book.account_weight[account], claims)
    keys, longs, shorts = _sides(parts, book.n_assets)
    is_leg = np.isin(keys % book.n_assets, book.instrument_underlying)
    owner, n_owners = keys[is_leg] // book.n_assets, len(book.labels["entity"])
    longs, shorts = longs[is_leg], shorts[is_leg]

    def summed(amount: FloatArray) -> FloatArray:
        return np.bincount(owner, amount, n_owners).astype(np.float64)

    left, larger = summed(np.abs(longs - shorts)), summed(np.maximum(longs, shorts))
    return np.asarray((summed(np.minimum(longs, shorts)) > 0.0) & (left <= tolerance * larger))


def _contract_legs(book: Book) -> tuple[IntArray, _Exposures]:
    """Return each position's account [q], and its signed, weighted USD by entity and underlying; 0 of options."""
    account = book.pool_account[np.repeat(np.arange(book.n_pools), np.diff(book.pool_position_start))]
    instrument = book.position_instrument
    size = book.position_quantity * book.instrument_multiplier[instrument]
    quote = book.index_price[book.instrument_quote[instrument]]
    price = np.where(book.instrument_is_inverse[instrument], 1.0, book.mark_price[instrument])
    is_counted = ~book.is_option[instrument]
    usd = np.where(is_counted, np.nan_to_num(book.account_weight[account] * size * price * quote), 0.0)
    return account, _Exposures(book.account_entity[account], book.instrument_underlying[instrument], usd)


def _exposures(
    book: Book, legs: _Exposures, account: IntArray, weight: FloatArray, claims: Mapping[str, str]
) -> list[_Exposures]:
    """Contracts, balances and the PnL of coin-settled contracts."""
    size = book.position_quantity * book.instrument_multiplier[book.position_instrument]
    return [legs, _balances(book, claims), _coin_pnl(book, account, size, weight)]


def _balances(book: Book, claims: Mapping[str, str]) -> _Exposures:
    """Balances in USD; of claims as exposures to their base."""
    names = book.names("asset")
    place = {name.casefold(): c for c, name in enumerate(names)}
    base = np.arange(book.n_assets, dtype=np.int32)
    for claim, of in claims.items():
        if claim.casefold() in place and of.casefold() in place:
            base[place[claim.casefold()]] = place[of.casefold()]
    account = book.slot_account
    usd = book.account_weight[account] * book.slot_quantity * book.index_price[book.slot_asset]
    return _Exposures(book.account_entity[account], base[book.slot_asset], np.nan_to_num(usd))


def _coin_pnl(book: Book, account: IntArray, size: FloatArray, weight: FloatArray) -> _Exposures:
    """Unrealised PnL of inverse contracts, which is a holding of the coin that they settle in."""
    instrument = book.position_instrument
    is_coin = book.instrument_is_inverse[instrument] & ~book.is_option[instrument]
    entry, mark = book.position_entry_price[is_coin], book.mark_price[instrument[is_coin]]
    coins = size[is_coin] * (1.0 / entry - 1.0 / mark)
    settlement = book.instrument_settlement[instrument[is_coin]]
    usd = weight[is_coin] * coins * book.index_price[settlement]
    return _Exposures(book.account_entity[account[is_coin]], settlement, np.nan_to_num(usd))


def _sides(exposures: list[_Exposures], n_assets: int) -> tuple[OffsetArray, FloatArray, FloatArray]:
    """Return keys entity x n_assets + underlying, ascending, and what is long and short under each."""
    entity = np.concatenate([item.entity for item in exposures]).astype(np.int64)
    underlying = np.concatenate([item.underlying for item in exposures])
    usd = np.concatenate([item.usd for item in exposures])
    keys, at = np.unique(entity * n_assets + underlying, return_inverse=True)
    longs, shorts = (np.bincount(at, np.maximum(side * usd, 0.0), len(keys)).astype(np.float64) for side in (1, -1))
    return keys.astype(np.int64), longs, shorts


def _neutral_keys(exposures: list[_Exposures], n_assets: int, tolerance: float) -> tuple[BoolArray, OffsetArray]:
    """Return which keys entity x n_assets + underlying are neutral, and the keys, ascending."""
    keys, longs, shorts = _sides(exposures, n_assets)
    is_neutral = (longs > 0.0) & (shorts > 0.0) & (np.abs(longs - shorts) <= tolerance * np.maximum(longs, shorts))
    return is_neutral, keys
