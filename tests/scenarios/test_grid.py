"""Grids as flat scenario sets."""

import numpy as np
import pytest

from riskpipe.domain.scenarios import Variant, block_bounds
from riskpipe.scenarios.grid import grid_cells, scenario_set

AXES = {"index_shock": [-0.2, 0.0], "basis_shock": [0.0, 0.01, 0.02], "depth_factor": [1.0, 0.1]}


def test_every_combination_stands_once_depth_fastest_and_an_axis_left_out_is_neutral():
    cells = grid_cells(AXES)
    assert len(cells) == 12
    assert len({tuple(cell.values()) for cell in cells}) == 12
    assert {cell["vol_shock"] for cell in cells} == {0.0}
    assert [cell["depth_factor"] for cell in cells[:4]] == [1.0, 0.1, 1.0, 0.1]
    assert [cell["index_shock"] for cell in cells] == [-0.2] * 6 + [0.0] * 6
    assert grid_cells({}) == [{"index_shock": 0.0, "basis_shock": 0.0, "vol_shock": 0.0, "depth_factor": 1.0}]


def test_grid_and_history_stand_once_for_each_variant():
    variants = (Variant(gap_share=1.0), Variant(gap_share=0.0))
    scenarios = scenario_set(AXES, [("crash", {"index_shock": -0.39, "depth_factor": 0.3})], variants)
    assert len(scenarios) == 26
    assert scenarios.variant.tolist() == [0] * 13 + [1] * 13
    for start in (0, 13):
        assert scenarios.name[start : start + 13].tolist() == [""] * 12 + ["crash"]
        assert [scenarios.sets[ix] for ix in scenarios.set_index[start : start + 13]] == ["grid"] * 12 + ["historical"]
    assert (scenarios.index_shock[12], scenarios.depth_factor[12], scenarios.basis_shock[12]) == (-0.39, 0.3, 0.0)
    assert np.all(np.isnan(scenarios.probability))
    assert np.all(scenarios.haircut_shock == 0.0)


def test_blocks_cover_every_scenario_once_in_order():
    scenarios = scenario_set(AXES)
    for size in (1, 5, 12, 100):
        bounds = block_bounds(len(scenarios), size)
        shocks = np.concatenate([scenarios.slab(*bound).index_shock for bound in bounds])
        assert np.array_equal(shocks, scenarios.index_shock)
        assert all(stop - start <= size for start, stop in bounds)
    with pytest.raises(ValueError, match="at least 1"):
        block_bounds(5, 0)
