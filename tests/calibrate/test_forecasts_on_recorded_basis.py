"""Forecasts of recorded hourly basis changes, chosen before 2022 and scored after: they must beat the naive ones.

Seven perpetuals over spot, 2019 to 2024; basis = perpetual close / spot close - 1 through the guards of
`calibrate.basis`, the first 60 days of a listing dropped, one-hour changes. Parameters are fitted once, before the cut
(2022; for SOL, which starts in 2024, after 2,000 changes), and never again. QLIKE floors every variance at
(0.01 bp)^2. `PYTHONPATH=tests python tests/calibrate/test_forecasts_on_recorded_basis.py` prints the scoreboard.
"""

import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pyarrow.compute as pc
import pytest
from support.recorded_candles import candle_rows, needs_candles

from riskpipe.calibrate.backtest.coverage import (
    christoffersen_conditional,
    christoffersen_independence,
    kupiec,
    kupiec_band,
    transitions,
)
from riskpipe.calibrate.backtest.forecasts import (
    filtered_quantile,
    filtered_shortfall,
    forecasts_after,
    value_at_risk,
)
from riskpipe.calibrate.backtest.losses import loss_difference, qlike, qlike_losses
from riskpipe.calibrate.backtest.shortfall import unconditional_shortfall_test
from riskpipe.calibrate.basis import basis_series
from riskpipe.calibrate.estimators.choose import ORDER, first_passing
from riskpipe.calibrate.estimators.garch import Garch
from riskpipe.calibrate.estimators.mixture import Mixture
from riskpipe.calibrate.estimators.plain import Ewma, Realised
from riskpipe.calibrate.estimators.protocol import standardised
from riskpipe.calibrate.history import HOUR_US, HistoryRows, times_us
from riskpipe.domain.findings import Findings

SYMBOLS = ("ADAUSDT", "BCHUSDT", "BTCUSDT", "ETHUSDT", "LTCUSDT", "SOLUSDT", "XRPUSDT")
CUT = datetime(2022, 1, 1, tzinfo=UTC)
CHOICE = datetime(2021, 7, 1, tzinfo=UTC)  # candidates are fitted before it and compared from it to the cut
SOL_CUT, SOL_CHOICE = 2_000, 1_200  # changes
LISTING = timedelta(days=60)
NAIVE = (Realised(168), Realised(24))
CANDIDATES = (*NAIVE, Ewma(0.94), Ewma(0.97), Garch(), Mixture(level_half_lives=()), Mixture())
HORIZONS = (1, 8, 24, 168)

pytestmark = needs_candles


def microseconds(instant):
    return int(instant.timestamp() * 1e6)


@dataclass(frozen=True)
class Series:
    """One symbol's guarded hourly changes from the end of its listing period, and where choice and scoring begin."""

    ts_us: np.ndarray
    changes: np.ndarray
    choice: int
    cut: int

    def at(self, *instant):
        return int(np.searchsorted(self.ts_us, microseconds(datetime(*instant, tzinfo=UTC))))


def recorded(symbol, *, guarded=True):
    table = candle_rows(symbol)
    if not guarded:
        index = pc.fill_null_forward(table["index_price"])
        table = table.drop_columns(["index_price", "index_volume_usd"])
        table = table.append_column("index_price", index).append_column("index_volume_usd", [np.ones(len(table))])
    rows = HistoryRows(table, datetime(2025, 1, 1, tzinfo=UTC), 3_000.0, "", Findings())
    series, _ = basis_series(rows, [symbol])
    ts_us = times_us(table)
    grid = np.arange(ts_us[0], ts_us[-1] + 1, HOUR_US)  # hours of which no row is left are gaps too
    changes = np.full(len(grid), np.nan)
    changes[np.searchsorted(grid, series.ts_us)] = series.changes[:, 0]
    kept = grid >= grid[0] + int(LISTING.total_seconds() * 1e6) + HOUR_US
    return grid[kept], changes[kept]


@cache
def series_of(symbol):
    ts_us, changes = recorded(symbol)
    observed = np.flatnonzero(~np.isnan(changes))
    if symbol == "SOLUSDT":
        return Series(ts_us, changes, observed[SOL_CHOICE], observed[SOL_CUT])
    choice, cut = (int(np.searchsorted(ts_us, microseconds(instant))) for instant in (CHOICE, CUT))
    return Series(ts_us, changes, choice, cut)


