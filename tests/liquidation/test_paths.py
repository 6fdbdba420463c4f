"""A cascade's path has the bits of the block, and rounds as the reference plays them."""

import numpy as np
import pytest
from strategies import random_case
from support.cascades import chain_case
from support.random_loans import with_loans
from support.random_portfolios import with_portfolios

from riskpipe.liquidation.flags import set_closable
from riskpipe.liquidation.kernel import Kernel
from riskpipe.liquidation.lowering import lower_pools
from riskpipe.liquidation.paths import cascade_path


def loans_case(seed):
    return with_loans(np.random.default_rng(seed), random_case(seed, n_accounts=8), 6)


def portfolios_case(seed):
    return with_portfolios(np.random.default_rng(seed), random_case(seed, n_accounts=8))


CASES = [(make, seed) for make in (random_case, chain_case, loans_case, portfolios_case) for seed in range(4)]


@pytest.mark.parametrize(("make", "seed"), CASES)
def test_a_path_ends_where_the_block_does_bit_for_bit(make, seed):
    case = make(seed)
    kernel = Kernel(case.book, case.market, case.rules)
    values = kernel.run(case.scenarios).values
    n_rounds = 0
    for s in range(len(case.scenarios)):
        path = cascade_path(
            case.book,
            case.market,
            case.rules,
            case.scenarios.slab(s, s + 1),
            range(case.book.n_pools),
            with_winners=True,
        )
        n_rounds += path.n_rounds
        assert path.n_rounds == values["system/rounds"][s]
        assert path.is_cut_off == bool(values["system/max_rounds_hit"][s])
        for name, mine in (("mark_price", path.mark), ("forced_flow", path.flow), ("dislocation", path.dislocation)):
            assert np.array_equal(mine[-1], values[f"instruments/{name}"][s]), name
        weights = case.book.account_weight
        closed = {int(case.book.pool_account[p]) for p in path.closed_in}
        assert sum(weights[a] for a in closed) == pytest.approx(values["system/liquidated_accounts"][s], rel=1e-12)
        assert set(path.closed_in.values()) == set(range(1, path.n_rounds + 1))
        assert bool((path.removed > 0.0).any()) == bool((values["funds/adl_loss"][s] > 0.0).any())
    assert n_rounds > 0


@pytest.mark.parametrize(("make", "seed"), CASES)
def test_pools_that_a_path_may_close_are_those_of_the_kernel(make, seed):
    case = make(seed)
    pools = lower_pools(case.book)
    set_closable(pools)
    assert np.array_equal(pools.can_close, Kernel(case.book, case.market, case.rules).pools.can_close)


def test_a_path_is_of_one_scenario():
    case = random_case(1)
    with pytest.raises(ValueError, match="one scenario, got 4"):
        cascade_path(case.book, case.market, case.rules, case.scenarios, (), with_winners=False)
