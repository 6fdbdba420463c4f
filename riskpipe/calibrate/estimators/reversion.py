"""Mean reversion of a basis level: AR(1), its half-life, and the Ornstein-Uhlenbeck process that it samples."""

from dataclasses import dataclass

import numpy as np

from riskpipe.calibrate.estimators.protocol import Verdict
from riskpipe.domain.book import FloatArray

MINIMUM_PAIRS = 48


@dataclass(frozen=True)
class Reversion:
    """An AR(1) of a level: next = mean + phi (level - mean) + innovation, at steps of `step` hours."""

    phi: float  # corrected for small samples
    mean: float
    innovation_variance: float
    step: float
    n_pairs: int
    verdict: Verdict

    @property
    def half_life(self) -> float:
        """Hours until half of a deviation is gone; infinite where phi >= 1, 0 where phi <= 0."""
        return half_life(self.phi, self.step)

    @property
    def speed(self) -> float:
        """Speed kappa of the Ornstein-Uhlenbeck process, per hour: -ln(phi) / step."""
        return reversion_speed(self.phi, self.step)

    @property
    def stationary_variance(self) -> float:
        """Variance of the level in the long run: innovation variance / (1 - phi^2); infinite where phi >= 1."""
        return self.innovation_variance / (1.0 - self.phi * self.phi) if abs(self.phi) < 1.0 else np.inf

    def horizon_variance(self, hours: FloatArray) -> FloatArray:
        """Variance of the change over each horizon: s^2 (1 - phi^(2n)) / (1 - phi^2), n = hours / step."""
        steps = np.asarray(hours, dtype=np.float64) / self.step
        if abs(self.phi) >= 1.0:
            return self.innovation_variance * steps
        return self.stationary_variance * (1.0 - np.abs(self.phi) ** (2.0 * steps))


def half_life(phi: float, step: float = 1.0) -> float:
    """Time until half of a deviation is gone, in units of `step`: ln(1/2) / ln(phi) steps.

    Infinite where phi >= 1 (nothing reverts), 0 where phi <= 0 (gone within a step); NaN for NaN.
    """
    if np.isnan(phi):
        return np.nan
    if phi >= 1.0:
        return np.inf
    return float(np.log(0.5) / np.log(phi)) * step if phi > 0.0 else 0.0


def reversion_speed(phi: float, step: float = 1.0) -> float:
    """Speed kappa of the Ornstein-Uhlenbeck process sampled as AR(1): -ln(phi) / step; 0 where phi >= 1."""
    if np.isnan(phi):
        return np.nan
    if phi >= 1.0:
        return 0.0
    return float(-np.log(phi)) / step if phi > 0.0 else np.inf


def corrected_phi(raw: float, n_pairs: int) -> float:
    """An AR(1) estimate moved up by (1 + 3 phi) / n, its small-sample bias (Kendall, Biometrika 41, 1954).

    Not past half-way to 1; an estimate of 1 or more stays as it is.
    """
    return min(raw + (1.0 + 3.0 * raw) / n_pairs, 0.5 * (1.0 + raw)) if raw < 1.0 else raw


def fit_reversion(level: FloatArray, step: float = 1.0) -> Reversion:
    """AR(1) of a level [t] by least squares over neighbouring observed hours.

    The estimate is `corrected_phi`. NaN is a gap: a pair across it is not used. A constant level has phi 0, half-life 0
    and no variance. Refused by its verdict: fewer than 48 pairs, phi of 1 or more before correction.
    """
    before, after = level[:-1], level[1:]
    is_pair = np.isfinite(before) & np.isfinite(after)
    x, y = before[is_pair], after[is_pair]
    n = len(x)
    reasons = [f"{n} pairs of neighbouring hours, {MINIMUM_PAIRS} needed"] if n < MINIMUM_PAIRS else []
    if n == 0:
        return Reversion(np.nan, np.nan, np.nan, step, 0, Verdict(tuple(reasons)))
    centre = float(x.mean())
    if np.ptp(x) == 0.0:
        return Reversion(0.0, centre, 0.0 if np.ptp(y) == 0.0 else float(np.var(y)), step, n, Verdict(tuple(reasons)))
    raw = float(((x - centre) * (y - y.mean())).sum()) / float(((x - centre) ** 2).sum())
    if raw >= 1.0:
        reasons.append(f"phi is {raw:.5f}: the level does not revert")
    phi = corrected_phi(raw, n)
    intercept = float(y.mean()) - phi * centre
    innovation = y - intercept - phi * x
    mean = intercept / (1.0 - phi) if phi != 1.0 else np.nan
    return Reversion(phi, mean, float(innovation @ innovation) / max(1, n - 2), step, n, Verdict(tuple(reasons)))
