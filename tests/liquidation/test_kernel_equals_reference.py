"""The compiled kernel against the specification in plain loops, on random books and on deep cascades."""

from collections import Counter, defaultdict
from dataclasses import replace
from itertools import product

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import cases, random_case, with_own_moves
from support.cascades import deep_cases
from support.equality import KNIFE_EDGE, compared, gross_notional, run
from support.mixed_margin import with_mixed_margin
from support.random_loans import with_loans
from support.random_portfolios import with_portfolios

from riskpipe.liquidation.kernel import Kernel
from riskpipe.liquidation.reference import Reference

# what the rules of this stage of the model can never fill: lending pools, backstops and socialised losses
ALWAYS_NIL = {"funds/backstop_loss", "funds/socialised_loss", "system/underwater_debt"}


def compare(case, tally):
    """Compare every scenario but those within 1e-9 of another history, and count what was exercised."""
    values = run(case)
    tally["keys"] = set(values)
    for outcome in compared(case, values, range(len(case.scenarios)), tally):
        for key, value in outcome.values.items():
            tally[key] += bool(np.any(value != 0.0))
        tally["five rounds"] += int(outcome.values["system/rounds"] >= 5.0)
        tally["most rounds"] = max(tally["most rounds"], int(outcome.values["system/rounds"]))


def tell(tally, capsys, what):
    with capsys.disabled():
        print(  # noqa: T201 - the share of discarded examples is part of the result
            f"\n{what}: {tally['scenarios']} scenarios, {tally['knife edges']} discarded within {KNIFE_EDGE:g} of a"
            f" trigger ({tally['knife edges'] / tally['scenarios']:.2%}), {tally['five rounds']} of five rounds or more"
            f" (most {tally['most rounds']})"
        )
    assert tally["knife edges"] < 0.02 * tally["scenarios"]


def test_every_variable_equals_the_reference_on_random_books(capsys):
    tally = Counter()

    @settings(max_examples=400)
    @given(cases())
    def compare_one(case):
        compare(case, tally)

    compare_one()
    tell(tally, capsys, "random books")
    never = tally["keys"] - {key for key in tally["keys"] if tally[key]}
    assert never <= ALWAYS_NIL | {"system/max_rounds_hit"}


def test_every_variable_equals_the_reference_in_deep_cascades(capsys):
    tally = Counter()

    @settings(max_examples=150)
    @given(deep_cases())
    def compare_one(case):
        compare(case, tally)

    compare_one()
    tell(tally, capsys, "deep cascades")
    assert tally["five rounds"] >= 20
    for key in ("funds/adl_loss", "funds/residual", "system/price_limits_hit", "system/max_rounds_hit"):
        assert tally[key] >= 15, key
    never = tally["keys"] - {key for key in tally["keys"] if tally[key]}
    assert never == ALWAYS_NIL


def test_every_variable_equals_the_reference_when_every_contract_has_its_own_margin_model(capsys):
    tally = Counter()

    @settings(max_examples=250)
    @given(cases(), st.integers(0, 2**32 - 1))
    def compare_one(case, seed):
        case = with_mixed_margin(np.random.default_rng(seed), case)
        compare(case, tally)
        for rules in case.rules.contracts.values():
            tally[rules.unit, rules.valued_at, rules.maintenance_slope > 0.0] += 1

    compare_one()
    tell(tally, capsys, "mixed margin models")
    for unit, valued_at in product(("usd", "coin"), ("mark", "entry")):
        for has_slope in (False, True):
            assert tally[unit, valued_at, has_slope] >= 20


def test_every_variable_equals_the_reference_with_loans_beside_margin_accounts(capsys):
    tally = Counter()

    @settings(max_examples=250)
    @given(cases(max_accounts=8), st.integers(0, 2**32 - 1), st.integers(1, 12))
    def compare_one(case, seed, n_loans):
        rng = np.random.default_rng(seed)
        case = with_loans(rng, case, n_loans)
        compare(with_mixed_margin(rng, case) if seed % 2 else case, tally)

    compare_one()
    tell(tally, capsys, "with loans")
    never = tally["keys"] - {key for key in tally["keys"] if tally[key]}
    assert never <= ALWAYS_NIL - {"system/underwater_debt"} | {"system/max_rounds_hit"}


