"""What trading a book's spreads is like at its quotes: gaps, flow that closes them, carry, margin, and who is in them.

The trade of a pair is short the first leg and long the second, or the other way round, whichever carries more. An index
leg is the asset itself.
"""

from dataclasses import dataclass

import numpy as np

from riskpipe.calibrate.spreads.crowding import Crowding
from riskpipe.calibrate.spreads.pairs import OWN_INDEX, Pairs, SpreadKind
from riskpipe.calibrate.spreads.views import NetCarry, closing_flow, gap_of, net_carry
from riskpipe.domain.book import Book, BoolArray, FloatArray, InstrumentKind, IntArray
from riskpipe.domain.market import Market
from riskpipe.pricing.carry import DAYS_PER_YEAR

_TRADES = 4  # of both legs, in and out


@dataclass(frozen=True)
class TradeSettings:
    """What is assumed of whoever trades spreads; fractions of notional."""

    fee_rate: float  # of one trade of one leg
    financing_rate: float  # a year, of the cash that buys an asset or stands as margin
    holding_days: float  # of a spread without an end
    margin_rate: float  # margin set aside for each contract leg


@dataclass(frozen=True)
class Hedged:
    """The trade of each pair as hedged positions, one USD of notional a leg, [n].

    Where legs have pools of their own, `own_` is that of the first leg and `other_` that of the second, else NaN.
    """

    side: FloatArray  # of the first leg: -1 short, +1 long
    unhedged_share: FloatArray  # of the index's move that the pool does not get back
    own_maintenance: FloatArray  # requirement per USD, of both contracts where they share a pool
    own_buffer: FloatArray  # equity beyond it
    own_funding: FloatArray  # an hour, + longs pay
    other_maintenance: FloatArray
    other_buffer: FloatArray
    other_funding: FloatArray


@dataclass(frozen=True)
class Trades:
    """Trading the spreads of a book, [n]; NaN = not known, as funding that is not quoted or depth."""

    spread: FloatArray  # at the snapshot's own quotes
    gap: FloatArray  # of the rich over the cheap leg, beyond the spread that there should be; >= 0
    closing_flow_usd: FloatArray  # that closes it down to the fees
    carry: NetCarry  # of the better side
    side: FloatArray  # of the first leg in it: -1 short, +1 long
    interest_usd: FloatArray  # open interest of the pair's contracts, both sides
    neutral_usd: FloatArray  # of it held by delta-neutral entities; a lower bound
    unknown_usd: FloatArray  # of it held by accounts without a known owner
    hedged: Hedged


def trades(
    book: Book, market: Market, pairs: Pairs, fair: FloatArray, crowded: Crowding, settings: TradeSettings
) -> Trades:
    """Return what trading each pair is like at the book's quotes.

    Arguments
    ---------
    book, market, pairs: of one night.
    fair: [n] the spread that there should be now: 0 where both legs are one thing, else what carry or habit make it;
        NaN = not known.
    crowded: of the book.
    settings: see there.
    """
    kinds = np.array(pairs.kind, dtype=object)
    is_ratio = kinds == SpreadKind.ASSET_RATIO
    spread = _quoted(book, market, pairs, is_ratio)
    beyond = (1.0 + spread) / (1.0 + fair) - 1.0
    carry, side = _carry(book, pairs, spread, settings)
    interest, neutral, unknown = (
        _of_contracts(pairs, is_ratio, values)
        for values in (
            crowded.long_usd + crowded.short_usd,
            crowded.neutral_long_usd + crowded.neutral_short_usd,
            crowded.unknown_usd,
        )
    )
    return Trades(
        spread=spread,
        gap=gap_of(beyond),
        closing_flow_usd=_closing(book, market, pairs, beyond, is_ratio, _TRADES * settings.fee_rate),
        carry=carry,
        side=side,
        interest_usd=interest,
        neutral_usd=neutral,
        unknown_usd=unknown,
        hedged=_hedged(book, pairs, side, settings.margin_rate),
    )


