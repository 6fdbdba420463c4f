"""Results: a slab's rows of every per-block variable of the cube, and how a lane is written into them."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from riskpipe.compiled import inlined, internal
from riskpipe.domain.book import FloatArray
from riskpipe.domain.schema import N_RANKS
from riskpipe.liquidation.closeout import Losses
from riskpipe.liquidation.lanes import Lanes, State
from riskpipe.liquidation.loans import Loans
from riskpipe.liquidation.lowering import Terms
from riskpipe.liquidation.options import option_mark
from riskpipe.liquidation.prices import index_ratio, mark_row, notional_row, payoff_row
from riskpipe.liquidation.shocks import shocked_basis


class Results(NamedTuple):
    """What a slab writes, scenario first; names follow the cube's schema."""

    liquidated_notional_long: FloatArray  # [n, v, u]
    liquidated_notional_short: FloatArray
    liquidated_positions: FloatArray
    shortfall: FloatArray  # [n, f]
    fee_offset: FloatArray
    fund_used: FloatArray
    backstop_loss: FloatArray
    adl_loss: FloatArray
    adl_notional: FloatArray
    socialised_loss: FloatArray
    residual: FloatArray
    fund_balance: FloatArray
    forced_flow: FloatArray  # [n, i]
    impact: FloatArray
    mark_price: FloatArray
    dislocation: FloatArray
    basis: FloatArray
    liquidated_accounts: FloatArray  # [n]
    margin_call_accounts: FloatArray
    liquidated_notional: FloatArray
    first_round_notional: FloatArray
    rounds: FloatArray
    underwater_debt: FloatArray
    broken_hedge_notional: FloatArray
    price_limits_hit: FloatArray
    max_rounds_hit: FloatArray
    entity_shortfall: FloatArray  # [n, f, 10]
    entity_uncovered_loss: FloatArray
    entity: FloatArray


GROUPS: Mapping[str, tuple[str, ...]] = {
    "exposure": Results._fields[:3],
    "funds": Results._fields[3:12],
    "instruments": Results._fields[12:17],
    "system": Results._fields[17:26],
    "entities": Results._fields[26:],
}


def allocate(n: int, n_venues: int, n_underlyings: int, n_instruments: int, n_funds: int) -> Results:
    """Allocate the rows of n scenarios, all zero."""
    shapes = {
        "exposure": (n, n_venues, n_underlyings),
        "funds": (n, n_funds),
        "instruments": (n, n_instruments),
        "system": (n,),
        "entities": (n, n_funds, N_RANKS),
    }
    return Results(*(np.zeros(shapes[group]) for group, names in GROUPS.items() for _ in names))


@inlined
def write_option(terms: Terms, lanes: Lanes, state: State, i: int, s: int, out: Results) -> None:
    """Write what lane s leaves of option i, which has no basis."""
    r, g = lanes.row[s], lanes.group[s]
    shocked = state.shocked[payoff_row(terms, i), g]
    forward, vol_factor = state.trigger[mark_row(terms, i), s], 1.0 + lanes.shocks.vol_shock[g]
    fill = option_mark(terms, i, forward, vol_factor, state.own[i, s])
    out.impact[r, i] = fill / shocked - 1.0 if shocked > 0.0 else state.own[i, s]
    out.mark_price[r, i] = state.trigger[payoff_row(terms, i), s]
    out.basis[r, i] = np.nan


@internal
def write_lane(
    terms: Terms, lanes: Lanes, state: State, loans: Loans, losses: Losses, s: int, broken: float, out: Results
) -> None:
    """Write lane s into its row of /exposure (zero on entry), /instruments and /system."""
    r, g = lanes.row[s], lanes.group[s]
    longs, shorts, positions = (
        out.liquidated_notional_long[r], out.liquidated_notional_short[r], out.liquidated_positions[r],
    )  # fmt: skip
    total = 0.0
    for i in range(len(terms.venue)):
        venue, cell = terms.venue[i], terms.underlying_cell[terms.underlying[i]]
        notional = state.shocked[notional_row(terms, i), g]
        longs[venue, cell] += state.sold[i, s] * notional
        shorts[venue, cell] += state.bought[i, s] * notional
        positions[venue, cell] += state.positions[i, s]
        total += (state.sold[i, s] + state.bought[i, s]) * notional
        out.forced_flow[r, i] = state.flow[i, s]
        out.dislocation[r, i] = state.dislocation[i, s]
        if terms.is_option[i]:
            write_option(terms, lanes, state, i, s, out)
            continue
        out.impact[r, i] = index_ratio(terms, state.index_move, i, s) * (1.0 + state.own[i, s]) - 1.0
        out.mark_price[r, i] = state.trigger[mark_row(terms, i), s]
        out.basis[r, i] = (1.0 + shocked_basis(terms, lanes.shocks, i, g, 1.0, lanes.shocks.basis_shock[g])) * (
            1.0 + state.dislocation[i, s]
        ) - 1.0
    for venue in range(loans.seized.shape[0]):
        for c in range(loans.seized.shape[1]):
            if loans.balances[venue, c, s] > 0.0:
                cell, notional = terms.underlying_cell[c], loans.seized[venue, c, s] * state.shocked[c, g]
                longs[venue, cell] += notional
                positions[venue, cell] += loans.balances[venue, c, s]
                total += notional
    out.underwater_debt[r] = loans.underwater[s]
    out.liquidated_accounts[r] = losses.closed_accounts[s]
    out.margin_call_accounts[r] = losses.called_accounts[s]
    out.liquidated_notional[r] = total
    out.first_round_notional[r] = state.first_round[s]
    out.rounds[r] = state.rounds[s]
    out.broken_hedge_notional[r] = broken
    out.price_limits_hit[r] = state.limits_hit[s]
    out.max_rounds_hit[r] = 1.0 if state.is_cut_off[s] else 0.0
