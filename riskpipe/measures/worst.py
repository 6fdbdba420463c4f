"""Worst cells: the scenarios that cost most, and who is closed in the worst one along the index axis."""

import numpy as np
import xarray as xr

from riskpipe.measures.cells import (
    BoolArray,
    FloatArray,
    IntArray,
    cells_of,
    distinct_rows,
    labels,
    neutral_plane,
    quantity,
    read,
)
from riskpipe.measures.funds import SHORTFALL, UNCOVERED, uncovered_loss
from riskpipe.measures.liquidation import ACCOUNTS, FIRST, LONG, MAX_ROUNDS, PRICE_LIMITS, ROUNDS, SHORT, TOTAL


def rank_cells(uncovered: FloatArray, notional: FloatArray, candidates: BoolArray) -> IntArray:
    """Order candidate scenarios from the worst: by uncovered loss, then by notional closed, then by place.

    Cells in which nothing is closed and nothing lost are left out. All arrays [n], USD >= 0.
    """
    rows = np.flatnonzero(candidates & ((uncovered > 0.0) | (notional > 0.0)))
    order = np.lexsort((rows, -notional[rows], -uncovered[rows]))
    return rows[order]


def worst_cells(tree: xr.DataTree, n_worst: int) -> xr.Dataset:
    """The scenarios with the largest uncovered loss of all funds, of every variant and set.

    Returns dims (rank), 1 = worst, at most n_worst and only cells in which something happens, of cells
    that differ in the volatility shock only the first: every axis, `variant`,
    `set` and `name` as coordinates with the cell's own `scenario`; `uncovered_loss`, `shortfall`,
    `liquidated_notional` USD; `liquidated_accounts`, `rounds`; flags `max_rounds_hit`, `price_limits_hit`.
    """
    cells = cells_of(tree)
    uncovered = uncovered_loss(tree).sum(axis=1)
    notional = read(tree, TOTAL)
    ranked = rank_cells(uncovered, notional, np.ones(len(cells), np.bool_))
    rows = distinct_rows(cells, ranked, uncovered, notional)[:n_worst]
    flat = ("rank",)
    data = {
        "uncovered_loss": quantity(flat, uncovered[rows], "USD", "uncovered loss", *UNCOVERED),
        "shortfall": quantity(flat, read(tree, SHORTFALL).sum(axis=1)[rows], "USD", "shortfall", SHORTFALL),
        "liquidated_notional": quantity(flat, notional[rows], "USD", "notional closed", TOTAL),
        "first_round_notional": quantity(flat, read(tree, FIRST)[rows], "USD", "closed in the first round", FIRST),
        "liquidated_accounts": quantity(flat, read(tree, ACCOUNTS)[rows], "accounts", "accounts closed", ACCOUNTS),
        "rounds": quantity(flat, read(tree, ROUNDS)[rows], "rounds", "rounds", ROUNDS),
        "price_limits_hit": quantity(
            flat, read(tree, PRICE_LIMITS)[rows], "hits", "price floors and caps hit", PRICE_LIMITS
        ),
        "max_rounds_hit": quantity(flat, read(tree, MAX_ROUNDS)[rows], "1", "cascade cut off", MAX_ROUNDS),
    }
    coords = {name: ("rank", variable.values[rows]) for name, variable in cells.coordinates().items()}
    return xr.Dataset(data, coords={"rank": np.arange(1, len(rows) + 1), **coords})


