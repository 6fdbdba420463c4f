"""First passage: how likely a spread, or a position hedged by it, reaches a barrier before a horizon.

A spread is an AR(1) by the hour (an Ornstein-Uhlenbeck process, sampled), x <- mean + phi (x - mean) + s_t z, with
innovations z normal, Student t of unit variance, or drawn from standardised hours of the past. Closed forms, exact for
paths watched without a break, are there for what has one: Brownian motion with drift, and the way back to the mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr, ndtr

from riskpipe.domain.book import FloatArray, Numbers

N_PATHS = 20_000
_MINIMUM_NU = 2.05


@dataclass(frozen=True)
class SpreadProcess:
    """An AR(1) by the hour from where it stands now.

    deviation: of the hourly innovation; several are those of the coming hours, as a volatility model forecasts them
    (`hourly_deviations`), the last one going on.
    """

    start: float
    mean: float
    phi: float  # 1: a random walk
    deviation: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse what is no process."""
        if not 0.0 <= self.phi <= 1.0:
            raise ValueError(f"phi must lie in [0, 1], got {self.phi}")
        if not self.deviation or min(self.deviation) < 0.0 or not np.isfinite(self.deviation).all():
            raise ValueError(f"deviation must be finite and not negative for every hour, got {self.deviation}")

    def deviation_in(self, hour: int) -> float:
        """Deviation of the innovation in the coming hour number `hour`, from 0."""
        return self.deviation[min(hour, len(self.deviation) - 1)]

    def after_hour(self, spread: FloatArray, hour: int, z: FloatArray) -> FloatArray:
        """Spreads [...] after the coming hour number `hour`, from 0, with standardised innovations z [...]."""
        return self.mean + self.phi * (spread - self.mean) + self.deviation_in(hour) * z

    def expected_change(self, horizons: Sequence[int]) -> FloatArray:
        """Expected change over each horizon [h]: (mean - start) (1 - phi^H)."""
        hours = np.asarray(horizons, dtype=np.float64)
        return np.asarray((self.mean - self.start) * (1.0 - self.phi**hours))

    def change_deviation(self, horizons: Sequence[int]) -> FloatArray:
        """Standard deviation of the change over each horizon [h]: the root of the sum of (phi^(H-1-i) s_i)^2."""
        variance, reached = 0.0, {0: 0.0}
        for hour in range(max(horizons)):
            variance = self.phi**2 * variance + self.deviation_in(hour) ** 2
            reached[hour + 1] = variance
        return np.sqrt(np.array([reached[int(h)] for h in horizons]))


@dataclass(frozen=True)
class Draws:
    """Where standardised innovations come from: `history` [t, k] hours to draw from, else Student t, else normal.

    An hour of the history is drawn whole, so that its k series stay together. nu: degrees of freedom,
    infinite = normal.
    """

    seed: int
    n_paths: int = N_PATHS
    nu: float = np.inf
    history: FloatArray | None = None

    def __post_init__(self) -> None:
        """Refuse innovations without a variance, and hours that are not there."""
        if self.nu <= _MINIMUM_NU:
            raise ValueError(f"nu must be above {_MINIMUM_NU}, for innovations to have a variance, got {self.nu}")
        if self.history is not None and (len(self.history) == 0 or not np.isfinite(self.history).all()):
            raise ValueError("history must have an hour, and only finite innovations")
        if self.n_paths < 1:
            raise ValueError(f"n_paths must be at least 1, got {self.n_paths}")

    @property
    def is_normal(self) -> bool:
        """Whether innovations are normal."""
        return self.history is None and np.isinf(self.nu)

    def generator(self) -> np.random.Generator:
        """Make the generator of a run: the same numbers for the same seed."""
        return np.random.Generator(np.random.Philox(self.seed))

    def draw(self, generator: np.random.Generator, n_series: int) -> FloatArray:
        """Draw one hour's innovations [n_paths, n_series]; series are independent unless drawn from a history."""
        if self.history is not None:
            if self.history.ndim != 2 or self.history.shape[1] < n_series:
                raise ValueError(f"history must be [t, {n_series} or more], got {self.history.shape}")
            return np.asarray(self.history[generator.integers(0, len(self.history), self.n_paths), :n_series])
        if np.isinf(self.nu):
            return generator.standard_normal((self.n_paths, n_series))
        unit = np.sqrt(self.nu / (self.nu - 2.0))
        return generator.standard_t(self.nu, (self.n_paths, n_series)) / unit


@dataclass(frozen=True)
class Passage:
    """Probabilities of having reached the barrier by each horizon [h], and their standard errors by simulation."""

    horizons: tuple[int, ...]
    probability: FloatArray
    error: FloatArray


