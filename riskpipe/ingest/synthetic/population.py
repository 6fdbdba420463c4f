"""Who trades: equity, leverage, segment, weight and isolation of directional accounts, with the measured shape.

Account equity is lognormal (mu 7.2, sigma 2.6 in USD) with a Pareto tail over its top tenth; gross leverage is
lognormal and falls with size (rank correlation -0.35): figures of real accounts at a large on-chain perpetual venue.
Draws are stratified (one per quantile), so that small books have the same shape as large ones.
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from riskpipe.domain.book import BoolArray, FloatArray, IntArray

Profile = Literal["calm", "levered"]
PROFILES: tuple[Profile, ...] = ("calm", "levered")

SEGMENTS = ("retail", "pro", "market_maker", "basis")
RETAIL, PRO, MARKET_MAKER, BASIS = range(4)

_MU, _SIGMA = 7.2, 2.6
_TAIL_SHARE, _TAIL_EXPONENT = 0.10, 0.7
_LARGEST_EQUITY = 3e8
# Median and log standard deviation of gross leverage. Calm: measured on accounts that came out of a crash as winners
# (median 0.4, p90 2.7, p99 17). Levered: assumed for a whole population (median 1, p90 7, p99 40).
_LEVERAGE = {"calm": (0.4, 1.55), "levered": (1.0, 1.56)}
_LARGEST_LEVERAGE = 125.0
# A rank correlation r of two normals is a linear correlation of 2 sin(pi r / 6).
_SIZE_CORRELATION = 2.0 * np.sin(np.pi * -0.35 / 6.0)
_PRO_EQUITY = 50_000.0
_WEIGHTED_SHARE = 0.03
_LARGEST_WEIGHT = 40
_ISOLATED_SHARE = 0.15

_QUANTILE_GRID = np.linspace(-6.0, 6.0, 4801)
_QUANTILE_LEVELS = np.array([NormalDist().cdf(float(value)) for value in _QUANTILE_GRID])


@dataclass(frozen=True)
class Accounts:
    """Accounts as columns (n accounts): USD equity aimed at, gross notional aimed at, and who they are."""

    venue: IntArray  # [n] index into the market's venues
    equity: FloatArray  # [n] USD
    leverage: FloatArray  # [n] gross notional over equity
    segment: NDArray[np.int8]  # [n] index into SEGMENTS
    weight: NDArray[np.int64]  # [n]
    entity: IntArray  # [n] number of the beneficial owner, -1 = none given
    is_isolated: BoolArray  # [n] every position is its own pool
    is_exempt: BoolArray  # [n]

    def __len__(self) -> int:
        """Count accounts."""
        return len(self.equity)


def concatenate(parts: list[Accounts]) -> Accounts:
    """Return the accounts of every part, in order."""
    return Accounts(
        venue=np.concatenate([part.venue for part in parts]),
        equity=np.concatenate([part.equity for part in parts]),
        leverage=np.concatenate([part.leverage for part in parts]),
        segment=np.concatenate([part.segment for part in parts]),
        weight=np.concatenate([part.weight for part in parts]),
        entity=np.concatenate([part.entity for part in parts]),
        is_isolated=np.concatenate([part.is_isolated for part in parts]),
        is_exempt=np.concatenate([part.is_exempt for part in parts]),
    )


def _tail_cap(n_accounts: int) -> float:
    """Return the largest USD equity to expect among n accounts: the tail's quantile at 1/n, capped."""
    start = np.exp(_MU + _SIGMA * NormalDist().inv_cdf(1.0 - _TAIL_SHARE))
    return float(min(_LARGEST_EQUITY, start * max(2.0, _TAIL_SHARE * n_accounts) ** (1.0 / _TAIL_EXPONENT)))


def equity_quantile(level: FloatArray, n_accounts: int) -> FloatArray:
    """Return the USD equity below which a share `level` of n accounts lies: lognormal body, truncated Pareto tail."""
    start = np.exp(_MU + _SIGMA * NormalDist().inv_cdf(1.0 - _TAIL_SHARE))
    above = np.clip((1.0 - level) / _TAIL_SHARE, 0.0, 1.0)
    floor = (start / _tail_cap(n_accounts)) ** _TAIL_EXPONENT
    tail = start * (floor + above * (1.0 - floor)) ** (-1.0 / _TAIL_EXPONENT)
    body = np.exp(_MU + _SIGMA * np.interp(level, _QUANTILE_LEVELS, _QUANTILE_GRID))
    return np.where(level > 1.0 - _TAIL_SHARE, tail, body)


def expected_gross_notional(n_accounts: int, profile: Profile) -> float:
    """Return the USD gross notional to expect of n accounts before any limit: it sizes an invented market."""
    levels = (np.arange(4000) + 0.5) / 4000
    deviate = np.interp(levels, _QUANTILE_LEVELS, _QUANTILE_GRID)
    median, sigma = _LEVERAGE[profile]
    mean_leverage = median * np.exp(sigma * _SIZE_CORRELATION * deviate + 0.5 * sigma**2 * (1.0 - _SIZE_CORRELATION**2))
    return float(n_accounts * np.mean(equity_quantile(levels, n_accounts) * mean_leverage))


def directional_accounts(
    rng: np.random.Generator, n_accounts: int, *, venue_shares: FloatArray, profile: Profile
) -> Accounts:
    """Return accounts with a view: retail and professional, on each venue by its share."""
    level = (rng.permutation(n_accounts) + rng.random(n_accounts)) / n_accounts
    deviate = np.interp(level, _QUANTILE_LEVELS, _QUANTILE_GRID)
    median, sigma = _LEVERAGE[profile]
    noise = np.interp(
        (rng.permutation(n_accounts) + rng.random(n_accounts)) / n_accounts, _QUANTILE_LEVELS, _QUANTILE_GRID
    )
    leverage_deviate = _SIZE_CORRELATION * deviate + np.sqrt(1.0 - _SIZE_CORRELATION**2) * noise
    # Isolated accounts are the small and levered ones; the mean over a normal population is the share wanted.
    is_isolated = rng.random(n_accounts) < np.clip(
        _ISOLATED_SHARE - 0.07 * deviate + 0.07 * leverage_deviate, 0.01, 0.6
    )
    equity = equity_quantile(level, n_accounts)
    is_weighted = (level < 0.5) & (rng.random(n_accounts) < 2.0 * _WEIGHTED_SHARE)
    entity = np.full(n_accounts, -1, dtype=np.int32)
    # One account in a hundred shares its owner with its neighbour.
    n_pairs = n_accounts // 200
    first = rng.permutation(n_accounts // 2)[:n_pairs] * 2
    entity[first] = entity[first + 1] = np.arange(n_pairs)
    return Accounts(
        venue=np.searchsorted(np.cumsum(venue_shares)[:-1], rng.random(n_accounts), side="right").astype(np.int32),
        equity=equity,
        leverage=np.clip(median * np.exp(sigma * leverage_deviate), 0.01, _LARGEST_LEVERAGE),
        segment=np.where(equity >= _PRO_EQUITY, PRO, RETAIL).astype(np.int8),
        weight=np.where(is_weighted, rng.integers(2, _LARGEST_WEIGHT, n_accounts), 1),
        entity=entity,
        is_isolated=is_isolated,
        is_exempt=np.zeros(n_accounts, dtype=np.bool_),
    )
