"""Everything that a night fits for one instrument's basis, as plain values that a worker can send back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from riskpipe.calibrate.estimators.choose import Choice
from riskpipe.calibrate.estimators.garch import FittedGarch, Garch
from riskpipe.calibrate.estimators.instrument import InstrumentFit, fit_instrument
from riskpipe.calibrate.estimators.mixture import Mixture
from riskpipe.calibrate.estimators.plain import Ewma, Realised
from riskpipe.calibrate.estimators.protocol import FIT_ERRORS, FittedVolatility, VolatilityEstimator, standardised
from riskpipe.calibrate.hourly import HourlySeries
from riskpipe.calibrate.index_moves import IndexResponse, index_response
from riskpipe.calibrate.surface import NewsImpact, news_impact
from riskpipe.domain.book import FloatArray
from riskpipe.domain.market import ESTIMATORS, HORIZONS_HOURS

# the best first, by forecast loss on recorded perpetuals (see estimators.choose.ORDER)
FALLBACKS = ("reverting_mixture", "ewma", "realised_168h", "realised_24h")
DIAGNOSTICS = (
    "misfit", "half_life", "stationary_deviation", "jump_share", "n_jumps", "arch_p", "ljung_box_p",
    "tail_shape_lower", "tail_shape_upper", "degrees_of_freedom", "calm_share", "crash_coefficient", "crash_t",
    "rally_coefficient", "rally_t",
)  # fmt: skip
_HOURS = tuple(round(h) for h in HORIZONS_HOURS)
_NOTHING = (np.nan,) * len(_HOURS)


def estimators(ewma_decay: float) -> dict[str, VolatilityEstimator]:
    """Return every estimator that forecasts an hour, by its label in the cube."""
    return {
        "reverting_mixture": Mixture(),
        "garch_t": Garch(),
        "ewma": Ewma(ewma_decay),
        "realised_168h": Realised(168),
        "realised_24h": Realised(24),
    }


@dataclass(frozen=True)
class FitSettings:
    """What a run's configuration says of fits: the weight that EWMA keeps per hour, and the fewest hourly changes."""

    ewma_decay: float
    minimum_observations: int


