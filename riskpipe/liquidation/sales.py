"""Collateral sales of all lanes: what closed pools owe in settlement assets, bought for what they own."""

from riskpipe.compiled import internal
from riskpipe.domain.book import FloatArray, IntArray
from riskpipe.liquidation.health import set_amounts
from riskpipe.liquidation.lanes import State
from riskpipe.liquidation.lowering import Pools, Terms


@internal
def sell_collateral(
    pools: Pools, terms: Terms, rank: IntArray, state: State, p: int, price: FloatArray, s: int
) -> None:
    """Add to the spot flow of lane (or group) s what covering pool p's negative settlement balances buys and sells.

    Parameters: rank [c] of the pool's venue: assets of lower rank are sold first, of equal rank in canonical order.
    """
    set_amounts(pools, terms, state.amount, p, price, s)
    first = pools.slot_start[p]
    n_slots, deficit = pools.slot_start[p + 1] - first, 0.0
    for j in range(n_slots):
        state.settles[j] = False
    for q in range(pools.position_start[p], pools.position_start[p + 1]):
        state.settles[pools.position_slot[q]] = True
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
        state.spot[c, s] -= weight * (sold / price[c, s])
        state.amount[best] = 0.0
    covered = (deficit - left) / deficit
    for j in range(n_slots):
        if state.settles[j] and state.amount[j] < 0.0:
            state.spot[pools.asset[first + j], s] -= weight * (state.amount[j] * covered)
