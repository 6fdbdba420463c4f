"""Hedged positions: what a hedge leaves over a horizon, and how likely its margin is gone before.

Delta-neutral is not risk-free. The basis moves between the legs; and where the legs do not share a margin pool, or the
pool counts the spot leg with a haircut, the contract must be margined against the index alone, although the other leg
has gained what it lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from riskpipe.calibrate.hedge import minimum_variance_hedge, paired_moments
from riskpipe.calibrate.spreads.passage import Draws, Passage, SpreadProcess
from riskpipe.domain.book import FloatArray

MINIMUM_WINDOWS = 30  # that do not overlap, for a standard deviation
TAIL = 0.99
_MINIMUM_TAIL_WINDOWS = 100  # that do not overlap, for the tail: one loss beyond it


@dataclass(frozen=True)
class HedgeOutcome:
    """What a minimum-variance hedge would have left, by horizon [h]; NaN with too few windows that do not overlap."""

    horizons: tuple[int, ...]
    ratio: FloatArray  # USD of the hedge sold for each USD held
    effectiveness: FloatArray  # share of variance taken away
    deviation_usd: FloatArray  # one standard deviation of what is left
    loss_99_usd: FloatArray  # loss that one window in a hundred exceeds, hedged by the same ratio
    n_windows: FloatArray  # that do not overlap


def hedge_outcome(
    position_returns: FloatArray, hedge_returns: FloatArray, notional_usd: float, horizons: Sequence[int]
) -> HedgeOutcome:
    """Minimum-variance hedge of a position by another instrument over each horizon, and what is left in USD.

    Arguments
    ---------
    position_returns, hedge_returns: [t] relative hourly returns in time order, NaN = gap, whose windows are left out.
    notional_usd: of the position, signed or not; losses are those of a long hedged position, or of a short one if < 0.
    horizons: whole hours. Windows overlap; 30 that do not are needed, 100 for the loss.

    Returns over a window are sums of hourly ones. The basis risk is that of `calibrate.hedge.minimum_variance_hedge`.
    """
    columns: list[tuple[float, ...]] = []
    for hours in horizons:
        position, hedge = (_over(returns, int(hours)) for returns in (position_returns, hedge_returns))
        is_pair = np.isfinite(position) & np.isfinite(hedge)
        n_windows = int(is_pair.sum()) / int(hours)
        if n_windows < MINIMUM_WINDOWS:
            columns.append((np.nan, np.nan, np.nan, np.nan, n_windows))
            continue
        found = minimum_variance_hedge(paired_moments(position, hedge))
        left = notional_usd * (position - found.ratio * hedge)[is_pair]
        has_tail = n_windows >= _MINIMUM_TAIL_WINDOWS
        loss = float(np.quantile(-left, TAIL)) if has_tail else np.nan
        columns.append((found.ratio, found.effectiveness, abs(notional_usd) * found.basis_risk, loss, n_windows))
    return HedgeOutcome(tuple(int(h) for h in horizons), *np.array(columns, dtype=np.float64).reshape(-1, 5).T)


def _over(returns: FloatArray, hours: int) -> FloatArray:
    """Sum of every `hours` returns in a row [t - hours + 1]; NaN where one is missing."""
    if len(returns) < hours:
        return np.empty(0)
    return np.lib.stride_tricks.sliding_window_view(returns, hours).sum(axis=-1)


@dataclass(frozen=True)
class HedgedPosition:
    """A contract held against its underlying, in one margin pool or apart.

    side: +1 long the contract and short the underlying, -1 the other way round (the carry trade that earns a premium).
    unhedged_share: share of the index's move that the contract's own margin pool does not get back from the other leg:
    the collateral's haircut where both legs share a pool, 1 where the other leg is somewhere else.
    funding_per_hour: expected, fraction of notional, + longs pay.
    """

    notional_usd: float  # of the contract, > 0
    buffer_usd: float  # equity less maintenance margin of the contract's pool now
    side: int = -1
    unhedged_share: float = 0.0
    maintenance_rate: float = 0.0  # with which the requirement grows as the index rises
    index_deviation: float = 0.0  # of the index's hourly log return, which has no drift
    funding_per_hour: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no hedged position."""
        if self.side not in {-1, 1}:
            raise ValueError(f"side must be -1 or +1, got {self.side}")
        if not self.notional_usd > 0.0:
            raise ValueError(f"notional_usd must be above 0, got {self.notional_usd}")
        if not (0.0 <= self.unhedged_share <= 1.0 and 0.0 <= self.maintenance_rate < 1.0):
            raise ValueError(
                f"unhedged_share must lie in [0, 1] and maintenance_rate in [0, 1), got {self.unhedged_share} and "
                f"{self.maintenance_rate}"
            )


