"""The conditional surface: news impact of basis moves, what index moves add, and fits kept apart from each other."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support.basis_changes import basis_changes

from riskpipe.calibrate.fits import FALLBACKS, FitSettings, SeriesFit, basis_arrays, estimators, fit_series
from riskpipe.calibrate.index_moves import index_response
from riskpipe.calibrate.market import _surface
from riskpipe.calibrate.surface import conditional_basis_vol, news_impact
from riskpipe.domain.market import ESTIMATORS, Market

HORIZONS = (1, 8, 24, 168)
SETTINGS = FitSettings(0.94, 48)
AVAILABLE = estimators(0.94)


def index_moves(n, seed=3):
    return np.random.default_rng(seed).standard_t(4, n) * 0.004


def market(*fits, **changes):
    nothing = np.full(len(fits), np.nan)
    plain = {name: nothing for name, field in Market.__dataclass_fields__.items() if not name.startswith("basis_")}
    plain |= dict.fromkeys(
        ("basis_vol_1h", "basis_innovation_max", "basis_observations", "basis_mean", "basis_last"), nothing
    )
    plain |= {"basis_realised_vol": np.full((len(fits), 4), np.nan), "ewma_decay": 0.94}
    return Market(**(plain | _surface(fits) | changes))


@pytest.fixture(scope="module")
def series():
    changes = basis_changes(seed=11)
    return changes, np.nancumsum(changes), index_moves(len(changes))


@pytest.fixture(scope="module")
def fit(series):
    return fit_series(*series, SETTINGS)


@pytest.mark.parametrize("label", list(AVAILABLE))
def test_the_line_is_what_the_model_says_of_every_move_and_of_the_next_hour(series, label):
    changes, _, _ = series
    fitted = AVAILABLE[label].fit(changes)
    line = news_impact(fitted, changes, HORIZONS)
    path = fitted.filter(changes)
    moves = np.array([-0.2, -3e-4, 0.0, 1e-4, 6e-4, 0.2])
    states, is_capped = fitted.shocked(path.state, moves)
    news = np.minimum(np.abs(moves - line.mean), line.largest)
    np.testing.assert_allclose(
        line.intercept + line.slope * news[:, None] ** 2, fitted.term_structure(states, HORIZONS), rtol=1e-9
    )
    np.testing.assert_array_equal(np.abs(moves - line.mean) > line.largest * (1 + 1e-9), is_capped)
    if "realised" not in label:  # a window forgets its oldest change, which a state of one number does not know
        still = fitted.filter(np.append(changes, 0.0)).state
        calm = line.intercept + line.slope * line.mean**2
        np.testing.assert_allclose(calm, fitted.term_structure(still, HORIZONS), rtol=1e-9)


def test_an_hour_with_more_variance_adds_to_each_horizon_what_paths_do(series):
    """Paths of the mixture whose first hour has twice the variance that the model forecasts."""
    fitted = AVAILABLE["reverting_mixture"].fit(series[0])
    line = news_impact(fitted, series[0], (1, 2, 8))
    random = np.random.default_rng(1)
    n, state = 40_000, fitted.filter(series[0]).state
    k = len(fitted.decays)
    plain = np.tile(np.concatenate((state[:k], np.zeros(len(state) - k))), (n, 1))
    reached = {}
    for factor in (1.0, 2.0):
        states, change = plain.copy(), np.zeros(n)
        for hour in range(8):
            deviation = np.sqrt(fitted.next_variance(states) * (factor if hour == 0 else 1.0))
            step = fitted.next_mean(states) + deviation * random.uniform(-np.sqrt(3.0), np.sqrt(3.0), n)
            states, _ = fitted.shocked(states, step)
            change += step
            reached[factor, hour + 1] = np.var(change)
    first = fitted.term_structure(plain[:1], (1,))[0, 0]
    for hours, expected in ((2, line.first_hour[1]), (8, line.first_hour[2])):
        more = (reached[2.0, hours] - reached[1.0, hours]) / first
        assert more == pytest.approx(expected, abs=0.04), (hours, more, expected)
    assert line.first_hour[0] == 1.0


def test_the_surface_grows_with_the_move_up_to_the_cap_and_is_flagged_beyond(fit):
    assert fit.estimator == "reverting_mixture"
    sizes = np.concatenate((np.linspace(0.0, fit.largest * 0.999, 20), fit.largest * np.array([1.001, 2.0, 50.0])))
    for sign in (1.0, -1.0):
        vol, is_extrapolated = conditional_basis_vol(
            (fit.mean + sign * sizes)[:, None], np.zeros((len(sizes), 1)), market(fit)
        )
        assert (np.diff(vol[:20, 0], axis=0) > 0.0).all()
        np.testing.assert_array_equal(vol[20:], np.broadcast_to(vol[20], vol[20:].shape))
        assert is_extrapolated[:, 0].tolist() == [False] * 20 + [True] * 3


def test_the_term_structure_settles_at_the_long_run_deviation_where_the_basis_reverts(fit, series):
    vol = np.array(fit.volatility["reverting_mixture"])
    stationary = np.nanstd(series[1][-2_000:])
    assert vol[3] == pytest.approx(np.sqrt(2.0) * stationary, rel=0.5), "both ends of a long change lie anywhere"
    assert vol[3] < 0.35 * np.array(fit.volatility["ewma"])[3]
    hours = np.array(HORIZONS)
    np.testing.assert_allclose(fit.volatility["ewma"], fit.volatility["ewma"][0] * np.sqrt(hours), rtol=1e-12)


def test_index_moves_widen_as_estimated_up_to_the_largest_seen_and_are_flagged_beyond(fit):
    on = {"basis_index_calm": np.array([0.7]), "basis_index_fall": np.array([40.0]), "basis_index_rise": np.zeros(1)}
    limits = {"basis_index_fall_max": np.array([0.05]), "basis_index_rise_max": np.array([0.04])}
    values = market(fit, **on, **limits)
    index = np.array([0.0, -0.005, -0.02, -0.05, -0.4, 0.4])[:, None]
    vol, is_extrapolated = conditional_basis_vol(np.full((6, 1), fit.mean), index, values)
    calm = np.array(fit.intercept)
    for row, growth in enumerate((0.0, 0.0, 0.5, 1.7, 1.7, 0.0)):
        expected = calm + growth * calm[0] * np.array(fit.first_hour)
        np.testing.assert_allclose(vol[row, 0] ** 2, expected, rtol=1e-12)
    assert is_extrapolated[:, 0].tolist() == [False, False, False, False, True, False]


@settings(max_examples=30, deadline=None)
@given(
    moves=arrays(float, (23, 2), elements=st.floats(-0.5, 0.5)),
    index=arrays(float, (23, 2), elements=st.floats(-0.9, 0.9)),
    block=st.integers(1, 23),
)
def test_bits_do_not_depend_on_the_block(fit, moves, index, block):
    values = market(
        fit, SeriesFit(), basis_index_calm=np.array([0.8, np.nan]), basis_index_fall=np.array([31.7, np.nan])
    )
    whole, flags = conditional_basis_vol(moves, index, values)
    cuts = range(0, 23, block)
    parts = [conditional_basis_vol(moves[at : at + block], index[at : at + block], values) for at in cuts]
    assert np.concatenate([part[0] for part in parts]).tobytes() == whole.tobytes()
    assert np.concatenate([part[1] for part in parts]).tobytes() == flags.tobytes()
    assert np.isnan(whole[:, 1]).all(), "nothing was fitted"
    assert not flags[:, 1].any()


@pytest.mark.parametrize("value", [0.0, 3e-4])
def test_a_constant_series_gives_zero_and_any_move_of_it_is_beyond_the_sample(value):
    fit = fit_series(np.zeros(700), np.full(700, value), index_moves(700), SETTINGS)
    assert fit.estimator == "reverting_mixture"
    assert not fit.problems
    np.testing.assert_array_equal(fit.volatility["reverting_mixture"], 0.0)
    vol, is_extrapolated = conditional_basis_vol(np.array([[0.0], [0.01]]), np.full((2, 1), -0.1), market(fit))
    np.testing.assert_array_equal(vol, 0.0)
    assert is_extrapolated[:, 0].tolist() == [False, True]


def test_a_failing_fit_stays_with_its_instrument():
    class Broken:
        name = "reverting_mixture"

        def fit(self, changes):
            if changes[0] == 1e-4:
                raise FloatingPointError("this series")
            return AVAILABLE["reverting_mixture"].fit(changes)

    changes = basis_changes(1_000, n_gaps=0)
    marked = changes.copy()
    marked[0] = 1e-4
    broken = {**AVAILABLE, "reverting_mixture": Broken()}
    good, bad = (fit_series(x, np.cumsum(x), index_moves(1_000), SETTINGS, available=broken) for x in (changes, marked))
    assert good == fit_series(changes, np.cumsum(changes), index_moves(1_000), SETTINGS)
    assert bad.estimator == "ewma"
    assert bad.refused == ("reverting_mixture: FloatingPointError: this series",)
    kept = basis_arrays([good, bad])
    assert kept["estimator_used"].tolist() == ["reverting_mixture", "ewma"]
    assert np.isnan(kept["basis_vol"][1, ESTIMATORS.index("reverting_mixture")]).all()
    assert (kept["basis_vol"][1, ESTIMATORS.index("ewma")] > 0.0).all()


def test_too_short_a_series_has_no_fit_and_says_what_it_needs():
    fit = fit_series(np.full(47, 1e-4), np.full(47, 1e-4), np.zeros(47), SETTINGS)
    assert (fit.estimator, fit.is_short, fit.refused) == ("", True, ("47 hourly changes, 48 needed",))
    assert FALLBACKS[0] not in fit.volatility


def test_a_fit_keeps_its_bits_on_the_way_back_from_a_worker(fit):
    again = SeriesFit.from_json(json.loads(json.dumps(fit.as_json())))
    assert again.as_json() == fit.as_json()
    assert _surface([again])["basis_news_slope"].tobytes() == _surface([fit])["basis_news_slope"].tobytes()


@pytest.mark.parametrize(("fall", "rise"), [(60.0, 0.0), (0.0, 40.0), (0.0, 0.0)])
def test_the_response_to_index_moves_is_found_by_direction_and_nothing_where_there_is_none(fall, rise):
    random = np.random.default_rng(2)
    found = []
    for seed in range(8):
        moves = index_moves(6_000, seed)
        growth = 1.0 + fall * np.maximum(-moves, 0.0) + rise * np.maximum(moves, 0.0)
        z = 1.5 * np.r_[0.0, np.sqrt(growth[:-1]) * random.standard_normal(5_999)]  # whatever the forecast's level
        moves[100:110] = np.nan
        found.append(index_response(z, moves))
    for name, true in (("fall", fall), ("rise", rise)):
        estimates = np.array([getattr(one, name) / one.calm for one in found])
        used = np.array([getattr(one, f"used_{name}") for one in found])
        assert estimates.mean() == pytest.approx(true, abs=8.0)
        assert (used > 0.0).sum() >= 7 if true else (used > 0.0).sum() <= 2
    assert found[0].fall_max == -np.nanmin(index_moves(6_000, 0))


def test_the_response_is_not_measured_where_there_is_too_little():
    for z, moves in (
        (np.ones(400), index_moves(400)),
        (np.ones(900), np.full(900, 0.01)),
        (np.zeros(900), index_moves(900)),
    ):
        found = index_response(z, moves)
        assert np.isnan([found.fall, found.rise, found.fall_t]).all()
        assert found.used_fall == found.used_rise == 0.0
