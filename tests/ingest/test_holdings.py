"""What a book holds: owners, contracts, levels and margins against loops, books worked by hand, and laws."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import random_case
from support.random_loans import with_loans
from support.random_portfolios import with_portfolios
from support.worlds import Account, Contract, world

from riskpipe.domain.holdings import HOLDINGS, LEVELS, NEARBY, PASSED_IX, RATIO_SHARES
from riskpipe.ingest.controls import gross_notional
from riskpipe.ingest.holdings.arrays import book_arrays
from riskpipe.ingest.holdings.contracts import contracts_of
from riskpipe.ingest.holdings.levels import level_of, main_positions
from riskpipe.ingest.holdings.margins import index_deltas, loan_ratios
from riskpipe.ingest.holdings.owners import concentration, largest
from riskpipe.liquidation.accounts import account_health
from riskpipe.liquidation.kernel import Kernel
from riskpipe.run.holdings import book_group


def kept(case):
    """Variables of /book by name, and the accounts' health."""
    kernel = Kernel(case.book, case.market, case.rules)
    health = account_health(kernel, -0.5, 0.5)
    return {key.partition("/")[2]: values for key, values in book_group(case.book, case.market, health).items()}, health


@pytest.fixture(scope="module", params=[1, 4])
def held(request):
    case = random_case(request.param, n_accounts=70)
    return case.book, *kept(case)


def positions_by_hand(book):
    """Rows of (account, owner, instrument, signed weighted USD) by the book's own loops."""
    rows = []
    for p in range(book.n_pools):
        for q in range(book.pool_position_start[p], book.pool_position_start[p + 1]):
            i, a = int(book.position_instrument[q]), int(book.pool_account[p])
            price = 1.0 if book.instrument_is_inverse[i] else book.mark_price[i]
            quote = book.index_price[book.instrument_quote[i]]
            usd = book.position_quantity[q] * book.instrument_multiplier[i] * price * quote * book.account_weight[a]
            rows.append((a, int(book.account_entity[a]), i, usd))
    return rows


def test_open_interest_positions_and_their_concentration_are_those_of_plain_loops(held):
    book, found, _ = held
    rows = positions_by_hand(book)
    for i in range(book.n_instruments):
        net, gross, behind = defaultdict(float), defaultdict(float), defaultdict(lambda: 1.0)
        for a, owner, where, usd in rows:
            if where == i:
                net[owner] += usd
                gross[owner] += abs(usd)
                if not book.account_has_entity[a]:
                    behind[owner] = book.account_weight[a]
        long = sum(usd for *_, where, usd in rows if where == i and usd > 0.0)
        assert found["open_interest_long"][i] == pytest.approx(long)
        total = sum(gross.values())
        each = [(gross[owner] / behind[owner], behind[owner]) for owner in gross]
        hhi = sum(n * (100.0 * one / total) ** 2 for one, n in each) if total else np.nan
        assert found["interest_hhi"][i] == pytest.approx(hhi, nan_ok=True)
        listed = sorted((usd for owner, usd in net.items() if behind[owner] == 1.0 and usd), key=abs, reverse=True)[:10]
        assert found["position"][i, : len(listed)] == pytest.approx(listed)
        assert not found["position"][i, len(listed) :].any()
        for usd, owner in zip(found["position"][i], found["position_entity"][i], strict=True):
            assert owner == -1 or net[int(owner)] == pytest.approx(usd)


