"""Cells: how measures read a cube and find their way among its scenarios.

Scenarios lie on one flat dimension whose axes are coordinates, so a cell is found by its coordinates, never by its
place. The variant that comes first is the central one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from riskpipe.domain.scenarios import GRID, NEUTRAL, own_coordinates
from riskpipe.domain.schema import VARIABLES
from riskpipe.errors import ComputeError

AXIS_NEUTRAL: Mapping[str, float] = {**NEUTRAL, "haircut_shock": 0.0}
INDEX_AXIS = "index_shock"
KEPT_BYTES = 8_000_000
"""Variables up to this size stay in memory with the tree they were read from: measures read some twenty times over, and
a night of small blocks keeps each in thousands of files."""

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


def read(tree: xr.DataTree, key: str, *, may_hold_nan: bool = False) -> np.ndarray:
    """One variable of the cube as an array, its dimensions in the schema's order.

    Parameters
    ----------
    tree: the cube.
    key: group and name, as in `funds/shortfall`.
    may_hold_nan: whether NaN means "not measured" here; elsewhere NaN is a block that was never written.

    Raises
    ------
    ComputeError: the variable is absent, or holds NaN where every scenario must have a number.
    """
    group, _, name = key.partition("/")
    node = tree.children.get(group)
    variable = node.variables.get(name) if node is not None else None  # a Dataset of the node costs milliseconds
    if variable is None:
        raise ComputeError(f"the cube has no variable {key}: compute the run again with a version that writes it")
    if variable.nbytes <= KEPT_BYTES:
        variable.load()  # all of it, in stored order: only that is kept by the tree
    values = np.asarray(variable.transpose(*VARIABLES[key].dims).values)
    if not may_hold_nan and values.dtype.kind == "f":
        n_bad = int(np.isnan(values).reshape(len(values), -1).any(axis=1).sum()) if values.size else 0
        if n_bad:
            raise ComputeError(
                f"the cube's {key} holds NaN in {n_bad} of {len(values)} rows along {VARIABLES[key].dims[0]}: blocks "
                "are missing or damaged; run `riskpipe verify` on the store and compute the run again"
            )
    return values


def labels(tree: xr.DataTree, group: str, dimension: str) -> list[str]:
    """Labels of a dimension as strings."""
    return [str(label) for label in tree[group].variables[dimension].values.tolist()]


@dataclass(frozen=True)
class Cells:
    """The scenarios of a cube by their coordinates (n scenarios).

    Attributes
    ----------
    axes: axis name -> [n] shocks as fractions, depth as a factor.
    variant, set, name: [n] labels; the name is a preset's own, "" for a cell of the grid.
    probability: [n] NaN where the set has none.
    """

    axes: Mapping[str, FloatArray]
    variant: NDArray[np.object_]
    set: NDArray[np.object_]
    name: NDArray[np.object_]
    probability: FloatArray

    def __len__(self) -> int:
        """Count scenarios."""
        return len(self.variant)

    @property
    def variants(self) -> list[str]:
        """Labels of the variants in the order of the scenarios: the first is central."""
        return list(dict.fromkeys(self.variant.tolist()))

    @property
    def is_grid(self) -> BoolArray:
        """Whether each scenario is a cell of the grid."""
        return np.asarray(self.set == GRID, dtype=np.bool_)

    @property
    def is_headline(self) -> BoolArray:
        """Whether each scenario is a cell of a grid that headlines are of.

        Nothing is where the grid moves nothing and there are other scenarios: one neutral cell is what a grid is that
        nobody asked for, and says nothing of a night of simulated or named scenarios.
        """
        moves = np.zeros(len(self), np.bool_)
        for axis, shocks in self.axes.items():
            moves |= shocks != neutral_of(axis)
        is_used = bool((self.is_grid & moves).any() or self.is_grid.all())
        return self.is_grid if is_used else np.zeros(len(self), np.bool_)

    def coordinates(self) -> dict[str, xr.Variable]:
        """Coordinates for a result along `scenario`."""
        numbers = {**self.axes, "probability": self.probability}
        return {
            "scenario": xr.Variable(("scenario",), np.arange(len(self))),
            **{key: xr.Variable(("scenario",), values) for key, values in numbers.items()},
            **{key: xr.Variable(("scenario",), getattr(self, key)) for key in ("variant", "set", "name")},
        }


def cells_of(tree: xr.DataTree) -> Cells:
    """Read the coordinates of the cube's scenarios."""
    dataset = tree["system"].to_dataset()
    n = dataset.sizes["scenario"]

    def text(key: str) -> NDArray[np.object_]:
        given = dataset[key].values.tolist() if key in dataset.coords else [""] * n
        return np.array([str(value) for value in given] + [None], dtype=object)[:-1]

    names = [*(axis for axis in AXIS_NEUTRAL if axis in dataset.coords), *own_coordinates(dataset.coords)]
    axes = {axis: np.asarray(dataset[axis].values, np.float64) for axis in names}
    has_probability = "probability" in dataset.coords
    probability = np.asarray(dataset["probability"].values, np.float64) if has_probability else np.full(n, np.nan)
    return Cells(axes, text("variant"), text("set"), text("name"), probability)


