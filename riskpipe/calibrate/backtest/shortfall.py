"""Acerbi and Szekely's tests of expected shortfall (Back-testing expected shortfall, Risk, December 2014).

Outcomes X are profits (+) and losses (-); `value_at_risk` and `expected_shortfall` are forecasts as positive losses,
all [t]. A statistic of 0 is what a right forecast gives on average; below 0 the risk was understated.
"""

from collections.abc import Callable

import numpy as np
from scipy.special import ndtri

from riskpipe.domain.book import FloatArray


def conditional_shortfall_test(
    outcomes: FloatArray, value_at_risk: FloatArray, expected_shortfall: FloatArray
) -> float:
    """Test 1, given that VaR is right: mean over hits of X / ES, + 1; NaN where there was no hit."""
    is_hit = outcomes + value_at_risk < 0.0
    if not is_hit.any():
        return np.nan
    return float(np.mean((outcomes / expected_shortfall)[is_hit])) + 1.0


def unconditional_shortfall_test(
    outcomes: FloatArray, value_at_risk: FloatArray, expected_shortfall: FloatArray, tail: float
) -> float:
    """Test 2, of frequency and size together: sum over hits of X / (T tail ES), + 1.

    tail: probability of a hit, 0.025 for ES at 97.5%. Without any hit it is 1. Hours with NaN are left out.
    """
    known = np.isfinite(outcomes) & np.isfinite(value_at_risk) & np.isfinite(expected_shortfall)
    is_hit = known & (outcomes + value_at_risk < 0.0)
    total = float(np.sum((outcomes / expected_shortfall)[is_hit]))
    return total / (int(known.sum()) * tail) + 1.0


def ranked_shortfall_test(
    ranks: FloatArray, shortfall_of_uniforms: Callable[[FloatArray], FloatArray], expected: float
) -> float:
    """Test 3, of the whole tail of a forecast distribution: 1 - mean of (estimated ES) / (its expected value).

    ranks: [t] forecast probabilities of a smaller outcome, uniform when the forecast is right;
    shortfall_of_uniforms: ES [t] that each hour's forecast distribution gives to the sample of these ranks;
    expected: its mean under uniform ranks.
    """
    return 1.0 - float(np.mean(shortfall_of_uniforms(ranks))) / expected


def normal_forecasts(tail: float) -> tuple[float, float]:
    """(VaR, ES) of a standard normal profit at this tail probability, as positive losses."""
    quantile = float(ndtri(tail))
    return -quantile, float(np.exp(-0.5 * quantile * quantile) / np.sqrt(2.0 * np.pi)) / tail


def student_forecasts(tail: float, nu: float) -> tuple[float, float]:
    """(VaR, ES) of a Student t profit with nu > 1 degrees of freedom, not rescaled to unit variance."""
    from scipy.stats import t as student  # here, for no night needs it, and it is half a second of every start

    quantile = float(student.ppf(tail, nu))
    return -quantile, float(student.pdf(quantile, nu)) / tail * (nu + quantile * quantile) / (nu - 1.0)


def critical_value(
    statistic: Callable[[FloatArray], float],
    draw: Callable[[np.random.Generator, int], FloatArray],
    *,
    n_observations: int,
    significance: float,
    n_trials: int = 10_000,
) -> float:
    """Value of a statistic below which a right forecast falls with probability `significance`, by simulation.

    statistic: of outcomes [n]; draw: n outcomes of the forecast distribution. The same draws each time.
    """
    random = np.random.default_rng(1)
    values = [statistic(draw(random, n_observations)) for _ in range(n_trials)]
    return float(np.nanquantile(values, significance))
