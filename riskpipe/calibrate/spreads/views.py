"""Views of spreads: what carrying one earns, whether it widens, how fast it closes, and the flow that closes it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from riskpipe.calibrate.estimators.protocol import FittedVolatility
from riskpipe.calibrate.estimators.reversion import MINIMUM_PAIRS, corrected_phi, half_life
from riskpipe.calibrate.spreads.prices import hourly_changes
from riskpipe.calibrate.spreads.robust import cut
from riskpipe.domain.book import BoolArray, FloatArray, Numbers
from riskpipe.pricing.carry import DAYS_PER_YEAR
from riskpipe.pricing.funding import HOURS_PER_YEAR

WIDE = 3.0  # standard deviations
CONFIDENCE_Z = 1.959963984540054  # of the normal at 95%


@dataclass(frozen=True)
class NetCarry:
    """What a carry trade earns, fractions of notional a year unless said otherwise; arrays of one shape."""

    gross: FloatArray  # funding received, and the basis that goes away
    fees: FloatArray  # of going in and out, spread over the time held
    financing: FloatArray  # of the cash, or of the borrowed asset, and of what the margin could earn
    net: FloatArray
    break_even_days: FloatArray  # held so long, gross less financing has paid the fees; infinite where it never does


def net_carry(
    *,
    holding_days: Numbers,
    round_trip_fees: Numbers,
    funding_rate: Numbers = 0.0,
    interval_hours: Numbers = 8.0,
    basis: Numbers = 0.0,
    final_basis: Numbers = 0.0,
    financing_rate: Numbers = 0.0,
    margin_share: Numbers = 0.0,
    is_reverse: BoolArray | bool = False,
) -> NetCarry:
    """Carry net of fees, funding and financing of long asset and short contract, or the reverse.

        gross     = funding_rate x 8760 / interval_hours + (basis - final_basis) x 365 / holding_days
        fees      = round_trip_fees x 365 / holding_days
        financing = financing_rate x (1 + margin_share)

    Arguments
    ---------
    holding_days: > 0; to expiry for a dated future, whose final basis is 0.
    round_trip_fees: of both legs, in and out, fraction of notional.
    funding_rate: expected per interval, + longs pay; 0 for dated futures.
    basis: price / index - 1 at the start; final_basis: expected at the end. A perpetual's basis is no promise: leave
        both at 0, or give the mean as the final one.
    financing_rate: a year, of the cash that buys the asset; in reverse of the asset that is borrowed.
    margin_share: cash set aside as margin of the contract, fraction of notional; in reverse the sale's cash provides
        it.
    is_reverse: short asset, long contract: gross changes its sign.

    Raises ValueError where a number of days is not above 0.
    """
    days = np.asarray(holding_days, dtype=np.float64)
    if np.any(days <= 0.0):
        raise ValueError(f"holding_days must be above 0, got {holding_days}")
    direction = np.where(is_reverse, -1.0, 1.0)
    funding = HOURS_PER_YEAR * np.asarray(funding_rate) / interval_hours
    once = direction * (np.asarray(basis) - final_basis)
    gross = direction * funding + once * DAYS_PER_YEAR / days
    fees = np.asarray(round_trip_fees) * DAYS_PER_YEAR / days
    financing = np.asarray(financing_rate) * (1.0 + np.where(is_reverse, 0.0, margin_share))
    daily = (gross - financing) / DAYS_PER_YEAR
    pays = daily > 0.0
    with np.errstate(over="ignore"):  # what pays next to nothing breaks even in no number of days
        break_even = np.where(pays, np.asarray(round_trip_fees) / np.where(pays, daily, 1.0), np.inf)
    break_even = np.where(np.isnan(daily), np.nan, break_even)
    shaped = np.broadcast_arrays(gross, fees, financing, gross - fees - financing, break_even)
    return NetCarry(*(np.array(values, dtype=np.float64) for values in shaped))


@dataclass(frozen=True)
class Widening:
    """How unusual a spread's latest moves are, by horizon [h]; NaN = not measured."""

    horizons: tuple[int, ...]
    score: FloatArray  # move over the horizon less the expected one, over its standard deviation forecast before it
    is_widening: BoolArray  # beyond 3 standard deviations, and further from the level than before


def widening(
    spread: FloatArray, fitted: FittedVolatility, horizons: Sequence[int] = (1, 8, 24), *, level: float | None = None
) -> Widening:
    """Flag a spread [t] that has widened by more than its volatility model expected when the move began.

    Arguments
    ---------
    spread: hourly, NaN = gap; the last hour is the one judged.
    fitted: estimator fitted to hourly changes; it is run up to the start of each horizon, and not beyond.
    level: around which widening counts; left out, the median of the hours before the longest horizon.

    Not measured where the spread is missing at either end, or where the model has no forecast. A spread that never
    moved has score 0, and an infinite one when it moves at last.
    """
    hours = tuple(int(h) for h in horizons)
    changes = hourly_changes(spread)
    before_all = spread[: max(0, len(spread) - max(hours))]
    known = before_all[np.isfinite(before_all)]
    if level is None:
        level = float(np.median(known)) if len(known) else np.nan
    scores, flags = np.full(len(hours), np.nan), np.zeros(len(hours), dtype=np.bool_)
    for at, horizon in enumerate(hours):
        if len(spread) <= horizon:
            continue
        start, end = float(spread[-1 - horizon]), float(spread[-1])
        path = fitted.filter(changes[: len(changes) - horizon])
        expected = _expected(fitted, path.state, horizon)
        deviation = float(np.sqrt(fitted.term_structure(path.state, [horizon])[..., 0]))
        surprise = end - start - expected
        if deviation > 0.0:
            scores[at] = surprise / deviation
        elif np.isfinite(surprise) and deviation == 0.0:
            scores[at] = 0.0 if surprise == 0.0 else np.copysign(np.inf, surprise)
        flags[at] = bool(abs(scores[at]) > WIDE and abs(end - level) > abs(start - level))
    return Widening(hours, scores, flags)


