"""Exits: at what prices the positions of closed pools are closed."""

from typing import NamedTuple

import numpy as np

from riskpipe.compiled import compiled, inlined, internal
from riskpipe.domain.book import FloatArray
from riskpipe.liquidation.bits import first_lane, has_common, has_lane, stop_lane
from riskpipe.liquidation.footprint import padded
from riskpipe.liquidation.lanes import Lanes, State
from riskpipe.liquidation.lowering import VWAP, Pools, Terms, VariantRules, widest
from riskpipe.liquidation.options import option_mark
from riskpipe.liquidation.portfolios import Portfolios, set_failures
from riskpipe.liquidation.prices import index_ratio, mark_row, set_shocked_pool
from riskpipe.liquidation.rays import Rays
from riskpipe.liquidation.records import Draft


class Exits(NamedTuple):
    """Exit prices over lanes."""

    factor: FloatArray  # [i, lane] what impact leaves of a pre-impact exit price; of an option's forward
    own_move: FloatArray  # [i, lane] of options: how far their own flow moves their price
    payoff: FloatArray  # [i, lane] of pools closed at the far end of the ray
    notional: FloatArray  # [i, lane] USD per unit of size
    own_payoff: FloatArray  # [positions, lane] of a pool closed on the way
    own_notional: FloatArray  # [positions, lane]


def make_exits(pools: Pools, terms: Terms, lanes: Lanes) -> Exits:
    """Allocate the exits of all lanes."""
    n, n_i, most = padded(len(lanes.row)), len(terms.venue), widest(pools.position_start)
    factor, own_move, payoff, notional = (np.ones((n_i, n)) for _ in range(4))
    return Exits(factor, own_move, payoff, notional, own_payoff=np.ones((most, n)), own_notional=np.ones((most, n)))


@compiled
def set_exit_factors(terms: Terms, rules: VariantRules, lanes: Lanes, state: State, exits: Exits) -> None:
    """Set what impact leaves of each instrument's pre-impact exit price; of an option's forward, and of its price."""
    for i in range(len(terms.venue)):
        alpha = rules.alpha[terms.venue[i]]
        is_average = alpha == VWAP
        for s in range(len(lanes.row)):
            index = index_ratio(terms, state.index_average if is_average else state.index_move, i, s)
            own = state.own_average[i, s] if is_average else state.own[i, s]
            if terms.is_option[i]:
                share = 1.0 if is_average else alpha
                exits.factor[i, s], exits.own_move[i, s] = 1.0 + share * (index - 1.0), share * own
            elif is_average:
                exits.factor[i, s] = index * (1.0 + own)
            else:
                exits.factor[i, s] = 1.0 + alpha * (index * (1.0 + own) - 1.0)


@inlined
def set_exit(
    terms: Terms, state: State, exits: Exits, i: int, s: int, before: float, vol_factor: float, payoff: FloatArray,
    notional: FloatArray,
) -> None:  # fmt: skip
    """Set what instrument i pays and counts for in lane s when it is closed; `before` impact its mark (an option's
    forward) is this.
    """  # noqa: D205
    mark = before * exits.factor[i, s]
    if terms.is_option[i]:
        payoff[s] = option_mark(terms, i, mark, vol_factor, exits.own_move[i, s])
        notional[s] = payoff[s] * state.trigger[terms.settlement[i], s]
        return
    quote = state.trigger[terms.quote[i], s]
    if terms.is_inverse[i]:
        payoff[s], notional[s] = -1.0 / mark, quote
    else:
        payoff[s], notional[s] = mark, mark * quote


@compiled
def set_far_exits(terms: Terms, lanes: Lanes, state: State, exits: Exits) -> None:
    """Set the exits of pools that are closed at the far end of the ray."""
    for i in range(len(terms.venue)):
        for s in range(len(lanes.row)):
            g = lanes.group[s]
            before, vol_factor = state.shocked[mark_row(terms, i), g], 1.0 + lanes.shocks.vol_shock[g]
            set_exit(terms, state, exits, i, s, before, vol_factor, exits.payoff[i], exits.notional[i])


@internal
def set_own_exits(
    pools: Pools, terms: Terms, draft: Draft, lanes: Lanes, state: State, exits: Exits, rays: Rays,
    portfolios: Portfolios, p: int, gap_share: float,
) -> None:  # fmt: skip
    """Set the exits of a pool that is closed where the ray first finds it failing, or further by the gap's share."""
    set_failures(pools, terms, draft, portfolios, rays, p, state.closed[p], state.group_lanes)
    first = pools.position_start[p]
    n_positions = pools.position_start[p + 1] - first
    for g in range(len(lanes.shocks.index_shock)):
        if not has_common(state.closed[p], state.group_lanes[g]):
            continue
        point = rays.point[g]
        # a pool that the cascade alone hits is closed at the far end
        point = 1.0 if np.isnan(point) else point + gap_share * (1.0 - point)
        set_shocked_pool(pools, terms, rays.price, p, g, lanes.shocks, g, point)
        rays.point[g] = point
    for j in range(n_positions):
        i = pools.instrument[first + j]
        for s in range(max(first_lane(state.closed[p]), 0), stop_lane(state.closed[p])):
            if has_lane(state.closed[p], s):
                g = lanes.group[s]
                before, vol_factor = rays.price[mark_row(terms, i), g], 1.0 + lanes.shocks.vol_shock[g] * rays.point[g]
                set_exit(terms, state, exits, i, s, before, vol_factor, exits.own_payoff[j], exits.own_notional[j])
