"""Basis axes: multiples of each contract's own volatility, fading before expiry."""

import numpy as np
import pytest

from riskpipe.scenarios.basis_axes import taper, with_basis_axes
from riskpipe.scenarios.grid import scenario_set

VOL = np.array([0.001, 0.002, np.nan, 0.004])
DAYS = np.array([np.nan, 60.0, np.nan, 6.0])


def two_axes():
    planned = scenario_set(
        {"index_shock": [-0.2, 0.0]},
        [("crash", {"index_shock": -0.4})],
        basis_axes={"near": [-3.0, 0.0], "far": [0.0, 2.0]},
    )
    is_moved = {"near": np.array([True, True, True, False]), "far": np.array([False, True, False, True])}
    return planned, with_basis_axes(planned, is_moved, VOL, DAYS)


def test_a_move_fades_from_thirty_days_before_expiry_to_nothing_at_it():
    assert taper(np.array([np.nan, 400.0, 30.0, 15.0, 0.0, -1.0])).tolist() == [1.0, 1.0, 1.0, 0.5, 0.0, 0.0]


def test_every_combination_stands_once_and_named_scenarios_at_zero():
    planned, _ = two_axes()
    cells = set(
        zip(
            planned.multiples("near").tolist(),
            planned.multiples("far").tolist(),
            planned.index_shock.tolist(),
            strict=True,
        )
    )
    assert len(planned) == 9
    assert cells == {(a, b, x) for a in (-3.0, 0.0) for b in (0.0, 2.0) for x in (-0.2, 0.0)} | {(0.0, 0.0, -0.4)}
    assert planned.instrument_basis_shock is None


def test_axes_add_up_and_what_has_no_volatility_stays():
    planned, made = two_axes()
    near, far = planned.multiples("near")[:, None], planned.multiples("far")[:, None]
    expected = near * np.array([0.001, 0.002, 0.0, 0.0]) + far * np.array([0.0, 0.002, 0.0, 0.004 * 0.2])
    assert made.instrument_basis_shock == pytest.approx(expected, rel=1e-14)
    assert np.count_nonzero(made.instrument_basis_shock[:, 0] != made.instrument_basis_shock[:, 1]) == 6, (
        "a spread moves"
    )
    assert np.array_equal(made.slab(2, 4).basis_multiple, made.basis_multiple[2:4])


def test_a_set_without_basis_axes_stays_as_it_is():
    planned = scenario_set({"index_shock": [-0.2]})
    assert with_basis_axes(planned, {}, VOL, DAYS) is planned
    with pytest.raises(ValueError, match="no basis axis 'near'"):
        planned.multiples("near")
