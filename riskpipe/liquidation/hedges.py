"""Exposure closed by force and hedges broken by it, one scenario at a time."""

from riskpipe.domain.book import FloatArray
from riskpipe.liquidation.compiled import Work, compiled, inlined
from riskpipe.liquidation.lowering import Pools, Terms


@compiled
def write_exposure(
    pools: Pools, terms: Terms, work: Work, longs: FloatArray, shorts: FloatArray, positions: FloatArray
) -> tuple[float, float]:
    """Add closed positions to /exposure (rows [v, u], zero on entry); returns notional in USD and weighted accounts."""
    total, accounts = 0.0, 0.0
    last = -1
    for p in range(len(pools.account)):
        if not work.is_closed[p]:
            continue
        weight = pools.weight[p]
        if pools.account[p] != last:
            last = pools.account[p]
            accounts += weight
        for q in range(pools.position_start[p], pools.position_start[p + 1]):
            i = pools.instrument[q]
            if pools.size[q] == 0.0:
                continue
            venue, u = terms.venue[i], terms.underlying_cell[terms.underlying[i]]
            notional = weight * (abs(pools.size[q]) * work.shocked.notional[i])
            if pools.size[q] > 0.0:
                longs[venue, u] += notional
            else:
                shorts[venue, u] += notional
            positions[venue, u] += weight
            total += notional
    return total, accounts


@compiled
def broken_hedges(pools: Pools, terms: Terms, work: Work, has_removed: bool) -> float:
    """Growth of entities' absolute USD delta by the closings, at shocked marks.

    A spot leg is a balance together with the PnL settled in it; a futures leg counts its signed notional.
    """
    work.is_touched[:] = False
    for p in range(len(pools.account)):
        is_touched = work.is_closed[p]
        if has_removed and not is_touched:
            for q in range(pools.position_start[p], pools.position_start[p + 1]):
                if removed_share(pools, work, q) > 0.0:
                    is_touched = True
        if is_touched:
            work.is_touched[pools.account_entity[pools.account[p]]] = True
    total = 0.0
    for e in range(len(work.is_touched)):
        if not work.is_touched[e]:
            continue
        work.delta_before[:] = 0.0
        work.delta_after[:] = 0.0
        for n in range(pools.entity_account_start[e], pools.entity_account_start[e + 1]):
            a = pools.entity_account[n]
            for p in range(pools.account_pool_start[a], pools.account_pool_start[a + 1]):
                add_deltas(pools, terms, work, p, has_removed)
        for c in range(len(work.delta_before)):
            if work.delta_before[c] != work.delta_after[c]:
                total += max(0.0, abs(work.delta_after[c]) - abs(work.delta_before[c]))
    return total


@inlined
def removed_share(pools: Pools, work: Work, q: int) -> float:
    """Share of an open position that ADL removes: 0 unless it is in profit at the final mark."""
    i = pools.instrument[q]
    share = work.removed[i, 0 if pools.size[q] > 0.0 else 1]
    if share > 0.0 and pools.size[q] * work.trigger.payoff[i] - pools.offset[q] > 0.0:
        return share
    return 0.0


@inlined
def add_deltas(pools: Pools, terms: Terms, work: Work, p: int, has_removed: bool) -> None:
    """Add a pool's USD delta by asset, before and after the closings."""
    weight = pools.weight[p]
    first = pools.slot_start[p]
    for j in range(pools.slot_start[p + 1] - first):
        work.amounts[j] = pools.quantity[first + j]
    for q in range(pools.position_start[p], pools.position_start[p + 1]):
        i = pools.instrument[q]
        work.amounts[pools.position_slot[q]] += pools.size[q] * work.shocked.payoff[i] - pools.offset[q]
        delta = weight * (pools.size[q] * work.shocked.notional[i])
        u = terms.underlying[i]
        work.delta_before[u] += delta
        if not work.is_closed[p]:
            share = removed_share(pools, work, q) if has_removed else 0.0
            work.delta_after[u] += delta * (1.0 - share)
    for j in range(pools.slot_start[p + 1] - first):
        c = pools.asset[first + j]
        if terms.underlying_cell[c] >= 0:
            spot = weight * (work.amounts[j] * work.shocked.asset[c])
            work.delta_before[c] += spot
            work.delta_after[c] += spot
