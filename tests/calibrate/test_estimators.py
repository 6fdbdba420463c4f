"""Laws of every volatility estimator, on invented series."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.basis_changes import basis_changes, garch_series

from riskpipe.calibrate.estimators.choose import ORDER, first_passing
from riskpipe.calibrate.estimators.garch import FittedGarch, Garch
from riskpipe.calibrate.estimators.instrument import fit_instrument
from riskpipe.calibrate.estimators.mixture import FittedMixture, Mixture
from riskpipe.calibrate.estimators.plain import Ewma, FittedPlain, Realised
from riskpipe.calibrate.estimators.protocol import judged, robust_scale, standardised

ESTIMATORS = (Realised(48), Ewma(0.94), Garch(), Mixture(level_half_lives=()), Mixture())
HORIZONS = (1, 8, 24, 168)


@pytest.fixture(scope="module")
def fits():
    changes = basis_changes()
    return changes, {estimator.name: estimator.fit(changes) for estimator in ESTIMATORS}


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: estimator.name)
def test_a_good_series_passes_the_gate(fits, estimator):
    _, fitted = fits
    assert fitted[estimator.name].verdict.is_passed, fitted[estimator.name].verdict.reasons


@pytest.mark.parametrize("value", [0.0, 3e-4])
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: estimator.name)
def test_a_series_that_never_moves_has_no_variance(estimator, value):
    level = np.full(1_001, value)
    level[100] = np.nan
    changes = np.diff(level)
    fitted = estimator.fit(changes)
    path = fitted.filter(changes)
    assert fitted.verdict.is_passed, fitted.verdict.reasons
    assert path.second_moment()[-1] == 0.0
    np.testing.assert_array_equal(fitted.term_structure(path.state, HORIZONS), 0.0)
    state, _ = fitted.shocked(path.state, np.array([0.0]))
    np.testing.assert_array_equal(fitted.term_structure(state, HORIZONS), 0.0)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: estimator.name)
def test_a_forecast_knows_nothing_of_its_own_hour_or_later(fits, estimator):
    changes, fitted = fits
    model = fitted[estimator.name]
    other = changes.copy()
    other[3_000:] = np.random.default_rng(5).normal(0.0, 1e-2, 1_000)
    first, second = model.filter(changes), model.filter(other)
    np.testing.assert_array_equal(first.variance[:3_001], second.variance[:3_001])
    np.testing.assert_array_equal(first.mean[:3_001], second.mean[:3_001])
    assert first.variance[3_010] != second.variance[3_010]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: estimator.name)
def test_the_state_is_where_the_path_goes_on(fits, estimator):
    changes, fitted = fits
    model = fitted[estimator.name]
    longer, shorter = model.filter(changes), model.filter(changes[:3_500])
    assert longer.variance[3_500] == pytest.approx(model.term_structure(shorter.state, [1])[0], rel=1e-12)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: estimator.name)
def test_an_ordinary_move_leads_to_the_state_that_the_filter_reaches(fits, estimator):
    changes, fitted = fits
    model = fitted[estimator.name]
    before, after = model.filter(changes[:3_500]), model.filter(changes[:3_501])
    if isinstance(model, FittedPlain) and model.window:
        return  # a window forgets its oldest change, which a state of one number does not know
    state, is_capped = model.shocked(before.state, changes[3_500:3_501])
    assert not is_capped.any()
    np.testing.assert_allclose(state[0], after.state, rtol=1e-9, atol=1e-18)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: estimator.name)
def test_a_larger_move_leaves_more_variance_until_it_is_capped(fits, estimator):
    changes, fitted = fits
    model = fitted[estimator.name]
    state = model.filter(changes).state
    moves = np.array([0.0, 4e-4, 7e-4, 0.5, 1.0]) * np.sign(changes[~np.isnan(changes)][-1])
    states, is_capped = model.shocked(state, moves)
    vol = model.term_structure(states, HORIZONS)
    assert (np.diff(vol[:4], axis=0) > 0.0).all()
    assert is_capped.tolist()[3:] == [True, True]
    assert not is_capped[0]
    np.testing.assert_allclose(vol[3], vol[4])


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: estimator.name)
def test_variance_grows_with_the_horizon_and_scales_with_the_square_of_the_unit(estimator):
    changes = basis_changes(seed=3)
    first, second = estimator.fit(changes), estimator.fit(1e3 * changes)
    structure = first.term_structure(first.filter(changes).state, HORIZONS)
    assert (np.diff(structure) > 0.0).all()
    scaled = second.term_structure(second.filter(1e3 * changes).state, HORIZONS)
    np.testing.assert_allclose(scaled, 1e6 * structure, rtol=1e-4)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: estimator.name)
def test_a_fit_is_sent_to_a_worker_and_back(fits, estimator):
    changes, fitted = fits
    assert pickle.loads(pickle.dumps(estimator)) == estimator  # noqa: S301  our own bytes
    again = pickle.loads(pickle.dumps(fitted[estimator.name]))  # noqa: S301
    assert again == estimator.fit(changes), "the same array gives the same fit"


@settings(max_examples=30)
@given(n=st.integers(0, 60), seed=st.integers(0, 9))
def test_too_few_changes_are_refused_and_raise_nothing(n, seed):
    changes = np.random.default_rng(seed).normal(0.0, 1e-4, n)
    for estimator in ESTIMATORS:
        assert any("needed" in reason for reason in estimator.fit(changes).verdict.reasons) == (
            n < (48 if isinstance(estimator, Ewma) else 96)
        )


def test_the_fallback_is_named_with_the_reasons_before_it():
    changes = np.random.default_rng(1).normal(0.0, 1e-4, 350)
    choice, refused = first_passing(changes)
    assert choice.fitted.name == "ewma_0.94"
    assert choice.is_fallback
    assert refused == (("reverting_mixture", ("350 changes observed, 500 needed",)),)
    nothing, refused = first_passing(np.full(100, np.nan))
    assert nothing is None
    assert [name for name, _ in refused] == [estimator.name for estimator in ORDER]
    assert not first_passing(basis_changes())[0].is_fallback


def test_an_estimator_that_fails_does_not_end_the_choice():
    class Broken:
        name = "broken"

        def fit(self, changes):
            raise FloatingPointError(f"cannot take {len(changes)}")

    choice, refused = first_passing(basis_changes(), (Broken(), *ORDER))
    assert choice.fitted.name == "reverting_mixture"
    assert refused == (("broken", ("FloatingPointError: cannot take 4000",)),)


def test_the_gate_refuses_forecasts_that_miss():
    changes = basis_changes()
    good = Ewma(0.94).fit(changes).filter(changes)
    for factor, is_passed in ((1.0, True), (0.2, False), (5.0, False)):
        path = type(good)(factor * good.variance, good.mean, good.state)
        verdict, _ = judged(changes, path, minimum=100)
        assert verdict.is_passed == is_passed
    broken = type(good)(good.variance, good.mean, np.array([np.nan]))
    assert judged(changes, broken, minimum=100)[0].reasons == ("forecasts are not finite",)


def test_one_crash_does_not_set_the_scale():
    changes = np.random.default_rng(1).normal(0.0, 1e-4, 5_000)
    calm = robust_scale(changes)
    changes[1_000] = 0.25
    assert robust_scale(changes) == pytest.approx(calm, rel=0.01)
    assert robust_scale(np.array([])) == 0.0
    assert robust_scale(np.r_[np.zeros(999), 1.0]) > 0.0


def test_what_came_where_nothing_was_expected_is_infinite():
    path = Ewma(0.5, n_seed=2).fit(np.zeros(10)).filter(np.r_[np.zeros(5), 1.0])
    assert standardised(np.r_[np.zeros(5), 1.0], path).tolist()[2:] == [0.0, 0.0, 0.0, np.inf]


def test_windows_and_averages_are_what_their_definitions_say():
    changes = basis_changes(400, seed=2)
    known = changes[~np.isnan(changes)]
    realised = Realised(24).fit(changes).filter(changes)
    assert realised.state[0] == pytest.approx(np.var(known[-24:], ddof=1), rel=1e-9)
    variance = np.mean(known[:24] ** 2)
    for x in known[24:]:
        variance = 0.9 * variance + 0.1 * x * x
    assert Ewma(0.9).fit(changes).filter(changes).state[0] == pytest.approx(variance, rel=1e-12)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_garch_recovers_its_parameters_within_three_errors(seed):
    x = garch_series(6_000, omega=5e-10, alpha=0.10, beta=0.85, nu=6.0, seed=seed)
    fitted = Garch().fit(x)
    assert fitted.verdict.is_passed
    assert fitted.alpha == pytest.approx(0.10, abs=0.04)
    assert fitted.beta == pytest.approx(0.85, abs=0.06)
    assert fitted.nu == pytest.approx(6.0, abs=1.5)
    assert fitted.omega / (1.0 - fitted.alpha - fitted.beta) == pytest.approx(1e-8, rel=0.3)


def test_the_term_structure_of_garch_is_what_its_paths_do():
    model = FittedGarch("garch", 0.0, 0.05, 0.1, 0.85, np.inf, 1.0, {"innovation_max": 9.0})
    random = np.random.default_rng(1)
    h, total = np.full(40_000, 3.0), np.zeros(40_000)
    for _ in range(24):
        x = np.sqrt(h) * random.standard_normal(len(h))
        total += x
        h = 0.05 + 0.1 * x * x + 0.85 * h
    assert model.term_structure(np.array([3.0]), [24])[0] == pytest.approx(np.var(total), rel=0.03)
    integrated = FittedGarch("garch", 0.0, 0.05, 0.15, 0.85, np.inf, 1.0)
    assert integrated.term_structure(np.array([3.0]), [2])[0] == pytest.approx(3.0 + 3.05)


def test_the_term_structure_of_the_mixture_is_what_its_paths_do():
    decays, pulls = (0.9, 0.99), (0.3, 0.1)
    model = FittedMixture("m", decays, (0.6, 0.4), (0.5, 0.9), pulls, 1.0, {"innovation_max": 9.0})
    random = np.random.default_rng(2)
    n = 60_000
    parts = [np.full(n, 4.0), np.full(n, 1.0)]
    distances, moved = [np.zeros(n), np.zeros(n)], np.zeros(n)
    for _ in range(24):
        h = 0.6 * parts[0] + 0.4 * parts[1]
        e = np.sqrt(h) * random.uniform(-np.sqrt(3.0), np.sqrt(3.0), n)  # never beyond the caps
        change = e - sum(pull * distance for pull, distance in zip(pulls, distances, strict=True))
        parts = [d * v + (1.0 - d) * e * e for d, v in zip(decays, parts, strict=True)]
        distances = [d * (v + change) for d, v in zip((0.5, 0.9), distances, strict=True)]
        moved += change
    state = np.array([4.0, 1.0, 0.0, 0.0])
    assert model.term_structure(state, [24])[0] == pytest.approx(np.var(moved), rel=0.03)


def test_the_expected_change_is_what_the_filters_own_means_add_up_to():
    changes = basis_changes(seed=8)
    fitted = Mixture().fit(changes)
    state = fitted.filter(changes).state
    ahead, moved = state, 0.0
    for _ in range(24):
        step = float(fitted.next_mean(ahead))
        moved += step
        ahead, _ = fitted.shocked(ahead, np.array(step))
    assert fitted.expected_change(state, [1, 24])[0] == pytest.approx(float(fitted.next_mean(state)), rel=1e-12)
    assert fitted.expected_change(state, [1, 24])[1] == pytest.approx(moved, rel=1e-9)


def test_an_instrument_is_fitted_whole():
    changes = basis_changes(seed=9, n_gaps=0)
    fit = fit_instrument(changes, np.cumsum(changes))
    assert fit.estimator == "reverting_mixture"
    assert fit.refused == fit.problems == ()
    assert 0.0 < fit.volatility[-1] < 2.0 * fit.volatility[0]  # pulled back, so a week moves little more than an hour
    assert fit.volatility[0] == pytest.approx(np.nanstd(changes[-500:]), rel=0.4)
    assert fit.diagnostics["half_life"] == pytest.approx(np.log(0.5) / np.log(0.6), rel=0.1)
    assert fit.diagnostics["arch_p"] > 1e-4
    assert -0.5 < fit.diagnostics["tail_shape_upper"] < 0.5


@pytest.mark.parametrize("length", [0, 1, 5, 60, 600])
@pytest.mark.parametrize("value", [np.nan, 0.0, np.inf, 1e-300, 1e3])
def test_no_series_makes_the_fit_of_an_instrument_raise(value, length):
    fit = fit_instrument(np.full(length, value), np.full(length, value))
    if np.isnan(value) or np.isinf(value) or length < 48:
        assert fit.estimator == ""
        assert np.isnan(fit.volatility).all()
        assert len(fit.refused) == len(ORDER)
    if value == 0.0 and length >= 48:
        np.testing.assert_array_equal(fit.volatility, 0.0)


def test_the_mixture_finds_the_pull_and_forecasts_with_it():
    changes = basis_changes(8_000, seed=4)
    fitted = Mixture().fit(changes)
    path = fitted.filter(changes)
    known = ~np.isnan(changes) & ~np.isnan(path.mean)
    explained = 1.0 - np.var((changes - path.mean)[known]) / np.var(changes[known])
    assert explained > 0.15, "40% of a distance comes back in an hour"
    response = fitted.responses(200)
    assert response[1] == pytest.approx(0.6, abs=0.05)
    assert abs(response[-1]) < 0.05
    assert fitted.diagnostics["reversion_radius"] < 1.0


def test_weights_of_the_mixture_are_shares():
    fitted = Mixture().fit(basis_changes(seed=6))
    assert sum(fitted.weights) == pytest.approx(1.0)
    assert min(fitted.weights) >= 0.0
    assert min(fitted.pulls) >= 0.0
    assert fitted.jump_factor >= 1.0


def test_a_crash_is_news_and_is_forgotten():
    changes = basis_changes(seed=7)
    fitted = Mixture().fit(changes)
    crashed = changes.copy()
    crashed[3_000], crashed[3_001] = -0.22, 0.25
    calm, after = fitted.filter(changes).variance, fitted.filter(crashed).variance
    assert after[3_002] > 10.0 * calm[3_002]
    assert after[-1] - calm[-1] < 0.5 * (after[3_002] - calm[3_002])


def test_a_series_that_stood_still_can_move_again():
    changes = np.r_[np.zeros(700), np.random.default_rng(1).normal(0.0, 1e-4, 700)]
    path = Mixture().fit(changes).filter(changes)
    assert np.sqrt(path.variance[-1]) == pytest.approx(1e-4, rel=0.3)
