"""Worked cases that venues and protocols publish, each replayed through the public functions that `TABLE` names.

The numbers are facts, kept with their sources in published_cases.json; where the collection they are from lies beside
the project (../shared/cases), the copy must equal it, and a kind of case that nobody has placed is an error.
"""

import json
from pathlib import Path

import pytest
from support import case_replays as replays
from support.published_cases import SHARED, Row, case_table, cases_in, differing, uncalled

from riskpipe.margin.bankruptcy import cross_bankruptcy_quote, cross_bankruptcy_quote_in_quanta
from riskpipe.margin.lending import (
    health_factor,
    is_liquidatable,
    largest_repayment,
    liquidation_profit,
    smallest_profitable_repayment,
    weighted_collateral,
)
from riskpipe.margin.lending_protocols import liquidation_incentive_factor, quote_collateral
from riskpipe.margin.model import SizeSlope, Tiered
from riskpipe.margin.scan import combined
from riskpipe.margin.tiered import collateral_credit, maintenance_margin, next_deduction, tier_deductions, tier_of
from riskpipe.margin.trigger_prices import (
    bankruptcy_price,
    isolated_margin,
    liquidation_price,
    margin_excess,
    price_on_tick,
)
from riskpipe.margin.venue_prices import binance_linear_price, bybit_linear_price_at_entry, hyperliquid_price
from riskpipe.pricing.payoff import inverse_pnl, linear_pnl

COLLECTION = SHARED / "venues.json"
CASES = cases_in(Path(__file__).parent)

LEFT_OUT = {
    "adl_allocation": "order of auto-deleveraging",
    "adl_quintile": "order of auto-deleveraging",
    "adl_score": "order of auto-deleveraging",
    "fillable_price": "price of a liquidation order",
    "max_liquidation_spread": "price of a liquidation order",
    "insurance_fund_delta": "what a fill pays to or takes from the fund",
    "clip_kick": "collateral auction",
    "clip_take": "collateral auction",
    "abacus_price": "collateral auction",
    "dog_bark_partial": "collateral auction",
    "funding_payment": "funding",
    "funding_rate_clamp": "funding",
    "funding_rate_hourly_capped": "funding",
    "mark_price_price1": "how a mark is made",
}


