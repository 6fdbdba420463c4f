"""Portfolio margin by scan: worked figures of venues, from parameters alone."""

import math

import pytest
from support.scan_models import (
    DEDERI,
    DERIBIT_BTC_2024,
    DERIBIT_ETH_2026,
    DERIBIT_FORMER,
    OKX_2024,
    OKX_2025,
    OKX_BEFORE_SPOT,
    OKX_TIERS_BEFORE,
    PARADEX,
    future,
    option,
    perpetual,
    span,
    spot,
)

from riskpipe.margin.risk_unit import UnitMarket
from riskpipe.margin.scan import combined, requirement, worst_cell
from riskpipe.margin.scan_charges import multiplied, naked_shorts
from riskpipe.margin.scan_model import Multiplier
from riskpipe.margin.scan_parameters import scan_model

SPOT_IN_MR4 = "https://aws.okx.com/it/help/okx-to-enhance-new-features-in-portfolio-margin-mode"
SCALING = "https://news.wikibit.com/en/notice/bdetail/202112213244666315.html (OKEx notice of 2021-12-21)"
PME = "https://docs.deribit.com/api-reference/account-management/private-simulate (answer of 2024-06-17)"
PME_ETH = "captured answer of Deribit's private/pme/simulate for ETH, 2026-02-15T23:20:09Z"
FORMER = "https://www.deribit.com/pages/docs/portfoliomargin"
DEDERI_WIKI = "https://wiki.dederi.io/RiskControlRules/portfolio_margin"
MCMILLAN = "McMillan, Options as a Strategic Investment, 4th edition, chapter 34"


# ----------------------------------------------------------------------------------------------------- OKX
@pytest.mark.parametrize(
    ("figures", "mmr"),
    [
        ({"MR1": 0, "MR2": 0, "MR3": 0, "MR4": 0, "MR5": 0, "MR6": 0, "MR7": 3_020.87}, 3_020.87),
        ({"MR1": 0, "MR2": 0, "MR3": 0, "MR4": 8_053.32, "MR5": 0, "MR6": 0, "MR7": 3_020.17}, 8_053.32),
        ({"MR1": 10, "MR2": 30, "MR3": 1, "MR4": 2, "MR5": 3, "MR6": 20, "MR7": 35}, 36),
    ],
)
def test_figures_combine_as_okx_publishes(figures, mmr):
    assert combined(scan_model(OKX_2024), figures) == pytest.approx(mmr, abs=1e-9), SPOT_IN_MR4
    for name in figures:
        assert math.isnan(combined(scan_model(OKX_2024), {**figures, name: math.nan}))


def test_spot_against_a_perpetual_has_only_basis_risk_and_only_since_spot_is_in_it():
    price = 67_111.0
    holdings, market = [spot(10.0, price), perpetual(-10.0, price)], UnitMarket(price)
    before = requirement(scan_model(OKX_BEFORE_SPOT), holdings, market)
    assert (before.groups["MR1"], before.groups["MR4"], before.groups["MR6"]) == (0.0, 0.0, 0.0)
    assert before.maintenance_margin == pytest.approx(3_020.87, rel=4e-4), SPOT_IN_MR4  # the price had moved a little
    after = requirement(scan_model(OKX_2024), holdings, market)
    assert after.groups["MR7"] == pytest.approx(3_020.17, rel=1e-4), SPOT_IN_MR4
    assert after.maintenance_margin == pytest.approx(8_053.32, abs=5e-3), SPOT_IN_MR4
    assert after.initial_margin == pytest.approx(1.3 * 8_053.32, abs=1e-2)


def test_minimum_charge_multiplies_what_lies_in_each_tier():
    tiers = Multiplier("MR7", tuple(map(tuple, OKX_TIERS_BEFORE)))
    assert multiplied(tiers, 30_000.0) == pytest.approx(50_000.0), SCALING
    assert (
        combined(
            scan_model(OKX_2024),
            dict.fromkeys(("MR1", "MR2", "MR3", "MR4", "MR5", "MR6"), 0.0) | {"MR1": 40_000.0, "MR7": 50_000.0},
        )
        == 50_000.0
    )
    assert multiplied(tiers, 10_000.0) == 10_000.0
    assert multiplied(tiers, 0.0) == 0.0
    assert multiplied(tiers, 800_000.0) == pytest.approx(
        1e4 + 6e4 * 2 + 1e5 * 4 + 1.3e5 * 6 + 1.7e5 * 8 + 2.3e5 * 10 + 1e5 * 12
    )


