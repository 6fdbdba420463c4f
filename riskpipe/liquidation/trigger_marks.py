"""Prices at which things happen to every account: marks of its main position, found by the health of `health`.

The main position is the one with the largest USD notional at the snapshot over all pools of the account, the first in
canonical order where several are as large. Its prices are marks of its contract, in quote units, at which something
happens to the pool that holds it, with everything else left as it is:

- liquidation: equity is the maintenance margin; margin call: equity is the initial margin; both with haircut bands,
  borrow margin, tiers, coins, slopes, entry values and fees, exactly as `liquidation.health.pool_health` has them;
- bankruptcy: true equity is 0, as after a close-out: no haircuts, no fee, the venue's own price for what is owned.

What moves: the mark, for every position of the pool in that contract, and with the mark of an inverse contract, in
proportion, the USD price of the coin that it settles in (as `margin.model.Holding.at_mark` has it), and so the worth of
all that the pool counts in that coin: balances, what else settles in it, requirements in coins, values at entry. What
stays: all other assets, and the mark, payoff and USD notional of every other contract, whatever it is quoted or settled
in.

Which side: the one that hurts the position. A long has its prices below the mark and a short above it; the nearest one
counts, also where the requirement jumps over the equity at a tier's edge. A pool that fails at its mark already has the
price, on the other side, at which it would not: where it was hit, or would heal. A price that does not exist is NaN:
nothing held, an account that is exempt, a pool that is margined as a portfolio (its requirement has no edges to walk),
collateral that outlasts every price, or a price more than `FURTHEST` times above or below the mark.
`margin.trigger_prices` has the same prices for one position model, on paper.

How: between two *edges* (marks at which a tier or a haircut band starts, or the balance that the contract settles in
changes its sign) what a pool has over what it must hold is a + b m + c / m in the mark m: a line in the PnL, where the
payoff is the mark; with coins moving along, (coins - size / m) k m = k coins m - k size, again a line; and c / m of
rates that grow with size, size^2 / m^2 coins of them. So edges are walked from the mark on, each stretch between two is
measured at two places well inside it, and its root is kept where it lies inside.
"""

import math
from typing import NamedTuple

import numpy as np

from riskpipe.compiled import compiled, inlined
from riskpipe.domain.book import FloatArray, OffsetArray
from riskpipe.liquidation.health import pool_health, set_amounts
from riskpipe.liquidation.lowering import BY_NOTIONAL, IN_COINS, Pools, Terms
from riskpipe.liquidation.positions import position_offset, position_size
from riskpipe.liquidation.prices import mark_row, notional_row, payoff_row
from riskpipe.liquidation.records import INITIAL, MAINTENANCE

BANKRUPTCY = 2  # beside MAINTENANCE and INITIAL: what a pool's equity is held against
FURTHEST = 1e9  # times the mark, up or down: beyond, rounding decides whether a price exists
# edges closer than this, relatively, are one
SAME_EDGE = 1e-12


class TriggerMarks(NamedTuple):
    """Main positions of accounts and their prices, in quote units; NaN = none."""

    instrument: OffsetArray  # [a] of the main position, -1 = no position
    liquidation: FloatArray  # [a]
    margin_call: FloatArray  # [a]
    bankruptcy: FloatArray  # [a]


class Course(NamedTuple):
    """How a pool depends on one contract's mark."""

    pool: int
    instrument: int
    mark: float  # at the snapshot
    coin: float  # USD price of the coin that moves along, over the mark; 0 where none does
    value: float  # USD value, were it owned, of the balance that the contract settles in: value + slope x mark
    slope: float


@inlined
def _main_position(pools: Pools, terms: Terms, price: FloatArray, a: int) -> tuple[int, int]:
    """Return the pool and the position of account a's main position; -1, -1 where it has none."""
    pool, position, most = -1, -1, 0.0
    for p in range(pools.account_pool_start[a], pools.account_pool_start[a + 1]):
        for q in range(pools.position_start[p], pools.position_start[p + 1]):
            notional = abs(position_size(pools, terms, q)) * price[notional_row(terms, pools.instrument[q]), 0]
            if notional > most:
                pool, position, most = p, q, notional
    return pool, position


