"""Bearers: who pays for auto-deleveraging, as the night's replays of a tail and of the worst scenario found it."""

import numpy as np
import xarray as xr

from riskpipe.domain.bearers import ADL_VARIABLES
from riskpipe.domain.schema import VARIABLES
from riskpipe.measures.cells import divide, labels, quantity, read

KEYS = tuple(f"adl/{name}" for _, name, *_ in ADL_VARIABLES)


def adl_bearers(tree: xr.DataTree) -> xr.Dataset:
    """Profit that auto-deleveraging takes, by whose it was: pro rata to the open profits on the other side of what was
    closed, contract by contract; USD of all accounts that a row stands for, central variant.

    Returns dims (view), `tail` (mean over the attributed tail's scenarios, with its weights) and `worst` (the scenario
    in which most is taken): `total` USD, `scenarios` computed again, `level`, `scenario` (-1 = none, or several),
    `bearers` accounts, `several_cost`; (view, fund) `cost`; (view, segment) `segment_cost`; (view, contributor), the
    largest first: `account_name`, `account_cost`, `account_share`, `entity_name`, `entity_cost`, `entity_share` of
    total, NaN where nothing is taken; `others_cost` (view), borne by owners who are not listed. Costs of funds,
    of segments, and of listed owners, others and several each add up to total. A view that was not computed is NaN.
    """  # noqa: D205
    found = {key.partition("/")[2]: read(tree, key, may_hold_nan=True) for key in KEYS}
    data = {}
    for name, values in found.items():
        variable = VARIABLES[f"adl/{name}"]
        units = "" if variable.dtype == "string" else variable.units
        data[name] = quantity(variable.dims, values, units, variable.long_name, variable.key)
    total = np.asarray(found["cost"], np.float64).sum(axis=1)
    listed = np.asarray(found["entity_cost"], np.float64).sum(axis=1) + np.asarray(found["several_cost"], np.float64)
    others = total - listed
    others[np.abs(others) <= 1e-9 * np.abs(total)] = 0.0
    data["total"] = quantity(("view",), total, "USD", "profit taken from winners", "adl/cost")
    data["others_cost"] = quantity(
        ("view",), others, "USD", "of it, borne by owners who are not listed", "adl/cost", "adl/entity_cost",
        "adl/several_cost",
    )  # fmt: skip
    for name in ("account", "entity"):
        share = divide(np.asarray(found[f"{name}_cost"], np.float64), total[:, None])
        data[f"{name}_share"] = quantity(
            ("view", "contributor"), share, "share", "share of it", f"adl/{name}_cost", "adl/cost"
        )
    row = np.asarray(found["scenario"], np.float64)
    at = np.where(np.isnan(row), -1, row).astype(np.int64)
    data["scenario"] = quantity(("view",), at, "index", "scenario; -1 = none, or several", "adl/scenario")
    coords = {dim: labels(tree, "adl", dim) for dim in ("view", "fund", "segment", "contributor")}
    return xr.Dataset(data, coords=coords)
