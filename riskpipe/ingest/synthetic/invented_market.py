"""An invented market: alpha lists linear USDT contracts, bravo inverse coin-margined ones and some linear ones."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from riskpipe.domain.book import FloatArray
from riskpipe.ingest.synthetic.description import DepthLevel, Fund, Instrument, MarketDescription, Price, Tier
from riskpipe.ingest.synthetic.price_history import (
    Series,
    basis_paths,
    funding_rates,
    history_table,
    hours_until,
    index_paths,
)
from riskpipe.ingest.synthetic.rulebook import alpha_tiers, bravo_tiers, invented_collateral


@dataclass(frozen=True)
class _Coin:
    """An underlying: USD price, annual volatility, correlation with the common factor, beta (None = not given)."""

    asset: str
    price: float
    annual_vol: float
    correlation: float
    index_beta: float | None


# Prices are round figures of mid-2024. Volatilities and correlations of BTC, ETH, XRP, LTC, ADA, BCH and SOL: hourly
# candles on Binance, 2019 to 2024; of the others, assumed.
_COINS = (
    _Coin("BTC", 60_000.0, 0.66, 0.92, 1.0),
    _Coin("ETH", 3_000.0, 0.83, 0.92, 1.1),
    _Coin("SOL", 150.0, 0.91, 0.80, 1.3),
    _Coin("XRP", 0.60, 1.08, 0.68, 1.0),
    _Coin("BNB", 550.0, 0.70, 0.75, 0.9),
    _Coin("LTC", 75.0, 0.97, 0.80, None),
    _Coin("ADA", 0.45, 1.04, 0.77, 1.2),
    _Coin("BCH", 400.0, 1.00, 0.77, 1.1),
    _Coin("DOGE", 0.12, 1.10, 0.70, 1.3),
    _Coin("LINK", 14.0, 1.05, 0.75, None),
    _Coin("AVAX", 28.0, 1.10, 0.75, 1.3),
    _Coin("DOT", 6.0, 1.00, 0.77, 1.2),
)
# Share of open interest by rank: measured on 179 perpetual markets (top three about two thirds), the tail smoothed.
_OPEN_INTEREST_SHARES = (0.300, 0.200, 0.182, 0.064, 0.048, 0.030, 0.022, 0.018, 0.015, 0.012, 0.010, 0.008)
_USDT_PRICE, _WBETH_PRICE, _WBETH_PRICE_AT_ALPHA = 0.9998, 3_130.0, 3_105.0
_BRAVO_INVERSE = ("BTC", "ETH", "SOL", "XRP", "LTC", "ADA")
_BRAVO_LINEAR = ("BTC", "ETH", "SOL", "DOGE", "BNB")
_DATED = ("BTC", "ETH")
_DATED_DAYS = (53, 144)
_DEPTH_BPS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)
# Daily turnover over open interest, and the share of open interest that moves the price 1%.
_TURNOVER = {"perpetual": 1.5, "future": 0.3}
_DEPTH_SHARE = {"perpetual": 0.040, "future": 0.040}
_INDEX_DEPTH_SHARE = 0.08


@dataclass(frozen=True)
class _Listing:
    """A contract before it has a price."""

    instrument_id: str
    venue: str
    underlying: str
    is_inverse: bool
    share: float
    expiry: datetime | None


def _listings(as_of: datetime) -> list[_Listing]:
    """Return what both venues list, with shares of open interest that add up to the underlyings'."""
    shares = dict(zip((coin.asset for coin in _COINS), _OPEN_INTEREST_SHARES, strict=True))
    day = as_of.replace(hour=8, minute=0, second=0, microsecond=0)
    expiries = [day + timedelta(days=days) for days in _DATED_DAYS]
    listings: list[_Listing] = []
    for asset, share in shares.items():
        dated = 0.10 * share if asset in _DATED else 0.0
        inverse = 0.28 * share if asset in _BRAVO_INVERSE else 0.0
        linear = 0.10 * share if asset in _BRAVO_LINEAR else 0.0
        listings.append(
            _Listing(f"alpha-{asset}USDT-PERP", "alpha", asset, False, share - dated - inverse - linear, None)
        )
        if inverse:
            listings.append(_Listing(f"bravo-{asset}USD-PERP", "bravo", asset, True, inverse, None))
        if linear:
            listings.append(_Listing(f"bravo-{asset}USDT-PERP", "bravo", asset, False, linear, None))
        if dated:
            for expiry in expiries:
                date = f"{expiry:%y%m%d}"
                listings.append(_Listing(f"alpha-{asset}USDT-{date}", "alpha", asset, False, dated / 4, expiry))
                listings.append(_Listing(f"bravo-{asset}USD-{date}", "bravo", asset, True, dated / 4, expiry))
    return sorted(listings, key=lambda listing: listing.venue)


