"""Cost of carry, no-arbitrage perpetuals, and how a basis goes to zero."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskpipe.pricing.carry import (
    annual_basis,
    annual_deviation,
    continuous_perpetual_ratio,
    expiry_taper,
    fair_basis_residual,
    fair_future,
    implied_rate,
    inverse_perpetual_ratio,
    log_basis,
    neutral_interest,
    perpetual_ratio,
    perpetual_ratio_series,
    simple_basis,
)

rates = st.floats(-1e-4, 1e-4)


@given(spot=st.floats(0.1, 1e5), rate=st.floats(-0.2, 0.5), carry=st.floats(-0.2, 0.5), years=st.floats(0.01, 2.0))
def test_a_fair_future_has_no_residual_and_implies_its_rate(spot, rate, carry, years):
    basis = log_basis(fair_future(spot, rate, carry, years), spot)
    assert fair_basis_residual(basis, rate, carry, years) == pytest.approx(0.0, abs=1e-12)
    assert implied_rate(basis, carry, years) == pytest.approx(rate, abs=1e-9)
    assert fair_future(spot, rate, carry, 0.0) == spot


def test_annual_forms_are_not_shown_near_expiry():
    days = np.array([30.0, 3.5, 3.0, 0.0, -1.0])
    shown = annual_basis(simple_basis(101.0, 100.0), days)
    np.testing.assert_allclose(shown[:2], [0.01 * 365.0 / 30.0, 0.01 * 365.0 / 3.5])
    assert np.isnan(shown[2:]).all()
    assert annual_basis(log_basis(101.0, 100.0), 73.0) == pytest.approx(5.0 * np.log(1.01))
    assert np.isnan(annual_basis(0.01, 0.0, excluded_days=0.0))
    assert np.isnan(implied_rate(0.01, 0.0, 0.0))


def test_a_shock_is_tapered_to_nothing_at_expiry():
    np.testing.assert_array_equal(expiry_taper(np.array([np.inf, 60.0, 30.0, 15.0, 0.0, -2.0])), [1, 1, 1, 0.5, 0, 0])
    # so that the annualised shock stays what it is in the last month
    days = np.array([25.0, 10.0, 4.0])
    annual = annual_basis(0.01 * expiry_taper(days), days)
    np.testing.assert_allclose(annual, annual[0])


@given(kappa=st.floats(1e-3, 2.0), iota=rates, quote=rates, asset=rates)
def test_the_closed_form_is_the_sum_over_the_time_at_which_a_perpetual_becomes_its_index(kappa, iota, quote, asset):
    closed = perpetual_ratio(kappa, iota, quote, asset)
    assert closed == pytest.approx(perpetual_ratio_series(kappa, iota, quote, asset), rel=1e-12)
    assert perpetual_ratio(kappa, neutral_interest(quote, asset), quote, asset) == pytest.approx(1.0, abs=1e-12)


def test_small_steps_are_continuous_time():
    """A year in n steps: kappa, iota and rates per step are a nth of the annual ones."""
    kappa, iota, quote, asset = 1095.0, 0.02, 0.05, 0.01
    n = 10_000_000
    steps = perpetual_ratio(kappa / n, iota / n, quote / n, asset / n)
    assert steps == pytest.approx(continuous_perpetual_ratio(kappa, iota, quote, asset), rel=1e-8)


def test_a_perpetual_that_is_held_too_loosely_has_no_price():
    assert np.isnan(continuous_perpetual_ratio(0.04, 0.0, 0.05, 0.0))
    assert np.isnan(perpetual_ratio(1e-5, 0.0, 1e-3, 0.0))
    with pytest.raises(ValueError, match="does not converge"):
        perpetual_ratio_series(1e-5, 0.0, 1e-3, 0.0)
    np.testing.assert_array_equal(np.isnan(continuous_perpetual_ratio(np.array([0.04, 9.0]), 0.0, 0.05, 0.0)), [1, 0])


def test_an_inverse_perpetual_is_a_linear_one_seen_from_the_other_side():
    assert inverse_perpetual_ratio(0.5, 0.0, 3e-5, 3e-5) == pytest.approx(1.0)
    linear, inverse = perpetual_ratio(0.5, 0.0, 5e-5, 1e-5), inverse_perpetual_ratio(0.5, 0.0, 5e-5, 1e-5)
    assert linear > 1.0
    assert inverse == pytest.approx(1.0 / perpetual_ratio(0.5, 0.0, 1e-5, 5e-5))
    assert inverse == pytest.approx(linear, rel=1e-7), "to first order without randomness they agree"


def test_a_deviation_is_earned_at_the_speed_of_funding():
    fair = continuous_perpetual_ratio(1095.0, 0.0, 0.05, 0.0)
    assert annual_deviation(fair, fair, 1095.0) == 0.0
    assert annual_deviation(fair + 0.0005, fair, 1095.0) == pytest.approx(0.5475)
