"""The reverting mixture: exponential averages of several lengths, around a basis that is pulled back to its level.

One hour's change is mean + innovation. The mean pulls the basis back towards its own exponential averages,
mean = -sum_j pull_j x (basis - average_j): of an hour's change about half comes back within hours, because closes of
two books bounce between bid and ask and arbitrage closes gaps. The innovation's variance is a convex mixture of
exponential averages of squared innovations with half-lives from hours to a month, h = sum_k weight_k v_k (the HExp form
of Bollerslev, Hood, Huss and Pedersen, Risk everywhere, Review of Financial Studies 31, 2018), so that it reverts
from the last hours to the last month at several speeds. A squared innovation counts up to (8 standard deviations)^2:
a crash raises the forecast about as much as one hour can tell, and does not stay in it for years. What capped squares
leave out comes back as one factor on h, the jump factor: squares between 8 and 20 standard deviations, on average.

Pulls come from non-negative least squares of standardised changes, weights from the quasi-likelihood (QLIKE) of capped
squared innovations on the simplex. Neither needs a distribution. Half-lives, caps and the jump factor were chosen by
the loss of forecasts of recorded perpetuals before 2022 (tests/calibrate/test_forecasts_on_recorded_basis.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from riskpipe.calibrate.estimators.loops import (
    capped_path,
    deviation_path,
    mixture_loss,
    mixture_path,
    responses_of,
)
from riskpipe.calibrate.estimators.protocol import (
    BURN_IN,
    MINIMUM_STILL,
    VariancePath,
    Verdict,
    judged,
    robust_scale,
    standardised,
)
from riskpipe.calibrate.estimators.search import least
from riskpipe.domain.book import BoolArray, FloatArray

MINIMUM_OBSERVATIONS = 500
N_SEED = 24
CAP = 8.0  # standard deviations up to which an innovation is news
JUMP_CAP = 20.0  # standard deviations up to which squares count in the jump factor
PULL_CAP = 6.0  # standard deviations of distance beyond which the pull grows no more
_SMALLEST = 1e-12  # of the squared scale: below it a forecast counts as this in the fit
_N_ROUNDS = 2


@dataclass(frozen=True)
class FittedMixture:
    """A fitted mixture: state [k + j] holds the components v_k, then the distances from the averages."""

    name: str
    decays: tuple[float, ...]
    weights: tuple[float, ...]
    level_decays: tuple[float, ...]
    pulls: tuple[float, ...]
    jump_factor: float = 1.0
    diagnostics: Mapping[str, float] = field(default_factory=dict)
    verdict: Verdict = field(default_factory=Verdict)

    @property
    def parameters(self) -> Mapping[str, float]:
        """Weights and pulls by the half-life in hours that they belong to."""
        weights = {f"weight_{_hours(d):g}h": w for d, w in zip(self.decays, self.weights, strict=True)}
        weights["jump_factor"] = self.jump_factor
        return weights | {f"pull_{_hours(d):g}h": p for d, p in zip(self.level_decays, self.pulls, strict=True)}

    def filter(self, changes: FloatArray) -> VariancePath:
        """One-step forecasts of variance and mean; a gap leaves components as they are and lets distances fade."""
        changes = np.ascontiguousarray(changes, dtype=np.float64)
        variance, mean = np.empty(len(changes)), np.empty(len(changes))
        components, distances = np.empty(len(self.decays)), np.empty(len(self.level_decays))
        variances = (np.array(self.decays), np.array(self.weights), self.jump_factor)
        levels = (np.array(self.level_decays), np.array(self.pulls))
        n_seen = mixture_path(
            changes, *variances, *levels, CAP, PULL_CAP, N_SEED, components, distances, variance, mean
        )
        state = np.concatenate((components, distances))
        return VariancePath(variance, mean, state if n_seen else np.full(len(state), np.nan))

    def next_variance(self, state: FloatArray) -> FloatArray:
        """Innovation variance of the next hour [...] from states [..., k + j]."""
        return self.jump_factor * self._capped_variance(state)

    def _capped_variance(self, state: FloatArray) -> FloatArray:
        """Expected capped square of the next innovation: the variance without the jump factor."""
        return _weighted(self.weights, state)

    def next_mean(self, state: FloatArray) -> FloatArray:
        """Expected change of the next hour [...] from states [..., k + j]."""
        limit = PULL_CAP * np.sqrt(self._capped_variance(state))
        total = np.zeros(state.shape[:-1])
        for j, pull in enumerate(self.pulls):
            total = total - pull * np.clip(state[..., len(self.decays) + j], -limit, limit)
        return total

    def shocked(self, state: FloatArray, moves: FloatArray) -> tuple[FloatArray, BoolArray]:
        """States after an hour in which the basis made the moves; the innovation counts up to 8 deviations.

        It is capped, and said to be, beyond 8 standard deviations or the largest innovation of the fit, if smaller.
        """
        deviation = np.sqrt(self._capped_variance(state))
        innovation = np.abs(moves - self.next_mean(state))
        largest = min(CAP, self.diagnostics["innovation_max"] * np.sqrt(self.jump_factor)) * deviation
        news = np.minimum(innovation, largest)
        parts = [d * state[..., k] + (1.0 - d) * news * news for k, d in enumerate(self.decays)]
        first = len(self.decays)
        parts += [d * (state[..., first + j] + moves) for j, d in enumerate(self.level_decays)]
        return np.stack(np.broadcast_arrays(*parts), axis=-1), innovation > largest

    def term_structure(self, state: FloatArray, horizons: Sequence[int]) -> FloatArray:
        """Variance of the change over each horizon around its expected path.

        The sum over hours i of response(H - i)^2 x expected h_i: components revert to each other, and of an innovation
        only what the pull has left of it after H - i hours still stands at the horizon. The caps are not reckoned with.
        """
        return np.stack([_weighted(row, state) for row in self.horizon_weights(horizons)], axis=-1)

    def expected_change(self, state: FloatArray, horizons: Sequence[int]) -> FloatArray:
        """Expected change [..., h] of the basis over each horizon, from states [..., k + j]: the way back to its level.

        A forecast of the squared change is `term_structure` + this squared. The cap on the pull is not reckoned with.
        """
        first = len(self.decays)
        distances = [state[..., first + j] for j in range(len(self.pulls))]
        moved = np.zeros(state.shape[:-1])
        reached = {}
        for hour in range(1, max(int(h) for h in horizons) + 1):
            change = np.zeros(state.shape[:-1])
            for pull, distance in zip(self.pulls, distances, strict=True):
                change = change - pull * distance
            distances = [d * (v + change) for d, v in zip(self.level_decays, distances, strict=True)]
            moved = moved + change
            reached[hour] = moved
        return np.stack([reached[int(h)] for h in horizons], axis=-1)

    def horizon_weights(self, horizons: Sequence[int]) -> FloatArray:
        """Weights [h, k] with which today's components make up the variance over each horizon in whole hours."""
        hours = [int(h) for h in horizons]
        response = self.responses(max(hours))
        squares = self.jump_factor * (response * response)
        weights, decays = np.array(self.weights), np.array(self.decays)
        expected = np.empty((max(hours), len(weights)))  # of h in hour i, by component
        transition = np.diag(decays) + np.outer(1.0 - decays, weights)
        row = weights
        for i in range(len(expected)):
            expected[i] = row
            row = (row[:, None] * transition).sum(axis=0)
        return np.array([(squares[h - 1 :: -1][:h, None] * expected[:h]).sum(axis=0) for h in hours])

    def responses(self, n_hours: int) -> FloatArray:
        """What is left of an innovation of 1 in the basis after 0, 1, ... n_hours - 1 hours."""
        left = np.empty(n_hours)
        responses_of(np.array(self.level_decays), np.array(self.pulls), np.empty(len(self.pulls)), left)
        return left