def test_owners_add_up_and_who_is_several_is_never_listed(held):
    book, found, health = held
    weight = book.account_weight
    several = ~book.account_has_entity & (weight != 1.0)
    interest = np.zeros(book.n_accounts)
    for a, _, _, usd in positions_by_hand(book):
        interest[a] += abs(usd)
    near = {"down": health.distance_down <= NEARBY, "up": health.distance_up <= NEARBY}
    for h, holding in enumerate(HOLDINGS):
        if holding == "collateral":
            amount = np.zeros(book.n_accounts)
            for k, a in enumerate(book.slot_account):
                amount[a] += max(book.slot_quantity[k], 0.0) * book.index_price[book.slot_asset[k]] * weight[a]
        else:
            amount = interest * near.get(holding.removeprefix("liquidatable "), 1.0)
        assert found["holding_total"][h] == pytest.approx(amount.sum())
        assert found["holding_pseudo"][h] == pytest.approx(amount[several].sum())
        assert found["holding_unknown"][h] == pytest.approx(amount[~book.account_has_entity].sum())
        by_owner = np.bincount(book.account_entity, amount)
        listed = by_owner.copy()
        listed[book.account_entity[several]] = 0.0
        assert found["holding_amount"][h] == pytest.approx(np.pad(np.sort(listed)[::-1], (0, 10))[:10])
        for value, owner in zip(found["holding_amount"][h], found["holding_entity"][h], strict=True):
            assert (owner == -1) == (value == 0.0)
            assert owner == -1 or by_owner[int(owner)] == pytest.approx(value)


def test_debt_of_loans_near_liquidation_is_liquidatable_and_no_open_interest():
    case = with_loans(np.random.default_rng(3), random_case(3, n_accounts=0), 30)
    book = case.book
    found, health = kept(case)
    owed = np.zeros(book.n_accounts)
    np.add.at(owed, book.slot_account, np.maximum(-book.slot_quantity, 0.0) * book.index_price[book.slot_asset])
    owed *= book.account_weight
    for holding, distance in (("liquidatable down", health.distance_down), ("liquidatable up", health.distance_up)):
        near = owed[distance <= NEARBY]
        assert found["holding_total"][HOLDINGS.index(holding)] == pytest.approx(near.sum())
    assert found["holding_total"][HOLDINGS.index("liquidatable down")] > 0.0
    assert found["holding_total"][HOLDINGS.index("open interest")] == 0.0


def test_the_map_holds_every_account_that_has_a_price_once(held):
    book, found, health = held
    has_price = ~np.isnan(health.liquidation_price)
    assert has_price.any()
    assert found["map_accounts"].sum() == pytest.approx(book.account_weight[has_price].sum())
    assert found["call_accounts"].sum() == pytest.approx(book.account_weight[~np.isnan(health.margin_call_price)].sum())
    below, above = found["map_long"][..., PASSED_IX + 1 :], found["map_short"][..., :PASSED_IX]
    assert not below.any()
    assert not above.any()
    whole = found["map_long"].sum() + found["map_short"].sum()
    assert 0.0 < whole <= np.abs(contracts_of(book).usd).sum() * (1.0 + 1e-12)


def test_main_positions_are_those_whose_prices_are_known(held):
    book, _, health = held
    contracts = contracts_of(book)
    main = np.full(book.n_accounts, -1)
    rows = main_positions(contracts)
    main[contracts.account[rows]] = contracts.instrument[rows]
    np.testing.assert_array_equal(main, health.main_instrument)
    np.testing.assert_allclose(np.abs(contracts.usd), gross_notional(book))


@pytest.mark.parametrize(
    ("price", "is_long", "level"),
    [
        (99.5, True, "-1% to 0%"), (99.0, True, "-1% to 0%"), (98.9, True, "-2% to -1%"), (1.0, True, "-100% to -75%"),
        (100.0, True, "passed"), (120.0, True, "passed"), (80.0, False, "passed"), (100.5, False, "0% to +1%"),
        (200.0, False, "+75% to +100%"), (500.0, False, "above +100%"),
    ],
)  # fmt: skip
def test_a_level_is_where_the_price_lies_from_the_mark(price, is_long, level):
    found = level_of(np.array([price]), np.array([100.0]), np.array([is_long]))
    assert LEVELS[found[0]] == level


@given(st.lists(st.tuples(st.floats(0.0, 1e6), st.integers(1, 5)), min_size=1, max_size=20))
def test_a_row_for_several_owners_concentrates_as_much_as_its_owners_one_by_one(owners):
    amount, n = np.array([one * n for one, n in owners]), np.array([float(n) for _, n in owners])
    apart = np.array([one for one, n in owners for _ in range(n)])
    together, one_by_one = concentration(amount, n), concentration(apart, np.ones(len(apart)))
    assert together == pytest.approx(one_by_one, rel=1e-9, nan_ok=True)
    assert np.isnan(together) or 1e4 / len(apart) * (1.0 - 1e-9) <= together <= 1e4 * (1.0 + 1e-9)


