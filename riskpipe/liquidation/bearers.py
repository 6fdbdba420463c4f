"""Who bears auto-deleveraging: what each account gives up of its profit, as the waterfall has shared it out."""

import numpy as np

from riskpipe.compiled import compiled
from riskpipe.domain.book import FloatArray
from riskpipe.liquidation.bits import has_lane
from riskpipe.liquidation.kernel import Ended
from riskpipe.liquidation.lanes import State
from riskpipe.liquidation.lowering import Pools, Terms
from riskpipe.liquidation.positions import entry_offset, position_size
from riskpipe.liquidation.prices import payoff_row
from riskpipe.liquidation.waterfall import Winners


def add_bearers(ended: Ended, weight: FloatArray, by_account: FloatArray) -> FloatArray:
    """Add what accounts bear of auto-deleveraging in some lanes.

    Parameters
    ----------
    weight: float64 [lane], what a lane counts in the sum.
    by_account: float64 [a], USD of all accounts that a row stands for; added to.

    Returns
    -------
    USD that winners of each fund bear, unweighted, float64 [f, lane]: the cube's `funds/adl_loss`.
    """
    by_fund = np.zeros((len(ended.terms.fund_venue), len(weight)))
    _add(ended.pools, ended.terms, ended.state, ended.winners, np.ascontiguousarray(weight), by_account, by_fund)
    return by_fund


@compiled
def _add(
    pools: Pools, terms: Terms, state: State, winners: Winners, weight: FloatArray, by_account: FloatArray,
    by_fund: FloatArray,
) -> None:  # fmt: skip
    """Walk over open positions on the sides that funds turn to; each gives the same share of its profit."""
    for p in range(len(pools.account)):
        a = pools.account[p]
        for q in range(pools.position_start[p], pools.position_start[p + 1]):
            i, side = pools.instrument[q], 0 if pools.quantity[q] > 0.0 else 1
            size, offset = position_size(pools, terms, q), entry_offset(pools, terms, q)
            if winners.stop[i, side] == 0 or size * winners.best[i, side] - offset <= 0.0:
                continue
            payoff, price = state.trigger[payoff_row(terms, i)], state.trigger[terms.settlement[i]]
            for s in range(winners.first[i, side], winners.stop[i, side]):
                profit, share = size * payoff[s] - offset, winners.removed[i, side, s]
                if profit > 0.0 and share > 0.0 and not has_lane(state.closed[p], s):
                    usd = pools.account_weight[a] * (share * (profit * price[s]))
                    by_fund[terms.fund[i], s] += usd
                    by_account[a] += weight[s] * usd