@cache
def chosen_fit(symbol):
    series = series_of(symbol)
    choice, refused = first_passing(series.changes[: series.cut])
    assert not refused
    return choice.fitted


@cache
def losses_after_the_cut(symbol):
    """QLIKE of the chosen estimator and the naive ones over hours that all forecast; t-statistics."""
    series = series_of(symbol)
    scored = slice(series.cut, None)
    changes = series.changes[scored]
    forecasts = {"chosen": chosen_fit(symbol).filter(series.changes).second_moment()[scored]}
    for naive in NAIVE:
        forecasts[naive.name] = naive.fit(series.changes[: series.cut]).filter(series.changes).variance[scored]
    known = ~np.isnan(changes) & np.all([~np.isnan(f) for f in forecasts.values()], axis=0)
    values = {name: qlike(changes[known], f[known]) for name, f in forecasts.items()}
    hourly = {name: qlike_losses(changes, f) for name, f in forecasts.items()}
    ratios = {n.name: loss_difference(hourly["chosen"][known], hourly[n.name][known])[1] for n in NAIVE}
    return values, ratios, int(known.sum())


@cache
def hits_after_the_cut(symbol, probability):
    series = series_of(symbol)
    quantile = value_at_risk(chosen_fit(symbol), series.changes, probability)[series.cut :]
    changes = series.changes[series.cut :]
    known = ~np.isnan(changes) & ~np.isnan(quantile)
    return ((changes < quantile) if probability < 0.5 else (changes > quantile))[known]


def is_covered(symbol, tail):
    """Both tails' hit counts lie in Kupiec's 95% band."""
    counts = []
    for probability in (tail, 1.0 - tail):
        hits = hits_after_the_cut(symbol, probability)
        low, high = kupiec_band(len(hits), tail)
        counts.append(low <= hits.sum() <= high)
    return all(counts)


@cache
def losses_before_the_cut():
    """Mean QLIKE over symbols of every candidate in the half-year before the cut, fitted before that."""
    table = np.empty((len(CANDIDATES), len(SYMBOLS)))
    for column, symbol in enumerate(SYMBOLS):
        series = series_of(symbol)
        before = series.changes[: series.cut]
        for row, candidate in enumerate(CANDIDATES):
            forecast = forecasts_after(candidate, before, series.choice).second_moment
            table[row, column] = qlike(before[series.choice :], forecast[series.choice :])
    return dict(zip([candidate.name for candidate in CANDIDATES], table.mean(axis=1), strict=True))


def test_the_estimator_was_the_best_candidate_before_the_cut():
    losses = losses_before_the_cut()
    assert min(losses, key=losses.get) == ORDER[0].name, losses
    fallbacks = [losses[estimator.name] for estimator in ORDER if estimator not in NAIVE]
    assert fallbacks == sorted(fallbacks), losses
    assert losses["ewma_0.94"] < losses["garch_t"], "GARCH would be the better fallback"


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_forecasts_beat_naive_deviations_after_the_cut(symbol):
    values, _, n_hours = losses_after_the_cut(symbol)
    assert n_hours > 5_000
    assert values["chosen"] < values["realised_168h"], values
    assert values["chosen"] < values["realised_24h"], values


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize("tail", [0.05, 0.01])
def test_value_at_risk_is_hit_as_often_as_it_says(symbol, tail):
    assert is_covered(symbol, tail), [int(hits_after_the_cut(symbol, p).sum()) for p in (tail, 1.0 - tail)]


