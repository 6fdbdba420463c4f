"""When a larger adverse shock cannot help: one-sided linear longs whose flow is small; and when it can."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.equality import run, run_both
from support.worlds import Account, Contract, rules_of, shocks, world

LAWS = ("exponential", "linear")


def longs(rng, n_accounts, contracts):
    """Accounts long only, in linear contracts, backed by USDT."""
    accounts = []
    for n in range(n_accounts):
        venue = ("alpha", "bravo")[int(rng.integers(0, 2))]
        listed = [contract.name for contract in contracts if contract.venue == venue]
        rows = [(name, float(rng.uniform(1.0, 20.0)), 100.0) for name in listed if rng.random() < 0.7]
        margin = sum(quantity * 100.0 for _, quantity, _ in rows) * float(rng.uniform(0.06, 0.5))
        accounts.append(Account(f"a{n}", venue, {"USDT": margin}, tuple(rows), weight=float(rng.integers(1, 4))))
    return accounts


@settings(max_examples=120)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_larger_fall_never_lowers_the_shortfall_of_longs_whose_flow_is_small(seed):
    rng = np.random.default_rng(seed)
    contracts = [Contract("b1"), Contract("b2", venue="bravo"), Contract("e1", underlying="ETH")]
    accounts = longs(rng, 8, contracts)
    total = sum(q * 100.0 * account.weight for account in accounts for _, q, _ in account.positions)
    # all the book's notional is at most half of any depth, own books and indices together: price times what is left
    # of it then falls with the price
    depth = 2.0 * total * float(rng.uniform(1.0, 2.0))
    contracts = [Contract(c.name, c.underlying, c.venue, depth=depth) for c in contracts]
    rules = [
        {
            "law": LAWS[int(rng.integers(0, 2))],
            "kappa": float(rng.choice([0.0, 0.5, 1.0])),
            "mark_response": float(rng.choice([0.3, 1.0])),
            "price_floor": float(rng.choice([0.0, 0.4])),
        }
        for _ in range(2)
    ]
    index = {"law": LAWS[int(rng.integers(0, 2))]}
    ladder = -np.linspace(0.0, 0.9, 25)
    values = run(
        world(
            contracts, accounts, index_depth={"BTC": depth, "ETH": depth}, rules=rules_of(*rules, index=index),
            scenarios=shocks(*ladder),
        )
    )  # fmt: skip
    shortfall = values["funds/shortfall"].sum(1)
    assert shortfall[-1] > 0.0
    assert np.all(np.diff(shortfall) >= -1e-9 * total)
    assert np.all(np.diff(values["system/liquidated_accounts"]) >= 0.0)


def test_with_more_flow_than_depth_a_larger_fall_can_lower_the_shortfall():
    # 3000 USD at 100 over a depth of 1000: a coin fetches 100 s exp(-3 s) at s of the price, most at a third of it.
    # At -5% it fetches 95 exp(-2.85) = 5.4952, at -50% 50 exp(-1.5) = 11.1565; 30 coins on 160 of margin
    case = world(
        [Contract("BTCUSDT", depth=1000.0)],
        [Account("long", balances={"USDT": 160.0}, positions=(("BTCUSDT", 30.0, 100.0),))],
        scenarios=shocks(-0.05, -0.5),
    )
    shortfall = run_both(case)["funds/shortfall"][:, 0]
    assert shortfall[0] == pytest.approx(3000.0 - 160.0 - 30.0 * 95.0 * math.exp(-2.85))
    assert shortfall[1] == pytest.approx(3000.0 - 160.0 - 30.0 * 50.0 * math.exp(-1.5))
    assert shortfall[1] < shortfall[0]


def test_on_a_two_sided_book_a_larger_fall_can_lower_the_shortfall():
    # flow is half the depth at most. At -10% the long fails, and its 900 sold over 2000 take a coin from 90 to
    # 90 exp(-0.45) = 57.387: 376.13 missing on 50. At -20% a spread fails too, long ETH against ten short BTC, which
    # are bought back against the long's ten: no flow, 80 a coin, 150 missing; the spread itself, long 28 ETH, loses
    # 560, gains 200, and has 390 to pay with
    book = [
        Account("long", balances={"USDT": 50.0}, positions=(("BTCUSDT", 10.0, 100.0),)),
        Account("spread", balances={"USDT": 480.0}, positions=(("BTCUSDT", -10.0, 100.0), ("ETHUSDT", 28.0, 100.0))),
    ]
    contracts = [Contract("BTCUSDT", depth=2000.0), Contract("ETHUSDT", underlying="ETH", depth=1e30)]
    values = run_both(world(contracts, book, scenarios=shocks(-0.1, -0.2)))
    assert values["system/liquidated_accounts"].tolist() == [1.0, 2.0]
    assert values["funds/shortfall"][:, 0].tolist() == pytest.approx([950.0 - 900.0 * math.exp(-0.45), 150.0])


def test_half_the_depth_of_own_book_and_index_each_is_too_much_for_the_linear_law():
    # the law needs the flow to be small against both depths together: a half of each makes a coin fetch
    # 100 s (1 - s / 2)**2, which is most at s = 2/3. 20 coins: 2000 USD, of which kappa moves a half, over depths 2000
    case = world(
        [Contract("BTCUSDT", depth=2000.0)],
        [Account("long", balances={"USDT": 110.0}, positions=(("BTCUSDT", 20.0, 100.0),))],
        index_depth={"BTC": 2000.0},
        rules=rules_of({"law": "linear", "kappa": 0.5}, index={"law": "linear"}),
        scenarios=shocks(-0.02, -0.3),
    )
    values = run_both(case)
    fetched = [100.0 * s * (1.0 - s / 2.0) ** 2 for s in (0.98, 0.7)]
    assert values["funds/shortfall"][:, 0].tolist() == pytest.approx(
        [2000.0 - 110.0 - 20.0 * price for price in fetched]
    )
    assert values["funds/shortfall"][1, 0] < values["funds/shortfall"][0, 0]
