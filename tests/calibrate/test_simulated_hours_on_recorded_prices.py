"""Simulated hours on recorded BTC and ETH, 2022 and 2023: their value at risk is hit as often as it says.

Every 90 days of history give the set of the next hour; what came in that hour is one trial. Spot closes are the index,
perpetual closes the marks.
"""

from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from support.books import book
from support.recorded_candles import candle_rows, needs_candles

from riskpipe.calibrate.backtest.coverage import kupiec_band
from riskpipe.calibrate.history import HistoryRows
from riskpipe.calibrate.innovations import innovations
from riskpipe.domain.findings import Findings
from riskpipe.scenarios.simulated import simulated_moves

SYMBOLS = ("BTCUSDT", "ETHUSDT")
DAYS = 90
FIRST = datetime(2022, 1, 1, tzinfo=UTC)
N_DRAWN = 2_000

pytestmark = needs_candles


@cache
def recorded():
    """Contract rows of both symbols from 90 days before the first as_of, by time."""
    parts = [candle_rows(symbol) for symbol in SYMBOLS]
    return pa.concat_tables(parts).sort_by([("ts", "ascending"), ("instrument_id", "ascending")])


def rows(start, end):
    table = recorded()
    ts = table["ts"]
    kept = pc.and_(pc.greater(ts, pa.scalar(start, ts.type)), pc.less_equal(ts, pa.scalar(end, ts.type)))
    return table.filter(kept)


def history(as_of):
    return HistoryRows(rows(as_of - timedelta(days=DAYS), as_of), as_of, float(DAYS), "", Findings())


def came(as_of):
    """What the next hour brought: log returns of both coins, changes of both bases; NaN where an hour is missing."""
    levels = np.full((2, 4), np.nan)
    table = rows(as_of - timedelta(hours=1), as_of + timedelta(hours=1))
    for row in table.to_pylist():
        k = SYMBOLS.index(row["instrument_id"])
        if row["index_price"] and row["index_volume_usd"]:
            at = int(row["ts"] > as_of)
            levels[at, k], levels[at, 2 + k] = np.log(row["index_price"]), row["mark_price"] / row["index_price"] - 1.0
    return levels[1] - levels[0]


def sets(n_sets, step):
    """For each as_of the moves drawn of its next hour [n, 4], coins then bases, and what came."""
    for k in range(n_sets):
        as_of = FIRST + k * step
        portfolio, beta = book(), np.array([1.0, 1.0, 0.0, 0.0])
        given, findings = innovations(portfolio, beta, history(as_of))
        assert given.asset.tolist() == [0, 1, -1, -1], [item.message for item in findings]
        drawn = simulated_moves(given, N_DRAWN, 1, k)
        drawn[:, :2] = np.log1p(drawn[:, :2])
        yield given, drawn, came(as_of)


def hits(n_sets, step):
    """Hits below the lower and above the upper 5% quantile, by series, and trials."""
    below, above, trials = np.zeros(4), np.zeros(4), np.zeros(4)
    for _, drawn, move in sets(n_sets, step):
        low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
        below += move < low
        above += move > high
        trials += np.isfinite(move)
    return below, above, trials


def inside(counts, trials):
    bands = [kupiec_band(int(n), 0.05) for n in trials]
    return [low <= count <= high for count, (low, high) in zip(counts, bands, strict=True)]


def test_value_at_risk_is_hit_as_often_as_it_says():
    below, above, trials = hits(80, timedelta(hours=215))
    assert trials.min() > 75
    assert inside(below, trials) == inside(above, trials) == [True] * 4, (below, above, trials)


@pytest.mark.bench
def test_value_at_risk_of_six_hundred_hours_is_hit_as_often_as_it_says():
    below, above, trials = hits(600, timedelta(hours=29))
    assert sum(inside(below, trials)) >= 3, (below, above, trials)
    assert sum(inside(above, trials)) >= 3, (below, above, trials)


def test_two_coins_move_together_as_they_did_and_tails_are_those_of_the_days_before():
    for given, drawn, _ in sets(3, timedelta(days=200)):
        together = np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1]
        assert together == pytest.approx(np.corrcoef(given.z[:, 0], given.z[:, 1])[0, 1], abs=0.05)
        assert together > 0.7
        for k in range(4):
            deviation = np.sqrt((given.weight[k] * given.component[k]).sum())
            centred = drawn[:, k] - drawn[:, k].mean()
            for level in (0.01, 0.05, 0.95, 0.99):
                assert np.mean(centred / deviation <= np.quantile(given.z[:, k], level)) == pytest.approx(
                    level, abs=0.02
                )
