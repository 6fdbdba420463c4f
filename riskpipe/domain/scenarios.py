"""ScenarioSet: labelled joint shocks on one flat dimension, cut into blocks.

The axes are coordinates of the flat `scenario` dimension, so that a new axis never changes the rank of a cube. A block
is a slab of consecutive scenarios; nothing travels between blocks.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from typing import Self

import numpy as np

from riskpipe.domain.book import FloatArray, IntArray, OffsetArray
from riskpipe.domain.rules import ImpactLaw

AXES = ("index_shock", "basis_shock", "vol_shock", "depth_factor")
# what starts the coordinate of an axis that a run names itself; 0 is neutral on all of them
BASIS_AXIS = "basis_axis_"  # moves of bases, in standard deviations
ASSET_AXIS = "asset_axis_"  # moves of single assets, fractions
GRID, HISTORICAL, SIMULATED = "grid", "historical", "simulated"  # labels of sets
DIRECTIONS = ("down", "up")  # in which something moves
NEUTRAL = {"index_shock": 0.0, "basis_shock": 0.0, "vol_shock": 0.0, "depth_factor": 1.0}


def own_coordinates(names: Iterable[Hashable]) -> list[str]:
    """Return those of the coordinates' names that are a run's own axes, of assets and of bases, sorted."""
    return sorted(name for name in map(str, names) if name.startswith((ASSET_AXIS, BASIS_AXIS)))


def own_axis_of(coordinate: str, kind: str) -> str | None:
    """Name of the run's own axis of a kind (BASIS_AXIS, ASSET_AXIS) behind a coordinate; None where there is none."""
    return coordinate.removeprefix(kind) if coordinate.startswith(kind) else None


@dataclass(frozen=True)
class Variant:
    """One reading of an uncertain rule: each value given overrides that key on all venues at once; None leaves it."""

    gap_share: float | None = None
    law: ImpactLaw | None = None
    kappa: float | None = None
    adl_policy: str | None = None

    @property
    def label(self) -> str:
        """Name of the variant: its overrides, or "as configured" when it has none."""
        given = [
            f"{spec.name}={value:g}" if isinstance(value, float) else f"{spec.name}={value}"
            for spec in dataclass_fields(self)
            if (value := getattr(self, spec.name)) is not None
        ]
        return ", ".join(given) or "as configured"


@dataclass(frozen=True)
class ScenarioSet:
    """Scenarios as arrays over the flat dimension (n scenarios).

    `variants[0]` is the central variant, which `/accounts` counts and maxima use.
    """

    index_shock: FloatArray  # [n] fraction of the index, times each asset's beta
    basis_shock: FloatArray  # [n] added to every perpetual's and future's basis
    vol_shock: FloatArray  # [n] relative change of implied volatility
    depth_factor: FloatArray  # [n] multiplies every depth
    haircut_shock: FloatArray  # [n] added to every collateral haircut
    probability: FloatArray  # [n] NaN for sets that have none
    variant: IntArray  # [n] index into variants
    set_index: IntArray  # [n] index into sets
    name: np.ndarray  # [n] str, a preset's own name; empty for cells of the grid
    variants: tuple[Variant, ...]
    sets: tuple[str, ...]
    asset_shock: FloatArray | None = None  # [n, c] an asset's own index move, a fraction; NaN = beta x index_shock
    instrument_basis_shock: FloatArray | None = None  # [n, i] added to a contract's basis besides; not to options
    own_value: FloatArray | None = None  # [n, k] where each scenario stands on the run's own axes
    own_axes: tuple[str, ...] = ()  # their coordinates

    def __len__(self) -> int:
        """Count scenarios."""
        return len(self.index_shock)

    def on_axis(self, coordinate: str) -> FloatArray:
        """Return where each scenario stands on one of the run's own axes [n], by its coordinate."""
        if self.own_value is None or coordinate not in self.own_axes:
            raise ValueError(f"the set has no axis {coordinate!r}")
        return np.ascontiguousarray(self.own_value[:, self.own_axes.index(coordinate)])

    def rows_of(self, name: str) -> tuple[OffsetArray, OffsetArray]:
        """Return the scenarios of a set, and the number that each has among those of its variant."""
        is_in = np.zeros(len(self), dtype=np.bool_)
        if name in self.sets:
            is_in = self.set_index == self.sets.index(name)
        rows = np.flatnonzero(is_in).astype(np.int64)
        number = np.zeros(len(rows), dtype=np.int64)
        for v in range(len(self.variants)):
            of_variant = self.variant[rows] == v
            number[of_variant] = np.arange(np.count_nonzero(of_variant))
        return rows, number

    def refuse_misfit(self, n_assets: int, n_instruments: int) -> None:
        """Raise ValueError where moves of single assets or instruments are not those of a book of so many."""
        shapes = {"asset_shock": n_assets, "instrument_basis_shock": n_instruments}
        for name, n_columns in shapes.items():
            moves = getattr(self, name)
            if moves is not None and moves.shape != (len(self), n_columns):
                raise ValueError(f"{name} has shape {moves.shape}, expected {(len(self), n_columns)}")

    def slab(self, start: int, stop: int) -> Self:
        """Return scenarios start to stop (exclusive) as a set of their own, with the same variants and sets."""
        return self.take(slice(start, stop))

    def take(self, rows: slice | OffsetArray) -> Self:
        """Return some scenarios, in this order, as a set of their own, with the same variants and sets."""
        arrays = {
            spec.name: value[rows]
            for spec in dataclass_fields(self)
            if isinstance(value := getattr(self, spec.name), np.ndarray)
        }
        return type(self)(**arrays, variants=self.variants, sets=self.sets, own_axes=self.own_axes)


def block_bounds(n_scenarios: int, block_size: int) -> tuple[tuple[int, int], ...]:
    """Cut n_scenarios into consecutive (start, stop) blocks of block_size; the last may be shorter.

    Raises ValueError when block_size is below 1.
    """
    if block_size < 1:
        raise ValueError(f"block_size must be at least 1, got {block_size}")
    return tuple((start, min(start + block_size, n_scenarios)) for start in range(0, n_scenarios, block_size))