def invented_market(
    as_of: datetime,
    *,
    open_interest_usd: float,
    history_days: int,
    streams: tuple[np.random.Generator, np.random.Generator],
) -> MarketDescription:
    """Return the invented market at `as_of`.

    open_interest_usd is the total, of one side, that depths and volumes are made for; `streams` are the random
    streams of prices and of volumes. The last row of the history and the quotes are the same figures.
    """
    listings = _listings(as_of)
    assets = [*(coin.asset for coin in _COINS), "USDT", "USDC", "WBETH"]
    last = np.array([*(coin.price for coin in _COINS), _USDT_PRICE, 1.0, _WBETH_PRICE])
    vols = np.array([*(coin.annual_vol for coin in _COINS), 0.005, 0.004, 0.0])
    correlations = np.array([*(coin.correlation for coin in _COINS), 0.0, 0.0, 0.0])
    ts_us = hours_until(as_of, 24 * history_days + 1)
    prices_rng, volume_rng = streams
    index_usd = index_paths(prices_rng, n_hours=len(ts_us), last_price=last, annual_vol=vols, correlation=correlations)
    # Staked ether follows ether.
    index_usd[:, -1] = _WBETH_PRICE * index_usd[:, assets.index("ETH")] / _COINS[1].price
    underlying = np.array([assets.index(listing.underlying) for listing in listings])
    is_inverse = np.array([listing.is_inverse for listing in listings])
    quote_usd = np.where(is_inverse, 1.0, index_usd[:, [assets.index("USDT")]])
    returns = np.diff(np.log(index_usd[:, underlying]), axis=0, prepend=np.log(index_usd[:1, underlying]))
    to_expiry = np.column_stack([_hours_to_expiry(ts_us, listing.expiry) for listing in listings])
    basis = basis_paths(prices_rng, returns=returns, hours_to_expiry=to_expiry)
    funding = funding_rates(prices_rng, ts_us, basis, np.isnan(to_expiry[0]).astype(float))
    index_in_quote = index_usd[:, underlying] / quote_usd
    instruments = tuple(
        _instrument(listing, open_interest_usd, mark, _daily_vol(index_in_quote[:, at]), _last_known(funding[:, at]))
        for at, (listing, mark) in enumerate(zip(listings, index_in_quote[-1] * (1.0 + basis[-1]), strict=True))
    )
    adv = np.array([instrument.adv_usd for instrument in instruments])
    spot_adv = 2.0 * np.array([adv[underlying == asset].sum() for asset in range(len(assets))])
    history = history_table(
        volume_rng,
        Series(ts_us, index_usd, basis, funding),
        instrument_ids=[listing.instrument_id for listing in listings],
        index_in_quote=index_in_quote,
        adv_usd=adv,
        assets=assets,
        spot_adv_usd=np.where(spot_adv > 0.0, spot_adv, spot_adv.max()),
    )
    return MarketDescription(
        as_of=as_of,
        source="invented market of two venues (alpha, bravo)",
        prices=_prices(open_interest_usd),
        instruments=instruments,
        depth=_depth(listings, open_interest_usd),
        tiers=_tiers(listings),
        collateral=invented_collateral(),
        funds=_FUNDS,
        history=history,
    )


_FUNDS = (
    Fund("alpha-main", "alpha", "USDT", 0.020),
    Fund("alpha-small-caps", "alpha", "USDT", 0.010),
    Fund("bravo-btc", "bravo", "BTC", 0.015),
    Fund("bravo-main", "bravo", "USDT", 0.015),
)
_SMALL_CAPS = frozenset({"DOGE", "LINK", "AVAX", "DOT"})


def _hours_to_expiry(ts_us: np.ndarray, expiry: datetime | None) -> FloatArray:
    if expiry is None:
        return np.full(len(ts_us), np.nan)
    return (expiry.timestamp() * 1e6 - ts_us) / 3.6e9


