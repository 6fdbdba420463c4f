"""Accounts at the snapshot: health, and the distance to liquidation along the index axis alone."""

from dataclasses import dataclass

import numpy as np

from riskpipe.domain.book import FloatArray
from riskpipe.liquidation.compiled import Work, compiled, first_failure, make_work, pool_health, set_shocked
from riskpipe.liquidation.kernel import Kernel
from riskpipe.liquidation.lowering import Pools, Terms


@dataclass(frozen=True)
class AccountHealth:
    """Every account's health at the snapshot's prices, and its distances (a accounts).

    margin_excess: USD, the smallest over the account's pools; equity and maintenance_margin: USD, summed over them.
    distance_down, distance_up: unsigned index moves; NaN = never within the axis, or never liquidated at all (exempt).
    """

    margin_excess: FloatArray  # [a]
    equity: FloatArray  # [a]
    maintenance_margin: FloatArray  # [a]
    distance_down: FloatArray  # [a]
    distance_up: FloatArray  # [a]


@compiled
def _health(
    pools: Pools, terms: Terms, work: Work, excess: FloatArray, equity: FloatArray, maintenance: FloatArray
) -> None:
    set_shocked(terms, work.shocked, 0.0, 0.0)
    for p in range(len(pools.account)):
        if pools.slot_start[p] == pools.slot_start[p + 1]:
            continue  # an empty cross pool says nothing of its account
        a = pools.account[p]
        pool_equity, pool_maintenance, _ = pool_health(pools, terms, work.amounts, p, work.shocked, 0.0)
        excess[a] = min(excess[a], pool_equity - pool_maintenance)
        equity[a] += pool_equity
        maintenance[a] += pool_maintenance


@compiled
def _distances(pools: Pools, terms: Terms, work: Work, furthest: float, distance: FloatArray) -> None:
    for p in range(len(pools.account)):
        if not pools.can_close[p]:
            continue
        a = pools.account[p]
        point = first_failure(pools, terms, work, p, furthest, 0.0, 0.0)
        if not np.isnan(point):
            move = point * abs(furthest)
            if np.isnan(distance[a]) or move < distance[a]:
                distance[a] = move


def account_health(kernel: Kernel, lowest_shock: float, highest_shock: float) -> AccountHealth:
    """Return the health of every account, and how far the index may fall (to lowest_shock <= 0) or rise (to
    highest_shock >= 0) before it is liquidatable; no cascade, every other axis neutral.
    """  # noqa: D205
    n = kernel.book.n_accounts
    work = make_work(kernel.pools, kernel.terms)
    excess, equity, maintenance = np.full(n, np.inf), np.zeros(n), np.zeros(n)
    _health(kernel.pools, kernel.terms, work, excess, equity, maintenance)
    excess[np.isinf(excess)] = 0.0  # accounts that hold nothing at all
    distances = []
    for furthest in (min(lowest_shock, 0.0), max(highest_shock, 0.0)):
        distance = np.full(n, np.nan)
        if furthest != 0.0:
            _distances(kernel.pools, kernel.terms, work, furthest, distance)
        distances.append(distance)
    return AccountHealth(excess, equity, maintenance, distances[0], distances[1])
