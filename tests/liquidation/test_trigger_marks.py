"""Prices of accounts: those of the margin models on paper where these know them, marks where health turns elsewhere."""

import math
from dataclasses import replace

import numpy as np
import pytest
from strategies import market_of, random_case
from support.hard_books import hard_case
from support.mark_excess import Snapshot
from support.mixed_margin import with_mixed_margin
from support.random_loans import with_loans
from support.worlds import Account, Contract, rules_of, world

from riskpipe.domain.rules import ContractRules
from riskpipe.liquidation.accounts import account_health
from riskpipe.liquidation.kernel import Kernel
from riskpipe.liquidation.prices import n_rows, set_shocked_lane
from riskpipe.liquidation.records import make_draft
from riskpipe.liquidation.shocks import index_shocks
from riskpipe.liquidation.trigger_marks import FURTHEST, trigger_marks
from riskpipe.margin.lending import health_factor
from riskpipe.margin.trigger_prices import bankruptcy_price, liquidation_prices, margin_call_prices
from riskpipe.margin.venue_prices import binance_coin_price

PRICES = ("liquidation_price", "margin_call_price", "bankruptcy_price")


def health_of(case):
    return account_health(Kernel(case.book, case.market, case.rules), 0.0, 0.0)


def prices_of(case, account=0):
    found = health_of(case)
    return tuple(getattr(found, name)[account] for name in PRICES)


# ------------------------------------------------------------------------------------------ the models' own prices
def at_par(case):
    """Return the case with all collateral at par and nothing asked of what is borrowed."""
    book = case.book
    n_rows_ = book.n_venues * book.n_assets
    book = replace(
        book,
        collateral_band_start=np.arange(n_rows_ + 1),
        band_floor=np.zeros(n_rows_),
        band_haircut=np.zeros(n_rows_),
        borrow_maintenance_rate=book.borrow_maintenance_rate * 0.0,
    )
    market = replace(case.market, venue_price_ratio=np.ones_like(case.market.venue_price_ratio))
    return replace(case, book=book, market=market)


def on_paper(shot, p, i, is_long):
    """The three prices by `margin.trigger_prices`, everything but contract i's legs frozen; NaN beyond FURTHEST.

    What the pool has in the coin of an inverse contract, and what others must hold in it, is its balance.
    """
    book, asset = shot.book, shot.prices.asset
    settlement, is_inverse = int(book.instrument_settlement[i]), bool(book.instrument_is_inverse[i])
    legs, other = [], np.zeros(3)
    settled = shot.model.settled(p, {q: shot.prices.mark[book.position_instrument[q]] for q in shot.model.positions(p)})
    balance = np.zeros(3)
    for k, amount in settled.items():
        c = int(book.slot_asset[k])
        if c == settlement:
            balance += amount
        else:
            other += amount * asset[c]
    for q in shot.model.positions(p):
        held = int(book.position_instrument[q])
        holding = shot.holding(q, shot.prices.mark[held], asset)
        if held == i:
            legs.append(holding)
            balance -= shot.model.position_pnl(q, holding.mark_price)
            continue
        margin = np.array([*shot.required(q, holding, asset), 0.0])
        in_coins = holding.is_inverse and shot.rules[shot.names[held]].unit == "coin"
        if in_coins and is_inverse and int(book.instrument_settlement[held]) == settlement:
            balance -= margin / asset[settlement]
        else:
            other -= margin
    model = shot.model.margin_models[i]
    found = [
        liquidation_prices(model, legs, balance=balance[0], other_excess_usd=other[0]),
        margin_call_prices(model, legs, balance=balance[1], other_excess_usd=other[1]),
    ]
    prices = [price.down if is_long else price.up for price in found]
    if len([leg for leg in legs if leg.size != 0.0]) == 1:
        (leg,) = [leg for leg in legs if leg.size != 0.0]
        prices.append(bankruptcy_price(leg, balance=balance[2], other_equity_usd=other[2]))
    mark = shot.prices.mark[i]
    return [math.nan if not mark / FURTHEST < price < mark * FURTHEST else price for price in prices]


