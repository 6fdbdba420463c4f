"""Where on the straight ray from the snapshot to the shocked market a pool first fails, for many groups at once.

The ray is looked at in 33 places; in the first interval in which the pool fails the place is bisected, all groups side
by side. Both use the health of `health`, so that the ray's end and the trigger agree.
"""

from typing import NamedTuple

import numpy as np

from riskpipe.compiled import compiled, internal
from riskpipe.domain.book import FloatArray, OffsetArray
from riskpipe.liquidation.bits import has_common
from riskpipe.liquidation.health import pool_health, set_health
from riskpipe.liquidation.lowering import Pools, Terms
from riskpipe.liquidation.prices import (
    n_rows,
    notional_row,
    payoff_row,
    set_shocked_lane,
    set_shocked_pool,
)
from riskpipe.liquidation.records import MAINTENANCE, Draft
from riskpipe.liquidation.shocks import Shocks, shocked_basis

SCAN_STEPS = 32
BISECTION_WIDTH = 2.0**-40
ROUNDING = 1e-12  # more than a mark's few operations can err


class Rays(NamedTuple):
    """Price rows along the rays of all groups, bounds of every price on them, and scratch over groups."""

    shocks: Shocks
    haircut_shock: float
    scan: FloatArray  # [group, rows, 33]
    price: FloatArray  # [rows, group] of one pool at points of its own
    low: FloatArray  # [rows]
    high: FloatArray  # [rows]
    point: FloatArray  # [group] where the pool first fails; NaN = nowhere
    bracketed: OffsetArray  # [group] groups that are bisected
    below: FloatArray  # [group] lower end of its bracket
    haircut: FloatArray  # [33 or group]


def make_rays(terms: Terms, shocks: Shocks, haircut_shock: float) -> Rays:
    """Set the prices of all groups' rays."""
    n_groups, rows = len(shocks.index_shock), n_rows(terms)
    rays = Rays(
        shocks=shocks,
        haircut_shock=haircut_shock,
        scan=np.zeros((n_groups, rows, SCAN_STEPS + 1)),
        price=np.zeros((rows, n_groups)),
        low=np.zeros(rows),
        high=np.zeros(rows),
        point=np.zeros(n_groups),
        bracketed=np.zeros(n_groups, dtype=np.int64),
        below=np.zeros(n_groups),
        haircut=np.zeros(max(n_groups, SCAN_STEPS + 1)),
    )
    _set_rays(terms, rays)
    return rays


@compiled
def _set_rays(terms: Terms, rays: Rays) -> None:
    """Set prices at the places, and bounds: a mark is a product of straight lines, so the bounds are of its factors."""
    n_assets, n_groups = len(terms.index_price), len(rays.shocks.index_shock)
    for r in range(len(rays.low)):
        rays.low[r], rays.high[r] = np.inf, -np.inf
    for g in range(n_groups):
        price = rays.scan[g]
        for k in range(SCAN_STEPS + 1):
            set_shocked_lane(terms, price, k, rays.shocks, g, k / SCAN_STEPS)
        for c in range(n_assets):
            for k in range(SCAN_STEPS + 1):
                rays.low[c] = min(rays.low[c], price[c, k])
                rays.high[c] = max(rays.high[c], price[c, k])
    for i in range(len(terms.venue)):
        if terms.is_option[i]:  # no record holds any
            continue
        u, quote, r = terms.underlying[i], terms.quote[i], notional_row(terms, i)
        least, most = np.inf, -np.inf
        for g in range(n_groups):
            y = rays.shocks.basis_shock[g]
            start, end = (
                shocked_basis(terms, rays.shocks, i, g, 0.0, 0.0),
                shocked_basis(terms, rays.shocks, i, g, 1.0, y),
            )
            least = min(least, min(start, end))
            most = max(most, max(start, end))
        paid = payoff_row(terms, i)
        mark_low = rays.low[u] * (1.0 + least) / rays.high[quote] * (1.0 - ROUNDING)
        mark_high = rays.high[u] * (1.0 + most) / rays.low[quote] * (1.0 + ROUNDING)
        if terms.is_inverse[i]:
            rays.low[r], rays.high[r] = rays.low[quote], rays.high[quote]
            rays.low[paid], rays.high[paid] = -1.0 / mark_low, -1.0 / mark_high
        else:
            rays.low[r] = rays.low[u] * (1.0 + least) * (1.0 - ROUNDING)
            rays.high[r] = rays.high[u] * (1.0 + most) * (1.0 + ROUNDING)
            rays.low[paid], rays.high[paid] = mark_low, mark_high


@internal
def set_first_failures(
    pools: Pools, terms: Terms, draft: Draft, rays: Rays, p: int, words: np.ndarray, group_lanes: np.ndarray
) -> None:
    """Set rays.point of pool p for the groups that have a lane in the set: the upper end of a bracket of width 2^-40
    of the first failure (margin excess <= 0), 0 where it fails at the snapshot, NaN where nowhere on the ray.
    """  # noqa: D205
    n_groups, n, width = len(rays.point), 0, 1.0 / SCAN_STEPS
    step = 0
    while step < n_groups or (n > 0 and width > BISECTION_WIDTH):
        is_scan = step < n_groups
        stop = n
        if is_scan:
            rays.point[step] = np.nan
            if not has_common(words, group_lanes[step]):
                step += 1
                continue
            price, stop = rays.scan[step], SCAN_STEPS + 1
            for k in range(stop):
                rays.haircut[k] = rays.haircut_shock * (k / SCAN_STEPS)
        else:
            price = rays.price
            width = 0.5 * width
            for m in range(n):
                g, middle = rays.bracketed[m], rays.below[m] + width
                set_shocked_pool(pools, terms, price, p, m, rays.shocks, g, middle)
                rays.haircut[m] = rays.haircut_shock * middle
        if rays.haircut_shock == 0.0:
            kind = np.int64(MAINTENANCE)  # as a literal it would have all that it calls compiled once more
            set_health(pools, terms, draft, p, rays.low, rays.high, kind, price, stop, draft.health)
        else:
            for m in range(stop):
                equity, maintenance, _ = pool_health(pools, terms, draft.base, p, price, m, rays.haircut[m])
                draft.health[m] = equity - maintenance
        if is_scan:
            for k in range(SCAN_STEPS + 1):
                if draft.health[k] <= 0.0:
                    rays.point[step] = 0.0
                    if k > 0:
                        rays.bracketed[n] = step
                        rays.below[n] = (k - 1) / SCAN_STEPS
                        n += 1
                    break
            step += 1
        else:
            for m in range(n):
                if draft.health[m] > 0.0:
                    rays.below[m] = rays.below[m] + width
    for m in range(n):
        rays.point[rays.bracketed[m]] = rays.below[m] + width
