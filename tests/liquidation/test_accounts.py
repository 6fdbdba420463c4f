"""Health of accounts at the snapshot, and how far the index is from where they fail."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import random_case
from support.random_portfolios import with_portfolios
from support.worlds import Account, Contract, shocks, world

from riskpipe.liquidation.accounts import account_health
from riskpipe.liquidation.kernel import Kernel
from riskpipe.liquidation.reference import Reference

FREQTRADE = (
    "https://github.com/freqtrade/freqtrade/blob/c9ae5e1e9ff25bb55dd61f5e5519f7c479291edb/tests/exchange/"
    "test_exchange.py (test_get_liquidation_price)"
)
HYPERLIQUID = (
    "https://github.com/freqtrade/freqtrade tests/exchange/test_hyperliquid.py at"
    " 3b1fb5af847863302393b0413321642d454e35a5: prices returned by the venue"
)
# id, side, entry price, quantity, isolated margin, maintenance rate, deduction, liquidation price, relative tolerance
PUBLISHED = [
    ("binance short 5x at 8", -1, 8.0, 1.0, 1.6, 0.01, 0.01, 9.514851485148514, 1e-9, FREQTRADE),
    ("binance short 3x", -1, 10.0, 1.0, 3.3333333333333335, 0.01, 0.01, 13.211221122079207, 1e-9, FREQTRADE),
    ("binance long 3x", 1, 10.0, 1.0, 3.3333333333333335, 0.01, 0.01, 6.723905723905723, 1e-9, FREQTRADE),
    ("binance short 5x", -1, 10.0, 1.0, 2.0, 0.01, 0.01, 11.89108910891089, 1e-9, FREQTRADE),
    ("binance long 5x", 1, 10.0, 1.0, 2.0, 0.01, 0.01, 8.070707070707071, 1e-9, FREQTRADE),
    ("hyperliquid ETH 5x", 1, 2533.2, 0.0347, 17.555195, 0.01, 0.0, 2047.7642302, 1e-4, HYPERLIQUID),
    ("hyperliquid BTC 3x", 1, 67141.0, 0.00067, 14.979079, 0.01, 0.0, 45236.52992613, 1e-4, HYPERLIQUID),
    ("hyperliquid BTC short 4x", -1, 68240.0, 0.00105, 17.887922, 0.01, 0.0, 84431.79820839, 1e-4, HYPERLIQUID),
    ("hyperliquid DOGE short 2x", -1, 0.14333, 351.0, 25.136807, 0.025, 0.0, 0.20970228, 1e-4, HYPERLIQUID),
    ("hyperliquid SOL short 3x", -1, 173.08, 0.33, 19.01881, 0.025, 0.0, 225.08561715, 1e-4, HYPERLIQUID),
]


def health_of(case, lowest=-0.5, highest=0.5):
    return account_health(Kernel(case.book, case.market, case.rules), lowest, highest)


def isolated(side, entry, quantity, margin, rate, deduction=0.0):
    contract = Contract("BTCUSDT", tiers=((0.0, max(rate, 0.1), rate),), deductions=(deduction,))
    holder = Account("holder", isolated=(("BTCUSDT", side * quantity, entry, margin),))
    return world([contract], [holder], prices={"BTC": entry})


@pytest.mark.parametrize("published", PUBLISHED, ids=[case[0] for case in PUBLISHED])
def test_distances_give_published_liquidation_prices(published):
    _, side, entry, quantity, margin, rate, deduction, expected, tolerance, _ = published
    found = health_of(isolated(side, entry, quantity, margin, rate, deduction), -0.9999, 1.5)
    move = -found.distance_down[0] if side > 0 else found.distance_up[0]
    assert entry * (1.0 + move) == pytest.approx(expected, rel=tolerance)
    assert np.isnan(found.distance_up[0] if side > 0 else found.distance_down[0])


def test_distances_of_an_isolated_position_are_the_closed_form():
    # entry 100, ten times, maintenance 0.5%: 100 (1 - 1/10) / (1 - 0.005) and 100 (1 + 1/10) / (1 + 0.005)
    down = health_of(isolated(1, 100.0, 1.0, 10.0, 0.005)).distance_down[0]
    up = health_of(isolated(-1, 100.0, 1.0, 10.0, 0.005)).distance_up[0]
    assert 100.0 * (1.0 - down) == pytest.approx(90.4522613, abs=5e-8)
    assert 100.0 * (1.0 + up) == pytest.approx(109.4527363, abs=5e-8)
    assert down == pytest.approx(1.0 - 0.9 / 0.995, rel=1e-10)
    assert up == pytest.approx(1.1 / 1.005 - 1.0, rel=1e-10)


def test_an_accounts_distance_is_its_nearest_pools_and_its_excess_the_smallest():
    position = ("BTCUSDT", 1.0, 100.0)
    holder = Account("holder", balances={"USDT": 30.0}, positions=(position,), isolated=((*position, 10.0),))
    empty = Account("empty cross pool", isolated=((*position, 20.0),))
    idle = Account("idle", balances={"USDT": 1.0})
    late = Account("already failing", balances={"USDT": 4.0}, positions=(position,))
    exempt = Account("exempt", balances={"USDT": 4.0}, positions=(position,), is_exempt=True)
    found = health_of(world([Contract("BTCUSDT")], [holder, empty, idle, late, exempt]))
    # isolated: 10 + m - 100 = 0.05 m at 94.7368, cross: at 73.68
    assert found.margin_excess.tolist() == pytest.approx([5.0, 15.0, 1.0, -1.0, -1.0])
    assert found.equity.tolist() == pytest.approx([40.0, 20.0, 1.0, 4.0, 4.0])
    assert found.maintenance_margin.tolist() == pytest.approx([10.0, 5.0, 0.0, 5.0, 5.0])
    assert found.distance_down[:2].tolist() == pytest.approx([1.0 - 0.9 / 0.95, 1.0 - 0.8 / 0.95])
    assert np.isnan(found.distance_down[2])
    assert found.distance_down[3] == found.distance_up[3] == 0.0
    assert np.isnan(found.distance_down[4])


def test_no_distance_beyond_the_axis():
    case = isolated(1, 100.0, 1.0, 10.0, 0.005)
    assert np.isnan(health_of(case, -0.09, 0.2).distance_down[0])
    assert health_of(case, -0.1, 0.2).distance_down[0] == pytest.approx(1.0 - 0.9 / 0.995)
    assert np.isnan(health_of(case, 0.0, 0.0).distance_down[0])


def every_other_with_portfolios(seed, **sizes):
    """A random case, of odd seeds with options and portfolio accounts."""
    case = random_case(seed, n_scenarios=1, **sizes)
    return with_portfolios(np.random.default_rng(seed), case) if seed % 2 else case


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_health_is_the_references_at_the_snapshot(seed):
    case = every_other_with_portfolios(seed, n_accounts=12)
    found, model = health_of(case), Reference(case.book, case.market, case.rules, shocks(0.0))
    prices = model.shocked(0)
    for a in range(case.book.n_accounts):
        pools = [p for p in range(*case.book.account_pool_start[[a, a + 1]]) if len(model.slots(p)) > 0]
        health = [model.health(p, prices, 0.0) for p in pools]
        gross = sum(model.gross_notional(p, prices) for p in pools)
        near = {"rel": 1e-9, "abs": 1e-9 * gross}
        assert found.margin_excess[a] == pytest.approx(min(item.margin_excess for item in health), **near)
        assert found.equity[a] == pytest.approx(sum(item.equity for item in health), **near)
        assert found.maintenance_margin[a] == pytest.approx(sum(item.maintenance_margin for item in health), **near)


@pytest.mark.parametrize("furthest", [-0.6, 0.4])
def test_distances_are_those_of_a_scan_with_the_reference(furthest):
    grid = np.linspace(0.0, 1.0, 161)
    n_found = 0
    for seed in range(8):
        case = every_other_with_portfolios(seed, n_accounts=8, is_levered=seed % 4 < 2)
        found = health_of(case, min(furthest, 0.0), max(furthest, 0.0))
        distance = found.distance_down if furthest < 0.0 else found.distance_up
        model = Reference(case.book, case.market, case.rules, shocks(furthest))
        for a in range(case.book.n_accounts):
            scans, exact = [np.inf], [np.inf]
            for p in range(*case.book.account_pool_start[[a, a + 1]]):
                if not model.can_be_liquidated(p):
                    continue
                excess = np.array([model.ray_excess(p, 0, point) for point in grid])
                scans += [grid[np.argmax(excess <= 0.0)]] if np.any(excess <= 0.0) else []
                exact += [model.first_failure(p, 0)] if model.first_failure(p, 0) < 1.0 else []
            if np.isnan(distance[a]):
                assert min(scans) == np.inf or min(scans) == 1.0
                continue
            n_found += 1
            assert distance[a] == pytest.approx(min(exact) * abs(furthest), rel=1e-9, abs=1e-12)
            # the scan is five times as fine as the kernel's own, which has the first failure between two of its steps
            assert min(scans) - 1.0 / 160.0 <= distance[a] / abs(furthest) <= min(scans) + 1e-9
    assert n_found > 10


def test_health_does_not_depend_on_what_the_kernel_ran_before():
    case = random_case(3, n_accounts=10, n_scenarios=6)
    kernel = Kernel(case.book, case.market, case.rules)
    before = account_health(kernel, -0.5, 0.5)
    first = kernel.run(case.scenarios)
    after, second = account_health(kernel, -0.5, 0.5), kernel.run(case.scenarios)
    for name in ("margin_excess", "equity", "maintenance_margin", "distance_down", "distance_up"):
        assert getattr(before, name).tobytes() == getattr(after, name).tobytes()
    assert all(first.values[key].tobytes() == value.tobytes() for key, value in second.values.items())


def test_a_kernel_leaves_the_book_as_it_was():
    case = random_case(4, n_accounts=10, n_scenarios=3)
    before = {name: value.copy() for name, value in case.book.arrays().items()}
    Kernel(case.book, case.market, case.rules).run(case.scenarios)
    assert all(np.array_equal(before[name], value, equal_nan=True) for name, value in case.book.arrays().items())
    assert case.book.mark_price.flags.writeable
