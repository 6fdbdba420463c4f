"""Collateral health: the protocols' own worked figures, and what every loan obeys."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskpipe.margin.lending import (
    CloseFactor,
    EMode,
    LendingAsset,
    bad_debt,
    borrow_capacity,
    collateral_liquidation_price,
    effective_terms,
    health_factor,
    is_liquidatable,
    is_toxic,
    largest_repayment,
    leaves_dust,
    liquidatable_fall,
    liquidate,
    liquidation_profit,
    permitted_repayment,
    seizure,
    smallest_profitable_repayment,
    toxic_fall,
    toxic_loan_to_value,
    weighted_collateral,
)

BORROWERS = Path(__file__).parents[2].parent / "shared" / "data" / "aave_steth_2023_06"
AAVE = "https://aave.com/docs/developers/liquidations"
V33 = "https://github.com/aave-dao/aave-v3-origin/blob/fd1fbd91/docs/3.3/Aave-v3.3-features.md"
FRONTIER = "arXiv 2510.10171, 2212.07306"

V30 = CloseFactor(share=0.5, full_health=0.95)
AFTER_V33 = CloseFactor(share=0.5, full_health=0.95, full_below_usd=2_000.0, minimum_leftover_usd=1_000.0, of="account")

USD = st.floats(1.0, 1e9)
SHARES = st.floats(0.05, 0.97)
BONUSES = st.floats(0.0, 0.15)
RULES = st.sampled_from([V30, AFTER_V33, CloseFactor()])


def largest(rule, health, debt, collateral, account_debt=None):
    return largest_repayment(
        rule,
        health=health,
        reserve_debt=debt,
        reserve_collateral=collateral,
        account_debt=debt if account_debt is None else account_debt,
    )


# ------------------------------------------------------------------------------------------ health and capacity
def test_health_factors_are_the_published_ones():
    assert health_factor(weighted_collateral([10_000.0], [0.8]), 6_000.0) == pytest.approx(1.333, abs=5e-4), AAVE
    assert health_factor(0.0, 0.0) == math.inf
    assert math.isnan(health_factor(math.nan, 0.0))


def test_equal_is_healthy_and_all_of_the_capacity_may_be_borrowed():
    assert not is_liquidatable(100_000.0, 100_000.0)
    assert is_liquidatable(math.nextafter(100_000.0, 0.0), 100_000.0)
    assert not is_liquidatable(0.0, 0.0)
    assert not is_liquidatable(math.nan, 1.0)
    assert borrow_capacity([1_000.0, 500.0], [0.8, 0.6], 100.0) == 1_000.0
    assert borrow_capacity([1_000.0], [0.8], 900.0) == 0.0
    assert math.isnan(borrow_capacity([math.nan], [0.8], 900.0))


@given(st.lists(st.tuples(USD, SHARES), min_size=1, max_size=4), USD)
def test_the_price_of_a_collateral_at_liquidation_is_where_the_health_factor_is_one(assets, debt):
    (value, threshold), rest = assets[0], assets[1:]
    other = weighted_collateral([v for v, _ in rest], [t for _, t in rest])
    price = collateral_liquidation_price(value / 50.0, threshold, other, debt)
    if math.isnan(price):
        assert other >= debt
    else:
        assert health_factor(other + value / 50.0 * price * threshold, debt) == pytest.approx(1.0)
    assert math.isnan(collateral_liquidation_price(0.0, threshold, other, debt))


def test_an_efficiency_mode_replaces_the_terms_of_its_members_only():
    plain = LendingAsset(liquidation_threshold=0.81, liquidation_bonus=0.06, loan_to_value=0.785, protocol_fee=0.1)
    mode = EMode(("wstETH", "WETH"), liquidation_threshold=0.95, liquidation_bonus=0.01, loan_to_value=0.93)
    assert effective_terms("wstETH", plain, mode) == LendingAsset(0.95, 0.01, 0.93, 0.1)
    assert effective_terms("WBTC", plain, mode) == plain
    assert effective_terms("wstETH", plain, None) == plain


def test_real_borrowers_have_the_health_that_the_chain_reported():
    pyarrow = pytest.importorskip("pyarrow.parquet")
    n = 0
    for version in ("v2", "v3"):
        file = BORROWERS / f"steth_positions_aave_{version}_2023-06.parquet"
        if not file.is_file():
            pytest.skip(f"{file} is not here")
        for row in pyarrow.read_table(file, columns=["collateral", "debt", "threshold", "healthf"]).to_pylist():
            if row["debt"] > 1.0:
                found = health_factor(weighted_collateral([row["collateral"]], [row["threshold"] / 1e4]), row["debt"])
                assert found == pytest.approx(row["healthf"], rel=1e-9)
                n += 1
    assert n > 1_000


# ------------------------------------------------------------------------------------------------ close factors
def test_the_close_factor_is_of_the_debt_repaid_and_since_v33_of_all_debt():
    debts, collateral = 3 * 3_000.0, 9_000.0
    assert largest(V30, 0.97, 3_000.0, collateral, debts) == 1_500.0, V33
    assert largest(AFTER_V33, 0.97, 3_000.0, collateral, debts) == 3_000.0, V33
    assert largest(AFTER_V33, 0.97, 8_000.0, collateral, debts) == 4_500.0
    assert largest(AFTER_V33, 0.97, 9_000.0, collateral, debts) == 4_500.0


@pytest.mark.parametrize("rule", [V30, AFTER_V33])
def test_all_may_be_repaid_at_and_below_the_full_health(rule):
    assert largest(rule, 0.95, 10_000.0, 10_000.0) == 10_000.0
    assert largest(rule, math.nextafter(0.95, 1.0), 10_000.0, 10_000.0) == 5_000.0
    assert math.isnan(largest(rule, math.nan, 10_000.0, 10_000.0))
    assert math.isnan(largest(rule, 0.96, 10_000.0, math.nan))


def test_small_debts_and_small_collateral_may_be_closed_whole():
    # threshold 1,000: collateral 2,300 and 800, debt 900 and 1,100, health 0.96
    rule = CloseFactor(share=0.5, full_health=0.95, full_below_usd=1_000.0, of="account")
    assert largest(rule, 0.96, 900.0, 2_300.0, 2_000.0) == 900.0, V33
    assert largest(rule, 0.96, 1_100.0, 800.0, 2_000.0) == 1_100.0, V33
    assert largest(rule, 0.96, 1_100.0, 2_300.0, 2_000.0) == 1_000.0
    assert largest(rule, 0.96, 900.0, 1_200.0) == 900.0
    # exactly the threshold is not small
    assert largest(AFTER_V33, 0.96, 2_000.0, 2_000.0) == 1_000.0


@pytest.mark.parametrize(
    ("repays", "debt", "collateral", "is_refused"),
    [
        (400.0, 900.0, 1_000.0, False),  # 500 left of either side, or more
        (401.0, 900.0, 1_000.0, True),
        (899.0, 900.0, 1_000.0, True),
        (900.0, 900.0, 1_000.0, False),  # all of the debt
        (400.0, 400.0, 1_000.0, False),
        (200.0, 400.0, 1_000.0, True),
        (400.0, 900.0, 400.0, False),  # all of the collateral
        (399.0, 900.0, 400.0, True),
        (500.0, 1_100.0, 1_000.0, False),
        (501.0, 1_100.0, 1_000.0, True),
    ],
)
def test_what_is_left_is_nothing_or_enough(repays, debt, collateral, is_refused):
    # minimum 500, no bonus: of 900 of debt up to 400 or all, of 1,000 of collateral up to 500 or all
    rule = CloseFactor(full_health=0.95, full_below_usd=1_000.0, minimum_leftover_usd=500.0)
    assert leaves_dust(rule, debt_left=debt - repays, collateral_left=collateral - repays) == is_refused, V33
    permitted = permitted_repayment(rule, repays, debt=debt, collateral=collateral, bonus=0.0)
    assert (permitted.repaid == repays) != is_refused
    assert (
        not leaves_dust(rule, debt_left=debt - permitted.repaid, collateral_left=collateral - permitted.seized)
        or permitted.repaid == 0.0
    )


def test_a_repayment_that_would_leave_dust_is_cut_until_both_sides_keep_the_minimum():
    terms = {"debt": 5_000.0, "bonus": 0.1}
    of_collateral = permitted_repayment(AFTER_V33, 2_000.0, collateral=2_500.0, **terms)
    assert (of_collateral.repaid, of_collateral.seized) == pytest.approx((1_500.0 / 1.1, 1_500.0))
    of_debt = permitted_repayment(AFTER_V33, 4_500.0, collateral=9_000.0, **terms)
    assert (of_debt.repaid, of_debt.seized) == pytest.approx((4_000.0, 4_400.0))
    assert permitted_repayment(AFTER_V33, 500.0, collateral=900.0, **terms).repaid == 0.0


@given(RULES, st.floats(1.0, 1e4), st.floats(1.0, 1e4), st.floats(1.0, 1e4), BONUSES, st.floats(0.0, 0.5))
def test_a_permitted_repayment_is_within_its_bounds_and_leaves_no_dust(rule, most, debt, collateral, bonus, fee):
    step = permitted_repayment(rule, most, debt=debt, collateral=collateral, bonus=bonus, protocol_fee=fee)
    assert 0.0 <= step.repaid <= min(most, debt)
    assert step.seized <= collateral
    assert step.seized == pytest.approx(step.repaid * (1.0 + bonus))
    left = {"debt_left": debt - step.repaid, "collateral_left": collateral - step.seized}
    slack = 1e-9 * max(debt, collateral)
    if step.repaid > 0.0 and left["debt_left"] > slack and left["collateral_left"] > slack:
        assert min(left.values()) >= rule.minimum_leftover_usd - slack


# ------------------------------------------------------------------------------------------------------- seizure
def test_a_liquidator_takes_the_debt_with_its_bonus_and_never_more_than_there_is():
    step = seizure(1_000.0, collateral=5_000.0, bonus=0.05, protocol_fee=0.1)
    assert (step.repaid, step.seized, step.protocol_fee) == pytest.approx((1_000.0, 1_050.0, 5.0))
    short = seizure(1_000.0, collateral=525.0, bonus=0.05, protocol_fee=0.1)
    assert (short.repaid, short.seized, short.protocol_fee) == pytest.approx((500.0, 525.0, 2.5))
    for terms in ({"collateral": math.nan, "bonus": 0.05}, {"collateral": 1.0, "bonus": math.nan}):
        assert math.isnan(seizure(1_000.0, **terms).repaid)
    assert math.isnan(permitted_repayment(V30, math.nan, debt=1.0, collateral=1.0, bonus=0.0).seized)
    assert math.isnan(permitted_repayment(V30, 1.0, debt=math.nan, collateral=1.0, bonus=0.0).seized)


# ------------------------------------------------------------------------------------------------ profitability
def test_gas_sets_a_floor_under_which_nobody_liquidates():
    assert liquidation_profit(2_000.0, bonus=0.01, cost=20.0) == pytest.approx(0.0), V33
    assert smallest_profitable_repayment(20.0, bonus=0.01) == pytest.approx(2_000.0), V33
    assert smallest_profitable_repayment(20.0, bonus=0.05, protocol_fee=0.1) == pytest.approx(20.0 / 0.045)
    # 1,045 of collateral arrive, and selling it loses a hundredth
    assert liquidation_profit(1_000.0, bonus=0.05, protocol_fee=0.1, slippage=0.01) == pytest.approx(45.0 - 10.45)
    assert smallest_profitable_repayment(20.0, bonus=0.05, slippage=0.05) == math.inf
    assert smallest_profitable_repayment(20.0, bonus=0.0) == math.inf
    assert math.isnan(smallest_profitable_repayment(math.nan, bonus=0.05))


@given(st.floats(1.0, 1e4), st.floats(0.01, 0.15), st.floats(0.0, 0.5), st.floats(0.0, 0.02))
def test_the_smallest_profitable_repayment_earns_nothing_and_more_earns_something(cost, bonus, fee, slippage):
    terms = {"bonus": bonus, "protocol_fee": fee, "slippage": slippage}
    least = smallest_profitable_repayment(cost, **terms)
    if math.isinf(least):
        assert liquidation_profit(1e12, cost=cost, **terms) <= 0.0
    else:
        assert liquidation_profit(least, cost=cost, **terms) == pytest.approx(0.0, abs=1e-9 * least)
        assert liquidation_profit(1.01 * least, cost=cost, **terms) > 0.0


# ------------------------------------------------------------------------------------------------ toxic frontier
def test_the_toxic_frontier_is_the_published_one():
    frontier = [toxic_loan_to_value(bonus) for bonus in (0.05, 0.08, 0.1)]
    assert frontier == pytest.approx([0.952380952, 0.925925926, 0.909090909], abs=1e-8), FRONTIER
    assert is_toxic(0.96, 0.05)
    assert not is_toxic(0.95, 0.05)
    assert not is_toxic(math.nan, 0.05)


@given(st.floats(0.3, 1.2), BONUSES, st.floats(0.01, 0.5))
def test_liquidating_lowers_loan_to_value_on_the_safe_side_only(loan_to_value, bonus, share):
    collateral, debt = 1_000.0, 1_000.0 * loan_to_value
    step = seizure(share * debt, collateral=collateral, bonus=bonus)
    if step.seized >= collateral or abs(loan_to_value * (1.0 + bonus) - 1.0) < 1e-6:
        return
    after = (debt - step.repaid) / (collateral - step.seized)
    assert (after > loan_to_value) == is_toxic(loan_to_value, bonus)


@given(st.floats(1.0, 4.0), SHARES, BONUSES)
def test_falls_to_liquidation_and_to_bad_debt(health, threshold, bonus):
    collateral = 1_000.0
    debt = collateral * threshold / health
    eligible = collateral * (1.0 - liquidatable_fall(health))
    assert health_factor(eligible * threshold, debt) == pytest.approx(1.0)
    fall = toxic_fall(health, threshold, bonus)
    if fall > 0.0:
        assert bad_debt(debt, collateral * (1.0 - fall), bonus) == pytest.approx(0.0, abs=1e-9 * debt)
    assert bad_debt(debt, collateral * (1.0 - fall - 0.01), bonus) > 0.0
    assert liquidatable_fall(0.9) == 0.0
    assert math.isnan(liquidatable_fall(math.nan))


def test_a_loop_at_95_percent_has_little_room_between_liquidation_and_loss():
    health = 1.0 / (1.0 - 0.035)
    assert liquidatable_fall(health) == pytest.approx(0.035)
    assert toxic_fall(health, 0.95, 0.01) == pytest.approx(1.0 - 1.01 * 0.95 * 0.965)
    assert bad_debt(1_000.0, 1_010.0, 0.01) == 0.0
    assert bad_debt(1_000.0, 505.0, 0.01) == pytest.approx(500.0)
    assert math.isnan(bad_debt(math.nan, 505.0, 0.01))


# ------------------------------------------------------------------------------------------- a loan to its end
@given(RULES, USD, SHARES, BONUSES, st.floats(0.5, 1.1), st.floats(0.0, 0.3), st.sampled_from([0.0, 5.0, 80.0]))
def test_a_loan_ends_healthy_or_empty_or_not_worth_while(rule, collateral, threshold, bonus, health, fee, cost):
    debt = collateral * threshold / health
    terms = {"bonus": bonus, "protocol_fee": fee, "cost": cost}
    end = liquidate(rule, debt=debt, collateral=collateral, threshold=threshold, **terms)
    assert end.debt_left + end.repaid == pytest.approx(debt)
    assert end.collateral_left + end.seized == pytest.approx(collateral)
    assert end.seized == pytest.approx(end.repaid * (1.0 + bonus))
    assert end.protocol_fee == pytest.approx(end.repaid * bonus * fee)
    if not is_liquidatable(collateral * threshold, debt):
        assert end.n_liquidations == 0
    if is_liquidatable(end.collateral_left * threshold, end.debt_left) and end.collateral_left > 0.0:
        most = largest(
            rule,
            health_factor(end.collateral_left * threshold, end.debt_left),
            end.debt_left,
            end.collateral_left,
        )
        step = permitted_repayment(
            rule, most, debt=end.debt_left, collateral=end.collateral_left, bonus=bonus, protocol_fee=fee
        )
        assert liquidation_profit(step.repaid, **terms) <= 0.0 or end.n_liquidations == 1_000
    if end.collateral_left == 0.0:
        assert end.debt_left == pytest.approx(bad_debt(debt, collateral, bonus), abs=1e-9 * debt)


def test_a_loan_too_small_for_the_gas_stays_liquidatable_and_is_not_liquidated():
    terms = {"debt": 900.0, "collateral": 1_000.0, "threshold": 0.85, "bonus": 0.05}
    assert liquidate(V30, **terms, cost=50.0).n_liquidations == 0
    assert liquidate(V30, **terms, cost=40.0).repaid == pytest.approx(900.0)
    unknown = liquidate(V30, **(terms | {"debt": math.nan}))
    assert math.isnan(unknown.repaid)
    assert unknown.n_liquidations == 0
