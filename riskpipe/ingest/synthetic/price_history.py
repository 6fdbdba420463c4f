"""Hourly index, mark and funding series with the measured shape of real ones, ending at given prices.

Index returns have one common factor, fat tails (Student t, 4 degrees of freedom) and clustered volatility. A basis is
the sum of a slow level that all instruments share, a fast mean-reverting part of its own, rare jumps and, in crashes, a
pull in the direction of the return; a dated future adds its carry, which is gone at expiry. Figures: hourly candles of
seven coins on Binance, 2019 to 2024 (slow level of 7 days 5.5 to 7.7 bps, fast part 2 to 4.5 bps with a half-life of
0.8 to 2.2 h, 9 to 89 jumps a year, funding of 1.1 to 1.4 bps per 8 h).
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa

from riskpipe.domain.book import FloatArray, OffsetArray
from riskpipe.domain.tables import HISTORY
from riskpipe.ingest.synthetic.arrow import arrow_table

HOURS_PER_YEAR = 8760.0
_HOUR_US = 3_600_000_000
_BPS = 1e-4
_BURN_IN_HOURS = 24 * 28
_SLOW_HALF_LIFE_HOURS = 168.0
_SHARED_PART_OF_SLOW_LEVEL = 0.8
_CRASH_RETURN = -0.03
_CRASH_PULL = 0.015  # basis change per unit of return in a crash
_JUMP_LIMIT_BPS = 400.0


@dataclass(frozen=True)
class Series:
    """Simulated hours: USD index prices [t, c], basis [t, i] and funding rates [t, i] (NaN where none is charged)."""

    ts_us: OffsetArray
    index_usd: FloatArray
    basis: FloatArray
    funding_rate: FloatArray


def hours_until(as_of: datetime, n_hours: int) -> OffsetArray:
    """Return n_hours instants, one hour apart, the last one being as_of, in microseconds since 1970."""
    last = round(as_of.timestamp() * 1e6)
    return last - _HOUR_US * np.arange(n_hours - 1, -1, -1, dtype=np.int64)


def _autoregression(rng: np.random.Generator, n_hours: int, half_life: FloatArray, deviation: FloatArray) -> FloatArray:
    """Return a stationary AR(1) per column, [t, column], of the given half-life in hours and standard deviation."""
    keep = 0.5 ** (1.0 / half_life)
    noise = rng.standard_normal((n_hours + _BURN_IN_HOURS, len(half_life))) * deviation * np.sqrt(1.0 - keep * keep)
    return _filter(noise, keep)[_BURN_IN_HOURS:]


def _filter(innovations: FloatArray, keep: FloatArray) -> FloatArray:
    """Return x_t = keep x_{t-1} + innovation_t for each column, started at 0."""
    path = np.empty_like(innovations)
    level = np.zeros(innovations.shape[1])
    for hour, innovation in enumerate(innovations):
        level = keep * level + innovation
        path[hour] = level
    return path


def index_paths(
    rng: np.random.Generator,
    *,
    n_hours: int,
    last_price: FloatArray,
    annual_vol: FloatArray,
    correlation: FloatArray,
) -> FloatArray:
    """Return USD index prices [t, c] whose last row is `last_price` exactly.

    annual_vol [c] is a fraction; correlation [c] is each asset's with the common factor. Assets of less than 5% annual
    volatility (stable coins) revert to their price instead of walking.
    """
    calm = np.exp(_autoregression(rng, n_hours, np.array([36.0]), np.array([0.5])) - 0.25)
    unit = np.sqrt(2.0)  # standard deviation of a Student t with 4 degrees of freedom
    common = rng.standard_t(4, (n_hours, 1)) / unit
    own = rng.standard_t(4, (n_hours, len(last_price))) / unit
    hourly_vol = annual_vol / np.sqrt(HOURS_PER_YEAR)
    returns = np.clip(hourly_vol * calm * (correlation * common + np.sqrt(1.0 - correlation**2) * own), -0.25, 0.25)
    log_path = np.cumsum(returns, axis=0)
    is_stable = annual_vol < 0.05
    stable = _autoregression(rng, n_hours, np.full(len(last_price), 12.0), hourly_vol * 5.0)
    log_path = np.where(is_stable, stable, log_path)
    prices = last_price * np.exp(log_path - log_path[-1])
    prices[-1] = last_price
    return prices


def basis_paths(
    rng: np.random.Generator,
    *,
    returns: FloatArray,
    hours_to_expiry: FloatArray,
) -> FloatArray:
    """Return the basis [t, i] of instruments whose underlyings had `returns` [t, i].

    hours_to_expiry [t, i] is NaN for perpetuals and not negative for dated futures.
    """
    n_hours, n_instruments = returns.shape
    one = np.array([_SLOW_HALF_LIFE_HOURS])
    slow_deviation = rng.uniform(5.5, 7.7, n_instruments) * _BPS
    shared = _autoregression(rng, n_hours, one, np.array([1.0]))
    own = _autoregression(rng, n_hours, np.repeat(one, n_instruments), np.ones(n_instruments))
    slow = slow_deviation * (
        np.sqrt(_SHARED_PART_OF_SLOW_LEVEL) * shared + np.sqrt(1.0 - _SHARED_PART_OF_SLOW_LEVEL) * own
    )
    keep = 0.5 ** (1.0 / rng.uniform(0.8, 2.2, n_instruments))
    deviation = rng.uniform(2.0, 4.5, n_instruments) * _BPS
    innovations = rng.standard_normal(returns.shape) * deviation * np.sqrt(1.0 - keep * keep)
    jumps_per_hour = rng.uniform(9.0, 89.0, n_instruments) / HOURS_PER_YEAR
    size = np.minimum(12.0 * (1.0 + rng.pareto(2.0, returns.shape)), _JUMP_LIMIT_BPS) * _BPS
    direction = np.where(rng.random(returns.shape) < 0.8, -1.0, 1.0)
    innovations += np.where(rng.random(returns.shape) < jumps_per_hour, direction * size, 0.0)
    innovations += np.where(returns < _CRASH_RETURN, _CRASH_PULL * returns, 0.0)
    premium = rng.normal(0.0, 1.5, n_instruments) * _BPS
    carry = 0.08 + _autoregression(rng, n_hours, np.array([24.0 * 30]), np.array([0.015]))
    dated = np.where(np.isnan(hours_to_expiry), 0.0, carry * np.nan_to_num(hours_to_expiry) / HOURS_PER_YEAR)
    # A dated future's basis is pinned at expiry, so its slow and fast parts fade over its last week.
    fade = np.where(np.isnan(hours_to_expiry), 1.0, np.minimum(np.nan_to_num(hours_to_expiry) / 168.0, 1.0))
    return dated + fade * (premium + slow + _filter(innovations, keep))


def funding_rates(
    rng: np.random.Generator, ts_us: OffsetArray, basis: FloatArray, is_perpetual: FloatArray
) -> FloatArray:
    """Return the rates charged at 00, 08 and 16 UTC [t, i]: 1.2 bps and a part of the basis; NaN elsewhere."""
    is_charged = (ts_us % (8 * _HOUR_US) == 0)[:, None] & (is_perpetual > 0.0)
    rate = np.clip(1.2 * _BPS + 0.1 * basis + 0.2 * _BPS * rng.standard_normal(basis.shape), -75 * _BPS, 75 * _BPS)
    return np.where(is_charged, rate, np.nan)


def history_table(
    rng: np.random.Generator,
    series: Series,
    *,
    instrument_ids: list[str],
    index_in_quote: FloatArray,
    adv_usd: FloatArray,
    assets: list[str],
    spot_adv_usd: FloatArray,
) -> pa.Table:
    """Return the series as a history table ordered by time, instruments before spot series.

    index_in_quote [t, i] is the index in each instrument's quote asset; adv_usd [i] and spot_adv_usd [c] set the
    volumes, which rise with the move of the hour.
    """
    n_hours, n_instruments = index_in_quote.shape
    n_assets = len(assets)
    mark = index_in_quote * (1.0 + series.basis)
    usd = series.index_usd
    moves = np.abs(np.diff(np.log(np.hstack([index_in_quote, usd])), axis=0, prepend=np.nan))
    busy = np.exp(0.5 * rng.standard_normal(moves.shape) - 0.125) * (1.0 + 20.0 * np.nan_to_num(moves))
    volume = busy * np.concatenate([adv_usd, spot_adv_usd]) / 24.0
    none = np.full((n_hours, n_assets), np.nan)
    spot_volume = busy[:, :n_instruments] * adv_usd / 24.0 * 0.3
    return arrow_table(
        HISTORY,
        {
            "ts": np.repeat(series.ts_us, n_instruments + n_assets),
            "instrument_id": np.tile(np.array([*instrument_ids, *([None] * n_assets)], dtype=object), n_hours),
            "asset": np.tile(np.array([*([None] * n_instruments), *assets], dtype=object), n_hours),
            "mark_price": np.hstack([mark, none]).ravel(),
            "index_price": np.hstack([index_in_quote, usd]).ravel(),
            "funding_rate": np.hstack([series.funding_rate, none]).ravel(),
            "volume_usd": volume.ravel(),
            "index_volume_usd": np.hstack([spot_volume, volume[:, n_instruments:]]).ravel(),
        },
    )
