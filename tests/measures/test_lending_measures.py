import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import random_case
from support.cubes import kernel_cube
from support.hand_made import hand_made
from support.loan_cubes import HandLoan, loan_cube
from support.random_loans import with_loans

from riskpipe.domain.scenarios import Variant
from riskpipe.errors import ComputeError
from riskpipe.liquidation.reference import Reference
from riskpipe.liquidation.reference_loans import loan_at
from riskpipe.margin.lending import bad_debt, is_liquidatable, is_toxic, liquidatable_fall
from riskpipe.measures.lending import FALLS, loans, underwater
from riskpipe.scenarios.grid import scenario_set

SAFE = HandLoan(200.0, 0.8, 0.05, 100.0, venue="bravo")
TIGHT = HandLoan(130.0, 0.8, 0.05, 100.0, weight=3.0)
GREEDY = HandLoan(130.0, 0.95, 0.1, 100.0)
LATE = HandLoan(104.0, 0.8, 0.05, 100.0, weight=2.0)
EMPTY = HandLoan(0.0, 0.8, 0.05, 10.0)
BY_HAND = (SAFE, TIGHT, GREEDY, LATE, EMPTY)
CUMULATED = ("liquidatable_debt", "toxic_debt", "liquidatable_toxic_debt", "toxic_accounts")

LOANS = st.lists(
    st.builds(
        HandLoan,
        st.floats(50.0, 500.0),
        st.floats(0.3, 0.99),
        st.floats(0.0, 0.3),
        st.floats(10.0, 400.0),
        st.sampled_from([1.0, 2.5, 7.0]),
        st.sampled_from(["alpha", "bravo"]),
    ),
    min_size=1,
    max_size=8,
)
few = settings(max_examples=25)


def at(taken, name, venue, *falls):
    one = taken[name].sel(venue=venue)
    return one.sel(fall=list(falls)).values.tolist() if falls else float(one)


def test_known_loans_stand_where_they_become_liquidatable_and_toxic():
    taken = loans(loan_cube(BY_HAND))
    assert taken["venue"].values.tolist() == ["alpha", "bravo"]  # who has no loan is not listed
    assert at(taken, "accounts", "alpha") == 3 + 1 + 2 + 1
    assert at(taken, "debt", "alpha") == 300 + 100 + 200 + 10
    assert at(taken, "lowest_health", "alpha") == 0.0
    assert at(taken, "lowest_health_debt", "alpha") == 10.0
    assert at(taken, "lowest_health", "bravo") == 1.6
    # at the snapshot: LATE is past its threshold and worth less than debt and bonus, EMPTY holds nothing
    assert at(taken, "toxic_accounts", "alpha", 0.0) == [3.0]
    # TIGHT is liquidatable beyond 1 - 1 / 1.04 and toxic beyond 1 - 105 / 130; GREEDY is toxic beyond 1 - 110 / 130 and
    # liquidatable only beyond 1 - 1 / 1.235: toxic first
    falls = (0.0, 0.02, 0.05, 0.15, 0.2, 0.5)
    assert at(taken, "liquidatable_debt", "alpha", *falls) == [210.0, 210.0, 510.0, 510.0, 610.0, 610.0]
    assert at(taken, "toxic_debt", "alpha", *falls) == [210.0, 210.0, 210.0, 210.0, 610.0, 610.0]
    assert at(taken, "toxic_once_liquidatable_debt", "alpha") == 100 + 200 + 10
    assert at(taken, "toxic_once_liquidatable_debt", "bravo") == 0.0
    # SAFE: liquidatable beyond 37.5%, toxic beyond 47.5%
    assert at(taken, "liquidatable_debt", "bravo", 0.3, 0.4, 0.5) == [0.0, 100.0, 100.0]
    assert at(taken, "liquidatable_toxic_debt", "bravo", 0.3, 0.4, 0.5) == [0.0, 0.0, 100.0]


@few
@given(LOANS)
def test_debt_within_a_fall_only_grows_with_the_fall(drawn):
    taken = loans(loan_cube(drawn))
    for name in CUMULATED:
        assert (np.diff(taken[name].values, axis=1) >= 0.0).all()
    assert (taken["liquidatable_toxic_debt"] <= np.minimum(taken["liquidatable_debt"], taken["toxic_debt"])).all()
    assert (taken["toxic_debt"] <= taken["debt"]).all()
    assert float(taken["debt"].sum()) == pytest.approx(sum(loan.debt * loan.weight for loan in drawn), rel=1e-12)


@few
@given(LOANS)
def test_the_frontier_is_the_scalar_definition_of_each_loan_after_the_fall(drawn):
    taken = loans(loan_cube(drawn))
    for fall in FALLS:
        liquidatable = toxic = slack = 0.0  # slack: debt within rounding of an edge
        for loan in drawn:
            left, owed = loan.collateral * (1.0 - fall), loan.debt * loan.weight
            edges = (left * loan.threshold, left / (1.0 + loan.bonus))
            if loan.debt in [pytest.approx(edge, rel=1e-9) for edge in edges]:
                slack += owed
                continue
            assert is_toxic(loan.debt / left, loan.bonus) == (bad_debt(loan.debt, left, loan.bonus) > 0.0)
            liquidatable += owed * is_liquidatable(left * loan.threshold, loan.debt)
            toxic += owed * is_toxic(loan.debt / left, loan.bonus)
        one = taken.sel(fall=fall).sum("venue")
        assert float(one["liquidatable_debt"]) == pytest.approx(liquidatable, rel=1e-9, abs=slack)
        assert float(one["toxic_debt"]) == pytest.approx(toxic, rel=1e-9, abs=slack)