def test_every_variable_equals_the_reference_with_options_and_portfolio_accounts(capsys):
    tally = Counter()

    @settings(max_examples=250)
    @given(cases(max_accounts=10), st.integers(0, 2**32 - 1))
    def compare_one(case, seed):
        case = with_portfolios(np.random.default_rng(seed), case)
        compare(case, tally)
        tally["options"] += int(np.count_nonzero(case.book.is_option[case.book.position_instrument]))

    compare_one()
    tell(tally, capsys, "with portfolios")
    assert tally["options"] > 500
    never = tally["keys"] - {key for key in tally["keys"] if tally[key]}
    assert never <= ALWAYS_NIL | {"system/max_rounds_hit"}


def test_every_variable_equals_the_reference_when_assets_and_bases_move_on_their_own(capsys):
    tally = Counter()

    @settings(max_examples=300)
    @given(cases(max_accounts=10, max_scenarios=5), st.integers(0, 2**32 - 1))
    def compare_one(case, seed):
        rng = np.random.default_rng(seed)
        if seed % 3 == 0:
            case = with_portfolios(rng, case)
        elif seed % 3 == 1:
            case = with_loans(rng, case, 4)
        case = with_own_moves(rng, case)
        compare(case, tally)
        tally["assets"] += case.scenarios.asset_shock is not None and bool(
            np.any(~np.isnan(case.scenarios.asset_shock))
        )
        tally["bases"] += bool(np.any(case.scenarios.instrument_basis_shock))

    compare_one()
    tell(tally, capsys, "moves of their own")
    assert min(tally["assets"], tally["bases"]) > 60, tally
    never = tally["keys"] - {key for key in tally["keys"] if tally[key]}
    assert never <= ALWAYS_NIL | {"system/max_rounds_hit"}


def test_every_variable_equals_the_reference_when_every_model_meets_in_one_book(capsys):
    tally = Counter()

    @settings(max_examples=150)
    @given(cases(max_accounts=8), st.integers(0, 2**32 - 1), st.integers(1, 8))
    def compare_one(case, seed, n_loans):
        rng = np.random.default_rng(seed)
        case = with_loans(rng, with_portfolios(rng, with_mixed_margin(rng, case), share=0.5), n_loans)
        compare(case, tally)
        is_scanned = case.book.account_is_portfolio[case.book.pool_account]
        tally["scanned"] += int(is_scanned.sum())
        tally["tiered"] += int((~is_scanned & ~case.book.account_is_lending[case.book.pool_account]).sum())

    compare_one()
    tell(tally, capsys, "every model in one book")
    assert min(tally["scanned"], tally["tiered"]) > 200
    never = tally["keys"] - {key for key in tally["keys"] if tally[key]}
    assert never <= ALWAYS_NIL - {"system/underwater_debt"} | {"system/max_rounds_hit"}


def in_two_sets(scenarios):
    """Every other scenario under the central variant, every third historical."""
    at = np.arange(len(scenarios), dtype=np.int32)
    return replace(scenarios, variant=at % 2, set_index=(at % 3 == 2).astype(np.int32), sets=("grid", "historical"))


def test_account_parts_equal_the_reference():
    tally = Counter()

    @settings(max_examples=60)
    @given(st.integers(0, 2**32 - 1), st.integers(4, 16))
    def compare_one(seed, n_accounts):
        case = random_case(seed, n_accounts=n_accounts, n_scenarios=6)
        scenarios = in_two_sets(case.scenarios)
        part = Kernel(case.book, case.market, case.rules).run(scenarios).part
        model = Reference(case.book, case.market, case.rules, scenarios)
        hits, worst = Counter(), defaultdict(float)
        for s in np.flatnonzero(scenarios.variant == 0):
            outcome = model.run(s)
            assume(outcome.knife_edge >= KNIFE_EDGE)
            for account, shortfall in outcome.account_shortfall.items():
                key = account, int(scenarios.set_index[s])
                hits[key] += 1
                worst[key] = max(worst[key], shortfall)
        rows = sorted(hits)
        assert list(zip(part.account_ix.tolist(), part.set_ix.tolist(), strict=True)) == rows
        assert part.liquidated_scenarios.tolist() == [hits[row] for row in rows]
        expected = np.array([worst[row] for row in rows])
        scale = gross_notional(case)
        assert np.all(np.abs(part.shortfall_max - expected) <= 1e-9 * np.maximum(expected, scale))
        tally["twice"] += sum(count > 1 for count in hits.values())
        tally["short"] += sum(value > 0.0 for value in worst.values())
        tally["historical"] += sum(set_ix for _, set_ix in rows)

    compare_one()
    assert min(tally[name] for name in ("twice", "short", "historical")) > 20, tally