@dataclass(frozen=True)
class BasisRisk:
    """What the basis alone does to a hedged position over each horizon [h], USD; + gains."""

    horizons: tuple[int, ...]
    expected_usd: FloatArray  # from the basis going back to its mean
    deviation_usd: FloatArray
    loss_99_usd: FloatArray  # that one path in a hundred exceeds, + lost; of the simulated paths


def basis_risk(position: HedgedPosition, process: SpreadProcess, horizons: Sequence[int], draws: Draws) -> BasisRisk:
    """Expected gain, standard deviation and 99% loss of a hedged position whose basis is this process."""
    hours = tuple(int(h) for h in horizons)
    generator = draws.generator()
    spread = np.full(draws.n_paths, process.start)
    losses: dict[int, float] = {}
    for hour in range(max(hours)):
        spread = process.after_hour(spread, hour, draws.draw(generator, 1)[:, 0])
        if hour + 1 in hours:
            gain = position.side * position.notional_usd * (spread - process.start)
            losses[hour + 1] = float(np.quantile(-gain, TAIL))
    return BasisRisk(
        hours,
        position.side * position.notional_usd * process.expected_change(hours),
        position.notional_usd * process.change_deviation(hours),
        np.array([losses[h] for h in hours]),
    )


def margin_needed(
    position: HedgedPosition, process: SpreadProcess, horizons: Sequence[int], draws: Draws
) -> FloatArray:
    """Largest margin per USD of notional that the contract's pool needed at a whole hour until each horizon [h, path].

    With b the basis, R the index's return since now, and H hours gone, what is needed beyond what is needed now is

        -side ((b - b_0) + unhedged_share R) + maintenance_rate R + side funding_per_hour H.

    Arguments
    ---------
    position: its buffer does not matter here: shares of paths beyond any buffer are probabilities of running out, and
        a quantile is the margin that suffices so often.
    process: of the basis.
    draws: innovations of the basis first and of the index second; a history [t, 2] keeps what goes together in an hour.
    """
    hours = tuple(int(h) for h in horizons)
    generator = draws.generator()
    n_series = 2 if position.index_deviation > 0.0 else 1
    spread, log_index = np.full(draws.n_paths, process.start), np.zeros(draws.n_paths)
    largest = np.zeros(draws.n_paths)
    reached: dict[int, FloatArray] = {}
    for hour in range(max(hours)):
        z = draws.draw(generator, n_series)
        spread = process.after_hour(spread, hour, z[:, 0])
        if n_series > 1:
            log_index = log_index + position.index_deviation * z[:, 1]
        index_return = np.expm1(log_index)
        lost = -position.side * ((spread - process.start) + position.unhedged_share * index_return)
        paid = position.side * position.funding_per_hour * (hour + 1)
        largest = np.maximum(largest, lost + position.maintenance_rate * index_return + paid)
        reached[hour + 1] = largest
    return np.stack([reached[h] for h in hours])


def exhaustion_probability(
    position: HedgedPosition, process: SpreadProcess, horizons: Sequence[int], draws: Draws
) -> Passage:
    """Probability that the contract's pool is out of margin at some whole hour before each horizon.

    It is out where `margin_needed`, whose arguments these are, reaches the position's buffer. Hours are watched at
    their ends only, which makes this a lower bound. A pool that is out of margin now has probability 1 at every
    horizon; a buffer of NaN gives NaN.
    """
    hours = tuple(int(h) for h in horizons)
    buffer = position.buffer_usd / position.notional_usd
    if np.isnan(buffer):
        return Passage(hours, *(np.full(len(hours), np.nan) for _ in range(2)))
    probability = (margin_needed(position, process, hours, draws) >= buffer).mean(axis=1)
    return Passage(hours, probability, np.sqrt(probability * (1.0 - probability) / draws.n_paths))