TABLE = {
    "linear_isolated_liq_price": Row(
        (liquidation_price, binance_linear_price, hyperliquid_price),
        "liquidation price of an isolated linear position, maintenance at the mark",
        replays.isolated_price,
    ),
    "linear_isolated_liq_price_fee_in_mm": Row(
        (liquidation_price,),
        "the same with the closing fee inside the trigger",
        replays.price_with_fee,
    ),
    "linear_isolated_liq_price_mm_at_entry": Row(
        (liquidation_price, isolated_margin, Tiered.maintenance_margin, bybit_linear_price_at_entry),
        "the same with maintenance at the entry price",
        replays.price_with_maintenance_at_entry,
    ),
    "linear_equity_vs_mmr": Row(
        (margin_excess, linear_pnl, Tiered.maintenance_margin),
        "equity of a position against its maintenance margin, and whether it is liquidatable",
        replays.equity_against_margin,
    ),
    "linear_isolated_bankruptcy": Row(
        (bankruptcy_price, isolated_margin),
        "bankruptcy price of an isolated linear position",
        replays.linear_bankruptcy,
    ),
    "inverse_isolated_bankruptcy": Row(
        (bankruptcy_price, isolated_margin, price_on_tick),
        "bankruptcy price of an isolated inverse position, and on the venue's tick",
        replays.inverse_bankruptcy,
    ),
    "cross_bankruptcy_quote_amount": Row(
        (cross_bankruptcy_quote, cross_bankruptcy_quote_in_quanta),
        "quote amount of closing one position of a cross account at its bankruptcy price",
        replays.cross_bankruptcy,
    ),
    "cross_bankruptcy_quote_amount_rounded_up": Row(
        (cross_bankruptcy_quote_in_quanta,),
        "the same in whole quanta, rounded up",
        replays.cross_bankruptcy,
    ),
    "maintenance_amount_recursion": Row(
        (tier_deductions,),
        "deductions of all tiers, USD",
        lambda inputs: {"cum": tier_deductions(inputs["floors"], inputs["mmr"])},
    ),
    "maintenance_amount_recursion_coin": Row(
        (next_deduction,),
        "one step of the same recursion, in coins",
        lambda i: {"cum_btc": next_deduction(i["floor_btc"], i["mmr_n"], i["mmr_prev"], i["cum_prev_btc"])},
    ),
    "tier_lookup": Row((tier_of, tier_deductions), "rate and deduction of the tier of a notional", replays.looked_up),
    "tier_maintenance": Row(
        (maintenance_margin, tier_deductions, Tiered.maintenance_margin),
        "maintenance margin of a notional in tiers",
        replays.tier_requirement,
    ),
    "linear_size_slope_margin": Row(
        (SizeSlope.maintenance_margin, SizeSlope.initial_margin),
        "margin whose rate grows with size",
        replays.size_slope,
    ),
    "inverse_margin_components": Row(
        (isolated_margin,),
        "value and initial margin of an inverse position, coins",
        replays.inverse_components,
    ),
    "inverse_pnl": Row((inverse_pnl,), "profit of an inverse position, coins", replays.inverse_profit),
    "linear_pnl": Row((linear_pnl,), "profit of a linear position", replays.linear_profit),
    "portfolio_margin_mmr_combination": Row(
        (combined,),
        "how the figures MR1 to MR7 of portfolio margin combine",
        replays.okx_combination,
    ),
    "collateral_discount_tiers": Row((collateral_credit,), "credit for collateral, band by band", replays.credit),
    "health_factor": Row((weighted_collateral, health_factor), "health factor of a loan", replays.health),
    "close_factor": Row((largest_repayment,), "debt that one liquidation may repay", replays.close_factors),
    "min_profitable_liquidation": Row(
        (liquidation_profit, smallest_profitable_repayment),
        "cost up to which a liquidation is worth while",
        replays.gas_floor,
    ),
    "liquidation_incentive_factor": Row(
        (liquidation_incentive_factor,),
        "collateral seized over debt repaid on Morpho",
        replays.incentive,
    ),
    "quote_collateral": Row((quote_collateral,), "collateral sold for base asset by Compound v3", replays.quoted),
    "is_liquidatable": Row(
        (weighted_collateral, is_liquidatable),
        "whether a loan can be liquidated (Compound v3)",
        replays.comet_health,
    ),
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_a_published_case_is_what_the_functions_find(case):
    found = TABLE[case["kind"]].replay(case["inputs"])
    assert not differing(found, case)


@pytest.mark.parametrize("kind", TABLE)
def test_a_kind_goes_through_the_functions_it_names(kind):
    assert not uncalled(TABLE[kind], [case for case in CASES if case["kind"] == kind])


def test_every_kind_is_in_the_table_or_left_out_by_name():
    kinds = {case["kind"] for case in CASES}
    assert kinds == TABLE.keys(), "every row of the table has a case"
    assert not kinds & LEFT_OUT.keys()


def test_the_copies_are_the_cases_of_the_collection():
    if not COLLECTION.is_file():
        pytest.skip(f"{COLLECTION} is not here: the copies in published_cases.json stand alone")
    collection = json.loads(COLLECTION.read_text(encoding="utf-8"))
    unplaced = {case["kind"] for case in collection} - TABLE.keys() - LEFT_OUT.keys()
    assert not unplaced, "these kinds are neither replayed nor left out"
    fields = ("id", "venue", "kind", "inputs", "expected", "tolerance", "source")
    expected = {c["id"]: {f: c[f] for f in fields} for c in collection if c["kind"] in TABLE}
    assert {case["id"]: case for case in CASES} == expected


def test_the_page_shows_the_table():
    page = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
    assert case_table(TABLE) in page