def test_where_all_counts_at_par_prices_are_those_of_the_margin_models():
    n_compared = np.zeros((3, 2, 2), int)  # by price, inverse, whether there is one
    for seed in range(60):
        rng = np.random.default_rng([seed, 7])
        case = at_par(random_case(seed, n_accounts=16, n_scenarios=1, is_levered=seed % 2 == 0))
        case = with_mixed_margin(rng, case)
        shot, found = Snapshot(case), health_of(case)
        for a in range(case.book.n_accounts):
            main = shot.main(a)
            if main is None or case.book.account_is_exempt[a]:
                continue
            p, i, is_long = main
            excess, scale = shot.excess(p, i, shot.prices.mark[i])
            for n, expected in enumerate(on_paper(shot, p, i, is_long)):
                if abs(excess[n]) > 1e-9 * scale:
                    price = getattr(found, PRICES[n])[a]
                    assert price == pytest.approx(expected, rel=1e-9, nan_ok=True), (seed, a, PRICES[n])
                    n_compared[n, int(case.book.instrument_is_inverse[i]), int(math.isnan(expected))] += 1
    assert (n_compared >= 10).all()


# ------------------------------------------------------------------------------------------------------- every book
def check_turn(shot, p, i, is_long, kind, price):
    """Health keeps its sign up to the price, and changes it there; returns whether that could be looked at."""
    mark, noise = shot.prices.mark[i], 1e-11
    start, scale = shot.excess(p, i, mark)
    if abs(start[kind]) <= 1e-9 * scale:
        return False  # at the price already, to rounding
    is_failing = start[kind] < 0.0
    goes_up = is_long == is_failing
    end = mark * (FURTHEST if goes_up else 1.0 / FURTHEST) if math.isnan(price) else price
    assert (end >= mark) if goes_up else (end <= mark)
    before, beyond = (1.0 - 1e-9, 1.0 + 1e-9) if goes_up else (1.0 + 1e-9, 1.0 - 1e-9)
    places = [*np.geomspace(mark, end, 300)[1:-1], end * before]
    for place in places if abs(end / mark - 1.0) > 1e-8 else ():
        here, scale = shot.excess(p, i, float(place))
        assert (-here[kind] if is_failing else here[kind]) >= -noise * scale, place
    if not math.isnan(price):
        here, scale = shot.excess(p, i, end * beyond)
        assert (here[kind] if is_failing else -here[kind]) >= -noise * scale
    return True


@pytest.mark.parametrize("seed", range(24))
def test_health_turns_at_the_price_and_nowhere_nearer(seed):
    # tiers of all kinds, haircut bands, venues' own prices, debts, contracts quoted and settled in the coin that moves
    leverage = (1.0, 0.3, 0.1)[seed % 3]
    case = hard_case(seed, leverage=leverage) if seed % 4 else random_case(seed, n_accounts=12, n_scenarios=1)
    shot, found, n_checked = Snapshot(case), health_of(case), 0
    for a in range(case.book.n_accounts):
        prices, main = [getattr(found, name)[a] for name in PRICES], shot.main(a)
        assert found.main_instrument[a] == (-1 if main is None else main[1])
        if main is None or case.book.account_is_exempt[a]:
            assert np.isnan(prices).all()
            continue
        for kind, price in enumerate(prices):
            n_checked += check_turn(shot, *main, kind, price)
    assert n_checked > 10


def test_prices_and_what_they_are_found_from_are_left_as_they_were():
    case = hard_case(5)
    kernel = Kernel(case.book, case.market, case.rules)
    price = np.zeros((n_rows(kernel.terms), 1))
    set_shocked_lane(kernel.terms, price, 0, index_shocks(0.0), 0, 1.0)
    before = price.copy()
    scratch = make_draft(kernel.pools, kernel.terms, 1).base
    first, second = (trigger_marks(kernel.pools, kernel.terms, scratch, price) for _ in range(2))
    assert price.tobytes() == before.tobytes()
    assert all(one.tobytes() == other.tobytes() for one, other in zip(first, second, strict=True))


