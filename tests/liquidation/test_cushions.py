"""Cushions: a pool that a round does not look at cannot have failed, whatever prices have done."""

from collections import Counter
from dataclasses import replace

import numba
import numpy as np
import pytest
from liquidation.test_sketches import in_numpy, sketched
from strategies import random_case
from support.hard_books import hard_case
from support.worlds import Account, Contract, shocks, world

from riskpipe.liquidation import cascade, cushions, tape
from riskpipe.liquidation.footprint import GUARD, MOST_LANES, SHARE, SHARES, WIDTH, WORD
from riskpipe.liquidation.health import play_alone
from riskpipe.liquidation.kernel import Kernel
from riskpipe.liquidation.records import MAINTENANCE, record_alone
from riskpipe.liquidation.sketches import MOST
from riskpipe.scenarios.grid import scenario_set

CASES = pytest.mark.parametrize("make", [random_case, hard_case], ids=["random", "hard"])


@numba.njit(cache=False)
def set_healths(pools, terms, draft, batch, low, high, pool, price, n_lanes, health):
    """Set health [record, lane] of every pool in double precision."""
    for j in range(len(pool)):
        record_alone(pools, terms, draft, pool[j], low, high, MAINTENANCE)
        play_alone(draft.record, price, n_lanes, batch.amount, batch.term, health[j])


def in_lanes(words, n_lanes):
    return np.unpackbits(words.view(np.uint8), axis=-1, bitorder="little")[..., :n_lanes].astype(bool)


def watched(monkeypatch, tally):
    """Have every later round also look at all pools in all lanes in double precision, and compare who has failed."""
    find_failing = cascade.find_failing

    def look(*arguments):
        pools, terms, draft, low, high, pool, _, _, batch, state, price, first, n, n_lanes, due, is_new, is_first = (
            arguments
        )
        wide = -(-n_lanes // WIDTH) * WIDTH
        health = np.zeros((n, wide))
        set_healths(pools, terms, draft, batch, low, high, pool[:n], price, wide, health)
        opened = in_lanes(state.open[first : first + n] & due, n_lanes)
        looked_at = find_failing(*arguments)
        if not is_first:
            left = in_lanes(state.open[first : first + n] & due, n_lanes)
            assert np.array_equal(opened & ~left, opened & (health[:, :n_lanes] < 0.0))
            tally["rounds"] += 1
            tally["failed"] += int(np.sum(opened & ~left))
            tally["looks"] += looked_at
            tally["pools"] += n
            tally["rounds of new boxes"] += int(is_new)
            tally["most lanes"] = max(tally["most lanes"], n_lanes)
        return looked_at

    monkeypatch.setattr(cascade, "find_failing", look)


def run_watched(monkeypatch, cases):
    tally = Counter()
    watched(monkeypatch, tally)
    for case in cases:
        Kernel(case.book, case.market, case.rules).run(case.scenarios)
    return tally


@CASES
def test_a_round_finds_whom_a_look_at_all_pools_in_double_precision_finds(make, monkeypatch):
    tally = run_watched(monkeypatch, (make(seed, n_accounts=40, n_scenarios=40) for seed in range(10)))
    assert tally["failed"] > 50, tally
    assert tally["looks"] < 0.7 * tally["pools"], tally


@pytest.mark.parametrize(("room", "size"), [(1.0, 10**6), (1.05, 7), (3.0, 5)])
def test_so_it_does_when_the_tape_is_made_anew_and_in_tiles(room, size, monkeypatch):
    monkeypatch.setattr(tape, "ROOM", room)
    monkeypatch.setattr(tape, "TILE_POOLS", size)
    tally = run_watched(monkeypatch, (hard_case(seed, n_accounts=30, n_scenarios=40) for seed in range(6)))
    assert tally["failed"] > 20, tally
    assert tally["rounds of new boxes"] > 10, tally


@CASES
def test_so_it_does_in_more_lanes_than_cushions_that_are_compared_at_once(make, monkeypatch):
    axes = {"index_shock": tuple(np.linspace(-0.6, 0.5, 40).tolist()), "depth_factor": (0.05, 0.2, 0.4, 0.7, 1.0)}
    cases = (replace(make(seed, n_accounts=40, n_scenarios=4), scenarios=scenario_set(axes)) for seed in range(12))
    tally = run_watched(monkeypatch, cases)
    assert tally["most lanes"] == 200 > SHARE * SHARES, tally
    assert tally["failed"] > 50, tally


def test_worn_shares_of_as_many_lanes_as_ever_run_together_fit_a_word():
    assert MOST_LANES <= SHARE * WORD
    assert WORD % SHARE == 0
    assert SHARE <= 32  # whose bits a vector of whole numbers holds, one a lane


def test_a_pool_of_too_many_guards_is_looked_at_in_every_round(monkeypatch):
    """A line and an edge for each position: 110 fit a sketch, 220 guards are more than a pool may have."""
    tiers = ((0.0, 0.1, 0.05), (1_000.0, 0.2, 0.1))
    contracts = [Contract(f"contract-{n}", depth=1e6, tiers=tiers) for n in range(110)]
    wide = tuple((contract.name, 10.0, 100.0) for contract in contracts)
    accounts = [
        Account("weak", balances={"USDT": 150.0}, positions=(("contract-0", 10.0, 100.0),)),
        Account("wide", balances={"USDT": 1e6}, positions=wide),
        Account("calm", balances={"USDT": 1e6}, positions=(("contract-1", 10.0, 100.0),)),
    ]
    case = world(contracts, accounts, scenarios=shocks(-0.15))
    assert sorted(sketch[4] for sketch, *_ in sketched(case)) == [cushions.UNGUARDED, 2, 2]
    tally = run_watched(monkeypatch, [case])
    assert tally["looks"] == tally["rounds"] == 1


@CASES
def test_health_falls_by_no_more_than_weights_times_what_prices_travel(make):
    """In double precision, which for numbers of single precision is exact but for some 1e-12 of what is added."""
    n, n_tight, n_balances = 0, 0, 0
    for seed in range(12):
        case = make(seed, n_accounts=60, n_scenarios=20)
        terms = Kernel(case.book, case.market, case.rules).terms
        n_assets = len(terms.index_price)
        for sketch, _, _, rounded in sketched(case, seed=seed):
            if not np.isfinite(sketch[1]) or sketch[4] < 0:
                continue
            price = rounded.astype(np.float64)
            payoffs = price[n_assets + len(terms.venue) :][: len(terms.venue)]
            price = np.vstack([price, price[terms.settlement] * payoffs])
            moved = price[:, WIDTH:] - price[:, :WIDTH]
            travel = np.vstack([np.maximum(-moved, 0.0), np.maximum(moved, 0.0)])
            start, n_guards = int(sketch[3]), int(sketch[4])
            parts = sketch[: start + GUARD * n_guards].astype(np.float64)
            guards = parts[start:].reshape(-1, GUARD)
            may_fall = guards[:, 1] @ travel[guards[:, 0].astype(int)]
            health = in_numpy(parts[:start], price)
            falls = health[:WIDTH] - health[WIDTH:]
            doubt = 1e-12 * np.abs(price).max() * np.abs(guards[:, 1]).sum() + 1e-9
            assert np.all(falls <= may_fall + doubt), f"falls {falls.max():g}, guarded {may_fall.max():g}"
            n, n_tight = n + 1, n_tight + bool(np.any((falls > 0.5 * may_fall) & (falls > 0.0)))
            n_balances += int(sketch[0]) // MOST**2 > 0
    assert n_balances > 50
    assert n_tight > n // 3  # a guard that says far too much would have all pools looked at