def worst_index_move(tree: xr.DataTree) -> xr.Dataset:
    """The worst cell of the central variant along the index axis, the other axes neutral, and who is closed in it.

    Returns dims (venue, underlying): `long`, `short` USD >= 0; and of the whole cell `uncovered_loss`, `shortfall`,
    `liquidated_notional` USD, `liquidated_accounts`, `rounds`,
    `price_limits_hit`; by fund (fund): `fund_uncovered_loss`. The cell's axes,
    `variant` and `scenario` are scalar coordinates; `plane` says where the other axes are held. When nothing is closed
    in any of these cells, it is the one with the largest fall, and every number is 0. A cube whose grid moves nothing,
    or that has none, gives the worst scenario of the central variant; attribute `has_grid` tells.
    """
    cells = cells_of(tree)
    plane = neutral_plane(cells)
    is_central = cells.variant == cells.variants[0]
    has_grid = bool((plane.is_inside & is_central & cells.is_headline).any())
    candidates = np.asarray(plane.is_inside & is_central if has_grid else is_central, np.bool_)
    uncovered, notional = uncovered_loss(tree), read(tree, TOTAL)
    ranked = rank_cells(uncovered.sum(axis=1), notional, candidates)
    rows = np.flatnonzero(candidates)
    row = int(ranked[0]) if len(ranked) else int(rows[np.argmin(cells.axes["index_shock"][rows])])
    places, no_dims = ("venue", "underlying"), ()
    data = {
        "long": quantity(places, read(tree, LONG)[row], "USD", "long notional closed", LONG),
        "short": quantity(places, read(tree, SHORT)[row], "USD", "short notional closed", SHORT),
        "fund_uncovered_loss": quantity(("fund",), uncovered[row], "USD", "uncovered loss", *UNCOVERED),
        "uncovered_loss": quantity(no_dims, uncovered[row].sum(), "USD", "uncovered loss", *UNCOVERED),
        "shortfall": quantity(no_dims, read(tree, SHORTFALL)[row].sum(), "USD", "shortfall", SHORTFALL),
        "liquidated_notional": quantity(no_dims, notional[row], "USD", "notional closed", TOTAL),
        "first_round_notional": quantity(no_dims, read(tree, FIRST)[row], "USD", "closed in the first round", FIRST),
        "liquidated_accounts": quantity(no_dims, read(tree, ACCOUNTS)[row], "accounts", "accounts closed", ACCOUNTS),
        "rounds": quantity(no_dims, read(tree, ROUNDS)[row], "rounds", "rounds", ROUNDS),
        "price_limits_hit": quantity(no_dims, read(tree, PRICE_LIMITS)[row], "hits", "price limits hit", PRICE_LIMITS),
    }
    coords = {name: variable.values[row] for name, variable in cells.coordinates().items()}
    coords |= {"venue": labels(tree, "exposure", "venue"), "underlying": labels(tree, "exposure", "underlying")}
    coords["fund"] = labels(tree, "funds", "fund")
    why = "the grid moves nothing" if cells.is_grid.any() else "the cube holds no grid"
    attributes = {
        "plane": plane.description if has_grid else f"worst scenario of any kind: {why}",
        "has_grid": has_grid,
    }
    return xr.Dataset(data, coords=coords, attrs=attributes)


def worst_named(tree: xr.DataTree) -> xr.Dataset:
    """The named scenario (such as a day of the past) with the largest uncovered loss, central and of any variant.

    Returns dims (reading), "central" and "high", none where the cube has no named scenario: `uncovered_loss`,
    `liquidated_notional` USD >= 0; `price_limits_hit`; the scenario's axes, `name`, `variant` and `scenario` as
    coordinates. Ties go to the larger notional closed, then to the first.
    """
    cells = cells_of(tree)
    uncovered, notional = uncovered_loss(tree).sum(axis=1), read(tree, TOTAL)
    named = np.flatnonzero(~cells.is_grid & (cells.name != ""))
    rows = np.array([], dtype=np.int64)
    if len(named):
        order = named[np.lexsort((named, -notional[named], -uncovered[named]))]
        central = order[cells.variant[order] == cells.variants[0]]
        rows = np.array([central[0] if len(central) else order[0], order[0]], dtype=np.int64)
    flat = ("reading",)
    data = {
        "uncovered_loss": quantity(flat, uncovered[rows], "USD", "uncovered loss", *UNCOVERED),
        "liquidated_notional": quantity(flat, notional[rows], "USD", "notional closed", TOTAL),
        "price_limits_hit": quantity(flat, read(tree, PRICE_LIMITS)[rows], "hits", "price limits hit", PRICE_LIMITS),
    }
    coords = {name: (flat, variable.values[rows]) for name, variable in cells.coordinates().items()}
    return xr.Dataset(data, coords={"reading": ["central", "high"][: len(rows)], **coords})
