"""Variants side by side: what the uncertain rules do to the headlines, and which rule makes the width."""

import numpy as np
import xarray as xr

from riskpipe.domain.ranges import range_over
from riskpipe.measures.cells import (
    BoolArray,
    Cells,
    FloatArray,
    cells_of,
    distinct_rows,
    divide,
    neutral_plane,
    quantity,
    read,
)
from riskpipe.measures.funds import SHORTFALL, UNCOVERED, USED, uncovered_loss
from riskpipe.measures.liquidation import ACCOUNTS, FIRST, HEDGES, PRICE_LIMITS, ROUNDS, TOTAL

ADL = "funds/adl_loss"
REQUIRES = (*UNCOVERED, ADL, TOTAL, FIRST, HEDGES, ACCOUNTS, ROUNDS)
SCOPES = ("grid", "index axis")


def by_variant(tree: xr.DataTree) -> xr.Dataset:
    """Headlines of every variant: the largest value of each over the grid's cells.

    Returns dims (scope, variant): `uncovered_loss`, `shortfall`, `fund_used`, `adl_loss`, `liquidated_notional`,
    `broken_hedge_notional` USD >= 0, `liquidated_accounts`, `rounds`, `amplification` (NaN where nothing is closed in
    any cell). Scope "grid" is every cell, "index axis" the cells whose other axes are neutral. A cube without a grid
    has every scenario in both scopes.
    """
    cells = cells_of(tree)
    inside = _scopes(cells)
    data = {}
    for name, (values, units, long_name, sources) in _series(tree).items():
        largest = [
            [_largest(values[mask & (cells.variant == variant)]) for variant in cells.variants] for mask in inside
        ]
        data[name] = quantity(("scope", "variant"), np.array(largest), units, f"largest {long_name}", *sources)
    return xr.Dataset(data, coords={"scope": list(SCOPES), "variant": cells.variants})


def headline_cells(tree: xr.DataTree) -> xr.Dataset:
    """The cell that sets each headline of the central variant on the grid: every headline has its own.

    Returns dims (headline): `value` as in `by_variant` (NaN where there is none); `price_limits_hit` in that cell; the
    cell's axes and `scenario` as coordinates, the first of a tie. Attributes: `has_grid`, whether the cells are the
    grid's (all scenarios else); `n_cells`, `n_distinct` cells of the grid, all variants, the latter counting once what
    differs in the volatility shock only.
    """
    cells = cells_of(tree)
    series = _series(tree)
    rows = np.flatnonzero(_scopes(cells)[0] & (cells.variant == cells.variants[0]))
    at = []
    for values, *_ in series.values():
        known = np.where(np.isnan(values[rows]), -np.inf, values[rows])
        at.append(int(rows[known.argmax()]))
    grid = np.flatnonzero(cells.is_grid)
    distinct = distinct_rows(cells, grid, series["uncovered_loss"][0], series["liquidated_notional"][0])
    dims = ("headline",)
    values = np.array([one[0][row] for one, row in zip(series.values(), at, strict=True)])
    data = {
        "value": quantity(dims, values, "per headline", "central value", *REQUIRES),
        "price_limits_hit": quantity(dims, read(tree, PRICE_LIMITS)[at], "hits", "price limits hit", PRICE_LIMITS),
    }
    coords = {name: (dims, variable.values[at]) for name, variable in cells.coordinates().items()}
    about = {"has_grid": bool(cells.is_headline.any()), "n_cells": len(grid), "n_distinct": len(distinct)}
    return xr.Dataset(data, coords={"headline": list(series), **coords}, attrs=about)


def _scopes(cells: Cells) -> tuple[BoolArray, BoolArray]:
    """The scenarios of each scope; all of them where the cube has no grid that moves anything."""
    everything = np.ones(len(cells), np.bool_)
    has_grid = bool(cells.is_headline.any())
    return (cells.is_headline, neutral_plane(cells).is_inside) if has_grid else (everything, everything)


def _series(tree: xr.DataTree) -> dict[str, tuple[FloatArray, str, str, tuple[str, ...]]]:
    """Every headline by scenario: name -> (values [scenario], units, long name, sources)."""
    return {
        "uncovered_loss": (uncovered_loss(tree).sum(axis=1), "USD", "uncovered loss", UNCOVERED),
        "shortfall": (read(tree, SHORTFALL).sum(axis=1), "USD", "shortfall", (SHORTFALL,)),
        "fund_used": (read(tree, USED).sum(axis=1), "USD", "paid by the funds", (USED,)),
        "adl_loss": (read(tree, ADL).sum(axis=1), "USD", "taken by ADL", (ADL,)),
        "liquidated_notional": (read(tree, TOTAL), "USD", "notional closed", (TOTAL,)),
        "liquidated_accounts": (read(tree, ACCOUNTS), "accounts", "accounts closed", (ACCOUNTS,)),
        "broken_hedge_notional": (read(tree, HEDGES), "USD", "broken hedges", (HEDGES,)),
        "rounds": (read(tree, ROUNDS), "rounds", "cascade rounds", (ROUNDS,)),
        "amplification": (divide(read(tree, TOTAL), read(tree, FIRST)), "x", "amplification", (TOTAL, FIRST)),
    }


def ranges(tree: xr.DataTree) -> xr.Dataset:
    """Low, central and high of every headline over the variants, and the rule that makes the width.

    Returns dims (headline, scope): `low`, `central` (the first variant's), `high`, with low <= central <= high or all
    NaN; `low_variant`, `high_variant` ("" where they are equal); `driver`, the overridden key whose change alone moves
    the headline most ("" where none does) and `driver_spread`, that move. Coordinate `units` by headline.
    """
    variants = by_variant(tree)
    names = [str(name) for name in variants.data_vars]
    labels = [str(label) for label in variants["variant"].values.tolist()]
    shape = (len(names), len(SCOPES))
    numbers = {key: np.full(shape, np.nan) for key in ("low", "central", "high", "driver_spread")}
    texts = {key: np.full(shape, "", dtype=object) for key in ("low_variant", "high_variant", "driver")}
    for h, name in enumerate(names):
        for s in range(len(SCOPES)):
            values = np.asarray(variants[name].values[s], np.float64)
            one = range_over(labels, values)
            for key, found in {**numbers, **texts}.items():
                found[h, s] = getattr(one, key)
    dims = ("headline", "scope")
    data = {
        name: quantity(dims, values, "per headline", name.replace("_", " "), *REQUIRES)
        for name, values in numbers.items()
    }
    data |= {name: quantity(dims, values, "", name.replace("_", " "), *REQUIRES) for name, values in texts.items()}
    coords = {
        "headline": names,
        "scope": list(SCOPES),
        "units": ("headline", [str(variants[name].attrs["units"]) for name in names]),
    }
    return xr.Dataset(data, coords=coords)


def _largest(values: FloatArray) -> float:
    """Largest of the numbers given, NaN where there is none."""
    known = values[~np.isnan(values)]
    return float(known.max()) if len(known) else np.nan