@cache
def horizon_ratios(symbol, every=336):
    """Mean of squared change / forecast (at most 64) over each horizon after the cut, and with EWMA x hours."""
    series, fitted = series_of(symbol), chosen_fit(symbol)
    level = np.nancumsum(series.changes)
    plain = Ewma(0.94).fit(series.changes[: series.cut]).filter(series.changes).variance
    ratios = []
    for now in range(series.cut, len(level) - max(HORIZONS), every):
        state = fitted.filter(series.changes[now - 2_000 : now]).state  # components and distances have forgotten more
        moved = level[[now - 1 + h for h in HORIZONS]] - level[now - 1]
        expected = fitted.expected_change(state, HORIZONS)
        variance = fitted.term_structure(state, HORIZONS)
        ratios.append(((moved - expected) ** 2 / variance, moved**2 / (plain[now] * np.array(HORIZONS))))
    return np.minimum(ratios, 64.0).mean(axis=0)


def test_variance_over_a_week_is_right_where_square_root_of_time_is_many_times_too_much():
    found = np.array([horizon_ratios(symbol) for symbol in SYMBOLS]).mean(axis=0)
    assert (found[0] > 0.6).all()
    assert (found[0] < 1.5).all(), "the mixture's mean squared standardised change, at 1, 8, 24 and 168 hours"
    assert found[1, -1] < 0.1, "an average that does not revert forecasts ten times the variance of a week"


@pytest.mark.parametrize("outage", [(2021, 2, 11, 3), (2023, 3, 24, 12)])
@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_spot_outages_do_not_move_estimates(symbol, outage):
    fitted, series = chosen_fit(symbol), series_of(symbol)
    first, last = series.at(*outage) - 3, series.at(*outage) + 6
    path = fitted.filter(series.changes)
    assert np.isnan(series.changes[first:last]).any()
    assert np.sqrt(path.variance[last] / path.variance[first]) == pytest.approx(1.0, abs=0.15)
    _, unguarded = recorded(symbol, guarded=False)
    moved = fitted.filter(unguarded).variance
    assert np.sqrt(moved[last] / moved[first]) > 1.8, "without the guards the outage does move it"


@pytest.mark.parametrize(("symbol", "factor"), [("BCHUSDT", 10.0), ("ETHUSDT", 2.5), ("BTCUSDT", 2.5)])
def test_a_real_dislocation_moves_estimates(symbol, factor):
    fitted, series = chosen_fit(symbol), series_of(symbol)
    variance = fitted.filter(series.changes).variance
    before, after = series.at(2021, 5, 19, 10), series.at(2021, 5, 19, 16)
    assert np.sqrt(variance[after] / variance[before]) > factor


def scoreboard():
    """All that is claimed and what is not, by symbol."""
    lines = ["mean QLIKE before the cut: " + ", ".join(f"{n} {v:.4f}" for n, v in losses_before_the_cut().items())]
    for symbol in SYMBOLS:
        values, ratios, n_hours = losses_after_the_cut(symbol)
        shown = ", ".join(f"{name} {value:.4f}" for name, value in values.items())
        t_values = ", ".join(f"{name} t {ratio:.1f}" for name, ratio in ratios.items())
        lines.append(f"{symbol}: {n_hours} hours; {shown}; {t_values}")
        series = series_of(symbol)
        path = chosen_fit(symbol).filter(series.changes)
        reverting, plain = horizon_ratios(symbol)
        lines.append(
            f"  squared change / forecast at {HORIZONS} h: {reverting.round(2)}, EWMA x sqrt(h) {plain.round(2)}"
        )
        for tail in (0.05, 0.01):
            for probability in (tail, 1.0 - tail):
                hits = hits_after_the_cut(symbol, probability)
                sign = 1.0 if probability < 0.5 else -1.0
                z = sign * standardised(series.changes, path)
                at_risk, expected = -filtered_quantile(z, tail), -filtered_shortfall(z, tail)
                acerbi = unconditional_shortfall_test(*(x[series.cut :] for x in (z, at_risk, expected)), tail)
                conditional = christoffersen_conditional(hits, tail).p_value
                lines.append(
                    f"  VaR {probability:.2f}: {int(hits.sum())} hits of {len(hits)}, band "
                    f"{kupiec_band(len(hits), tail)}, Kupiec p {kupiec(len(hits), int(hits.sum()), tail).p_value:.3f}, "
                    f"independence p {christoffersen_independence(*transitions(hits)).p_value:.4f}, "
                    f"conditional p {conditional:.4f}, Acerbi-Szekely Z2 {acerbi:+.3f}"
                )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(scoreboard() + "\n")
