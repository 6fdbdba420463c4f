"""Forecasts made as time went on: each from the hours before it, with parameters fitted before a cut."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from riskpipe.calibrate.backtest.loops import rolling_lowest_mean
from riskpipe.calibrate.estimators.protocol import FittedVolatility, VolatilityEstimator, standardised
from riskpipe.domain.book import FloatArray

QUANTILE_WINDOW = 1_000


@dataclass(frozen=True)
class Forecasts:
    """One-step forecasts [t] along changes [t]; NaN where the model had seen too little."""

    name: str
    second_moment: FloatArray  # of the change
    mean: FloatArray
    variance: FloatArray  # of the innovation


def forecasts_after(
    estimator: VolatilityEstimator, changes: FloatArray, first: int, refit_every: int | None = None
) -> Forecasts:
    """Forecasts of changes [t] from hour `first` on (before it NaN), by an estimator fitted on the hours before.

    refit_every: hours after which parameters are fitted again on all hours so far; None keeps the first fit. The filter
    runs through all hours in either case, so that a forecast knows everything before it.
    """
    if not 0 < first <= len(changes):
        raise ValueError(f"first must lie in [1, {len(changes)}], got {first}")
    out = [np.full(len(changes), np.nan) for _ in range(3)]
    step = refit_every or max(1, len(changes) - first)
    for start in range(first, len(changes), step):
        fitted = estimator.fit(changes[:start])
        path = fitted.filter(changes[: start + step])
        for target, values in zip(out, (path.second_moment(), path.mean, path.variance), strict=True):
            target[start : start + step] = values[start:]
    return Forecasts(estimator.name, *out)


def filtered_quantile(z: FloatArray, probability: float, window: int = QUANTILE_WINDOW) -> FloatArray:
    """Quantile [t] of the last `window` standardised innovations before each hour, NaN before so many were seen.

    z [t]: NaN and infinities are left out. The quantile is the order statistic of rank probability x (window + 1),
    between two of them linearly, which the next of equally distributed innovations undercuts with exactly this
    probability; the usual rank would be undercut too often, by a tenth of 1% at a window of 1,000. With the forecast
    mean and deviation it gives the value at risk by filtered historical simulation (Barone-Adesi, Giannopoulos and
    Vosper, Journal of Futures Markets 19, 1999). Raises ValueError where the window is too short for the probability.
    """
    position = (probability * (window + 1) - 1.0) / (window - 1)
    if not 0.0 <= position <= 1.0:
        raise ValueError(f"a window of {window} holds no quantile of probability {probability}")
    known = np.isfinite(z)
    rolled = pd.Series(z[known]).rolling(window).quantile(position).to_numpy(np.float64)
    after = np.concatenate(([np.nan], rolled))
    return after[np.cumsum(known) - known]


def value_at_risk(
    fitted: FittedVolatility, changes: FloatArray, probability: float, window: int = QUANTILE_WINDOW
) -> FloatArray:
    """Quantile [t] of each hour's change, forecast from the hours before: the mean + deviation x filtered quantile.

    probability: 0.05 gives the lower 5% (a fall of the basis), 0.95 the upper. Signed, fraction.
    """
    path = fitted.filter(changes)
    z = standardised(changes, path)
    return path.mean + np.sqrt(path.variance) * filtered_quantile(z, probability, window)


def filtered_shortfall(z: FloatArray, tail: float, window: int = QUANTILE_WINDOW) -> FloatArray:
    """Mean [t] of the lowest share `tail` of the last `window` standardised innovations before each hour.

    z [t]: NaN and infinities are left out; NaN before so many were seen. The innovation on the boundary counts in part
    (Acerbi and Tasche 2002). Negative; for the upper tail give -z. With the forecast mean and deviation it is the
    expected shortfall by filtered historical simulation: mean + deviation x this.
    """
    count = tail * window
    if not 1.0 <= count <= window:
        raise ValueError(
            f"a window of {window} holds no {tail:g} tail: it needs 1 to {window} innovations, not {count}"
        )
    known = np.isfinite(z)
    kept = np.ascontiguousarray(z[known], dtype=np.float64)
    after = np.full(len(kept) + 1, np.nan)
    rolling_lowest_mean(kept, window, count, np.empty(window), after[1:])
    return after[np.cumsum(known) - known]
