"""Numbers of a loss distribution. They need probabilities: a grid has none, and a count of its cells is not one.

Losses are USD, positive where something is lost. The quantile is the lower generalised inverse of the distribution
function: value at risk at level a is the smallest loss x with P(loss <= x) >= a. Expected shortfall is the mean of the
worst 1 - a of the probability, of the scenarios that lie at the quantile as much as is missing (Acerbi and Tasche).

Intervals say what drawing the scenarios anew would change. They know nothing of the model that draws them.
"""

import numpy as np
from scipy.special import bdtr, ndtri

from riskpipe.measures.cells import FloatArray

CONFIDENCE = 0.95
MIN_TAIL = 10.0  # scenarios beyond the quantile, below which the interval of an expected shortfall is not told
_ROUNDING = 1e-12  # by which sums of probabilities may miss a level


def require_probabilities(probability: FloatArray) -> FloatArray:
    """Weights of scenarios that form a distribution, scaled to add up to 1.

    Parameters
    ----------
    probability: [n] >= 0, NaN where a scenario has none.

    Raises
    ------
    ValueError: a scenario has no probability, one is negative, or they add up to nothing.
    """
    n_without = int(np.isnan(probability).sum())
    if n_without or len(probability) == 0:
        raise ValueError(
            f"{n_without} of {len(probability)} scenarios have no probability: quantiles over an unweighted grid are "
            "refused, because they would depend on how finely each axis was cut; use a simulated set"
        )
    total = float(probability.sum())
    if probability.min() < 0.0 or not total > 0.0:
        raise ValueError(f"probabilities must be >= 0 and add up to more than 0, got {probability.min()} and {total}")
    return probability / total


def quantile(losses: FloatArray, probability: FloatArray, level: float) -> float:
    """Value at risk: the smallest loss x with P(loss <= x) >= level.

    Parameters
    ----------
    losses: [n] USD.
    probability: [n]; see `require_probabilities`.
    level: in (0, 1].

    Raises
    ------
    ValueError: scenarios without probability, or a level outside (0, 1].
    """
    weights = require_probabilities(probability)
    if not 0.0 < level <= 1.0:
        raise ValueError(f"level must be in (0, 1], got {level}")
    order = np.argsort(losses, kind="stable")
    reached = np.cumsum(weights[order])
    # sums of weights may miss the level, and 1, by rounding: the last loss always reaches
    place = min(int(np.searchsorted(reached, level - _ROUNDING, side="left")), len(losses) - 1)
    return float(losses[order][place])


def tail_weights(losses: FloatArray, probability: FloatArray, level: float) -> FloatArray:
    """Probabilities [n] of the scenarios given that a loss is among its worst 1 - level; they add up to 1.

    What lies at the quantile counts as much as the probability beyond it leaves, shared out by probability. The sum of
    weights times losses is the expected shortfall; times what is lost elsewhere, the mean of that in the tail.

    Source: Acerbi and Tasche, On the coherence of expected shortfall, Journal of Banking and Finance 26 (2002).

    Parameters
    ----------
    losses: [n] USD.
    probability: [n]; see `require_probabilities`.
    level: in (0, 1).

    Raises
    ------
    ValueError: scenarios without probability, or a level outside (0, 1).
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be in (0, 1), got {level}")
    weights = require_probabilities(probability)
    at = quantile(losses, probability, level)
    beyond, boundary = np.where(losses > at, weights, 0.0), np.where(losses == at, weights, 0.0)
    left = 1.0 - level - float(beyond.sum())
    left = left if left > _ROUNDING else 0.0
    tail = beyond + boundary * min(1.0, left / float(boundary.sum()))
    return np.asarray(tail / tail.sum(), np.float64)


def tail_mean(losses: FloatArray, probability: FloatArray, level: float) -> float:
    """Expected shortfall: the mean of the worst 1 - level of the distribution (see `tail_weights`)."""
    return float((tail_weights(losses, probability, level) * losses).sum())


def effective_number(probability: FloatArray) -> float:
    """Count the equally likely scenarios that would say as much: (sum w)^2 / sum w^2, n where all are equal.

    Source: Kish, Survey Sampling (1965).
    """
    weights = require_probabilities(probability)
    return float(1.0 / (weights**2).sum())


def quantile_interval(
    losses: FloatArray, probability: FloatArray, level: float, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Interval of a value at risk between two order statistics, by the binomial distribution of how many lie below.

    Of n scenarios of equal probability, drawn independently, those at or below the true quantile are binomial with n
    and the level, whatever the distribution, atoms included: the interval covers it at least as often as `confidence`
    says. With unequal probabilities n is the effective number, rounded down, and that holds approximately.
    An end is infinite where no scenario is far enough out to be it.

    Source: David and Nagaraja, Order Statistics (3rd edition, 2003), section 7.1.

    Parameters
    ----------
    losses: [n] USD. probability: [n]; see `require_probabilities`. level, confidence: in (0, 1).
    """
    n = int(effective_number(probability) + _ROUNDING * len(probability))
    below = bdtr(np.arange(n + 1, dtype=np.float64), n, level)  # P(at most k of n are below)
    outside = 0.5 * (1.0 - confidence)
    low = int(np.searchsorted(below, outside, side="right"))  # rank of the lower end: P(fewer than it) <= outside
    high = int(np.searchsorted(below, 1.0 - outside, side="left")) + 1  # P(at least it) <= outside
    return (
        quantile(losses, probability, low / n) if low >= 1 else -np.inf,
        quantile(losses, probability, high / n) if high <= n else np.inf,
    )


def tail_mean_interval(
    losses: FloatArray, probability: FloatArray, level: float, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Interval of an expected shortfall by its influence function, asymptotically normal.

    A scenario's influence is q + max(loss - q, 0) / (1 - level) - ES; the variance of the estimate is the sum of
    squared probability times influence. (NaN, NaN) where fewer than ten effective scenarios lie beyond the quantile, or
    all that do lose the same: nothing then tells how others would differ. Where tails are heavy and scenarios few it is
    too narrow.

    Source: Manistre and Hancock, Variance of the CTE estimator, North American Actuarial Journal 9 (2005).

    Parameters
    ----------
    losses: [n] USD. probability: [n]; see `require_probabilities`. level, confidence: in (0, 1).
    """
    weights, n = require_probabilities(probability), effective_number(probability)
    if n * (1.0 - level) < MIN_TAIL * (1.0 - _ROUNDING):
        return np.nan, np.nan
    at, mean = quantile(losses, probability, level), tail_mean(losses, probability, level)
    influence = at + np.maximum(losses - at, 0.0) / (1.0 - level) - mean
    deviation = float(np.sqrt(((weights * influence) ** 2).sum() * n / (n - 1.0)))
    if not (losses > at).any():
        return np.nan, np.nan
    reach = float(ndtri(0.5 * (1.0 + confidence))) * deviation
    return mean - reach, mean + reach
