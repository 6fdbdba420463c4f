"""Peaks over threshold: losses beyond a high threshold are generalised Pareto (Pickands 1975; McNeil 1999)."""

from dataclasses import dataclass

import numpy as np

from riskpipe.calibrate.estimators.protocol import Verdict
from riskpipe.calibrate.estimators.search import least
from riskpipe.domain.book import FloatArray

MINIMUM_EXCESSES = 20
_NOWHERE = 1e300


@dataclass(frozen=True)
class Tail:
    """A fitted tail: losses above `threshold` exceed it by a generalised Pareto with `shape` xi and `scale` beta."""

    threshold: float
    shape: float
    scale: float
    n_losses: int
    n_excesses: int
    shape_error: float  # standard error, inverse observed information
    scale_error: float
    log_likelihood: float
    verdict: Verdict

    def value_at_risk(self, probability: float) -> float:
        """Loss not exceeded with this probability (0.99): u + beta/xi [((n/N_u)(1-q))^-xi - 1].

        Raises ValueError below the threshold's own quantile, where the tail says nothing.
        """
        share = self.n_losses / self.n_excesses * (1.0 - probability)
        if not 0.0 < share <= 1.0:
            raise ValueError(
                f"probability must lie in [{1.0 - self.n_excesses / self.n_losses:.4f}, 1), beyond the threshold, "
                f"got {probability}"
            )
        if abs(self.shape) < 1e-12:
            return self.threshold - self.scale * float(np.log(share))
        return self.threshold + self.scale / self.shape * float(np.expm1(-self.shape * np.log(share)))

    def expected_shortfall(self, probability: float) -> float:
        """Mean loss beyond the VaR: VaR / (1-xi) + (beta - xi u) / (1-xi); infinite where xi >= 1."""
        if self.shape >= 1.0:
            return np.inf
        value = self.value_at_risk(probability)
        return (value + self.scale - self.shape * self.threshold) / (1.0 - self.shape)


def fit_tail(losses: FloatArray, threshold: float) -> Tail:
    """Maximum-likelihood generalised Pareto of losses [n] strictly above the threshold.

    Losses are positive where money or basis is lost; NaN is left out and not counted. Refused by the verdict: fewer
    than 20 excesses, shape of 1 or more (no mean), or -1/2 or less (errors do not exist). The location stays 0:
    excesses start at the threshold. Starts from probability-weighted moments.
    """
    known = losses[np.isfinite(losses)]
    excesses = known[known > threshold] - threshold
    n_excesses = len(excesses)
    if n_excesses < 2 or np.ptp(excesses) == 0.0:
        verdict = Verdict((f"{n_excesses} losses above the threshold, {MINIMUM_EXCESSES} different ones needed",))
        nothing = np.nan
        return Tail(threshold, nothing, nothing, len(known), n_excesses, nothing, nothing, nothing, verdict)
    unit = float(excesses.mean())
    scaled = excesses / unit
    place, lowest, _ = least(
        lambda x: _loss_and_slopes(scaled, float(x[0]), float(np.exp(x[1]))),
        _moments_start(scaled),
        largest_slope=1e-7 * n_excesses,
        n_rounds=200,
    )
    shape, scale = float(place[0]), float(np.exp(place[1]))
    reasons = [f"{n_excesses} losses above the threshold, {MINIMUM_EXCESSES} needed"] * (n_excesses < MINIMUM_EXCESSES)
    if shape >= 1.0:
        reasons.append(f"shape is {shape:.3f}: the tail has no mean")
    if shape <= -0.5:
        reasons.append(f"shape is {shape:.3f}: its error does not exist")
    errors = _errors(scaled, shape, scale) if shape > -0.5 else (np.nan, np.nan)
    return Tail(
        threshold=threshold,
        shape=shape,
        scale=scale * unit,
        n_losses=len(known),
        n_excesses=n_excesses,
        shape_error=errors[0],
        scale_error=errors[1] * unit,
        log_likelihood=-lowest - n_excesses * float(np.log(unit)),
        verdict=Verdict(tuple(reasons)),
    )


def _loss(excesses: FloatArray, shape: float, scale: float) -> float:
    """Minus the log-likelihood of a generalised Pareto; 1e300 where an excess lies beyond its end."""
    ratio = excesses / scale
    if abs(shape) < 1e-9:
        return len(excesses) * float(np.log(scale)) + float(ratio.sum())
    inside = 1.0 + shape * ratio
    if inside.min() <= 0.0:
        return _NOWHERE
    return len(excesses) * float(np.log(scale)) + (1.0 + 1.0 / shape) * float(np.log(inside).sum())


def _loss_and_slopes(excesses: FloatArray, shape: float, scale: float) -> tuple[float, FloatArray]:
    """Minus the log-likelihood, and its slopes by shape and by the logarithm of the scale."""
    value = _loss(excesses, shape, scale)
    if value >= _NOWHERE:
        return value, np.zeros(2)
    ratio = excesses / scale
    inside = 1.0 + shape * ratio
    share = float((ratio / inside).sum())
    if abs(shape) < 1e-5:  # the two terms below would cancel
        by_shape = float((ratio - 0.5 * ratio * ratio).sum())
    else:
        by_shape = (1.0 + 1.0 / shape) * share - float(np.log(inside).sum()) / shape**2
    return value, np.array([by_shape, len(excesses) - (1.0 + shape) * share])


def _moments_start(excesses: FloatArray) -> FloatArray:
    """Shape and log-scale by probability-weighted moments, for excesses of mean 1 (Hosking and Wallis 1987)."""
    n = len(excesses)
    weighted = float((np.sort(excesses) * (n - np.arange(1, n + 1)) / (n - 1)).mean())
    shape = min(0.9, 2.0 - 1.0 / max(1e-6, 1.0 - 2.0 * weighted))
    scale = 1.0 - shape
    if shape < 0.0:  # every excess must lie before the end, -scale / shape
        scale = max(scale, -1.01 * shape * float(excesses.max()))
    return np.array([shape, np.log(scale)])


def _errors(excesses: FloatArray, shape: float, scale: float) -> tuple[float, float]:
    """Standard errors of shape and scale by the observed information, from central differences."""
    step = np.array([1e-4 * max(1.0, abs(shape)), 1e-4 * scale])
    information = np.empty((2, 2))
    for i in range(2):
        for j in range(2):
            total = 0.0
            for first in (-1.0, 1.0):
                for second in (-1.0, 1.0):
                    at = np.array([shape, scale])
                    at[i] += first * step[i]
                    at[j] += second * step[j]
                    total += first * second * _loss(excesses, float(at[0]), float(at[1]))
            information[i, j] = total / (4.0 * step[i] * step[j])
    determinant = information[0, 0] * information[1, 1] - information[0, 1] ** 2
    if not (determinant > 0.0 and information[0, 0] > 0.0):
        return np.nan, np.nan
    return float(np.sqrt(information[1, 1] / determinant)), float(np.sqrt(information[0, 0] / determinant))
