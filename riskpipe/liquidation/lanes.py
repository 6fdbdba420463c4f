"""Lanes: the distinct scenarios of a slab side by side, and what the compiled steps pass on between them.

Until forced flow moves a price, scenarios that differ in depth alone are one state of the market: a
*group* of lanes. The first round is computed for each group, later rounds for each lane.
"""

from typing import NamedTuple

import numpy as np

from riskpipe.domain.book import BoolArray, FloatArray, IntArray, OffsetArray
from riskpipe.domain.scenarios import ScenarioSet
from riskpipe.liquidation.bits import first_lanes
from riskpipe.liquidation.footprint import n_shares, n_words, padded
from riskpipe.liquidation.lowering import Pools, Terms, widest
from riskpipe.liquidation.prices import make_rounded, n_rows, n_travelled
from riskpipe.liquidation.shocks import Shocks, cut_shocks, shocks_of


class Lanes(NamedTuple):
    """The distinct scenarios of one variant and extra haircut, those of one group side by side."""

    row: OffsetArray  # [lane] in the slab's results
    n_alike: OffsetArray  # [lane] scenarios with this result
    set_index: IntArray  # [lane]
    depth_factor: FloatArray  # [lane]
    group: IntArray  # [lane]
    shocks: Shocks


class State(NamedTuple):
    """Where the lanes stand in their cascades."""

    shocked: FloatArray  # [rows, group] prices; as all that has a row for each lane or group, padded to the width
    trigger: FloatArray  # [rows, lane] prices
    low: FloatArray  # [rows] of the prices of all lanes
    high: FloatArray  # [rows]
    rounded: np.ndarray  # [rows, lane or group] prices that sketches are played at, float32
    seen: FloatArray  # [rows, lane] trigger prices of the round before
    travelled: FloatArray  # [2 x travelled prices, share] how far they have fallen, then risen
    travel: np.ndarray  # [2 x travelled prices, share] the same, float32
    risen: np.ndarray  # [lane] uint32: where a pool is closed now
    sold: FloatArray  # [i, lane] size of closed longs, weighted
    bought: FloatArray  # [i, lane] size of closed shorts, weighted
    positions: FloatArray  # [i, lane] closed positions, weighted
    flow: FloatArray  # [i, lane] USD
    own: FloatArray  # [i, lane]
    own_average: FloatArray  # [i, lane]
    dislocation: FloatArray  # [i, lane]
    spot: FloatArray  # [c, lane] units bought, net, by sales of collateral and liquidations of loans, weighted
    amount: FloatArray  # [slots] scratch: what a closed pool has of each asset
    settles: BoolArray  # [slots] scratch: something settles in it
    index_flow: FloatArray  # [c] USD
    index_move: FloatArray  # [c, lane]
    index_average: FloatArray  # [c, lane]
    closed: np.ndarray  # [p, words] lanes in which the pool is closed
    cushion: np.ndarray  # [record, share] float32: how far prices may travel until a pool is looked at again
    open: np.ndarray  # [record, words] lanes in which its pool is open
    fallen: np.ndarray  # [p, words] lanes (or groups) in which it fails and is still to be closed
    has_fallen: np.ndarray  # [p / 64] bits: pools that have any
    called: np.ndarray  # [p, words] later, in the same memory: lanes in which it is open and misses its initial margin
    group_lanes: np.ndarray  # [group, words]
    every: np.ndarray  # [words] all lanes, without those that fill up the width
    active: np.ndarray  # [words] lanes whose last round closed something
    has_risen: BoolArray  # [lane]
    rounds: OffsetArray  # [lane]
    first_round: FloatArray  # [lane] USD
    limits_hit: OffsetArray  # [lane]
    is_cut_off: BoolArray  # [lane]
    mask: FloatArray  # [lane]


