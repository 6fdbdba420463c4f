"""Close-out: what is left of every closed pool, and which funds and entities its shortfall falls to."""

from typing import NamedTuple

import numpy as np

from riskpipe.compiled import compiled, inlined
from riskpipe.domain.book import FloatArray, OffsetArray
from riskpipe.domain.schema import N_RANKS
from riskpipe.liquidation.bits import first_block, has_any, set_mask, stop_block
from riskpipe.liquidation.exits import Exits, set_own_exits
from riskpipe.liquidation.footprint import padded
from riskpipe.liquidation.health import start_amounts
from riskpipe.liquidation.lanes import Lanes, State
from riskpipe.liquidation.loans import Loans, set_shortfall
from riskpipe.liquidation.lowering import Pools, Terms, VariantRules
from riskpipe.liquidation.portfolios import Portfolios
from riskpipe.liquidation.positions import place_of, position_offset, position_size
from riskpipe.liquidation.rays import Rays
from riskpipe.liquidation.records import Draft


class Closing(NamedTuple):
    """One pool, one account and one entity while they are closed out, over lanes."""

    equity: FloatArray  # [lane] USD, true: no haircuts, before the fee
    closed_notional: FloatArray  # [lane]
    fees: FloatArray  # [lane]
    shortfall: FloatArray  # [lane]
    total_loss: FloatArray  # [lane]
    account_shortfall: FloatArray  # [lane]
    entity_loss: FloatArray  # [f, lane]
    closed_account: np.ndarray  # [words] lanes in which a pool of the account is closed
    called_account: np.ndarray  # [words]


class Losses(NamedTuple):
    """What the close-outs of all lanes add up to."""

    shortfall: FloatArray  # [f, lane]
    fees: FloatArray  # [f, lane]
    side_shortfall: FloatArray  # [i, 2, lane] of closed longs, of closed shorts
    entity_shortfall: FloatArray  # [f, 10, lane]
    entity: FloatArray  # [f, 10, lane]
    called_accounts: FloatArray  # [lane]
    closed_accounts: FloatArray  # [lane]


class Tally(NamedTuple):
    """Hits of the central variant's accounts."""

    hits: OffsetArray  # [set, a]
    shortfall_max: FloatArray  # [set, a]


def make_closing(terms: Terms, lanes: Lanes, n_words: int) -> Closing:
    """Allocate the scratch of close-outs."""
    n = padded(len(lanes.row))
    equity, closed_notional, fees, shortfall, total_loss, account_shortfall = (np.zeros(n) for _ in range(6))
    return Closing(
        equity=equity,
        closed_notional=closed_notional,
        fees=fees,
        shortfall=shortfall,
        total_loss=total_loss,
        account_shortfall=account_shortfall,
        entity_loss=np.zeros((len(terms.fund_venue), n)),
        closed_account=np.zeros(n_words, dtype=np.uint64),
        called_account=np.zeros(n_words, dtype=np.uint64),
    )


def make_losses(terms: Terms, lanes: Lanes) -> Losses:
    """Allocate the sums of close-outs."""
    n, n_i, n_f = padded(len(lanes.row)), len(terms.venue), len(terms.fund_venue)
    return Losses(
        shortfall=np.zeros((n_f, n)),
        fees=np.zeros((n_f, n)),
        side_shortfall=np.zeros((n_i, 2, n)),
        entity_shortfall=np.zeros((n_f, N_RANKS, n)),
        entity=np.full((n_f, N_RANKS, n), -1.0),
        called_accounts=np.zeros(n),
        closed_accounts=np.zeros(n),
    )