@dataclass(frozen=True)
class NeutralPlane:
    """The grid's cells along the index axis (and other axes that are free), every other axis at its neutral value.

    Attributes
    ----------
    is_inside: [n] cells on the line, of every variant.
    values: axis -> the value taken; the grid's nearest to neutral where neutral itself is not on it.
    off_neutral: the axes for which that is so.
    """

    is_inside: BoolArray
    values: Mapping[str, float]
    off_neutral: tuple[str, ...]

    @property
    def description(self) -> str:
        """The plane in words."""
        if not self.off_neutral:
            return "other axes neutral"
        taken = ", ".join(f"{axis} {self.values[axis]:g}" for axis in self.off_neutral)
        return f"other axes neutral, except that the grid has no neutral value for: {taken} (nearest taken)"


def neutral_of(axis: str) -> float:
    """Value at which an axis moves nothing; 0 of a basis axis."""
    return AXIS_NEUTRAL.get(axis, 0.0)


def neutral_plane(cells: Cells, free: Sequence[str] = (INDEX_AXIS,)) -> NeutralPlane:
    """Find the grid's cells whose axes, the free ones apart, are neutral or nearest to it (of a tie, the smaller)."""
    inside = cells.is_grid.copy()
    values: dict[str, float] = {}
    for axis, shocks in cells.axes.items():
        on_grid = shocks[cells.is_grid]
        if axis in free or len(on_grid) == 0:
            continue
        choices = np.unique(on_grid)
        values[axis] = float(choices[np.argmin(np.abs(choices - neutral_of(axis)))])
        inside &= shocks == values[axis]
    off = tuple(axis for axis, value in values.items() if value != neutral_of(axis))
    return NeutralPlane(inside, values, off)


def distinct_rows(cells: Cells, rows: IntArray, *numbers: FloatArray) -> IntArray:
    """Of rows that differ in the volatility shock only and agree in every number, the first; the order is kept.

    The volatility axis moves options only: without any its cells repeat one another. The numbers, each [n], keep cells
    apart that do differ.
    """
    keys: list[np.ndarray] = [values for name, values in cells.axes.items() if name != "vol_shock"]
    keys += [cells.variant, cells.set, cells.name, *numbers]
    found: dict[tuple[object, ...], int] = {}
    for row, *key in zip(rows.tolist(), *(values[rows].tolist() for values in keys), strict=True):
        found.setdefault(tuple(key), row)
    return np.array(list(found.values()), dtype=np.int64)


def quantity(
    dims: tuple[str, ...], values: object, units: str, long_name: str, *sources: str
) -> tuple[tuple[str, ...], object, dict[str, object]]:
    """A measured variable with its unit, its name and the cube variables it was read from."""
    return dims, values, {"units": units, "long_name": long_name, "sources": list(sources)}


def divide(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Ratio of two arrays, NaN where the denominator is zero."""
    top, bottom = np.broadcast_arrays(np.asarray(numerator, np.float64), np.asarray(denominator, np.float64))
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom != 0.0)
