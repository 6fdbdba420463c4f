"""A pool's health over lanes: equity less what it must hold, by the one expression that every test of a scenario uses.

A pool is lowered to a record (`records`) that is played over lanes (`forms`).
"""

from riskpipe.compiled import inlined, internal
from riskpipe.domain.book import FloatArray
from riskpipe.liquidation.forms import collateral_slope, play
from riskpipe.liquidation.lowering import BY_NOTIONAL, BY_SIZE, IN_COINS, Pools, Terms
from riskpipe.liquidation.positions import collateral_threshold, position_offset, position_size, tier_from
from riskpipe.liquidation.prices import notional_row, payoff_row
from riskpipe.liquidation.records import Draft, record_alone


@internal
def play_alone(
    record: FloatArray, price: FloatArray, n_lanes: int, amount: FloatArray, term: FloatArray, h: FloatArray
) -> None:
    """Set h[:n_lanes] to the health that a record gives."""
    play(record, price, n_lanes, amount, term, h)


@inlined
def set_health(
    pools: Pools, terms: Terms, draft: Draft, p: int, low: FloatArray, high: FloatArray, kind: int,
    price: FloatArray, n_lanes: int, h: FloatArray,
) -> None:  # fmt: skip
    """Set h[:n_lanes], pool p's equity less its maintenance (or initial) margin in USD, at prices that lie within
    [low, high].
    """  # noqa: D205
    record_alone(pools, terms, draft, p, low, high, kind)
    play_alone(draft.record, price, n_lanes, draft.amount[0], draft.term, h)


@inlined
def position_margin(pools: Pools, terms: Terms, q: int, price: FloatArray, s: int) -> tuple[float, float]:
    """Maintenance and initial margin in USD of position q in one lane."""
    i = pools.instrument[q]
    size, entry = abs(position_size(pools, terms, q)), pools.entry_price[q]
    form, fee = terms.margin_form[i], terms.margin_fee[i]
    if form == IN_COINS:
        closed, usd = -size * price[payoff_row(terms, i), s], price[terms.settlement[i], s]
        coins = size / entry if terms.is_at_entry[i] else closed
        amount = value = coins
    else:
        closed, usd = size * price[notional_row(terms, i), s], 1.0
        coins, value = size, size * (price[terms.quote[i], s] * entry) if terms.is_at_entry[i] else closed
        amount = size if form == BY_SIZE else value
    k = tier_from(terms, i, terms.tier_start[i], amount)
    maintenance = terms.tier_maintenance_rate[k] * amount - terms.tier_deduction[k]
    initial = terms.tier_initial_rate[k] * amount
    if form != IN_COINS:
        unit = 1.0 if form == BY_NOTIONAL or size == 0.0 else value / size
        return (
            maintenance * unit + terms.maintenance_slope[i] * coins * value + fee * closed,
            initial * unit + terms.initial_slope[i] * coins * value + fee * closed,
        )
    maintenance += terms.maintenance_slope[i] * coins * coins + fee * closed
    initial += terms.initial_slope[i] * coins * coins + fee * closed
    return maintenance * usd, initial * usd


@inlined
def set_amounts(pools: Pools, terms: Terms, amounts: FloatArray, p: int, price: FloatArray, s: int) -> None:
    """Set amounts[slots] of pool p in one lane: balances together with the PnL settled in them."""
    first = pools.slot_start[p]
    for j in range(pools.slot_start[p + 1] - first):
        amounts[j] = pools.slot_quantity[first + j]
    for q in range(pools.position_start[p], pools.position_start[p + 1]):
        payoff = price[payoff_row(terms, pools.instrument[q]), s]
        amounts[pools.position_slot[q]] += position_size(pools, terms, q) * payoff - position_offset(pools, terms, q)


@inlined
def pool_health(
    pools: Pools, terms: Terms, amounts: FloatArray, p: int, price: FloatArray, s: int, extra_haircut: float
) -> tuple[float, float, float]:
    """Equity, maintenance margin and initial margin in USD of pool p, no portfolio, in one lane, under a haircut of the
    lane's own: for what is looked at once.
    """  # noqa: D205
    equity, owed = equity_and_owed(pools, terms, amounts, p, price, s, extra_haircut)
    maintenance, initial = owed, owed
    for q in range(pools.position_start[p], pools.position_start[p + 1]):
        required = position_margin(pools, terms, q, price, s)
        maintenance += required[0]
        initial += required[1]
    return equity, maintenance, initial


@inlined
def equity_and_owed(
    pools: Pools, terms: Terms, amounts: FloatArray, p: int, price: FloatArray, s: int, extra_haircut: float
) -> tuple[float, float]:
    """Equity of pool p in USD in one lane, under a haircut of the lane's own, and what it must hold for its debts."""
    set_amounts(pools, terms, amounts, p, price, s)
    first = pools.slot_start[p]
    n_slots = pools.slot_start[p + 1] - first
    venue = pools.account_venue[pools.account[p]]
    equity, owed = 0.0, 0.0
    for j in range(n_slots):
        asset = pools.asset[first + j]
        usd = price[asset, s]
        if not pools.account_is_lending[pools.account[p]]:
            owed += terms.borrow_rate[venue, asset] * (max(0.0, -pools.slot_quantity[first + j]) * usd)
        if amounts[j] <= 0.0:
            equity += amounts[j] * usd
            continue
        if pools.account_is_lending[pools.account[p]]:
            threshold = collateral_threshold(pools, terms, venue, first + j) - extra_haircut
            equity += collateral_slope(amounts[j], terms.venue_ratio[venue, asset], threshold) * usd
            continue
        value = amounts[j] * (usd * terms.venue_ratio[venue, asset])
        at = venue * len(terms.index_price) + asset
        stop = terms.band_start[at + 1]
        for k in range(terms.band_start[at], stop):
            floor = terms.band_floor[k]
            if value <= floor:
                break
            top = min(value, terms.band_floor[k + 1]) if k + 1 < stop else value
            equity += (top - floor) * max(0.0, 1.0 - terms.band_haircut[k] - extra_haircut)
    return equity, owed


@inlined
def start_amounts(pools: Pools, draft: Draft, p: int, s0: int, s1: int) -> None:
    """Set draft.amount of pool p to what it holds in lanes s0 to s1 - 1, before what settles in it."""
    first = pools.slot_start[p]
    for j in range(pools.slot_start[p + 1] - first):
        amount, quantity = draft.amount[j, s0:s1], pools.slot_quantity[first + j]
        for s in range(s1 - s0):
            amount[s] = quantity
