"""GARCH(1,1): h <- omega + alpha e^2 + beta h, innovations normal or Student t (Bollerslev 1986, 1987).

Estimated with `arch`, with errors, in units of the series' own robust scale, never as fractions: fed with fractions the
optimiser can return nonsense with a flag of success. The presample is pinned: arch's default, an exponential average,
misses the published benchmark on omega by 8%; the plain variance reproduces it. Nights find the same maximum by
`garch_likelihood`, because arch's last digits depend on how many threads BLAS may start. What decides whether a fit is
used is a gate on its parameters, not the optimiser's flag.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from riskpipe.calibrate.estimators.garch_likelihood import most_likely_garch
from riskpipe.calibrate.estimators.loops import garch_path
from riskpipe.calibrate.estimators.protocol import BURN_IN, MINIMUM_STILL, VariancePath, Verdict, judged, robust_scale
from riskpipe.domain.book import BoolArray, FloatArray

MINIMUM_OBSERVATIONS = 500
_LARGEST_PERSISTENCE = 0.9999
_SMALLEST_NU = 2.05
_VARIANCE_RANGE = 10.0  # the long-run variance may differ from the sample's by this factor


@dataclass(frozen=True)
class GarchParameters:
    """A GARCH(1,1) as estimated, in units of the returns given.

    `standard_errors` are classic (inverse Hessian), `robust_errors` the Bollerslev-Wooldridge sandwich, about twice as
    large on exchange rates: say which one is quoted. nu is infinite for the normal.
    """

    mean: float
    omega: float
    alpha: float
    beta: float
    nu: float
    log_likelihood: float
    standard_errors: Mapping[str, float]
    robust_errors: Mapping[str, float]
    flag: int  # the optimiser's own; 0 is its success

    @property
    def persistence(self) -> float:
        """Share of a variance shock left after a step: alpha + beta."""
        return self.alpha + self.beta

    @property
    def long_run_variance(self) -> float:
        """Variance that forecasts return to: omega / (1 - alpha - beta); infinite where that does not exist."""
        return self.omega / (1.0 - self.persistence) if self.persistence < 1.0 else np.inf

    @property
    def half_life(self) -> float:
        """Steps until a variance shock has halved: ln(1/2) / ln(alpha + beta); infinite at 1 and beyond."""
        if self.persistence >= 1.0:
            return np.inf
        return float(np.log(0.5) / np.log(self.persistence)) if self.persistence > 0.0 else 0.0


def garch_update(variance: float, change: float, *, omega: float, alpha: float, beta: float) -> float:
    """Variance after one change: omega + alpha change^2 + beta variance (Bollerslev 1986)."""
    return omega + alpha * change * change + beta * variance


def estimate_garch(
    returns: FloatArray,
    *,
    distribution: Literal["normal", "t"] = "t",
    mean: Literal["zero", "constant"] = "zero",
    scale: float | None = None,
    backcast: float | None = None,
    has_errors: bool = True,
) -> GarchParameters:
    """Maximum-likelihood GARCH(1,1) of returns [t] without gaps, in any unit.

    Arguments
    ---------
    distribution: of standardised innovations.
    mean: zero, or a constant estimated with the rest.
    scale: the returns are divided by it before the fit, and parameters brought back; None = the robust scale.
    backcast: presample variance in squared units of the returns; None = their plain variance, which is the convention
        of the published benchmark (Fiorentini, Calzolari and Panattoni, Journal of Applied Econometrics 11, 1996).
    has_errors: False leaves standard errors out, which saves two matrices of second derivatives.

    Raises ValueError where returns are not finite or have no variance.
    """
    from arch import arch_model

    if not np.isfinite(returns).all():
        raise ValueError(f"returns must be finite: {int((~np.isfinite(returns)).sum())} of {len(returns)} are not")
    scale = robust_scale(returns) if scale is None else scale
    if not (len(returns) > 1 and scale > 0.0 and np.var(returns) > 0.0):
        raise ValueError("returns have no variance: there is nothing to fit")
    scaled = returns / scale
    backcast = float(np.var(scaled)) if backcast is None else backcast / scale**2
    model = arch_model(
        scaled,
        mean="Zero" if mean == "zero" else "Constant",
        vol="GARCH",
        p=1,
        q=1,
        dist="normal" if distribution == "normal" else "t",
        rescale=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the gate on parameters is the judge
        result = model.fit(disp="off", show_warning=False, backcast=backcast, options={"maxiter": 1000, "ftol": 1e-12})
        robust, classic = np.empty(0), np.empty(0)
        if has_errors:
            at = result.params.to_numpy()
            robust, classic = (
                np.sqrt(np.diag(model.compute_param_cov(at, backcast=backcast, robust=is_robust)))
                for is_robust in (True, False)
            )
    units = {"mu": scale, "omega": scale**2, "alpha[1]": 1.0, "beta[1]": 1.0, "nu": 1.0}
    names = {"mu": "mean", "omega": "omega", "alpha[1]": "alpha", "beta[1]": "beta", "nu": "nu"}

    def in_units(values: FloatArray) -> dict[str, float]:
        keys = map(str, result.params.index)
        return {names[key]: float(value) * units[key] for key, value in zip(keys, values, strict=False)}

    found = in_units(result.params.to_numpy())
    return GarchParameters(
        mean=found.get("mean", 0.0),
        omega=found["omega"],
        alpha=found["alpha"],
        beta=found["beta"],
        nu=found.get("nu", np.inf),
        log_likelihood=float(result.loglikelihood) - len(returns) * float(np.log(scale)),
        standard_errors=in_units(classic),
        robust_errors=in_units(robust),
        flag=int(result.convergence_flag),
    )


def parameter_problems(found: GarchParameters, sample_variance: float) -> list[str]:
    """What speaks against GARCH parameters, whatever the optimiser says of itself."""
    numbers = (found.omega, found.alpha, found.beta)
    if not np.isfinite(numbers).all():
        return ["parameters are not finite"]
    problems = []
    if found.omega <= 0.0 or found.alpha < 0.0 or found.beta < 0.0:
        problems.append(
            f"omega {found.omega:.3g}, alpha {found.alpha:.3g}, beta {found.beta:.3g}: a variance needs "
            "omega above 0 and neither other below"
        )
    if found.alpha <= 0.0:
        problems.append("alpha is 0: squared changes tell nothing about the next variance")
    if found.persistence > _LARGEST_PERSISTENCE:
        problems.append(f"alpha + beta is {found.persistence:.5f}: the variance does not revert")
    else:
        ratio = found.long_run_variance / sample_variance
        if not 1.0 / _VARIANCE_RANGE <= ratio <= _VARIANCE_RANGE:
            problems.append(f"the long-run variance is {ratio:.3g} times the sample's")
    if found.nu <= _SMALLEST_NU:
        problems.append(f"nu is {found.nu:.3f}: innovations have no variance")
    return problems


def _most_likely(returns: FloatArray, scale: float, *, is_normal: bool) -> GarchParameters:
    """Zero-mean parameters as `estimate_garch` finds them, by a search whose bits do not depend on threads."""
    (omega, alpha, beta, nu), log_likelihood, is_done = most_likely_garch(
        returns / scale, is_normal=is_normal, backcast=1.0
    )
    log_likelihood -= len(returns) * float(np.log(scale))
    return GarchParameters(
        0.0, float(omega) * scale**2, float(alpha), float(beta), float(nu), log_likelihood, {}, {}, 0 if is_done else 1
    )


@dataclass(frozen=True)
class FittedGarch:
    """A fitted GARCH(1,1): state [1] is the variance of the next hour."""

    name: str
    mean: float
    omega: float
    alpha: float
    beta: float
    nu: float
    seed: float
    diagnostics: Mapping[str, float] = field(default_factory=dict)
    verdict: Verdict = field(default_factory=Verdict)

    @property
    def parameters(self) -> Mapping[str, float]:
        """mean, omega, alpha, beta, nu (infinite: normal), seed of the recursion."""
        return {name: getattr(self, name) for name in ("mean", "omega", "alpha", "beta", "nu", "seed")}

    def filter(self, changes: FloatArray) -> VariancePath:
        """One-step forecasts; over a gap the variance goes on reverting."""
        changes = np.ascontiguousarray(changes, dtype=np.float64)
        variance = np.empty(len(changes))
        last = garch_path(changes, self.mean, self.omega, self.alpha, self.beta, self.seed, variance)
        return VariancePath(variance, np.full(len(changes), self.mean), np.array([last]))

    def shocked(self, state: FloatArray, moves: FloatArray) -> tuple[FloatArray, BoolArray]:
        """News impact of moves (Engle and Ng 1993), the innovation at most the largest of the fit."""
        variance = state[..., 0]
        largest = self.diagnostics["innovation_max"] * np.sqrt(variance)
        innovation = np.abs(moves - self.mean)
        news = np.minimum(innovation, largest)
        after = self.omega + self.alpha * news * news + self.beta * variance
        return after[..., None], innovation > largest

    def term_structure(self, state: FloatArray, horizons: Sequence[int]) -> FloatArray:
        """Sum of expected variances: H VL + (h - VL) (1 - p^H) / (1 - p), p = alpha + beta, VL the long-run one."""
        hours = np.asarray(horizons, dtype=np.float64)
        persistence = self.alpha + self.beta
        if persistence >= 1.0:
            return state[..., :1] * hours + 0.5 * self.omega * hours * (hours - 1.0)
        long_run = self.omega / (1.0 - persistence)
        return hours * long_run + (state[..., :1] - long_run) * (1.0 - persistence**hours) / (1.0 - persistence)


@dataclass(frozen=True)
class Garch:
    """GARCH(1,1) with Student t (or normal) innovations and zero mean."""

    distribution: Literal["normal", "t"] = "t"

    @property
    def name(self) -> str:
        """Name with the distribution."""
        return f"garch_{self.distribution}"

    def fit(self, changes: FloatArray) -> FittedGarch:
        """Fit the observed changes, gaps left out; a series without movement gets a variance of 0."""
        known = changes[np.isfinite(changes)]
        scale = robust_scale(known)
        if len(known) < MINIMUM_OBSERVATIONS or scale == 0.0:
            seed = float(np.mean(known * known)) if len(known) else np.nan
            fitted = FittedGarch(self.name, 0.0, 0.0 if seed == 0.0 else seed * 0.05, 0.0, 0.95, np.inf, seed)
            minimum = MINIMUM_OBSERVATIONS if scale > 0.0 or len(known) == 0 else MINIMUM_STILL
            verdict, diagnostics = judged(changes, fitted.filter(changes), minimum=minimum)
        else:
            # a robust presample: the plain variance of a series with one crash in it is the crash
            found = _most_likely(known, scale, is_normal=self.distribution == "normal")
            seed = float(np.mean(np.minimum(known[:BURN_IN] ** 2, (8.0 * scale) ** 2)))
            fitted = FittedGarch(self.name, 0.0, found.omega, found.alpha, found.beta, found.nu, seed)
            problems = parameter_problems(found, scale * scale)
            verdict, diagnostics = judged(changes, fitted.filter(changes), problems, minimum=MINIMUM_OBSERVATIONS)
            diagnostics |= {
                "log_likelihood": found.log_likelihood,
                "optimiser_flag": float(found.flag),
                "half_life": found.half_life,
            }
        return replace(fitted, diagnostics=diagnostics, verdict=verdict)
