"""What every volatility estimator promises: fit, filter, news impact, term structure, and a verdict on its parameters.

An estimator is a small frozen value (its settings); `fit` returns another frozen value (its parameters), which can be
sent to a worker and back. Both are pure: the same array gives the same numbers.

Changes are one-hour changes of a basis (fraction, signed) in time order, float64 [t], NaN where there is none: across
a gap no model sees a change, but time passes for what decays. Variances are squares of the unit of the changes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from riskpipe.domain.book import BoolArray, FloatArray

BURN_IN = 168  # observed changes at the head of a fit that do not judge it: the recursions still know their seed
MINIMUM_STILL = 48  # changes that a series which never moves needs to be described by zero
WIDEST_JUDGED = 8.0  # standard deviations: one crash must not decide whether years of ordinary hours are described
FIT_ERRORS = (ArithmeticError, ValueError, RuntimeError, LookupError, TypeError)  # what a series may bring about
_LARGEST_MISFIT = 2.0


@dataclass(frozen=True)
class Verdict:
    """Whether a fit may be used; `reasons` is empty exactly when it may."""

    reasons: tuple[str, ...] = ()

    @property
    def is_passed(self) -> bool:
        """True when nothing was found against the fit."""
        return not self.reasons


@dataclass(frozen=True)
class VariancePath:
    """One-step forecasts made just before each hour [t], and the state after the last one.

    `variance` is that of the innovation, `mean` the expected change (0 for models without one); NaN before the model
    has seen its seed. `state` [k] is what `term_structure` and `shocked` start from.
    """

    variance: FloatArray
    mean: FloatArray
    state: FloatArray

    def second_moment(self) -> FloatArray:
        """Forecast of the squared change [t]: variance + mean squared; it is what QLIKE scores."""
        return self.variance + self.mean * self.mean


class FittedVolatility(Protocol):
    """A fitted model."""

    @property
    def name(self) -> str:
        """Which estimator made it, with its settings."""

    @property
    def parameters(self) -> Mapping[str, float]:
        """Parameters by name, in units of the changes."""

    @property
    def diagnostics(self) -> Mapping[str, float]:
        """What is known about the fit: observations, largest innovation, misfit."""

    @property
    def verdict(self) -> Verdict:
        """Whether the parameters may be used."""

    def filter(self, changes: FloatArray) -> VariancePath:
        """One-step forecasts along changes [t], each from the changes before it only."""

    def shocked(self, state: FloatArray, moves: FloatArray) -> tuple[FloatArray, BoolArray]:
        """News impact: states [..., k] after an hour with the moves [...], and where the innovation was capped.

        An innovation beyond the largest one of the fit, in standard deviations, is cut back to it.
        """

    def term_structure(self, state: FloatArray, horizons: Sequence[int]) -> FloatArray:
        """Variance [..., h] of the change over the next so many hours, from states [..., k]."""


class VolatilityEstimator(Protocol):
    """Settings from which a model is fitted."""

    @property
    def name(self) -> str:
        """Name with settings, as shown beside its numbers."""

    def fit(self, changes: FloatArray) -> FittedVolatility:
        """Fit the model; a fit that should not be used says so in its verdict and raises nothing."""


def standardised(changes: FloatArray, path: VariancePath) -> FloatArray:
    """Innovations over their forecast standard deviation [t]; NaN where there is no change or no forecast.

    0 where a forecast of zero met no innovation, infinite where it met one.
    """
    innovation = changes - path.mean
    deviation = np.sqrt(path.variance)
    is_certain = deviation == 0.0
    ratio = innovation / np.where(is_certain, 1.0, deviation)
    return np.where(is_certain & (innovation != 0.0), np.copysign(np.inf, innovation), ratio)


def judged(
    changes: FloatArray, path: VariancePath, reasons: Sequence[str] = (), *, minimum: int
) -> tuple[Verdict, dict[str, float]]:
    """Verdict and diagnostics shared by all estimators.

    A fit is refused when the model's own `reasons` are given, when fewer than `minimum` changes were observed, when a
    forecast is not finite, or when forecasts miss what came by more than twice: the mean of squared standardised
    innovations (each at most 8 standard deviations, after a burn-in) must lie between 1/2 and 2. A series that never
    moves is described by zero. Diagnostics: observations, misfit (that mean), innovation_max (largest absolute
    standardised innovation, not cut).
    """
    n_observed = int(np.isfinite(changes).sum())
    z = standardised(changes, path)
    z = z[~np.isnan(z)]
    late = z[min(BURN_IN, len(z) // 4) :]
    misfit = float(np.mean(np.minimum(late * late, WIDEST_JUDGED**2))) if len(late) else np.nan
    known = z[np.isfinite(z)]
    diagnostics = {
        "observations": float(n_observed),
        "misfit": misfit,
        "innovation_max": float(np.abs(known).max()) if len(known) else 0.0,
    }
    problems = list(reasons)
    if n_observed < minimum:
        problems.append(f"{n_observed} changes observed, {minimum} needed")
    if not np.isfinite(path.state).all():
        problems.append("forecasts are not finite")
    moves = np.any(changes[np.isfinite(changes)] != 0.0)
    if moves and not 1.0 / _LARGEST_MISFIT <= misfit <= _LARGEST_MISFIT:
        problems.append(f"squared innovations are {misfit:.3g} times what was forecast, expected 0.5 to 2")
    return Verdict(tuple(problems)), diagnostics


def robust_scale(changes: FloatArray) -> float:
    """Root mean square of changes cut at their 99th percentile of size; the plain one where that is 0; 0 without any.

    One venue overload must not set the unit in which a model is fitted.
    """
    size = np.abs(changes[np.isfinite(changes)])
    if len(size) == 0:
        return 0.0
    limit = np.quantile(size, 0.99)
    scale = float(np.sqrt(np.mean(np.minimum(size, limit) ** 2)))
    return scale if scale > 0.0 else float(np.sqrt(np.mean(size * size)))