# ---------------------------------------------------------------------------------------------------------- on paper
def holder(side, size, entry, margin):
    return Account("holder", isolated=(("contract", side * size, entry, margin),))


def one_contract(rate, deduction=0.0, *, is_inverse=False, price, account, initial=None, **contract_rules):
    contract = Contract(
        "contract", is_inverse=is_inverse, tiers=((0.0, initial or rate, rate),), deductions=(deduction,)
    )
    rules = replace(rules_of(), contracts={"contract": ContractRules(**contract_rules)})
    return world([contract], [account], prices={"BTC": price}, rules=rules)


FREQTRADE = "freqtrade@c9ae5e1e tests/exchange/test_exchange.py (test_get_liquidation_price)"
BYBIT_USDT = "https://testnet.bybit.com/en-US/help-center/s/article/Liquidation-Price-USDT-Contract"
BYBIT_ADL = "https://help.bybit.com/hc/en-us/articles/900000031623-What-is-Auto-Deleveraging-ADL-"


@pytest.mark.parametrize(
    ("side", "entry", "leverage", "rate", "deduction", "terms", "price", "source"),
    [
        (-1, 10.0, 5.0, 0.01, 0.01, {}, 11.89108910891089, FREQTRADE),
        (1, 10.0, 3.0, 0.01, 0.01, {}, 6.723905723905723, FREQTRADE),
        (1, 10.0, 5.0, 0.01, 0.0, {"fee_rate": 0.0006}, 8.085708510208207, FREQTRADE),
        (-1, 10.0, 3.0, 0.01, 0.0, {"fee_rate": 0.0006}, 13.193482419684678, FREQTRADE),
        (1, 20_000.0, 50.0, 0.005, 0.0, {"valued_at": "entry"}, 19_700.0, BYBIT_USDT),
    ],
)
def test_published_prices_of_linear_contracts(side, entry, leverage, rate, deduction, terms, price, source):
    account = holder(side, 1.0, entry, entry / leverage)
    liquidation, _, bankruptcy = prices_of(one_contract(rate, deduction, price=entry, account=account, **terms))
    assert liquidation == pytest.approx(price, rel=1e-12), source
    assert bankruptcy == pytest.approx(entry * (1.0 - side / leverage), rel=1e-12)


@pytest.mark.parametrize(
    ("side", "valued_at", "price"),
    [(1, "entry", 45_662.10), (-1, "entry", 55_248.62), (1, "mark", 45_681.82), (-1, "mark", 55_277.78)],
)
def test_published_prices_of_bybits_inverse_contracts_before_and_after_2024(side, valued_at, price):
    account = holder(side, 60_000.0, 50_000.0, 60_000.0 / 50_000.0 / 10.0)
    terms = {"unit": "coin", "valued_at": valued_at}
    case = one_contract(0.005, is_inverse=True, price=50_000.0, account=account, **terms)
    liquidation, _, bankruptcy = prices_of(case)
    assert liquidation == pytest.approx(price, abs=0.005)
    assert bankruptcy == pytest.approx(50_000.0 * 10.0 / (10.0 + side), rel=1e-12)


def test_the_published_bankruptcy_price_of_an_inverse_contract():
    account = holder(1, 5_000.0, 7_890.08, 5_000.0 / 7_890.08 / 50.0)
    case = one_contract(0.005, is_inverse=True, price=7_800.0, account=account, unit="coin")
    assert prices_of(case)[2] == pytest.approx(7_735.372549, abs=1e-6), BYBIT_ADL