@inlined
def close_pool(
    pools: Pools, terms: Terms, rules: VariantRules, draft: Draft, lanes: Lanes, state: State, exits: Exits,
    rays: Rays, portfolios: Portfolios, closing: Closing, losses: Losses, p: int,
) -> None:  # fmt: skip
    """Close pool p in every lane in which it is closed, and add what it leaves to the funds and to its entity."""
    account = pools.account[p]
    venue, weight = pools.account_venue[account], pools.account_weight[account]
    first, first_slot = pools.position_start[p], pools.slot_start[p]
    n_positions = pools.position_start[p + 1] - first
    gap_share = rules.gap_share[venue]
    is_far = gap_share >= 1.0
    if not is_far:
        set_own_exits(pools, terms, draft, lanes, state, exits, rays, portfolios, p, gap_share)
    payoffs = exits.payoff if is_far else exits.own_payoff
    notionals = exits.notional if is_far else exits.own_notional
    s0, s1 = first_block(state.closed[p]), stop_block(state.closed[p])
    n_lanes, mask = s1 - s0, state.mask[s0:s1]
    set_mask(state.closed[p], s0, mask)
    equity, closed_notional = closing.equity[s0:s1], closing.closed_notional[s0:s1]
    shortfall, fees = closing.shortfall[s0:s1], closing.fees[s0:s1]
    n_slots = pools.slot_start[p + 1] - first_slot
    start_amounts(pools, draft, p, s0, s1)
    for s in range(n_lanes):
        equity[s], closed_notional[s] = 0.0, 0.0
    for j in range(n_positions):
        q = first + j
        at = pools.instrument[q] if is_far else j
        size, offset = position_size(pools, terms, q), position_offset(pools, terms, q)
        gross = abs(size)
        amount = draft.amount[pools.position_slot[q], s0:s1]
        payoff, notional = payoffs[at, s0:s1], notionals[at, s0:s1]
        for s in range(n_lanes):
            amount[s] += size * payoff[s] - offset
            closed_notional[s] += gross * notional[s]
    for j in range(n_slots):
        asset = pools.asset[first_slot + j]
        price, amount, ratio = state.trigger[asset, s0:s1], draft.amount[j, s0:s1], terms.venue_ratio[venue, asset]
        for s in range(n_lanes):
            owned = price[s] * ratio
            owed = price[s]
            equity[s] += amount[s] * (owned if amount[s] > 0.0 else owed)
    rate = rules.fee_rate[venue]
    n_short, n_paying = 0, 0
    for s in range(n_lanes):
        true_equity = equity[s]
        paid = mask[s] * weight * min(rate * closed_notional[s], max(0.0, true_equity))
        fees[s] = paid
        n_paying += paid > 0.0
        short = mask[s] * weight * max(0.0, -true_equity)
        shortfall[s] = short
        n_short += short > 0.0
    if n_paying > 0:
        add_fees(pools, terms, closing, losses, p, s0, s1, notionals, is_far)
    if n_short > 0:
        add_shortfalls(pools, terms, state, closing, losses, p, s0, s1, payoffs, notionals, is_far)


@inlined
def add_fees(
    pools: Pools, terms: Terms, closing: Closing, losses: Losses, p: int, s0: int, s1: int, notionals: FloatArray,
    is_far: bool,
) -> None:  # fmt: skip
    """Add a pool's fees to its instruments' funds by closed notional."""
    first, lanes = pools.position_start[p], s1 - s0
    share, fees, total = closing.total_loss[s0:s1], closing.fees[s0:s1], closing.closed_notional[s0:s1]
    for s in range(lanes):
        part = fees[s] / total[s]
        share[s] = part if total[s] > 0.0 else 0.0
    for j in range(pools.position_start[p + 1] - first):
        i = pools.instrument[first + j]
        gross = abs(position_size(pools, terms, first + j))
        notional, collected = notionals[i if is_far else j, s0:s1], losses.fees[terms.fund[i], s0:s1]
        for s in range(lanes):
            collected[s] += share[s] * (gross * notional[s])


@inlined
def set_loss(pools: Pools, terms: Terms, q: int, payoff: FloatArray, price: FloatArray, loss: FloatArray) -> None:
    """Set loss[lane], the USD at final prices that position q lost from the snapshot's mark to its exit, or 0."""
    i = pools.instrument[q]
    size = position_size(pools, terms, q)
    start = -1.0 / terms.mark_price[i] if terms.is_inverse[i] else terms.mark_price[i]
    for s in range(len(loss)):
        loss[s] = max(0.0, size * (start - payoff[s]) * price[s])


