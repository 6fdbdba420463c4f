"""Grids, named and simulated scenarios as one flat ScenarioSet: variants slowest, then the axes in their order, a
run's own axes before all others, depth fastest.
"""  # noqa: D205

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

from riskpipe.domain.scenarios import AXES, GRID, HISTORICAL, NEUTRAL, SIMULATED, ScenarioSet, Variant


def grid_cells(axes: Mapping[str, Sequence[float]]) -> list[dict[str, float]]:
    """Return every combination of the axes' values; an axis left out keeps its neutral value."""
    values = [list(axes.get(axis, [NEUTRAL[axis]])) for axis in AXES]
    return [dict(zip(AXES, cell, strict=True)) for cell in product(*values)]


def scenario_set(
    axes: Mapping[str, Sequence[float]],
    historical: Sequence[tuple[str, Mapping[str, float]]] = (),
    variants: Sequence[Variant] = (Variant(),),
    *,
    own_axes: Mapping[str, Sequence[float]] | None = None,
    n_simulated: int = 0,
) -> ScenarioSet:
    """Return the grid over `axes`, named historical and simulated scenarios, once for each variant (the first central).

    Shocks are fractions, the depth factor a multiple. Neither grid nor history has probabilities (NaN); simulated
    scenarios are as likely as each other. What moves single assets and instruments is not known yet: the index shock of
    simulated scenarios is NaN until `simulated.with_simulated` gives it, and `own_axes` turns the values of the run's
    own axes, by their coordinates and 0 outside the grid, into moves.
    """
    own = own_axes or {}
    still = (0.0,) * len(own)
    cells = [(GRID, "", cell, at) for at in product(*own.values()) for cell in grid_cells(axes)]
    cells += [(HISTORICAL, name, {**NEUTRAL, **shocks}, still) for name, shocks in historical]
    cells += [(SIMULATED, "", {**NEUTRAL, "index_shock": np.nan}, still)] * n_simulated
    sets = (GRID, *([HISTORICAL] if historical else []), *([SIMULATED] if n_simulated else []))
    rows = [(v, *cell) for v in range(len(variants)) for cell in cells]
    is_simulated = np.array([row[1] == SIMULATED for row in rows], dtype=np.bool_)
    return ScenarioSet(
        **{name: np.array([row[3][name] for row in rows], dtype=np.float64) for name in AXES},
        haircut_shock=np.zeros(len(rows)),
        probability=np.where(is_simulated, 1.0 / max(n_simulated, 1), np.nan),
        variant=np.array([row[0] for row in rows], dtype=np.int32),
        set_index=np.array([sets.index(row[1]) for row in rows], dtype=np.int32),
        name=np.array([row[2] for row in rows], dtype=np.str_),
        variants=tuple(variants),
        sets=sets,
        own_value=np.array([row[4] for row in rows], dtype=np.float64) if own else None,
        own_axes=tuple(own),
    )
