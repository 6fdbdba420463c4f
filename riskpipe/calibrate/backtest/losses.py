"""Losses that rank volatility forecasts."""

import numpy as np

from riskpipe.domain.book import FloatArray

VARIANCE_FLOOR = 1e-12  # (0.01 basis points)^2, as fractions: no forecast counts as surer than that


def qlike_losses(changes: FloatArray, variance: FloatArray) -> FloatArray:
    """Losses ln h + change^2 / h by hour [t] (Patton, Journal of Econometrics 160, 2011); NaN in, NaN out.

    changes, variance [t]: fractions and squares of them, the variance forecast before the change; h is raised to the
    floor. Smaller is better; only differences between forecasts of the same hours mean anything.
    """
    h = np.maximum(variance, VARIANCE_FLOOR)
    return np.log(h) + changes * changes / h


def qlike(changes: FloatArray, variance: FloatArray) -> float:
    """Mean of `qlike_losses` over hours that have both; NaN without an hour."""
    loss = qlike_losses(changes, variance)
    known = loss[~np.isnan(loss)]
    return float(known.mean()) if len(known) else np.nan


def loss_difference(first: FloatArray, second: FloatArray, n_lags: int = 24) -> tuple[float, float]:
    """Mean of first - second (per-hour losses [t]) and its t-statistic (Diebold and Mariano 1995).

    The long-run variance is Newey and West's with n_lags. Below -1.64 the first forecast is better at 5%. NaN hours are
    left out; no difference at all gives (0, 0).
    """
    difference = first - second
    known = difference[np.isfinite(difference)]
    n = len(known)
    if n < 2:
        return np.nan, np.nan
    mean = float(known.mean())
    centred = known - mean
    total = float(centred @ centred)
    for lag in range(1, min(n_lags, n - 1) + 1):
        total += 2.0 * (1.0 - lag / (n_lags + 1.0)) * float(centred[lag:] @ centred[:-lag])
    return mean, mean / float(np.sqrt(total) / n) if total > 0.0 else 0.0
