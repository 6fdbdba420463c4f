"""Sums done on paper: what one closed pool loses and who pays, kernel and reference alike.

Every coin costs 100 USD, a contract is one coin (inverse: 100 USD), maintenance is 5% of notional and books are
bottomless, so that exits are at the scenario's mark unless a depth is given.
"""

import math

import numpy as np
import pytest
from support.equality import run_both
from support.worlds import Account, Contract, rules_of, shocks, world

from riskpipe.domain.scenarios import Variant
from riskpipe.liquidation.kernel import run_block

approx = pytest.approx
PERP = Contract("BTCUSDT")
INVERSE = Contract("BTCUSD", is_inverse=True, multiplier=100.0)
LONG = Account("long", balances={"USDT": 105.0}, positions=(("BTCUSDT", 10.0, 100.0),))
SHORT = Account("short", balances={"USDT": 1000.0}, positions=(("BTCUSDT", -10.0, 100.0),))


def funds(values, s=0, f=0):
    """Return one scenario's row of /funds of one fund."""
    return {key.removeprefix("funds/"): value[s, f] for key, value in values.items() if key.startswith("funds/")}


def test_a_linear_long_closed_at_the_far_end_of_a_gap_is_paid_by_fund_then_winners():
    case = world(
        [PERP], [LONG, SHORT], funds={"alpha": ("alpha", "USDT", 40.0)}, rules=rules_of({"fee_rate": 0.01}),
        scenarios=shocks(-0.2),
    )  # fmt: skip
    values = run_both(case)
    # mark 80: PnL -200, true equity 105 - 200 = -95, so the fee of 1% of 800 is waived; the fund gives its 40
    # and the short's profit of 200 gives 55, for which 55/200 of its 10 coins are taken at 80: 220 USD
    row = funds(values)
    assert row["shortfall"] == approx(95.0)
    assert row["fee_offset"] == 0.0
    assert row["fund_balance"] == row["fund_used"] == approx(40.0)
    assert row["adl_loss"] == approx(55.0)
    assert row["adl_notional"] == approx(220.0)
    assert row["residual"] == 0.0
    assert values["system/liquidated_notional"][0] == approx(800.0)
    assert values["exposure/liquidated_notional_long"][0, 0, 0] == approx(800.0)
    assert values["exposure/liquidated_notional_short"][0, 0, 0] == 0.0
    assert values["exposure/liquidated_positions"][0, 0, 0] == 1.0
    assert values["instruments/forced_flow"][0, 0] == approx(-800.0)


def test_the_gap_share_moves_the_exit_from_the_place_of_failure_to_the_far_end():
    pair = tuple(Variant(gap_share=gap) for gap in (0.0, 0.5, 1.0))
    case = world([PERP], [LONG], rules=rules_of({"fee_rate": 0.01}), scenarios=shocks(-0.2, variants=pair))
    values = run_both(case)
    # excess 105 + 10 (m - 100) - 0.05 x 10 m = 9.5 m - 895 is nil at m = 94.2105; there the pool still owns 47.1053
    # and pays its fee; half way on, m = 87.1053, it owes 23.9474; at m = 80 it owes 95
    at_failure = 895.0 / 9.5
    assert funds(values, 0)["shortfall"] == 0.0
    assert funds(values, 0)["fee_offset"] == 0.0
    assert funds(values, 1)["shortfall"] == approx(1000.0 - 105.0 - 10.0 * 0.5 * (at_failure + 80.0))
    assert funds(values, 1)["shortfall"] == approx(23.9474, abs=5e-5)
    assert funds(values, 2)["shortfall"] == approx(95.0)


def test_every_shock_grows_along_the_way_to_the_scenario():
    at_once = (Variant(gap_share=0.0),)
    # a basis shock of -20% alone takes the mark along the same way: the long is out at 94.2105 with 47 left
    values = run_both(world([PERP], [LONG], scenarios=shocks(0.0, basis=-0.2, variants=at_once)))
    assert values["system/liquidated_accounts"][0] == 1.0
    assert funds(values)["shortfall"] == 0.0
    # 20 coins less 1500 USDT borrowed; at a share s of the way to -30% and a haircut of 50% more the excess is
    # 2000 (1 - 0.3 s)(1 - 0.5 s) - 1500 - 300 s - 50 (1 - 0.3 s) = 450 - 1885 s + 300 s s; the loss is then 300 s,
    # but the coins are worth 1400 at the end
    holder = Account("holder", balances={"BTC": 20.0, "USDT": -1500.0}, positions=(("BTCUSDT", 10.0, 100.0),))
    values = run_both(world([PERP], [holder], scenarios=shocks(-0.3, haircut=0.5, variants=at_once)))
    share = (1885.0 - math.sqrt(1885.0**2 - 4.0 * 300.0 * 450.0)) / 600.0
    assert funds(values)["shortfall"] == approx(100.0 + 300.0 * share)


