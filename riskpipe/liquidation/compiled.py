"""How the kernel is compiled, and its two smallest pieces: prices at a state of the market and a pool's health there.

Bits: every sum runs in canonical order (pools, then positions, then slots), fastmath is off, and nothing here calls
BLAS, numpy reductions or vectorised transcendental functions, so that results do not depend on threads, workers or
block size.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from riskpipe.domain.book import BoolArray, FloatArray
from riskpipe.liquidation.lowering import Pools, Terms
from riskpipe.numerics import compile_cache
from riskpipe.pricing import impact as laws

compile_cache()  # before the first decorator
# without numba's reference counts, whose atomic increments on every array access cost ten times the arithmetic and
# more: such a function must not allocate
compiled = njit(nogil=True, cache=True, fastmath=False, error_model="numpy", _nrt=False)
# a call passes every array of its tuples by value, some kilobytes: what runs once per pool or position is inlined
inlined = njit(nogil=True, cache=True, fastmath=False, error_model="numpy", _nrt=False, forceinline=True)
impact = compiled(laws.impact)
average_impact = compiled(laws.average_impact)
is_limited = compiled(laws.is_limited)

SMALLEST_INDEX_SHARE = 0.01
SCAN_STEPS = 32
BISECTION_WIDTH = 2.0**-40
UNKNOWN = -1.0


class State(NamedTuple):
    """Prices at one state of the market: of assets in USD, and by instrument the mark, payoff price and USD notional
    per unit of size.
    """  # noqa: D205

    asset: FloatArray  # [c]
    mark: FloatArray  # [i]
    payoff: FloatArray  # [i]
    notional: FloatArray  # [i]


class Work(NamedTuple):
    """Scratch of one scenario at a time."""

    shocked: State
    trigger: State
    ray: State
    flow: FloatArray  # [i] USD
    own: FloatArray  # [i]
    own_average: FloatArray  # [i]
    dislocation: FloatArray  # [i]
    index_flow: FloatArray  # [c] USD
    index_move: FloatArray  # [c]
    index_average: FloatArray  # [c]
    exit_factor: FloatArray  # [i]
    amounts: FloatArray  # [largest number of slots]
    exit_payoff: FloatArray  # [largest number of positions]
    exit_notional: FloatArray  # [largest number of positions]
    loss: FloatArray  # [largest number of positions]
    is_closed: BoolArray  # [p]
    failure: FloatArray  # [p] where on the ray of `failure_shocks` the pool first fails; UNKNOWN until asked
    failure_shocks: FloatArray  # [3] index, basis and haircut shock that `failure` belongs to
    side_shortfall: FloatArray  # [i, 2] of closed longs, of closed shorts
    winner_profit: FloatArray  # [i, 2] of open longs, of open shorts
    winner_notional: FloatArray  # [i, 2]
    removed: FloatArray  # [i, 2] share of each winner's position removed by ADL
    fund_fees: FloatArray  # [f]
    position_part: FloatArray  # [q] USD of its pool's shortfall that falls to its instrument's fund
    pool_part: FloatArray  # [p] USD of a shortfall from debt alone, which falls to the venue's fund
    entity_loss: FloatArray  # [f] USD
    is_touched: BoolArray  # [e]
    delta_before: FloatArray  # [c]
    delta_after: FloatArray  # [c]


def _state(n_assets: int, n_instruments: int) -> State:
    return State(np.zeros(n_assets), np.zeros(n_instruments), np.zeros(n_instruments), np.zeros(n_instruments))


def make_work(pools: Pools, terms: Terms) -> Work:
    """Allocate the scratch of one scenario."""
    n_i, n_c, n_f = len(terms.venue), len(terms.index_price), len(terms.fund_venue)
    most_slots = int(np.max(np.diff(pools.slot_start), initial=0))
    most_positions = int(np.max(np.diff(pools.position_start), initial=0))
    return Work(
        shocked=_state(n_c, n_i),
        trigger=_state(n_c, n_i),
        ray=_state(n_c, n_i),
        flow=np.zeros(n_i),
        own=np.zeros(n_i),
        own_average=np.zeros(n_i),
        dislocation=np.zeros(n_i),
        index_flow=np.zeros(n_c),
        index_move=np.zeros(n_c),
        index_average=np.zeros(n_c),
        exit_factor=np.zeros(n_i),
        amounts=np.zeros(most_slots),
        exit_payoff=np.zeros(most_positions),
        exit_notional=np.zeros(most_positions),
        loss=np.zeros(most_positions),
        is_closed=np.zeros(len(pools.account), dtype=np.bool_),
        failure=np.zeros(len(pools.account)),
        failure_shocks=np.full(3, np.nan),
        side_shortfall=np.zeros((n_i, 2)),
        winner_profit=np.zeros((n_i, 2)),
        winner_notional=np.zeros((n_i, 2)),
        removed=np.zeros((n_i, 2)),
        fund_fees=np.zeros(n_f),
        position_part=np.zeros(len(pools.instrument)),
        pool_part=np.zeros(len(pools.account)),
        entity_loss=np.zeros(n_f),
        is_touched=np.zeros(len(pools.entity_account_start) - 1, dtype=np.bool_),
        delta_before=np.zeros(n_c),
        delta_after=np.zeros(n_c),
    )


@inlined
def shocked_asset(terms: Terms, c: int, x: float) -> float:
    """USD price of asset c under index shock x."""
    price = terms.index_price[c]
    return max(price * (1.0 + terms.index_beta[c] * x), SMALLEST_INDEX_SHARE * price)


@inlined
def set_instrument(terms: Terms, state: State, i: int, mark: float) -> None:
    """Set an instrument's mark and what follows from it; its quote asset's price must be set."""
    quote = state.asset[terms.quote[i]]
    state.mark[i] = mark
    if terms.is_inverse[i]:
        state.payoff[i] = -1.0 / mark
        state.notional[i] = quote
    else:
        state.payoff[i] = mark
        state.notional[i] = mark * quote


@inlined
def set_shocked_instrument(terms: Terms, state: State, i: int, y: float) -> None:
    """Set an instrument's shocked mark from its assets' prices and basis shock y."""
    basis = max(terms.basis[i] + y, SMALLEST_INDEX_SHARE - 1.0)
    set_instrument(terms, state, i, state.asset[terms.underlying[i]] / state.asset[terms.quote[i]] * (1.0 + basis))


@compiled
def set_shocked(terms: Terms, state: State, x: float, y: float) -> None:
    """Set the whole shocked market."""
    for c in range(len(terms.index_price)):
        state.asset[c] = shocked_asset(terms, c, x)
    for i in range(len(terms.venue)):
        set_shocked_instrument(terms, state, i, y)


@inlined
def set_ray(pools: Pools, terms: Terms, state: State, p: int, x: float, y: float) -> None:
    """Set the shocked market for the assets and instruments of one pool only."""
    for k in range(pools.slot_start[p], pools.slot_start[p + 1]):
        c = pools.asset[k]
        state.asset[c] = shocked_asset(terms, c, x)
    for q in range(pools.position_start[p], pools.position_start[p + 1]):
        i = pools.instrument[q]
        underlying, quote = terms.underlying[i], terms.quote[i]
        state.asset[underlying] = shocked_asset(terms, underlying, x)
        state.asset[quote] = shocked_asset(terms, quote, x)
        set_shocked_instrument(terms, state, i, y)


@inlined
def collateral_credit(terms: Terms, row: int, value: float, extra_haircut: float) -> float:
    """Credit in USD for a positive value, band by band; 0 where the venue does not take the asset."""
    credit = 0.0
    stop = terms.band_start[row + 1]
    for k in range(terms.band_start[row], stop):
        floor = terms.band_floor[k]
        if value <= floor:
            break
        top = value
        if k + 1 < stop and terms.band_floor[k + 1] < value:
            top = terms.band_floor[k + 1]
        credit += (top - floor) * max(0.0, 1.0 - terms.band_haircut[k] - extra_haircut)
    return credit


@inlined
def pool_health(
    pools: Pools, terms: Terms, amounts: FloatArray, p: int, state: State, extra_haircut: float
) -> tuple[float, float, float]:
    """Equity, maintenance margin and initial margin of pool p in USD. The one expression that every test uses."""
    first = pools.slot_start[p]
    n_slots = pools.slot_start[p + 1] - first
    for j in range(n_slots):
        amounts[j] = pools.quantity[first + j]
    maintenance, initial = 0.0, 0.0
    for q in range(pools.position_start[p], pools.position_start[p + 1]):
        i = pools.instrument[q]
        amounts[pools.position_slot[q]] += pools.size[q] * state.payoff[i] - pools.offset[q]
        notional = abs(pools.size[q]) * state.notional[i]
        k, last = terms.tier_start[i], terms.tier_start[i + 1] - 1
        while k < last and notional >= terms.tier_floor[k + 1]:
            k += 1
        maintenance += terms.tier_maintenance_rate[k] * notional - terms.tier_deduction[k]
        initial += terms.tier_initial_rate[k] * notional
    venue = pools.venue[p]
    equity = 0.0
    for j in range(n_slots):
        c = pools.asset[first + j]
        price = state.asset[c]
        balance = pools.quantity[first + j]
        if balance < 0.0:
            owed = terms.borrow_rate[venue, c] * (-balance * price)
            maintenance += owed
            initial += owed
        if amounts[j] > 0.0:
            row = venue * len(terms.index_price) + c
            equity += collateral_credit(terms, row, amounts[j] * (price * terms.venue_ratio[venue, c]), extra_haircut)
        else:
            equity += amounts[j] * price
    return equity, maintenance, initial


@compiled
def ray_excess(
    pools: Pools, terms: Terms, work: Work, p: int, x: float, y: float, extra_haircut: float, point: float
) -> float:
    """Margin excess of a pool at a point of the straight ray from the snapshot (0) to the shocked market (1)."""
    set_ray(pools, terms, work.ray, p, x * point, y * point)
    equity, maintenance, _ = pool_health(pools, terms, work.amounts, p, work.ray, extra_haircut * point)
    return equity - maintenance


@compiled
def first_failure(pools: Pools, terms: Terms, work: Work, p: int, x: float, y: float, extra_haircut: float) -> float:
    """Where on the ray the pool first fails (margin excess <= 0), in [0, 1]; NaN when it does not."""
    for k in range(SCAN_STEPS + 1):
        if ray_excess(pools, terms, work, p, x, y, extra_haircut, k / SCAN_STEPS) <= 0.0:
            if k == 0:
                return 0.0
            low, high = (k - 1) / SCAN_STEPS, k / SCAN_STEPS
            while high - low > BISECTION_WIDTH:
                middle = 0.5 * (low + high)
                if ray_excess(pools, terms, work, p, x, y, extra_haircut, middle) <= 0.0:
                    high = middle
                else:
                    low = middle
            return high
    return np.nan


@compiled
def known_failure(pools: Pools, terms: Terms, work: Work, p: int, x: float, y: float, extra_haircut: float) -> float:
    """`first_failure`, remembered while scenarios differ in depth or volatility only: neither enters the ray."""
    shocks = work.failure_shocks
    if shocks[0] != x or shocks[1] != y or shocks[2] != extra_haircut:
        shocks[0], shocks[1], shocks[2] = x, y, extra_haircut
        work.failure[:] = UNKNOWN
    if work.failure[p] == UNKNOWN:
        work.failure[p] = first_failure(pools, terms, work, p, x, y, extra_haircut)
    return work.failure[p]
