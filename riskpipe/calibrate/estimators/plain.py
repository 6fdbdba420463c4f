"""Estimators without a likelihood: the deviation of a window, and RiskMetrics' exponential average.

Neither reverts to anything, so over h hours both have h times the variance of one. They are what a chosen model must
beat, and what is left when it fails.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from riskpipe.calibrate.estimators.loops import ewma_path
from riskpipe.calibrate.estimators.protocol import VariancePath, Verdict, judged
from riskpipe.domain.book import BoolArray, FloatArray


@dataclass(frozen=True)
class FittedPlain:
    """A fitted window or exponential average: state [1] is the variance of the next hour.

    `weight` is what the newest squared change gets: 1 - decay, or 1 / window.
    """

    name: str
    parameters: Mapping[str, float]
    weight: float
    n_seed: int
    window: int | None = None  # None: exponential
    diagnostics: Mapping[str, float] = field(default_factory=dict)
    verdict: Verdict = field(default_factory=Verdict)

    def filter(self, changes: FloatArray) -> VariancePath:
        """One-step forecasts; the mean is 0."""
        changes = np.ascontiguousarray(changes, dtype=np.float64)
        mean = np.zeros(len(changes))
        if self.window is None:
            variance = np.empty(len(changes))
            last = ewma_path(changes, 1.0 - self.weight, self.n_seed, variance)
            return VariancePath(variance, mean, np.array([last]))
        known = ~np.isnan(changes)
        rolled = pd.Series(changes[known]).rolling(self.window).var().to_numpy(np.float64)
        after = np.concatenate(([np.nan], np.maximum(rolled, 0.0)))  # rounding must not make a constant negative
        variance = after[np.cumsum(known) - known]
        return VariancePath(variance, mean, after[-1:].copy())

    def shocked(self, state: FloatArray, moves: FloatArray) -> tuple[FloatArray, BoolArray]:
        """News impact v <- (1 - weight) v + weight move^2, the move at most the largest innovation of the fit."""
        variance = state[..., 0]
        largest = self.diagnostics["innovation_max"] * np.sqrt(variance)
        news = np.minimum(np.abs(moves), largest)
        after = (1.0 - self.weight) * variance + self.weight * news * news
        return after[..., None], np.abs(moves) > largest

    def term_structure(self, state: FloatArray, horizons: Sequence[int]) -> FloatArray:
        """Variance of the change over each horizon: hours x the variance of one."""
        return state[..., :1] * np.asarray(horizons, dtype=np.float64)


def _with_verdict(fitted: FittedPlain, changes: FloatArray, minimum: int) -> FittedPlain:
    verdict, diagnostics = judged(changes, fitted.filter(changes), minimum=minimum)
    return replace(fitted, diagnostics=diagnostics, verdict=verdict)


@dataclass(frozen=True)
class Realised:
    """Standard deviation (ddof 1) of the last `window` observed changes."""

    window: int = 168

    def __post_init__(self) -> None:
        """Refuse a window that has no deviation."""
        if self.window < 2:
            raise ValueError(f"window must be at least 2 changes, got {self.window}")

    @property
    def name(self) -> str:
        """Name with the window in hours."""
        return f"realised_{self.window}h"

    def fit(self, changes: FloatArray) -> FittedPlain:
        """Nothing is estimated; the verdict needs two windows of changes."""
        fitted = FittedPlain(
            self.name, {"window": float(self.window)}, 1.0 / self.window, self.window, window=self.window
        )
        return _with_verdict(fitted, changes, 2 * self.window)


@dataclass(frozen=True)
class Ewma:
    """Exponentially weighted mean square with `decay` kept per change (RiskMetrics, 1996; 0.94 for days)."""

    decay: float = 0.97
    n_seed: int = 24

    def __post_init__(self) -> None:
        """Refuse a decay that is no weight."""
        if not 0.0 < self.decay < 1.0:
            raise ValueError(f"decay must lie between 0 and 1, got {self.decay}")
        if self.n_seed < 1:
            raise ValueError(f"n_seed must be at least 1, got {self.n_seed}")

    @property
    def name(self) -> str:
        """Name with the decay."""
        return f"ewma_{self.decay:g}"

    def fit(self, changes: FloatArray) -> FittedPlain:
        """Nothing is estimated; the verdict needs twice the seed."""
        fitted = FittedPlain(self.name, {"decay": self.decay}, 1.0 - self.decay, self.n_seed)
        return _with_verdict(fitted, changes, 2 * self.n_seed)


def ewma_update(variance: float, change: float, decay: float) -> float:
    """Variance after one change: decay x variance + (1 - decay) x change^2 (RiskMetrics, 1996; Hull, section 10.6)."""
    return decay * variance + (1.0 - decay) * change * change