def _expected(fitted: FittedVolatility, state: FloatArray, horizon: int) -> float:
    """Change over a horizon that a model with a pull expects; 0 of models without one."""
    expected_change = getattr(fitted, "expected_change", None)
    return float(expected_change(state, [horizon])[..., 0]) if expected_change else 0.0


@dataclass(frozen=True)
class Convergence:
    """How fast a spread closes: an AR(1) by the hour with White's errors; NaN = not measured."""

    phi: float
    phi_error: float
    half_life: float  # hours; infinite where phi >= 1, 0 where phi <= 0
    half_life_error: float  # by the delta method; NaN where the half-life is 0 or infinite
    half_life_low: float  # 95% interval, from that of phi
    half_life_high: float
    n_pairs: int

    @property
    def is_converging(self) -> bool:
        """Whether phi is below 1 by more than its error allows."""
        return bool(np.isfinite(self.half_life_high))


def convergence(spread: FloatArray, *, is_noise_removed: bool = False) -> Convergence:
    """Half-life of a spread [t] by hour, NaN = gap, with its standard error.

    Values are cut at 8 robust deviations from the median, so that one dislocation does not decide. Least squares over
    neighbouring hours, phi by `corrected_phi`. Noise on prices (closes at bid or ask) looks like fast reversion; with
    `is_noise_removed` the level an hour earlier is the instrument, phi = cov(x_t, x_t-2) / cov(x_t-1, x_t-2), which
    noise of single hours does not bias: the half-life is then of what stays beyond the hour, with a larger error; not
    measured where nothing does. A constant spread has half-life 0; fewer than 48 pairs are not measured.
    """
    values = cut(np.asarray(spread, dtype=np.float64)[:, None])[:, 0]
    lag = 2 if is_noise_removed else 1
    after, before, instrument = values[lag:], values[lag - 1 : -1], values[: len(values) - lag]
    is_pair = np.isfinite(after) & np.isfinite(before) & np.isfinite(instrument)
    y, x, w = after[is_pair], before[is_pair], instrument[is_pair]
    n = len(y)
    if n < MINIMUM_PAIRS:
        return Convergence(*(np.nan,) * 6, n)
    y, x, w = y - y.mean(), x - x.mean(), w - w.mean()
    product = float((w * x).sum())
    if np.ptp(x) == 0.0:
        return Convergence(0.0, 0.0, 0.0, np.nan, 0.0, 0.0, n)
    if product <= 0.0:
        return Convergence(*(np.nan,) * 6, n)
    raw = float((w * y).sum()) / product
    error = float(np.sqrt((w * w * (y - raw * x) ** 2).sum())) / product
    phi = corrected_phi(raw, n)
    has_error = 0.0 < phi < 1.0
    return Convergence(
        phi=phi,
        phi_error=error,
        half_life=half_life(phi),
        half_life_error=error * np.log(2.0) / (phi * np.log(phi) ** 2) if has_error else np.nan,
        half_life_low=half_life(phi - CONFIDENCE_Z * error),
        half_life_high=half_life(phi + CONFIDENCE_Z * error),
        n_pairs=n,
    )


def closing_flow(gap: Numbers, depth_rich: Numbers, depth_cheap: Numbers, cost: Numbers = 0.0) -> FloatArray:
    """USD sold of the rich leg, and bought of the cheap one, that closes a gap down to its cost.

    By the linear law each side moves by flow / depth: P_rich (1 - Q / D_rich) = (1 + c) P_cheap (1 + Q / D_cheap), so

        Q = (g - c) / ((1 + g) / D_rich + (1 + c) / D_cheap),     0 where g <= c.

    Arguments
    ---------
    gap: price of the rich leg / price of the cheap one - 1, >= 0; a spread below 0 is the gap 1 / (1 + spread) - 1 of
        the other one (`gap_of`).
    depth_rich, depth_cheap: USD per unit of relative move, for sales of the rich and purchases of the cheap leg;
        infinite for a leg that does not move (an index that is followed).
    cost: gap below which there is nothing to earn: fees of both legs, transfer, financing.

    NaN where a depth is not known; a depth of 0 closes with no flow.
    """
    g, c = np.asarray(gap, dtype=np.float64), np.asarray(cost, dtype=np.float64)
    rich, cheap = np.asarray(depth_rich, dtype=np.float64), np.asarray(depth_cheap, dtype=np.float64)
    has_depth = (rich > 0.0) & (cheap > 0.0)
    slope = (1.0 + g) / np.where(has_depth, rich, 1.0) + (1.0 + c) / np.where(has_depth, cheap, 1.0)
    is_open = slope > 0.0
    flow = np.where(is_open, np.maximum(0.0, g - c) / np.where(is_open, slope, 1.0), np.where(g > c, np.inf, 0.0))
    return np.where(has_depth, flow, np.where(np.isnan(rich + cheap), np.nan, 0.0))


def gap_of(spread: Numbers) -> FloatArray:
    """Gap [...] of the rich over the cheap leg, >= 0, whichever is which: max(s, 1 / (1 + s) - 1); NaN for NaN."""
    s = np.asarray(spread, dtype=np.float64)
    return np.where(s < 0.0, 1.0 / (1.0 + np.where(s < 0.0, s, 0.0)) - 1.0, s)
