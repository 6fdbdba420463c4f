"""Forecast validation: every estimator fitted on the first half of the history and scored, hour by hour, on the rest.

Scored are hours with a change that every estimator forecasts, each forecast from the hours before it with parameters
fitted before the split: by QLIKE against the deviations of the last 168 and of the last 24 changes, and by the value at
risk of filtered historical simulation at four tails: as many hits as there should be (Kupiec), hits independent of each
other (Christoffersen), losses beyond it as large as forecast (Acerbi and Szekely's second test).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from scipy.special import ndtr

from riskpipe.calibrate.backtest.coverage import (
    christoffersen_conditional,
    christoffersen_independence,
    kupiec,
    transitions,
)
from riskpipe.calibrate.backtest.forecasts import QUANTILE_WINDOW, filtered_quantile, filtered_shortfall
from riskpipe.calibrate.backtest.losses import loss_difference, qlike, qlike_losses
from riskpipe.calibrate.backtest.shortfall import unconditional_shortfall_test
from riskpipe.calibrate.estimators.protocol import FIT_ERRORS, VolatilityEstimator, standardised
from riskpipe.domain.book import BoolArray, FloatArray
from riskpipe.domain.market import ESTIMATORS, FAILS, NOT_CHECKED, PASSES, TAILS

MINIMUM_SCORED = 500  # changes on either side of the split
SIGNIFICANCE = 0.05
NAIVE = ("realised_168h", "realised_24h")
_LONGEST_SEED = 168  # changes before the slowest estimator forecasts
_BY_ESTIMATOR = ("qlike", "gain_168h", "gain_168h_t", "gain_24h", "gain_24h_t")
_BY_TAIL = ("hits", "kupiec_p", "independence_p", "conditional_p", "shortfall_z", "shortfall_p")


@dataclass(frozen=True)
class TailScore:
    """One estimator's value at risk at one tail: hits, p-values, Acerbi and Szekely's statistic, and what fails."""

    hits: int
    kupiec_p: float
    independence_p: float
    conditional_p: float
    shortfall_z: float
    shortfall_p: float
    failures: tuple[str, ...] = ()


@dataclass(frozen=True)
class EstimatorScore:
    """One estimator's forecasts; NaN and no tails where they were not checked, with the reason.

    `gain_168h` and `gain_24h` are mean QLIKE less that of the naive deviation, below 0 = better, with t-statistics.
    """

    qlike: float = np.nan
    gain_168h: float = np.nan
    gain_168h_t: float = np.nan
    gain_24h: float = np.nan
    gain_24h_t: float = np.nan
    failures: tuple[str, ...] = ()
    tails: Mapping[str, TailScore] = field(default_factory=dict)
    unchecked: str = ""

    @property
    def verdict(self) -> str:
        """One of passes, fails, not checked."""
        if self.unchecked:
            return NOT_CHECKED
        return FAILS if self.failures or any(tail.failures for tail in self.tails.values()) else PASSES

    @property
    def reason(self) -> str:
        """Why it fails or is not checked, in words."""
        return self.unchecked or "; ".join(
            (*self.failures, *(words for tail in self.tails.values() for words in tail.failures))
        )


@dataclass(frozen=True)
class SeriesScores:
    """Scores of one instrument by estimator, and the hours behind them."""

    n_fitted: int = 0
    n_scored: int = 0
    estimators: Mapping[str, EstimatorScore] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "SeriesScores":
        """Read back what `as_json` wrote."""
        read = {}
        for label, one in data["estimators"].items():
            tails = {
                name: TailScore(**{**tail, "failures": tuple(tail["failures"])}) for name, tail in one["tails"].items()
            }
            read[label] = EstimatorScore(**{**one, "failures": tuple(one["failures"]), "tails": tails})
        return cls(data["n_fitted"], data["n_scored"], read)


def score_series(changes: FloatArray, available: Mapping[str, VolatilityEstimator]) -> SeriesScores:
    """Score estimators on one instrument's hourly basis changes [t], NaN = gap; raises nothing a series brings about.

    Not checked, with the reason: everything with fewer than 500 changes on either side of the split or a basis that
    stands still on one of them; an estimator whose fit on the first half is refused or fails.
    """
    observed = np.flatnonzero(np.isfinite(changes))
    n_half = len(observed) // 2
    if n_half < MINIMUM_SCORED:
        return _unchecked(available, f"{len(observed)} hourly changes, {2 * MINIMUM_SCORED} needed")
    first = int(observed[n_half])
    if not (np.any(changes[observed[:n_half]]) and np.any(changes[observed[n_half:]])):
        return _unchecked(available, "the basis stands still")
    try:
        return _scored(changes, first, n_half, available)
    except FIT_ERRORS as error:
        return _unchecked(available, f"{type(error).__name__}: {error}")


def _scored(changes: FloatArray, first: int, n_half: int, available: Mapping[str, VolatilityEstimator]) -> SeriesScores:
    """Score the estimators from hour `first` on, before which there are n_half changes."""
    forecasts, refused = _forecasts(changes, first, available)
    scored = np.isfinite(changes)
    scored[:first] = False
    for second_moment, _ in forecasts.values():
        scored &= np.isfinite(second_moment)
    if scored.sum() < MINIMUM_SCORED:
        return _unchecked(available, f"{scored.sum()} hours that every estimator forecasts, {MINIMUM_SCORED} needed")
    losses = {
        label: qlike_losses(changes[scored], second_moment[scored]) for label, (second_moment, _) in forecasts.items()
    }
    window = min(QUANTILE_WINDOW, n_half - _LONGEST_SEED)
    scores = {label: EstimatorScore(unchecked=reason) for label, reason in refused.items()}
    for label, (second_moment, z) in forecasts.items():
        (by_week, week_t), (by_day, day_t) = (loss_difference(losses[label], losses[name]) for name in NAIVE)
        loses = [name for name, gain in (("168 hours", by_week), ("24 hours", by_day)) if gain > 0.0]
        scores[label] = EstimatorScore(
            qlike=qlike(changes[scored], second_moment[scored]),
            gain_168h=by_week,
            gain_168h_t=week_t,
            gain_24h=by_day,
            gain_24h_t=day_t,
            failures=(f"loses to the plain deviation of {' and of '.join(loses)}",) if loses else (),
            tails={name: tail_score(z, scored, name, window) for name in TAILS},
        )
    return SeriesScores(n_half, int(scored.sum()), {label: scores[label] for label in available})


def _unchecked(labels: Mapping[str, VolatilityEstimator], reason: str) -> SeriesScores:
    return SeriesScores(estimators={label: EstimatorScore(unchecked=reason) for label in labels})


def _forecasts(
    changes: FloatArray, first: int, available: Mapping[str, VolatilityEstimator]
) -> tuple[dict[str, tuple[FloatArray, FloatArray]], dict[str, str]]:
    """Return (second moments [t], standardised innovations [t]) by label, and why others have none.

    The naive ones estimate nothing: their gate, which one crash can close, does not keep them from being compared with.
    """
    found, refused = {}, {}
    for label, estimator in available.items():
        try:
            with np.errstate(all="ignore"):  # gates look at what comes out
                fitted = estimator.fit(changes[:first])
                path = fitted.filter(changes)
                if label not in NAIVE and not fitted.verdict.is_passed:
                    refused[label] = "refused: " + "; ".join(fitted.verdict.reasons)
                else:
                    found[label] = (path.second_moment(), standardised(changes, path))
        except FIT_ERRORS as error:
            refused[label] = f"{type(error).__name__}: {error}"
    return found, refused


def tail_score(z: FloatArray, scored: BoolArray, name: str, window: int) -> TailScore:
    """Score a value at risk from the last `window` standardised innovations z [t] over the hours scored [t]."""
    probability = TAILS[name]
    is_lower = probability < 0.5
    tail = min(probability, 1.0 - probability)
    outcomes = z if is_lower else -z
    at_risk = -filtered_quantile(outcomes, tail, window)
    shortfall = -filtered_shortfall(outcomes, tail, window)
    outcomes, at_risk, shortfall = outcomes[scored], at_risk[scored], shortfall[scored]
    hits = outcomes + at_risk < 0.0
    n, n_hits = len(hits), int(hits.sum())
    coverage, independence = kupiec(n, n_hits, tail), christoffersen_independence(*transitions(hits))
    finite = np.where(np.isfinite(outcomes), outcomes, np.nan)  # infinite where a forecast of no variance met a change
    statistic = unconditional_shortfall_test(finite, at_risk, shortfall, tail)
    p_value = shortfall_p(statistic, (finite / shortfall)[hits & np.isfinite(finite)], n, tail)
    failures = []
    if coverage.p_value < SIGNIFICANCE:
        failures.append(f"{name}: {n_hits} hits of {n} hours, {tail * n:.0f} expected")
    if independence.p_value < SIGNIFICANCE:
        failures.append(f"{name}: hits cluster")
    if p_value < SIGNIFICANCE:
        failures.append(f"{name}: losses beyond it larger than forecast")
    return TailScore(
        n_hits, coverage.p_value, independence.p_value, christoffersen_conditional(hits, tail).p_value, statistic,
        p_value, tuple(failures),
    )  # fmt: skip


def shortfall_p(statistic: float, ratios: FloatArray, n_observations: int, tail: float) -> float:
    """Probability of a smaller Acerbi-Szekely Z2 under a right forecast, by its normal limit.

    Under a right forecast Z2 is a mean of n terms of variance q / tail - 1, q the mean square of outcome over expected
    shortfall among hits, taken from the hits there were (at least 1). Of normal outcomes at 2.5% and 250 observations
    it puts 5% below -0.66, where the paper's simulations have -0.70.
    """
    spread = float(np.mean(ratios * ratios)) if len(ratios) else 1.0
    return float(ndtr(statistic / np.sqrt((max(1.0, spread) / tail - 1.0) / n_observations)))


def validation_arrays(scores: Sequence[SeriesScores]) -> dict[str, np.ndarray]:
    """Return the variables of /validation: [i], [i, estimator], [i, estimator, tail]; NaN and "not checked" else."""
    n = len(scores)
    by_estimator = {name: np.full((n, len(ESTIMATORS)), np.nan) for name in _BY_ESTIMATOR}
    by_tail = {name: np.full((n, len(ESTIMATORS), len(TAILS)), np.nan) for name in _BY_TAIL}
    verdict = np.full((n, len(ESTIMATORS)), NOT_CHECKED, dtype=object)
    reason = np.full((n, len(ESTIMATORS)), "", dtype=object)
    tail_verdict = np.full((n, len(ESTIMATORS), len(TAILS)), NOT_CHECKED, dtype=object)
    for row, of_series in enumerate(scores):
        for label, one in of_series.estimators.items():
            at = ESTIMATORS.index(label)
            verdict[row, at], reason[row, at] = one.verdict, one.reason
            for name in _BY_ESTIMATOR:
                by_estimator[name][row, at] = getattr(one, name)
            for k, tail in enumerate(TAILS):
                if tail in one.tails:
                    for name in _BY_TAIL:
                        by_tail[name][row, at, k] = getattr(one.tails[tail], name)
                    tail_verdict[row, at, k] = FAILS if one.tails[tail].failures else PASSES
    return {
        "hours_fitted": np.array([one.n_fitted for one in scores], dtype=np.float64),
        "hours_scored": np.array([one.n_scored for one in scores], dtype=np.float64),
        "verdict": verdict,
        "reason": reason,
        "tail_verdict": tail_verdict,
        **by_estimator,
        **by_tail,
    }
