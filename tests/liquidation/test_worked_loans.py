"""Loans on paper: who is liquidated, what is sold, what is left, who pays."""

from dataclasses import replace

import numpy as np
import pytest
from support.equality import run_both
from support.worlds import Account, Contract, rules_of, shocks, world

from riskpipe.domain.rules import LendingRules
from riskpipe.liquidation.accounts import account_health
from riskpipe.liquidation.kernel import Kernel

AAVE = LendingRules(close_factor=0.5, full_health=0.95)


def loans(*accounts, lending=AAVE, threshold=0.8, bonus=0.1, own=None, index_depth=None, shock=(0.0,)):
    """Return a Case of lending accounts of 10 BTC (at 100 USD) against 700 USDT unless they say otherwise."""
    accounts = accounts or (Account("a", balances={"BTC": 10.0, "USDT": -700.0}),)
    case = world(
        [Contract("linear")],
        accounts,
        index_depth=index_depth,
        rules=rules_of({"lending": lending}, {"lending": lending}),
        scenarios=shocks(*shock),
    )
    book, terms = case.book, np.ones((2, 4))
    thresholds = np.full(len(book.slot_asset), np.nan if own is None else own)
    book = replace(
        book,
        account_is_lending=np.ones(book.n_accounts, bool),
        slot_threshold=thresholds,
        lending_threshold=threshold * terms,
        lending_bonus=bonus * terms,
    )
    return replace(case, book=book)


@pytest.mark.parametrize(
    ("shock", "sold", "short"),
    [
        (-0.10, 0.0, 0.0),  # 900 x 0.8 covers 700
        (-0.125, 0.0, 0.0),  # 875 x 0.8 = 700: equal is healthy
        (-0.14, 385.0, 0.0),  # health 0.983: half of the debt, with 10% on top
        (-0.20, 770.0, 0.0),  # health 0.914: all of it
        (-0.40, 600.0, 700.0 - 600.0 / 1.1),  # all the collateral repays no more
    ],
)
def test_a_loan_is_liquidated_as_far_as_its_health_says(shock, sold, short):
    values = run_both(loans(shock=(shock,)))
    assert values["system/liquidated_notional"][0] == pytest.approx(sold, rel=1e-12)
    assert values["exposure/liquidated_notional_long"][0].sum() == pytest.approx(sold, rel=1e-12)
    assert values["exposure/liquidated_positions"][0].sum() == (sold > 0.0)
    assert values["system/underwater_debt"][0] == pytest.approx(short, rel=1e-12, abs=1e-9)
    assert values["funds/shortfall"][0].sum() == pytest.approx(short, rel=1e-12, abs=1e-9)
    assert values["system/rounds"][0] == (sold > 0.0)


def test_half_is_closed_again_while_it_does_not_heal():
    # no bonus: 860 x 0.8 = 688 of 700; halves leave (860 - 350) 0.8 = 408 of 350: healed at once
    values = run_both(loans(bonus=0.0, lending=replace(AAVE, full_health=0.0), shock=(-0.14,)))
    assert values["system/rounds"][0] == 1.0
    # threshold 0.95, bonus 0.1: 730 of 700, then 345 of 350, 152.5 of 175, 56.25 of 87.5, 8.125 of 43.75, and nothing
    case = loans(threshold=0.95, lending=replace(AAVE, full_health=0.0), shock=(-0.27,))
    values = run_both(case)
    assert values["system/rounds"][0] == 5.0
    assert values["system/liquidated_notional"][0] == pytest.approx(730.0, rel=1e-12)
    assert values["system/underwater_debt"][0] == pytest.approx(700.0 - 730.0 / 1.1, rel=1e-12)


def test_a_liquidation_that_does_not_pay_does_not_happen():
    dear = replace(AAVE, liquidation_cost_usd=50.0)
    values = run_both(loans(lending=dear, shock=(-0.14, -0.20, -0.40)))
    assert values["system/liquidated_accounts"].tolist() == [0.0, 1.0, 1.0]  # half of the debt earns 35 only
    never = run_both(loans(lending=replace(AAVE, liquidation_cost_usd=1e6), shock=(-0.40,)))
    assert never["system/liquidated_accounts"][0] == 0.0
    assert never["system/underwater_debt"][0] == pytest.approx(100.0)
    assert never["funds/residual"][0].sum() == pytest.approx(100.0)


def test_an_underwater_loan_that_nobody_liquidates_has_its_shortfall_in_the_accounts():
    case = loans(lending=replace(AAVE, liquidation_cost_usd=1e6), shock=(-0.40,))
    part = Kernel(case.book, case.market, case.rules).run(case.scenarios).part
    assert part.account_ix.tolist() == [0]
    assert part.liquidated_scenarios.tolist() == [0]
    assert part.shortfall_max.tolist() == pytest.approx([100.0])


def test_small_loans_close_whole_and_leave_no_dust():
    small = run_both(loans(lending=replace(AAVE, full_below_usd=2000.0), shock=(-0.14,)))
    assert small["system/liquidated_notional"][0] == pytest.approx(770.0)
    dust = run_both(loans(lending=replace(AAVE, minimum_leftover_usd=400.0), shock=(-0.14,)))
    assert dust["system/liquidated_notional"][0] == pytest.approx(330.0)  # 400 of debt stay


def test_what_is_sold_moves_the_index_onto_the_next_loan():
    first = Account("first", balances={"BTC": 10.0, "USDT": -700.0})
    second = Account("second", balances={"BTC": 10.0, "USDT": -640.0})
    deep = run_both(loans(first, second, shock=(-0.14,)))
    assert deep["system/liquidated_accounts"][0] == 1.0
    thin = run_both(loans(first, second, index_depth={"BTC": 5_000.0}, shock=(-0.14,)))
    assert thin["system/liquidated_accounts"][0] == 2.0
    assert thin["system/rounds"][0] >= 2.0


def test_a_repaid_debt_is_bought_and_lifts_its_index():
    borrowed = Account("a", balances={"USDT": 1000.0, "BTC": -7.5})
    values = run_both(loans(borrowed, index_depth={"BTC": 1e5}, shock=(0.08,)))
    assert values["system/liquidated_accounts"][0] == 1.0
    assert values["instruments/mark_price"][0, 0] > 108.0


def test_an_accounts_own_threshold_wins_and_a_haircut_shock_lowers_it():
    assert run_both(loans(own=0.9, shock=(-0.14,)))["system/liquidated_accounts"][0] == 0.0
    case = loans(own=0.9)
    haircut = replace(case, scenarios=shocks(-0.14, haircut=0.1))
    assert run_both(haircut)["system/liquidated_accounts"][0] == 1.0


def test_health_and_distance_of_loans_at_the_snapshot():
    case = loans()
    health = account_health(Kernel(case.book, case.market, case.rules), -0.5, 0.5)
    assert health.equity.tolist() == pytest.approx([100.0])
    assert health.maintenance_margin.tolist() == [0.0]
    assert health.margin_excess.tolist() == pytest.approx([100.0])
    assert health.distance_down.tolist() == pytest.approx([0.125], abs=1e-9)
    assert np.isnan(health.distance_up).all()


def test_exempt_loans_are_not_liquidated():
    exempt = Account("a", balances={"BTC": 10.0, "USDT": -700.0}, is_exempt=True)
    values = run_both(loans(exempt, shock=(-0.40,)))
    assert values["system/liquidated_accounts"][0] == 0.0
    assert values["system/underwater_debt"][0] == pytest.approx(100.0)