@few
@given(LOANS)
def test_toxic_once_liquidatable_is_the_static_check_of_an_asset_or_both_already(drawn):
    found = float(loans(loan_cube(drawn))["toxic_once_liquidatable_debt"].sum())
    expected = slack = 0.0
    for loan in drawn:
        owed = loan.debt * loan.weight
        if loan.threshold * (1.0 + loan.bonus) == pytest.approx(1.0, rel=1e-9):
            slack += owed
            continue
        is_once = loan.toxic_fall <= liquidatable_fall(loan.health)
        is_both = loan.toxic_fall == 0.0 and loan.health < 1.0
        assert is_once == (is_toxic(loan.threshold, loan.bonus) or is_both)
        expected += owed * is_once
    assert found == pytest.approx(expected, rel=1e-9, abs=slack)


def test_a_loan_exactly_at_its_threshold_after_the_fall_is_healthy():
    loan = HandLoan(250.0, 0.5, 0.0, 100.0)
    assert loan.health == 1.25
    assert at(loans(loan_cube([loan])), "liquidatable_debt", "alpha", 0.2, 0.3) == [0.0, 100.0]


def test_a_book_without_loans_has_no_venue_and_no_error():
    taken = loans(hand_made({"index_shock": [-0.1, 0.0]}))
    assert dict(taken.sizes) == {"venue": 0, "fall": len(FALLS)}
    assert float(taken["toxic_debt"].sum()) == 0.0


@pytest.mark.parametrize("key", ["accounts/health_factor", "accounts/toxic_fall"])
def test_a_loan_whose_state_is_unknown_is_an_error_and_not_a_healthy_loan(key):
    with pytest.raises(ComputeError, match="NaN for 1 of 2 accounts with debt"):
        loans(loan_cube([SAFE, TIGHT], **{key: [1.1, np.nan, np.nan]}))


def test_loans_of_a_random_book_are_those_of_its_specification():
    case = with_loans(np.random.default_rng(3), random_case(3, n_accounts=6), 40)
    book, scenarios = case.book, scenario_set({"index_shock": [0.0]}, [], (Variant(),))
    model = Reference(book, case.market, case.rules, scenarios)
    prices = model.shocked(0)
    expected = {name: np.zeros(len(FALLS)) for name in CUMULATED}
    for p in range(book.n_pools):
        a = int(book.pool_account[p])
        if not book.account_is_lending[a]:
            continue
        loan, weight = loan_at(model, p, prices, 0.0), float(book.account_weight[a])
        for n, fall in enumerate(FALLS if loan.debt > 0.0 else ()):
            left, owed = loan.collateral * (1.0 - fall), loan.debt * weight
            can = is_liquidatable(loan.weighted * (1.0 - fall), loan.debt)
            toxic = is_toxic(loan.debt / left, loan.bonus)
            expected["liquidatable_debt"][n] += owed * can
            expected["toxic_debt"][n] += owed * toxic
            expected["liquidatable_toxic_debt"][n] += owed * (can and toxic)
            expected["toxic_accounts"][n] += weight * toxic
    taken = loans(kernel_cube(case, scenarios))
    for name, values in expected.items():
        assert values[-1] > values[0]
        np.testing.assert_allclose(taken[name].sum("venue"), values, rtol=1e-9)


def test_underwater_debt_is_that_of_the_neutral_cells_as_low_central_and_high():
    variants = (Variant(gap_share=1.0), Variant(gap_share=0.0))
    axes = {"index_shock": [-0.3, -0.1], "depth_factor": [0.1, 1.0]}
    tree = hand_made(axes, variants=variants, historical=[("a bad day", {"index_shock": -0.2})])
    debt = tree["system"]["underwater_debt"]
    debt.values[:] = 100.0 * np.arange(len(debt)) + 1.0
    cells = debt.to_dataset().to_dataframe().reset_index()
    found = underwater(tree)
    assert found["index_shock"].values.tolist() == [-0.3, -0.1]
    on_line = cells[(cells["set"] == "grid") & (cells["depth_factor"] == 1.0)]
    for shock in (-0.3, -0.1):
        by_variant = on_line[on_line["index_shock"] == shock].set_index("variant")["underwater_debt"]
        one = found.sel(index_shock=shock)
        assert one["underwater_debt"].values.tolist() == [by_variant[label] for label in found["variant"].values]
        assert float(one["central"]) == by_variant[found["variant"].values[0]]
        assert (float(one["low"]), float(one["high"])) == (by_variant.min(), by_variant.max())
        assert float(one["low"]) < float(one["high"])


def test_without_a_grid_there_is_no_underwater_ladder():
    tree = hand_made({"index_shock": [-0.1, 0.0]}, {"system/underwater_debt": [5.0, 0.0]})
    tree["system"] = tree["system"].to_dataset().assign_coords(set=("scenario", ["historical"] * 2))
    found = underwater(tree)
    assert found.sizes["index_shock"] == 0
    assert found["high"].shape == (0,)