@dataclass(frozen=True)
class SeriesFit:
    """What was fitted for one instrument; NaN and empty texts where nothing could be.

    `estimator` is the label of the one used, `refused` says of those before it in the order, and of those fitted for
    comparison, why they are not. `volatility` by label and the line of the surface are by horizon. `problems` are
    diagnostics that failed, with the error.
    """

    estimator: str = ""
    refused: tuple[str, ...] = ()
    volatility: Mapping[str, Sequence[float]] = field(default_factory=dict)
    mean: float = np.nan
    largest: float = np.nan
    intercept: Sequence[float] = _NOTHING
    slope: Sequence[float] = _NOTHING
    first_hour: Sequence[float] = _NOTHING
    index: IndexResponse = field(default_factory=IndexResponse)
    diagnostics: Mapping[str, float] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    is_short: bool = False  # too few changes to fit anything

    @property
    def is_fallback(self) -> bool:
        """Whether an estimator is used that is not the first of the order."""
        return self.estimator not in {"", FALLBACKS[0]}

    def as_json(self) -> dict[str, Any]:
        """Plain values for JSON, which keeps every bit of a float."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "SeriesFit":
        """Read back what `as_json` wrote."""
        texts = {name: tuple(data[name]) for name in ("refused", "problems")}
        return cls(**{**data, **texts, "index": IndexResponse(**data["index"])})


Fit = Callable[[HourlySeries, FitSettings], list[SeriesFit]]
"""How all series are fitted: one after another here, or spread over workers by whoever orchestrates."""


def fit_here(series: HourlySeries, settings: FitSettings) -> list[SeriesFit]:
    """Fit every instrument in this process."""
    return [
        fit_series(changes, level, move, settings)
        for changes, level, move in zip(series.changes, series.level, series.index_move, strict=True)
    ]


def fit_series(
    changes: FloatArray,
    level: FloatArray,
    index_move: FloatArray,
    settings: FitSettings,
    *,
    available: Mapping[str, VolatilityEstimator] | None = None,
) -> SeriesFit:
    """Fit one instrument: the first estimator of the order that passes its gate, the surface, and all for comparison.

    Arguments
    ---------
    changes, level, index_move: [t] by hour: changes of the basis, the basis, relative moves of its index; NaN = gap.
    settings: of a night.
    available: estimators by label; those of the settings by default. Labels that are no fallbacks are fitted for
        comparison only.

    Raises nothing that a series can bring about: what fails is told in `refused` and `problems`.
    """
    n_observed = int(np.isfinite(changes).sum())
    if n_observed < settings.minimum_observations:
        return SeriesFit(
            refused=(f"{n_observed} hourly changes, {settings.minimum_observations} needed",), is_short=True
        )
    try:
        with np.errstate(all="ignore"):  # gates look at what comes out
            return _fitted(changes, level, index_move, available or estimators(settings.ewma_decay))
    except FIT_ERRORS as error:
        return SeriesFit(refused=(f"{type(error).__name__}: {error}",))


def _fitted(
    changes: FloatArray,
    level: FloatArray,
    index_move: FloatArray,
    available: Mapping[str, VolatilityEstimator],
) -> SeriesFit:
    label_of = {available[label].name: label for label in FALLBACKS}
    fit = fit_instrument(changes, level, horizons=_HOURS, order=[available[label] for label in FALLBACKS])
    refused = {label_of[name]: "; ".join(reasons) for name, reasons in fit.refused}
    volatility: dict[str, list[float]] = {}
    degrees = np.nan
    for label, estimator in available.items():
        if label in refused:
            continue
        if fit.choice is not None and estimator.name == fit.estimator:
            volatility[label] = fit.volatility.tolist()
            continue
        found = _compared(estimator, changes)
        if isinstance(found, str):
            refused[label] = found
            continue
        volatility[label] = np.sqrt(found.term_structure(found.filter(changes).state, _HOURS)).tolist()
        degrees = found.nu if isinstance(found, FittedGarch) else degrees
    words = tuple(f"{label}: {reason}" for label, reason in refused.items())
    if fit.choice is None:
        return SeriesFit(refused=words, volatility=volatility)
    impact, response, problems = _surface(fit, fit.choice, changes, index_move)
    diagnostics = {name: fit.diagnostics.get(name, np.nan) for name in DIAGNOSTICS} | {
        "degrees_of_freedom": degrees,
        "calm_share": response.calm,
        "crash_coefficient": response.fall,
        "crash_t": response.fall_t,
        "rally_coefficient": response.rise,
        "rally_t": response.rise_t,
    }
    return SeriesFit(
        estimator=label_of[fit.estimator],
        refused=words,
        volatility=volatility,
        mean=impact.mean,
        largest=impact.largest,
        intercept=impact.intercept.tolist(),
        slope=impact.slope.tolist(),
        first_hour=impact.first_hour.tolist(),
        index=response,
        diagnostics=diagnostics,
        problems=problems,
    )


def _surface(
    fit: InstrumentFit, choice: Choice, changes: FloatArray, index_move: FloatArray
) -> tuple[NewsImpact, IndexResponse, tuple[str, ...]]:
    """Return the surface's line, what index moves do to it, and what failed."""
    impact = news_impact(choice.fitted, changes, _HOURS)
    try:
        response = index_response(standardised(changes, choice.fitted.filter(changes)), index_move)
    except FIT_ERRORS as error:
        return impact, IndexResponse(), (*fit.problems, f"index response: {type(error).__name__}: {error}")
    return impact, response, fit.problems


def _compared(estimator: VolatilityEstimator, changes: FloatArray) -> FittedVolatility | str:
    """Return a fit for comparison, or why there is none."""
    try:
        fitted = estimator.fit(changes)
    except FIT_ERRORS as error:
        return f"{type(error).__name__}: {error}"
    return fitted if fitted.verdict.is_passed else "; ".join(fitted.verdict.reasons)


def basis_arrays(fits: Sequence[SeriesFit]) -> dict[str, np.ndarray]:
    """Return what /basis holds of the fits, by variable [i] or [i, estimator, h], NaN and "" where there is none."""
    vol = np.full((len(fits), len(ESTIMATORS), len(_HOURS)), np.nan)
    for row, fit in enumerate(fits):
        for label, values in fit.volatility.items():
            vol[row, ESTIMATORS.index(label)] = values
    return {
        "basis_vol": vol,
        "estimator_used": np.array([fit.estimator for fit in fits], dtype=np.str_),
        "estimators_refused": np.array([" | ".join(fit.refused) for fit in fits], dtype=np.str_),
        **{
            name: np.array([fit.diagnostics.get(name, np.nan) for fit in fits], dtype=np.float64)
            for name in DIAGNOSTICS
        },
    }