def _weighted(weights: Iterable[float], state: FloatArray) -> FloatArray:
    """Sum of weights [k] x components [...] of states [..., k + j], one after another: the same bits in any batch."""
    total = np.zeros(state.shape[:-1])
    for k, weight in enumerate(weights):
        total = total + weight * state[..., k]
    return total


def _hours(decay: float) -> float:
    return round(float(np.log(0.5) / np.log(decay)), 6)


def reversion_radius(level_decays: FloatArray, pulls: FloatArray) -> float:
    """Largest modulus of the eigenvalues of the distances' recursion; the basis settles where it is below 1."""
    if len(pulls) == 0:
        return 0.0
    transition = level_decays[:, None] * (np.eye(len(pulls)) - pulls[None, :])
    return float(np.abs(np.linalg.eigvals(transition)).max())


@dataclass(frozen=True)
class Mixture:
    """The reverting mixture with these half-lives, in hours, of its variance components and of its levels."""

    half_lives: tuple[float, ...] = (12.0, 48.0, 168.0, 720.0)
    level_half_lives: tuple[float, ...] = (1.0, 4.0, 24.0, 168.0)

    @property
    def name(self) -> str:
        """Name of the estimator."""
        return "reverting_mixture" if self.level_half_lives else "mixture"

    def fit(self, changes: FloatArray) -> FittedMixture:
        """Fit pulls and weights by turns, each with the other's last forecast of the deviation."""
        changes = np.ascontiguousarray(changes, dtype=np.float64)
        decays = 0.5 ** (1.0 / np.array(self.half_lives))
        level_decays = 0.5 ** (1.0 / np.array(self.level_half_lives)) if self.level_half_lives else np.empty(0)
        weights = np.full(len(decays), 1.0 / len(decays))
        pulls = np.zeros(len(level_decays))
        scale = robust_scale(changes)
        known = np.flatnonzero(np.isfinite(changes))
        is_enough = len(known) >= MINIMUM_OBSERVATIONS
        if is_enough and scale > 0.0:
            weights, pulls = _fitted(changes / scale, known[BURN_IN:], decays, level_decays)
        fitted = FittedMixture(
            self.name,
            tuple(decays.tolist()),
            tuple(weights.tolist()),
            tuple(level_decays.tolist()),
            tuple(pulls.tolist()),
        )
        fitted = replace(fitted, jump_factor=_jump_factor(changes, fitted.filter(changes)))
        reasons = []
        radius = reversion_radius(level_decays, pulls)
        if not radius < 1.0:
            reasons.append(f"the basis does not settle: the recursion of its distances has radius {radius:.4f}")
        minimum = MINIMUM_OBSERVATIONS if scale > 0.0 or len(known) == 0 else MINIMUM_STILL
        verdict, diagnostics = judged(changes, fitted.filter(changes), reasons, minimum=minimum)
        diagnostics["reversion_radius"] = radius
        return replace(fitted, diagnostics=diagnostics, verdict=verdict)


