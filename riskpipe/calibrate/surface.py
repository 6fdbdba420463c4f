"""The conditional surface: what a scenario's basis move and index move make of basis volatility over each horizon.

Every fitted model here has a variance over a horizon that is a straight line in the squared innovation of the last
hour, so that its news impact and term structure together are two numbers by horizon:

    news        = min(|move - mean|, largest)            mean: the change expected; largest: the innovation at the cap
    variance_h  = intercept_h + slope_h news^2

After an index move r the first hour's variance is calm + coefficient |r| times as large, but not less than as large
(`index_moves`), which the model's own response and memory carry to each horizon (`first_hour_h`: variance over the
horizon for each unit of it in the first hour):

    growth      = max(0, calm - 1 + coefficient min(|r|, largest seen))
    variance_h += growth (intercept_1 + slope_1 news^2) first_hour_h
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from riskpipe.calibrate.estimators.mixture import FittedMixture
from riskpipe.calibrate.estimators.protocol import FittedVolatility
from riskpipe.domain.book import BoolArray, FloatArray
from riskpipe.domain.market import Market


@dataclass(frozen=True)
class NewsImpact:
    """One instrument's line; numbers in units of basis changes, [h] by horizon."""

    mean: float
    largest: float
    intercept: FloatArray  # [h] variance after an hour without news
    slope: FloatArray  # [h] variance for each squared unit of news
    first_hour: FloatArray  # [h] variance for each unit of variance that the first hour has more


def news_impact(fitted: FittedVolatility, changes: FloatArray, horizons: Sequence[int]) -> NewsImpact:
    """Read the line off a fitted model at the end of its changes [t], horizons in whole hours, the first of them 1.

    Asked through the models' own `shocked` and `term_structure`: without news, far beyond the cap, and at a small
    innovation. A model whose variance is 0 has a line that is 0, and any move is beyond its cap.
    """
    ahead = fitted.filter(np.append(changes, np.nan))
    mean, variance = float(ahead.mean[-1]), float(ahead.variance[-1])
    state = fitted.filter(changes).state
    before = sorted({max(1, h - 1) for h in horizons})
    asked = sorted({*horizons, *before})
    small = 0.5 * float(np.sqrt(variance))
    is_still = not variance > 0.0
    while True:
        states, is_capped = fitted.shocked(state, mean + np.array([0.0, small, 1e6 * small]))
        if is_still or not is_capped[1]:
            break
        small *= 0.5
    calm, stirred, most = fitted.term_structure(states, asked)
    slope, largest = np.zeros(len(asked)), 0.0
    if not is_still:
        slope = (stirred - calm) / small**2
        largest = float(np.sqrt((most[-1] - calm[-1]) / slope[-1])) if slope[-1] > 0.0 else 0.0
    at = [asked.index(h) for h in horizons]
    return NewsImpact(
        mean, largest, calm[at], slope[at], _first_hour(fitted, dict(zip(asked, slope, strict=True)), horizons)
    )


def _first_hour(fitted: FittedVolatility, slope: dict[int, float], horizons: Sequence[int]) -> FloatArray:
    """Return what a unit of variance more in the first hour adds over each horizon [h].

    What the pulls leave of that hour's innovation at the horizon, squared, and what its square, as expected, is to the
    variance of the hours after; of a mixture it counts there without the jump factor, as squares do that are capped.
    """
    left, jump_factor = np.ones(max(horizons)), 1.0
    if isinstance(fitted, FittedMixture):
        left, jump_factor = fitted.responses(max(horizons)), fitted.jump_factor
    return np.array([left[h - 1] ** 2 + (slope[h - 1] / jump_factor if h > 1 else 0.0) for h in horizons])


def conditional_basis_vol(
    basis_move: FloatArray, index_move: FloatArray, market: Market
) -> tuple[FloatArray, BoolArray]:
    """Return the standard deviation of basis changes after a scenario, and where it is extrapolated.

    Parameters
    ----------
    basis_move: [n, i] fraction, signed: the scenario's basis less the snapshot's, dislocation included.
    index_move: [n, i] relative move of the instrument's index, signed.
    market: the fitted lines.

    Returns
    -------
    vol [n, i, h], NaN where no estimator was fitted; is_extrapolated [n, i], true where the basis moved more than the
    largest innovation that counts, or the index, where it matters, more than ever in the look-back: the surface is cut
    there. Bits do not depend on how scenarios are cut into blocks: nothing but elementwise IEEE operations is used.
    """
    size = np.abs(basis_move - market.basis_news_mean)
    is_capped = size > market.basis_news_max  # false where NaN
    news = np.minimum(size, market.basis_news_max)
    is_fall = index_move < 0.0
    coefficient = np.where(is_fall, market.basis_index_fall, market.basis_index_rise)
    most = np.where(is_fall, market.basis_index_fall_max, market.basis_index_rise_max)
    moved = np.abs(index_move)
    is_beyond = (moved > most) & (coefficient > 0.0)
    squared = (news * news)[..., None]
    variance = market.basis_news_intercept + market.basis_news_slope * squared
    growth = market.basis_index_calm - 1.0 + coefficient * np.minimum(moved, most)
    more = np.where(coefficient > 0.0, np.maximum(growth, 0.0), 0.0) * variance[..., 0]
    return np.sqrt(variance + more[..., None] * market.basis_news_first_hour), is_capped | is_beyond