def test_new_and_old_parameters_ask_different_margins_for_the_same_book():
    holdings, market = [perpetual(-100.0, 60_000.0)], UnitMarket(60_000.0)
    old, new = (requirement(scan_model(model), holdings, market) for model in (OKX_2024, OKX_2025))
    # 15% and 30% at half its loss against 12% and 24% at half: the extreme move never adds to a lone future
    for result, share in ((old, 0.15), (new, 0.12)):
        assert result.groups["MR1"] == pytest.approx(share * 6e6)
        assert result.groups["MR6"] == pytest.approx(share * 6e6)
        assert result.groups["MR4"] == 0.0
        assert result.maintenance_margin == pytest.approx(share * 6e6)
    # 27,000 raw: beyond 10,000 twice before, within the first tier now
    assert (old.groups["MR7"], new.groups["MR7"]) == pytest.approx((44_000.0, 27_000.0))


def test_spot_counts_only_as_far_as_it_hedges():
    model, market = scan_model(OKX_2025), UnitMarket(50_000.0)

    def needed(*holdings):
        return requirement(model, holdings, market)

    alone = needed(perpetual(-4.0, 50_000.0))
    assert needed(spot(10.0, 50_000.0)).maintenance_margin == 0.0
    assert needed(spot(3.0, 50_000.0), perpetual(2.0, 50_000.0)) == needed(perpetual(2.0, 50_000.0), spot(0.0, 5e4))
    whole = needed(spot(10.0, 50_000.0), perpetual(-4.0, 50_000.0))
    assert whole.groups == needed(spot(4.0, 50_000.0), perpetual(-4.0, 50_000.0)).groups
    half = needed(spot(2.0, 50_000.0), perpetual(-4.0, 50_000.0))
    assert half.groups["MR1"] == pytest.approx(0.5 * alone.groups["MR1"])


# ------------------------------------------------------------------------------------------------- Deribit
def eth_short():
    # -0.999487053 ETH at the mark, in USD contracts
    return [perpetual(-0.999487053 * 1949.49, 1949.49, is_coin_settled=True)], UnitMarket(1949.34)


def test_a_short_inverse_perpetual_loses_the_published_coins_in_every_bucket():
    holdings, market = eth_short()
    ungrouped = scan_model({**DERIBIT_ETH_2026, "gain_share": 1.0})
    vector = [change / market.index_price for change in requirement(ungrouped, holdings, market).changes[:27:3]]
    published = [
        *(0.21939959699999997, 0.155989308849711, 0.09885036787912087, 0.04709624857068063, 0.0),
        *(-0.04304011233014354, -0.08252645391743119, -0.11888171996035243, -0.15246412672881357),
    ]
    assert vector == pytest.approx(published, abs=1e-12), PME_ETH
    # inverse convexity: -q (1 - 1 / (1 + x))
    assert vector == pytest.approx([-0.999487053 * (1 - 1 / (1 + n * 0.045)) for n in range(-4, 5)], abs=1e-12)


def test_extended_cells_of_a_perpetual_are_worth_its_price_range_before_the_dampener_and_nothing_after():
    holdings, market = eth_short()
    bare = {**DERIBIT_ETH_2026, "gain_share": 1.0}
    bare["cells"] = [{**cell, "relief_usd": 0.0} for cell in bare["cells"]]
    extended = [change / market.index_price for change in requirement(scan_model(bare), holdings, market).changes[27:]]
    assert extended == pytest.approx([0.21939959699999997] * 2 + [-0.15246412672881357] * 6, abs=1e-12), PME_ETH
    damped = requirement(scan_model(DERIBIT_ETH_2026), holdings, market).changes[27:]
    assert damped == (0.0,) * 8, PME_ETH


def test_gains_are_aggregated_at_the_published_share():
    holdings, market = eth_short()
    changes = requirement(scan_model(DERIBIT_ETH_2026), holdings, market).changes[:12:3]
    published = [0.13163975819999998, 0.09359358530982659, 0.05931022072747252, 0.028257749142408375]
    assert [change / market.index_price for change in changes] == pytest.approx(published, abs=1e-12), PME_ETH