def test_fees_are_charged_at_the_exit_price():
    # one pool is bankrupt from the start: 150 less 200; the long on its way out at 94.2105 pays 1% of 942.105
    bankrupt = Account("bankrupt", balances={"USDT": 150.0}, positions=(("BTCUSDT", 10.0, 120.0),))
    case = world([PERP], [LONG, bankrupt], rules=rules_of({"fee_rate": 0.01, "gap_share": 0.0}), scenarios=shocks(-0.2))
    row = funds(run_both(case))
    assert (row["shortfall"], row["fee_offset"]) == (approx(50.0), approx(8950.0 / 9.5 * 0.01))


def test_fees_of_the_solvent_pay_for_the_insolvent_before_the_fund():
    solvent = Account("solvent", balances={"USDT": 230.0}, positions=(("BTCUSDT", 10.0, 100.0),))
    case = world(
        [PERP], [LONG, solvent], funds={"alpha": ("alpha", "USDT", 1000.0)}, rules=rules_of({"fee_rate": 0.01}),
        scenarios=shocks(-0.2),
    )  # fmt: skip
    row = funds(run_both(case))
    # at 80 the second long has 30 left, less than its maintenance of 40, and pays 1% of 800; fees precede the fund
    assert (row["fee_offset"], row["fund_used"], row["residual"]) == (approx(8.0), approx(87.0), 0.0)


def test_a_fee_beyond_what_is_left_is_waived_in_part():
    poor = Account("poor", balances={"USDT": 205.0}, positions=(("BTCUSDT", 10.0, 100.0),))
    case = world([PERP], [LONG, poor], rules=rules_of({"fee_rate": 0.01}), scenarios=shocks(-0.2))
    # the second long has 5 left: of its fee of 8 it pays 5; no fund and no winners, so 90 stay unpaid
    row = funds(run_both(case))
    assert (row["shortfall"], row["fee_offset"], row["residual"]) == (approx(95.0), approx(5.0), approx(90.0))


def test_the_fund_is_worth_its_asset_at_final_prices_less_its_haircut():
    case = world(
        [PERP], [LONG], funds={"alpha": ("alpha", "BTC", 1.0)}, rules=rules_of({"fund_haircut": 0.25}),
        scenarios=shocks(-0.2),
    )  # fmt: skip
    # one coin at 80 less a quarter is 60 of the 95
    row = funds(run_both(case))
    assert (row["fund_balance"], row["fund_used"], row["residual"]) == (approx(60.0), approx(60.0), approx(35.0))


@pytest.mark.parametrize(
    ("quantity", "shock", "shortfall", "used"),
    [
        # long 1000 USD at 100, mark 80: 1000 (1/100 - 1/80) = -2.5 coins on 1.5 held: -1 coin, 80 USD; fund 40 USD
        (10.0, -0.2, 80.0, 40.0),
        # short 1000 USD at 100, mark 125: -1000 (1/100 - 1/125) = -2 coins on 1.5 held: -0.5 coin, 62.5 USD
        (-10.0, 0.25, 62.5, 62.5),
    ],
    ids=["long", "short"],
)
def test_an_inverse_contract_loses_coins(quantity, shock, shortfall, used):
    trader = Account("trader", balances={"BTC": 1.5}, positions=(("BTCUSD", quantity, 100.0),))
    case = world([INVERSE], [trader], funds={"alpha": ("alpha", "BTC", 0.5)}, scenarios=shocks(shock))
    values = run_both(case)
    row = funds(values)
    assert row["shortfall"] == approx(shortfall)
    assert row["fund_used"] == approx(used)
    assert values["system/liquidated_notional"][0] == approx(1000.0)  # an inverse contract's notional stays


def test_an_isolated_deficit_leaves_the_cross_pool_alone():
    rich = Account("rich", balances={"USDT": 1000.0}, isolated=(("BTCUSDT", 10.0, 100.0, 60.0),))
    cross = Account("cross", balances={"USDT": 1060.0}, positions=(("BTCUSDT", 10.0, 100.0),))
    for holder, shortfall, closed in ((rich, 40.0, 1.0), (cross, 0.0, 0.0)):
        values = run_both(world([PERP], [holder], scenarios=shocks(-0.1)))
        # 60 of margin less 100 of loss; 1000 beside it are not touched, in one pool they would have paid
        assert funds(values)["shortfall"] == approx(shortfall)
        assert values["system/liquidated_accounts"][0] == closed


