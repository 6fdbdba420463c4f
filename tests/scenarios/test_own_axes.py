"""Own axes: multiples of each contract's own volatility, fading before expiry; assets that move by themselves."""

import numpy as np
import pytest

from riskpipe.scenarios.grid import scenario_set
from riskpipe.scenarios.own_axes import taper, with_asset_axes, with_basis_axes

VOL = np.array([0.001, 0.002, np.nan, 0.004])
DAYS = np.array([np.nan, 60.0, np.nan, 6.0])


def two_axes():
    planned = scenario_set(
        {"index_shock": [-0.2, 0.0]},
        [("crash", {"index_shock": -0.4})],
        own_axes={"basis_axis_near": [-3.0, 0.0], "basis_axis_far": [0.0, 2.0]},
    )
    is_moved = {"near": np.array([True, True, True, False]), "far": np.array([False, True, False, True])}
    return planned, with_basis_axes(planned, is_moved, VOL, DAYS)


def test_a_move_fades_from_thirty_days_before_expiry_to_nothing_at_it():
    assert taper(np.array([np.nan, 400.0, 30.0, 15.0, 0.0, -1.0])).tolist() == [1.0, 1.0, 1.0, 0.5, 0.0, 0.0]


def test_every_combination_stands_once_and_named_scenarios_at_zero():
    planned, _ = two_axes()
    cells = set(
        zip(
            planned.on_axis("basis_axis_near").tolist(),
            planned.on_axis("basis_axis_far").tolist(),
            planned.index_shock.tolist(),
            strict=True,
        )
    )
    assert len(planned) == 9
    assert cells == {(a, b, x) for a in (-3.0, 0.0) for b in (0.0, 2.0) for x in (-0.2, 0.0)} | {(0.0, 0.0, -0.4)}
    assert planned.instrument_basis_shock is None


def test_axes_add_up_and_what_has_no_volatility_stays():
    planned, made = two_axes()
    near, far = planned.on_axis("basis_axis_near")[:, None], planned.on_axis("basis_axis_far")[:, None]
    expected = near * np.array([0.001, 0.002, 0.0, 0.0]) + far * np.array([0.0, 0.002, 0.0, 0.004 * 0.2])
    assert made.instrument_basis_shock == pytest.approx(expected, rel=1e-14)
    assert np.count_nonzero(made.instrument_basis_shock[:, 0] != made.instrument_basis_shock[:, 1]) == 6, (
        "a spread moves"
    )
    assert np.array_equal(made.slab(2, 4).own_value, made.own_value[2:4])


def test_a_set_without_own_axes_stays_as_it_is():
    planned = scenario_set({"index_shock": [-0.2]})
    assert with_basis_axes(planned, {}, VOL, DAYS) is planned
    assert with_asset_axes(planned, {}, np.ones(3)) is planned
    with pytest.raises(ValueError, match="no axis 'basis_axis_near'"):
        planned.on_axis("basis_axis_near")


def test_an_own_move_comes_on_top_of_the_indexs_and_an_asset_without_one_follows_it():
    planned = scenario_set(
        {"index_shock": [-0.2, 0.1]},
        [("crash", {"index_shock": -0.4})],
        own_axes={"asset_axis_sol": [-0.5, 0.0], "asset_axis_alts": [0.0, 0.25]},
        n_simulated=1,
    )
    is_moved = {"sol": np.array([False, True, False]), "alts": np.array([False, True, True])}
    made = with_asset_axes(planned, is_moved, np.array([1.0, 1.5, 0.0]))
    sol, alts = planned.on_axis("asset_axis_sol"), planned.on_axis("asset_axis_alts")
    for s, x in enumerate(planned.index_shock.tolist()):
        btc, own, other = made.asset_shock[s]
        assert np.isnan(btc)
        if sol[s] == 0.0 and alts[s] == 0.0:
            assert np.isnan([own, other]).all()
            continue
        assert own == pytest.approx((1.0 + 1.5 * x) * (1.0 + sol[s]) * (1.0 + alts[s]) - 1.0, rel=1e-14)
        assert np.isnan(other) if alts[s] == 0.0 else other == pytest.approx(alts[s], rel=1e-14)