def test_margins_of_a_short_perpetual_are_the_published_ones():
    holdings, market = eth_short()
    result = requirement(scan_model(DERIBIT_ETH_2026), holdings, market)
    coins = {group: figure / market.index_price for group, figure in result.groups.items()}
    assert coins["standard"] == pytest.approx(0.15246412672881357, abs=1e-12), PME_ETH
    assert coins["roll_shock"] == pytest.approx(0.004997435265, abs=1e-12), PME_ETH
    assert coins["delta_shock"] == 0.0, PME_ETH
    # the venue rounds the worst case to 9 digits before it adds
    assert result.initial_margin / market.index_price == pytest.approx(0.157461562265, abs=5e-10), PME_ETH
    assert result.maintenance_margin / market.index_price == pytest.approx(0.125969249812, abs=5e-10), PME_ETH


def test_margins_of_a_perpetual_against_a_future_are_the_published_ones():
    holdings = [
        perpetual(0.314538364 * 65_910.57, 65_910.57, is_coin_settled=True),
        future(-0.001187534 * 67_371.75, 67_371.75, 11 / 365, is_coin_settled=True),
    ]
    market = UnitMarket(65_666.19)
    result = requirement(scan_model(DERIBIT_BTC_2024), holdings, market)
    coins = [change / market.index_price for change in result.changes]
    published = [-0.05968587238095239, -0.04272965863636364, -0.02724789826086957, -0.013056284583333334]
    assert coins[:12:3] == pytest.approx(published, abs=1e-12), PME
    assert coins[12:] == [0.0] * 23, PME  # gains count for nothing, the extended table is damped away
    assert result.worst_cells["standard"] in {0, 1, 2}
    assert result.groups["roll_shock"] / market.index_price == pytest.approx(0.00315725898, abs=1e-12), PME
    assert result.initial_margin / market.index_price == pytest.approx(0.06284313098, abs=5e-10), PME
    assert result.maintenance_margin / market.index_price == pytest.approx(0.050274504784, abs=5e-10), PME


def test_large_deltas_pay_a_liquidity_shock_that_bought_options_can_only_lessen():
    model, market = scan_model(DERIBIT_BTC_2024), UnitMarket(50_000.0)  # the threshold is 400 BTC
    large = perpetual(-1_000.0 * 50_000.0, 50_000.0, is_coin_settled=True)

    def shock(*holdings):
        return requirement(model, holdings, market).groups["delta_shock"] / market.index_price

    assert shock(perpetual(-399.0 * 5e4, 5e4, is_coin_settled=True)) == 0.0
    assert shock(large) == pytest.approx(1_000.0 * 600.0 * 5e-5)
    assert shock(perpetual(5_000.0 * 5e4, 5e4, is_coin_settled=True)) == pytest.approx(5_000.0 * 0.1)  # at most 10%
    calls = option(10_000.0, 5e4, 1.0, 1.0, 0.5, is_coin_settled=True)  # delta net of the mark: next to nothing
    deep = option(300.0, 5e4, 5e4, 0.0, 0.5, is_coin_settled=True)  # expiring at the strike: 0.5 each
    assert shock(large, calls) == pytest.approx(shock(large), rel=1e-2)
    assert shock(large, deep) == pytest.approx(850.0 * 450.0 * 5e-5)
    assert shock(large, option(-300.0, 5e4, 5e4, 0.0, 0.5, is_coin_settled=True)) > shock(large)
    puts = option(300.0, 5e4, 5e4, 0.0, 0.5, is_call=False, is_coin_settled=True)
    assert shock(large, puts) == pytest.approx(shock(large))  # bought on the same side: neither relief nor charge
    assert shock(option(5_000.0, 5e4, 5e4, 0.0, 0.5, is_coin_settled=True)) == 0.0


def test_former_rules_charge_net_short_options_per_strike_and_offsetting_futures():
    market, model = UnitMarket(10_000.0), scan_model(DERIBIT_FORMER)
    strike = [option(10.0, 1e4, 1e4, 0.1, 0.8), option(-20.0, 1e4, 1e4, 0.1, 0.8, is_call=False)]
    assert naked_shorts(strike) == 10.0, FORMER
    other_expiry = [option(10.0, 1e4, 1e4, 0.1, 0.8), option(-20.0, 1e4, 1e4, 0.2, 0.8)]
    assert naked_shorts(other_expiry) == 20.0
    charged = requirement(model, strike, market).groups["options"] / market.index_price
    assert charged == pytest.approx(10 * 0.01), FORMER
    futures = [
        future(sign * 100.0 * 1e4, 1e4, years, is_coin_settled=True) for sign, years in ((1.0, 0.1), (-1.0, 0.2))
    ]
    result = requirement(model, futures, market)
    assert result.groups["futures"] / market.index_price == pytest.approx(1.0), FORMER
    assert result.groups["scan"] == 0.0