def _quoted(book: Book, market: Market, pairs: Pairs, is_ratio: BoolArray) -> FloatArray:
    """Spread at the snapshot's own quotes [n], in USD where quote assets differ."""
    found = np.full(len(pairs), np.nan)
    is_index = ~is_ratio & (pairs.second == OWN_INDEX)
    found[is_index] = market.basis[pairs.first[is_index]]
    has_two = ~is_ratio & ~is_index
    usd = book.mark_price * book.index_price[book.instrument_quote]
    found[has_two] = usd[pairs.first[has_two]] / usd[pairs.second[has_two]] - 1.0
    price = book.index_price
    found[is_ratio] = price[pairs.first[is_ratio]] / price[pairs.second[is_ratio]] - 1.0
    return found


def _of_contracts(pairs: Pairs, is_ratio: BoolArray, values: FloatArray) -> FloatArray:
    """Sum of values [i] over the contracts of each pair [n]; NaN of asset ratios."""
    first = np.where(is_ratio, np.nan, _at(values, np.where(is_ratio, OWN_INDEX, pairs.first)))
    has_second = ~is_ratio & (pairs.second != OWN_INDEX)
    return first + np.where(has_second, _at(values, np.where(has_second, pairs.second, OWN_INDEX)), 0.0)


def _at(values: FloatArray, row: IntArray) -> FloatArray:
    """Values at these rows [n]; NaN where the row is -1."""
    return np.append(values, np.nan)[row]


def _closing(
    book: Book, market: Market, pairs: Pairs, beyond: FloatArray, is_ratio: BoolArray, cost: float
) -> FloatArray:
    """Flow that closes what a spread has beyond the fair one, down to the fees of both legs, in and out [n]."""
    contracts = np.where(is_ratio, OWN_INDEX, pairs.first), np.where(is_ratio, OWN_INDEX, pairs.second)
    underlying = np.append(book.instrument_underlying, 0)[contracts[0]]
    asset = np.where(is_ratio, pairs.first, OWN_INDEX), np.where(is_ratio, pairs.second, underlying)
    sides = []
    for contract, spot in zip(contracts, asset, strict=True):
        is_spot = contract == OWN_INDEX
        depth = market.index_depth[np.maximum(spot, 0)]
        sides.append(
            tuple(
                np.where(is_spot, depth, _at(book_side, contract)) for book_side in (market.depth_bid, market.depth_ask)
            )
        )
    (first_bid, first_ask), (second_bid, second_ask) = sides
    is_rich = beyond >= 0.0
    flow = closing_flow(
        gap_of(beyond), np.where(is_rich, first_bid, second_bid), np.where(is_rich, second_ask, first_ask), cost
    )
    return np.where(np.isnan(beyond), np.nan, flow)


def _carry(book: Book, pairs: Pairs, spread: FloatArray, settings: TradeSettings) -> tuple[NetCarry, FloatArray]:
    """Carry of the side that carries more [n], and that side."""
    kinds = np.array(pairs.kind, dtype=object)
    is_ratio, is_spot = kinds == SpreadKind.ASSET_RATIO, pairs.second == OWN_INDEX
    hourly = funding_per_hour(book)
    first = _at(hourly, np.where(is_ratio, OWN_INDEX, pairs.first))
    second = np.where(is_spot, 0.0, _at(hourly, np.where(is_ratio, OWN_INDEX, pairs.second)))
    days = days_of(book, pairs)
    has_end = np.isfinite(days)
    short, long = (
        net_carry(
            holding_days=np.where(has_end, np.maximum(days, 1.0), settings.holding_days),
            round_trip_fees=_TRADES * settings.fee_rate,
            funding_rate=first - second,
            interval_hours=1.0,
            basis=np.where(has_end, spread, 0.0),
            # two contracts take no cash but their margins
            financing_rate=settings.financing_rate * np.where(is_spot, 1.0, 2.0 * settings.margin_rate),
            margin_share=np.where(is_spot, settings.margin_rate, 0.0),
            is_reverse=is_reverse,
        )
        for is_reverse in (False, True)
    )
    is_long = long.net > short.net
    better = (
        np.where(is_long, getattr(long, name), getattr(short, name))
        for name in ("gross", "fees", "financing", "net", "break_even_days")
    )
    return NetCarry(*better), np.where(is_long, 1.0, -1.0)