@inlined
def _course(pools: Pools, terms: Terms, price: FloatArray, p: int, q: int) -> Course:
    """Return how pool p depends on the mark of position q, from prices at the snapshot."""
    i, slot = pools.instrument[q], pools.position_slot[q]
    asset, mark = terms.settlement[i], price[mark_row(terms, i), 0]
    amount, size = pools.slot_quantity[pools.slot_start[p] + slot], 0.0
    for other in range(pools.position_start[p], pools.position_start[p + 1]):
        if pools.position_slot[other] != slot:
            continue
        amount -= position_offset(pools, terms, other)
        if pools.instrument[other] == i:
            size += position_size(pools, terms, other)
        else:
            amount += position_size(pools, terms, other) * price[payoff_row(terms, pools.instrument[other]), 0]
    ratio = terms.venue_ratio[pools.account_venue[pools.account[p]], asset]
    usd = price[asset, 0] * ratio
    if terms.is_inverse[i]:
        return Course(p, i, mark, price[asset, 0] / mark, -size * (usd / mark), amount * (usd / mark))
    return Course(p, i, mark, 0.0, amount * usd, size * usd)


@inlined
def _set_mark(terms: Terms, price: FloatArray, course: Course, mark: float) -> None:
    """Move what the health of a course's pool depends on to a mark."""
    i = course.instrument
    if terms.is_inverse[i]:
        price[payoff_row(terms, i), 0] = -1.0 / mark
        price[terms.settlement[i], 0] = course.coin * mark
    else:
        price[payoff_row(terms, i), 0] = mark
        price[notional_row(terms, i), 0] = mark * price[terms.quote[i], 0]


@inlined
def _true_equity(pools: Pools, terms: Terms, amounts: FloatArray, p: int, price: FloatArray) -> float:
    """Equity of pool p in USD without haircuts, as `closeout` counts what closed pools leave."""
    set_amounts(pools, terms, amounts, p, price, 0)
    first, equity = pools.slot_start[p], 0.0
    for j in range(pools.slot_start[p + 1] - first):
        asset = pools.asset[first + j]
        ratio = terms.venue_ratio[pools.account_venue[pools.account[p]], asset]
        equity += amounts[j] * (price[asset, 0] * (ratio if amounts[j] > 0.0 else 1.0))
    return equity


@inlined
def _excess(
    pools: Pools, terms: Terms, amounts: FloatArray, price: FloatArray, course: Course, kind: int, mark: float
) -> float:
    """What the pool has over what it must hold, USD, at a mark."""
    _set_mark(terms, price, course, mark)
    if kind == BANKRUPTCY:
        return _true_equity(pools, terms, amounts, course.pool, price)
    equity, maintenance, initial = pool_health(pools, terms, amounts, course.pool, price, 0, 0.0)
    return equity - (maintenance if kind == MAINTENANCE else initial)


@inlined
def _nearer(edge: float, near: float, far: float, is_up: bool) -> float:
    """Return the edge where it lies beyond `near` and before `far`, else `far`."""
    if is_up:
        return edge if near * (1.0 + SAME_EDGE) < edge < far else far
    return edge if far < edge < near * (1.0 - SAME_EDGE) else far


@inlined
def _next_edge(pools: Pools, terms: Terms, price: FloatArray, course: Course, near: float, far: float) -> float:
    """Return the edge next to mark `near` on the way to mark `far`, and that where there is none before it."""
    i, is_up = course.instrument, far > near
    coin = terms.settlement[i]
    bands = pools.account_venue[pools.account[course.pool]] * len(terms.index_price) + coin
    far = _nearer(-course.value / course.slope, near, far, is_up)
    for k in range(terms.band_start[bands], terms.band_start[bands + 1]):
        far = _nearer((terms.band_floor[k] - course.value) / course.slope, near, far, is_up)
    for q in range(pools.position_start[course.pool], pools.position_start[course.pool + 1]):
        held = pools.instrument[q]
        form, is_at_entry = terms.margin_form[held], terms.is_at_entry[held]
        size, per_mark = abs(position_size(pools, terms, q)), 0.0
        is_coins = held == i and form == IN_COINS and not is_at_entry
        if form == BY_NOTIONAL and held == i and not is_at_entry and not terms.is_inverse[i]:
            per_mark = size * price[terms.quote[i], 0]
        elif form == BY_NOTIONAL and is_at_entry and terms.is_inverse[i] and terms.quote[held] == coin:
            per_mark = size * (course.coin * pools.entry_price[q])
        if not is_coins and per_mark == 0.0:
            continue
        for k in range(terms.tier_start[held], terms.tier_start[held + 1]):
            edge = size / terms.tier_floor[k] if is_coins else terms.tier_floor[k] / per_mark
            far = _nearer(edge, near, far, is_up)
    return far


@inlined
def _bend(pools: Pools, terms: Terms, course: Course, kind: int) -> float:
    """Return c of an excess a + b m + c / m: what rates that grow with size take, as coins at the mark."""
    bend, i = 0.0, course.instrument
    if kind == BANKRUPTCY or terms.margin_form[i] != IN_COINS or terms.is_at_entry[i]:
        return bend
    slope = terms.maintenance_slope[i] if kind == MAINTENANCE else terms.initial_slope[i]
    for q in range(pools.position_start[course.pool], pools.position_start[course.pool + 1]):
        if pools.instrument[q] == i:
            size = position_size(pools, terms, q)
            bend -= course.coin * (slope * size * size)
    return bend


