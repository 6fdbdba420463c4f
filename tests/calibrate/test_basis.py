"""Basis: guards against bad prices, EWMA volatility, and series on whole hours."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from riskpipe.calibrate.basis import (
    basis_series,
    basis_statistics,
    ewma_basis_volatility,
    horizon_volatility,
)
from riskpipe.calibrate.history import HistoryRows
from riskpipe.calibrate.hourly import hourly_series
from riskpipe.domain.findings import Findings, Reason
from riskpipe.domain.tables import HISTORY
from riskpipe.ingest.synthetic.arrow import arrow_table

AS_OF = datetime(2024, 8, 5, tzinfo=UTC)


def history(rows):
    """Rows: (hours before as_of, instrument, mark, index, index volume)."""
    hours, instruments, marks, indices, volumes = zip(*rows, strict=True)
    table = arrow_table(
        HISTORY,
        {
            "ts": pa.array([AS_OF - timedelta(hours=float(hour)) for hour in hours], pa.timestamp("us", tz="UTC")),
            "instrument_id": list(instruments),
            "mark_price": list(marks),
            "index_price": list(indices),
            "index_volume_usd": list(volumes),
        },
    )
    return HistoryRows(table.sort_by("ts"), AS_OF, 30.0, "", Findings())


def test_each_guard_drops_its_rows_and_says_so():
    good = [(hour, "A", 101.0, 100.0, 5.0) for hour in range(10, 20)]
    bad = [
        (0, "A", 120.0, 100.0, 0.0),
        (1, "A", None, 100.0, 5.0),
        (2, "A", 101.0, float("nan"), 5.0),
        (3, "A", -1.0, 100.0, 5.0),
        (4, "A", float("inf"), 100.0, 5.0),
        (5, "A", 101.0, 100.0, 5.0),
        (5, "A", 102.0, 100.0, 5.0),
        (10, "A", 101.0, 100.0, 6.0),
        (6, "OTHER", 101.0, 100.0, 5.0),
    ]
    series, findings = basis_series(history(good + bad), ["A"])
    assert [(item.reason, item.count) for item in findings] == [
        (Reason.UNKNOWN_INSTRUMENT, 1),
        (Reason.STALE_PRICE, 1),
        (Reason.MISSING_PRICE, 4),
        (Reason.BAD_VALUE, 1),
        (Reason.BAD_VALUE, 2),
    ]
    assert findings.items[1].examples == ("A at 2024-08-05T00:00:00.000000",)
    np.testing.assert_allclose(series.basis[:, 0], 0.01)
    assert len(series.ts_us) == 10


def test_the_last_price_before_an_index_stops_is_not_used():
    rows = [(hour, name, 101.0, 100.0, 1.0) for hour in range(10) for name in ("A", "B")]
    rows = [row for row in rows if row[:2] not in {(2, "A"), (6, "A")}]
    rows += [(2, "A", 103.0, 100.0, 0.0), (6, "A", 103.0, None, 1.0)]
    series, findings = basis_series(history(rows), ["A", "B"])
    hours = (np.datetime64(AS_OF.replace(tzinfo=None), "us").astype(int) - series.ts_us) // 3_600_000_000
    assert hours[np.isnan(series.basis[:, 0])].tolist() == [7, 6, 3, 2]
    assert not np.isnan(series.basis[:, 1]).any()
    assert [(item.reason, item.count) for item in findings] == [
        (Reason.STALE_PRICE, 1),
        (Reason.MISSING_PRICE, 1),
        (Reason.STALE_PRICE, 2),
    ]


def test_a_change_across_a_gap_is_not_used():
    hours = [9, 8, 7, 4, 3, 2.5, 2, 0]
    rows = [(hour, "A", 100.0 + at, 100.0, 1.0) for at, hour in enumerate(hours)]
    series, _ = basis_series(history(rows), ["A"])
    expected = [np.nan, 0.01, 0.01, np.nan, 0.01, np.nan, 0.02, np.nan]
    np.testing.assert_allclose(series.changes[:, 0], expected, atol=1e-15)


def test_a_constant_basis_has_no_volatility_and_a_short_one_none_measured():
    rows = [(hour, "LONG", 101.0, 100.0, 1.0) for hour in range(100)]
    rows += [(hour, "SHORT", 100.0 + hour % 2, 100.0, 1.0) for hour in range(48)]
    names = ["LONG", "SHORT", "ABSENT"]
    series, _ = basis_series(history(rows), names)
    statistics, findings = basis_statistics(series, names, decay=0.97)
    np.testing.assert_array_equal(statistics.vol_1h, [0.0, np.nan, np.nan])
    np.testing.assert_allclose(statistics.realised_vol[:, 0], [0.0, np.nan, np.nan])
    np.testing.assert_array_equal(statistics.innovation_max, [0.0, np.nan, np.nan])
    np.testing.assert_array_equal(statistics.observations, [99.0, 47.0, 0.0])
    np.testing.assert_allclose(statistics.mean, [0.01, 0.005, np.nan])
    np.testing.assert_allclose(statistics.last, [0.01, 0.0, np.nan])
    (finding,) = findings
    assert finding.reason is Reason.SHORT_HISTORY
    assert finding.examples == ("SHORT: 47 hourly changes", "ABSENT: 0 hourly changes")


def test_one_ewma_step_is_the_published_example():
    # A textbook exercise: daily volatility 1.3%, price 300 -> 298, decay 0.94: the new volatility is 1.271%.
    changes = np.array([[0.013], [2.0 / 300.0]])
    vol, innovation_max = ewma_basis_volatility(changes, 0.94, n_seed=1)
    assert vol[0] == pytest.approx(0.01271, abs=5e-6)
    assert innovation_max[0] == pytest.approx(2.0 / 300.0 / 0.013)


@settings(max_examples=60, deadline=None)
@given(
    changes=arrays(float, (40, 2), elements=st.one_of(st.floats(-0.1, 0.1), st.just(np.nan))),
    decay=st.floats(0.5, 0.999),
)
def test_the_recursion_over_all_instruments_equals_one_written_out_for_each_instrument(changes, decay):
    vol, innovation_max = ewma_basis_volatility(changes, decay, n_seed=6)
    for at in range(2):
        used = [change for change in changes[:, at] if not np.isnan(change)]
        if not used:
            assert np.isnan(vol[at])
            continue
        variance, largest = np.mean(np.square(used[:6])), 0.0
        for change in used[6:]:
            if np.sqrt(variance) > 0.0:
                largest = max(largest, abs(change) / np.sqrt(variance))
            variance = decay * variance + (1.0 - decay) * change**2
        assert vol[at] == pytest.approx(np.sqrt(variance), rel=1e-12)
        assert innovation_max[at] == pytest.approx(largest, rel=1e-12)


def test_hours_without_rows_are_gaps_and_rows_between_hours_are_left_out():
    hours = [9, 8, 7, 4, 3, 2.5, 2]
    rows = [(hour, name, 100.0 + at, 100.0 + at % 2, 1.0) for at, hour in enumerate(hours) for name in ("A", "B")]
    series, _ = basis_series(history(rows[:-1]), ["A", "B"])
    found, n_between = hourly_series(series, AS_OF)
    assert n_between == 2
    assert found.changes.shape == (2, 10), "up to as_of"
    assert np.isfinite(found.level[0]).tolist() == [True] * 3 + [False] * 2 + [True] * 3 + [False] * 2
    assert np.isfinite(found.changes[1]).tolist() == [False, True, True, False, False, False, True, False, False, False]
    assert found.index_move[0][1] == pytest.approx(101.0 / 100.0 - 1.0)
    assert found.changes[0][7] == pytest.approx(106.0 / 100.0 - 104.0 / 100.0)
    assert np.isnan(found.index_move[0]).tolist() == np.isnan(found.changes[0]).tolist()
    nothing, _ = hourly_series(basis_series(history([(0, "OTHER", 1.0, 1.0, 1.0)]), ["A"])[0], AS_OF)
    assert nothing.changes.shape == (1, 0)


def test_horizons_scale_with_the_square_root_of_time():
    np.testing.assert_allclose(horizon_volatility(np.array([2.0, np.nan]), (1.0, 4.0)), [[2.0, 4.0], [np.nan, np.nan]])


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.1, np.nan])
def test_a_decay_outside_zero_and_one_is_refused(decay):
    with pytest.raises(ValueError, match="decay"):
        ewma_basis_volatility(np.zeros((3, 1)), decay)
