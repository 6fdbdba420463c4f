"""What is known of each pool and entity before any scenario: which can be closed, which can break."""

import numpy as np

from riskpipe.compiled import compiled, inlined
from riskpipe.domain.book import BoolArray, IntArray
from riskpipe.liquidation.lowering import Pools, Terms

_LONG, _SHORT = 1, 2


def set_flags(pools: Pools, terms: Terms) -> None:
    """Fill the flags of a lowered book."""
    sides = np.zeros(len(terms.index_price), dtype=np.int32)
    has_trade = np.zeros(len(terms.index_price), dtype=np.bool_)
    set_closable(pools)
    _set_entities(pools, terms, sides, has_trade)


@compiled
def set_closable(pools: Pools) -> None:
    """Fill the flags of pools: which can be closed as one."""
    for p in range(len(pools.account)):
        is_at_stake = False
        for q in range(pools.position_start[p], pools.position_start[p + 1]):
            is_at_stake = is_at_stake or pools.quantity[q] != 0.0
        for k in range(pools.slot_start[p], pools.slot_start[p + 1]):
            is_at_stake = is_at_stake or pools.slot_quantity[k] < 0.0
        a = pools.account[p]
        is_other = pools.account_is_exempt[a] or pools.account_is_lending[a] or pools.is_portfolio[p]
        pools.can_close[p] = is_at_stake and not is_other


@inlined
def _add_sides(pools: Pools, terms: Terms, a: int, sides: IntArray, has_trade: BoolArray) -> None:
    """Note which signs an account's legs on each underlying can have: positions, and balances with settled PnL."""
    for p in range(pools.account_pool_start[a], pools.account_pool_start[a + 1]):
        first_slot = pools.slot_start[p]
        for k in range(first_slot, pools.slot_start[p + 1]):
            sides[pools.asset[k]] |= _LONG if pools.slot_quantity[k] >= 0.0 else _SHORT
            has_trade[pools.asset[k]] |= pools.account_is_lending[a]  # collateral is sold, debt repaid
        for q in range(pools.position_start[p], pools.position_start[p + 1]):
            u = terms.underlying[pools.instrument[q]]
            sides[u] |= _LONG if pools.quantity[q] >= 0.0 else _SHORT
            if terms.is_option[pools.instrument[q]]:
                sides[u] |= _LONG | _SHORT
            has_trade[u] = True
            # what settles in a balance may turn its sign
            sides[pools.asset[first_slot + pools.position_slot[q]]] |= _LONG | _SHORT


@inlined
def _is_two_sided(pools: Pools, terms: Terms, a: int, sides: IntArray, has_trade: BoolArray) -> bool:
    """Whether an underlying that the account trades has legs of both signs."""
    for p in range(pools.account_pool_start[a], pools.account_pool_start[a + 1]):
        for q in range(pools.position_start[p], pools.position_start[p + 1]):
            u = terms.underlying[pools.instrument[q]]
            if has_trade[u] and sides[u] == _LONG | _SHORT:
                return True
        for k in range(pools.slot_start[p], pools.slot_start[p + 1]):
            if has_trade[pools.asset[k]] and sides[pools.asset[k]] == _LONG | _SHORT:
                return True
    return False


@inlined
def _forget_sides(pools: Pools, terms: Terms, a: int, sides: IntArray, has_trade: BoolArray) -> None:
    for p in range(pools.account_pool_start[a], pools.account_pool_start[a + 1]):
        for k in range(pools.slot_start[p], pools.slot_start[p + 1]):
            sides[pools.asset[k]] = 0
            has_trade[pools.asset[k]] = False
        for q in range(pools.position_start[p], pools.position_start[p + 1]):
            u = terms.underlying[pools.instrument[q]]
            sides[u] = 0
            has_trade[u] = False


@compiled
def _set_entities(pools: Pools, terms: Terms, sides: IntArray, has_trade: BoolArray) -> None:
    """Legs of one sign only shrink when some are closed: an entity without an underlying of both signs cannot break."""
    for e in range(len(pools.can_break)):
        start, stop = pools.entity_account_start[e], pools.entity_account_start[e + 1]
        for n in range(start, stop):
            _add_sides(pools, terms, pools.entity_account[n], sides, has_trade)
        can_break = False
        for n in range(start, stop):
            can_break = can_break or _is_two_sided(pools, terms, pools.entity_account[n], sides, has_trade)
        for n in range(start, stop):
            _forget_sides(pools, terms, pools.entity_account[n], sides, has_trade)
        pools.can_break[e] = can_break
