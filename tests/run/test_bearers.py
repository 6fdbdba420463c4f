"""Who bears auto-deleveraging: sums on paper, sums to the cube's cost, and the stories of those who pay."""

from dataclasses import replace

import numpy as np
import pytest
from strategies import random_case
from support.random_loans import with_loans
from support.random_portfolios import with_portfolios
from support.worlds import Account, Contract, rules_of, shocks, world

from riskpipe.config import SimulatedConfig
from riskpipe.domain.scenarios import SIMULATED, Variant
from riskpipe.domain.schema import N_CONTRIBUTORS
from riskpipe.errors import ComputeError
from riskpipe.liquidation.account_story import account_story
from riskpipe.liquidation.alone import alone
from riskpipe.liquidation.kernel import Kernel
from riskpipe.liquidation.paths import cascade_path
from riskpipe.run.attribution import contributions, tail_of
from riskpipe.run.bearers import Bearers, worst_bearers, worst_scenario

STAGES = ("fee_offset", "fund_used", "backstop_loss", "adl_loss", "socialised_loss", "residual")


def kernel_and_cost(case):
    kernel = Kernel(case.book, case.market, case.rules)
    return kernel, kernel.run(case.scenarios).values["funds/adl_loss"]


def paper_case():
    """A long that owes 95 after a fall to 80, of which its fund pays 40; four who are short, one of them at a loss."""

    def short(name, quantity, entry=100.0, **about):
        return Account(name, balances={"USDT": 1000.0}, positions=(("BTCUSDT", -quantity, entry),), **about)

    return world(
        [Contract("BTCUSDT")],
        [
            Account("long", balances={"USDT": 105.0}, positions=(("BTCUSDT", 10.0, 100.0),)),
            short("whale 1", 3.0, entity="whale"),
            short("crowd", 0.5, weight=4.0),
            short("too early", 2.0, entry=75.0),
            short("whale 2", 1.5, entity="whale"),
        ],
        funds={"alpha": ("alpha", "USDT", 40.0)},
        scenarios=shocks(-0.1, -0.2, 0.0, variants=(Variant(), Variant(gap_share=0.0))),
    )


def test_winners_give_up_the_same_share_of_their_profit_and_losers_nothing():
    # profits at 80: whale 20 x 3 + 20 x 1.5 = 90, crowd 4 x 20 x 0.5 = 40, too early -10; 55 is taken of 130
    case = paper_case()
    kernel, cost = kernel_and_cost(case)
    assert cost[:3].sum(axis=1).tolist() == pytest.approx([0.0, 55.0, 0.0])
    bearers, row = worst_bearers(kernel, case.scenarios, cost)
    assert row == 1
    expected = [0.0, 55.0 * 60.0 / 130.0, 55.0 * 40.0 / 130.0, 0.0, 55.0 * 30.0 / 130.0]
    assert bearers.by_account.tolist() == pytest.approx(expected)
    found = bearers.values()
    assert found["cost"].tolist() == pytest.approx([55.0, 0.0])
    assert found["entity_name"].tolist() == ["whale", *[""] * (N_CONTRIBUTORS - 1)]
    assert found["entity_cost"][0] == pytest.approx(55.0 * 90.0 / 130.0)
    assert found["account_name"].tolist()[:3] == ["whale 1", "whale 2", ""]
    assert float(found["several_cost"]) == pytest.approx(55.0 * 40.0 / 130.0)
    assert float(found["bearers"]) == 6.0
    assert float(found["scenarios"]) == 1.0


def test_nobody_bears_anything_where_nothing_is_taken():
    case = replace(paper_case(), rules=rules_of({"waterfall": ("fee_offset", "fund")}))
    kernel, cost = kernel_and_cost(case)
    assert not cost.any()
    bearers, row = worst_bearers(kernel, case.scenarios, cost)
    assert row is None
    assert not bearers.by_account.any()
    assert float(bearers.values()["scenarios"]) == 0.0


