"""Contributions add up to expected shortfall, and are what the specification says account by account."""

from dataclasses import replace

import numpy as np
import pytest
from strategies import random_case
from support.book_changes import take_accounts
from support.random_loans import with_loans

from riskpipe.config import SimulatedConfig
from riskpipe.errors import ComputeError
from riskpipe.liquidation.kernel import Kernel
from riskpipe.liquidation.reference import Reference
from riskpipe.measures.distribution import tail_mean
from riskpipe.run.attribution import contributions, mean_without, tail_of
from riskpipe.run.bearers import Bearers

LEVEL = 0.6
ASKED = SimulatedConfig(n=10, attributed_level=LEVEL, without_entities=2)


def simulated_case(seed):
    """Ten simulated scenarios of unequal probability between grid cells, loans beside accounts, two variants."""
    rng = np.random.default_rng(seed)
    case = with_loans(rng, random_case(seed, n_accounts=14, n_scenarios=24), 6)
    n = len(case.scenarios)
    number = np.arange(n)
    is_simulated = (number >= 3) & (number < 23)
    probability = np.where(is_simulated, np.tile(rng.dirichlet(np.ones(10)), 3)[:n], np.nan)
    return replace(
        case,
        scenarios=replace(
            case.scenarios,
            sets=("grid", "simulated"),
            set_index=is_simulated.astype(np.int32),
            variants=case.scenarios.variants[:2],
            variant=(number >= 13).astype(np.int32),
            probability=probability,
        ),
    )


def tail_and_kernel(case):
    kernel = Kernel(case.book, case.market, case.rules)
    values = kernel.run(case.scenarios).values
    shortfall = values["funds/shortfall"]
    return tail_of(case.scenarios, shortfall, values["funds/adl_loss"], LEVEL), kernel, shortfall


def attributed(case, tail, kernel):
    return contributions(kernel, case.scenarios, tail, ASKED, Bearers(case.book))


@pytest.mark.parametrize("seed", range(4))
def test_every_kind_of_contribution_adds_up_to_expected_shortfall(seed):
    case = simulated_case(seed)
    tail, kernel, shortfall = tail_and_kernel(case)
    rows = np.arange(3, 13)
    expected = tail_mean(shortfall[rows].sum(axis=1), case.scenarios.probability[rows], LEVEL)
    assert expected > 0.0
    assert set(tail.row.tolist()) <= set(rows.tolist())
    found = attributed(case, tail, kernel)
    parts = {name: found[f"{name}_contribution"].sum() for name in ("fund", "venue", "segment")}
    parts["underlying"] = found["underlying_contribution"].sum() + found["debt_contribution"].sum()
    for name, total in parts.items():
        assert total == pytest.approx(expected, rel=1e-12), name


@pytest.mark.parametrize("seed", range(2))
def test_an_account_adds_the_mean_of_its_own_shortfall_over_the_tail(seed):
    case = simulated_case(seed)
    tail, kernel, _ = tail_and_kernel(case)
    found = attributed(case, tail, kernel)
    model, book = Reference(case.book, case.market, case.rules, case.scenarios), case.book
    expected = np.zeros(book.n_accounts)
    for row, weight in zip(tail.row.tolist(), tail.weight, strict=True):
        for a, usd in model.run(row).account_shortfall.items():
            expected[a] += weight * usd
    names = book.names("account")
    told = {name: usd for name, usd in zip(found["account_name"], found["account_contribution"], strict=True) if name}
    has_one_owner = book.account_has_entity | (book.account_weight == 1.0)
    assert set(told) == {names[a] for a in np.flatnonzero(has_one_owner & (expected > 0.0))}
    for name, usd in told.items():
        assert usd == pytest.approx(expected[names.index(name)], rel=1e-9)
    assert (np.diff(found["account_contribution"]) <= 0.0).all()
    by_entity = np.bincount(book.account_entity, np.where(has_one_owner, expected, 0.0))
    entities = book.names("entity")
    for name, usd in zip(found["entity_name"], found["entity_contribution"], strict=True):
        assert usd == pytest.approx(by_entity[entities.index(name)] if name else 0.0, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_without_an_owner_is_the_tail_of_the_book_that_does_not_have_its_accounts(seed):
    case = simulated_case(seed)
    tail, kernel, _ = tail_and_kernel(case)
    found = attributed(case, tail, kernel)
    e = case.book.names("entity").index(str(found["entity_name"][0]))
    rest, _ = take_accounts(case.book, np.flatnonzero(case.book.account_entity != e))
    shortfall = Kernel(rest, case.market, case.rules).run(case.scenarios.take(tail.row)).values["funds/shortfall"]
    expected = float(tail.weight @ shortfall.sum(axis=1))
    assert found["without_entity"][0] == pytest.approx(expected, rel=1e-9, abs=1e-6)
    assert np.isnan(found["without_entity"][2:]).all()
    nobody = np.zeros(case.book.n_accounts, bool)
    whole = float(tail.weight @ tail.shortfall.sum(axis=1))
    assert mean_without(kernel, case.scenarios, tail, nobody) == pytest.approx(whole, rel=1e-12)


def test_a_tail_that_is_not_the_cubes_is_refused():
    case = simulated_case(0)
    tail, kernel, _ = tail_and_kernel(case)
    with pytest.raises(ComputeError, match="is not what the cube has"):
        attributed(case, replace(tail, shortfall=tail.shortfall * 1.01), kernel)
