"""Sums done on paper: what forced flow does to marks and indices, and whom that reaches, kernel and reference alike."""

import math

import pytest
from support.equality import run_both
from support.worlds import Account, Contract, rules_of, shocks, world

approx = pytest.approx
HALVED = 800.0 / math.log(2.0)  # depth that a sale of 800 USD exhausts to half the price
LONG = Account("long", balances={"USDT": 105.0}, positions=(("BTCUSDT", 10.0, 100.0),))  # fails at 94.2
PERP = Contract("BTCUSDT", depth=HALVED)


def instrument(values, s=0, i=0):
    """Return one scenario's row of /instruments."""
    return {key.split("/")[1]: value[s, i] for key, value in values.items() if key.startswith("instruments/")}


def shortfall(values, s=0):
    return values["funds/shortfall"][s].sum()


def test_a_mark_that_responds_in_part_shows_less_than_the_book():
    # the sale fills at 40; a mark that follows by 0.4 of the move of -0.5 stands at 64
    row = instrument(run_both(world([PERP], [LONG], rules=rules_of({"mark_response": 0.4}), scenarios=shocks(-0.2))))
    assert row["forced_flow"] == approx(-800.0)
    assert row["impact"] == approx(-0.5)
    assert row["dislocation"] == approx(-0.2)
    assert row["mark_price"] == approx(64.0)
    assert row["basis"] == approx(-0.2)


@pytest.mark.parametrize(("response", "band", "mark", "rounds"), [(0.4, None, 64.0, 1.0), (1.0, 0.1, 72.0, 1.0)])
def test_those_who_would_fail_at_the_fill_price_stay_when_the_mark_does_not_show_it(response, band, mark, rounds):
    # the second long fails at 400 (1 - 0.95 m / 100) = 160, m = 63.2, below both marks
    second = Account("second", balances={"USDT": 160.0}, positions=(("BTCUSDT", 4.0, 100.0),))
    rules = rules_of({"mark_response": response, "mark_band": band})
    values = run_both(world([PERP], [LONG, second], rules=rules, scenarios=shocks(-0.2)))
    assert instrument(values)["mark_price"] == approx(mark)
    assert values["system/rounds"][0] == rounds
    followed = run_both(world([PERP], [LONG, second], scenarios=shocks(-0.2)))
    assert followed["system/rounds"][0] == 2.0


@pytest.mark.parametrize(
    ("alpha", "exit_price"),
    [
        (1.0, 40.0),  # everyone pays the last price
        (0.5, 60.0),  # half the move
        (0.0, 80.0),
        # the mean of exp(-t ln 2) for t from 0 to 1 is (1 - 1/2) / ln 2 = 0.721348
        ("vwap", 57.70780163555854),
    ],
)
def test_alpha_says_how_much_of_the_move_a_closed_pool_pays(alpha, exit_price):
    values = run_both(world([PERP], [LONG], rules=rules_of({"close_out_alpha": alpha}), scenarios=shocks(-0.2)))
    assert shortfall(values) == approx(1000.0 - 105.0 - 10.0 * exit_price)
    assert instrument(values)["mark_price"] == approx(40.0)


def test_the_linear_law_and_a_thinner_book():
    # 800 over 3200 is a quarter; over a third of that depth three quarters
    contract = Contract("BTCUSDT", depth=3200.0)
    for depth, move in ((1.0, -0.25), (1.0 / 3.0, -0.75)):
        values = run_both(
            world([contract], [LONG], rules=rules_of({"law": "linear"}), scenarios=shocks(-0.2, depth=depth))
        )
        assert instrument(values)["impact"] == approx(move)


def test_purchases_use_the_asks():
    # worlds have asks half as deep again as bids: 1200 of purchases over 1.5 x 800 / ln 2 double the price
    short = Account("short", balances={"USDT": 205.0}, positions=(("BTCUSDT", -10.0, 100.0),))
    values = run_both(world([PERP], [short], scenarios=shocks(0.2)))
    assert instrument(values)["forced_flow"] == approx(1200.0)
    assert instrument(values)["impact"] == approx(1.0)
    assert instrument(values)["mark_price"] == approx(240.0)
    assert values["exposure/liquidated_notional_short"][0, 0, 0] == approx(1200.0)


