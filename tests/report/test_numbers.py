import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskpipe.report import numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12_345_678.0, "USD 12.3M"),
        (999_950.0, "USD 1M"),
        (-1_500.0, "USD -1.5K"),
        (0.0, "USD 0"),
        (-0.0, "USD 0"),
        (-1e-9, "USD 0"),
        (12.5, "USD 12.5"),
        (3.2e12, "USD 3.2T"),
        (math.nan, "n/a"),
    ],
)
def test_money_is_read_with_its_unit(value, text):
    assert numbers.usd(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-0.4, "-40%"),
        (0.2, "+20%"),
        (0.0, "0%"),
        (-0.0, "0%"),
        (0.00123, "+0.123%"),
        (math.nan, "n/a"),
        (12.0, "+1,200%"),
    ],
)
def test_shocks_carry_their_sign(value, text):
    assert numbers.share(value, is_signed=True) == text


@pytest.mark.parametrize(
    ("value", "text"), [(1234.0, "1,234"), (0.4, "0.4"), (-0.0, "0"), (2.5, "2.5"), (math.nan, "n/a")]
)
def test_counts_have_thousands_and_weights_a_decimal(value, text):
    assert numbers.count(value) == text


@given(st.floats(1.0, 1e14))
def test_money_is_right_to_half_a_unit_of_its_third_digit(value):
    text = numbers.usd(value).removeprefix("USD ")
    scale = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}.get(text[-1], 1.0)
    assert float(text.rstrip("KMBT").replace(",", "")) * scale == pytest.approx(value, rel=5.001e-3)
