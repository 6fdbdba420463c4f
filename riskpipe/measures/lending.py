"""Loans: how far they are from liquidation and from toxic liquidation, and debt beyond collateral along the index.

The frontier is a static check of each loan on its own: all that it holds falls by one fraction, its debt stays, nothing
is sold. Source of both falls: `riskpipe.margin.lending`.
"""

import numpy as np
import xarray as xr

from riskpipe.errors import ComputeError
from riskpipe.measures.cells import (
    INDEX_AXIS,
    BoolArray,
    FloatArray,
    IntArray,
    cells_of,
    neutral_plane,
    quantity,
    read,
)

FALLS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
HEALTH, TOXIC_FALL = "accounts/health_factor", "accounts/toxic_fall"
DEBT, WEIGHT, VENUE = "accounts/debt", "accounts/weight", "accounts/venue"
UNDERWATER = "system/underwater_debt"


def loans(tree: xr.DataTree) -> xr.Dataset:
    """Loans at the snapshot by venue, and what a fall of all collateral makes of their debt.

    At a fall f a loan of health factor H is liquidatable where H (1 - f) < 1, and toxic where f is beyond its
    `toxic_fall`, or that is 0: liquidating all of it leaves debt (exactly none, where collateral equals debt and
    bonus). Both only grow with f. A loan is toxic once liquidatable where `toxic_fall` <= max(0, 1 - 1/H): from the
    snapshot's prices on, no fall makes it liquidatable before it is toxic. That is threshold x (1 + bonus) >= 1 at its
    own mix, or both at the snapshot already.

    Returns dims (venue), of venues with loans only: `accounts` with debt, `debt` USD, `lowest_health`,
    `lowest_health_debt` USD owed by that loan (the first of a tie), `toxic_once_liquidatable_debt` USD; and dims
    (venue, fall), each cumulated up to the fall: `liquidatable_debt`, `toxic_debt`, `liquidatable_toxic_debt` USD (the
    debt that is both), `toxic_accounts`. All weighted and >= 0.

    Raises ComputeError where a loan has no health factor or no toxic fall.
    """
    debt = read(tree, DEBT)
    has_debt = debt > 0.0
    weight, venue = read(tree, WEIGHT)[has_debt], read(tree, VENUE)[has_debt]
    health, toxic_fall = (read(tree, key, may_hold_nan=True)[has_debt] for key in (HEALTH, TOXIC_FALL))
    owed = debt[has_debt] * weight
    n_unknown = int(np.count_nonzero(np.isnan(health) | np.isnan(toxic_fall)))
    if n_unknown:
        raise ComputeError(
            f"the cube's {HEALTH} or {TOXIC_FALL} is NaN for {n_unknown} of {len(owed)} accounts with debt: run "
            "`riskpipe verify` on the store and compute the run again"
        )
    venue_labels, venue_ix = np.unique(venue.astype(object).astype(str), return_inverse=True)
    n_venues = len(venue_labels)

    def by_venue(amount: FloatArray, is_counted: BoolArray) -> FloatArray:
        found = np.bincount(venue_ix[is_counted], weights=amount[is_counted], minlength=n_venues)
        return found.astype(np.float64)  # counts, where there is nothing to add

    def by_fall(amount: FloatArray, is_counted: list[BoolArray]) -> FloatArray:
        return np.stack([by_venue(amount, mask) for mask in is_counted], axis=1)

    everyone = np.ones(len(owed), np.bool_)
    # as products, not as 1 - 1/H: a loan whose health is exactly 1 after the fall is healthy
    can_liquidate = [health * (1.0 - fall) < 1.0 for fall in FALLS]
    is_toxic = [(toxic_fall == 0.0) | (toxic_fall < fall) for fall in FALLS]
    is_both = [one & other for one, other in zip(can_liquidate, is_toxic, strict=True)]
    is_toxic_once = (toxic_fall == 0.0) | (health * (1.0 - toxic_fall) >= 1.0)
    weakest = _first_lowest(health, venue_ix, n_venues)
    flat, falls = ("venue",), ("venue", "fall")
    base, frail = (DEBT, WEIGHT, VENUE), (DEBT, WEIGHT, VENUE, HEALTH)
    toxic, both = (DEBT, WEIGHT, VENUE, TOXIC_FALL), (*frail, TOXIC_FALL)
    data = {
        "accounts": quantity(flat, by_venue(weight, everyone), "accounts", "accounts with debt", *base),
        "debt": quantity(flat, by_venue(owed, everyone), "USD", "debt", *base),
        "lowest_health": quantity(flat, health[weakest], "1", "lowest health factor", HEALTH, VENUE),
        "lowest_health_debt": quantity(flat, owed[weakest], "USD", "debt of the loan of lowest health", *frail),
        "toxic_once_liquidatable_debt": quantity(
            flat, by_venue(owed, is_toxic_once), "USD", "debt toxic from the moment it can be liquidated", *both
        ),
        "liquidatable_debt": quantity(falls, by_fall(owed, can_liquidate), "USD", "debt that is liquidatable", *frail),
        "toxic_debt": quantity(falls, by_fall(owed, is_toxic), "USD", "debt that is toxic", *toxic),
        "liquidatable_toxic_debt": quantity(
            falls, by_fall(owed, is_both), "USD", "debt that is liquidatable and toxic", *both
        ),
        "toxic_accounts": quantity(falls, by_fall(weight, is_toxic), "accounts", "accounts with toxic debt", *toxic),
    }
    return xr.Dataset(data, coords={"venue": venue_labels.astype(object), "fall": list(FALLS)})


def underwater(tree: xr.DataTree) -> xr.Dataset:
    """Debt of loans beyond their collateral at each index shock, other axes neutral, after the scenario's liquidations.

    Returns dims (variant, index_shock): `underwater_debt` USD >= 0, NaN where the grid lacks the cell; and dims
    (index_shock): `low`, `central` (the first variant's), `high` USD over the variants. Attribute `plane` says where
    the other axes are held. Without a grid there is no index shock.
    """
    cells = cells_of(tree)
    plane = neutral_plane(cells)
    rows = np.flatnonzero(plane.is_inside)
    shocks = np.unique(cells.axes[INDEX_AXIS][rows])
    place = {label: ix for ix, label in enumerate(cells.variants)}
    values = np.full((len(place), len(shocks)), np.nan)
    variant_ix = np.array([place[label] for label in cells.variant[rows]], dtype=np.int64)
    values[variant_ix, np.searchsorted(shocks, cells.axes[INDEX_AXIS][rows])] = read(tree, UNDERWATER)[rows]
    dims = (INDEX_AXIS,)
    data = {
        "underwater_debt": quantity(("variant", *dims), values, "USD", "underwater debt", UNDERWATER),
        "low": quantity(dims, np.fmin.reduce(values, axis=0), "USD", "lowest underwater debt of a variant", UNDERWATER),
        "central": quantity(dims, values[0], "USD", "underwater debt, central variant", UNDERWATER),
        "high": quantity(
            dims, np.fmax.reduce(values, axis=0), "USD", "highest underwater debt of a variant", UNDERWATER
        ),
    }
    coords = {"variant": cells.variants, INDEX_AXIS: shocks}
    return xr.Dataset(data, coords=coords, attrs={"plane": plane.description})


def _first_lowest(health: FloatArray, venue_ix: IntArray, n_venues: int) -> IntArray:
    """Row of the lowest health of each venue, the first of a tie; every venue has a loan."""
    order = np.lexsort((health, venue_ix))
    return order[np.searchsorted(venue_ix[order], np.arange(n_venues))]
