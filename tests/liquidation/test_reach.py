"""Reach: pools that nobody looks at in a later round could not have failed in it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import random_case
from support.cascades import deep_cases
from support.hard_books import BTC, hard_case
from support.worlds import Account, Contract, shocks, world

from riskpipe.liquidation.batches import make_batch
from riskpipe.liquidation.cascade import run_cascades
from riskpipe.liquidation.footprint import padded
from riskpipe.liquidation.health import make_lines
from riskpipe.liquidation.kernel import Kernel
from riskpipe.liquidation.lanes import distinct_lanes, make_state
from riskpipe.liquidation.lowering import lower_rules


def watched(case):
    """Return the case's kernel, and one to which every open pool is a hair from failing."""
    kernel, watchful = (Kernel(case.book, case.market, case.rules) for _ in range(2))
    for haircut in np.unique(case.scenarios.haircut_shock):
        watchful.lowered(float(haircut))[0].gross[:] = np.inf
    return kernel, watchful


def looks(kernel, scenarios):
    """Count how often a pool is looked at in later rounds, and how often at most: open pools times rounds."""
    book, looked_at = kernel.book, 0
    for v, variant in enumerate(scenarios.variants):
        rules = lower_rules(book, kernel.rules, variant)
        for haircut, lanes in distinct_lanes(scenarios, v)[0].items():
            pools, terms = kernel.lowered(haircut)
            wide = padded(len(lanes.row))
            state = make_state(pools, terms, lanes)
            looked_at += run_cascades(pools, terms, rules, make_lines(pools, wide), make_batch(wide), lanes, state)
    return looked_at


def same_results(case):
    kernel, watchful = watched(case)
    mine, other = kernel.run(case.scenarios), watchful.run(case.scenarios)
    assert all(np.array_equal(mine.values[key], value) for key, value in other.values.items())
    assert all(np.array_equal(value, getattr(other.part, name)) for name, value in vars(mine.part).items())
    return other.values["system/rounds"]


seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=150)
@given(deep_cases())
def test_deep_cascades_are_the_same_when_every_pool_is_looked_at(case):
    same_results(case)


@settings(max_examples=60)
@given(seeds, st.sampled_from([0.1, 0.6, 3.0]))
def test_hard_books_are_the_same_when_every_pool_is_looked_at(seed, most):
    case = hard_case(seed, n_scenarios=40, n_accounts=30, most=most)
    x = case.scenarios.index_shock
    same_results(replace(case, scenarios=replace(case.scenarios, index_shock=np.abs(x) if most > 1.0 else x)))


def deeper(case, factor):
    """Return the case with every depth multiplied by a factor: prices move that much less."""
    market = case.market
    depths = {name: getattr(market, name) * factor for name in ("depth_bid", "depth_ask", "index_depth")}
    return replace(case, market=replace(market, **depths))


def test_most_pools_are_not_looked_at_again():
    few = every = later = 0
    for seed in range(12):
        case = deeper(random_case(seed, n_accounts=300, n_instruments=6, n_scenarios=40), 30.0)
        later += int(np.sum(same_results(case) >= 3.0))
        kernel, watchful = watched(case)
        few, every = few + looks(kernel, case.scenarios), every + looks(watchful, case.scenarios)
    assert later > 50
    assert 0 < few < 0.75 * every


@pytest.mark.parametrize("shock", [1.0, 3.0, 10.0])
def test_contracts_settled_in_another_coin_than_their_quote_are_looked_at_in_time(shock):
    """What such a contract pays is worth the product of two prices, both of which may have risen.

    Short one contract on ETH and long its twin, 0.01 ETH each, paid in BTC. A squeeze lifts the one that is short by
    some 10%, which at eleven times all prices is 0.01 x 1100 x 10% BTC: more than the 1 BTC that is held.
    """
    case = world(
        [Contract("squeezed", underlying="ETH", depth=660.0 * (1.0 + shock)), Contract("twin", underlying="ETH")],
        [
            Account("hedged", balances={"BTC": 1.0}, positions=(("squeezed", -0.01, 1.0), ("twin", 0.01, 1.0))),
            Account("short", balances={"BTC": 0.1}, positions=(("squeezed", -1.0, 100.0),)),
        ],
        scenarios=shocks(shock),
    )
    book = case.book
    assert book.slot_asset.tolist() == [BTC, 2, BTC, 2]
    book = replace(book, instrument_settlement=np.full(2, BTC, np.int32), position_slot=np.zeros(3, np.int32))
    same_results(replace(case, book=book))
