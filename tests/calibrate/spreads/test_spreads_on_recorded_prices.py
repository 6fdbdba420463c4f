"""Spreads of seven recorded perpetuals over spot, hourly, 2019 to 2024: what is known of them is what is found.

The spread is the perpetual's last trade over spot's, through the guards, less each listing's first 60 days. Facts with
them: correlations of basis changes with returns in hours that fell by more than 3%, measured once on the same candles.
"""

from datetime import UTC, datetime
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from support.recorded_candles import candle_rows, needs_candles

from riskpipe.calibrate.estimators.choose import first_passing
from riskpipe.calibrate.estimators.reversion import fit_reversion
from riskpipe.calibrate.history import HistoryRows
from riskpipe.calibrate.spreads.common_factor import common_factor
from riskpipe.calibrate.spreads.hedged import hedge_outcome
from riskpipe.calibrate.spreads.prices import PriceGuards, hourly_changes, hourly_returns, price_panel
from riskpipe.calibrate.spreads.regimes import correlation_by_regime
from riskpipe.calibrate.spreads.views import convergence, widening
from riskpipe.domain.findings import Findings, Reason

SYMBOLS = ("ADAUSDT", "BCHUSDT", "BTCUSDT", "ETHUSDT", "LTCUSDT", "SOLUSDT", "XRPUSDT")
CORRELATION_IN_CRASHES = dict(zip(SYMBOLS, (0.438, 0.334, 0.268, 0.665, 0.266, 0.121, 0.218), strict=True))
OUTAGES = (datetime(2021, 2, 11, 4, tzinfo=UTC), datetime(2023, 3, 24, 13, tzinfo=UTC))

pytestmark = needs_candles


@cache
def recorded():
    """The guarded panel with its findings; listings are those of the candles, also of the first of them."""
    rows = pa.concat_tables([candle_rows(symbol) for symbol in SYMBOLS])
    first = rows.group_by("instrument_id").aggregate([("ts", "min")])
    listed = dict(zip(first["instrument_id"].to_pylist(), first["ts_min"].cast(pa.int64()).to_pylist(), strict=True))
    history = HistoryRows(rows, datetime(2025, 1, 1, tzinfo=UTC), 3_000.0, "", Findings())
    return price_panel(history, SYMBOLS, [], PriceGuards(listing_days=60.0, listed_us=listed))


@cache
def bases():
    panel, _ = recorded()
    return panel.mark / panel.index - 1.0


def at(instant):
    return int(np.searchsorted(recorded()[0].ts_us, int(instant.timestamp() * 1e6)))


def test_the_guards_find_the_outages_and_keep_the_perpetuals_through_them():
    panel, findings = recorded()
    stale = [finding for finding in findings if finding.reason == Reason.STALE_PRICE]
    assert any("2021-02-11T04" in example for finding in stale for example in finding.examples)
    for outage in OUTAGES:
        row, column = at(outage), SYMBOLS.index("BTCUSDT")
        assert np.isnan(panel.index[row, column])
        assert np.isfinite(panel.mark[row, column]), "a spread between perpetuals would go on"
    first = np.argmax(np.isfinite(panel.mark), axis=0)
    assert (first >= 60 * 24).all()


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_bases_go_with_returns_in_crashes_and_hardly_otherwise(symbol):
    i = SYMBOLS.index(symbol)
    found = correlation_by_regime(hourly_changes(bases())[:, i], hourly_returns(recorded()[0].index)[:, i])
    assert found.crash.correlation == pytest.approx(CORRELATION_IN_CRASHES[symbol], abs=0.05)
    assert abs(found.calm.correlation) < 0.1
    assert found.crash.slope > 0.0
    if symbol != "SOLUSDT":  # ten months, without a crash that moved it
        assert found.crash.slope > 3.0 * abs(found.calm.slope)


def test_on_2021_05_19_bases_fell_with_the_market():
    start = at(datetime(2021, 5, 19, 9, tzinfo=UTC))
    day = slice(start, start + 9)
    changes, returns = hourly_changes(bases())[day], hourly_returns(recorded()[0].index)[day]
    for symbol in ("ADAUSDT", "BTCUSDT", "ETHUSDT", "XRPUSDT"):
        i = SYMBOLS.index(symbol)
        assert np.corrcoef(changes[:, i], returns[:, i])[0, 1] > 0.6
    assert np.nanmin(bases()[day, SYMBOLS.index("BCHUSDT")]) == pytest.approx(-0.2591, abs=1e-4)


@pytest.mark.parametrize("outage", OUTAGES, ids=str)
@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_spot_outages_do_not_move_half_lives(symbol, outage):
    i, middle = SYMBOLS.index(symbol), at(outage)
    month = slice(middle - 360, middle + 360)
    guarded = convergence(bases()[month, i])
    cleaned = bases()[month, i].copy()
    cleaned[350:380] = np.nan
    assert guarded.half_life == pytest.approx(convergence(cleaned).half_life, rel=0.08)
    ts_us = recorded()[0].ts_us[month]
    rows = candle_rows(symbol)
    inside = np.isin(rows["ts"].cast(pa.int64()).to_numpy(), ts_us)
    stale = pc.fill_null_forward(rows["index_price"]).to_numpy()[inside]
    unguarded = rows["mark_price"].to_numpy()[inside] / stale - 1.0
    moved, kept = (fit_reversion(level).half_life for level in (unguarded, bases()[month, i]))
    assert moved < 0.9 * kept, "without the guards the outage does"


def test_slow_levels_of_all_perpetuals_are_one_factor_and_fast_parts_their_own():
    found = common_factor(bases())
    assert found.is_used.all()
    assert (found.explained > 0.75).all()
    assert (found.loading > 0.0).all()
    assert 4e-4 < found.loading.min() < found.loading.max() < 9e-4
    assert found.fast_correlation < 0.25
    assert (found.fast_half_life < 1.5).all()


def test_a_dislocation_is_flagged_and_ordinary_days_are_not():
    i = SYMBOLS.index("BTCUSDT")
    crash = at(datetime(2021, 5, 19, 14, tzinfo=UTC))
    choice, _ = first_passing(hourly_changes(bases())[: crash - 48, i])
    assert widening(bases()[: crash + 1, i][-5_000:], choice.fitted, (1, 8)).is_widening.all()
    days = range(crash - 2_000, crash - 48, 41)
    scores = np.array([widening(bases()[: end + 1, i][-3_000:], choice.fitted).score for end in days])
    assert (np.abs(scores) > 3.0).mean() < 0.03
    assert scores.std(axis=0) == pytest.approx([1.0, 1.0, 1.0], abs=0.35)


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT", "XRPUSDT"])
def test_a_perpetual_hedged_by_spot_leaves_less_than_one_part_in_fifty_of_variance(symbol):
    i = SYMBOLS.index(symbol)
    panel, _ = recorded()
    kept = slice(at(datetime(2022, 1, 1, tzinfo=UTC)), None)
    legs = (hourly_returns(prices)[kept, i] for prices in (panel.mark, panel.index))
    found = hedge_outcome(*legs, 1e6, (1, 24, 168))
    assert found.effectiveness[0] > 0.98
    assert (np.diff(found.effectiveness) > 0.0).all(), "the basis reverts, the index does not"
    np.testing.assert_allclose(found.ratio, 1.0, atol=0.02)
    other = SYMBOLS.index("LTCUSDT")
    cross = hedge_outcome(hourly_returns(panel.index)[kept, i], hourly_returns(panel.mark)[kept, other], 1e6, (24,))
    assert cross.deviation_usd[0] > 10.0 * found.deviation_usd[1], "another coin is no such hedge"