def test_an_account_counts_once_though_two_of_its_pools_are_closed_and_by_its_weight():
    position = ("BTCUSDT", 10.0, 100.0, 60.0)
    twin = Account("twin", balances={"USDT": 60.0}, positions=(position[:3],), isolated=(position,), weight=3.0)
    values = run_both(world([PERP], [twin], scenarios=shocks(-0.1)))
    assert values["system/liquidated_accounts"][0] == 3.0
    assert values["exposure/liquidated_positions"][0, 0, 0] == 6.0
    assert funds(values)["shortfall"] == approx(3.0 * 2.0 * 40.0)


def test_borrowed_coins_need_maintenance_and_their_loss_goes_to_the_venues_fund():
    borrower = Account("borrower", balances={"USDT": 1000.0, "BTC": -8.0})
    case = world([PERP], [borrower], borrow={"BTC": 0.1}, scenarios=shocks(0.1, 0.15, 0.3))
    values = run_both(case)
    # +10%: debt 880, equity 120, maintenance 88; +15%: debt 920, equity 80 < 92; +30%: debt 1040, 40 are missing
    assert values["system/liquidated_accounts"].tolist() == [0.0, 1.0, 1.0]
    assert values["system/liquidated_notional"].tolist() == [0.0, 0.0, 0.0]
    assert [funds(values, s)["shortfall"] for s in range(3)] == [0.0, 0.0, approx(40.0)]
    assert funds(values, 2)["residual"] == approx(40.0)


def test_collateral_counts_band_by_band_and_the_extra_haircut_takes_from_every_band():
    bands = {("alpha", "BTC"): ((0.0, 0.1), (1000.0, 0.5))}
    # 20 coins, 2000 USD: 900 + 500 = 1400 of credit, 850 + 450 = 1300 with 5% more haircut; maintenance 1340
    holder = Account("holder", balances={"BTC": 20.0}, positions=(("BTCUSDT", 268.0, 100.0),))
    for haircut, closed in ((0.0, 0.0), (0.05, 1.0)):
        values = run_both(world([PERP], [holder], bands=bands, scenarios=shocks(0.0, haircut=haircut)))
        assert values["system/liquidated_accounts"][0] == closed
        assert funds(values)["shortfall"] == 0.0  # true equity knows no haircut


def test_what_a_venue_does_not_take_earns_no_credit_but_pays():
    # 5 ETH count for nothing, so 10 coins at 5% maintenance fail at once; sold at 100 they leave nobody a loss
    holder = Account("holder", balances={"ETH": 5.0}, positions=(("BTCUSDT", 10.0, 100.0),))
    values = run_both(world([PERP], [holder], scenarios=shocks(0.0, -0.6)))
    assert values["system/liquidated_accounts"].tolist() == [1.0, 1.0]
    assert funds(values, 0)["shortfall"] == 0.0
    assert funds(values, 1)["shortfall"] == approx(600.0 - 5.0 * 40.0)


def test_a_venues_own_price_values_what_is_held_there_and_no_debt():
    # bravo prices BTC at 98. 10 coins at 0.8 x 98 = 784 against a loss of 50 x 20: 216 missing, not 200
    holder = Account("holder", "bravo", {"BTC": 10.0}, (("BTCUSDT", 50.0, 100.0),))
    case = world([Contract("BTCUSDT", venue="bravo")], [holder], venue_price={("bravo", "BTC"): 98.0},
                 scenarios=shocks(-0.2))  # fmt: skip
    assert funds(run_both(case), f=1)["shortfall"] == approx(216.0)
    # a debt of 10 coins after +20% is 1200 by the index, not 1176
    debtor = Account("debtor", "bravo", {"BTC": -10.0, "USDT": 1000.0})
    case = world([PERP], [debtor], venue_price={("bravo", "BTC"): 98.0}, scenarios=shocks(0.2))
    assert funds(run_both(case), f=1)["shortfall"] == approx(200.0)


