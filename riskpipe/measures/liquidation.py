"""Who is closed by force: notional, accounts, rounds and amplification by scenario, and the ladder along the index."""

import numpy as np
import xarray as xr

from riskpipe.measures.cells import INDEX_AXIS, Cells, cells_of, divide, labels, neutral_plane, quantity, read

LONG, SHORT = "exposure/liquidated_notional_long", "exposure/liquidated_notional_short"
TOTAL, FIRST = "system/liquidated_notional", "system/first_round_notional"
ACCOUNTS, MARGIN_CALLS = "system/liquidated_accounts", "system/margin_call_accounts"
ROUNDS = "system/rounds"
PRICE_LIMITS, MAX_ROUNDS = "system/price_limits_hit", "system/max_rounds_hit"
HEDGES = "system/broken_hedge_notional"


def liquidation(tree: xr.DataTree) -> xr.Dataset:
    """Forced liquidation of every scenario.

    Returns dims (scenario): `liquidated_long`, `liquidated_short`, `liquidated_notional` and `first_round_notional` in
    USD at the shocked mark, all >= 0; `liquidated_accounts` and `margin_call_accounts` weighted; `rounds`;
    `amplification` = total over first round, >= 1, NaN where nothing was closed; flags as counts.
    """
    cells = cells_of(tree)
    total, first = read(tree, TOTAL), read(tree, FIRST)
    over = (1, 2)
    flat = ("scenario",)
    data = {
        "liquidated_long": quantity(flat, read(tree, LONG).sum(axis=over), "USD", "long notional closed", LONG),
        "liquidated_short": quantity(flat, read(tree, SHORT).sum(axis=over), "USD", "short notional closed", SHORT),
        "liquidated_notional": quantity(flat, total, "USD", "notional closed", TOTAL),
        "first_round_notional": quantity(flat, first, "USD", "notional closed in the first round", FIRST),
        "amplification": quantity(flat, divide(total, first), "x", "notional closed over first round", TOTAL, FIRST),
        "liquidated_accounts": quantity(flat, read(tree, ACCOUNTS), "accounts", "accounts liquidated", ACCOUNTS),
        "margin_call_accounts": quantity(flat, read(tree, MARGIN_CALLS), "accounts", "accounts called", MARGIN_CALLS),
        "rounds": quantity(flat, read(tree, ROUNDS), "rounds", "cascade rounds", ROUNDS),
        "price_limits_hit": quantity(flat, read(tree, PRICE_LIMITS), "hits", "price floors and caps hit", PRICE_LIMITS),
        "max_rounds_hit": quantity(flat, read(tree, MAX_ROUNDS), "1", "cascade cut off", MAX_ROUNDS),
    }
    return xr.Dataset(data, coords=cells.coordinates())


def broken_hedges(tree: xr.DataTree) -> xr.Dataset:
    """Growth of entities' absolute delta by the closings, in every scenario.

    Returns dims (scenario): `broken_hedge_notional` USD >= 0; `share_of_liquidated`, NaN where nothing was closed.
    """
    cells = cells_of(tree)
    broken = read(tree, HEDGES)
    share = divide(broken, read(tree, TOTAL))
    data = {
        "broken_hedge_notional": quantity(("scenario",), broken, "USD", "broken hedges", HEDGES),
        "share_of_liquidated": quantity(("scenario",), share, "share", "broken hedges over closed", HEDGES, TOTAL),
    }
    return xr.Dataset(data, coords=cells.coordinates())


def ladder(tree: xr.DataTree) -> xr.Dataset:
    """Notional closed at each index shock, the other axes neutral.

    Returns dims (variant, index_shock, venue, underlying): `long`, `short` USD at the shocked mark, >= 0, NaN where the
    grid lacks the cell; attribute `plane` says where the other axes are held, `scenarios` which cells these are.
    """
    cells = cells_of(tree)
    plane = neutral_plane(cells)
    rows = np.flatnonzero(plane.is_inside)
    shocks = np.unique(cells.axes[INDEX_AXIS][rows])
    variants = cells.variants
    dims = ("variant", INDEX_AXIS, "venue", "underlying")
    data = {}
    for name, key in (("long", LONG), ("short", SHORT)):
        given = read(tree, key)
        values = np.full((len(variants), len(shocks), *given.shape[1:]), np.nan)
        values[_variant_ix(cells, rows), np.searchsorted(shocks, cells.axes[INDEX_AXIS][rows])] = given[rows]
        data[name] = quantity(dims, values, "USD", f"{name} notional closed", key)
    coords = {
        "variant": variants,
        INDEX_AXIS: shocks,
        "venue": labels(tree, "exposure", "venue"),
        "underlying": labels(tree, "exposure", "underlying"),
    }
    return xr.Dataset(data, coords=coords, attrs={"plane": plane.description, "scenarios": rows.tolist()})


def _variant_ix(cells: Cells, rows: np.ndarray) -> np.ndarray:
    """Index of each row's variant."""
    place = {label: ix for ix, label in enumerate(cells.variants)}
    return np.array([place[label] for label in cells.variant[rows]], dtype=np.int64)
