"""Who pays: losses of every insurance fund by scenario, and the smallest index move that exhausts it."""

import numpy as np
import xarray as xr

from riskpipe.domain.scenarios import DIRECTIONS
from riskpipe.measures.cells import (
    INDEX_AXIS,
    BoolArray,
    Cells,
    FloatArray,
    IntArray,
    cells_of,
    distinct_rows,
    divide,
    labels,
    neutral_of,
    neutral_plane,
    quantity,
    read,
)

STAGES = ("shortfall", "fee_offset", "fund_used", "backstop_loss", "adl_loss", "socialised_loss", "residual")
SHORTFALL, FEES, USED, BACKSTOP = (f"funds/{name}" for name in STAGES[:4])
BALANCE, ADL_NOTIONAL = "funds/fund_balance", "funds/adl_notional"
UNCOVERED = (SHORTFALL, FEES, USED, BACKSTOP)
VOL_AXIS = "vol_shock"
COUNTS = ("n_exhausted", "n_values", "n_cells_exhausted", "n_cells")

BRACKETED = "bracketed"
NOT_WITHIN = "not on the index axis with other axes neutral"
AT_ZERO = "exhausted without a shock"
AT_FIRST = "exhausted at the grid's smallest shock"
NO_SHOCK = "the grid has no shock in this direction"


def uncovered_loss(tree: xr.DataTree) -> FloatArray:
    """Loss that fees, fund and backstop leave, [scenario, fund], USD >= 0.

    See `left_uncovered`.
    """
    return left_uncovered(*(read(tree, key) for key in UNCOVERED))


def left_uncovered(shortfall: FloatArray, fees: FloatArray, used: FloatArray, backstop: FloatArray) -> FloatArray:
    """Return shortfall - fees - fund used - backstop, of any one shape, USD >= 0.

    The stages add up to the shortfall to 4 units in its last place, so what is smaller than that is rounding and counts
    as 0: a fund that pays everything to the cent is not exhausted.
    """
    left = shortfall - fees - used - backstop
    return np.where(np.abs(left) <= 4.0 * np.spacing(np.abs(shortfall)), 0.0, left)


def fund_losses(tree: xr.DataTree) -> xr.Dataset:
    """Losses of every fund in every scenario, by who paid.

    Returns dims (scenario, fund), USD >= 0: the stages of the waterfall, `uncovered_loss`, `adl_notional`,
    `fund_balance` before use; `drawdown` = share of that balance used (NaN for a fund of balance 0); `is_exhausted`
    where the uncovered loss is above 0.
    """
    cells = cells_of(tree)
    dims = ("scenario", "fund")
    long_names = ("shortfall", "paid by fees", "paid by the fund", "paid by a backstop", "taken by ADL", "socialised",
                  "left unpaid")  # fmt: skip
    data = {
        name: quantity(dims, read(tree, f"funds/{name}"), "USD", long_name, f"funds/{name}")
        for name, long_name in zip(STAGES, long_names, strict=True)
    }
    uncovered, balance = uncovered_loss(tree), read(tree, BALANCE)
    drawdown = divide(read(tree, USED), balance)
    data["uncovered_loss"] = quantity(dims, uncovered, "USD", "uncovered loss", *UNCOVERED)
    data["adl_notional"] = quantity(dims, read(tree, ADL_NOTIONAL), "USD", "notional removed by ADL", ADL_NOTIONAL)
    data["fund_balance"] = quantity(dims, balance, "USD", "fund before use", BALANCE)
    data["drawdown"] = quantity(dims, drawdown, "share", "share of the fund used", USED, BALANCE)
    data["is_exhausted"] = quantity(dims, uncovered > 0.0, "1", "uncovered loss above 0", *UNCOVERED)
    return xr.Dataset(data, coords={**cells.coordinates(), "fund": labels(tree, "funds", "fund")})