def test_an_account_on_another_venue_is_liquidated_only_because_of_the_pass_through():
    # bravo's long fails at 63.2 and trades on a bottomless book; alpha's 800 USD reach it through the index alone
    other = Account("other", "bravo", {"USDT": 160.0}, (("BTCUSDT-B", 4.0, 100.0),))
    contracts = [Contract("BTCUSDT"), Contract("BTCUSDT-B", venue="bravo", basis=0.01)]
    for kappa, index, closed in ((0.0, 80.0, 1.0), (0.5, 80.0 * 2.0**-0.5, 2.0), (1.0, 40.0, 2.0)):
        case = world(contracts, [LONG, other], index_depth={"BTC": HALVED}, rules=rules_of({"kappa": kappa}),
                     scenarios=shocks(-0.2))  # fmt: skip
        values = run_both(case)
        assert values["system/liquidated_accounts"][0] == closed
        assert values["system/rounds"][0] == closed
        row = instrument(values, i=1)
        assert row["mark_price"] == approx(1.01 * index)
        assert row["impact"] == approx(index / 80.0 - 1.0)
        assert (row["dislocation"], row["basis"]) == (0.0, approx(0.01))  # all of it came by the index
        assert instrument(values, i=0)["mark_price"] == approx(index)
        assert values["exposure/liquidated_notional_long"][0, 1, 0] == approx(4.0 * 80.8 if closed == 2.0 else 0.0)


def test_arbitrage_moves_flow_and_destroys_none():
    # of 800 a half goes to the index, where 400 / HALVED is a factor of 2**-0.5, and a half stays: 2**-0.5 again
    values = run_both(world([PERP], [LONG], index_depth={"BTC": HALVED}, rules=rules_of({"kappa": 0.5}),
                            scenarios=shocks(-0.2)))  # fmt: skip
    assert instrument(values)["impact"] == approx(-0.5)
    assert instrument(values)["dislocation"] == approx(2.0**-0.5 - 1.0)
    # with a capacity of 200 the own book takes 600: the product is the same, the split another
    rules = rules_of({"kappa": 0.5, "arbitrage_capacity_usd": 200.0})
    values = run_both(world([PERP], [LONG], index_depth={"BTC": HALVED}, rules=rules, scenarios=shocks(-0.2)))
    assert instrument(values)["impact"] == approx(-0.5)
    assert instrument(values)["dislocation"] == approx(2.0**-0.75 - 1.0)
    # and where the index has no known depth the channel is off
    values = run_both(world([PERP], [LONG], rules=rules_of({"kappa": 0.5}), scenarios=shocks(-0.2)))
    assert instrument(values)["dislocation"] == approx(-0.5)


def test_a_falling_index_takes_collateral_with_it():
    # 3 coins back a long of 1 coin in another market; alpha's sale halves the index to 40: 120 against 60 of loss
    holder = Account("holder", "bravo", {"BTC": 3.0, "USDT": -250.0})
    case = world([Contract("BTCUSDT")], [LONG, holder], index_depth={"BTC": HALVED}, rules=rules_of({"kappa": 1.0}),
                 borrow={"USDT": 0.0}, scenarios=shocks(-0.05, -0.2))  # fmt: skip
    values = run_both(case)
    # at 95 the long still stands; at 80 it goes, and three coins at 40 leave 130 of a debt of 250 unpaid
    assert values["system/liquidated_accounts"].tolist() == [0.0, 2.0]
    assert values["funds/shortfall"][1, 1] == approx(130.0)


