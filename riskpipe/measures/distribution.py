"""Numbers of a loss distribution. They need probabilities: a grid has none, and a count of its cells is not one."""

import numpy as np

from riskpipe.measures.cells import FloatArray


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
    """Smallest loss x with P(loss <= x) >= level: the lower generalised inverse of the distribution function.

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
    # the sum of the weights may miss 1 by rounding, so the last loss always reaches
    place = min(int(np.searchsorted(reached, level * (1.0 - 1e-15), side="left")), len(losses) - 1)
    return float(losses[order][place])


def tail_mean(losses: FloatArray, probability: FloatArray, level: float) -> float:
    """Mean of the worst 1 - level of the distribution (its expected shortfall), an atom at the quantile in part.

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
    at = quantile(losses, probability, level)
    weights = require_probabilities(probability)
    excess = float((weights * np.maximum(losses - at, 0.0)).sum())
    return at + excess / (1.0 - level)
