"""Joint behaviour on simulated bases: correlation by regime, one slow factor, fast parts of their own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskpipe.calibrate.spreads.common_factor import common_factor, mean_correlation, principal_component, slow_levels
from riskpipe.calibrate.spreads.regimes import association, correlation_by_regime, stressed_hours

BP = 1e-4


def index_in_two_states(rng, n_hours):
    """Returns whose deviation is 0.5%, and 2% in spells of 200 hours one time in seven; and where those spells are."""
    is_volatile = np.repeat(rng.random(n_hours // 200) < 0.15, 200)
    return rng.standard_normal(n_hours) * np.where(is_volatile, 0.02, 0.005), is_volatile


def test_stressed_hours_are_known_before_them_and_make_up_their_share():
    rng = np.random.default_rng(1)
    returns, is_volatile = index_in_two_states(rng, 40_000)
    is_stressed = stressed_hours(returns)
    assert is_stressed.mean() == pytest.approx(0.10, abs=0.01)
    assert is_volatile[is_stressed].mean() > 0.85
    later = returns.copy()
    later[30_000] = -0.5
    assert not stressed_hours(later)[30_000] or is_stressed[30_000]
    assert stressed_hours(later)[30_001]
    assert not stressed_hours(np.zeros(500)).any()
    assert not stressed_hours(np.full(500, np.nan)).any()


def test_a_relation_that_never_changes_shows_a_larger_correlation_in_stress_but_the_same_slope():
    rng = np.random.default_rng(2)
    returns, is_volatile = index_in_two_states(rng, 40_000)
    changes = 0.02 * returns + 2.0 * BP * rng.standard_normal(40_000)
    found = correlation_by_regime(changes, returns, is_stressed=is_volatile)
    assert found.calm.slope == pytest.approx(0.02, abs=4.0 * found.calm.slope_error)
    assert found.stressed.slope == pytest.approx(0.02, abs=4.0 * found.stressed.slope_error)
    expected = [0.02 * s / np.hypot(0.02 * s, 2.0 * BP) for s in (0.005, 0.02)]
    assert found.calm.correlation == pytest.approx(expected[0], abs=4.0 * found.calm.correlation_error)
    assert found.stressed.correlation == pytest.approx(expected[1], abs=4.0 * found.stressed.correlation_error)
    assert found.stressed.correlation > 1.8 * found.calm.correlation
    assert found.stressed.at_calm_variance == pytest.approx(found.calm.correlation, abs=0.02)


def test_a_relation_of_crashes_only_is_found_in_crashes_only():
    rng = np.random.default_rng(3)
    returns, is_volatile = index_in_two_states(rng, 60_000)
    is_crash = returns < -0.03
    changes = np.where(is_crash, 0.05 * returns, 0.0) + 5.0 * BP * rng.standard_normal(60_000)
    found = correlation_by_regime(changes, returns, is_stressed=is_volatile)
    assert found.crash.n_hours == is_crash.sum() > 100
    assert found.crash.slope == pytest.approx(0.05, abs=4.0 * found.crash.slope_error)
    assert found.crash.correlation > 0.3
    assert abs(found.calm.correlation) < 4.0 * found.calm.correlation_error


def test_errors_of_a_slope_are_those_of_repeated_samples():
    rng = np.random.default_rng(4)
    found = []
    for _ in range(400):
        returns = 0.01 * rng.standard_t(5, 500)
        noise = 3.0 * BP * rng.standard_normal(500) * (1.0 + 50.0 * np.abs(returns))  # louder in larger hours
        found.append(association(0.01 * returns + noise, returns))
    spread = np.std([one.slope for one in found])
    assert np.mean([one.slope_error for one in found]) == pytest.approx(spread, rel=0.12)


def test_gaps_are_left_out_and_too_few_hours_are_not_measured():
    rng = np.random.default_rng(5)
    returns, is_volatile = index_in_two_states(rng, 4_000)
    changes = 0.1 * returns + BP * rng.standard_normal(4_000)
    whole = correlation_by_regime(changes[::2], returns[::2], is_stressed=is_volatile[::2])
    holes = changes.copy()
    holes[1::2] = np.nan
    assert correlation_by_regime(holes, returns, is_stressed=is_volatile) == whole
    few = correlation_by_regime(changes[:20], returns[:20])
    assert np.isnan([few.calm.correlation, few.stressed.slope, few.crash.rank_correlation]).all()


def test_what_never_moves_has_no_correlation_rather_than_nan():
    still = association(np.zeros(100), np.linspace(-0.01, 0.01, 100))
    assert (still.correlation, still.slope, still.rank_correlation) == (0.0, 0.0, 0.0)


@given(st.integers(0, 2**31), st.floats(0.01, 100.0), st.floats(0.01, 100.0))
def test_correlations_do_not_depend_on_units(seed, a, b):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(200)
    y = 0.3 * x + rng.standard_normal(200)
    one, other = association(y, x, 1.0), association(a * y, b * x, b * b)
    for name in ("correlation", "correlation_error", "rank_correlation", "at_calm_variance"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), rel=1e-9, abs=1e-12)
    assert other.slope == pytest.approx(one.slope * a / b, rel=1e-9)


def autoregression(rng, shape, half_life, deviation):
    keep = 0.5 ** (1.0 / half_life)
    noise = rng.standard_normal(shape) * deviation * np.sqrt(1.0 - keep**2)
    path = np.empty(shape)
    level = np.zeros(shape[1:])
    for t, e in enumerate(noise):
        level = keep * level + e
        path[t] = level
    return path[1_000:]


LOADINGS = np.array([4.0, 5.0, 6.0, 7.0, 8.0, 3.0, 5.0]) * BP


def simulated(seed, n_hours=13_000):
    """One slow factor of half-life a week, loadings above, fast parts of 3 bp and half-life 1.5 hours."""
    rng = np.random.default_rng(seed)
    factor = autoregression(rng, (n_hours, 1), 168.0, 1.0)
    fast = autoregression(rng, (n_hours, len(LOADINGS)), 1.5, 3.0 * BP)
    return factor[:, 0], 2.0 * BP + factor * LOADINGS + fast


def test_loadings_and_factor_of_simulated_bases_are_recovered():
    true, basis = simulated(6)
    found = common_factor(basis)
    assert np.corrcoef(found.factor, true)[0, 1] > 0.975
    np.testing.assert_allclose(found.loading / found.loading.sum(), LOADINGS / LOADINGS.sum(), rtol=0.05)
    np.testing.assert_allclose(found.loading, LOADINGS * true.std(), rtol=0.10)
    assert found.explained_share > 0.9
    np.testing.assert_allclose(found.mean, 2.0 * BP + LOADINGS * true.mean(), atol=0.6 * BP)


def test_fast_parts_keep_their_half_life_and_size_and_are_their_own():
    _, basis = simulated(7)
    found = common_factor(basis)
    np.testing.assert_allclose(found.fast_half_life, 1.5, rtol=0.2)
    np.testing.assert_allclose(found.fast_deviation, 3.0 * BP, rtol=0.08)
    assert abs(found.fast_correlation) < 0.05


def test_fast_parts_that_go_together_are_seen():
    rng = np.random.default_rng(8)
    _, basis = simulated(9)
    shared = 3.0 * BP * rng.standard_normal((len(basis), 1))
    assert common_factor(basis + shared).fast_correlation > 0.5


def test_gaps_and_late_listings_change_little_and_short_ones_take_no_part():
    _, basis = simulated(10)
    rng = np.random.default_rng(11)
    holes = np.where(rng.random(basis.shape) < 0.05, np.nan, basis)
    holes[:4_000, 1] = np.nan
    short = np.full((len(basis), 1), np.nan)
    short[-300:, 0] = basis[-300:, 0]
    whole, found = common_factor(basis), common_factor(np.hstack([holes, short]))
    assert found.is_used.tolist() == [True] * 7 + [False]
    assert np.isnan([found.loading[7], found.explained[7], found.fast_half_life[7]]).all()
    np.testing.assert_allclose(found.loading[:7], whole.loading, rtol=0.1)
    known = np.isfinite(found.factor)
    assert np.corrcoef(found.factor[known], whole.factor[known])[0, 1] > 0.99


def test_a_dislocation_of_one_hour_moves_neither_factor_nor_loadings():
    _, basis = simulated(12)
    hit = basis.copy()
    hit[5_000, 2] -= 0.25
    whole, found = common_factor(basis), common_factor(hit)
    np.testing.assert_allclose(found.loading, whole.loading, rtol=0.02)
    assert np.abs(found.factor - whole.factor).max() < 0.1
    assert found.fast[5_000, 2] < -0.2, "the dislocation itself is not hidden"


def test_fewer_than_three_bases_or_still_ones_have_no_factor():
    _, basis = simulated(13, 2_000)
    assert np.isnan(common_factor(basis[:, :2]).factor).all()
    assert np.isnan(common_factor(basis[:, :2]).explained_share)
    still = common_factor(np.zeros((1_000, 4)))
    assert not still.is_used.any()
    assert still.fast_half_life.tolist() == still.fast_deviation.tolist() == [0.0] * 4


@given(st.integers(0, 2**31), st.integers(3, 6))
def test_without_gaps_the_factor_is_the_first_principal_component(seed, n):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((60, 1)) * rng.uniform(0.5, 2.0, n) + 0.3 * rng.standard_normal((60, n))
    values -= values.mean(axis=0)
    factor, loading = principal_component(values)
    left, size, right = np.linalg.svd(values, full_matrices=False)
    sign = 1.0 if right[0].sum() >= 0.0 else -1.0
    np.testing.assert_allclose(factor, sign * left[:, 0] * np.sqrt(60.0), atol=1e-6)
    np.testing.assert_allclose(loading, sign * right[0] * size[0] / np.sqrt(60.0), atol=1e-6)


def test_a_factor_without_noise_is_recovered_exactly_through_any_gaps():
    rng = np.random.default_rng(16)
    true, weights = rng.standard_normal(200), np.array([1.0, 2.0, -0.5, 3.0])
    values = np.where(rng.random((200, 4)) < 0.4, np.nan, true[:, None] * weights)
    factor, loading = principal_component(values)
    has_any = np.isfinite(values).any(axis=1)
    size = np.sqrt((true[has_any] ** 2).mean())
    np.testing.assert_allclose(loading, weights * size, atol=1e-6)
    np.testing.assert_allclose(factor[has_any], true[has_any] / size, atol=1e-6)
    assert np.isnan(factor[~has_any]).all()


def test_slow_levels_are_weighted_averages_around_the_hour():
    rng = np.random.default_rng(14)
    basis = rng.standard_normal((50, 2))
    basis[20:25, 1] = np.nan
    found = slow_levels(basis, 6.0)
    hours = np.arange(50)
    for t, i in ((0, 0), (30, 0), (49, 1), (27, 1)):
        weight = 0.5 ** (np.abs(hours - t) / 6.0) * np.isfinite(basis[:, i])
        assert found[t, i] == pytest.approx(np.nansum(weight * basis[:, i]) / weight.sum())
    assert np.isnan(found[20:25, 1]).all()
    np.testing.assert_allclose(slow_levels(np.full((50, 1), 3.0)), 3.0)


def test_mean_correlation_is_that_of_its_columns_and_one_hour_does_not_decide():
    rng = np.random.default_rng(15)
    common = rng.standard_normal((5_000, 1))
    values = common + rng.standard_normal((5_000, 3))
    assert mean_correlation(values) == pytest.approx(0.5, abs=0.03)
    values[7] = 1_000.0
    assert mean_correlation(values) == pytest.approx(0.5, abs=0.03)
    assert np.isnan(mean_correlation(values[:, :1]))
