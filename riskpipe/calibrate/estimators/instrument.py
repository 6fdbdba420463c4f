"""Everything a night fits for one instrument: a pure unit of work that never raises, so one series spoils one cell."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from riskpipe.calibrate.estimators.choose import ORDER, Choice, first_passing
from riskpipe.calibrate.estimators.diagnostics import arch_lm, jump_share, ljung_box, n_jumps
from riskpipe.calibrate.estimators.protocol import VolatilityEstimator, standardised
from riskpipe.calibrate.estimators.reversion import fit_reversion
from riskpipe.calibrate.estimators.tails import fit_tail
from riskpipe.domain.book import FloatArray
from riskpipe.domain.market import HORIZONS_HOURS

TAIL_SHARE = 0.05  # of standardised innovations, on either side, that are peaks over the threshold
_MINIMUM_FOR_TAILS = 500


@dataclass(frozen=True)
class InstrumentFit:
    """What is known of one instrument's basis volatility; NaN where something could not be measured.

    `volatility` [h] is the standard deviation of the change over each horizon from now on. `refused` names estimators
    that were asked before the one used, with the reasons; where none passed, `choice` is None and they are all there.
    """

    choice: Choice | None
    refused: tuple[tuple[str, tuple[str, ...]], ...]
    horizons: tuple[int, ...]
    volatility: FloatArray
    diagnostics: Mapping[str, float] = field(default_factory=dict)
    problems: tuple[str, ...] = ()  # diagnostics that failed, with the error

    @property
    def estimator(self) -> str:
        """Name of the estimator used; empty where none passed."""
        return self.choice.fitted.name if self.choice else ""


def fit_instrument(
    changes: FloatArray,
    level: FloatArray,
    *,
    horizons: Sequence[float] = HORIZONS_HOURS,
    order: Sequence[VolatilityEstimator] = ORDER,
) -> InstrumentFit:
    """Fit one instrument: the first estimator that passes, its term structure, and diagnostics of what it leaves.

    Arguments
    ---------
    changes: [t] hourly changes of the basis, fraction, NaN for gaps, in time order.
    level: [t] the basis at the same hours, NaN for gaps.
    horizons: whole hours.
    order: estimators to ask, the best first.

    Diagnostics: those of the fit; half_life (hours) and stationary_deviation of an AR(1) level; jump_share; n_jumps
    beyond 5 deviations; p-values arch_p of clusters left in standardised innovations and ljung_box_p of correlation;
    tail_shape_lower and tail_shape_upper of their peaks over the 95th percentile. Raises nothing.
    """
    hours = tuple(round(h) for h in horizons)
    changes = np.ascontiguousarray(changes, dtype=np.float64)
    choice, refused = first_passing(changes, order)
    if choice is None:
        return InstrumentFit(None, refused, hours, np.full(len(hours), np.nan))
    fitted = choice.fitted
    path = fitted.filter(changes)
    volatility = np.sqrt(fitted.term_structure(path.state, hours))
    z = standardised(changes, path)
    z = z[np.isfinite(z)]
    reversion = fit_reversion(np.asarray(level, dtype=np.float64))
    found = dict(fitted.diagnostics)
    problems: list[str] = []

    def measure(name: str, function: Callable[[], float]) -> None:
        try:
            found[name] = float(function())
        except (ArithmeticError, ValueError, RuntimeError) as error:
            found[name] = np.nan
            problems.append(f"{name}: {type(error).__name__}: {error}")

    measure("half_life", lambda: reversion.half_life)
    measure("stationary_deviation", lambda: np.sqrt(reversion.stationary_variance))
    measure("jump_share", lambda: jump_share(changes))
    measure("n_jumps", lambda: n_jumps(z))
    measure("arch_p", lambda: arch_lm(z).p_value)
    measure("ljung_box_p", lambda: ljung_box(z).p_value)
    measure("tail_shape_lower", lambda: _tail_shape(-z))
    measure("tail_shape_upper", lambda: _tail_shape(z))
    return InstrumentFit(choice, refused, hours, volatility, found, tuple(problems))


def _tail_shape(z: FloatArray) -> float:
    """Shape of the upper tail of standardised innovations; NaN where there are too few or the fit is refused."""
    if len(z) < _MINIMUM_FOR_TAILS or np.ptp(z) == 0.0:
        return np.nan
    tail = fit_tail(z, float(np.quantile(z, 1.0 - TAIL_SHARE)))
    return tail.shape if tail.verdict.is_passed else np.nan
