"""Accounts at the snapshot: health, distances to liquidation along the index axis alone, and prices."""

from dataclasses import dataclass

import numpy as np

from riskpipe.compiled import compiled
from riskpipe.domain.book import BoolArray, FloatArray, OffsetArray
from riskpipe.liquidation.health import pool_health
from riskpipe.liquidation.kernel import Kernel
from riskpipe.liquidation.lowering import Pools, Terms
from riskpipe.liquidation.portfolios import (
    Portfolios,
    make_portfolios,
    portfolio_health,
    set_failures,
    set_rows,
)
from riskpipe.liquidation.positions import place_of
from riskpipe.liquidation.prices import n_rows, set_shocked_lane
from riskpipe.liquidation.rays import SCAN_STEPS, Rays, make_rays
from riskpipe.liquidation.records import Draft, make_draft
from riskpipe.liquidation.shocks import index_shocks
from riskpipe.liquidation.trigger_marks import trigger_marks


@dataclass(frozen=True)
class AccountHealth:
    """Every account's health at the snapshot's prices, its distances and prices (a accounts).

    margin_excess: USD, the smallest over the account's pools; equity and maintenance_margin: USD, summed over them.
    distance_down, distance_up: unsigned index moves; NaN = never within the axis, or never liquidated at all (exempt).
    main_instrument: of the largest position, -1 = none; liquidation_price, margin_call_price and bankruptcy_price: its
    marks in quote units, NaN = none, as of portfolios (see `liquidation.trigger_marks`).
    health_factor: of loans, collateral at its liquidation thresholds over debt: liquidatable below 1; NaN = no loan.
    debt: of loans, USD at index prices; 0 = none. toxic_fall: fall of all that a loan holds, a fraction, beyond which a
    liquidation of it all leaves bad debt (`margin.lending.toxic_fall` over several assets); 0 = at once; NaN = no loan.
    """

    margin_excess: FloatArray  # [a]
    equity: FloatArray  # [a]
    maintenance_margin: FloatArray  # [a]
    distance_down: FloatArray  # [a]
    distance_up: FloatArray  # [a]
    main_instrument: OffsetArray  # [a]
    liquidation_price: FloatArray  # [a]
    margin_call_price: FloatArray  # [a]
    bankruptcy_price: FloatArray  # [a]
    health_factor: FloatArray  # [a]
    debt: FloatArray  # [a]
    toxic_fall: FloatArray  # [a]


@compiled
def _set_health(
    pools: Pools, terms: Terms, draft: Draft, portfolios: Portfolios, price: FloatArray, excess: FloatArray,
    equity: FloatArray, maintenance: FloatArray, factor: FloatArray, debts: FloatArray, toxic: FloatArray,
) -> None:  # fmt: skip
    set_rows(terms, portfolios, price, 0, 1.0)
    for p in range(len(pools.account)):
        if pools.slot_start[p] == pools.slot_start[p + 1]:
            continue  # an empty cross pool says nothing of its account
        a = pools.account[p]
        if pools.is_portfolio[p]:
            m = place_of(portfolios.units.pool, p)
            pool_equity, pool_maintenance, _ = portfolio_health(pools, terms, portfolios, m, price, 0, 0.0)
        else:
            pool_equity, pool_maintenance, _ = pool_health(pools, terms, draft.base, p, price, 0, 0.0)
        excess[a] = min(excess[a], pool_equity - pool_maintenance)
        equity[a] += pool_equity
        maintenance[a] += pool_maintenance
        if not pools.account_is_lending[a]:
            continue
        debt, collateral, gain, venue = 0.0, 0.0, 0.0, pools.account_venue[a]
        for k in range(pools.slot_start[p], pools.slot_start[p + 1]):
            c, quantity = pools.asset[k], pools.slot_quantity[k]
            debt += max(0.0, -quantity) * price[c, 0]
            owned = max(0.0, quantity) * (price[c, 0] * terms.venue_ratio[venue, c])
            collateral += owned
            gain += owned * terms.lending_bonus[venue, c]
        if debt > 0.0:
            factor[a] = max(0.0, 1.0 + pool_equity / debt)
            debts[a] = debt
            # 1 - (1 + bonus) debt / collateral, the bonus being gain / collateral
            left = 1.0 - (collateral + gain) / collateral * (debt / collateral) if collateral > 0.0 else 0.0
            toxic[a] = max(0.0, left)


@compiled
def _set_distances(
    pools: Pools, terms: Terms, draft: Draft, portfolios: Portfolios, rays: Rays, every: np.ndarray,
    group_lanes: np.ndarray, is_at_stake: BoolArray, distance: FloatArray,
) -> None:  # fmt: skip
    for p in range(len(pools.account)):
        if not is_at_stake[p]:
            continue
        a = pools.account[p]
        set_failures(pools, terms, draft, portfolios, rays, p, every, group_lanes)
        move = rays.point[0] * abs(rays.shocks.index_shock[0])
        if not np.isnan(move) and not move >= distance[a]:
            distance[a] = move


def account_health(kernel: Kernel, lowest_shock: float, highest_shock: float) -> AccountHealth:
    """Return the health of every account, how far the index may fall (to lowest_shock <= 0) or rise (to highest_shock
    >= 0) before it is liquidatable, no cascade, every other axis neutral; and prices of its main position.
    """  # noqa: D205
    n = kernel.book.n_accounts
    pools, terms = kernel.pools, kernel.terms
    draft = make_draft(pools, terms, SCAN_STEPS + 1)
    price = np.zeros((n_rows(terms), 1))
    set_shocked_lane(terms, price, 0, index_shocks(0.0), 0, 1.0)
    excess, equity, maintenance, debt = np.full(n, np.inf), np.zeros(n), np.zeros(n), np.zeros(n)
    factor, toxic = np.full(n, np.nan), np.full(n, np.nan)
    portfolios = make_portfolios(pools, terms, kernel.units, kernel.unit_models)
    _set_health(pools, terms, draft, portfolios, price, excess, equity, maintenance, factor, debt, toxic)
    excess[np.isinf(excess)] = 0.0  # accounts that hold nothing at all
    every, group_lanes = np.ones(1, dtype=np.uint64), np.ones((1, 1), dtype=np.uint64)
    is_at_stake = pools.can_close.copy()
    is_at_stake[kernel.units.pool] = kernel.units.can_close
    is_at_stake[kernel.borrowers] = ~pools.account_is_exempt[pools.account[kernel.borrowers]]
    distances = []
    for furthest in (min(lowest_shock, 0.0), max(highest_shock, 0.0)):
        distance = np.full(n, np.nan)
        if furthest != 0.0:
            rays = make_rays(terms, index_shocks(furthest), 0.0)
            _set_distances(pools, terms, draft, portfolios, rays, every, group_lanes, is_at_stake, distance)
        distances.append(distance)
    marks = trigger_marks(pools, terms, draft.base, price)
    return AccountHealth(excess, equity, maintenance, distances[0], distances[1], *marks, factor, debt, toxic)