def _daily_vol(prices: FloatArray) -> float:
    """Return the standard deviation of daily log returns over the last 30 days, or over what there is of them."""
    return float(np.std(np.diff(np.log(prices[::-1][: 30 * 24 + 1 : 24])), ddof=1))


def _last_known(rates: FloatArray) -> float | None:
    known = rates[~np.isnan(rates)]
    return float(known[-1]) if len(known) else None


def _instrument(
    listing: _Listing, open_interest_usd: float, mark: float, daily_vol: float, funding_rate: float | None
) -> Instrument:
    kind = "perpetual" if listing.expiry is None else "future"
    suffix = "-dated" if listing.venue == "alpha" and listing.expiry is not None else ""
    fund = "bravo-btc" if listing.venue == "bravo" and listing.underlying == "BTC" and listing.is_inverse else None
    if fund is None:
        is_small_cap = listing.venue == "alpha" and listing.underlying in _SMALL_CAPS
        fund = "alpha-small-caps" if is_small_cap else f"{listing.venue}-main"
    own = open_interest_usd * listing.share
    return Instrument(
        instrument_id=listing.instrument_id,
        venue=listing.venue,
        kind=kind,
        underlying=listing.underlying,
        quote_asset="USD" if listing.is_inverse else "USDT",
        settlement_asset=listing.underlying if listing.is_inverse else "USDT",
        multiplier=1.0,
        is_inverse=listing.is_inverse,
        tier_schedule=f"{listing.venue}-{listing.underlying}{suffix}",
        mark_price=float(mark),
        open_interest_share=listing.share,
        expiry=listing.expiry,
        fund=fund,
        funding_rate=funding_rate,
        funding_interval_hours=8.0 if kind == "perpetual" else None,
        adv_usd=_TURNOVER[kind] * own,
        daily_vol=daily_vol,
        # The largest markets have a depth table, the middle a single figure, small caps volume and volatility only.
        depth_usd_1pct=None
        if _has_depth_table(listing) or listing.underlying in _SMALL_CAPS
        else _DEPTH_SHARE[kind] * own,
    )


def _has_depth_table(listing: _Listing) -> bool:
    return listing.underlying in _DATED


def _depth(listings: list[_Listing], open_interest_usd: float) -> tuple[DepthLevel, ...]:
    """Return depth tables by the law A d^beta within d bps; dated books end at 100 bps.

    Beta is 1.33 for BTC and 1.01 for ETH, as measured on a linear venue's perpetuals.
    """
    rows = []
    for listing in listings:
        if not _has_depth_table(listing):
            continue
        beta = 1.33 if listing.underlying == "BTC" else 1.01
        kind = "perpetual" if listing.expiry is None else "future"
        at_1pct = _DEPTH_SHARE[kind] * open_interest_usd * listing.share
        for side, lean in (("bid", 0.95), ("ask", 1.05)):
            for distance in _DEPTH_BPS:
                is_reached = listing.expiry is None or distance <= 100.0
                usd = lean * at_1pct * (distance / 100.0) ** beta if is_reached else None
                rows.append(DepthLevel(listing.instrument_id, side, distance, usd))
    return tuple(rows)


def _prices(open_interest_usd: float) -> tuple[Price, ...]:
    coins = [
        Price(
            coin.asset,
            coin.price,
            index_beta=coin.index_beta,
            depth_usd_1pct=_INDEX_DEPTH_SHARE * share * open_interest_usd if share > 0.04 else None,
        )
        for coin, share in zip(_COINS, _OPEN_INTEREST_SHARES, strict=True)
    ]
    return (
        *coins,
        Price("USDT", _USDT_PRICE),
        Price("USDC", 1.0),
        Price("WBETH", _WBETH_PRICE, index_beta=1.1),
        Price("WBETH", _WBETH_PRICE_AT_ALPHA, venue="alpha"),
    )


def _tiers(listings: list[_Listing]) -> tuple[Tier, ...]:
    schedules: dict[str, tuple[Tier, ...]] = {}
    for listing in listings:
        tiers = (
            alpha_tiers(listing.underlying, is_dated=listing.expiry is not None)
            if listing.venue == "alpha"
            else bravo_tiers(listing.underlying)
        )
        schedules.setdefault(tiers[0].tier_schedule, tiers)
    return tuple(tier for tiers in schedules.values() for tier in tiers)
