"""Constructed marks lie between what they are made from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskpipe.pricing.mark_price import (
    annual_basis_price,
    average_basis_price,
    banded_mark,
    exponential_basis,
    funding_basis_price,
    median_mark,
)

prices = st.floats(0.01, 1e6)


@given(prices, prices, prices)
def test_the_median_is_the_middle_one(first, second, third):
    assert median_mark(first, second, third) == sorted((first, second, third))[1]


def test_medians_go_elementwise():
    np.testing.assert_array_equal(median_mark(np.array([1.0, 9.0]), np.array([2.0, 8.0]), 3.0), [2.0, 8.0])


def test_funding_still_to_accrue_fades_to_the_index():
    assert funding_basis_price(100.0, 0.0008, 8.0, 8.0) == pytest.approx(100.08)
    assert funding_basis_price(100.0, 0.0008, 6.0, 8.0) == pytest.approx(100.06)
    assert funding_basis_price(100.0, 0.0008, 0.0, 8.0) == 100.0


def test_an_average_basis_is_carried_to_the_index_of_now():
    assert average_basis_price(105.0, np.array([101.0, 104.0]), np.array([100.0, 101.0])) == pytest.approx(107.0)


def test_an_exponential_basis_does_not_depend_on_how_time_is_cut():
    once = exponential_basis(0.0, 10.0, 30.0, 150.0)
    half = exponential_basis(0.0, 10.0, 15.0, 150.0)
    assert exponential_basis(half, 10.0, 15.0, 150.0) == pytest.approx(once)
    assert exponential_basis(3.0, 10.0, 0.0, 150.0) == 3.0
    assert exponential_basis(0.0, 10.0, 1e9, 150.0) == pytest.approx(10.0)


def test_a_dated_fair_price_adds_its_basis_by_the_day():
    assert annual_basis_price(10_000.0, 0.10, 36.5) == pytest.approx(10_100.0)


@given(index=prices, fair=prices, band=st.floats(0.0, 0.5))
def test_a_banded_mark_stays_in_its_band(index, fair, band):
    mark = banded_mark(index, fair, band)
    assert index * (1.0 - band) <= mark <= index * (1.0 + band)
    if index * (1.0 - band) <= fair <= index * (1.0 + band):
        assert mark == fair
