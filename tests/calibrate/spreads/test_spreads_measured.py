"""What a night measures of a pair: laws that hold whatever the prices are, and what must not be flagged."""

from dataclasses import fields
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.basis_changes import basis_changes
from support.books import AS_OF, book

from riskpipe.calibrate.fits import FitSettings
from riskpipe.calibrate.spreads.levels import common_share, fair_spread
from riskpipe.calibrate.spreads.measured import (
    BY_HORIZON,
    BY_PAIR,
    PairSeries,
    measure_pair,
    measured_arrays,
    pair_series,
    until,
)
from riskpipe.calibrate.spreads.pairs import Pairs, SpreadKind, pairs_of
from riskpipe.calibrate.spreads.prices import PricePanel
from riskpipe.calibrate.spreads.series import SpreadSeries, log_form, spread_series
from riskpipe.calibrate.spreads.trades import Hedged

HOUR_US = 3_600_000_000
END_US = int(AS_OF.timestamp() * 1e6)
SETTINGS = FitSettings(0.97, 48)
N_HOURS = 1_500
TRADE = {"side": -1.0, "unhedged_share": 0.05, "own_maintenance": 0.01, "own_buffer": 0.19, "own_funding": 1e-5}
ALONE = np.array([[TRADE.get(item.name, np.nan) for item in fields(Hedged)]])


def series_of(spread, returns=None, trade=ALONE):
    """One pair whose second leg is the index itself."""
    spread = np.asarray(spread, float)[None]
    returns = np.random.default_rng(5).normal(0.0, 0.005, spread.shape) if returns is None else returns[None]
    prices = np.cumprod(1.0 + np.nan_to_num(returns), axis=1) * (1.0 + spread)
    first = np.full_like(spread, np.nan)
    first[:, 1:] = prices[:, 1:] / prices[:, :-1] - 1.0
    return PairSeries(spread, spread, first, returns, returns, trade)


def noisy(seed=2):
    return np.cumsum(np.nan_to_num(basis_changes(N_HOURS, seed=seed, n_gaps=0)))


def test_a_constant_spread_has_no_volatility_and_nothing_that_is_not_a_number():
    found = measure_pair(series_of(np.full(N_HOURS, 0.003)), 0, SETTINGS)
    assert found.problems == ()
    assert found.estimator
    assert set(found.by_pair) == set(BY_PAIR)
    assert set(found.by_horizon) == set(BY_HORIZON)
    assert list(found.by_horizon["spread_vol"]) == [0.0] * 4
    assert list(found.by_horizon["widening_score"]) == [0.0] * 4
    assert list(found.by_horizon["is_widening"]) == [0.0] * 4
    assert found.by_pair["half_life"] == 0.0
    assert found.by_pair["mean_spread"] == found.by_pair["last_history_spread"] == 0.003
    known = {name: value for name, value in found.by_pair.items() if "crash" not in name}  # there was no crash
    assert np.isfinite(list(known.values())).all(), known
    for name in ("hedge_ratio", "hedge_effectiveness", "exhaustion"):
        values = np.array(found.by_horizon[name])
        assert np.isfinite(values[:3]).all(), name


def test_a_series_hedged_by_itself_has_ratio_one_and_nothing_is_left():
    found = measure_pair(series_of(np.zeros(N_HOURS)), 0, SETTINGS)
    measured = np.isfinite(found.by_horizon["hedge_ratio"])
    assert measured.sum() == 3, "a week has too few windows here"
    assert np.array(found.by_horizon["hedge_ratio"])[measured] == pytest.approx(1.0)
    assert np.array(found.by_horizon["hedge_effectiveness"])[measured] == pytest.approx(1.0)
    assert np.array(found.by_horizon["hedge_deviation"])[measured] == pytest.approx(0.0, abs=1e-9)