def first_passage(
    process: SpreadProcess, barrier: float, horizons: Sequence[int], draws: Draws, *, is_watched_between: bool = True
) -> Passage:
    """Probability that a spread reaches a barrier, above or below where it stands, within each horizon in whole hours.

    With normal innovations and `is_watched_between`, the chance of having been there between two hours on the same side
    counts, exp(-2 phi a b / s^2) with distances a and b: exact for a random walk and for a barrier at the mean of an
    AR(1) whatever the step, and close for other barriers. Other innovations count at whole hours only, which is a lower
    bound. A spread that starts on the barrier has reached it; a barrier of NaN gives NaN.
    """
    hours = tuple(int(h) for h in horizons)
    if np.isnan(barrier):
        return Passage(hours, *(np.full(len(hours), np.nan) for _ in range(2)))
    side = 1.0 if barrier >= process.start else -1.0
    generator = draws.generator()
    distance = np.full(draws.n_paths, side * (barrier - process.start))
    survival = np.where(distance > 0.0, 1.0, 0.0)
    is_bridged = is_watched_between and draws.is_normal
    reached: dict[int, tuple[float, float]] = {}
    gap = side * (barrier - process.mean)
    for hour in range(max(hours)):
        deviation = process.deviation_in(hour)
        move = deviation * draws.draw(generator, 1)[:, 0]
        after = gap + process.phi * (distance - gap) - side * move
        survival = np.where(after > 0.0, survival, 0.0)
        if is_bridged and deviation > 0.0:
            both = np.maximum(distance, 0.0) * np.maximum(after, 0.0)
            survival = survival * -np.expm1(-2.0 * process.phi * both / deviation**2)
        distance = after
        reached[hour + 1] = _share(1.0 - survival)
    return Passage(hours, *(np.array([reached[h][part] for h in hours]) for part in range(2)))


def _share(is_reached: FloatArray) -> tuple[float, float]:
    """Mean and its standard error."""
    return float(is_reached.mean()), float(is_reached.std() / np.sqrt(len(is_reached)))


def brownian_passage(distance: float, drift: float, deviation: float, hours: Numbers) -> FloatArray:
    """Probability that Brownian motion with drift has reached a level `distance` >= 0 above it, exact [...].

    Phi((m t - d) / (s sqrt t)) + exp(2 m d / s^2) Phi((-m t - d) / (s sqrt t)); drift and deviation per hour and per
    root hour, deviation > 0. Source: Harrison, Brownian motion and stochastic flow systems, 1985, section 1.8.
    """
    time = np.asarray(hours, dtype=np.float64)
    root = deviation * np.sqrt(time)
    reflected = np.exp(2.0 * drift * distance / deviation**2 + log_ndtr((-drift * time - distance) / root))
    return np.asarray(ndtr((drift * time - distance) / root) + reflected)


def passage_to_mean(distance: float, phi: float, deviation: float, hours: Numbers) -> FloatArray:
    """Probability that a spread `distance` away from its mean has been back at it, watched without a break, exact.

    2 Phi(-d sqrt(2 kappa / (v (exp(2 kappa t) - 1)))), with kappa = -ln phi an hour and v the variance a root hour at
    which hourly innovations have this deviation. Source: Ricciardi and Sato, First-passage-time density and moments of
    the Ornstein-Uhlenbeck process, Journal of Applied Probability 25, 1988. 0 < phi < 1.
    """
    kappa = -np.log(phi)
    variance = deviation**2 * 2.0 * kappa / (1.0 - phi**2)
    time = np.asarray(hours, dtype=np.float64)
    return np.asarray(2.0 * ndtr(-abs(distance) * np.sqrt(2.0 * kappa / (variance * np.expm1(2.0 * kappa * time)))))


def hourly_deviations(variance_over: FloatArray, horizons: Sequence[int], phi: float) -> tuple[float, ...]:
    """Deviation of each coming hour's innovation such that an AR(1) has these variances of change over horizons.

    variance_over [h]: variances of the change over ascending whole hours, as a volatility model's term structure gives
    them. Between two horizons every hour has the same; an hour's is never negative, so that a term structure which
    falls faster than phi lets it is met from above.
    """
    deviations: list[float] = []
    variance, last = 0.0, 0
    for hours, wanted in zip(horizons, variance_over, strict=True):
        n = int(hours) - last
        powers = phi ** (2.0 * np.arange(n))
        hourly = max(0.0, (float(wanted) - variance * phi ** (2 * n)) / float(powers.sum()))
        deviations += [float(np.sqrt(hourly))] * n
        variance, last = variance * phi ** (2 * n) + hourly * float(powers.sum()), int(hours)
    return tuple(deviations)
