"""Worked cases on basis, funding, marks and volatility, each replayed through the public functions that `TABLE` names.

The numbers are facts, kept with their sources in published_cases.json; where the collections they are from lie beside
the project (../shared/cases), the copies must equal them, and a case of these subjects that is nowhere is an error.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from support.published_cases import SHARED, Row, assert_as_published, case_table, cases_in, literature_cases, uncalled

from riskpipe.calibrate.estimators.garch import garch_update
from riskpipe.calibrate.estimators.plain import ewma_update
from riskpipe.calibrate.estimators.reversion import half_life, reversion_speed
from riskpipe.calibrate.hedge import Moments, hedge_contracts, minimum_variance_hedge, paired_moments
from riskpipe.pricing.carry import (
    continuous_perpetual_ratio,
    neutral_interest,
    perpetual_ratio,
    perpetual_ratio_series,
)
from riskpipe.pricing.funding import (
    FundingRule,
    annual_band,
    annual_rate,
    clamped_rate,
    funding_payment,
    funding_rate,
    premium_rate,
)
from riskpipe.pricing.mark_price import funding_basis_price

CASES = cases_in(Path(__file__).parent)
SIGN = {"long": 1.0, "short": -1.0}


def moments(i):
    found = paired_moments(np.array(i["dS"]), np.array(i["dF"]))
    return {"sigma_F": found.hedge_deviation, "sigma_S": found.position_deviation, "rho": found.correlation}


def hedge(i):
    found = minimum_variance_hedge(Moments(i["sigma_S"], i["sigma_F"], i["rho"], 15))
    contracts = hedge_contracts(found.ratio, i["QA"], i["QF"])
    return {"h": found.ratio, "N_rounded": round(contracts), "effectiveness": found.effectiveness}


def band(i):
    rule = FundingRule(8.0, 8760.0 / i["periods_per_year"], 0.0, i["gamma"])
    return {"rho_bound_pp": 100.0 * annual_band(rule)}


def clamps(i):
    """As one formula, and as a venue's whole rule."""
    premiums = np.array(i.get("P", i.get("premium_index")))
    interest = i.get("I", i.get("interest"))
    rule = FundingRule(8.0, 8.0, interest, i["clamp"])
    ways = [clamped_rate(premiums, interest, i["clamp"]), funding_rate(premiums, rule)]
    if "P" in i:
        for way in ways:
            np.testing.assert_array_equal(way, ways[0])
        return {"F": ways[0].tolist()}
    return {"funding": [float(way) for way in ways]}


def perpetual(i):
    terms = (i["kappa"], i.get("iota"), i["r_a"], i["r_b"])
    if terms[1] is None:
        terms = (i["kappa"], neutral_interest(i["r_a"], i["r_b"]), i["r_a"], i["r_b"])
    return {"f_over_x": [float(perpetual_ratio(*terms)), perpetual_ratio_series(*terms)]}


def continuous(i):
    return {"F_over_S_minus_1_bp": 1e4 * (float(continuous_perpetual_ratio(i["kappa"], i["iota"], i["r"], 0.0)) - 1.0)}


def ewma(i):
    change = i["S"] / i["S_prev"] - 1.0
    return {"vol_pct": 100.0 * math.sqrt(ewma_update(i["sigma_prev"] ** 2, change, i["lambda"]))}


def garch(i):
    terms = {name: i[name] for name in ("omega", "alpha", "beta")}
    return {"vol_pct": 100.0 * math.sqrt(garch_update(i["sigma_prev"] ** 2, i["u"], **terms))}


def hourly_capped(i):
    premium = premium_rate(i["perp"], i["index"])
    uncapped = FundingRule(1.0, i["divisor"], 0.0, 0.0)
    capped = FundingRule(1.0, i["divisor"], 0.0, 0.0, i["cap"])
    return {
        "premium": premium,
        "raw_rate": float(funding_rate(premium, uncapped)),
        "rate": float(funding_rate(premium, capped)),
    }


def payment(i):
    rule = FundingRule(i["hours"], i["basis_hours"], 0.0, 0.0)
    rate = funding_rate(premium_rate(i["mark"], i["index"]), rule)
    return {"paid": float(funding_payment(SIGN[i["side"]] * i["qty"], 1.0, i["index"], rate))}


def first_price(i):
    return {"price1": funding_basis_price(i["index"], i["last_funding"], i["hours_to_funding"])}


TABLE = {
    "A01_hull_mvhr_moments": Row((paired_moments,), "deviations and correlation of paired changes", moments),
    "A02_hull_mvhr": Row(
        (minimum_variance_hedge, hedge_contracts), "minimum-variance hedge, its effectiveness, contracts", hedge
    ),
    "A03_interest_component": Row(
        (annual_rate,),
        "a rate per interval as a rate a year",
        lambda i: {"annual": annual_rate(i["I_8h"], 8760.0 / i["periods_per_year"])},
    ),
    "A04_clamp_deadband": Row((annual_band,), "half-width of the dead band of funding, a year", band),
    "A05_funding_clamp": Row((clamped_rate, funding_rate), "funding from the premium through the clamp", clamps),
    "A06_perp_linear_closed_form_vs_series": Row(
        (perpetual_ratio, perpetual_ratio_series), "no-arbitrage perpetual price in steps, and as a sum", perpetual
    ),
    "A07_perp_continuous_ratio": Row(
        (continuous_perpetual_ratio,), "no-arbitrage perpetual price in continuous time", continuous
    ),
    "A08_perp_iota_neutral": Row(
        (neutral_interest, perpetual_ratio), "the interest component that makes a perpetual its index", perpetual
    ),
    "B05_hull_ewma": Row((ewma_update,), "one step of the exponential average", ewma),
    "B06_hull_garch_update": Row((garch_update,), "one step of GARCH(1,1)", garch),
    "B10_ar1_half_life": Row(
        (half_life, reversion_speed),
        "half-life and speed of an AR(1)",
        lambda i: {"half_life": half_life(i["phi"], i["dt"]), "kappa": reversion_speed(i["phi"], i["dt"])},
    ),
    "funding_rate_clamp": Row((clamped_rate, funding_rate), "funding from the premium through the clamp", clamps),
    "funding_rate_hourly_capped": Row(
        (premium_rate, funding_rate), "hourly share of a premium, and its cap", hourly_capped
    ),
    "funding_payment": Row(
        (premium_rate, funding_rate, funding_payment), "what a position pays over some hours", payment
    ),
    "mark_price_price1": Row((funding_basis_price,), "index plus the funding still to accrue", first_price),
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_a_published_case_is_what_the_functions_find(case):
    assert_as_published(TABLE, case)


@pytest.mark.parametrize("kind", TABLE)
def test_a_kind_goes_through_the_functions_it_names(kind):
    assert not uncalled(TABLE[kind], [case for case in CASES if case["kind"] == kind])


def test_every_kind_has_a_case():
    assert {case["kind"] for case in CASES} == TABLE.keys()


def test_the_copies_are_the_cases_of_the_collections():
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not here: the copies in published_cases.json stand alone")
    expected = literature_cases("A", "B")
    for case in json.loads((SHARED / "venues.json").read_text(encoding="utf-8")):
        if case["kind"].startswith(("funding_", "mark_price_")):
            fields = ("id", "kind", "inputs", "expected", "tolerance", "source")
            expected[case["id"]] = {f: case[f] for f in fields}
    assert {case["id"]: case for case in CASES} == expected


def test_the_page_shows_the_table():
    page = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
    assert case_table(TABLE) in page
