"""How far accounts are from liquidation along the index axis, at the snapshot."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import xarray as xr

from riskpipe.measures.cells import INDEX_AXIS, cells_of, labels, quantity, read

EDGES = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)
NOW, NEVER = "liquidatable now", "not within the axis"
KEYS = {"down": "accounts/distance_to_liquidation_down", "up": "accounts/distance_to_liquidation_up"}
EQUITY, MAINTENANCE, WEIGHT = "accounts/equity", "accounts/maintenance_margin", "accounts/weight"
VENUE = "accounts/venue"


def bin_labels(edges: Sequence[float]) -> list[str]:
    """Bins of the distance, from what is liquidatable at the snapshot itself to what the axis never reaches."""
    inner = [f"{100 * low:g}% to {100 * high:g}%" for low, high in pairwise((0.0, *edges))]
    return [NOW, *inner, NEVER]


def searched(tree: xr.DataTree) -> dict[str, float]:
    """The furthest index move of any scenario in each direction, as a size >= 0: distances were searched up to it."""
    shocks = cells_of(tree).axes[INDEX_AXIS]
    return {"down": max(0.0, -float(shocks.min())), "up": max(0.0, float(shocks.max()))}


def distances(tree: xr.DataTree) -> xr.Dataset:
    """Accounts by the smallest index move that makes them liquidatable, no cascade, other axes neutral.

    A bin (a, b] holds distances above a and up to b; distance 0 is liquidatable now; NaN is never within the axis (or
    exempt). Every account is in one bin of each direction. Bins are cut at the furthest index move searched in either
    direction; `is_searched` (direction, bin) tells the bins beyond a direction's own, which hold no account.

    Returns dims (direction, venue, bin): `accounts` weighted, `equity` (signed) and `maintenance_margin` USD, weighted.
    Attribute `searched` has the furthest move of each direction.
    """
    weight = read(tree, WEIGHT)
    venue_labels, venue = np.unique(read(tree, VENUE).astype(object).astype(str), return_inverse=True)
    furthest = searched(tree)
    limit = max(furthest.values())
    edges = sorted({edge for edge in (*EDGES, *furthest.values()) if 0.0 < edge <= limit})
    bins = bin_labels(edges)
    is_searched = np.array([[True, *(high <= furthest[key] for high in edges), True] for key in KEYS])
    shape = (len(KEYS), len(venue_labels), len(bins))
    amounts = {"accounts": weight, "equity": read(tree, EQUITY) * weight}
    amounts["maintenance_margin"] = read(tree, MAINTENANCE) * weight
    values = {name: np.zeros(shape) for name in amounts}
    for d, (direction, key) in enumerate(KEYS.items()):
        distance = np.abs(read(tree, key, may_hold_nan=True))
        # a distance found at the very end of the search may miss it by rounding
        furthest_bin = max(1, sum(edge <= furthest[direction] for edge in edges))
        place = np.minimum(1 + np.searchsorted(np.array(edges), distance, side="left"), furthest_bin)
        place = np.where(distance == 0.0, 0, np.where(np.isnan(distance), len(bins) - 1, place))
        cell = venue * len(bins) + place
        for name, amount in amounts.items():
            values[name][d] = np.bincount(cell, weights=amount, minlength=shape[1] * shape[2]).reshape(shape[1:])
    dims = ("direction", "venue", "bin")
    sources = {"accounts": (WEIGHT,), "equity": (EQUITY, WEIGHT), "maintenance_margin": (MAINTENANCE, WEIGHT)}
    data = {
        name: quantity(
            dims, given, "accounts" if name == "accounts" else "USD", name.replace("_", " "), *KEYS.values(),
            *sources[name],
        )
        for name, given in values.items()
    }  # fmt: skip
    data["is_searched"] = quantity(("direction", "bin"), is_searched, "1", "bin within the search", *KEYS.values())
    n_accounts = len(labels(tree, "accounts", "account"))
    coords = {"direction": list(KEYS), "venue": venue_labels.astype(object), "bin": bins}
    return xr.Dataset(data, coords=coords, attrs={"n_rows": n_accounts, "searched": furthest})
