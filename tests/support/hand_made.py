"""Cubes by hand: a grid along the index axis with the losses a test wants."""

import numpy as np
from support.cubes import cube

from riskpipe.domain.scenarios import Variant
from riskpipe.scenarios.grid import scenario_set

COORDINATES = {
    "venue": ["alpha"],
    "underlying": ["BTC"],
    "fund": ["alpha"],
    "instrument": ["BTC-PERP"],
    "account": ["a0"],
}
AS_CONFIGURED = (Variant(),)


def hand_made(axes, values=None, *, variants=AS_CONFIGURED, historical=(), **coordinates):
    """A cube whose named values are given and whose other numbers are 0."""
    return cube(scenario_set(axes, historical, variants), values or {}, {**COORDINATES, **coordinates})


def index_cube(shocks, shortfall, *, fund_used=None, **axes):
    """One fund on a grid of index shocks: shortfall and fund_used by shock, in USD."""
    n = len(shocks)
    used = np.zeros(n) if fund_used is None else np.asarray(fund_used, float)
    values = {
        "funds/shortfall": np.asarray(shortfall, float)[:, None],
        "funds/fund_used": used[:, None],
        "funds/fund_balance": np.full((n, 1), 100.0),
        "funds/adl_loss": (np.asarray(shortfall, float) - used)[:, None],
    }
    return hand_made({"index_shock": list(shocks), **axes}, values)
