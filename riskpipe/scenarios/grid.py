"""Grids and named scenarios as one flat ScenarioSet: variants slowest, then the axes in their order, depth fastest."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

from riskpipe.domain.scenarios import AXES, NEUTRAL, ScenarioSet, Variant


def grid_cells(axes: Mapping[str, Sequence[float]]) -> list[dict[str, float]]:
    """Return every combination of the axes' values; an axis left out keeps its neutral value."""
    values = [list(axes.get(axis, [NEUTRAL[axis]])) for axis in AXES]
    return [dict(zip(AXES, cell, strict=True)) for cell in product(*values)]


def scenario_set(
    axes: Mapping[str, Sequence[float]],
    historical: Sequence[tuple[str, Mapping[str, float]]] = (),
    variants: Sequence[Variant] = (Variant(),),
) -> ScenarioSet:
    """Return the grid over `axes` and the named historical scenarios, once for each variant (the first is central).

    Shocks are fractions, the depth factor a multiple. Neither set has probabilities (NaN).
    """
    cells = [("grid", "", cell) for cell in grid_cells(axes)]
    cells += [("historical", name, {**NEUTRAL, **shocks}) for name, shocks in historical]
    sets = ("grid", "historical") if historical else ("grid",)
    rows = [(v, *cell) for v in range(len(variants)) for cell in cells]

    def axis(name: str) -> np.ndarray:
        return np.array([row[3][name] for row in rows], dtype=np.float64)

    n = len(rows)
    return ScenarioSet(
        index_shock=axis("index_shock"),
        basis_shock=axis("basis_shock"),
        vol_shock=axis("vol_shock"),
        depth_factor=axis("depth_factor"),
        haircut_shock=np.zeros(n),
        probability=np.full(n, np.nan),
        variant=np.array([row[0] for row in rows], dtype=np.int32),
        set_index=np.array([sets.index(row[1]) for row in rows], dtype=np.int32),
        name=np.array([row[2] for row in rows], dtype=np.str_),
        variants=tuple(variants),
        sets=sets,
    )