def test_a_shortfall_is_split_over_funds_by_the_losses_of_the_legs():
    other = Contract("ETHUSDT", underlying="ETH", fund="alpha-new")
    gainer = Contract("BTCUSDT-2")
    trader = Account("trader", balances={"USDT": 100.0}, positions=(
        ("BTCUSDT", 10.0, 100.0), ("ETHUSDT", 30.0, 100.0), ("BTCUSDT-2", -10.0, 100.0)))  # fmt: skip
    case = world([PERP, other, gainer], [trader], funds={"alpha-new": ("alpha", "USDT", 0.0)}, scenarios=shocks(-0.2))
    values = run_both(case)
    # losses from the snapshot: 200, 600, and the short's gain of 200 clipped to nil; equity 100 - 600 = -500
    assert funds(values, f=0)["shortfall"] == approx(125.0)
    assert funds(values, f=2)["shortfall"] == approx(375.0)


def test_winners_of_one_instrument_do_not_pay_for_another_and_never_more_than_their_profit():
    other = Contract("ETHUSDT", underlying="ETH")
    shorts = Account("shorts", balances={"USDT": 1000.0}, positions=(("BTCUSDT", -1.0, 100.0),))
    trader = Account("trader", balances={"USDT": 200.0}, positions=(
        ("BTCUSDT", 10.0, 100.0), ("ETHUSDT", 30.0, 100.0)))  # fmt: skip
    values = run_both(world([PERP, other], [shorts, trader], scenarios=shocks(-0.2)))
    # 800 lost on 200: 600 missing, 150 of it on BTC, whose one short coin has 20 of profit and is taken whole
    row = funds(values)
    assert (row["adl_loss"], row["adl_notional"], row["residual"]) == (approx(20.0), approx(80.0), approx(580.0))


def test_the_ten_largest_entities_of_a_fund_stand_in_order():
    accounts = [
        Account(f"e{n}", balances={"USDT": 105.0 - n}, positions=(("BTCUSDT", 10.0, 100.0),)) for n in range(12)
    ]
    # two accounts of one entity add up; a row that stands for two owners is nobody's
    accounts += [
        Account(f"pair-{half}", balances={"USDT": 135.0}, positions=(("BTCUSDT", 10.0, 100.0),), entity="pair")
        for half in (1, 2)
    ]
    accounts.append(Account("crowd", balances={"USDT": 5.0}, positions=(("BTCUSDT", 10.0, 100.0),), weight=2.0))
    case = world([PERP], accounts, funds={"alpha": ("alpha", "USDT", 724.5)}, scenarios=shocks(-0.2))
    values = run_both(case)
    names = case.book.names("entity")
    ranked = [names[int(e)] for e in values["entities/entity"][0, 0]]
    assert ranked == ["pair", *(f"e{n}" for n in range(11, 2, -1))]
    assert values["entities/entity_shortfall"][0, 0].tolist() == approx([130.0, *(95.0 + n for n in range(11, 2, -1))])
    # shortfall: 12 x 95 + 66 + 2 x 65 + 2 x 195 = 1726; the fund leaves 1001.5 of it uncovered
    share = (1726.0 - 724.5) / 1726.0
    assert values["entities/entity_uncovered_loss"][0, 0, 0] == approx(130.0 * share)
    assert set(values["entities/entity"][0, 1]) == {-1.0}


@pytest.mark.parametrize("is_joined", [True, False])
def test_a_basis_trader_whose_short_leg_is_closed_is_left_with_his_coins(is_joined):
    entity = "trader" if is_joined else None
    spot = Account("spot", "bravo", {"BTC": 10.0}, entity=entity)
    short = Account("short", isolated=(("BTCUSDT", -10.0, 100.0, 60.0),), entity=entity)
    values = run_both(world([PERP], [spot, short], scenarios=shocks(0.2)))
    # at 120 coins of 1200 stand against a short of 1200; the short has lost 200 on 60 and goes: 1200 unhedged
    assert values["system/broken_hedge_notional"][0] == approx(1200.0 if is_joined else 0.0)
    assert funds(values)["shortfall"] == approx(140.0)


def test_a_broken_hedge_counts_in_every_lane_wherever_the_first_closing_stands_among_many():
    accounts = [
        Account("spot", "bravo", {"BTC": 10.0}, entity="trader"),
        Account("short", isolated=(("BTCUSDT", -10.0, 100.0, 60.0),), entity="trader"),
    ]
    index = np.linspace(0.0, 0.2, 120)
    case = world([PERP], accounts, scenarios=shocks(*index))
    values = run_block(case.book, case.market, case.rules, case.scenarios).values
    is_closed = index > 10.0 / 1050.0  # 60 - 1000 x is less than 5% of 1000 (1 + x)
    assert 0 < np.argmax(is_closed) < 8, "lanes that no word or vector starts with"
    assert values["system/broken_hedge_notional"].tolist() == approx((1000.0 * (1.0 + index) * is_closed).tolist())


