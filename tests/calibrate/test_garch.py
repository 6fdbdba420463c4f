"""GARCH(1,1) by maximum likelihood: the likelihood itself, units, the presample, and the gate."""

import numpy as np
import pytest
from scipy.stats import norm
from support.basis_changes import garch_series

from riskpipe.calibrate.estimators.garch import Garch, GarchParameters, estimate_garch, parameter_problems
from riskpipe.calibrate.estimators.loops import garch_path
from riskpipe.calibrate.estimators.protocol import robust_scale

FIELDS = ("mean", "omega", "alpha", "beta", "nu", "log_likelihood")


def draws(n=3_000, seed=1):
    random = np.random.default_rng(seed)
    x, h = np.empty(n), 1.0
    for t in range(n):
        x[t] = 0.02 + np.sqrt(h) * random.standard_normal()
        h = 0.05 + 0.1 * (x[t] - 0.02) ** 2 + 0.85 * h
    return x


def normal_log_likelihood(x, mean, omega, alpha, beta):
    backcast = np.var(x)
    variance = np.empty(len(x))
    garch_path(x, mean, omega, alpha, beta, omega + (alpha + beta) * backcast, variance)
    return norm.logpdf(x, mean, np.sqrt(variance)).sum()


def test_no_neighbour_is_more_likely_with_the_presample_pinned_to_the_variance():
    x = draws()
    found = estimate_garch(x, distribution="normal", mean="constant")
    best = np.array([found.mean, found.omega, found.alpha, found.beta])
    assert normal_log_likelihood(x, *best) == pytest.approx(found.log_likelihood, abs=1e-6)
    for i in range(4):
        for step in (-0.01, 0.01):
            other = best.copy()
            other[i] += step
            assert normal_log_likelihood(x, *other) < found.log_likelihood


def test_estimates_do_not_depend_on_the_unit():
    x = draws()
    first, second = (estimate_garch(x * unit, distribution="normal") for unit in (1.0, 1e-4))
    assert second.omega == pytest.approx(1e-8 * first.omega, rel=1e-4)
    assert second.alpha == pytest.approx(first.alpha, rel=1e-4)
    assert second.beta == pytest.approx(first.beta, rel=1e-4)
    assert second.log_likelihood == pytest.approx(first.log_likelihood + len(x) * np.log(1e4), rel=1e-9)


def test_both_kinds_of_error_are_given_and_differ():
    found = estimate_garch(draws(), distribution="normal", mean="constant")
    assert found.standard_errors.keys() == found.robust_errors.keys() == {"mean", "omega", "alpha", "beta"}
    assert 0.0 < found.standard_errors["alpha"] < 0.05
    assert found.standard_errors["alpha"] != found.robust_errors["alpha"]
    assert found.nu == np.inf
    assert estimate_garch(draws(600), has_errors=False).standard_errors == {}


def test_classic_errors_are_the_curvature_of_the_likelihood():
    x = draws()
    found = estimate_garch(x, distribution="normal", mean="constant")
    at = np.array([found.mean, found.omega, found.alpha, found.beta])
    step = np.diag([1e-3, 1e-4, 1e-4, 1e-4])
    information = np.array(
        [
            [
                -sum(a * b * normal_log_likelihood(x, *(at + a * i + b * j)) for a in (-1, 1) for b in (-1, 1))
                / (4.0 * i.sum() * j.sum())
                for j in step
            ]
            for i in step
        ]
    )
    errors = np.sqrt(np.diag(np.linalg.inv(information)))
    np.testing.assert_allclose(
        [found.standard_errors[n] for n in ("mean", "omega", "alpha", "beta")], errors, rtol=0.02
    )


@pytest.mark.parametrize("distribution", ["normal", "t"])
def test_the_search_without_linear_algebra_finds_the_maximum_that_arch_finds(distribution):
    x = 1e-4 * draws() if distribution == "normal" else garch_series(3_000, omega=5e-10, alpha=0.1, beta=0.85)
    scale = robust_scale(x)
    expected = estimate_garch(x, distribution=distribution, scale=scale, backcast=scale**2, has_errors=False)
    fitted = Garch(distribution).fit(x)
    assert fitted.diagnostics["log_likelihood"] == pytest.approx(expected.log_likelihood, abs=1e-4)
    for name in ("omega", "alpha", "beta"):
        assert getattr(fitted, name) == pytest.approx(getattr(expected, name), rel=2e-3)
    if distribution == "t":
        assert 1.0 / fitted.nu == pytest.approx(1.0 / expected.nu, abs=1e-3)


def test_persistence_tells_half_life_and_long_run():
    found = GarchParameters(0.0, 0.02, 0.1, 0.8, 5.0, 0.0, {}, {}, 0)
    assert found.long_run_variance == pytest.approx(0.2)
    assert found.half_life == pytest.approx(np.log(0.5) / np.log(0.9))
    integrated = GarchParameters(0.0, 0.02, 0.2, 0.8, 5.0, 0.0, {}, {}, 0)
    assert integrated.long_run_variance == integrated.half_life == np.inf


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"alpha": 0.0}, "squared changes tell nothing"),
        ({"beta": -0.1}, "a variance needs"),
        ({"alpha": 0.3, "beta": 0.7}, "does not revert"),
        ({"omega": 5.0}, "times the sample's"),
        ({"nu": 2.01}, "no variance"),
        ({"omega": np.nan}, "not finite"),
    ],
)
def test_parameters_are_judged_and_not_the_flag(changed, reason):
    good = {"mean": 0.0, "omega": 0.05, "alpha": 0.1, "beta": 0.85, "nu": 5.0, "log_likelihood": 0.0}
    assert parameter_problems(GarchParameters(**good, standard_errors={}, robust_errors={}, flag=4), 1.0) == []
    bad = GarchParameters(**(good | changed), standard_errors={}, robust_errors={}, flag=0)
    assert any(reason in problem for problem in parameter_problems(bad, 1.0))


def test_a_series_without_clustering_is_no_garch():
    noise = np.random.default_rng(3).normal(0.0, 1e-4, 3_000)
    noise[::2] *= 30.0  # alternates: the last square says the opposite of the next
    assert not Garch().fit(noise).verdict.is_passed


@pytest.mark.parametrize("returns", [np.zeros(600), np.array([1.0, np.nan, 2.0]), np.array([])])
def test_what_has_no_variance_is_refused(returns):
    with pytest.raises(ValueError, match="returns"):
        estimate_garch(returns)
