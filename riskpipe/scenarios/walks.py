"""Walks: scenarios in which the index moves, or one asset alone, at given depths, and nothing else does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from riskpipe.domain.book import FloatArray
from riskpipe.domain.scenarios import GRID, ScenarioSet, Variant


@dataclass(frozen=True)
class Search:
    """What walks outward, and at which depths; nothing by default."""

    movers: tuple[str, ...] = ()
    """"index", then assets."""
    depth_factors: tuple[float, ...] = ()

    @property
    def labels(self) -> dict[str, Sequence[Any]]:
        """Labels of the cube's dimensions that the search adds."""
        depths = [f"{depth:g}" for depth in self.depth_factors]
        return {"mover": list(self.movers), "depth": depths}


def walk(
    moves: FloatArray, depth_factor: FloatArray, asset: int | None, n_assets: int, variant: Variant
) -> ScenarioSet:
    """Return scenarios of one variant, without probabilities.

    Parameters
    ----------
    moves: [n] fractions, > -1: of the index, or of the asset's own price.
    depth_factor: [n] multiplies every depth.
    asset: the asset that moves alone, every other one standing still; None = the index, and all assets by their betas.
    n_assets: of the book.
    """
    n, nil = len(moves), np.zeros(len(moves))
    alone = None
    if asset is not None:
        alone = np.zeros((n, n_assets))
        alone[:, asset] = moves
    return ScenarioSet(
        index_shock=nil if asset is not None else np.asarray(moves, dtype=np.float64),
        basis_shock=nil,
        vol_shock=nil,
        depth_factor=np.asarray(depth_factor, dtype=np.float64),
        haircut_shock=nil,
        probability=np.full(n, np.nan),
        variant=np.zeros(n, dtype=np.int32),
        set_index=np.zeros(n, dtype=np.int32),
        name=np.full(n, "", dtype=np.str_),
        variants=(variant,),
        sets=(GRID,),
        asset_shock=alone,
    )