@pytest.mark.parametrize(
    ("alpha", "index", "depth", "index_depth", "shock", "impact"),
    [
        # 800 over 889 is -0.9 by the linear law, stopped at the floor of 30% of the price
        ({"law": "linear", "price_floor": 0.3}, {}, 800.0 / 0.9, None, -0.2, -0.7),
        # without a floor no law falls by more than 99%
        ({"law": "linear"}, {}, 100.0, None, -0.2, -0.99),
        # the index at 2 may not fall below one: a hundredth of 100
        ({"kappa": 1.0}, {}, 1e30, 1.0, -0.98, -0.5),
        ({"kappa": 1.0}, {"price_floor": 0.4}, 1e30, 1.0, -0.2, -0.6),
    ],
    ids=["floor", "largest fall", "index stays above a hundredth", "index floor"],
)
def test_a_law_at_its_limit_flags_the_cell(alpha, index, depth, index_depth, shock, impact):
    case = world([Contract("BTCUSDT", depth=depth)], [LONG], rules=rules_of(alpha, index=index),
                 index_depth={"BTC": index_depth} if index_depth else None, scenarios=shocks(0.0, shock))  # fmt: skip
    values = run_both(case)
    assert instrument(values, 1)["impact"] == approx(impact)
    assert values["system/price_limits_hit"].tolist() == [0.0, 1.0]


def test_a_squeeze_stops_at_the_cap_and_flags_the_cell():
    short = Account("short", balances={"USDT": 205.0}, positions=(("BTCUSDT", -10.0, 100.0),))
    for law in ("exponential", "linear"):
        case = world([Contract("BTCUSDT", depth=100.0)], [short], rules=rules_of({"law": law}), scenarios=shocks(0.2))
        values = run_both(case)
        assert instrument(values)["impact"] == approx(3.0)
        assert values["system/price_limits_hit"][0] == 1.0


def test_a_limit_met_on_the_way_still_flags_the_cell():
    # of 800 sold 160 take the index from 80 to 48, and 640 the mark's own part to its floor of -99%. A short of ten
    # coins, backed by 30 coins less 2500 USDT borrowed, had 60 above its maintenance of 40 and has now
    # 1440 + 10 x (100 - 0.48) - 2500 = -64.8. Bought back, it leaves a net flow of nil and no law at its limit
    holder = Account("holder", balances={"BTC": 30.0, "USDT": -2500.0}, positions=(("BTCUSDT", -10.0, 100.0),))
    case = world(
        [Contract("BTCUSDT", depth=100.0)], [LONG, holder], index_depth={"BTC": 400.0}, scenarios=shocks(-0.2),
        rules=rules_of({"law": "linear", "kappa": 0.2}, index={"law": "linear"}),
    )  # fmt: skip
    values = run_both(case)
    assert values["system/rounds"][0] == 2.0
    assert instrument(values)["forced_flow"] == 0.0
    assert instrument(values)["mark_price"] == approx(80.0)
    assert values["system/price_limits_hit"][0] == 1.0


def test_max_rounds_cuts_the_cascade_off_and_says_so():
    # each long's sale takes the mark down by a factor that ruins the next: three rounds, or as many as are allowed
    chain = [
        Account(f"a{n}", balances={"USDT": balance}, positions=(("BTCUSDT", 10.0, 100.0),))
        for n, balance in enumerate((105.0, 450.0, 650.0))
    ]
    for allowed, closed in ((1, 1.0), (2, 2.0), (3, 3.0), (100, 3.0)):
        rules = rules_of({"max_rounds": allowed}, {"max_rounds": 1})
        values = run_both(world([PERP], chain, rules=rules, scenarios=shocks(-0.2)))
        assert values["system/rounds"][0] == values["system/liquidated_accounts"][0] == closed
        assert values["system/max_rounds_hit"][0] == float(allowed < 3)
        assert values["system/first_round_notional"][0] == approx(800.0)
        assert instrument(values)["mark_price"] == approx(80.0 * 0.5**closed)


def test_a_basis_shock_moves_the_mark_and_not_the_index():
    contract = Contract("BTCUSDT", basis=0.01)
    values = run_both(world([contract], [LONG], scenarios=shocks(0.1, basis=-0.03)))
    # 110 x (1 + 0.01 - 0.03)
    assert instrument(values)["mark_price"] == approx(107.8)
    assert instrument(values)["basis"] == approx(-0.02)
    assert values["system/rounds"][0] == 0.0


def test_an_index_never_falls_below_a_hundredth_of_its_price():
    values = run_both(world([PERP], [LONG], scenarios=shocks(-1.0)))
    assert instrument(values)["forced_flow"] == approx(-10.0)
