"""How basis changes go with index returns, when the index is calm, when it is volatile, and when it crashes.

The state of an hour is known before it: the index's exponential volatility forecast, stressed in the highest tenth of
hours. Correlations rise with the variance of returns even where nothing about the relation changes, so each regime also
has its slope (change of the basis per unit of return) and the correlation it would have at calm variance.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from riskpipe.calibrate.estimators.plain import Ewma
from riskpipe.domain.book import BoolArray, FloatArray

STRESSED_SHARE = 0.10
CRASH_RETURN = -0.03
MINIMUM_HOURS = 30


@dataclass(frozen=True)
class Association:
    """How basis changes and index returns of some hours go together; NaN with fewer than 30 of them."""

    n_hours: int
    correlation: float
    correlation_error: float  # standard error that lets variances differ between hours
    rank_correlation: float  # Spearman's, on which one hour weighs no more than another
    slope: float  # basis change per unit of return
    slope_error: float  # the same kind
    at_calm_variance: float  # correlation that the slope and noise would show at the variance of calm returns


@dataclass(frozen=True)
class Regimes:
    """Associations by state of the index: calm, stressed, and hours in which it fell by more than 3%."""

    calm: Association
    stressed: Association
    crash: Association


def stressed_hours(index_returns: FloatArray) -> BoolArray:
    """Return in which hours [t] the index's volatility forecast, made before the hour, is in the highest tenth.

    index_returns: [t] relative, NaN = gap. Hours without a forecast are not stressed; a constant index has none.
    """
    variance = Ewma().fit(index_returns).filter(index_returns).variance
    known = variance[np.isfinite(variance)]
    if len(known) == 0:
        return np.zeros(len(index_returns), dtype=np.bool_)
    limit = np.quantile(known, 1.0 - STRESSED_SHARE)
    return np.asarray(np.nan_to_num(variance) > limit)


def correlation_by_regime(
    basis_changes: FloatArray, index_returns: FloatArray, *, is_stressed: BoolArray | None = None
) -> Regimes:
    """Correlation of basis changes [t] with index returns [t] of the same hours, by regime; NaN is left out in pairs.

    is_stressed: [t]; left out it is what `stressed_hours` says of the returns. Crash hours are also calm or stressed.
    """
    is_stressed = stressed_hours(index_returns) if is_stressed is None else is_stressed
    is_pair = np.isfinite(basis_changes) & np.isfinite(index_returns)
    calm_returns = index_returns[is_pair & ~is_stressed]
    calm_variance = float(np.var(calm_returns)) if len(calm_returns) else np.nan

    def within(hours: BoolArray) -> Association:
        return association(basis_changes[hours & is_pair], index_returns[hours & is_pair], calm_variance)

    return Regimes(within(~is_stressed), within(is_stressed), within(index_returns < CRASH_RETURN))


def association(changes: FloatArray, returns: FloatArray, calm_variance: float = np.nan) -> Association:
    """Association of paired changes and returns [n], finite; 0 where either never moves.

    Errors are White's for the slope of standardised on standardised values. `at_calm_variance` is
    rho / sqrt(1 + d (1 - rho^2)), d = variance of the returns / calm_variance - 1 (Forbes and Rigobon, Journal of
    Finance 57, 2002).
    """
    n = len(changes)
    if n < MINIMUM_HOURS:
        return Association(n, *(np.nan,) * 6)
    x, y = returns - returns.mean(), changes - changes.mean()
    x_squares, y_squares = float((x * x).sum()), float((y * y).sum())
    if x_squares == 0.0 or y_squares == 0.0:
        return Association(n, *(0.0,) * 6)
    slope = float((x * y).sum()) / x_squares
    residual = y - slope * x
    slope_error = float(np.sqrt((x * x * residual * residual).sum())) / x_squares
    to_correlation = float(np.sqrt(x_squares / y_squares))
    correlation = float(np.clip(slope * to_correlation, -1.0, 1.0))
    ranks = [pd.Series(values).rank().to_numpy() - 0.5 * (n + 1) for values in (x, y)]
    rank_correlation = float((ranks[0] * ranks[1]).sum() / np.sqrt((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum()))
    growth = x_squares / n / calm_variance - 1.0 if calm_variance > 0.0 else np.nan
    return Association(
        n_hours=n,
        correlation=correlation,
        correlation_error=slope_error * to_correlation,
        rank_correlation=rank_correlation,
        slope=slope,
        slope_error=slope_error,
        at_calm_variance=correlation / float(np.sqrt(1.0 + growth * (1.0 - correlation**2))),
    )