@given(st.lists(st.tuples(st.integers(-9, 9), st.booleans()), max_size=80), st.integers(1, 6))
def test_the_largest_are_those_of_a_stable_sort(rows, n_top):
    amount, is_listed = np.array([float(a) for a, _ in rows]), np.array([flag for _, flag in rows], bool)
    expected = sorted((k for k, (a, flag) in enumerate(rows) if flag and a), key=lambda k: -abs(rows[k][0]))[:n_top]
    who, what = largest(amount, is_listed, n_top)
    assert who.tolist() == expected + [-1] * (n_top - len(expected))
    assert what.tolist() == [amount[k] for k in expected] + [0.0] * (n_top - len(expected))


COIN = Contract("coin", is_inverse=True, multiplier=10.0, venue="bravo")
BOOKS = [
    Account("long", balances={"USDT": 200.0}, positions=(("line", 5.0, 98.0),), weight=3.0),
    Account("short", balances={"USDT": 900.0}, positions=(("line", -7.0, 103.0),)),
    Account("coins", venue="bravo", balances={"BTC": 4.0}, positions=(("coin", -20.0, 99.0),)),
    Account("mixed", venue="bravo", balances={"BTC": 1.0, "USDT": 50.0}, positions=(("coin", 6.0, 101.0),)),
]  # fmt: skip


def ratios(x):
    case = world([Contract("line", basis=0.01), COIN], BOOKS, prices={"BTC": 100.0 * (1.0 + x)})
    found, health = kept(case)
    return found, health.equity, health.maintenance_margin


def test_a_collateral_ratio_moves_with_the_index_as_its_slope_says():
    found, equity, margin = ratios(0.0)
    _, moved_equity, moved_margin = ratios(1e-6)
    weight = np.array([account.weight for account in BOOKS])
    for v, rows in enumerate(([0, 1], [2, 3])):
        delta = ((moved_equity - equity) * weight)[rows].sum() / 1e-6
        assert found["index_delta"][v] == pytest.approx(delta, rel=1e-4)
        slope = (moved_equity / moved_margin - equity / margin)[rows] / 1e-6
        of_accounts = np.repeat(np.abs(slope), weight[rows].astype(int))
        expected = [np.sort(of_accounts)[int(np.ceil(share * len(of_accounts) - 1e-9)) - 1] for share in RATIO_SHARES]
        assert found["ratio_slope"][v] == pytest.approx(expected, rel=1e-4)
        assert found["ratio_accounts"][v] == weight[rows].sum()
        assert found["equity"][v] == pytest.approx((equity * weight)[rows].sum())


def test_where_options_are_held_the_gain_of_the_sum_is_not_told_and_its_margin_is():
    case = with_portfolios(np.random.default_rng(2), random_case(2, n_accounts=30))
    book = case.book
    found, _ = kept(case)
    contracts = contracts_of(book)
    venues = set(book.account_venue[contracts.account[contracts.is_option]].tolist())
    assert venues
    assert {v for v in range(book.n_venues) if np.isnan(found["index_delta"][v])} == venues
    assert not np.isnan(found["maintenance_margin"]).any()


def test_what_is_quoted_in_an_asset_that_moves_too_moves_by_the_difference():
    case = world([Contract("line")], [Account("long", balances={"USDT": 10.0}, positions=(("line", 5.0, 90.0),))])
    usdt = case.book.names("asset").index("USDT")
    beta = np.where(np.arange(case.book.n_assets) == usdt, 0.25, 1.0)
    delta, _ = index_deltas(case.book, contracts_of(case.book), beta)
    assert delta == pytest.approx([500.0 * (1.0 - 0.25) + (50.0 + 10.0) * 0.25]), "the mark, then the PnL and balance"


