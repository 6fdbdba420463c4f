"""Options and portfolio accounts: prices by hand, bits, and what the volatility axis moves."""

from dataclasses import replace

import numpy as np
import pytest
from strategies import random_case
from support.random_portfolios import with_portfolios

from riskpipe.liquidation.kernel import Kernel
from riskpipe.liquidation.reference import Reference
from riskpipe.pricing.black76 import option_value


def portfolio_case(seed, n_scenarios=6):
    rng = np.random.default_rng(seed)
    return with_portfolios(rng, random_case(seed, n_accounts=10, n_scenarios=n_scenarios, is_levered=False))


def test_bits_do_not_depend_on_how_scenarios_are_cut_into_blocks():
    n_closed = 0
    for seed in range(6):
        case = portfolio_case(seed, n_scenarios=40)
        kernel = Kernel(case.book, case.market, case.rules)
        whole = kernel.run(case.scenarios).values
        for start in range(0, 40, 13):
            part = kernel.run(case.scenarios.slab(start, min(40, start + 13))).values
            for key, values in part.items():
                assert values.tobytes() == whole[key][start : start + 13].tobytes(), key
        n_closed += int(np.count_nonzero(whole["system/rounds"]))
    assert n_closed > 60


def test_marks_of_options_are_black_76_at_the_moved_forward_and_volatility():
    case = portfolio_case(3)
    book, market = case.book, case.market
    scenarios = replace(
        case.scenarios,
        index_shock=np.array([0.0, -0.3, 0.2, 0.0, -0.3, 0.2]),
        basis_shock=np.zeros(6),
        vol_shock=np.array([0.0, 0.0, 0.5, 0.5, -0.3, -1.0]),
        depth_factor=np.full(6, 1e12),  # nothing that is closed moves a price
    )
    values = Kernel(book, market, case.rules).run(scenarios).values
    years = book.years_to_expiry
    for i in np.flatnonzero(book.is_option):
        u, quote = book.instrument_underlying[i], book.instrument_quote[i]
        is_call, strike = bool(book.instrument_is_call[i]), book.instrument_strike[i]
        for s in range(6):
            moved = [1.0 + market.index_beta[c] * scenarios.index_shock[s] for c in (u, quote)]
            forward = market.option_forward[i] * moved[0] / moved[1]
            vol = market.option_vol[i] * (1.0 + scenarios.vol_shock[s])
            worth = option_value(is_call, forward, strike, years[i], vol, 1.0)
            expected = worth / forward if book.instrument_settlement[i] == u else worth
            assert values["instruments/mark_price"][s, i] == pytest.approx(expected, rel=1e-6, abs=1e-12)
        assert np.all(np.isnan(values["instruments/basis"][:, i]))
        assert values["instruments/mark_price"][0, i] == pytest.approx(book.mark_price[i], rel=1e-6, abs=1e-12)


def test_the_volatility_axis_moves_results_of_books_with_options_only():
    n_moved = 0
    for seed in range(8):
        case = portfolio_case(seed, n_scenarios=2)
        shocks = replace(
            case.scenarios,
            index_shock=np.full(2, -0.05),
            basis_shock=np.zeros(2),
            vol_shock=np.array([0.0, 1.0]),
            depth_factor=np.ones(2),
            haircut_shock=np.zeros(2),
            variant=np.zeros(2, np.int32),
        )
        loss = Kernel(case.book, case.market, case.rules).run(shocks).values["funds/shortfall"]
        n_moved += not np.array_equal(loss[0], loss[1])
        plain = random_case(seed, n_scenarios=2)
        values = Kernel(plain.book, plain.market, plain.rules).run(shocks).values
        for key, rows in values.items():
            assert rows[0].tobytes() == rows[1].tobytes(), key
    assert n_moved >= 4


def test_pools_counted_as_failing_include_portfolios():
    n_failing = 0
    for seed in range(16):
        case = portfolio_case(seed)
        counted = Kernel(case.book, case.market, case.rules).failing_pools(case.scenarios)
        model = Reference(case.book, case.market, case.rules, case.scenarios)
        for s in range(len(case.scenarios)):
            prices, haircut = model.shocked(s), float(case.scenarios.haircut_shock[s])
            pools = [p for p in range(case.book.n_pools) if model.can_be_liquidated(p)]
            failing = [p for p in pools if model.health(p, prices, haircut).margin_excess < 0.0]
            assert counted[s] == len(failing)
            n_failing += sum(model.is_portfolio(p) for p in failing)
    assert n_failing > 20
