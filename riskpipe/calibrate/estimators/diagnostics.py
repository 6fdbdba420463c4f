"""What is left in a series that a model should have taken out: clustering, correlation, jumps."""

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc

from riskpipe.domain.book import FloatArray

JUMP = 5.0  # standard deviations beyond which an innovation is a jump
_BIPOWER = np.pi / 2.0  # 1 / E|z|^2 of the standard normal


@dataclass(frozen=True)
class TestResult:
    """A statistic, the probability of a larger one under the null hypothesis, and on how many observations."""

    __test__ = False  # it is a result, not a test for pytest to collect

    statistic: float
    p_value: float
    n_observations: int


def arch_lm(innovations: FloatArray, n_lags: int = 24) -> TestResult:
    """Engle's Lagrange-multiplier test that squares do not predict squares: n R^2 ~ chi2(n_lags) (Engle 1982).

    innovations [t]; NaN is left out, so a gap joins its sides. A series too short or without variance gives statistic
    0 and p 1: there is nothing to find.
    """
    known = innovations[np.isfinite(innovations)]
    n = len(known) - n_lags
    squares = known * known
    if n < n_lags + 2 or np.ptp(squares) == 0.0:
        return TestResult(0.0, 1.0, len(known))
    squares = squares / squares.mean()  # any unit; the normal equations then stay well conditioned
    columns = [np.ones(n), *(squares[n_lags - lag : len(squares) - lag] for lag in range(1, n_lags + 1))]
    regressors, target = np.stack(columns), squares[n_lags:]
    products = np.array([(regressors * row).sum(axis=1) for row in regressors])  # sums start no threads, products do
    coefficients = np.linalg.lstsq(products, (regressors * target).sum(axis=1))[0]
    residual = target - (coefficients[:, None] * regressors).sum(axis=0)
    centred = target - target.mean()
    total = float(centred @ centred)
    statistic = n * max(0.0, 1.0 - float(residual @ residual) / total) if total > 0.0 else 0.0
    return TestResult(statistic, float(chdtrc(n_lags, statistic)), len(known))


def ljung_box(series: FloatArray, n_lags: int = 24, *, n_fitted: int = 0) -> TestResult:
    """Ljung-Box test of no autocorrelation up to n_lags: n (n+2) sum rho_k^2 / (n-k) ~ chi2(n_lags - n_fitted).

    series [t]; NaN is left out. Too short or constant: statistic 0 and p 1. Source: Ljung and Box, Biometrika 65, 1978.
    """
    known = series[np.isfinite(series)]
    n = len(known)
    if n < 2 * n_lags + 2 or np.ptp(known) == 0.0:
        return TestResult(0.0, 1.0, n)
    centred = known - known.mean()
    total = float(centred @ centred)
    lags = np.arange(1, n_lags + 1)
    rho = np.array([float(centred[lag:] @ centred[:-lag]) for lag in lags]) / total
    statistic = float(n * (n + 2) * np.sum(rho * rho / (n - lags)))
    return TestResult(statistic, float(chdtrc(n_lags - n_fitted, statistic)), n)


def jump_share(changes: FloatArray) -> float:
    """Share of realised variance that comes in jumps: max(0, 1 - bipower variation / realised variance).

    Bipower variation (pi/2) sum |x_t| |x_{t-1}|, scaled to the pairs there are, does not see single jumps
    (Barndorff-Nielsen and Shephard, Journal of Financial Econometrics 2, 2004). changes [t], NaN = gap, whose pairs
    are not used. 0 for a series that never moves; NaN without a pair. Changes that bounce (bid to ask) raise it.
    """
    size = np.abs(changes)
    known = size[np.isfinite(size)]
    products = size[1:] * size[:-1]
    products = products[np.isfinite(products)]
    if len(products) == 0:
        return np.nan
    realised = float(np.mean(known * known))
    return max(0.0, 1.0 - _BIPOWER * float(np.mean(products)) / realised) if realised > 0.0 else 0.0


def n_jumps(z: FloatArray) -> int:
    """How many standardised innovations [t] are jumps by their size; NaN counts as none."""
    return int((np.abs(z) > JUMP).sum())