def make_state(pools: Pools, terms: Terms, lanes: Lanes) -> State:
    """Allocate the state of a set of lanes."""
    n, n_groups = len(lanes.row), len(lanes.shocks.index_shock)
    n_i, n_c, words = len(terms.venue), len(terms.index_price), n_words(n)
    rows = n_rows(terms)
    group_lanes = np.zeros((n_groups, words), dtype=np.uint64)
    for s, g in enumerate(lanes.group):
        group_lanes[g, s >> 6] |= np.uint64(1) << np.uint64(s & 63)
    wide, wide_groups = padded(n), padded(n_groups)
    by_instrument = [np.zeros((n_i, wide)) for _ in range(7)]
    open_or_called = np.zeros((len(pools.account), words), dtype=np.uint64)
    return State(
        shocked=np.ones((rows, wide_groups)),
        trigger=np.ones((rows, wide)),
        low=np.zeros(rows),
        high=np.zeros(rows),
        rounded=make_rounded(rows, max(wide, wide_groups)),
        seen=np.ones((rows, wide)),
        travelled=np.zeros((2 * n_travelled(terms), n_shares(n))),
        travel=np.zeros((2 * n_travelled(terms), n_shares(n)), dtype=np.float32),
        risen=np.zeros(max(wide, wide_groups), dtype=np.uint32),
        sold=by_instrument[0],
        bought=by_instrument[1],
        positions=by_instrument[2],
        flow=by_instrument[3],
        own=by_instrument[4],
        own_average=by_instrument[5],
        dislocation=by_instrument[6],
        spot=np.zeros((n_c, wide)),
        amount=np.zeros(widest(pools.slot_start)),
        settles=np.zeros(widest(pools.slot_start), dtype=np.bool_),
        index_flow=np.zeros(n_c),
        index_move=np.zeros((n_c, wide)),
        index_average=np.zeros((n_c, wide)),
        closed=np.zeros((len(pools.account), words), dtype=np.uint64),
        cushion=np.zeros((len(pools.account), n_shares(n)), dtype=np.float32),
        open=open_or_called,
        fallen=np.zeros((len(pools.account), words), dtype=np.uint64),
        has_fallen=np.zeros(n_words(len(pools.account)), dtype=np.uint64),
        called=open_or_called,
        group_lanes=group_lanes,
        every=first_lanes(n, words),
        active=np.zeros(words, dtype=np.uint64),
        has_risen=np.zeros(n, dtype=np.bool_),
        rounds=np.zeros(n, dtype=np.int64),
        first_round=np.zeros(n),
        limits_hit=np.zeros(n, dtype=np.int64),
        is_cut_off=np.zeros(n, dtype=np.bool_),
        mask=np.zeros(wide),
    )


def distinct_lanes(
    scenarios: ScenarioSet, variant: int, *, has_options: bool
) -> tuple[dict[float, Lanes], OffsetArray, OffsetArray]:
    """Return a variant's distinct scenarios by extra haircut, its rows, and the row each of them is alike to.

    Only options depend on the volatility axis: without any, scenarios that differ in it alone have one result.
    """
    rows = np.flatnonzero(scenarios.variant == variant).astype(np.int64)
    haircut, shocks = scenarios.haircut_shock[rows], shocks_of(scenarios, rows, has_options=has_options)
    market = haircut, shocks.index_shock, shocks.basis_shock, shocks.vol_shock, _own_moves(shocks)
    key = np.stack([*market, scenarios.depth_factor[rows], scenarios.set_index[rows]], axis=1)
    distinct, first, inverse, n_alike = np.unique(
        key, axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    lanes = {}
    for value in np.unique(haircut):
        at = np.flatnonzero(distinct[:, 0] == value)
        is_new = np.any(np.diff(distinct[at, : len(market)], axis=0, prepend=np.nan) != 0.0, axis=1)
        start = np.flatnonzero(is_new)
        lanes[float(value)] = Lanes(
            row=rows[first[at]],
            n_alike=n_alike[at].astype(np.int64),
            set_index=distinct[at, -1].astype(np.int32),
            depth_factor=np.ascontiguousarray(distinct[at, -2]),
            group=(np.cumsum(is_new) - 1).astype(np.int32),
            shocks=shocks_of(scenarios, rows[first[at[start]]], has_options=has_options),
        )
    return lanes, rows, rows[first[inverse.ravel()]]


def _own_moves(shocks: Shocks) -> FloatArray:
    """Number the scenarios by the moves that single assets and instruments have of their own: alike, the same."""
    moves = [own for own in (shocks.asset_shock, shocks.instrument_basis_shock) if len(own)]
    if not moves:
        return np.zeros(len(shocks.index_shock))
    rows = np.concatenate(moves, axis=1)
    rows = np.where(np.isnan(rows), np.inf, rows)  # an asset that follows the index is like itself
    return np.unique(rows, axis=0, return_inverse=True)[1].ravel().astype(np.float64)


def cut_lanes(lanes: Lanes, most: int) -> list[Lanes]:
    """Cut lanes into pieces of at most so many, within groups where one is larger."""
    pieces, start = [], 0
    n_groups = len(lanes.shocks.index_shock)
    group_start = np.searchsorted(lanes.group, np.arange(n_groups + 1))
    while start < n_groups:
        stop = start + 1
        while stop < n_groups and group_start[stop + 1] - group_start[start] <= most:
            stop += 1
        for first in range(group_start[start], group_start[stop], most):
            at = slice(first, min(first + most, group_start[stop]))
            pieces.append(
                Lanes(
                    row=lanes.row[at],
                    n_alike=lanes.n_alike[at],
                    set_index=lanes.set_index[at],
                    depth_factor=lanes.depth_factor[at],
                    group=(lanes.group[at] - start).astype(np.int32),
                    shocks=cut_shocks(lanes.shocks, start, stop),
                )
            )
        start = stop
    return pieces
