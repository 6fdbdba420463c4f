"""What many bases have in common and what is each one's own: one slow factor, and fast parts.

Each basis is split by a two-sided exponential average into a slow level and a fast rest. The slow levels, each centred
and in units of its own deviation, have one factor: their first principal component, found by alternating least squares,

    factor_t = sum_i loading_i x_ti / sum_i loading_i^2,   loading_i = sum_t factor_t x_ti / sum_t factor_t^2,

over the values there are, which is the principal component exactly where none is missing, and needs no filling-in where
instruments are listed later or have gaps. A plain mean over instruments would give a basis that goes its own way as
much say as one that follows all others.
"""

from dataclasses import dataclass

import numpy as np

from riskpipe.calibrate.estimators.reversion import fit_reversion
from riskpipe.calibrate.spreads.robust import cut, middle_and_scale
from riskpipe.domain.book import BoolArray, FloatArray

SLOW_HALF_LIFE_HOURS = 12.0  # of the average that tells slow from fast, which must be gone well within it
MINIMUM_HOURS = 500
MINIMUM_INSTRUMENTS = 3
_N_ROUNDS = 500
_SETTLED = 1e-12


@dataclass(frozen=True)
class CommonFactor:
    """One slow factor of bases (t hours, i instruments); NaN = not measured."""

    factor: FloatArray  # [t] mean 0, variance 1; + : most bases are high
    loading: FloatArray  # [i] change of the basis per unit of the factor, fraction
    mean: FloatArray  # [i] mean basis
    explained: FloatArray  # [i] share of the slow level's variance that the factor explains
    slow_deviation: FloatArray  # [i] deviation of the slow level
    fast: FloatArray  # [t, i] basis less its slow level
    fast_deviation: FloatArray  # [i]
    fast_half_life: FloatArray  # [i] hours
    fast_correlation: float  # mean correlation of fast parts' hourly changes between instruments
    is_used: BoolArray  # [i] long enough, and it moves

    @property
    def explained_share(self) -> float:
        """Share of all standardised slow variance that the factor explains, mean over the instruments used."""
        return float(np.mean(self.explained[self.is_used])) if self.is_used.any() else np.nan


def slow_levels(basis: FloatArray, half_life: float = SLOW_HALF_LIFE_HOURS) -> FloatArray:
    """Two-sided exponential average around each hour [t, i], NaN where the hour has no basis; time passes in gaps.

    Both sides keep the level from lagging behind; at the end there is only one. A basis counts up to 8 robust
    deviations from its median: an hour of dislocation is no level.
    """
    limited = cut(basis)
    is_known = ~np.isnan(limited)
    decay = 0.5 ** (1.0 / half_life)
    sums = np.stack([np.where(is_known, limited, 0.0), is_known.astype(np.float64)])
    around = _decayed(sums, decay) + _decayed(sums[:, ::-1], decay)[:, ::-1] - sums
    return np.where(is_known, around[0] / np.where(is_known, around[1], 1.0), np.nan)


def _decayed(values: FloatArray, decay: float) -> FloatArray:
    """Sum of values [., t, i] up to each hour, those k hours before weighted by decay^k."""
    sums, decayed = np.zeros_like(values[:, 0]), np.empty_like(values)
    for t in range(values.shape[1]):
        sums = values[:, t] + decay * sums
        decayed[:, t] = sums
    return decayed