@inlined
def add_shortfalls(
    pools: Pools, terms: Terms, state: State, closing: Closing, losses: Losses, p: int, s0: int, s1: int,
    payoffs: FloatArray, notionals: FloatArray, is_far: bool,
) -> None:  # fmt: skip
    """Add a pool's shortfall to its instruments' funds by loss, by closed notional where none lost."""
    first, lanes = pools.position_start[p], s1 - s0
    n_positions = pools.position_start[p + 1] - first
    account = pools.account[p]
    shortfall, total_loss, total = closing.shortfall[s0:s1], closing.total_loss[s0:s1], closing.closed_notional[s0:s1]
    loss, of_account = closing.equity[s0:s1], closing.account_shortfall[s0:s1]
    n_unvalued, n_unlost = 0, 0
    for s in range(lanes):
        of_account[s] += shortfall[s]
        total_loss[s] = 0.0
        n_unvalued += (shortfall[s] > 0.0) & (total[s] <= 0.0)
    if n_positions == 1 and n_unvalued == 0:  # its share is 1, whichever way
        i = pools.instrument[first]
        f, side = terms.fund[i], 0 if pools.quantity[first] > 0.0 else 1
        by_fund, by_entity = losses.shortfall[f, s0:s1], closing.entity_loss[f, s0:s1]
        by_side = losses.side_shortfall[i, side, s0:s1]
        for s in range(lanes):
            by_fund[s] += shortfall[s]
            by_side[s] += shortfall[s]
            by_entity[s] += shortfall[s]
        return
    # once to add up the losses, once to share the shortfall by them
    for n in range(2 * n_positions):
        j = n if n < n_positions else n - n_positions
        q = first + j
        i = pools.instrument[q]
        at = i if is_far else j
        set_loss(pools, terms, q, payoffs[at, s0:s1], state.trigger[terms.settlement[i], s0:s1], loss)
        if n < n_positions:
            for s in range(lanes):
                total_loss[s] += loss[s]
            continue
        if n == n_positions:
            for s in range(lanes):
                n_unlost += (shortfall[s] > 0.0) & (total_loss[s] <= 0.0)
        f, side = terms.fund[i], 0 if pools.quantity[q] > 0.0 else 1
        gross, notional = abs(position_size(pools, terms, q)), notionals[at, s0:s1]
        by_fund, by_entity = losses.shortfall[f, s0:s1], closing.entity_loss[f, s0:s1]
        by_side = losses.side_shortfall[i, side, s0:s1]
        if n_unlost == 0:
            for s in range(lanes):
                by_loss = loss[s] / total_loss[s]
                part = shortfall[s] * (by_loss if total_loss[s] > 0.0 else 0.0)
                by_fund[s] += part
                by_side[s] += part
                by_entity[s] += part
            continue
        for s in range(lanes):
            by_loss, by_notional = loss[s] / total_loss[s], gross * notional[s] / total[s]
            share = by_notional if total[s] > 0.0 else 0.0
            share = by_loss if total_loss[s] > 0.0 else share
            part = shortfall[s] * share
            by_fund[s] += part
            by_side[s] += part
            by_entity[s] += part
    f = terms.venue_fund[pools.account_venue[account]]
    if f >= 0 and n_unvalued > 0:  # a loss from debt alone falls to the venue's fund
        by_fund, by_entity = losses.shortfall[f, s0:s1], closing.entity_loss[f, s0:s1]
        for s in range(lanes):
            part = shortfall[s] if total[s] == 0.0 else 0.0
            by_fund[s] += part
            by_entity[s] += part


@inlined
def insert_entity(losses: Losses, f: int, s: int, e: int, loss: float) -> None:
    """Insert an entity's loss, larger than the last, into a fund's list of the largest; of equals the one that came
    first stands first.
    """  # noqa: D205
    place = N_RANKS - 1
    while place > 0 and loss > losses.entity_shortfall[f, place - 1, s]:
        losses.entity_shortfall[f, place, s] = losses.entity_shortfall[f, place - 1, s]
        losses.entity[f, place, s] = losses.entity[f, place - 1, s]
        place -= 1
    losses.entity_shortfall[f, place, s] = loss
    losses.entity[f, place, s] = e


@inlined
def close_loan(
    pools: Pools, terms: Terms, state: State, closing: Closing, loans: Loans, losses: Losses, p: int
) -> bool:
    """Add a loan's shortfall in every lane, liquidated or not, to its venue's fund; returns whether there is any."""
    m, account = place_of(loans.pool, p), pools.account[p]
    if m < 0 or set_shortfall(pools, terms, state, loans, m, closing.shortfall) == 0.0:
        return False
    f = terms.venue_fund[pools.account_venue[account]]
    by_fund, by_entity = losses.shortfall[f], closing.entity_loss[f]
    for s in range(len(loans.underwater)):
        short = closing.shortfall[s]
        loans.underwater[s] += short
        closing.account_shortfall[s] += short
        by_fund[s] += short
        by_entity[s] += short
    return True