def test_a_jump_widens_and_an_outage_does_not():
    calm = noisy()
    assert not np.any(measure_pair(series_of(calm), 0, SETTINGS).by_horizon["is_widening"])
    jumped = calm.copy()
    jumped[-3:] += 60.0 * np.std(np.diff(calm))
    assert measure_pair(series_of(jumped), 0, SETTINGS).by_horizon["is_widening"][1] == 1.0
    dark = calm.copy()
    dark[-5:] = np.nan
    found = measure_pair(series_of(dark), 0, SETTINGS)
    assert np.isnan(found.by_horizon["is_widening"]).all(), "not flagged, and not called steady either"
    assert np.isfinite(found.by_horizon["spread_vol"]).all()
    back = calm.copy()
    back[-30:-1] = np.nan  # up again in the last hour
    assert not np.any(np.array(measure_pair(series_of(back), 0, SETTINGS).by_horizon["is_widening"]) == 1.0)


def test_too_short_a_history_measures_nothing_and_what_fails_stays_in_its_cell():
    short = np.full(N_HOURS, np.nan)
    short[-30:] = 0.001
    found = measure_pair(series_of(short), 0, SETTINGS)
    assert (found.estimator, found.by_horizon, found.problems) == ("", {}, ())
    huge = measure_pair(series_of(noisy() * 1e300), 0, SETTINGS)
    assert huge.problems
    arrays = measured_arrays([found, huge, measure_pair(series_of(noisy()), 0, SETTINGS)])
    assert arrays["estimator_used"][2] == "reverting_mixture"
    assert np.isnan(arrays["spread_vol"][0]).all()
    assert np.isfinite(arrays["spread_vol"][2]).all()
    assert (arrays["problems"] != "").tolist() == [False, True, False]


def test_thinner_margin_and_longer_horizons_never_make_running_out_less_likely():
    spread = noisy()
    chances = []
    for buffer in (0.30, 0.10, 0.03, 0.0):
        trade = np.array([[{**TRADE, "own_buffer": buffer, "unhedged_share": 1.0}.get(item.name, np.nan)
                           for item in fields(Hedged)]])  # fmt: skip
        chances.append(measure_pair(series_of(spread, trade=trade), 0, SETTINGS).by_horizon["exhaustion"])
    chances = np.array(chances)
    assert (np.diff(chances, axis=0) >= 0.0).all()
    assert (np.diff(chances, axis=1) >= 0.0).all()
    assert (chances[-1] == 1.0).all()
    assert chances[0, 0] < 0.01 < chances[2, 2]


def two_perpetuals():
    return book(
        instruments=("a", "b"),
        labels={"venue": ["alpha", "beta"]},
        instrument_venue=np.array([0, 1], np.int32),
        instrument_underlying=np.zeros(2, np.int32),
        open_interest=np.array([1.0, 9.0]),
        mark_price=np.array([50_010.0, 50_000.0]),
    )


@given(st.lists(st.floats(0.5, 2.0), min_size=4, max_size=4), st.floats(0.5, 2.0))
def test_spreads_are_antisymmetric_in_their_legs(marks, quote):
    given_book = two_perpetuals()
    n = 60
    mark = 50_000.0 * np.stack([np.resize(marks[:2], n), np.resize(marks[2:], n)], axis=1)
    asset = np.tile([50_000.0, 2_500.0, quote, 1.0][: len(given_book.names("asset"))], (n, 1))
    panel = PricePanel(END_US - HOUR_US * np.arange(n)[::-1], mark, np.full((n, 2), 50_000.0), asset)
    both = Pairs((SpreadKind.CROSS_VENUE,) * 2, np.array([0, 1], np.int32), np.array([1, 0], np.int32), ("ab", "ba"))
    series, _ = spread_series(panel, both, given_book)
    there, back = log_form(series.spread).T
    np.testing.assert_allclose(there, -back, atol=1e-12)


