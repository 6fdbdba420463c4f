"""The tape of records: no result tells how often it was made, and rounds play only what may have changed."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from strategies import random_case
from support.equality import compared
from support.equality import run as run_block
from support.hard_books import hard_case
from support.worlds import Account, Contract, shocks, world

from riskpipe.liquidation import tape
from riskpipe.liquidation.batches import make_batch
from riskpipe.liquidation.cascade import run_cascades
from riskpipe.liquidation.footprint import padded
from riskpipe.liquidation.kernel import Kernel
from riskpipe.liquidation.lanes import cut_lanes, distinct_lanes, make_state
from riskpipe.liquidation.loans import loan_pools, make_loans
from riskpipe.liquidation.lowering import lower_rules
from riskpipe.liquidation.portfolios import lower_units, make_portfolios
from riskpipe.liquidation.prices import n_rows
from riskpipe.liquidation.records import make_draft
from riskpipe.liquidation.sketches import sketch_class


def run(case):
    return Kernel(case.book, case.market, case.rules).run(case.scenarios)


def same(mine, other):
    return all(np.array_equal(mine.values[key], value) for key, value in other.values.items()) and all(
        np.array_equal(value, getattr(other.part, name)) for name, value in vars(mine.part).items()
    )


@pytest.mark.parametrize("room", [1.0, 1.1, 1000.0])
def test_how_far_a_tape_holds_changes_no_result(room, monkeypatch):
    fits = 0
    for seed in range(8):
        case = hard_case(seed, n_scenarios=70, n_accounts=25)
        usual = run(case)
        with monkeypatch.context() as patch:
            patch.setattr(tape, "ROOM", room)
            assert same(run(case), usual)
        fits += int(usual.values["system/rounds"].max() > 2)
    assert fits > 0


def test_a_tape_that_runs_out_of_room_is_made_longer(monkeypatch):
    case = hard_case(3, n_scenarios=40, n_accounts=25)
    usual, make_tape = run(case), tape.make_tape
    longest = []

    def short(pools, terms, rows):
        made = make_tape(pools, terms, rows)
        longest.append(made)
        return replace(made, number=made.number[:1])

    monkeypatch.setattr("riskpipe.liquidation.kernel.make_tape", short)
    assert same(run(case), usual)
    assert longest


@pytest.mark.parametrize("size", [1, 7])
def test_a_book_in_tiles_gives_the_same_results(size, monkeypatch):
    for seed in range(4):
        case = hard_case(seed, n_scenarios=70, n_accounts=25)
        usual = run(case)
        kernel = Kernel(case.book, case.market, case.rules)
        failing = kernel.failing_pools(case.scenarios)
        with monkeypatch.context() as patch:
            patch.setattr(tape, "TILE_POOLS", size)
            assert same(run(case), usual)
            tiled = Kernel(case.book, case.market, case.rules)
            assert np.array_equal(tiled.failing_pools(case.scenarios), failing)


def test_records_of_one_class_stand_side_by_side_and_each_pool_that_can_be_closed_has_one():
    case = random_case(3, n_accounts=200)
    pools, terms = Kernel(case.book, case.market, case.rules).lowered(0.0)
    made, price = tape.make_tape(pools, terms, n_rows(terms)), np.ones(n_rows(terms))
    tape.fit(pools, terms, make_draft(pools, terms, 1), made, made.tiles(len(pools.account))[0], price, price)
    n = made.n_records
    classes = [sketch_class.py_func(made.number[made.start[j]]) for j in range(n)]
    assert len(set(classes)) > 3
    assert classes == sorted(classes)
    assert sorted(made.pool[:n]) == np.flatnonzero(pools.can_close).tolist()
    pairs = list(zip(classes, made.pool[:n], strict=True))
    assert pairs == sorted(pairs), "ascending within a class"
    before = made.pool[:n].copy()
    tape.fit(pools, terms, make_draft(pools, terms, 1), made, made.tiles(len(pools.account))[0], price / 50, price * 50)
    assert [sketch_class.py_func(made.number[made.start[j]]) for j in range(n)] != classes
    assert np.array_equal(made.pool[:n], before), "rounds that have begun go on with the places of records"


def test_a_book_of_more_prices_than_a_word_has_bits_equals_the_reference():
    case = random_case(11, n_accounts=40, n_instruments=80, n_scenarios=6)
    assert n_rows(Kernel(case.book, case.market, case.rules).terms) > 64
    values, tally = run_block(case), Counter()
    for _ in compared(case, values, range(len(case.scenarios)), tally):
        pass
    assert values["system/rounds"].max() > 1
    assert tally["scenarios"] > tally["knife edges"]


def test_a_kernel_may_be_run_again_with_what_its_tapes_were_made_for_before():
    case = random_case(5, n_accounts=40, n_instruments=4, n_scenarios=30)
    kernel = Kernel(case.book, case.market, case.rules)
    first, again = kernel.run(case.scenarios), kernel.run(case.scenarios)
    calm = replace(case.scenarios, index_shock=case.scenarios.index_shock * 0.1)
    assert same(first, again)
    assert same(kernel.run(calm), run(replace(case, scenarios=calm)))
    assert same(kernel.run(case.scenarios), first)


def looks(case):
    """Count how often a pool is looked at in later rounds."""
    kernel = Kernel(case.book, case.market, case.rules)
    rules = lower_rules(case.book, case.rules, case.scenarios.variants[0])
    (lanes,) = cut_lanes(distinct_lanes(case.scenarios, 0, has_options=False)[0][0.0], 256)
    pools, terms = kernel.lowered(0.0)
    wide = padded(len(lanes.row))
    state, made = make_state(pools, terms, lanes), tape.make_tape(pools, terms, n_rows(terms))
    draft = make_draft(pools, terms, wide)
    loans = make_loans(pools, terms, loan_pools(pools), wide)
    none = make_portfolios(pools, terms, lower_units(case.book, {}, pools), [])
    return run_cascades(pools, terms, rules, draft, make_batch(wide), lanes, state, made, loans, none)


def test_a_round_looks_only_at_open_pools_that_hold_what_has_moved():
    """A long is closed and its sale moves its contract's mark. Of the other accounts two hold that contract."""
    holder, other = ("sold", -0.001, 100.0), ("still", 0.001, 100.0)
    accounts = [
        Account("weak", balances={"USDT": 10.0}, positions=(("sold", 1.0, 100.0),)),
        Account("holder", balances={"USDT": 1e4}, positions=(holder,)),
        Account("both", balances={"USDT": 1e4}, positions=(holder, other)),
        *(Account(f"other-{n}", balances={"USDT": 1e4}, positions=(other,)) for n in range(5)),
    ]
    contracts = [Contract("sold", underlying="ETH", depth=1e4), Contract("still", underlying="ETH", depth=1e4)]
    assert looks(world(contracts, accounts, scenarios=shocks(-0.3))) == 2
    assert looks(world(contracts, accounts[1:], scenarios=shocks(-0.3))) == 0
