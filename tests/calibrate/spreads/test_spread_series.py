"""Spread series: guards on prices, what each kind of spread is, and annual forms that do not explode at expiry."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.books import AS_OF, book

from riskpipe.calibrate.history import HistoryRows
from riskpipe.calibrate.spreads.pairs import SpreadKind, pairs_of
from riskpipe.calibrate.spreads.prices import (
    HOUR_US,
    PriceGuards,
    PricePanel,
    hourly_changes,
    hourly_returns,
    price_panel,
)
from riskpipe.calibrate.spreads.robust import cut, middle_and_scale
from riskpipe.calibrate.spreads.series import (
    SpreadSeries,
    annual_form,
    beyond_carry,
    fast_noise,
    log_form,
    spread_series,
)
from riskpipe.calibrate.spreads.views import convergence
from riskpipe.domain.book import InstrumentKind
from riskpipe.domain.findings import Findings, Reason
from riskpipe.domain.tables import HISTORY
from riskpipe.ingest.synthetic.arrow import arrow_table

NOW_US = int(AS_OF.timestamp()) * 1_000_000
DAY_US = 24 * HOUR_US


def history(rows):
    """Rows: (hours before as_of, instrument, asset, mark, index, volume, index volume)."""
    hours, instruments, assets, marks, indices, volumes, index_volumes = zip(*rows, strict=True)
    table = arrow_table(
        HISTORY,
        {
            "ts": pa.array([AS_OF - timedelta(hours=float(hour)) for hour in hours], pa.timestamp("us", tz="UTC")),
            "instrument_id": list(instruments),
            "asset": list(assets),
            "mark_price": list(marks),
            "index_price": list(indices),
            "volume_usd": list(volumes),
            "index_volume_usd": list(index_volumes),
        },
    )
    return HistoryRows(table.sort_by("ts"), datetime(2024, 8, 5, tzinfo=UTC), 90.0, "", Findings())


def steady(n_hours, name="A", first=0):
    """Hours of a series that moves and trades, the last one `first` hours before as_of."""
    return [(first + h, name, None, 101.0 + 0.01 * h, 100.0 + 0.01 * h, 5.0, 5.0) for h in range(n_hours)]


def replaced(rows, at, **changes):
    names = ("hour", "instrument", "asset", "mark", "index", "volume", "index_volume")
    return [
        tuple(changes.get(name, value) for name, value in zip(names, row, strict=True)) if row[0] == at else row
        for row in rows
    ]


def reasons(findings):
    return {finding.reason for finding in findings}


def test_prices_that_trade_pass_whole():
    panel, findings = price_panel(history(steady(20)), ["A"], [])
    assert len(panel.ts_us) == 20
    assert np.diff(panel.ts_us).tolist() == [HOUR_US] * 19
    assert np.isfinite(panel.mark).all()
    assert len(findings) == 0


@pytest.mark.parametrize(
    ("changes", "mark_gone", "index_gone", "reason"),
    [
        ({"volume": 0.0}, {8, 9}, set(), Reason.STALE_PRICE),
        ({"index_volume": 0.0}, set(), {8, 9}, Reason.STALE_PRICE),
        ({"mark": None}, {8, 9}, set(), Reason.MISSING_PRICE),
        ({"mark": -1.0}, {8, 9}, set(), Reason.MISSING_PRICE),
        ({"index": float("nan")}, set(), {8, 9}, Reason.MISSING_PRICE),
    ],
)
def test_a_bad_hour_takes_its_own_price_and_the_one_before_but_not_the_other_leg(
    changes, mark_gone, index_gone, reason
):
    panel, findings = price_panel(history(replaced(steady(20), 8, **changes)), ["A"], [])
    age = (panel.ts_us[-1] - panel.ts_us) // HOUR_US
    assert set(age[np.isnan(panel.mark[:, 0])]) == mark_gone
    assert set(age[np.isnan(panel.index[:, 0])]) == index_gone
    assert reason in reasons(findings)


def test_a_price_that_stands_still_is_stale_only_where_nobody_says_that_it_traded():
    rows = steady(20)
    for hour in range(5, 13):
        rows = replaced(rows, hour, mark=101.5)
    traded, _ = price_panel(history(rows), ["A"], [])
    assert np.isfinite(traded.mark).all()
    silent, findings = price_panel(history([(*row[:5], None, row[6]) for row in rows]), ["A"], [])
    age = (silent.ts_us[-1] - silent.ts_us) // HOUR_US
    assert set(age[np.isnan(silent.mark[:, 0])]) == set(range(5, 10)), "the first three hours of it may be real"
    assert Reason.STALE_PRICE in reasons(findings)


def test_the_first_sixty_days_of_a_listing_are_dropped_but_not_the_start_of_the_history():
    old = steady(24 * 80, "old")
    new = steady(24 * 70, "new")
    panel, findings = price_panel(history(old + new), ["old", "new"], [])
    assert np.isfinite(panel.mark[:, 0]).all()
    kept = panel.ts_us[np.isfinite(panel.mark[:, 1])]
    assert (kept[0] - panel.ts_us[0]) / DAY_US == pytest.approx(70.0)
    assert (kept[-1] - kept[0]) / DAY_US == pytest.approx(10.0 - 1.0 / 24.0)
    assert Reason.LISTING_PERIOD in reasons(findings)
    told = PriceGuards(listing_days=5.0, listed_us={"old": int(panel.ts_us[0])})
    again, _ = price_panel(history(old + new), ["old", "new"], [], told)
    assert np.isnan(again.mark[: 5 * 24]).all()
    assert np.isnan(again.mark[5 * 24 : 15 * 24 - 24, 1]).all()
    assert np.isfinite(again.mark[15 * 24 :, :]).all()


def test_contradicting_rows_lose_their_price_and_copies_count_once():
    rows = steady(20)
    clash = [(4, "A", None, 150.0, rows[4][4], 5.0, 5.0)]
    panel, findings = price_panel(history(rows + clash + [rows[6]]), ["A"], [])
    age = (panel.ts_us[-1] - panel.ts_us) // HOUR_US
    assert set(age[np.isnan(panel.mark[:, 0])]) == {4}
    assert Reason.BAD_VALUE in reasons(findings)


def test_rows_between_hours_and_of_others_are_left_out():
    panel, findings = price_panel(
        history([*steady(20), (3.5, "A", None, 9.0, 9.0, 5.0, 5.0), *steady(9, "B")]), ["A"], []
    )
    assert panel.mark.shape == (20, 1)
    assert panel.mark.min() > 100.0
    assert [finding.count for finding in findings] == [1]


def test_an_empty_history_has_no_hours():
    panel, _ = price_panel(history(steady(3)), ["nobody"], ["BTC"])
    assert (panel.mark.shape, panel.asset.shape) == ((0, 1), (0, 1))


def test_changes_and_returns_do_not_cross_gaps():
    values = np.array([[100.0], [101.0], [np.nan], [104.0], [52.0]])
    np.testing.assert_allclose(hourly_changes(values)[:, 0], [np.nan, 1.0, np.nan, np.nan, -52.0])
    np.testing.assert_allclose(hourly_returns(values)[:, 0], [np.nan, 0.01, np.nan, np.nan, -0.5])


def two_venues(**overrides):
    """A BTC perpetual in USDT, one in USD elsewhere, two dated futures in USDT; stETH beside ETH."""
    expiry = [-1, -1, NOW_US + 10 * DAY_US, NOW_US + 100 * DAY_US]
    return book(
        instruments=("usdt", "usd", "near", "far"),
        labels={"venue": ["alpha", "beta"], "asset": ["BTC", "ETH", "USDT", "USD", "STETH"]},
        instrument_venue=np.array([0, 1, 0, 0], np.int32),
        instrument_kind=np.array([InstrumentKind.PERPETUAL] * 2 + [InstrumentKind.FUTURE] * 2, np.int32),
        instrument_underlying=np.zeros(4, np.int32),
        instrument_quote=np.array([2, 3, 2, 2], np.int32),
        instrument_expiry_us=np.array(expiry, np.int64),
        open_interest=np.array([9.0, 1.0, 1.0, 1.0]),
        index_price=np.array([50_000.0, 2_500.0, 0.998, 1.0, 2_490.0]),
        index_depth_usd_1pct=np.full(5, np.nan),
        index_beta=np.full(5, np.nan),
        **overrides,
    )


def panel_of(marks, n_hours=60, assets=(50_000.0, 2_500.0, 0.998, np.nan, 2_490.0)):
    ts_us = NOW_US + HOUR_US * np.arange(n_hours)
    return PricePanel(
        ts_us, np.tile(marks, (n_hours, 1)), np.full((n_hours, len(marks)), 50_100.0), np.tile(assets, (n_hours, 1))
    )


def test_each_kind_of_spread_is_its_first_price_over_its_second():
    given_book = two_venues()
    pairs = pairs_of(given_book)
    series, findings = spread_series(panel_of([50_150.0, 50_000.0, 50_300.0, 51_500.0]), pairs, given_book)
    last = dict(zip(pairs.name, series.spread[-1], strict=True))
    assert last["usdt / index"] == pytest.approx(50.0 / 50_100.0)
    assert last["far / index"] == pytest.approx(1_400.0 / 50_100.0)
    assert last["usd / usdt"] == pytest.approx(50_000.0 / (50_150.0 * 0.998) - 1.0), "in the numeraire"
    assert last["far / near"] == pytest.approx(51_500.0 / 50_300.0 - 1.0)
    assert last["STETH / ETH"] == pytest.approx(-0.004)
    assert len(findings) == 0
    days = dict(zip(pairs.name, series.days[12], strict=True))
    assert days["far / near"] == 90.0
    assert days["near / index"] == 9.5
    assert np.isinf([days["usdt / index"], days["usd / usdt"], days["STETH / ETH"]]).all()
    np.testing.assert_allclose(log_form(np.array([0.1, -0.5, 0.0])), np.log([1.1, 0.5, 1.0]))


def test_a_spread_needs_the_price_of_a_foreign_quote_and_says_where_it_is_short():
    given_book = two_venues()
    pairs = pairs_of(given_book)
    unknown = panel_of([50_150.0, 50_000.0, 50_300.0, 51_500.0], assets=(np.nan,) * 5)
    series, findings = spread_series(unknown, pairs, given_book)
    missing = {pairs.name[n] for n in np.flatnonzero(np.isnan(series.spread).all(axis=0))}
    assert missing == {"usd / usdt", "STETH / ETH"}
    assert [(finding.reason, finding.count) for finding in findings] == [(Reason.SHORT_HISTORY, 2)]


def test_a_future_has_no_spread_from_its_expiry_on():
    given_book = two_venues()
    pairs = pairs_of(given_book)
    series, _ = spread_series(panel_of([50_150.0, 50_000.0, 50_300.0, 51_500.0], n_hours=24 * 12), pairs, given_book)
    gone = {name: int(np.isnan(column).sum()) for name, column in zip(pairs.name, series.spread.T, strict=True)}
    assert gone["near / index"] == gone["far / near"] == 24 * 2
    assert gone["far / index"] == gone["usdt / index"] == 0


def converging(rng, n_days=60, carry=0.10, noise=5e-4):
    """A dated basis by the hour that goes to 0 at its end, with independent noise on it."""
    hours = np.arange(24 * n_days, 0, -1)
    days = hours / 24.0
    spread = carry * days / 365.0 + noise * rng.standard_normal(len(hours))
    return SpreadSeries(NOW_US - HOUR_US * hours, spread[:, None], days[:, None])


def test_noise_is_measured_within_five_percent_and_jumps_do_not_count():
    series = converging(np.random.default_rng(1), n_days=120)
    series.spread[::200] += 0.02
    assert fast_noise(series)[0] == pytest.approx(5e-4, rel=0.05)


def test_annualised_spreads_recover_the_carry_and_their_noise_stays_bounded_up_to_expiry():
    series = converging(np.random.default_rng(2))
    shown = annual_form(series)[:, 0]
    is_shown = np.isfinite(shown)
    assert np.nanmean(shown) == pytest.approx(0.10, abs=0.002)
    assert np.nanstd(shown) < 0.05
    naive = series.spread[:, 0] * 365.0 / series.days[:, 0]
    assert np.nanstd(naive[-24:]) > 0.5, "without the guard the last day's noise is half the price a year and more"
    assert series.days[is_shown, 0].min() == pytest.approx(365.0 * 5e-4 / 0.05, rel=0.06), "3.65 days, by its noise"


def test_beyond_its_carry_a_dated_spread_is_only_its_noise_and_an_undated_one_is_itself():
    series = converging(np.random.default_rng(5))
    series.spread[7] = np.nan
    left = beyond_carry(series)[:, 0]
    assert np.isnan(left[7])
    assert np.nanstd(left) == pytest.approx(5e-4, rel=0.06)
    days = series.days[:, 0]
    early, late = left[days > 30.0], left[days <= 30.0]
    assert np.nanmean(early) == pytest.approx(np.nanmean(late), abs=1e-4), "no slope is left"
    assert convergence(series.spread[:, 0]).half_life > 20.0, "the way to expiry looks like slow reversion"
    assert convergence(left).half_life < 1.0
    undated = SpreadSeries(series.ts_us, series.spread, np.full_like(series.days, np.inf))
    np.testing.assert_array_equal(beyond_carry(undated), series.spread)


def test_annual_forms_end_before_expiry_or_keep_their_last_figure():
    series = converging(np.random.default_rng(3), noise=1e-6)
    shown = annual_form(series, excluded_days=4.0)[:, 0]
    assert np.isnan(shown[-4 * 24 :]).all()
    assert np.isfinite(shown[: -4 * 24]).all()
    held = annual_form(series, excluded_days=4.0, is_frozen=True)[:, 0]
    np.testing.assert_array_equal(held[: -4 * 24], shown[: -4 * 24])
    assert set(held[-4 * 24 :]) == {shown[-4 * 24 - 1]}
    logs = annual_form(series, form="log")[0, 0]
    assert logs == pytest.approx(np.log1p(series.spread[0, 0]) * 365.0 / 60.0)
    calm = SpreadSeries(series.ts_us, series.spread, np.full_like(series.days, np.inf))
    assert np.isnan(annual_form(calm)).all(), "what has no end earns nothing a year by itself"


@given(st.floats(1e-6, 1e-2), st.floats(0.0, 10.0), st.integers(0, 2**31))
def test_noise_in_what_is_shown_never_exceeds_its_limit(noise, excluded, seed):
    series = converging(np.random.default_rng(seed), n_days=40, noise=noise)
    shown = annual_form(series, noise=np.array([noise]), excluded_days=excluded)[:, 0]
    days = series.days[np.isfinite(shown), 0]
    assert (noise * 365.0 / days <= 0.05 * (1.0 + 1e-12)).all()
    assert (days > excluded).all()


def test_a_constant_spread_has_no_noise_and_is_shown():
    hours = np.arange(240, 0, -1)
    series = SpreadSeries(NOW_US - HOUR_US * hours, np.zeros((240, 1)), (hours / 24.0)[:, None])
    assert fast_noise(series).tolist() == [0.0]
    assert np.nanmax(np.abs(annual_form(series))) == 0.0


def test_cutting_leaves_ordinary_hours_alone_and_holds_the_others_at_eight_deviations():
    rng = np.random.default_rng(4)
    values = rng.standard_normal((2_000, 2))
    values[7, 0], values[9, 1], values[11, 0] = 50.0, -50.0, np.nan
    limited = cut(values)
    middle, scale = middle_and_scale(values)
    assert scale == pytest.approx([1.0, 1.0], rel=0.06)
    assert limited[7, 0] == pytest.approx(middle[0] + 8.0 * scale[0])
    assert limited[9, 1] == pytest.approx(middle[1] - 8.0 * scale[1])
    assert np.isnan(limited[11, 0])
    same = np.ones_like(values, dtype=bool)
    same[7, 0] = same[9, 1] = same[11, 0] = False
    np.testing.assert_array_equal(limited[same], values[same])
    odd = np.zeros((9, 1))
    odd[4] = 3.0
    np.testing.assert_array_equal(cut(odd), odd)


def test_kinds_of_pairs_are_told_apart():
    pairs = pairs_of(two_venues())
    assert sorted(set(pairs.kind)) == sorted(SpreadKind)
