"""Everything that a night measures of one pair's spread over its history, as plain values that a worker can send back.

Levels, half-lives and volatilities are of the spread beyond its carry: a dated spread goes down a straight line to its
end, and only what comes and goes around it is risk.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any

import numpy as np

from riskpipe.calibrate.estimators.choose import first_passing
from riskpipe.calibrate.estimators.plain import Ewma
from riskpipe.calibrate.estimators.protocol import FIT_ERRORS, FittedVolatility, standardised
from riskpipe.calibrate.fits import FALLBACKS, FitSettings, estimators
from riskpipe.calibrate.history import HOUR_US
from riskpipe.calibrate.spreads.hedged import HedgedPosition, exhaustion_probability, hedge_outcome
from riskpipe.calibrate.spreads.pairs import OWN_INDEX, Pairs, SpreadKind
from riskpipe.calibrate.spreads.passage import Draws, SpreadProcess, hourly_deviations
from riskpipe.calibrate.spreads.prices import PricePanel, hourly_changes, hourly_returns
from riskpipe.calibrate.spreads.regimes import correlation_by_regime
from riskpipe.calibrate.spreads.robust import cut
from riskpipe.calibrate.spreads.series import SpreadSeries, beyond_carry
from riskpipe.calibrate.spreads.trades import Hedged
from riskpipe.calibrate.spreads.views import convergence, widening
from riskpipe.domain.book import Book, FloatArray
from riskpipe.domain.market import HORIZONS_HOURS

N_PATHS = 4_000  # of a hedged position: errors below 0.008
MINIMUM_JOINT_HOURS = 100  # innovations of spread and index together, to draw from
ROUNDING = 1e-12  # of a spread: what moves by less stands still
_HOURS = tuple(round(h) for h in HORIZONS_HOURS)
_NOTHING = (np.nan,) * len(_HOURS)
REGIMES = ("calm", "stressed", "crash")
BY_PAIR = (
    "observations", "mean_spread", "last_history_spread", "half_life", "half_life_low", "half_life_high",
    *(f"correlation_{regime}{what}" for regime in REGIMES for what in ("", "_error")),
)  # fmt: skip
BY_HORIZON = (
    "spread_vol", "widening_score", "is_widening", "hedge_ratio", "hedge_effectiveness", "hedge_deviation",
    "hedge_loss_99", "exhaustion", "exhaustion_error",
)  # fmt: skip


@dataclass(frozen=True)
class PairSeries:
    """Hourly series of pairs up to as_of (n pairs, t hours), NaN = gap; and the trade of each pair [n]."""

    spread: FloatArray  # [n, t] price of the first / price of the second - 1
    beyond: FloatArray  # [n, t] beyond its carry
    first_return: FloatArray  # [n, t] relative, over the hour, in USD where quote assets differ
    second_return: FloatArray  # [n, t]
    index_return: FloatArray  # [n, t] of what both legs follow
    trade: FloatArray  # [n, k] the fields of `Hedged`, in their order

    def __len__(self) -> int:
        """Count pairs."""
        return len(self.spread)

    def hedged(self, row: int) -> Mapping[str, float]:
        """Return the trade of one pair by the names of `Hedged`."""
        return dict(zip((item.name for item in fields(Hedged)), self.trade[row].tolist(), strict=True))


def until(panel: PricePanel, as_of: datetime) -> PricePanel:
    """Return a panel whose last hour is the last whole one before as_of: after the end of a history there are gaps."""
    if len(panel.ts_us) == 0:
        return panel
    n_more = max(0, (round(as_of.timestamp() * 1e6) - int(panel.ts_us[-1])) // HOUR_US)
    more = panel.ts_us[-1] + HOUR_US * np.arange(1, n_more + 1)

    def longer(values: FloatArray) -> FloatArray:
        return np.vstack([values, np.full((n_more, values.shape[1]), np.nan)])

    ts_us = np.concatenate([panel.ts_us, more])
    return PricePanel(ts_us, longer(panel.mark), longer(panel.index), longer(panel.asset))


def pair_series(panel: PricePanel, series: SpreadSeries, pairs: Pairs, book: Book, hedged: Hedged) -> PairSeries:
    """Return the series of every pair, pairs first, with what units of work need beside them."""
    is_ratio = np.array([kind == SpreadKind.ASSET_RATIO for kind in pairs.kind], dtype=np.bool_)
    is_spot = ~is_ratio & (pairs.second == OWN_INDEX)
    is_numeraire = np.array([name == book.numeraire for name in book.names("asset")], dtype=np.bool_)
    worth = np.where(is_numeraire, 1.0, panel.asset)
    shape = panel.mark.shape[0], len(pairs)
    first, second, index = (np.full(shape, np.nan) for _ in range(3))
    asset = hourly_returns(panel.asset)
    first[:, is_ratio], second[:, is_ratio] = asset[:, pairs.first[is_ratio]], asset[:, pairs.second[is_ratio]]
    index[:, is_ratio] = second[:, is_ratio]
    one = pairs.first[~is_ratio]
    own_index = hourly_returns(panel.index[:, one])
    index[:, ~is_ratio] = own_index
    first[:, ~is_ratio] = hourly_returns(panel.mark[:, one])
    second[:, is_spot] = index[:, is_spot]
    has_two = ~is_ratio & ~is_spot
    one, other = pairs.first[has_two], pairs.second[has_two]
    quote, other_quote = book.instrument_quote[one], book.instrument_quote[other]
    is_same = quote == other_quote
    for returns, leg, money in ((first, one, quote), (second, other, other_quote)):
        returns[:, has_two] = hourly_returns(panel.mark[:, leg] * np.where(is_same, 1.0, worth[:, money]))
    trade = np.stack([getattr(hedged, item.name) for item in fields(Hedged)], axis=1)
    return PairSeries(
        spread=_pairs_first(_still(series.spread)),
        beyond=_pairs_first(_still(beyond_carry(series))),
        first_return=_pairs_first(first),
        second_return=_pairs_first(second),
        index_return=_pairs_first(index),
        trade=trade,
    )


def _pairs_first(values: FloatArray) -> FloatArray:
    return np.ascontiguousarray(values.T)


def _still(values: FloatArray) -> FloatArray:
    """Values [t, n] with columns that move by rounding errors alone made constant: their last digits are no risk."""
    is_gap = np.isnan(values)
    low = np.where(is_gap, np.inf, values).min(axis=0, initial=np.inf)
    high = np.where(is_gap, -np.inf, values).max(axis=0, initial=-np.inf)
    return np.where((high - low < ROUNDING) & ~is_gap, low, values)


@dataclass(frozen=True)
class PairMeasures:
    """What was measured of one pair; NaN and "" where nothing was. `by_horizon` over 1 h, 8 h, 1 d and 7 d.

    Names: see BY_PAIR and BY_HORIZON. `problems` says what failed, with the error.
    """

    estimator: str = ""
    by_pair: Mapping[str, float] = field(default_factory=dict)
    by_horizon: Mapping[str, Sequence[float]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values for JSON, which keeps every bit of a float."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "PairMeasures":
        """Read back what `as_json` wrote."""
        return cls(**{**data, "problems": tuple(data["problems"])})


def measure_pair(series: PairSeries, row: int, settings: FitSettings) -> PairMeasures:
    """Measure one pair; raises nothing that a series can bring about: what fails is told in `problems`.

    Volatility is that of the first estimator that passes its gate (`calibrate.fits.FALLBACKS`); without one there is
    neither widening nor a chance of running out of margin. The last hour is the one judged: without a spread in it
    nothing is said to widen.
    """
    spread, beyond = series.spread[row], series.beyond[row]
    changes = hourly_changes(beyond)
    n_observed = int(np.isfinite(changes).sum())
    known = np.flatnonzero(np.isfinite(spread))
    by_pair: dict[str, float] = {"observations": float(n_observed)}
    if len(known):
        by_pair |= {"mean_spread": float(spread[known].mean()), "last_history_spread": float(spread[known[-1]])}
    if n_observed < settings.minimum_observations:
        return PairMeasures(by_pair=by_pair)
    by_horizon: dict[str, Sequence[float]] = {}
    problems: list[str] = []

    def attempt(what: str, function: Callable[[], None]) -> None:
        try:
            with np.errstate(all="ignore"):  # gates look at what comes out
                function()
        except FIT_ERRORS as error:
            problems.append(f"{what}: {type(error).__name__}: {error}")

    def joint() -> None:
        found = correlation_by_regime(hourly_changes(spread), series.index_return[row])
        for regime in REGIMES:
            part = getattr(found, regime)
            by_pair[f"correlation_{regime}"] = part.correlation
            by_pair[f"correlation_{regime}_error"] = part.correlation_error

    def hedge() -> None:
        found = hedge_outcome(series.first_return[row], series.second_return[row], 1.0, _HOURS)
        by_horizon["hedge_ratio"] = found.ratio.tolist()
        by_horizon["hedge_effectiveness"] = found.effectiveness.tolist()
        by_horizon["hedge_deviation"] = found.deviation_usd.tolist()
        by_horizon["hedge_loss_99"] = found.loss_99_usd.tolist()

    def reversion() -> None:
        found = convergence(beyond, is_noise_removed=True)
        by_pair["half_life"] = found.half_life
        by_pair["half_life_low"], by_pair["half_life_high"] = found.half_life_low, found.half_life_high

    attempt("correlation", joint)
    attempt("hedge", hedge)
    attempt("convergence", reversion)
    available = estimators(settings.ewma_decay)
    with np.errstate(all="ignore"):
        choice, refused = first_passing(changes, [available[label] for label in FALLBACKS])
    if choice is None:
        words = (f"{name}: {'; '.join(reasons)}" for name, reasons in refused)
        return PairMeasures("", by_pair, by_horizon, (*problems, *words))
    fitted = choice.fitted
    label = next(label for label in FALLBACKS if available[label].name == fitted.name)

    def volatility() -> None:
        by_horizon["spread_vol"] = np.sqrt(fitted.term_structure(fitted.filter(changes).state, _HOURS)).tolist()

    def moves() -> None:
        found = widening(beyond, fitted, _HOURS)
        is_measured = ~np.isnan(found.score)
        by_horizon["widening_score"] = found.score.tolist()
        by_horizon["is_widening"] = np.where(is_measured, found.is_widening, np.nan).tolist()

    def margin() -> None:
        probability, error = exhaustion(series, row, fitted)
        by_horizon["exhaustion"], by_horizon["exhaustion_error"] = probability, error

    for what, function in (("volatility", volatility), ("widening", moves), ("margin", margin)):
        attempt(what, function)
    return PairMeasures(label, by_pair, by_horizon, tuple(problems))


def exhaustion(series: PairSeries, row: int, fitted: FittedVolatility) -> tuple[Sequence[float], Sequence[float]]:
    """Probability by horizon that the trade of a pair runs out of margin, of whichever leg's pool it is likelier in.

    The spread beyond its carry reverts as an AR(1) does, with innovations that add up to the fitted volatility over
    each horizon. Hours of the past are drawn whole, standardised innovations of spread and index together. Returns the
    standard errors beside; NaN where the spread, the margin or funding is not known now, or too few hours are.
    """
    beyond, trade = series.beyond[row], series.hedged(row)
    changes = hourly_changes(beyond)
    path = fitted.filter(changes)
    index = Ewma().fit(series.index_return[row])
    index_path = index.filter(series.index_return[row])
    z = np.stack([standardised(changes, path), standardised(series.index_return[row], index_path)], axis=1)
    z = z[np.isfinite(z).all(axis=1)]
    reversion = convergence(beyond)
    own = [trade[name] for name in ("side", "unhedged_share", "own_maintenance", "own_buffer", "own_funding")]
    if not (len(z) >= MINIMUM_JOINT_HOURS and np.isfinite([beyond[-1], reversion.phi, *own]).all()):
        return _NOTHING, _NOTHING
    deviation = z.std(axis=0)
    z = (z - z.mean(axis=0)) / np.where(deviation > 0.0, deviation, 1.0)
    draws = Draws(seed=row, n_paths=N_PATHS, history=z)
    phi = min(1.0, max(0.0, reversion.phi))
    process = SpreadProcess(
        start=float(beyond[-1]),
        mean=float(np.nanmean(cut(beyond[:, None]))),
        phi=phi,
        deviation=hourly_deviations(fitted.term_structure(path.state, _HOURS), _HOURS, phi),
    )
    index_deviation = float(np.sqrt(index_path.state[0]))
    side, unhedged_share, maintenance, buffer, funding = own
    found = exhaustion_probability(
        HedgedPosition(1.0, buffer, int(side), unhedged_share, maintenance, index_deviation, funding),
        process, _HOURS, draws,
    )  # fmt: skip
    probability, error = found.probability, found.error
    if np.isfinite(trade["other_buffer"]):
        if np.isnan(trade["other_funding"]):
            return _NOTHING, _NOTHING
        still = SpreadProcess(0.0, 0.0, 1.0, (0.0,))  # its pool looks at the index alone
        other = exhaustion_probability(
            HedgedPosition(
                1.0, trade["other_buffer"], -int(side), 1.0, trade["other_maintenance"], index_deviation,
                trade["other_funding"],
            ),
            still, _HOURS, draws,
        )  # fmt: skip
        is_other = other.probability > probability
        probability, error = np.where(is_other, other.probability, probability), np.where(is_other, other.error, error)
    return probability.tolist(), error.tolist()


def measured_arrays(found: Sequence[PairMeasures]) -> dict[str, np.ndarray]:
    """Return what /spreads holds of the measures, by variable [n] or [n, h]; NaN and "" where there is none."""
    shape = (len(found), len(_HOURS))
    return {
        "estimator_used": np.array([one.estimator for one in found], dtype=object),
        "problems": np.array([" | ".join(one.problems) for one in found], dtype=object),
        **{name: np.array([one.by_pair.get(name, np.nan) for one in found], dtype=np.float64) for name in BY_PAIR},
        **{
            name: np.array([one.by_horizon.get(name, _NOTHING) for one in found], dtype=np.float64).reshape(shape)
            for name in BY_HORIZON
        },
    }
