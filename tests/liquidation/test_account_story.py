"""Stories of all accounts add up to the cube's scenario, and a sum on paper."""

import numpy as np
import pytest
from strategies import random_case
from support.cascades import chain_case
from support.equality import gross_notional
from support.random_loans import with_loans
from support.random_portfolios import with_portfolios
from support.worlds import Account, Contract, shocks, world

from riskpipe.domain.story import STAGES
from riskpipe.liquidation.account_story import account_story
from riskpipe.liquidation.alone import alone
from riskpipe.liquidation.kernel import run_block
from riskpipe.liquidation.paths import cascade_path
from riskpipe.liquidation.reference import Reference


def loans_case(seed):
    return with_loans(np.random.default_rng(seed), random_case(seed, n_accounts=6, n_scenarios=2), 6)


def portfolios_case(seed):
    return with_portfolios(np.random.default_rng(seed), random_case(seed, n_accounts=6, n_scenarios=2))


def story_of(case, values, s, a):
    book, one = case.book, case.scenarios.slab(s, s + 1)
    own = alone(book, case.market, one, a)
    path = cascade_path(book, case.market, case.rules, one, own.pool, with_winners=True)
    paid = {name: values[f"funds/{name}"][s] for name in ("shortfall", *STAGES)}
    return account_story(own, case.rules, path, paid, (np.nan, np.nan))


@pytest.mark.parametrize("make", [random_case, chain_case, loans_case, portfolios_case])
@pytest.mark.parametrize("seed", [2, 5])
def test_the_stories_of_all_accounts_add_up_to_what_the_block_says_of_everybody(make, seed):
    case = make(seed)
    book, scale = case.book, 1e-9 * gross_notional(case)
    values = run_block(book, case.market, case.rules, case.scenarios).values
    names, funds = book.names("instrument"), book.names("fund")
    model = Reference(book, case.market, case.rules, case.scenarios)
    n_closed = n_open = 0
    for s in range(min(2, len(case.scenarios))):
        flow, shortfall, paid = (
            np.zeros(len(names)),
            np.zeros(len(funds)),
            {stage: np.zeros(len(funds)) for stage in STAGES},
        )
        removed, called, expected = 0.0, 0.0, model.run(s)
        for a in range(book.n_accounts):
            story = story_of(case, values, s, a)
            assert (story.closed_in > 0) == (a in expected.liquidated_accounts)
            assert story.shortfall == pytest.approx(expected.account_shortfall.get(a, 0.0), rel=1e-9, abs=scale)
            called += story.weight * any(pool.is_called for pool in story.pools)
            n_closed, n_open = n_closed + (story.closed_in > 0), n_open + (story.closed_in == 0)
            for pool in story.pools:
                for position in pool.positions:
                    flow[names.index(position.instrument)] += position.flow
                    removed += position.removed_notional
                    assert np.isnan(position.exit_price) == (pool.closed_in == 0)
                if pool.closed_in and pool.kind != "loan":
                    assert pool.tested.margin_excess < scale
            for fund in story.funds:
                shortfall[funds.index(fund.fund)] += fund.shortfall
                for stage, usd in fund.paid:
                    paid[stage][funds.index(fund.fund)] += usd
        assert np.allclose(flow, values["instruments/forced_flow"][s], rtol=1e-9, atol=scale)
        assert np.allclose(shortfall, values["funds/shortfall"][s], rtol=1e-9, atol=scale)
        assert called == pytest.approx(values["system/margin_call_accounts"][s])
        assert removed == pytest.approx(values["funds/adl_notional"][s].sum(), rel=1e-9, abs=scale)
        for stage in STAGES:
            assert np.allclose(paid[stage], values[f"funds/{stage}"][s], rtol=1e-9, atol=scale), stage
    assert n_closed
    assert n_open


def one_long(index, **changes):
    account = Account("a", balances={"USDT": 200.0}, positions=(("p", 10.0, 100.0),), **changes)
    return world([Contract("p")], [account, Account("b", balances={"USDT": 1e6})], scenarios=shocks(index))


def told(case):
    return story_of(case, run_block(case.book, case.market, case.rules, case.scenarios).values, 0, 0)


def test_a_survivor_is_told_the_shock_that_would_have_done_it():
    # 200 + 10 (P - 100) = 5% of 10 P at P = 800 / 9.5
    story = told(one_long(-0.05))
    assert story.pools[0].why_open == "healthy"
    (tipping,) = story.tippings
    assert (tipping.axis, tipping.now) == ("index_shock", -0.05)
    assert tipping.at == pytest.approx(800.0 / 9.5 / 100.0 - 1.0, abs=1e-9)


def test_who_is_hit_is_told_its_exit_and_what_is_left():
    story = told(one_long(-0.3))
    (pool,) = story.pools
    assert (story.closed_in, story.tippings) == (1, ())
    assert pool.positions[0].exit_price == pytest.approx(70.0)
    assert pool.true_equity == pytest.approx(-100.0)
    assert story.shortfall == pytest.approx(100.0)
    assert pool.positions[0].flow == pytest.approx(-700.0)


def test_an_exempt_account_that_fails_is_told_why_it_stays():
    story = told(one_long(-0.3, is_exempt=True))
    assert story.pools[0].why_open == "exempt"
    assert story.pools[0].tested.margin_excess < 0.0
    assert story.tippings == ()


def test_an_account_that_is_not_there_cannot_be_taken_out():
    case = one_long(-0.1)
    with pytest.raises(IndexError, match="account 2 of 2"):
        alone(case.book, case.market, case.scenarios, 2)
