"""How far accounts are from liquidation along the index axis, at the snapshot."""

import numpy as np
import xarray as xr

from riskpipe.measures.cells import labels, quantity, read

EDGES = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)
NOW, NEVER = "liquidatable now", "not within the axis"
KEYS = {"down": "accounts/distance_to_liquidation_down", "up": "accounts/distance_to_liquidation_up"}
EQUITY, MAINTENANCE, WEIGHT = "accounts/equity", "accounts/maintenance_margin", "accounts/weight"
VENUE = "accounts/venue"


def bin_labels() -> list[str]:
    """Bins of the distance, from what is liquidatable at the snapshot itself to what the axis never reaches."""
    lows = (0.0, *EDGES[:-1])
    inner = [f"{100 * low:g}% to {100 * high:g}%" for low, high in zip(lows, EDGES, strict=True)]
    return [NOW, *inner, f"over {100 * EDGES[-1]:g}%", NEVER]


def distances(tree: xr.DataTree) -> xr.Dataset:
    """Accounts by the smallest index move that makes them liquidatable, no cascade, other axes neutral.

    A bin (a, b] holds distances above a and up to b; distance 0 is liquidatable now; NaN is never within the axis (or
    exempt). Every account is in one bin of each direction.

    Returns dims (direction, venue, bin): `accounts` weighted, `equity` (signed) and `maintenance_margin` USD, weighted.
    """
    weight = read(tree, WEIGHT)
    venue_labels, venue = np.unique(read(tree, VENUE).astype(object).astype(str), return_inverse=True)
    bins = bin_labels()
    shape = (len(KEYS), len(venue_labels), len(bins))
    amounts = {"accounts": weight, "equity": read(tree, EQUITY) * weight}
    amounts["maintenance_margin"] = read(tree, MAINTENANCE) * weight
    values = {name: np.zeros(shape) for name in amounts}
    for d, key in enumerate(KEYS.values()):
        distance = np.abs(read(tree, key, may_hold_nan=True))
        place = 1 + np.searchsorted(np.array(EDGES), distance, side="left")
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
    n_accounts = len(labels(tree, "accounts", "account"))
    coords = {"direction": list(KEYS), "venue": venue_labels.astype(object), "bin": bins}
    return xr.Dataset(data, coords=coords, attrs={"n_rows": n_accounts})