def common_factor(basis: FloatArray) -> CommonFactor:
    """Return the common slow factor of bases [t, i] by hour, fraction, NaN = gap.

    Bases of fewer than 500 hours, or whose slow level never moves, take no part; fewer than three parts have no factor.
    """
    slow = slow_levels(basis)
    fast = basis - slow
    n_known = (~np.isnan(slow)).sum(axis=0)
    filled = np.where(np.isnan(slow), 0.0, slow)
    mean = np.where(n_known > 0, filled.sum(axis=0) / np.maximum(n_known, 1), np.nan)
    centred = slow - mean
    deviation = np.sqrt(np.where(np.isnan(centred), 0.0, centred**2).sum(axis=0) / np.maximum(n_known, 1))
    is_long = n_known >= MINIMUM_HOURS
    is_used = is_long & (deviation > 1e-12)
    n_hours, n_instruments = basis.shape
    factor, loading = np.full(n_hours, np.nan), np.full(n_instruments, np.nan)
    explained = np.full(n_instruments, np.nan)
    if is_used.sum() >= MINIMUM_INSTRUMENTS:
        standardised = centred[:, is_used] / deviation[is_used]
        factor, weights = principal_component(standardised)
        loading[is_used] = weights * deviation[is_used]
        is_known = ~np.isnan(standardised)
        left = np.where(is_known, standardised - np.where(np.isnan(factor), 0.0, factor)[:, None] * weights, 0.0)
        total = np.where(is_known, standardised, 0.0)
        explained[is_used] = 1.0 - (left**2).sum(axis=0) / (total**2).sum(axis=0)
    limited = cut(fast)
    fits = [fit_reversion(limited[:, i]).half_life if is_long[i] else np.nan for i in range(n_instruments)]
    fast_squares = np.where(np.isnan(fast), 0.0, fast**2).sum(axis=0) / np.maximum(n_known, 1)
    return CommonFactor(
        factor=factor,
        loading=loading,
        mean=np.asarray(mean),
        explained=explained,
        slow_deviation=np.where(n_known > 0, deviation, np.nan),
        fast=fast,
        fast_deviation=np.where(n_known > 0, np.sqrt(fast_squares), np.nan),
        fast_half_life=np.array(fits),
        fast_correlation=mean_correlation((fast[1:] - fast[:-1])[:, is_long]),
        is_used=is_used,
    )


def principal_component(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return (factor [t], loadings [i]) of the first principal component of centred values [t, i], NaN = missing.

    The factor has mean square 1 over the hours with any value (NaN elsewhere). The rounds start from equal
    loadings, which makes their sum positive: a high factor is high bases.
    """
    is_known = ~np.isnan(values)
    filled = np.where(is_known, values, 0.0)
    loading = np.ones(values.shape[1])
    has_any = is_known.any(axis=1)
    factor = np.zeros(len(values))
    for _ in range(_N_ROUNDS):
        weight = (is_known * loading**2).sum(axis=1)
        factor = (filled * loading).sum(axis=1) / np.where(weight > 0.0, weight, 1.0)
        size = np.sqrt((factor**2).sum() / max(1, int(has_any.sum())))
        if size == 0.0:
            break
        factor /= size
        squares = (is_known * (factor**2)[:, None]).sum(axis=0)
        updated = (filled * factor[:, None]).sum(axis=0) / np.where(squares > 0.0, squares, 1.0)
        is_settled = float(np.abs(updated - loading).max()) < _SETTLED
        loading = updated
        if is_settled:
            break
    return np.where(has_any, factor, np.nan), loading


def mean_correlation(values: FloatArray) -> float:
    """Mean correlation between different columns of values [t, i], NaN left out in pairs; NaN with no such pair.

    Values are cut at 8 robust deviations from their medians, so that no single hour decides.
    """
    n = values.shape[1]
    if n < 2:
        return np.nan
    is_known = ~np.isnan(values)
    limited = cut(values)
    middle, _ = middle_and_scale(values)
    limited = np.where(is_known, limited - middle, 0.0)
    known = is_known.astype(np.float64)
    product = np.einsum("ti,tj->ij", limited, limited)
    squares = np.einsum("ti,tj->ij", limited**2, known)  # of column i over hours that j has too
    scale = np.sqrt(squares * squares.T)
    off = ~np.eye(n, dtype=np.bool_) & (scale > 0.0)
    return float((product[off] / scale[off]).mean()) if off.any() else np.nan
