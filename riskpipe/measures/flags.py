"""Flags of cells: what a reader must know before believing one scenario's numbers."""

import numpy as np
import xarray as xr

from riskpipe.measures.cells import BoolArray, Cells, FloatArray, cells_of, quantity, read
from riskpipe.measures.concentration import ENTITY, ENTITY_SHORTFALL, entity_concentration
from riskpipe.measures.funds import SHORTFALL, UNCOVERED, uncovered_loss
from riskpipe.measures.liquidation import MAX_ROUNDS, PRICE_LIMITS

DISLOCATION = "instruments/dislocation"
FLAGS = ("cut off", "price limit", "beyond book", "tenfold step", "one owner")
REQUIRES = (MAX_ROUNDS, PRICE_LIMITS, DISLOCATION, *UNCOVERED, ENTITY, ENTITY_SHORTFALL)
BOOK_EDGE = 0.1
"""Depth is measured at a move of 1%: an own impact of ten times that rests on the impact law alone."""
TENFOLD = 10.0
HALF = 0.5


def cell_flags(tree: xr.DataTree) -> xr.Dataset:
    """What to be careful about in every scenario.

    Returns dims (flag, scenario): `is_flagged`, 1 or 0, NaN where it was not looked at; (scenario): `n_flags`. Flags:

    - cut off: the cascade was still going on at max_rounds;
    - price limit: an impact law stood at its floor or cap, so that the configuration set the price;
    - beyond book: the mark's own impact on some contract is above 10%, ten times the move at which depth is measured;
    - tenfold step: the uncovered loss of the next cell of the grid along some axis, of the same variant, is ten times
      this one's or a tenth of it; cells without a loss are no neighbours, for losses begin somewhere; NaN outside the
      grid;
    - one owner: an owner has more than half of the scenario's shortfall. A lower bound: an owner outside some fund's
      ten largest, or of unknown name, is not seen.
    """
    cells = cells_of(tree)
    loss = uncovered_loss(tree).sum(axis=1)
    impact = np.nan_to_num(np.abs(read(tree, DISLOCATION, may_hold_nan=True)))
    share = entity_concentration(tree)["entity_share"].values
    found = {
        FLAGS[0]: read(tree, MAX_ROUNDS) > 0.0,
        FLAGS[1]: read(tree, PRICE_LIMITS) > 0.0,
        FLAGS[2]: (impact > BOOK_EDGE).any(axis=1),
        FLAGS[3]: np.where(cells.is_grid, differs_tenfold(cells, loss), np.nan),
        FLAGS[4]: np.nan_to_num(share) > HALF,
    }
    values = np.array([np.asarray(found[flag], dtype=np.float64) for flag in FLAGS])
    sources = (*REQUIRES, SHORTFALL)
    data = {
        "is_flagged": quantity(("flag", "scenario"), values, "1", "whether the scenario has this flag", *sources),
        "n_flags": quantity(("scenario",), np.nansum(values, axis=0), "flags", "flags of the scenario", *sources),
    }
    return xr.Dataset(data, coords={"flag": list(FLAGS), **cells.coordinates()})


def differs_tenfold(cells: Cells, values: FloatArray) -> BoolArray:
    """Whether a cell of the grid and the next one along some axis, of one variant, differ tenfold or more.

    values: [n] >= 0; neither cell of such a pair is 0. Returns [n], False outside the grid.
    """
    rows = np.flatnonzero(cells.is_grid)
    codes = {name: np.unique(shocks[rows], return_inverse=True)[1] for name, shocks in cells.axes.items()}
    codes["variant"] = np.unique(cells.variant[rows].astype(str), return_inverse=True)[1]
    differs = np.zeros(len(cells), np.bool_)
    for axis in cells.axes:
        others = [code for name, code in codes.items() if name != axis]
        order = np.lexsort((codes[axis], *others))
        is_next = np.ones(max(len(order) - 1, 0), np.bool_)
        for code in others:
            is_next &= np.diff(code[order]) == 0
        one, other = rows[order[:-1]][is_next], rows[order[1:]][is_next]
        low, high = np.minimum(values[one], values[other]), np.maximum(values[one], values[other])
        is_tenfold = (low > 0.0) & (high >= TENFOLD * low)
        differs[one[is_tenfold]] = True
        differs[other[is_tenfold]] = True
    return differs