def test_depth_is_that_of_each_side_and_unknown_where_nothing_says():
    contracts = [Contract("line"), Contract("other", underlying="ETH")]
    case = world(contracts, [Account("long", balances={"USDT": 10.0}, positions=(("line", 1.0, 100.0),))])
    market = replace(case.market, depth_bid=np.array([400.0, np.nan]), depth_ask=np.array([600.0, np.nan]))
    nothing = np.zeros(1)
    found = book_arrays(
        case.book, market, equity=nothing, maintenance_margin=nothing, distance_down=nothing, distance_up=nothing,
        liquidation_price=nothing + np.nan, margin_call_price=nothing + np.nan, is_neutral=np.zeros(1, bool),
    )  # fmt: skip
    assert (found["depth_sale"][0], found["depth_purchase"][0]) == (4.0, 6.0)
    np.testing.assert_array_equal(found["underlying_depth"], [5.0, np.nan])


@pytest.mark.parametrize("seed", [0, 3])
def test_the_collateral_ratio_of_a_loan_is_its_health_factor_and_moves_as_its_slope_says(seed):
    rng = np.random.default_rng(seed)
    case = with_loans(rng, random_case(seed, n_accounts=5), 30)
    book, beta = case.book, case.market.index_beta
    _, health = kept(case)
    ratio, slope = loan_ratios(book, beta)
    np.testing.assert_array_equal(np.isnan(ratio), np.isnan(health.health_factor))
    assert (~np.isnan(ratio)).sum() > 10
    np.testing.assert_allclose(ratio, health.health_factor, rtol=1e-9)
    factor = 1.0 + 1e-7 * beta
    moved = replace(book, index_price=book.index_price * factor, venue_price=book.venue_price * factor)
    np.testing.assert_allclose(np.abs(loan_ratios(moved, beta)[0] - ratio) / 1e-7, slope, rtol=1e-4, atol=1e-5)


def test_owners_on_two_venues_and_neutral_ones_are_seen_by_their_name():
    accounts = [
        Account("a1", balances={"USDT": 400.0}, positions=(("line", 10.0, 100.0),), entity="carry"),
        Account("a2", venue="bravo", balances={"USDT": 300.0}, positions=(("other", -10.0, 100.0),), entity="carry"),
        Account("b1", balances={"USDT": 400.0}, positions=(("line", -4.0, 100.0),), entity="bear"),
        Account("c1", balances={"USDT": 400.0}, positions=(("line", -6.0, 100.0),), weight=2.0),
    ]
    found, health = kept(world([Contract("line"), Contract("other", venue="bravo")], accounts))
    assert found["shared_interest"].tolist() == [[1000.0 + 400.0 + 1200.0, 1000.0], [1000.0, 1000.0]]
    assert found["neutral_interest"].tolist() == [1000.0, 1000.0]
    assert found["neutral_owners"].tolist() == [1.0, 1.0]
    assert found["neutral_equity"].tolist() == [health.equity[0], health.equity[1]] == [400.0, 300.0]
    assert found["fund_venue"].tolist() == ["alpha", "bravo"]


def test_what_closing_would_sell_is_the_net_of_accounts_near_liquidation_only():
    accounts = [
        Account("near", balances={"USDT": 60.0}, positions=(("line", 10.0, 100.0),), entity="one"),
        Account("far", balances={"USDT": 4000.0}, positions=(("line", 10.0, 100.0),), entity="one"),
        Account("coin", venue="bravo", balances={"USDT": 60.0}, positions=(("other", 8.0, 100.0),), entity="two"),
    ]
    contracts = [Contract("line"), Contract("other", venue="bravo", underlying="ETH")]
    found, _ = kept(world(contracts, accounts))
    assert found["liquidatable_position"][0, 0].tolist() == [1000.0, 0.0]
    assert found["liquidatable_position"][0, 1].tolist() == [0.0, 800.0]
    assert not found["liquidatable_position"][1].any()
    assert found["holding_amount"][HOLDINGS.index("liquidatable down"), :2].tolist() == [1000.0, 800.0]