def test_a_hedge_taken_by_adl_counts_as_broken():
    trader = Account("trader", balances={"BTC": 10.0, "USDT": 1000.0}, positions=(("BTCUSDT", -10.0, 100.0),))
    values = run_both(world([PERP], [trader, LONG], scenarios=shocks(-0.2)))
    # the long's 95 are charged to the short's 200: 47.5% of its 800 USD are removed, and the coins stay
    assert funds(values)["adl_notional"] == approx(380.0)
    assert values["system/broken_hedge_notional"][0] == approx(380.0)


def test_margin_calls_lie_between_initial_and_maintenance_margin():
    # at 90: notional 900, maintenance 45, initial 90, loss 100
    called = [
        Account(f"b{balance}", balances={"USDT": balance}, positions=(("BTCUSDT", 10.0, 100.0),), weight=weight)
        for balance, weight in ((200.0, 1.0), (160.0, 3.0), (150.0, 5.0), (140.0, 7.0))
    ]
    values = run_both(world([PERP], called, scenarios=shocks(-0.1)))
    assert values["system/margin_call_accounts"][0] == 8.0
    assert values["system/liquidated_accounts"][0] == 7.0


def test_what_is_borrowed_needs_as_much_initial_as_maintenance_margin():
    # 930 less a debt of 8 coins is 130 and more: maintenance 50 + 80, initial 100 + 80
    borrowers = [
        Account(f"b{free}", balances={"USDT": 800.0 + free, "BTC": -8.0}, positions=(("BTCUSDT", 10.0, 100.0),))
        for free in (125.0, 135.0, 175.0, 185.0)
    ]
    values = run_both(world([PERP], borrowers, borrow={"BTC": 0.1}))
    assert values["system/liquidated_accounts"][0] == 1.0
    assert values["system/margin_call_accounts"][0] == 2.0


def test_the_exempt_are_never_closed():
    safe = Account("safe", balances={"USDT": 105.0}, positions=(("BTCUSDT", 10.0, 100.0),), is_exempt=True)
    values = run_both(world([PERP], [safe], scenarios=shocks(-0.5)))
    assert values["system/liquidated_accounts"][0] == 0.0
    assert values["system/rounds"][0] == 0.0


def test_losses_are_told_apart_from_gains_at_the_snapshots_mark():
    # entered at 50, marked 100 at the snapshot, sold at 80: a gain from entry, but 20 a coin lost since the snapshot
    loser = Contract("ETHUSDT", underlying="ETH", fund="alpha-new")
    holder = Account("holder", balances={"USDT": -460.0}, positions=(
        ("BTCUSDT", 10.0, 50.0), ("ETHUSDT", 10.0, 100.0)))  # fmt: skip
    case = world([PERP, loser], [holder], funds={"alpha-new": ("alpha", "USDT", 0.0)}, scenarios=shocks(-0.2))
    values = run_both(case)
    # -460 + 300 - 200 = -360, split evenly: both legs lost 200 since the snapshot
    assert funds(values, f=0)["shortfall"] == approx(180.0)
    assert funds(values, f=2)["shortfall"] == approx(180.0)


def test_a_pool_hit_by_the_cascade_alone_exits_at_the_far_end_whatever_the_gap_share():
    # selling 800 takes the mark from 80 to 40, where the second long fails too; 320 more take it to 80 x 2**-1.4
    contract = Contract("BTCUSDT", depth=800.0 / math.log(2.0))
    second = Account("second", balances={"USDT": 200.0}, positions=(("BTCUSDT", 4.0, 100.0),))
    variants = (Variant(gap_share=0.0), Variant(gap_share=1.0))
    values = run_both(world([contract], [LONG, second], scenarios=shocks(-0.2, variants=variants)))
    assert values["system/rounds"].tolist() == [2.0, 2.0]
    assert values["system/first_round_notional"].tolist() == [approx(800.0)] * 2
    fall = 2.0**-1.4
    of_second = 400.0 - 200.0 - 4.0 * 80.0 * fall
    for s, before in enumerate((895.0 / 9.5, 80.0)):  # the first long fails on the way, at 94.2105
        assert funds(values, s)["shortfall"] == approx(1000.0 - 105.0 - 10.0 * before * fall + of_second)
