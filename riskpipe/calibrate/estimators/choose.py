"""The estimator that is used: the first of an order whose fit passes its gate, with why the others did not."""

from collections.abc import Sequence
from dataclasses import dataclass

from riskpipe.calibrate.estimators.mixture import Mixture
from riskpipe.calibrate.estimators.plain import Ewma, Realised
from riskpipe.calibrate.estimators.protocol import FittedVolatility, VolatilityEstimator
from riskpipe.domain.book import FloatArray

# by forecast loss on recorded perpetuals before 2022 (tests/calibrate/test_forecasts_on_recorded_basis.py); GARCH(1,1)
# is behind EWMA there, whose gate hardly ever refuses, so it is no fallback
ORDER: tuple[VolatilityEstimator, ...] = (Mixture(), Ewma(0.94), Realised(168), Realised(24))


@dataclass(frozen=True)
class Choice:
    """A fitted model to use, and whether an estimator before it in the order was refused."""

    fitted: FittedVolatility
    is_fallback: bool


def first_passing(
    changes: FloatArray, order: Sequence[VolatilityEstimator] = ORDER
) -> tuple[Choice | None, tuple[tuple[str, tuple[str, ...]], ...]]:
    """Fit the estimators in order until one passes its gate.

    changes: [t] hourly changes, fraction, NaN for gaps. Returns the choice, None where no estimator passes (too few
    changes for any), and every estimator refused with the reasons. An estimator that raises is refused with its
    error's words: one series must not end the fit of the others.
    """
    refused: list[tuple[str, tuple[str, ...]]] = []
    for estimator in order:
        try:
            fitted = estimator.fit(changes)
        except (ArithmeticError, ValueError, RuntimeError) as error:
            refused.append((estimator.name, (f"{type(error).__name__}: {error}",)))
            continue
        if fitted.verdict.is_passed:
            return Choice(fitted, is_fallback=bool(refused)), tuple(refused)
        refused.append((estimator.name, fitted.verdict.reasons))
    return None, tuple(refused)
