"""Who bears auto-deleveraging, in the report's section on funds."""

from dataclasses import replace

import numpy as np
import pytest
from strategies import random_case
from support.cubes import kernel_cube

from riskpipe.domain.scenarios import Variant
from riskpipe.measures.registry import take_measures
from riskpipe.report.build import build
from riskpipe.report.document import Paragraph
from riskpipe.scenarios.grid import scenario_set


def reported(night, case):
    tree = kernel_cube(case, scenario_set({"index_shock": [-0.4, -0.2, 0.0, 0.2]}, [], (Variant(),)))
    return replace(night, cube=tree, measures=take_measures(tree))


@pytest.fixture(scope="module")
def hit(night):
    return reported(night, random_case(3, n_accounts=60))


def words(report):
    funds = next(one for one in build(report).sections if one.name == "funds")
    return " ".join(block.text for block in funds.blocks if isinstance(block, Paragraph))


def column(report, table, name):
    return next(np.array(one.values) for one in build(report).tables()[table].columns if one.name == name)


def test_owners_of_a_view_add_up_to_what_is_taken_and_accounts_to_no_more(hit):
    cost = hit.measures["adl_cost"]
    taken = hit.cube["funds"]["adl_loss"].values.sum(axis=1)
    assert column(hit, "adl_owners", "cost").sum() == pytest.approx(taken.max(), rel=1e-9)
    assert column(hit, "adl_owners", "share").sum() == pytest.approx(1.0, rel=1e-9)
    assert 0.0 < column(hit, "adl_accounts", "cost").sum() <= taken.max() * (1.0 + 1e-9)
    assert set(column(hit, "adl_owners", "view")) == {"worst scenario"}
    assert float(cost["adl_loss"].max()) <= taken.max()


def test_the_worst_scenario_is_named_and_a_tail_without_probabilities_is_not_measured(hit):
    row = int(hit.cube["funds"]["adl_loss"].values.sum(axis=1).argmax())
    shock = float(hit.cube["funds"]["index_shock"].values[row])
    assert f"Scenario {row} (index {shock:+.0%}) takes most: USD" in words(hit)
    assert "Over a tail it is not measured: no scenario has a probability." in words(hit)


def test_a_worst_scenario_of_the_past_has_its_name_beside_its_axes(night):
    past = [("a bad day", {"index_shock": -0.45})]
    tree = kernel_cube(random_case(3, n_accounts=60), scenario_set({"index_shock": [0.0]}, past, (Variant(),)))
    assert "(a bad day: index -45%) takes most: USD" in words(replace(night, cube=tree, measures=take_measures(tree)))


def test_a_night_without_auto_deleveraging_says_so(night):
    case = random_case(3, n_accounts=60)
    venues = tuple(replace(venue, waterfall=("fee_offset", "fund")) for venue in case.rules.venues)
    report = reported(night, replace(case, rules=replace(case.rules, venues=venues)))
    assert "Auto-deleveraging takes nothing from winners in any scenario." in words(report)
    assert not {"adl_owners", "adl_accounts", "adl_cost"} & set(build(report).tables())


def test_variants_that_take_where_the_central_one_does_not_have_no_bearers(hit):
    none = hit.measures["adl_bearers"].copy(deep=True)
    none["scenario"][:] = -1
    for name in ("total", "entity_cost", "account_cost", "several_cost", "others_cost"):
        none[name][:] = 0.0
    report = replace(hit, measures={**hit.measures, "adl_bearers": none})
    assert "No scenario of it takes anything; who bears it in other variants is not measured." in words(report)
    assert "adl_owners" not in build(report).tables()
