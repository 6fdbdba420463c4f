"""Tests of forecasts: published results to their printed digits, and the laws behind them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, chi2, t

from riskpipe.calibrate.backtest.coverage import (
    between_failures,
    binomial_p_value,
    binomial_z,
    christoffersen_conditional,
    christoffersen_independence,
    conditional_from_counts,
    first_failure,
    hit_rate,
    kupiec,
    kupiec_band,
    traffic_light,
    transitions,
)
from riskpipe.calibrate.backtest.forecasts import filtered_quantile, filtered_shortfall, forecasts_after, value_at_risk
from riskpipe.calibrate.backtest.losses import loss_difference, qlike
from riskpipe.calibrate.backtest.shortfall import (
    conditional_shortfall_test,
    critical_value,
    normal_forecasts,
    ranked_shortfall_test,
    student_forecasts,
    unconditional_shortfall_test,
)
from riskpipe.calibrate.estimators.plain import Ewma

# MathWorks, Risk Management Toolbox, examples of varbacktest (pof, cci, cc): "Normal95" of an equity index
NORMAL95 = {"n_observations": 1043, "n_hits": 57, "tail": 0.05}
COUNTS = (932, 53, 53, 4)  # n00, n01, n10, n11


def test_published_coverage_is_reproduced():
    coverage = kupiec(**NORMAL95)
    assert round(coverage.statistic, 5) == 0.46147
    assert round(coverage.p_value, 5) == 0.49694
    independence = christoffersen_independence(*COUNTS)
    assert round(independence.statistic, 5) == 0.25866
    assert round(independence.p_value, 5) == 0.61104
    both = conditional_from_counts(**NORMAL95, n00=COUNTS[0], n01=COUNTS[1], n10=COUNTS[2], n11=COUNTS[3])
    assert round(both.statistic, 5) == 0.72013
    assert round(both.p_value, 5) == 0.69763
    assert both.degrees == 2
    assert coverage.is_accepted()


def test_published_critical_value_of_expected_shortfall_is_reproduced():
    """MathWorks, example of esbacktest.unconditionalT: 1,966 days, 97.5%, t with 3 degrees, level 99%: -0.42986."""
    at_risk, shortfall = student_forecasts(0.025, 3.0)

    def statistic(outcomes):
        ones = np.ones(len(outcomes))
        return unconditional_shortfall_test(outcomes, at_risk * ones, shortfall * ones, 0.025)

    found = critical_value(
        statistic,
        lambda random, n: random.standard_t(3.0, n),
        n_observations=1_966,
        significance=0.01,
        n_trials=8_000,
    )
    assert found == pytest.approx(-0.42986, abs=0.03)


def test_a_right_normal_forecast_is_refused_at_the_published_value_one_time_in_twenty():
    """Acerbi and Szekely 2014: 250 days at 97.5%, the 5% critical value of test 2 is about -0.70 for most tails."""
    at_risk, shortfall = normal_forecasts(0.025)
    random = np.random.default_rng(1)
    values = [
        unconditional_shortfall_test(random.standard_normal(250), np.full(250, at_risk), np.full(250, shortfall), 0.025)
        for _ in range(4_000)
    ]
    assert np.mean(np.array(values) < -0.70) == pytest.approx(0.05, abs=0.012)
    assert np.mean(values) == pytest.approx(0.0, abs=0.03)


@pytest.mark.parametrize("nu", [3.0, 6.0])
def test_shortfall_of_a_distribution_is_the_mean_beyond_its_quantile(nu):
    at_risk, shortfall = student_forecasts(0.05, nu)
    levels = (np.arange(400_000) + 0.5) / 400_000 * 0.05
    assert shortfall == pytest.approx(-t.ppf(levels, nu).mean(), rel=2e-3)
    assert at_risk == pytest.approx(-t.ppf(0.05, nu))


def test_understated_shortfall_is_negative_in_all_three_tests():
    random = np.random.default_rng(2)
    outcomes = 2.0 * random.standard_normal(4_000)  # twice as wide as forecast
    at_risk, shortfall = normal_forecasts(0.025)
    ones = np.ones(len(outcomes))
    assert unconditional_shortfall_test(outcomes, at_risk * ones, shortfall * ones, 0.025) < -5.0
    assert conditional_shortfall_test(outcomes, at_risk * ones, shortfall * ones) < -0.2
    assert ranked_shortfall_test(np.zeros(4), lambda u: u + 3.0, 2.0) == -0.5
    assert unconditional_shortfall_test(ones, ones, ones, 0.025) == 1.0
    assert np.isnan(conditional_shortfall_test(ones, ones, ones))


@given(n=st.integers(1, 3_000), share=st.floats(0.0, 1.0), tail=st.floats(0.001, 0.5))
def test_kupiec_is_zero_at_its_own_rate_and_bounded_by_its_band(n, share, tail):
    x = int(share * n)
    found = kupiec(n, x, tail)
    assert found.statistic >= 0.0
    assert found.p_value == pytest.approx(chi2.sf(found.statistic, 1))
    low, high = kupiec_band(n, tail)
    if low < high:
        assert (low <= x <= high) == found.is_accepted()
    if 0 < x < n:
        assert kupiec(n, x, x / n).statistic == pytest.approx(0.0, abs=1e-9)


def test_bands_of_kupiec_are_those_of_the_tables():
    """Kupiec 1995, table of non-rejection regions at 5%: 255 days at 1%: fewer than 7; 510: 2 to 10; 1000: 5 to 16."""
    assert kupiec_band(255, 0.01)[1] == 6
    assert kupiec_band(510, 0.01) == (2, 10)
    assert kupiec_band(1_000, 0.01) == (5, 16)
    assert kupiec_band(1_000, 0.05) == (38, 64)


def test_no_hits_and_all_hits_have_finite_ratios():
    assert kupiec(100, 0, 0.01).statistic == pytest.approx(-200.0 * np.log(0.99))
    assert kupiec(10, 10, 0.5).statistic == pytest.approx(-20.0 * np.log(0.5))
    assert christoffersen_independence(99, 0, 0, 0).statistic == 0.0
    assert christoffersen_conditional(np.zeros(100), 0.01).statistic == pytest.approx(-200.0 * np.log(0.99))
    with pytest.raises(ValueError, match="n_hits"):
        kupiec(10, 11, 0.05)
    with pytest.raises(ValueError, match="tail"):
        kupiec(10, 1, 5.0)


def test_clusters_are_found_and_scattered_hits_are_not():
    scattered = np.zeros(2_000, bool)
    scattered[::20] = True
    clustered = np.zeros(2_000, bool)
    clustered[:100] = True
    assert transitions(clustered) == (1899, 0, 1, 99)
    assert not christoffersen_independence(*transitions(clustered)).is_accepted(0.999)
    random = np.random.default_rng(1).random(20_000) < 0.05
    assert christoffersen_conditional(random, 0.05).is_accepted(0.999)
    assert kupiec(2_000, 100, 0.05).statistic == 0.0
    assert christoffersen_conditional(clustered, 0.05).statistic > 100.0


def test_the_size_of_the_independence_test_is_what_it_says():
    random = np.random.default_rng(3)
    refused = [
        not christoffersen_independence(*transitions(random.random(2_000) < 0.1)).is_accepted() for _ in range(2_000)
    ]
    assert np.mean(refused) == pytest.approx(0.05, abs=0.015)


def test_small_counts_have_exact_probabilities():
    assert binomial_z(**NORMAL95) == pytest.approx(0.68905, abs=5e-6)
    assert binomial_p_value(250, 5, 0.01) == pytest.approx(1.0 - binom.cdf(4, 250, 0.01))
    assert binomial_p_value(250, 5, 0.01, "less") == pytest.approx(binom.cdf(5, 250, 0.01))
    assert binomial_p_value(**NORMAL95, side="two-sided") == pytest.approx(0.49079, abs=1e-4)
    zones = [traffic_light(250, n, 0.01) for n in (4, 5, 9, 10)]
    assert zones == ["green", "yellow", "yellow", "red"], "Basel committee 1996, table 2"


def test_times_between_failures_add_up():
    hits = np.zeros(100, bool)
    hits[[9, 19, 59]] = True
    both, alone = between_failures(hits, 0.05)
    assert alone.statistic == pytest.approx(sum(first_failure(v, 0.05).statistic for v in (10, 10, 40)))
    assert both.statistic == pytest.approx(alone.statistic + kupiec(100, 3, 0.05).statistic)
    assert (both.degrees, alone.degrees) == (4, 3)
    assert first_failure(20, 0.05).statistic == pytest.approx(0.0, abs=1e-12)


def test_hits_without_a_verdict_do_not_count():
    assert hit_rate(np.array([1.0, 0.0, np.nan, 1.0])) == pytest.approx(2.0 / 3.0)
    assert np.isnan(hit_rate(np.array([np.nan])))


@given(st.floats(1e-10, 1e-6))
def test_no_constant_has_less_qlike_than_the_mean_square(variance):
    changes = np.sqrt(variance) * np.array([1.0, -2.0, 0.5, np.nan, 0.1])
    best = np.nanmean(changes**2)
    ones = np.ones(5)
    for factor in (0.5, 0.9, 1.1, 2.0):
        assert qlike(changes, best * ones) < qlike(changes, factor * best * ones)


def test_qlike_floors_the_forecast_and_skips_unknown_hours():
    changes = np.array([0.0, 1e-6, np.nan, 1.0])
    variance = np.array([0.0, 1e-12, 1.0, np.nan])
    assert qlike(changes, variance) == pytest.approx(np.log(1e-12) + 0.5)
    assert np.isnan(qlike(np.array([np.nan]), np.array([1.0])))


def test_a_difference_of_losses_has_the_error_of_its_correlation():
    random = np.random.default_rng(1)
    noise = random.standard_normal(20_000)
    mean, ratio = loss_difference(noise + 0.05, np.zeros(20_000), 10)
    assert ratio == pytest.approx(mean / (noise.std() / np.sqrt(20_000)), rel=0.05)
    repeated = np.repeat(noise[:1_000], 20) + 0.05  # twenty equal hours are worth one
    assert loss_difference(repeated, np.zeros(20_000), 200)[1] == pytest.approx(
        repeated.mean() / (noise[:1_000].std() / np.sqrt(1_000)), rel=0.2
    )
    assert loss_difference(noise, noise) == (0.0, 0.0)


def test_a_filtered_quantile_is_undercut_exactly_as_often_as_it_says():
    """Whatever the distribution, and for a short window too: the rank of the next among w + 1 equals is uniform."""
    z = np.random.default_rng(1).standard_t(3.0, 300_000)
    for window, probability in ((99, 0.05), (99, 0.99), (39, 0.05)):
        quantile = filtered_quantile(z, probability, window)
        known = ~np.isnan(quantile)
        assert np.isnan(quantile[:window]).all()
        assert known[window:].all()
        assert np.mean((z < quantile)[known]) == pytest.approx(probability, abs=1.5e-3)
    with pytest.raises(ValueError, match="holds no quantile"):
        filtered_quantile(z, 0.001, 99)


def test_filtered_tails_look_back_only_and_over_gaps():
    z = np.random.default_rng(2).standard_normal(3_000)
    z[1_500:1_600] = np.nan
    other = z.copy()
    other[2_000:] *= 9.0
    for function in (filtered_quantile, filtered_shortfall):
        first, second = function(z, 0.05, 500), function(other, 0.05, 500)
        np.testing.assert_array_equal(first[:2_001], second[:2_001])
        assert first[2_400] != second[2_400]
        assert not np.isnan(first[500:]).any()
    window = np.sort(z[1_000:1_500])
    assert filtered_shortfall(z, 0.05, 500)[1_550] == pytest.approx(window[:25].mean())
    assert filtered_shortfall(z, 0.0051, 500)[1_550] == pytest.approx((window[:2].sum() + 0.55 * window[2]) / 2.55)


def test_value_at_risk_follows_the_volatility():
    random = np.random.default_rng(4)
    changes = random.standard_normal(6_000) * np.where(np.arange(6_000) // 500 % 2, 4e-4, 1e-4)
    fitted = Ewma(0.94).fit(changes)
    lower, upper = value_at_risk(fitted, changes, 0.05, 500), value_at_risk(fitted, changes, 0.95, 500)
    known = ~np.isnan(lower)
    assert np.mean((changes < lower)[known]) == pytest.approx(0.05, abs=0.012)
    assert np.mean((changes > upper)[known]) == pytest.approx(0.05, abs=0.012)
    assert np.median(lower[1_800:1_950]) < 2.0 * np.median(lower[2_300:2_450]) < 0.0


def test_forecasts_after_a_cut_use_parameters_from_before_it():
    changes = np.random.default_rng(5).normal(0.0, 1e-4, 900)
    plain = forecasts_after(Ewma(0.94), changes, 300)
    assert np.isnan(plain.second_moment[:300]).all()
    expected = Ewma(0.94).fit(changes[:300]).filter(changes).variance
    np.testing.assert_array_equal(plain.variance[300:], expected[300:])
    again = forecasts_after(Ewma(0.94), changes, 300, refit_every=100)
    np.testing.assert_array_equal(again.variance, plain.variance)
    with pytest.raises(ValueError, match="first"):
        forecasts_after(Ewma(0.94), changes, 0)