def test_other_contracts_in_the_coin_keep_their_marks_while_the_coin_moves():
    # Binance COIN-M: balance, PnL and maintenance of the others are coins, which are worth what the coin then is
    perp, quarter = (Contract(name, is_inverse=True, multiplier=100.0) for name in ("perp", "quarter"))
    rules = replace(rules_of(), contracts={name: ContractRules(unit="coin") for name in ("perp", "quarter")})
    held = Account("a", balances={"BTC": 40.0}, positions=(("perp", 100.0, 110.0), ("quarter", -60.0, 90.0)))
    case = world([perp, quarter], [held], rules=rules)
    expected = binance_coin_price(
        side=1,
        contracts=100.0,
        contract_size=100.0,
        entry_price=110.0,
        wallet_balance=40.0,
        maintenance_rate=0.05,
        other_maintenance=0.05 * 60.0,
        other_unrealised_pnl=-6_000.0 * (1.0 / 90.0 - 1.0 / 100.0),
    )
    assert prices_of(case)[0] == pytest.approx(expected, rel=1e-12)


def test_haircuts_and_other_contracts_weigh_on_the_price():
    # 2 BTC count half; the ETH position keeps its profit of 20 and its margin of 5: 100 + 20 + m - 150 = 5 + 0.05 m
    contracts = [Contract("BTCUSDT"), Contract("ETHUSDT", underlying="ETH")]
    held = Account("a", balances={"BTC": 2.0}, positions=(("BTCUSDT", 1.5, 100.0), ("ETHUSDT", 1.0, 80.0)))
    case = world(contracts, [held], bands={("alpha", "BTC"): ((0.0, 0.5),)})
    liquidation, call, bankruptcy = prices_of(case)
    assert liquidation == pytest.approx((150.0 + 5.0 - 120.0) / (1.5 * 0.95), rel=1e-12)
    assert call == pytest.approx((150.0 + 10.0 - 120.0) / (1.5 * 0.9), rel=1e-12)
    assert math.isnan(bankruptcy)  # 200 of BTC and the 20 outlast it


def test_a_margin_that_jumps_over_the_equity_calls_at_the_tiers_edge():
    contract = Contract("contract", tiers=((0.0, 0.1, 0.05), (1_000.0, 0.5, 0.1)))
    short = Account("a", balances={"USDT": 600.0}, positions=(("contract", -1.0, 800.0),))
    case = world([contract], [short], prices={"BTC": 800.0})
    assert prices_of(case)[1] == pytest.approx(1_000.0, rel=1e-12)


def test_a_jump_counts_although_the_pool_heals_beyond_it():
    # net short, so that a fall earns; under a notional of 1,000 the long's margin is 100 more, for a deduction ends
    contract = Contract("contract", tiers=((0.0, 0.05, 0.05), (1_000.0, 0.05, 0.05)), deductions=(0.0, 100.0))
    legs = tuple(("contract", size, 1_100.0) for size in (1.0, -0.6, -0.6))
    case = world([contract], [Account("a", balances={"USDT": 40.0}, positions=legs)], prices={"BTC": 1_100.0})
    assert prices_of(case)[0] == pytest.approx(1_000.0, rel=1e-12)


@pytest.mark.parametrize("margin", [1e2, 1e4, 1e6, 1e8, 1e10])
def test_prices_far_from_the_mark_are_as_exact_as_near_ones(margin):
    account = holder(-1, 1.0, 100.0, margin)
    found = prices_of(one_contract(0.05, initial=0.25, price=100.0, account=account))
    expected = [(margin + 100.0) / (1.0 + rate) for rate in (0.05, 0.25, 0.0)]
    assert found == pytest.approx(expected, rel=1e-13)
    richer = holder(-1, 1.0, 100.0, 1.1e11)
    assert np.isnan(prices_of(one_contract(0.05, price=100.0, account=richer))).all()


