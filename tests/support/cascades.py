"""Random books that fall in a chain: each closing takes prices to where the next pool fails."""

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st
from strategies import Case, market_of, random_book, random_rules, random_scenarios
from support.worlds import Account, Contract, rules_of, shocks, world

WATERFALLS = (("fee_offset", "fund", "adl"), ("fund", "adl", "fee_offset"), ("fund",), ())


def chain_case(seed, *, n_accounts=14):
    """Long accounts of descending leverage on one underlying, most of them in one contract, over thin books.

    Closing n takes the mark about as far as from threshold n to threshold n + 1; some shorts win and may be
    deleveraged.
    """
    rng = np.random.default_rng(seed)
    contracts = [
        Contract("linear", depth=1.0),
        Contract("inverse", is_inverse=True, multiplier=100.0, depth=1.0, fund="alpha-new"),
        Contract("elsewhere", venue="bravo", basis=0.002, depth=1.0),
    ]
    step = float(rng.uniform(0.01, 0.05))
    notional, main = 1000.0, int(rng.integers(0, 3))
    accounts = []
    for n in range(n_accounts):
        contract = contracts[main if rng.random() < 0.75 else int(rng.integers(0, 3))]
        # with equity e N and maintenance 5% the pool fails about where the price has fallen by e - 5%
        share = 0.05 + 0.03 + step * (n + float(rng.uniform(-0.2, 0.2)))
        quantity = notional / 100.0 * float(rng.uniform(0.8, 1.2))
        margin = {"BTC": share * quantity} if contract.is_inverse else {"USDT": 100.0 * share * quantity}
        row = (contract.name, quantity, 100.0)
        weight = 1.0 if rng.random() < 0.8 else 3.0
        entity = f"e{int(rng.integers(0, 4))}" if rng.random() < 0.5 else None
        if rng.random() < 0.3:
            row, margin = (*row, next(iter(margin.values()))), {}
            accounts.append(Account(f"a{n}", contract.venue, isolated=(row,), weight=weight, entity=entity))
        else:
            accounts.append(Account(f"a{n}", contract.venue, margin, (row,), weight=weight, entity=entity))
    for n, contract in enumerate(contracts):
        if rng.random() < 0.7:
            held = {"BTC": 300.0} if contract.is_inverse else {"USDT": 3e4}
            position = (contract.name, -30.0 * float(rng.uniform(0.1, 1.0)), 100.0)
            accounts.append(Account(f"winner-{n}", contract.venue, held, (position,), entity=f"e{n}"))
    rules = [
        {
            "law": ("exponential", "linear")[int(rng.integers(0, 2))],
            "kappa": float(rng.choice([0.0, 0.5, 1.0])),
            "price_floor": float(rng.choice([0.0, 0.0, 0.0, 0.7])),
            "fee_rate": float(rng.choice([0.0, 0.01])),
            "close_out_alpha": (1.0, 0.5, "vwap")[int(rng.integers(0, 3))],
            "max_rounds": int(rng.choice([100, 3, 3])),
            "waterfall": WATERFALLS[int(rng.integers(0, 4))],
        }
        for _ in range(2)
    ]
    case = world(
        contracts,
        [accounts[n] for n in rng.permutation(len(accounts))],
        funds={name: (name[:5], "USDT", float(rng.uniform(0.0, 200.0))) for name in ("alpha", "bravo", "alpha-new")},
        rules=rules_of(*rules),
        scenarios=shocks(-0.06, -0.045, depth=float(rng.choice([1.0, 0.7]))),
    )
    # so deep that one closing takes the price a step or somewhat more
    depth = notional / step * float(rng.uniform(0.4, 1.0))
    market = replace(
        case.market,
        depth_bid=np.full(3, depth),
        depth_ask=np.full(3, depth),
        index_depth=np.array([depth, np.nan, np.nan, np.nan]),
    )
    return replace(case, market=market)


def squeezed_case(seed):
    """Return a random levered book over depths a twentieth of the usual."""
    rng = np.random.default_rng(seed)
    book = random_book(rng, n_accounts=20, n_instruments=4)
    market = market_of(book)
    thin = {name: getattr(market, name) / 20.0 for name in ("depth_bid", "depth_ask", "index_depth")}
    return Case(book, replace(market, **thin), random_rules(rng), random_scenarios(rng, 2))


@st.composite
def deep_cases(draw):
    """Chains, and thin random books half as often."""
    make = draw(st.sampled_from([chain_case, chain_case, squeezed_case]))
    return make(draw(st.integers(0, 2**32 - 1)))