@inlined
def _root(a: float, b: float, c: float, low: float, high: float) -> float:
    """Return where a + b m + c / m is 0 between two marks where its sign differs and between which it is monotone."""
    if c == 0.0:
        return min(max(-a / b, low), high)
    q = -0.5 * (a + math.copysign(math.sqrt(max(0.0, a * a - 4.0 * b * c)), a))
    first, second = q / b, c / q
    is_first = max(low - first, first - high) <= max(low - second, second - high)
    return min(max(first if is_first else second, low), high)


@inlined
def _turn(
    pools: Pools, terms: Terms, amounts: FloatArray, price: FloatArray, course: Course, kind: int, is_long: bool
) -> float:
    """Return the nearest mark, on the side that hurts, beyond which the pool fails; for one that fails, beyond which,
    on the other side, it would not. NaN where there is none.
    """  # noqa: D205
    c = _bend(pools, terms, course, kind)
    near = mark = course.mark
    far = furthest = low = high = first = at_first = 0.0
    root = vertex = math.nan
    is_failing = is_up = False
    place = 0  # the mark itself, then two places of each stretch: one call, which is compiled in place
    while True:
        excess = _excess(pools, terms, amounts, price, course, kind, mark)
        if place == 1:
            first, at_first = mark, excess - c / mark
            mark, place = high - (high - low) / 3.0, 2
            continue
        if place == 0:
            is_failing = excess < 0.0
            is_up = is_long == is_failing
            furthest = course.mark * FURTHEST if is_up else course.mark / FURTHEST
        else:
            b = (excess - c / mark - at_first) / (mark - first)
            a = at_first - b * first
            if not math.isnan(root):
                return _root(a, b, c, low, high)
            if near != vertex and c * b > 0.0:
                vertex = math.sqrt(c / b)
                far = _nearer(vertex, near, far, is_up)
            if (a + b * near + c / near < 0.0) != is_failing:
                return near  # the requirement jumps over the equity
            if (a + b * far + c / far < 0.0) != is_failing:
                root = _root(a, b, c, min(near, far), max(near, far))
                if low <= root <= high:
                    return root
                # measured anew around the root, for it lies beyond what was measured
                low, high = max(min(near, far), 0.5 * root), min(max(near, far), 2.0 * root)
            else:
                near = far
        if near == furthest:
            return math.nan
        if math.isnan(root):
            far = _next_edge(pools, terms, price, course, near, furthest)
            low, high = (near, min(far, 2.0 * near)) if is_up else (max(far, 0.5 * near), near)
        mark, place = low + (high - low) / 3.0, 1


@compiled
def _set_marks(pools: Pools, terms: Terms, amounts: FloatArray, price: FloatArray, marks: TriggerMarks) -> None:
    for a in range(len(pools.account_venue)):
        p, q = _main_position(pools, terms, price, a)
        if p < 0:
            continue
        i = pools.instrument[q]
        marks.instrument[a] = i
        if pools.account_is_exempt[a] or pools.account_is_lending[a] or pools.is_portfolio[p]:
            continue
        coin, payoff, notional = terms.settlement[i], payoff_row(terms, i), notional_row(terms, i)
        before = price[coin, 0], price[payoff, 0], price[notional, 0]
        course = _course(pools, terms, price, p, q)
        is_long = pools.quantity[q] > 0.0
        for kind in range(3):
            mark = _turn(pools, terms, amounts, price, course, kind, is_long)
            if kind == MAINTENANCE:
                marks.liquidation[a] = mark
            elif kind == INITIAL:
                marks.margin_call[a] = mark
            else:
                marks.bankruptcy[a] = mark
        price[coin, 0], price[payoff, 0], price[notional, 0] = before  # so that no account depends on another


def trigger_marks(pools: Pools, terms: Terms, amounts: FloatArray, price: FloatArray) -> TriggerMarks:
    """Return the main position of every account and its prices.

    Parameters: the lowered book; scratch [slots]; prices at the snapshot, [rows, 1], left as they are.
    """
    n = len(pools.account_venue)
    liquidation, margin_call, bankruptcy = (np.full(n, np.nan) for _ in range(3))
    marks = TriggerMarks(np.full(n, -1, dtype=np.int64), liquidation, margin_call, bankruptcy)
    _set_marks(pools, terms, amounts, price, marks)
    return marks