def test_after_the_end_of_a_history_there_are_gaps_up_to_as_of():
    ts_us = END_US - HOUR_US * np.arange(10, 5, -1)
    panel = PricePanel(ts_us, np.ones((5, 2)), np.ones((5, 2)), np.ones((5, 3)))
    longer = until(panel, AS_OF)
    assert longer.ts_us[-1] == END_US
    assert np.isnan(longer.mark[5:]).all()
    assert until(longer, AS_OF - timedelta(hours=3)).ts_us[-1] == END_US, "nothing is cut"


def test_what_moves_by_rounding_errors_alone_stands_still():
    given_book = two_perpetuals()
    pairs = pairs_of(given_book)
    n = 200
    wobble = 1.0 + 1e-15 * np.random.default_rng(1).integers(-2, 3, (n, 2))
    panel = PricePanel(
        END_US - HOUR_US * np.arange(n)[::-1], 50_000.0 * wobble, np.full((n, 2), 50_000.0), np.full((n, 4), 1.0)
    )
    series, _ = spread_series(panel, pairs, given_book)
    hedged = Hedged(*(np.full(len(pairs), np.nan) for _ in fields(Hedged)))
    found = pair_series(panel, series, pairs, given_book, hedged)
    assert (np.ptp(found.spread, axis=1) == 0.0).all()
    assert list(measure_pair(found, 0, SETTINGS).by_horizon["spread_vol"]) == [0.0] * 4


def test_levels_are_zero_for_one_thing_the_carry_of_a_dated_spread_and_the_habit_of_a_ratio():
    kinds = (SpreadKind.PERPETUAL_INDEX, SpreadKind.FUTURE_INDEX, SpreadKind.ASSET_RATIO, SpreadKind.CROSS_VENUE)
    pairs = Pairs(kinds, np.arange(4, dtype=np.int32), np.full(4, -1, np.int32), tuple("pfrc"))
    days = np.arange(600, 0, -1) / 24.0 + 10.0
    spread = np.stack([np.full(600, 0.002), 1e-4 * days, np.full(600, 0.15), np.full(600, -0.001)], axis=1)
    until_end = np.stack([np.full(600, np.inf), days, np.full(600, np.inf), np.full(600, np.inf)], axis=1)
    series = SpreadSeries(END_US - HOUR_US * np.arange(600)[::-1], spread, until_end)
    assert fair_spread(series, pairs) == pytest.approx([0.0, 1e-4 * days[-1], 0.15, 0.0])
    nothing = SpreadSeries(np.empty(0, np.int64), np.empty((0, 4)), np.empty((0, 4)))
    np.testing.assert_array_equal(fair_spread(nothing, pairs), [0.0, np.nan, np.nan, 0.0])


def test_the_common_share_is_high_of_spreads_that_follow_the_factor_and_low_of_one_that_does_not():
    random = np.random.default_rng(8)
    n = 2_000
    factor = np.zeros(n)
    for t in range(1, n):
        factor[t] = 0.995 * factor[t - 1] + random.normal(0.0, 1e-4)
    bases = factor[:, None] * [1.0, 1.5, 0.7] + random.normal(0.0, 1e-5, (n, 3))
    alone = np.cumsum(random.normal(0.0, 1e-5, n))[:, None]
    kinds = (*(SpreadKind.PERPETUAL_INDEX,) * 3, *(SpreadKind.CROSS_VENUE,) * 3)
    pairs = Pairs(kinds, np.arange(6, dtype=np.int32), np.full(6, -1, np.int32), tuple("abcdef"))
    spread = np.hstack([bases, bases[:, 1:2] - bases[:, :1], alone, np.full((n, 1), 0.001)])
    share = common_share(SpreadSeries(END_US + HOUR_US * np.arange(n), spread, np.full((n, 6), np.inf)), pairs)
    assert (share[:4] > 0.9).all()
    assert share[4] < 0.6
    assert np.isnan(share[5]), "what stands still follows nothing"
