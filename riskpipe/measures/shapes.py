"""Shapes: what measures return, found by taking them of a cube of the right dimensions that holds nothing.

So a variable, dimension or label that no measure has is known before a night starts, without a list of them to keep.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from riskpipe.domain.bearers import VIEWS
from riskpipe.domain.holdings import HOLDINGS, LEVELS, RATIO_SHARES
from riskpipe.domain.market import ESTIMATORS, HORIZON_LABELS, NOT_CHECKED, STEADY, TAILS
from riskpipe.domain.scenarios import DIRECTIONS
from riskpipe.domain.schema import DIMENSIONS, GROUPS, N_CONTRIBUTORS, N_RANKS, VARIABLES

UNKNOWN = ("\N{REPLACEMENT CHARACTER} one", "\N{REPLACEMENT CHARACTER} other")
"""Labels that stand for those that only the data will tell: two, so that what takes one cell for granted shows."""
_BLANK = {"entities/entity": -1.0, "accounts/weight": 1.0}
_BLANK_TEXT = {"validation/verdict": NOT_CHECKED, "validation/tail_verdict": NOT_CHECKED, "spreads/verdict": STEADY}


def blank_cube(scenario_coordinates: Mapping[str, np.ndarray], sets: Sequence[str]) -> xr.DataTree:
    """Return a cube of the schema that holds zeros and empty texts.

    Parameters
    ----------
    scenario_coordinates: what labels each scenario, arrays [scenario]. sets: labels of the scenario sets.
    """
    labels: dict[str, Any] = {
        **{name: list(UNKNOWN) for name in DIMENSIONS},  # what only the data will tell, unless said below
        "scenario": np.arange(len(scenario_coordinates["variant"])),
        "rank": np.arange(1, N_RANKS + 1),
        "contributor": np.arange(1, N_CONTRIBUTORS + 1),
        "horizon": list(HORIZON_LABELS),
        "estimator": list(ESTIMATORS),
        "tail": list(TAILS),
        "direction": list(DIRECTIONS),
        "holding": list(HOLDINGS),
        "level": list(LEVELS),
        "share": [f"{share:g}" for share in RATIO_SHARES],
        "set": list(sets),
        "view": list(VIEWS),
    }
    groups = {}
    for group in GROUPS:
        data: dict[str, Any] = {}
        used: dict[str, Any] = {}
        for variable in (one for one in VARIABLES.values() if one.group == group):
            shape = tuple(len(labels[name]) for name in variable.dims)
            is_text = variable.dtype == "string"
            blank = _BLANK_TEXT.get(variable.key, "") if is_text else _BLANK.get(variable.key, 0.0)
            values = np.full(shape, blank, dtype=object if is_text else np.float64)
            data[variable.name] = (variable.dims, values, {"units": variable.units, "long_name": variable.long_name})
            used |= {name: labels[name] for name in variable.dims}
        if "scenario" in used:
            used |= {name: ("scenario", values) for name, values in scenario_coordinates.items()}
        groups[group] = xr.Dataset(data, coords=used)
    return xr.DataTree.from_dict({"/": xr.Dataset(), **groups})
