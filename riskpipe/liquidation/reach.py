"""Reach: how far a lane's prices may still move before a pool could fail there, so that nobody looks at it until then.

The path of a lane is the sum over its rounds of the largest move of any price, as a logarithm. A pool's health cannot
change by more than its gross times exp(path) - 1 (twice the path where amounts move as well as their price), so that a
health h lasts for a path of log(1 + h / gross), which is at least x / (1 + x) with x = h / gross. That, and the path so
far, is noted as a code of one byte, rounded down. Whatever is not certified so is evaluated by the one expression of
`health`.
"""

import math

import numpy as np

from riskpipe.domain.book import FloatArray
from riskpipe.liquidation.compiled import inlined, internal
from riskpipe.liquidation.lanes import Lanes, State
from riskpipe.liquidation.lowering import Pools, Terms
from riskpipe.liquidation.prices import notional_row, payoff_row

HIGHEST = 254  # code of a pool that lasts for the longest path that codes can tell
CLOSED = 255
LONGEST_PATH = 2.0
STEPS = HIGHEST / LONGEST_PATH  # codes per unit of path
ROUNDING = 1e-10  # of a health over its gross: more than any evaluation can err


@inlined
def level_of(path: float) -> int:
    """Level of a lane: a pool whose code is below it may fail; beyond the longest path that is every open one."""
    return CLOSED if path > LONGEST_PATH else int(path * STEPS) + 1


@inlined
def code_of(health: float, gross: float, is_plain: bool, scale: float, path: float) -> np.uint8:
    """Code of a pool with some health in a lane: the path so far and what it lasts for, in steps rounded down."""
    # where an amount moves as well as its price, both have grown by the scale, and each takes its half of the path
    larger, share = (scale, 1.0) if is_plain else (scale * scale, 0.5)
    x = max(0.0, health / (gross * larger) - ROUNDING)
    return np.uint8(min(np.float64(HIGHEST), (path + share * (x / (1.0 + x))) * STEPS))


@internal
def set_codes(pools: Pools, state: State, p: int, s0: int, s1: int, health: FloatArray) -> None:
    """Set the codes of pool p in lanes s0 to s1 - 1 from its health there; closed ones keep theirs."""
    gross, is_plain = pools.gross[p], pools.is_plain[p]
    code, h = state.code[p, s0:s1], health[s0:s1]
    path, scale = state.path[pools.cell[p], s0:s1], state.scale[pools.cell[p], s0:s1]
    for s in range(s1 - s0):
        fresh = code_of(h[s], gross, is_plain, scale[s], path[s])
        code[s] = fresh if code[s] != CLOSED else np.uint8(CLOSED)


@inlined
def set_first_codes(pools: Pools, lanes: Lanes, state: State, p: int, health: FloatArray) -> None:
    """Set the codes of pool p from its health in every group of lanes, all paths being 0."""
    scale, of_group, code = state.group_scale[pools.cell[p]], state.group_code, state.code[p]
    for g in range(len(of_group)):
        of_group[g] = code_of(health[g], pools.gross[p], pools.is_plain[p], scale[g], 0.0)
    for s in range(len(lanes.group)):
        code[s] = of_group[lanes.group[s]]


@internal
def set_scales(terms: Terms, state: State, s: int) -> None:
    """Set by which factor lane s's prices exceed the snapshot's, by underlying and (last) over all of them."""
    n_cells = state.scale.shape[0] - 1
    for cell in range(n_cells + 1):
        state.scale[cell, s] = 1.0
    for c in range(len(terms.index_price)):
        cell = terms.underlying_cell[c]
        if cell >= 0:
            state.scale[cell, s] = max(state.scale[cell, s], state.trigger[c, s] / terms.index_price[c])
    for i in range(len(terms.venue)):
        cell = terms.underlying_cell[terms.underlying[i]]
        paid, counted = payoff_row(terms, i), notional_row(terms, i)
        ratio = max(state.trigger[paid, s] / state.start[paid], abs(state.trigger[counted, s] / state.start[counted]))
        state.scale[cell, s] = max(state.scale[cell, s], ratio)
    for cell in range(n_cells):
        state.scale[n_cells, s] = max(state.scale[n_cells, s], state.scale[cell, s])


@internal
def lengthen_path(terms: Terms, state: State, s: int) -> None:
    """Add lane s's last move to its paths, by underlying and (last) over all of them, and set its levels."""
    n_cells = state.path.shape[0] - 1
    for cell in range(n_cells + 1):
        state.step[cell] = 0.0
    for c in range(len(terms.index_price)):
        cell = terms.underlying_cell[c]
        if cell >= 0:
            state.step[cell] = max(state.step[cell], _move(state, c, s))
    for i in range(len(terms.venue)):
        cell = terms.underlying_cell[terms.underlying[i]]
        step = max(_move(state, payoff_row(terms, i), s), _move(state, notional_row(terms, i), s))
        state.step[cell] = max(state.step[cell], step)
    for cell in range(n_cells):
        state.step[n_cells] = max(state.step[n_cells], state.step[cell])
    for cell in range(n_cells + 1):
        # rounded up, as is what follows from it
        path = state.path[cell, s] + state.step[cell] * (1.0 + ROUNDING)
        state.level[cell, s] = level_of(path)
        # at the end of the scale every open pool is looked at, and the path begins anew
        state.path[cell, s] = path if path <= LONGEST_PATH else 0.0


@inlined
def _move(state: State, r: int, s: int) -> float:
    """Move of a price as a logarithm."""
    return abs(math.log(state.trigger[r, s] / state.before[r, s]))