# ----------------------------------------------------------------------------------------- dederi, Paradex
def test_dederi_charges_the_published_figures():
    result = requirement(scan_model(DEDERI), [future(10.0, 2_253.2, 0.1)], UnitMarket(2_243.3))
    assert result.groups["futures"] == pytest.approx(134.6, abs=5e-2), DEDERI_WIKI
    assert (min(result.changes), max(result.changes)) == pytest.approx((-3_380.0, 3_380.0), abs=0.5), DEDERI_WIKI
    assert result.maintenance_margin == pytest.approx(3_379.8 + 134.598)


def test_paradex_charges_hedged_books_by_their_deltas():
    model, market = scan_model(PARADEX), UnitMarket(50_000.0)
    hedged = requirement(model, [perpetual(-10.0, 5e4), spot(10.0, 5e4)], market)
    assert hedged.groups == {"scan": 0.0, "least_delta": pytest.approx(0.01 * 5e5)}
    assert (hedged.initial_margin, hedged.maintenance_margin) == pytest.approx((5_000.0, 2_500.0))
    lone = requirement(model, [perpetual(-10.0, 5e4)], market)
    # 16% in the near table, and a far cell of a linear contract weighs the same by construction
    assert lone.initial_margin == pytest.approx(0.16 * 5e5, rel=1e-3)


# ---------------------------------------------------------------------------------------------------- SPAN
def test_span_arrays_of_a_future_are_the_published_ones():
    # 20 points of 500 USD are the range of 10,000; the index is put at 400 points
    model = scan_model(span(20.0 / 400.0, 0.2, 2, 0.35))
    result = requirement(model, [future(500.0, 400.0, 0.2)], UnitMarket(400.0))
    third = 10_000.0 / 3.0
    published = [0, 0, third, third, -third, -third, 2 * third, 2 * third, -2 * third, -2 * third]
    assert result.changes == pytest.approx([*published, 1e4, 1e4, -1e4, -1e4, 7e3, -7e3]), MCMILLAN
    assert (result.maintenance_margin, result.worst_cells["scan"]) == (pytest.approx(10_000.0), 12)
    triple = scan_model(span(20.0 / 400.0, 0.2, 3, 0.33))
    assert requirement(triple, [future(500.0, 400.0, 0.2)], UnitMarket(400.0)).changes[14:] == pytest.approx(
        (9_900.0, -9_900.0)
    )


def test_arrays_of_a_future_and_a_sold_call_add_up_to_the_published_requirement():
    model = scan_model(span(20.0 / 400.0, 0.2, 2, 0.35))
    future_array = [0, 0, 3_330, 3_330, -3_330, -3_330, 6_670, 6_670, -6_670, -6_670, 1e4, 1e4, -1e4, -1e4, 7e3, -7e3]
    call_array = [
        *(460, -610, 2_640, 1_730, -1_270, -2_340, 5_210, 4_540, -2_540, -3_430, 8_060, 7_640, -3_380, -3_990),
        *(3_130, -1_500),
    ]
    covered = [of_future - of_call for of_future, of_call in zip(future_array, call_array, strict=True)]
    assert worst_cell(model, "scan", future_array)[0] == 10_000.0, MCMILLAN
    assert worst_cell(model, "scan", call_array) == (3_990.0, 13), MCMILLAN
    assert worst_cell(model, "scan", covered) == (6_620.0, 12), MCMILLAN
    assert (model.cells[12].price_move, model.cells[12].vol_move) == (-0.05, 1)
    assert worst_cell(model, "scan", [0.0] * 16) == (0.0, -1)
    assert math.isnan(worst_cell(model, "scan", [*covered[:15], math.nan])[0])


def test_only_the_extreme_cells_see_options_far_out_of_the_money():
    strike = option(-10.0, 400.0, 440.0, 0.01, 0.15)
    double, triple = (
        requirement(scan_model(span(0.05, 0.2, multiple, cover)), [strike], UnitMarket(400.0))
        for multiple, cover in ((2, 0.35), (3, 0.33))
    )
    assert triple.worst_cells["scan"] == 14
    assert triple.maintenance_margin > 5.0 * double.maintenance_margin
    assert not math.isnan(double.maintenance_margin)