def test_what_is_quoted_in_the_coin_and_valued_at_entry_crosses_its_tiers_with_the_coin():
    # 3 ETH at entry are 3 BTC, under the floor of 225 USD from 75 on: 18 m - 1,000 = 50 + 0.05 x 3 m
    contracts = [
        Contract("perp", is_inverse=True, multiplier=10.0),
        Contract("ETHBTC", underlying="ETH", tiers=((0.0, 0.05, 0.05), (225.0, 0.2, 0.2))),
    ]
    held = Account("a", balances={"BTC": 8.0, "USDT": 0.0}, positions=(("perp", 100.0, 100.0), ("ETHBTC", 3.0, 1.0)))
    rules = replace(rules_of(), contracts={"ETHBTC": ContractRules(valued_at="entry")})
    case = world(contracts, [held], rules=rules)
    quote = case.book.instrument_quote.copy()
    quote[1] = 0
    book = replace(case.book, instrument_quote=quote, mark_price=np.array([100.0, 1.0]))
    case = replace(case, book=book, market=market_of(book))
    assert prices_of(case)[0] == pytest.approx(1_050.0 / 17.85, rel=1e-12)


def test_a_pool_that_fails_is_told_the_price_that_heals_it():
    account = holder(1, 2.0, 100.0, 10.0)
    liquidation, call, bankruptcy = prices_of(one_contract(0.02, initial=0.1, price=60.0, account=account))
    assert liquidation == pytest.approx(190.0 / (2.0 * 0.98), rel=1e-12)
    assert call == pytest.approx(190.0 / (2.0 * 0.9), rel=1e-12)
    assert bankruptcy == pytest.approx(95.0, rel=1e-12)


def test_the_largest_position_gives_the_prices_and_the_first_of_equals_does():
    contracts = [Contract("small"), Contract("large"), Contract("coin", is_inverse=True, multiplier=100.0)]
    idle = Account("idle", balances={"USDT": 1.0})
    flat = Account("flat", balances={"USDT": 1.0}, positions=(("small", 0.0, 100.0),))
    mixed = Account(
        "mixed", balances={"USDT": 500.0}, positions=(("small", 1.0, 100.0),), isolated=(("large", 2.0, 100.0, 20.0),)
    )
    equal = Account("equal", balances={"USDT": 20.0, "BTC": 1.0}, positions=(("large", 1.0, 100.0), ("coin", 1.0, 1e9)))
    exempt = Account("exempt", balances={"USDT": 20.0}, positions=(("small", -1.0, 100.0),), is_exempt=True)
    found = health_of(world(contracts, [idle, flat, mixed, equal, exempt]))
    assert found.main_instrument.tolist() == [-1, -1, 1, 1, 0]
    assert found.liquidation_price[2] == pytest.approx((200.0 - 20.0) / (2.0 * 0.95), rel=1e-12)
    for a in (0, 1, 4):
        assert all(math.isnan(getattr(found, name)[a]) for name in PRICES)


# ------------------------------------------------------------------------------------------------------------- loans
def test_the_health_factor_of_a_loan_is_its_weighted_collateral_over_its_debt():
    n_loans = 0
    for seed in range(6):
        case = with_loans(np.random.default_rng(seed), random_case(seed, n_accounts=6, n_scenarios=1), 12)
        book, found, shot = case.book, health_of(case), Snapshot(case)
        for p in range(book.n_pools):
            a, venue = int(book.pool_account[p]), int(book.account_venue[book.pool_account[p]])
            weighted = debt = 0.0
            for k in shot.model.slots(p):
                c, quantity = int(book.slot_asset[k]), float(book.slot_quantity[k])
                own = float(book.slot_threshold[k])
                threshold = np.nan_to_num(book.lending_threshold[venue, c]) if math.isnan(own) else own
                debt += max(0.0, -quantity) * shot.prices.asset[c]
                weighted += max(0.0, quantity) * shot.model.own_venue_price(p, c, shot.prices.asset) * threshold
            if not book.account_is_lending[a] or debt == 0.0:
                assert math.isnan(found.health_factor[a])
                continue
            n_loans += 1
            assert found.health_factor[a] == pytest.approx(health_factor(weighted, debt), rel=1e-12, abs=1e-15)
            assert (found.health_factor[a] < 1.0) == (found.margin_excess[a] < 0.0)
    assert n_loans > 40
