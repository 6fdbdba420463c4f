"""Sections on losses, funds, contagion and holdings: what they show, what they leave out, and that they agree."""

from dataclasses import replace

import numpy as np
import pytest
from strategies import random_case
from support.cubes import kernel_cube

from riskpipe.domain.scenarios import Variant
from riskpipe.measures.registry import take_measures
from riskpipe.report.build import build
from riskpipe.report.document import Paragraph
from riskpipe.report.json_form import plain
from riskpipe.report.render import render
from riskpipe.scenarios.grid import scenario_set

N = 250
AXES = {"index_shock": [-0.4, -0.2, 0.0, 0.2], "depth_factor": [1.0, 0.1]}
NEW = (
    "loss_distribution", "cover", "fund_tail", "exhaustion_by_depth", "adl_cost", "holdings", "owners", "positions",
    "liquidation_map", "margin_calls", "collateral_ratios", "amplification", "conditional_losses", "venue_overlap",
)  # fmt: skip


@pytest.fixture(scope="module")
def simulated(night):
    planned = scenario_set(AXES, [("a bad day", {"index_shock": -0.5})], (Variant(),), n_simulated=N)
    rng = np.random.default_rng(5)
    moves = rng.normal(0.0, 0.15, len(planned))
    shocks = np.where(np.isnan(planned.index_shock), moves, planned.index_shock)
    case = random_case(3, n_accounts=60)
    tree = kernel_cube(case, replace(planned, index_shock=shocks))
    return replace(night, cube=tree, measures=take_measures(tree), entity_labels=case.book.names("entity"))


@pytest.fixture(scope="module")
def tables(simulated):
    return build(simulated).tables()


def columns(table):
    return {one.name: np.array(one.values) for one in table.columns}


def section(report, name):
    return next(one for one in build(report).sections if one.name == name)


@pytest.mark.parametrize("name", NEW)
def test_a_night_in_which_much_happens_shows_every_table(tables, name):
    assert tables[name].n_rows > 0
    assert tables[name].source.variables


def test_losses_stand_with_their_intervals_the_system_first(tables, simulated):
    found = columns(tables["loss_distribution"])
    assert found["scope"][0] == "system"
    for name in ("value_at_risk", "expected_shortfall"):
        low, at, high = (found[f"{name}{end}"] for end in ("_low", "", "_high"))
        is_told = ~np.isnan(low)
        assert is_told.any()
        assert (low[is_told] <= at[is_told]).all()
        assert (at[is_told] <= high[is_told]).all()
    assert (found["expected_shortfall"] >= found["value_at_risk"]).all()
    point = next(one.text for one in build(simulated).points if f"{N} simulated scenarios" in one.text)
    assert "95% of them stay within" in point
    words = " ".join(block.text for block in section(simulated, "liquidation").blocks if isinstance(block, Paragraph))
    assert f"drawing {N} other scenarios would change, not whether the model holds" in words


def test_an_open_end_of_an_interval_is_said_and_survives_every_form(simulated, tables):
    high = columns(tables["loss_distribution"])["value_at_risk_high"]
    assert np.isinf(high).any(), "of 250 scenarios no order statistic bounds the 99% quantile from above"
    files = render(simulated)
    assert b"over any bound" in files["index.html"]
    assert b"Infinity" not in files["report.json"]
    assert plain({"high": float("inf")}) is not None


def test_what_payers_bear_of_the_tail_adds_up_in_the_table(tables):
    found = columns(tables["fund_tail"])
    payers = sum(found[name] for name in ("fee_offset", "fund_used", "backstop_loss", "adl_loss", "residual"))
    np.testing.assert_allclose(payers + found["socialised_loss"], found["expected_shortfall"], rtol=1e-12, atol=1e-6)


def test_the_smallest_cover_stands_first_and_names_its_owner(tables, simulated):
    found = columns(tables["cover"])
    assert (np.diff(found["ratio"]) >= 0.0).all()
    assert set(found["entity"]) <= set(simulated.entity_labels)


def test_owners_listed_hold_no_more_than_all(tables):
    whole, listed = columns(tables["holdings"]), columns(tables["owners"])
    for holding, total, share in zip(whole["holding"], whole["total"], whole["top_share"], strict=True):
        amount = listed["amount"][listed["holding"] == holding].sum()
        assert amount == pytest.approx(share * total)
        assert share <= 1.0 + 1e-12


def test_parties_are_told_apart_where_a_venue_and_a_fund_have_one_name(tables, simulated):
    found = simulated.measures["conditional_losses"]
    names = {
        "system",
        *(f"{scope} {name}" for scope, name in zip(found["scope"].values, found["party"].values, strict=True)),
    }
    told = columns(tables["conditional_losses"])
    assert set(told["distressed"]) | set(told["party"]) <= names
    assert {one.split()[0] for one in told["party"]} >= {"system", "venue"}


def test_a_quiet_night_says_so_instead_of_showing_empty_tables(quiet):
    document = build(quiet)
    (words,) = section(quiet, "contagion").blocks
    assert "there is nothing to spread" in words.text
    empty = set(NEW) - {"holdings", "owners"}
    assert not empty & document.tables().keys()


def test_without_probabilities_there_is_no_tail_and_the_rest_stays(night):
    tables = build(night).tables()
    assert "loss_distribution" not in tables
    assert "fund_tail" not in tables
    assert "conditional_losses" not in tables
    assert tables["cover"].n_rows > 0
    assert "not measured: it needs the simulated set" in tables["collateral_ratios"].caption


def test_placeholder_funds_stand_in_no_table_of_exhausting_moves(night, quiet):
    losses = night.measures["fund_losses"].copy(deep=True)
    for name in ("fund_balance", "shortfall"):
        losses[name].values[:, 0] = 0.0
    unused = str(losses["fund"].values[0])
    report = replace(night, measures={**night.measures, "fund_losses": losses})
    before, after = build(night).tables(), build(report).tables()
    for name in ("exhaustion", "exhaustion_by_depth"):
        assert unused in columns(before[name])["fund"]
        assert unused not in columns(after[name])["fund"]
        assert after[name].n_rows > 0
    assert build(quiet).tables()["exhaustion"].n_rows == 0


def test_sums_that_leave_every_loan_out_are_not_zero_and_quantiles_name_their_number(simulated):
    ratios = simulated.measures["collateral_ratios"]
    sums = {name: ratios[name] * 0.0 for name in ("equity", "maintenance_margin")}
    loans = ratios.assign({**sums, "ratio": ratios["ratio"] * np.nan})
    table = build(replace(simulated, measures={**simulated.measures, "collateral_ratios": loans})).tables()
    found = table["collateral_ratios"]
    assert np.isnan(columns(found)["equity"]).all()
    assert np.isnan(columns(found)["maintenance_margin"]).all()
    labels = [one.label for one in found.columns]
    assert {"5% of accounts: ratio at most", "5% of accounts: volatility of the ratio at most"} <= set(labels)
    assert len(labels) == len(set(labels))


def test_a_book_without_contracts_says_so_instead_of_an_empty_table_of_positions(quiet):
    assert "positions" not in build(quiet).tables()
    said = [block.text for block in section(quiet, "concentration").blocks if isinstance(block, Paragraph)]
    assert any(text.startswith("No owner has a position in a contract") for text in said)
    assert "no maintenance margin" in build(quiet).tables()["largest_accounts"].caption