def test_the_worst_scenario_is_of_the_central_variant_and_of_equals_the_first():
    scenarios = paper_case().scenarios
    cost = np.array([[1.0, 2.0], [3.0, 0.0], [2.0, 0.0], [9.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    assert worst_scenario(scenarios, cost) == 0


def plain_case(seed):
    return random_case(seed, n_accounts=30, n_scenarios=6)


def loans_case(seed):
    return with_loans(np.random.default_rng(seed), plain_case(seed), 6)


def portfolios_case(seed):
    return with_portfolios(np.random.default_rng(seed), plain_case(seed))


def simulated(case, seed):
    """The same scenarios as one simulated set of one variant, with unequal probabilities."""
    n = len(case.scenarios)
    probability = np.random.default_rng(seed).dirichlet(np.ones(n))
    one = replace(
        case.scenarios, sets=(SIMULATED,), set_index=np.zeros(n, np.int32), variants=case.scenarios.variants[:1],
        variant=np.zeros(n, np.int32), probability=probability,
    )  # fmt: skip
    return replace(case, scenarios=one)


@pytest.mark.parametrize("make", [plain_case, loans_case, portfolios_case])
@pytest.mark.parametrize("seed", range(6))
def test_bearers_add_up_to_the_cubes_cost_in_a_tail_and_in_every_scenario(make, seed):
    case = simulated(make(seed), seed)
    book, kernel = case.book, Kernel(case.book, case.market, case.rules)
    values = kernel.run(case.scenarios).values
    cost = values["funds/adl_loss"]
    tail = tail_of(case.scenarios, values["funds/shortfall"], cost, 0.5)
    bearers = Bearers(book)
    contributions(kernel, case.scenarios, tail, SimulatedConfig(n=6, attributed_level=0.5), bearers)
    expected = tail.weight @ cost[tail.row]
    found = bearers.values()
    assert bearers.by_account.sum() == pytest.approx(expected.sum(), rel=1e-9, abs=1e-9)
    assert found["cost"] == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert found["segment_cost"].sum() == pytest.approx(expected.sum(), rel=1e-9, abs=1e-9)
    one_by_one = np.zeros(book.n_accounts)
    for row, weight in zip(tail.row.tolist(), tail.weight, strict=True):
        alone_ = Bearers(book)
        kernel.run(
            case.scenarios.take(np.array([row])),
            lambda ended, row=row, to=alone_: to.add(ended, np.ones(1), cost[row : row + 1]),
        )
        assert alone_.by_account.sum() == pytest.approx(cost[row].sum(), rel=1e-9, abs=1e-9)
        one_by_one += weight * alone_.by_account
    assert bearers.by_account == pytest.approx(one_by_one, rel=1e-9, abs=1e-9)


def test_the_random_books_do_come_to_auto_deleveraging():
    assert sum(kernel_and_cost(plain_case(seed))[1].sum() > 0.0 for seed in range(6)) >= 2


@pytest.mark.parametrize("seed", range(6))
def test_each_account_bears_what_its_story_says_that_it_gives_up(seed):
    case = plain_case(seed)
    book, kernel = case.book, Kernel(case.book, case.market, case.rules)
    values = kernel.run(case.scenarios).values
    bearers, row = worst_bearers(kernel, case.scenarios, values["funds/adl_loss"])
    if row is None:
        return
    paid = {name: values[f"funds/{name}"][row] for name in ("shortfall", *STAGES)}
    one, told = case.scenarios.slab(row, row + 1), np.zeros(book.n_accounts)
    for a in range(book.n_accounts):
        own = alone(book, case.market, one, a)
        path = cascade_path(book, case.market, case.rules, one, own.pool, with_winners=True)
        story = account_story(own, case.rules, path, paid, (np.nan, np.nan))
        told[a] = sum(position.removed_profit for pool in story.pools for position in pool.positions)
    assert told.sum() > 0.0
    assert bearers.by_account == pytest.approx(told, rel=1e-9, abs=1e-9 * told.max())


def test_a_cost_that_is_not_the_cubes_is_refused():
    case = paper_case()
    kernel, cost = kernel_and_cost(case)
    with pytest.raises(ComputeError, match="off the cube's cost of auto-deleveraging"):
        worst_bearers(kernel, case.scenarios, cost * 1.01)
