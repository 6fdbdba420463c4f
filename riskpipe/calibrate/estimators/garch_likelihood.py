"""Maximum likelihood of a zero-mean GARCH(1,1) whose bits do not depend on the machine's linear algebra.

arch's fit goes through BLAS, whose sums depend on how many threads it may start: the same series has other last digits
in a worker than in the process that started it. Here the likelihood and its slopes are one compiled loop, and the
search (`search.least`) adds up four numbers at a time.
"""

import math

import numpy as np
from scipy.special import digamma

from riskpipe.calibrate.estimators.loops import garch_loss
from riskpipe.calibrate.estimators.search import least
from riskpipe.domain.book import FloatArray

_STARTS = [(p, share) for p in (0.8, 0.95, 0.985) for share in (0.05, 0.15, 0.4)]
_LARGEST_NU = 500.0  # beyond it Student t is a normal
_SMALLEST_ALPHA = 1e-6  # below it is 0, which the logistic scale does not reach
_LARGEST_SLOPE = 1e-3  # of a log likelihood
_N_ROUNDS = 60  # at a boundary there is no slope of 0 to be found


def most_likely_garch(returns: FloatArray, *, is_normal: bool, backcast: float) -> tuple[FloatArray, float, bool]:
    """Return (omega, alpha, beta, nu) of returns [t] of about unit size without gaps, the log likelihood, convergence.

    backcast: presample variance, as arch has it: the first variance is omega + (alpha + beta) backcast. nu is infinite
    for the normal. Searched are the logarithm of the long-run variance, persistence and the share of alpha in it on the
    logistic scale, and the logarithm of nu - 2, from the best of some starts.
    """
    returns = np.ascontiguousarray(returns, dtype=np.float64)
    level = math.log(max(float(np.mean(returns * returns)), 1e-12))

    slopes = np.empty(4)

    def loss(at: FloatArray) -> tuple[float, FloatArray]:
        omega, alpha, beta, nu = _parameters(at, is_normal=is_normal)
        value = garch_loss(returns, omega, alpha, beta, nu, backcast, slopes)
        by_nu = float(slopes[3])
        if is_normal:
            value += 0.5 * len(returns) * math.log(2.0 * math.pi)
        else:
            ratio = math.lgamma(0.5 * nu) - math.lgamma(0.5 * (nu + 1.0)) + 0.5 * math.log(math.pi * (nu - 2.0))
            value += len(returns) * ratio
            by_nu += 0.5 * len(returns) * float(digamma(0.5 * nu) - digamma(0.5 * (nu + 1.0)) + 1.0 / (nu - 2.0))
        by_place = _slopes(at, slopes, by_nu)
        return (value, by_place) if math.isfinite(value) and np.isfinite(by_place).all() else (1e300, np.zeros(len(at)))

    tail = [] if is_normal else [math.log(4.0)]
    starts = [np.array([level, _logit(p), _logit(share), *tail]) for p, share in _STARTS]
    at = min(starts, key=lambda start: loss(start)[0])
    found, value, is_settled = least(loss, at, largest_slope=_LARGEST_SLOPE, n_rounds=_N_ROUNDS)
    return np.array(_parameters(found, is_normal=is_normal)), -value, is_settled


def _slopes(at: FloatArray, slopes: FloatArray, by_nu: float) -> FloatArray:
    """Slopes by the place searched, from those by omega, alpha and beta [4] and nu."""
    by_omega, by_alpha, by_beta, _ = slopes.tolist()
    persistence, share = _logistic(float(at[1])), _logistic(float(at[2]))
    by_share = share * (1.0 - share)
    if persistence * share < _SMALLEST_ALPHA:
        share, by_share = 0.0, 0.0
    long_run = math.exp(min(float(at[0]), 50.0))
    bend = persistence * (1.0 - persistence)
    found = [
        by_omega * long_run * (1.0 - persistence),
        bend * (share * by_alpha + (1.0 - share) * by_beta - long_run * by_omega),
        persistence * by_share * (by_alpha - by_beta),
    ]
    if len(at) > len(found):
        above = math.exp(min(float(at[3]), 50.0))
        found.append(by_nu * above if above < _LARGEST_NU else 0.0)
    return np.array(found)


def _parameters(at: FloatArray, *, is_normal: bool) -> tuple[float, float, float, float]:
    persistence, share = _logistic(float(at[1])), _logistic(float(at[2]))
    share = 0.0 if persistence * share < _SMALLEST_ALPHA else share
    omega = math.exp(min(float(at[0]), 50.0)) * (1.0 - persistence)
    nu = math.inf if is_normal else 2.0 + min(math.exp(min(float(at[3]), 50.0)), _LARGEST_NU)
    return omega, persistence * share, persistence * (1.0 - share), nu


def _logit(share: float) -> float:
    return math.log(share / (1.0 - share))


def _logistic(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(-40.0, min(40.0, x))))
