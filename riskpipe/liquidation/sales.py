"""Collateral sales of all lanes: what closed pools owe in settlement assets, bought for what they own."""

from riskpipe.compiled import inlined, internal
from riskpipe.domain.book import FloatArray, IntArray
from riskpipe.liquidation.lanes import State
from riskpipe.liquidation.lowering import Pools, Terms
from riskpipe.liquidation.positions import position_offset, position_size
from riskpipe.liquidation.prices import payoff_row


@inlined
def set_amounts(pools: Pools, terms: Terms, state: State, p: int, price: FloatArray, s: int) -> None:
    """Set what pool p has of each asset when it is closed at the prices of column s, and in which something settles."""
    first = pools.slot_start[p]
    for j in range(pools.slot_start[p + 1] - first):
        state.amount[j] = pools.slot_quantity[first + j]
        state.settles[j] = False
    for q in range(pools.position_start[p], pools.position_start[p + 1]):
        j, i = pools.position_slot[q], pools.instrument[q]
        payoff = price[payoff_row(terms, i), s]
        state.amount[j] += position_size(pools, terms, q) * payoff - position_offset(pools, terms, q)
        state.settles[j] = True


@internal
def sell_collateral(
    pools: Pools, terms: Terms, rank: IntArray, state: State, p: int, price: FloatArray, s: int, lane: int
) -> None:
    """Add to lane's spot flow what covering pool p's negative settlement balances buys and sells at column s's prices.

    Parameters: rank [c] of the pool's venue: assets of lower rank are sold first, of equal rank in canonical order.
    """
    set_amounts(pools, terms, state, p, price, s)
    first = pools.slot_start[p]
    n_slots, deficit = pools.slot_start[p + 1] - first, 0.0
    for j in range(n_slots):
        if state.settles[j] and state.amount[j] < 0.0:
            deficit -= state.amount[j] * price[pools.asset[first + j], s]
    if deficit <= 0.0:
        return
    weight, left = pools.account_weight[pools.account[p]], deficit
    while left > 0.0:
        best = -1
        for j in range(n_slots):
            if state.amount[j] > 0.0 and (best < 0 or rank[pools.asset[first + j]] < rank[pools.asset[first + best]]):
                best = j
        if best < 0:
            break
        c = pools.asset[first + best]
        sold = min(left, state.amount[best] * price[c, s])
        left -= sold
        state.spot[c, lane] -= weight * (sold / price[c, s])
        state.amount[best] = 0.0
    covered = (deficit - left) / deficit
    for j in range(n_slots):
        if state.settles[j] and state.amount[j] < 0.0:
            state.spot[pools.asset[first + j], lane] -= weight * (state.amount[j] * covered)
