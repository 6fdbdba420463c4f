"""Worked cases on value at risk, expected shortfall, concentration and marginal shortfall, through public functions.

The numbers are facts, kept with their sources in published_cases.json; where the collection they are from lies beside
the project (../shared/cases), the copies must equal it, and a case of these subjects that is nowhere is an error.
"""

from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtr, ndtri
from support.published_cases import SHARED, Row, assert_as_published, case_table, cases_in, literature_cases, uncalled

from riskpipe.ingest.holdings.owners import concentration
from riskpipe.measures.concentration import herfindahl
from riskpipe.measures.distribution import quantile, tail_mean, tail_weights
from riskpipe.measures.marginal import break_even_leverage, capital_shortfall, long_run_shortfall

CASES = cases_in(Path(__file__).parent)


def hhi(given):
    shares = np.array(given["shares_pct"], float)
    return {"HHI": [float(herfindahl(shares)), concentration(shares, np.ones(len(shares)))]}


def srisk(given):
    k, fall = given["k"], given["LRMES"]
    return {
        "SRISK": capital_shortfall(given["D"], given["W"], fall, k),
        "L_star": break_even_leverage(fall, k),
    }


def normal(given):
    """A standard normal as weighted scenarios: intervals, finest where levels lie, each at its own conditional mean."""
    near = [ndtri(level) + np.array([-1e-7, 0.0, 1e-7]) for level in given["levels"]]
    edges = np.unique(np.concatenate([np.linspace(-7.0, 7.0, 20_001), *near]))
    probability = np.where(edges[1:] <= 0.0, np.diff(ndtr(edges)), -np.diff(ndtr(-edges)))  # small ones exactly
    density = np.exp(-0.5 * edges**2) / np.sqrt(2.0 * np.pi)
    losses = -np.diff(density) / probability
    high, low = given["levels"]
    return {"VaR99": quantile(losses, probability, high), "ES975": tail_mean(losses, probability, low)}


def boundary(given):
    losses, level = np.array(given["losses"], float), 1.0 - given["tail_prob"]
    even = np.full(len(losses), 1.0 / len(losses))
    return {"ES": [tail_mean(losses, even, level), float((tail_weights(losses, even, level) * losses).sum())]}


TABLE = {
    "D16_hhi_doj": Row((herfindahl, concentration), "Herfindahl-Hirschman index of four shares", hhi),
    "D17_lrmes": Row(
        (long_run_shortfall,), "long-run from daily marginal shortfall",
        lambda given: {"LRMES": long_run_shortfall(given["MES"])},
    ),
    "D18_srisk": Row((capital_shortfall, break_even_leverage), "capital missing after a crisis", srisk),
    "D19_normal_var_es": Row((quantile, tail_mean), "value at risk and expected shortfall of a normal", normal),
    "D20_acerbi_tasche_es": Row((tail_weights, tail_mean), "a boundary scenario counted in part", boundary),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_a_published_case_is_what_the_functions_find(case):
    assert_as_published(TABLE, case)


@pytest.mark.parametrize("kind", TABLE)
def test_a_kind_goes_through_the_functions_it_names(kind):
    assert not uncalled(TABLE[kind], [case for case in CASES if case["kind"] == kind])


def test_every_kind_has_a_case():
    assert {case["kind"] for case in CASES} == TABLE.keys()


def test_the_copies_are_the_cases_of_the_collection():
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not here: the copies in published_cases.json stand alone")
    assert {case["id"]: case for case in CASES} == literature_cases("D")


def test_the_page_shows_the_table():
    page = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
    assert case_table(TABLE) in page
