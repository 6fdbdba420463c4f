"""Waterfalls: who pays, step by step, in the worst scenario of the system, of every venue and of every fund."""

import numpy as np
import xarray as xr

from riskpipe.measures.cells import cells_of, labels, quantity, read
from riskpipe.measures.funds import STAGES, UNCOVERED, uncovered_loss
from riskpipe.measures.losses import BY_FUND, BY_VENUE, FUND_VENUE, SYSTEM

AMONG = ("grid", "all scenarios")
REQUIRES = (*(f"funds/{name}" for name in STAGES), FUND_VENUE)
DIMS = ("among", "variant", "party")


def waterfalls(tree: xr.DataTree) -> xr.Dataset:
    """What falls to each party's funds in its own worst scenario, and who bears it, stage by stage.

    Worst is the largest uncovered loss, of a tie the largest shortfall, then the first. Of the grid it is the cell that
    the headline is of.

    Returns dims (among, variant, party), USD >= 0: `shortfall`; `fee_offset`, `fund_used`, `backstop_loss`, `adl_loss`,
    `socialised_loss` and `residual` (borne by nobody), which add up to it; `uncovered_loss`, of which the last three
    are the parts; and `scenario`, -1 where no scenario leaves a shortfall. Among "grid" are the cells that headlines
    are of, all scenarios where there are none. Coordinates of party: `scope` (system, venue or fund) and `place`, its
    label ("" of the system, which is first).
    """
    cells = cells_of(tree)
    funds, venue_of = labels(tree, "funds", "fund"), read(tree, FUND_VENUE).astype(object)
    venues = list(dict.fromkeys(venue_of.tolist()))
    everyone = np.ones(len(funds), np.bool_)
    parties = [
        (SYSTEM, "", everyone),
        *((BY_VENUE, str(venue), venue_of == venue) for venue in venues),
        *((BY_FUND, fund, np.arange(len(funds)) == f) for f, fund in enumerate(funds)),
    ]
    by_fund = {name: read(tree, f"funds/{name}") for name in STAGES} | {"uncovered_loss": uncovered_loss(tree)}
    everything = np.ones(len(cells), np.bool_)
    inside = (cells.is_headline if cells.is_headline.any() else everything, everything)
    shape = (len(AMONG), len(cells.variants), len(parties))
    found = {name: np.zeros(shape) for name in by_fund}
    scenario = np.full(shape, -1, dtype=np.int64)
    for p, (_, _, is_own) in enumerate(parties):
        own = {name: values[:, is_own].sum(axis=1) for name, values in by_fund.items()}
        for at in np.ndindex(shape[:2]):
            rows = np.flatnonzero(inside[at[0]] & (cells.variant == cells.variants[at[1]]))
            if not own["shortfall"][rows].any():
                continue
            row = rows[np.lexsort((-own["shortfall"][rows], -own["uncovered_loss"][rows]))[0]]
            scenario[at][p] = row
            for name, values in own.items():
                found[name][at][p] = values[row]
    data = {
        name: quantity(DIMS, values, "USD", name.replace("_", " "),
                       *(UNCOVERED if name == "uncovered_loss" else (f"funds/{name}",)))
        for name, values in found.items()
    }  # fmt: skip
    data["scenario"] = quantity(DIMS, scenario, "index", "scenario that is worst", *UNCOVERED)
    coords = {
        "among": list(AMONG),
        "variant": cells.variants,
        "party": np.arange(len(parties)),
        "scope": ("party", np.array([scope for scope, *_ in parties], object)),
        "place": ("party", np.array([place for _, place, _ in parties], object)),
    }
    return xr.Dataset(data, coords=coords)