@compiled
def close_out(
    pools: Pools, terms: Terms, rules: VariantRules, draft: Draft, lanes: Lanes, state: State, exits: Exits,
    rays: Rays, portfolios: Portfolios, closing: Closing, loans: Loans, losses: Losses, tally: Tally, is_central: bool,
) -> None:  # fmt: skip
    """Close out every closed pool of every lane and every loan, entity by entity; count accounts closed and called."""
    n_words, n_lanes = len(state.active), len(state.mask)
    for e in range(len(pools.entity_account_start) - 1):
        is_short, e0, e1 = False, n_lanes, 0
        for n in range(pools.entity_account_start[e], pools.entity_account_start[e + 1]):
            a, is_underwater = pools.entity_account[n], False
            for w in range(n_words):
                closing.closed_account[w], closing.called_account[w] = 0, 0
            for p in range(pools.account_pool_start[a], pools.account_pool_start[a + 1]):
                for w in range(n_words):
                    closing.closed_account[w] |= state.closed[p, w]
                    closing.called_account[w] |= state.called[p, w]
                if pools.account_is_lending[a]:
                    is_underwater = close_loan(pools, terms, state, closing, loans, losses, p)
                elif has_any(state.closed[p]):
                    close_pool(
                        pools, terms, rules, draft, lanes, state, exits, rays, portfolios, closing, losses, p
                    )  # fmt: skip
            if has_any(closing.called_account):
                add_weight(closing.called_account, pools.account_weight[a], state.mask, losses.called_accounts)
            s0, s1 = first_block(closing.closed_account), stop_block(closing.closed_account)
            if is_underwater:  # a loan may be short where nothing of it was liquidated
                s0, s1 = 0, len(state.mask)
                state.mask[:] = 0.0
            if has_any(closing.closed_account):
                add_weight(closing.closed_account, pools.account_weight[a], state.mask, losses.closed_accounts)
            if s1 > 0 and end_account(lanes, closing, tally, a, state.mask, s0, s1, is_central):
                is_short, e0, e1 = True, min(e0, s0), max(e1, s1)
        if is_short:
            a = pools.entity_account[pools.entity_account_start[e]]
            end_entity(closing, losses, e, e0, e1, pools.account_has_entity[a] or pools.account_weight[a] == 1.0)


@inlined
def add_weight(words: np.ndarray, weight: float, mask: FloatArray, total: FloatArray) -> None:
    """Set a mask to a set of lanes, in the blocks that it spans, and add an account's weight there."""
    s0, s1 = first_block(words), stop_block(words)
    here, is_there = total[s0:s1], mask[s0:s1]
    set_mask(words, s0, is_there)
    for s in range(len(here)):
        here[s] += weight * is_there[s]


@inlined
def end_account(
    lanes: Lanes, closing: Closing, tally: Tally, a: int, mask: FloatArray, s0: int, s1: int, is_central: bool
) -> bool:
    """Count an account's hits, in the lanes of a mask, and its largest shortfall, and forget it; returns whether there
    was any.
    """  # noqa: D205
    s1 = min(s1, len(lanes.row))
    shortfall, of_set, n_alike = closing.account_shortfall[s0:s1], lanes.set_index[s0:s1], lanes.n_alike[s0:s1]
    closed, n_short = mask[s0:s1], 0
    for s in range(len(shortfall)):
        n_short += shortfall[s] > 0.0
    if is_central:
        for k in range(tally.hits.shape[0]):
            hits = 0
            for s in range(len(closed)):
                hits += n_alike[s] if (of_set[s] == k) & (closed[s] > 0.0) else 0
            tally.hits[k, a] += hits
    if n_short == 0:
        return False
    if is_central:
        for k in range(tally.hits.shape[0]):
            most = tally.shortfall_max[k, a]
            for s in range(len(shortfall)):
                most = max(most, shortfall[s] if of_set[s] == k else 0.0)
            tally.shortfall_max[k, a] = most
    for s in range(len(shortfall)):
        shortfall[s] = 0.0
    return True


@inlined
def end_entity(closing: Closing, losses: Losses, e: int, s0: int, s1: int, has_one_owner: bool) -> None:
    """Rank an entity's loss in every fund, in the lanes from s0 to s1 - 1 that have any, and forget it. A row that
    stands for several owners is nobody.
    """  # noqa: D205
    for f in range(closing.entity_loss.shape[0]):
        loss, least = closing.entity_loss[f, s0:s1], losses.entity_shortfall[f, N_RANKS - 1, s0:s1]
        n_ranked = 0
        for s in range(len(loss)):
            n_ranked += loss[s] > least[s]
        if n_ranked > 0 and has_one_owner:
            for s in range(len(loss)):
                if loss[s] > least[s]:
                    insert_entity(losses, f, s0 + s, e, loss[s])
        for s in range(len(loss)):
            loss[s] = 0.0
