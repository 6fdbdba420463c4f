"""Attribution: who and what adds to the expected shortfall of all funds, as the night's replay of its tail found it."""

import numpy as np
import xarray as xr

from riskpipe.domain.schema import VARIABLES
from riskpipe.measures.cells import divide, labels, quantity, read

KEYS = tuple(key for key in VARIABLES if key.startswith("attribution/"))
PARTS = ("fund", "venue", "underlying", "segment")


def attribution(tree: xr.DataTree) -> xr.Dataset:
    """Contributions to the expected shortfall of the simulated set, central variant.

    Returns dims (fund), (venue), (underlying), (segment): `<dim>_contribution` USD, each adding up to
    `expected_shortfall`, underlyings together with `debt_contribution` (fund), the part that no position carries; dims
    (contributor), the largest first: `account_name`, `account_contribution`, `entity_name`, `entity_contribution` USD,
    `without_entity`, the mean of the same tail without the entity's accounts, NaN where not computed. Every
    contribution comes with its `_share`. Scalars `expected_shortfall` USD, `level`, `tail_scenarios`. Attribute
    `is_measured`: false where no set has probabilities.
    """
    found = {key.partition("/")[2]: read(tree, key, may_hold_nan=True) for key in KEYS}
    levels = np.asarray(found["level"], np.float64)
    at = int(np.argmax(~np.isnan(levels))) if len(levels) else 0
    is_measured = bool(len(levels)) and not np.isnan(levels[at])
    total = float(np.sum(found["fund_contribution"])) if is_measured else np.nan
    data = {
        "expected_shortfall": quantity((), total, "USD", "expected shortfall", "attribution/fund_contribution"),
        "level": quantity((), levels[at] if len(levels) else np.nan, "share", "level", "attribution/level"),
        "tail_scenarios": quantity(
            (), found["tail_scenarios"][at] if len(levels) else np.nan, "1", "scenarios", "attribution/tail_scenarios"
        ),
    }
    for name, values in found.items():
        if name in {"level", "tail_scenarios"}:
            continue
        variable = VARIABLES[f"attribution/{name}"]
        units = "" if variable.dtype == "string" else variable.units
        data[name] = quantity(variable.dims, values, units, variable.long_name, variable.key)
        if name.endswith("_contribution"):
            share = divide(np.asarray(values, np.float64), np.full(np.shape(values), total))
            part = name.removesuffix("_contribution")
            data[f"{part}_share"] = quantity(variable.dims, share, "share", "share", variable.key)
    coords = {dim: labels(tree, "attribution", dim) for dim in (*PARTS, "contributor")}
    return xr.Dataset(data, coords=coords, attrs={"is_measured": is_measured})