def exhaustion(tree: xr.DataTree) -> xr.Dataset:
    """Smallest index move down and up that exhausts each fund, as a bracket of grid values.

    Walks outward from 0 along the index axis with the other axes neutral and looks at every value: a fund exhausted at
    one shock may hold at a larger one (short squeezes, fees of larger liquidations). Nothing is interpolated.

    Returns dims (fund, variant, direction): `last_held`, the grid value before the first that exhausts (the furthest
    value where none does; NaN where there is none); `first_exhausted` (NaN where none does); `heals_at`, the first
    value further out at which the fund holds again (NaN where it does not); `n_exhausted` of `n_values` walked;
    `n_cells_exhausted` of `n_cells`, the distinct cells of the grid on that side (index shock 0 included) whatever
    their other axes; `status`, one of five sentences. Attribute `plane` says where the other axes are held.
    """
    cells = cells_of(tree)
    plane = neutral_plane(cells)
    uncovered = uncovered_loss(tree)
    is_exhausted = uncovered > 0.0
    grid = distinct_rows(cells, np.flatnonzero(cells.is_grid), *uncovered.T)
    funds, variants = labels(tree, "funds", "fund"), cells.variants
    shape = (len(funds), len(variants), len(DIRECTIONS))
    numbers = {name: np.full(shape, np.nan) for name in ("last_held", "first_exhausted", "heals_at")}
    counts = {name: np.zeros(shape, dtype=np.int64) for name in COUNTS}
    status = np.full(shape, NO_SHOCK, dtype=object)
    for v, variant in enumerate(variants):
        for d, direction in enumerate(DIRECTIONS):
            rows = outward(cells, np.asarray(plane.is_inside & (cells.variant == variant), np.bool_), direction)
            shocks = cells.axes[INDEX_AXIS][rows]
            side = grid[(cells.variant[grid] == variant) & _is_on_side(cells.axes[INDEX_AXIS][grid], direction)]
            for f in range(len(funds)):
                here = (f, v, d)
                status[here], found = bracket(shocks, is_exhausted[rows, f])
                for name, value in zip(numbers, found, strict=True):
                    numbers[name][here] = value
                counts["n_exhausted"][here] = is_exhausted[rows, f].sum()
                counts["n_values"][here] = len(shocks)
                counts["n_cells_exhausted"][here] = is_exhausted[side, f].sum()
                counts["n_cells"][here] = len(side)
    dims = ("fund", "variant", "direction")
    names = {
        "last_held": "last index shock at which the fund holds",
        "first_exhausted": "first index shock that exhausts the fund",
        "heals_at": "first index shock further out at which it holds again",
        "n_exhausted": "index shocks that exhaust it",
        "n_values": "index shocks walked",
        "n_cells_exhausted": "cells of the grid on that side that exhaust it",
        "n_cells": "distinct cells of the grid on that side",
    }
    data = {
        name: quantity(dims, values, "1" if name in counts else "share", names[name], *UNCOVERED)
        for name, values in {**numbers, **counts}.items()
    }
    data["status"] = quantity(dims, status, "", "outcome of the walk", *UNCOVERED)
    coords = {"fund": funds, "variant": variants, "direction": list(DIRECTIONS)}
    return xr.Dataset(data, coords=coords, attrs={"plane": plane.description})


def volatility(tree: xr.DataTree) -> xr.Dataset:
    """What a move of implied volatility alone does to every fund: index shock 0, every other axis neutral.

    Returns dims (variant, vol_shock, fund), ascending: `uncovered_loss` USD. No shocks where the grid has no such
    cells, or where volatility changes no number (a book without options).
    """
    cells = cells_of(tree)
    plane = cells.is_grid.copy()
    for axis, shocks in cells.axes.items():
        if axis != VOL_AXIS:
            plane &= shocks == neutral_of(axis)
    has_axis = VOL_AXIS in cells.axes
    by_variant = [np.flatnonzero(plane & has_axis & (cells.variant == one)) for one in cells.variants]
    rows = np.array([one[np.argsort(cells.axes[VOL_AXIS][one], kind="stable")] if has_axis else one
                     for one in by_variant])  # fmt: skip
    uncovered = uncovered_loss(tree)[rows]
    if not np.any(uncovered != uncovered[:, :1]):
        rows, uncovered = rows[:, :0], uncovered[:, :0]
    shocks = cells.axes[VOL_AXIS][rows[0]] if rows.size else np.zeros(0)
    data = {
        "uncovered_loss": quantity(("variant", "vol_shock", "fund"), uncovered, "USD", "uncovered loss", *UNCOVERED)
    }
    coords = {"variant": cells.variants, "vol_shock": shocks, "fund": labels(tree, "funds", "fund")}
    return xr.Dataset(data, coords=coords)


def outward(cells: Cells, is_inside: BoolArray, direction: str) -> IntArray:
    """Rows of the cells chosen [n] that lie in a direction of the index axis, from the smallest shock outward."""
    rows = np.flatnonzero(is_inside & _is_on_side(cells.axes[INDEX_AXIS], direction))
    return rows[np.argsort(np.abs(cells.axes[INDEX_AXIS][rows]), kind="stable")]


def _is_on_side(shocks: FloatArray, direction: str) -> BoolArray:
    """Whether index shocks lie in a direction; 0 lies in both."""
    return np.asarray(shocks <= 0.0 if direction == "down" else shocks >= 0.0, dtype=np.bool_)


def bracket(shocks: FloatArray, is_exhausted: BoolArray) -> tuple[str, tuple[float, float, float]]:
    """Outcome of a walk outward: its status, and (last held, first exhausted, heals at).

    Parameters
    ----------
    shocks: index shocks of one sign, [k], from the smallest to the largest by size, 0 first where the grid has it.
    is_exhausted: [k].
    """
    if len(shocks) == 0:
        return NO_SHOCK, (np.nan, np.nan, np.nan)
    hit = np.flatnonzero(is_exhausted)
    if len(hit) == 0:
        status = NO_SHOCK if len(shocks) == 1 and shocks[0] == 0.0 else NOT_WITHIN
        return status, (float(shocks[-1]), np.nan, np.nan)
    first = int(hit[0])
    healed = np.flatnonzero(~is_exhausted[first:])
    heals_at = float(shocks[first + healed[0]]) if len(healed) else np.nan
    if first > 0:
        return BRACKETED, (float(shocks[first - 1]), float(shocks[first]), heals_at)
    return (AT_ZERO if shocks[0] == 0.0 else AT_FIRST), (np.nan, float(shocks[0]), heals_at)