def funding_per_hour(book: Book) -> FloatArray:
    """Quoted funding an hour [i], + longs pay; 0 of futures, NaN of perpetuals whose rate is not quoted."""
    is_perpetual = book.instrument_kind == InstrumentKind.PERPETUAL
    hourly = book.funding_rate / np.where(book.funding_interval_hours > 0.0, book.funding_interval_hours, np.nan)
    return np.where(is_perpetual, hourly, 0.0)


def days_of(book: Book, pairs: Pairs) -> FloatArray:
    """Days over which the spread of each pair is earned, from as_of [n]; infinite where there is no end."""
    left = np.where(book.instrument_expiry_us < 0, np.inf, DAYS_PER_YEAR * book.years_to_expiry)
    kinds = np.array(pairs.kind, dtype=object)
    is_ratio, is_calendar = kinds == SpreadKind.ASSET_RATIO, kinds == SpreadKind.CALENDAR
    first, second = (_at(left, np.where(is_ratio, OWN_INDEX, leg)) for leg in (pairs.first, pairs.second))
    near = np.where(is_calendar, second, 0.0)
    return np.where(is_ratio, np.inf, first - near)


def _hedged(book: Book, pairs: Pairs, side: FloatArray, margin_rate: float) -> Hedged:
    """Return each pair's trade as positions in margin pools.

    Legs at one venue share a pool. A pool that holds the asset itself gets its moves back but for the haircut of the
    lowest band, and nothing where the venue does not take it. Maintenance is the lowest tier's.
    """
    kinds = np.array(pairs.kind, dtype=object)
    is_ratio, is_spot = kinds == SpreadKind.ASSET_RATIO, pairs.second == OWN_INDEX
    first, second = np.where(is_ratio, OWN_INDEX, pairs.first), np.where(is_ratio, OWN_INDEX, pairs.second)
    has_tier = np.diff(book.instrument_tier_start) > 0
    rate = np.full(book.n_instruments, np.nan)
    rate[has_tier] = book.tier_maintenance_rate[book.instrument_tier_start[:-1][has_tier]]
    venue = _at(book.instrument_venue.astype(np.float64), first)
    is_apart = ~is_spot & ~is_ratio & (venue != _at(book.instrument_venue.astype(np.float64), second))
    row = book.instrument_venue.astype(np.int64) * book.n_assets + book.instrument_underlying
    start, stop = book.collateral_band_start[row], book.collateral_band_start[row + 1]
    haircut = np.append(book.band_haircut, np.nan)[np.where(stop > start, start, -1)]
    lost = np.where(np.isnan(haircut), 1.0, haircut)
    is_shared = ~is_spot & ~is_apart & ~is_ratio
    own, other = _at(rate, first), np.where(is_apart, _at(rate, second), np.nan)
    own = own + np.where(is_shared, _at(rate, second), 0.0)
    hourly = funding_per_hour(book)
    own_funding = _at(hourly, first) - np.where(is_shared, _at(hourly, second), 0.0)
    return Hedged(
        side=side,
        unhedged_share=np.where(is_spot, _at(lost, first), np.where(is_apart, 1.0, 0.0)),
        own_maintenance=own,
        own_buffer=margin_rate * np.where(is_shared, 2.0, 1.0) - own,
        own_funding=own_funding,
        other_maintenance=other,
        other_buffer=margin_rate - other,
        other_funding=np.where(is_apart, _at(hourly, second), np.nan),
    )
