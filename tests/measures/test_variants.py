import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskpipe.domain.ranges import driver, overrides, range_over

LABELS = ["gap_share=1, law=exponential", "gap_share=1, law=linear", "gap_share=0, law=exponential",
          "gap_share=0, law=linear"]  # fmt: skip


def test_low_is_at_most_central_is_at_most_high(measures):
    ranges = measures["ranges"]
    assert (ranges["low"] <= ranges["central"]).all()
    assert (ranges["central"] <= ranges["high"]).all()
    assert (ranges["driver_spread"] <= ranges["high"] - ranges["low"] + 1e-9).all()


def test_the_index_axis_is_part_of_the_grid(measures):
    for name in ("uncovered_loss", "liquidated_notional", "liquidated_accounts"):
        values = measures["variants"][name]
        assert (values.sel(scope="index axis") <= values.sel(scope="grid")).all()


@pytest.mark.parametrize(
    ("values", "expected"),
    [([10.0, 9, 4, 3], ("gap_share", 6.0)), ([10.0, 2, 9, 3], ("law", 8.0)), ([5.0, 5, 5, 5], ("", 0.0))],
)
def test_the_driver_is_the_key_whose_change_alone_moves_most(values, expected):
    assert driver(LABELS, np.array(values)) == expected


@given(st.lists(st.floats(0, 1e9), min_size=4, max_size=4))
def test_the_driver_never_moves_more_than_the_whole_width(values):
    _, spread = driver(LABELS, np.array(values))
    assert spread <= max(values) - min(values)


def test_a_variant_as_configured_overrides_nothing():
    assert overrides("as configured") == {}
    assert driver(["as configured"], np.array([3.0])) == ("", 0.0)


@given(st.lists(st.floats(0, 1e9) | st.just(float("nan")), min_size=4, max_size=4))
def test_a_range_holds_every_number_and_names_variants_only_where_they_disagree(values):
    found = range_over(LABELS, np.array(values))
    known = [value for value in values if not np.isnan(value)]
    assert all(found.low <= value <= found.high for value in known)
    assert found.is_wide == (len(set(known)) > 1) == bool(found.low_variant) == bool(found.high_variant)
    np.testing.assert_equal(found.central, values[0] if known else np.nan)


def test_a_variant_without_a_number_drives_nothing():
    labels = ["g=1, k=1", "g=1, k=2", "g=0, k=1", "g=0, k=2"]
    found = range_over(labels, np.array([5.0, np.nan, np.nan, 7.0]))
    assert (found.low, found.central, found.high) == (5.0, 5.0, 7.0)
    assert (found.low_variant, found.high_variant) == ("g=1, k=1", "g=0, k=2")
    assert found.driver == "", "the two differ in both keys: neither alone is known to move it"