def _jump_factor(changes: FloatArray, path: VariancePath) -> float:
    """1 + what squares between the two caps add to the mean of capped ones, in squared standard deviations."""
    z = standardised(changes, path)
    squares = (z * z)[np.isfinite(z)]
    if len(squares) < MINIMUM_OBSERVATIONS:
        return 1.0
    squares = squares[BURN_IN:]
    return 1.0 + float(np.mean(np.minimum(squares, JUMP_CAP**2) - np.minimum(squares, CAP**2)))


def _fitted(
    changes: FloatArray, used: np.ndarray, decays: FloatArray, level_decays: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Weights [k] and pulls [j] of scaled changes; `used` are the hours that judge them."""
    n = len(changes)
    distances = np.empty((len(level_decays), n))
    for decay, row in zip(level_decays, distances, strict=True):
        deviation_path(changes, decay, row)
    components = np.empty((len(decays), n))
    free = np.full(n, np.nan)
    capped_path(changes, free, decays[0], CAP, N_SEED, components[0])
    deviation = np.sqrt(np.maximum(components[0], _SMALLEST))
    pulls = np.zeros(len(level_decays))
    for _ in range(_N_ROUNDS):
        mean = np.zeros(n)
        if len(level_decays):
            limit = PULL_CAP * deviation
            pulled = np.clip(distances, -limit, limit)
            target = np.clip(changes[used] / deviation[used], -CAP, CAP)
            pulls = _least_pulls(-pulled[:, used] / deviation[used], target)
            mean = -(pulls[:, None] * pulled).sum(axis=0)
        innovations = changes - mean
        for decay, row in zip(decays, components, strict=True):
            capped_path(innovations, deviation, decay, CAP, N_SEED, row)
        squares = np.minimum(innovations[used] ** 2, (CAP * deviation[used]) ** 2)
        weights = _simplex_weights(components[:, used], squares)
        variance = (weights[:, None] * components).sum(axis=0)
        deviation = np.sqrt(np.maximum(np.nan_to_num(variance), _SMALLEST))
    return weights, pulls


def _least_pulls(rows: FloatArray, target: FloatArray) -> FloatArray:
    """Non-negative least squares of the target [t] on rows [j, t], by their normal equations.

    Sums along rows instead of matrix products: those would start threads, whose waiting costs more than the sums.
    """
    from scipy.optimize import nnls  # here, for workers that compute blocks fit nothing: 50 MB less for each

    products = (rows[:, None, :] * rows[None, :, :]).sum(axis=-1)
    ridge = 1e-9 * float(np.trace(products)) + 1e-300
    root = np.linalg.cholesky(products + ridge * np.eye(len(rows)))
    pulls, _ = nnls(root.T, np.linalg.solve(root, (rows * target).sum(axis=-1)))
    return pulls


def _simplex_weights(components: FloatArray, squares: FloatArray) -> FloatArray:
    """Weights on the simplex that minimise the mean of ln h + square / h, h = weights [k] x components [k, t]."""
    by_weight = np.empty(len(components))

    def shares(angles: FloatArray) -> FloatArray:
        powers = np.exp(angles - angles.max())
        return powers / powers.sum()

    def loss(angles: FloatArray) -> tuple[float, FloatArray]:
        share = shares(angles)
        value = mixture_loss(components, squares, share, _SMALLEST, by_weight)
        return value, share * (by_weight - float((share * by_weight).sum()))

    angles, _, _ = least(loss, np.zeros(len(components)), largest_slope=1e-5, n_rounds=200)
    return shares(angles)
