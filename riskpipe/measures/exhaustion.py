"""Exhausting moves: what the search for the smallest moves of the index, and of single assets, has found."""

import numpy as np
import xarray as xr

from riskpipe.domain.schema import VARIABLES
from riskpipe.measures.cells import labels, quantity, read

FOUND = ("last_held", "first_exhausted", "heals_at")
KEYS = tuple(key for key in VARIABLES if key.startswith("exhaustion/"))
DIMS = ("mover", "direction", "depth", "fund")


def exhausting_moves(tree: xr.DataTree) -> xr.Dataset:
    """The smallest moves that exhaust each fund, by what moves alone; no row where nothing was searched for.

    Returns dims (mover, direction, depth, fund), fractions: `last_held`, the move before the first that exhausts (the
    furthest one looked at where none does), `first_exhausted` (NaN where none does) and `heals_at`, the next larger
    move at which the fund holds again (NaN where it does not); and `furthest` (direction), `depth_factor` (depth). The
    true smallest move lies between the first two, unless a fund fails and heals between two moves looked at. Source:
    replays of the central variant, see `riskpipe.run.exhaustion`.
    """
    data = {
        name: quantity(DIMS, read(tree, f"exhaustion/{name}", may_hold_nan=True), "share", about, f"exhaustion/{name}")
        for name in FOUND
        for about in [VARIABLES[f"exhaustion/{name}"].long_name]
    }
    for name, dim, unit in (("furthest", "direction", "share"), ("depth_factor", "depth", "x")):
        key = f"exhaustion/{name}"
        values = np.asarray(read(tree, key, may_hold_nan=True))
        data[name] = quantity((dim,), values, unit, VARIABLES[key].long_name, key)
    return xr.Dataset(data, coords={dim: labels(tree, "exhaustion", dim) for dim in DIMS})
