"""Diagnostics, mean reversion, tails and hedges find what was put in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import genpareto
from statsmodels.stats.diagnostic import acorr_ljungbox, het_arch

from riskpipe.calibrate.estimators.diagnostics import arch_lm, jump_share, ljung_box, n_jumps
from riskpipe.calibrate.estimators.reversion import fit_reversion, half_life, reversion_speed
from riskpipe.calibrate.estimators.tails import fit_tail
from riskpipe.calibrate.hedge import Moments, minimum_variance_hedge, paired_moments


def ar1(n, phi, seed=1):
    random = np.random.default_rng(seed)
    level = np.empty(n)
    level[0] = 0.0
    for t in range(1, n):
        level[t] = phi * level[t - 1] + random.standard_normal()
    return level


def test_arch_lm_sees_clusters_and_nothing_else():
    random = np.random.default_rng(1)
    noise = random.standard_normal(3_000)
    clustered = noise * np.where(np.arange(3_000) // 200 % 2, 3.0, 1.0)
    assert arch_lm(noise).p_value > 0.01
    assert arch_lm(clustered).p_value < 1e-6
    gap = clustered.copy()
    gap[5] = np.nan
    assert arch_lm(gap).n_observations == 2_999
    assert arch_lm(np.zeros(500)).p_value == 1.0


@pytest.mark.parametrize("unit", [1.0, 1e-4])
def test_both_tests_are_those_of_statsmodels(unit):
    x = unit * ar1(800, 0.1)
    table = acorr_ljungbox(x, lags=[5], model_df=1)
    found = ljung_box(x, 5, n_fitted=1)
    assert found.statistic == pytest.approx(table["lb_stat"].iloc[0], rel=1e-9)
    assert found.p_value == pytest.approx(table["lb_pvalue"].iloc[0], rel=1e-9)
    statistic, p_value, _, _ = het_arch(x, nlags=7, result_object=False)
    assert arch_lm(x, 7).statistic == pytest.approx(statistic, rel=1e-8)
    assert arch_lm(x, 7).p_value == pytest.approx(p_value, rel=1e-8)


def test_nothing_is_found_in_nothing():
    assert ljung_box(np.full(500, 2.0)).p_value == 1.0


def test_jumps_are_the_share_that_bipower_variation_does_not_see():
    noise = np.random.default_rng(1).normal(0.0, 1.0, 20_000)
    assert jump_share(noise) < 0.03
    jumped = noise.copy()
    jumped[::1_000] += 40.0
    expected = 1.6 / 2.6  # 20 squares of 1600 over 20,000, beside 1
    assert jump_share(jumped) == pytest.approx(expected, abs=0.06)
    assert n_jumps(jumped) == 20
    assert jump_share(np.zeros(50)) == 0.0
    assert np.isnan(jump_share(np.array([1.0, np.nan, 1.0])))


@pytest.mark.parametrize("phi", [0.5, 0.9, 0.97])
def test_reversion_recovers_phi(phi):
    errors = []
    for seed in range(20):
        found = fit_reversion(ar1(2_000, phi, seed))
        assert found.verdict.is_passed
        errors.append(found.phi - phi)
    assert abs(np.mean(errors)) < 3.0 * np.sqrt((1.0 - phi**2) / 2_000 / 20)
    assert max(np.abs(errors)) < 4.0 * np.sqrt((1.0 - phi**2) / 2_000)


def test_the_small_sample_bias_is_taken_out():
    errors = [fit_reversion(ar1(120, 0.9, seed)).phi - 0.9 for seed in range(300)]
    assert abs(np.mean(errors)) < 0.012, "uncorrected it is about -0.031"


def test_reversion_over_horizons_reaches_the_stationary_variance():
    found = fit_reversion(ar1(4_000, 0.9), step=2.0)
    variance = found.horizon_variance(np.array([2.0, 8.0, 1e4]))
    assert variance[0] == pytest.approx(found.innovation_variance)
    assert variance[2] == pytest.approx(found.stationary_variance)
    assert found.half_life == pytest.approx(2.0 * half_life(found.phi))
    assert found.speed * found.half_life == pytest.approx(np.log(2.0))


def test_a_level_that_does_not_revert_or_move_says_so():
    walk = np.cumsum(np.ones(200)) ** 2
    assert any("does not revert" in reason for reason in fit_reversion(walk).verdict.reasons)
    assert fit_reversion(walk).half_life == np.inf
    still = fit_reversion(np.full(100, 7e-4))
    assert (still.half_life, still.innovation_variance, still.stationary_variance) == (0.0, 0.0, 0.0)
    assert not fit_reversion(np.full(100, np.nan)).verdict.is_passed
    assert half_life(1.0) == np.inf
    assert half_life(-0.2) == 0.0
    assert reversion_speed(1.2) == 0.0
    assert np.isnan(half_life(np.nan))


@pytest.mark.parametrize(("shape", "scale"), [(0.3, 2.0), (0.0, 1.0), (0.6, 7.0)])
def test_a_tail_recovers_its_parameters_within_three_errors(shape, scale):
    losses = 10.0 + genpareto.rvs(shape, scale=scale, size=3_000, random_state=1)
    losses = np.r_[losses, np.linspace(0.0, 9.0, 7_000), np.nan]
    tail = fit_tail(losses, 10.0)
    assert tail.verdict.is_passed
    assert (tail.n_losses, tail.n_excesses) == (10_000, 3_000)
    assert tail.shape == pytest.approx(shape, abs=3.0 * tail.shape_error)
    assert tail.scale == pytest.approx(scale, abs=3.0 * tail.scale_error)
    # asymptotic errors of the likelihood (Smith 1987): (1 + xi) / sqrt(n), beta sqrt(2 (1 + xi) / n)
    assert tail.shape_error == pytest.approx((1.0 + shape) / np.sqrt(3_000), rel=0.12)
    assert tail.scale_error == pytest.approx(scale * np.sqrt(2.0 * (1.0 + shape) / 3_000), rel=0.12)


def test_the_tail_fit_is_the_likelihoods_maximum():
    excesses = genpareto.rvs(0.4, scale=3.0, size=400, random_state=3)
    tail = fit_tail(excesses, 0.0)
    shape, _, scale = genpareto.fit(excesses, floc=0.0)
    assert tail.shape == pytest.approx(shape, abs=1e-3)
    assert tail.scale == pytest.approx(scale, rel=1e-3)
    best = genpareto.logpdf(excesses, tail.shape, scale=tail.scale).sum()
    assert tail.log_likelihood == pytest.approx(best, rel=1e-12)
    for shape, scale in ((1e-3, 0.0), (-1e-3, 0.0), (0.0, 1e-3), (0.0, -1e-3)):
        assert genpareto.logpdf(excesses, tail.shape + shape, scale=tail.scale + scale).sum() < best


def test_risk_of_a_tail_is_that_of_its_distribution():
    losses = np.r_[np.full(900, 0.5), 1.0 + genpareto.rvs(0.25, scale=2.0, size=100, random_state=2)]
    tail = fit_tail(losses, 1.0)
    at_risk = tail.value_at_risk(0.99)
    beyond = 0.1 * genpareto.sf(at_risk - 1.0, tail.shape, scale=tail.scale)
    assert beyond == pytest.approx(0.01)
    levels = 0.99 + 0.01 * (np.arange(200_000) + 0.5) / 200_000
    mean = np.mean([tail.value_at_risk(level) for level in levels[::100]])
    assert tail.expected_shortfall(0.99) == pytest.approx(mean, rel=0.02)
    with pytest.raises(ValueError, match="beyond the threshold"):
        tail.value_at_risk(0.5)


def test_a_tail_of_a_few_equal_losses_is_refused():
    assert not fit_tail(np.full(50, 3.0), 1.0).verdict.is_passed
    assert not fit_tail(np.array([]), 1.0).verdict.is_passed
    assert any("20 needed" in r for r in fit_tail(np.linspace(1.1, 5.0, 10), 1.0).verdict.reasons)


@given(st.integers(0, 50))
def test_no_ratio_hedges_better_than_the_minimum_variance_one(seed):
    random = np.random.default_rng(seed)
    hedge = random.normal(0.0, 2.0, 60)
    position = 0.8 * hedge + random.normal(0.0, random.uniform(0.1, 3.0), 60)
    found = minimum_variance_hedge(paired_moments(position, hedge))
    left = np.std(position - found.ratio * hedge, ddof=1)
    assert found.basis_risk == pytest.approx(left, rel=1e-9)
    assert found.effectiveness == pytest.approx(1.0 - left**2 / np.var(position, ddof=1), abs=1e-12)
    for other in (found.ratio - 0.05, found.ratio + 0.05):
        assert np.std(position - other * hedge, ddof=1) > left


def test_pairs_with_a_gap_are_left_out():
    found = paired_moments(np.array([1.0, np.nan, 2.0, 5.0]), np.array([2.0, 1.0, np.nan, 4.0]))
    assert found.n_pairs == 2
    assert found.correlation == pytest.approx(1.0)
    assert np.isnan(paired_moments(np.array([1.0]), np.array([1.0])).correlation)
    assert minimum_variance_hedge(Moments(1.0, 0.0, 0.0, 5)).ratio == 0.0
