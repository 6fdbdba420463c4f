"""Marginal shortfalls: what one party loses when all together lose most, and what that means over a long crisis."""

import numpy as np

from riskpipe.measures.cells import FloatArray
from riskpipe.measures.distribution import tail_mean, tail_weights

CRISIS_FACTOR = 18.0  # from a day on which the market falls by 2% to six months in which it falls by 40%


def marginal_expected_shortfall(losses: FloatArray, system: FloatArray, probability: FloatArray, level: float) -> float:
    """Mean loss of a party over the worst 1 - level of the system's losses.

    Of parties whose losses add up to the system's, these add up to its expected shortfall.

    Source: Acharya, Pedersen, Philippon and Richardson, Measuring systemic risk, Review of Financial Studies 30 (2017).

    Parameters
    ----------
    losses, system: [n] USD, or shares of equity. probability: [n]. level: in (0, 1).

    Raises
    ------
    ValueError: scenarios without probability, or a level outside (0, 1).
    """
    return float((tail_weights(system, probability, level) * losses).sum())


def conditional_expected_shortfall(
    losses: FloatArray, distressed: FloatArray, probability: FloatArray, level: float
) -> float:
    """Expected shortfall of a party given that another is in distress: at least `marginal_expected_shortfall`.

    Distress is the worst 1 - level of the other's losses, as far as it loses anything; NaN where it never does.

    Source: Adrian and Brunnermeier, CoVaR, American Economic Review 106 (2016), with distress a tail and not a point.

    Parameters
    ----------
    losses, distressed: [n] USD. probability: [n]. level: in (0, 1), of both.

    Raises
    ------
    ValueError: scenarios without probability, or a level outside (0, 1).
    """
    weights = distress_weights(distressed, probability, level)
    return float("nan") if weights is None else tail_mean(losses, weights, level)


def distress_weights(losses: FloatArray, probability: FloatArray, level: float) -> FloatArray | None:
    """Probabilities [n] of the scenarios given that a party is in its worst 1 - level and loses something.

    None where it never loses anything.
    """
    weights = np.where(losses > 0.0, tail_weights(losses, probability, level), 0.0)
    total = float(weights.sum())
    return weights / total if total > 0.0 else None


def long_run_shortfall(marginal: float) -> float:
    """Expected fall of equity over a crisis of six months, a share, from a day's marginal expected shortfall, a share.

    1 - exp(-18 MES).

    Source: Acharya, Engle and Richardson, Capital shortfall, American Economic Review 102 (2012).
    """
    return float(1.0 - np.exp(-CRISIS_FACTOR * marginal))


def capital_shortfall(debt: float, equity: float, long_run: float, requirement: float) -> float:
    """Capital that is missing after a crisis: requirement x debt - (1 - requirement) x equity x (1 - long_run).

    In the units of debt and equity; negative = capital left. long_run and requirement are shares.

    Source: Brownlees and Engle, SRISK, Review of Financial Studies 30 (2017).
    """
    return requirement * debt - (1.0 - requirement) * equity * (1.0 - long_run)


def break_even_leverage(long_run: float, requirement: float) -> float:
    """Leverage, debt and equity over equity, at which `capital_shortfall` is 0: 1 + (1 - k) (1 - long_run) / k.

    long_run and requirement k > 0 are shares. Source: the same equation, solved.
    """
    return 1.0 + (1.0 - requirement) * (1.0 - long_run) / requirement
