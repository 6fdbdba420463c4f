"""The shared vocabulary of valid inputs: random books, markets, rules and scenarios that exercise the whole model."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from riskpipe.domain.book import Book, InstrumentKind
from riskpipe.domain.market import Market
from riskpipe.domain.rules import IndexImpact, Rules, VenueRules
from riskpipe.domain.scenarios import ScenarioSet, Variant

AS_OF = datetime(2024, 8, 5, tzinfo=UTC)


@dataclass(frozen=True)
class Case:
    """Everything a block needs."""

    book: Book
    market: Market
    rules: Rules
    scenarios: ScenarioSet


def random_tiers(rng, n_tiers):
    floors = np.concatenate(([0.0], np.sort(rng.uniform(1e3, 2e5, n_tiers - 1))))
    rates = np.sort(rng.uniform(0.004, 0.2, n_tiers))
    deductions = np.concatenate(([0.0], np.cumsum(floors[1:] * np.diff(rates))))
    return floors, np.minimum(1.0, rates * rng.uniform(1.0, 2.0)), rates, deductions


def random_book(rng, *, n_accounts, n_instruments=5, is_levered=True):
    """Two venues, three coins and two stable assets, linear and inverse contracts, cross and isolated pools, weights,
    shared entities, multi-asset collateral with bands, borrowed assets; every array in canonical order."""
    assets = ["BTC", "ETH", "XRP", "USDT", "USD"]
    price = np.array([50_000.0, 3_000.0, 0.6, 1.0005, 1.0])
    n_c, n_v, n_i = len(assets), 2, n_instruments
    venue = rng.integers(0, n_v, n_i).astype(np.int32)
    venue[: min(2, n_i)] = [0, 1][: min(2, n_i)]
    underlying = rng.integers(0, 3, n_i).astype(np.int32)
    is_inverse = rng.random(n_i) < 0.4
    quote = np.where(is_inverse, 4, 3).astype(np.int32)
    settlement = np.where(is_inverse, underlying, 3).astype(np.int32)
    basis = rng.normal(0, 0.004, n_i)
    mark = price[underlying] / price[quote] * (1 + basis)
    multiplier = np.where(is_inverse, rng.choice([1.0, 10.0, 100.0], n_i), rng.choice([1.0, 0.01, 10.0], n_i))
    # funds: one per venue, and a fund of its own for some instruments
    fund = np.where(rng.random(n_i) < 0.25, 2, venue).astype(np.int32)
    fund[venue == 1] = 1
    tiers = [random_tiers(rng, int(rng.integers(1, 5))) for _ in range(n_i)]
    # portfolios
    pools, accounts = [], []
    n_entities_shared = max(1, n_accounts // 4)
    shared = rng.random(n_accounts) < 0.4
    entity_of = np.where(shared, rng.integers(0, n_entities_shared, n_accounts), -1)
    account_venue = rng.integers(0, n_v, n_accounts).astype(np.int32)
    account_venue[: min(2, n_accounts)] = [0, 1][: min(2, n_accounts)]
    for a in range(n_accounts):
        v = account_venue[a]
        listed = np.flatnonzero(venue == v)
        equity = float(rng.lognormal(8, 1.5))
        leverage = float(rng.lognormal(1.6 if is_levered else -0.5, 0.9))
        balances = {}
        for c in rng.choice([0, 1, 3, 4], size=int(rng.integers(1, 4)), replace=False):
            balances[int(c)] = equity / price[c] * float(rng.uniform(0.2, 1.2))
        if rng.random() < 0.2:
            c = int(rng.choice([0, 1, 2]))
            balances[c] = balances.get(c, 0.0) - 0.4 * equity / price[c]
        cross, isolated = [], []
        if len(listed) and rng.random() > 0.05:
            for _ in range(int(rng.integers(1, 4))):
                i = int(rng.choice(listed))
                usd = equity * leverage * float(rng.uniform(0.1, 1.0))
                sign = 1 if rng.random() < 0.6 else -1
                per_contract = multiplier[i] * price[quote[i]] * (1.0 if is_inverse[i] else mark[i])
                quantity = 0.0 if rng.random() < 0.02 else sign * usd / per_contract
                entry = mark[i] * float(rng.uniform(0.9, 1.1))
                if rng.random() < 0.2:
                    isolated.append(
                        (i, quantity, entry, abs(usd) * float(rng.uniform(0.02, 0.4)) / price[settlement[i]])
                    )
                else:
                    cross.append((i, quantity, entry))
        accounts.append(1 + len(isolated))
        pools.append((a, False, sorted(cross, key=lambda row: row[0]), balances))
        pools.extend((a, True, [row[:3]], {int(settlement[row[0]]): row[3]}) for row in isolated)
    position, entry, quantity, slot_of = [], [], [], []
    pool_positions, pool_slots, slot_asset, slot_quantity = [0], [0], [], []
    for _, _, rows, balances in pools:
        slots = sorted(set(balances) | {int(settlement[i]) for i, _, _ in rows})
        for i, q, e in rows:
            position.append(i), quantity.append(q), entry.append(e), slot_of.append(slots.index(int(settlement[i])))
        slot_asset += slots
        slot_quantity += [balances.get(c, 0.0) for c in slots]
        pool_positions.append(len(position))
        pool_slots.append(len(slot_asset))
    # entities: shared ones first, then everyone else their own
    own = np.flatnonzero(entity_of < 0)
    entity = entity_of.copy()
    entity[own] = n_entities_shared + np.arange(len(own))
    n_e = n_entities_shared + len(own)
    order = np.argsort(entity, kind="stable").astype(np.int32)
    weight = np.where((rng.random(n_accounts) < 0.2), rng.integers(2, 50, n_accounts), 1).astype(float)
    bands_per_row = []
    for _ in range(n_v):
        for c in range(n_c):
            is_taken = c in (3, 4) or rng.random() < 0.7
            haircut = 0.0 if c == 4 else float(rng.uniform(0, 0.3))
            rows = [(0.0, haircut), (float(rng.uniform(2e3, 5e4)), min(1.0, haircut + 0.2))] if is_taken else []
            bands_per_row.append(rows[: int(rng.integers(1, 3))])
    venue_price = np.full((n_v, n_c), np.nan)
    if rng.random() < 0.5:
        venue_price[1, 1] = price[1] * 0.98
    borrow = np.zeros((n_v, n_c))
    borrow[:, :3] = rng.uniform(0.0, 0.1, (n_v, 3))
    depth = rng.lognormal(np.log(rng.choice([2e5, 1e6, 5e6])), 1.0, n_i)
    return Book(
        as_of=AS_OF,
        numeraire="USD",
        labels={
            "account": pa.array([f"a{n}" for n in range(n_accounts)]),
            "venue": pa.array(["alpha", "bravo"]),
            "asset": pa.array(assets),
            "instrument": pa.array([f"i{n}" for n in range(n_i)]),
            "fund": pa.array(["alpha", "bravo", "alpha-new"]),
            "entity": pa.array([f"e{n}" for n in range(n_e)]),
            "segment": pa.array([], pa.string()),
        },
        account_venue=account_venue,
        account_entity=entity.astype(np.int32),
        account_has_entity=shared,
        account_segment=np.full(n_accounts, -1, np.int32),
        account_weight=weight,
        account_is_exempt=rng.random(n_accounts) < 0.03,
        account_reported_equity=np.full(n_accounts, np.nan),
        account_reported_maintenance_margin=np.full(n_accounts, np.nan),
        account_pool_start=np.concatenate(([0], np.cumsum(accounts))).astype(np.int64),
        entity_account_start=np.concatenate(([0], np.cumsum(np.bincount(entity, minlength=n_e)))).astype(np.int64),
        entity_account=order,
        pool_account=np.array([row[0] for row in pools], np.int32),
        pool_is_isolated=np.array([row[1] for row in pools], bool),
        pool_position_start=np.array(pool_positions, np.int64),
        pool_slot_start=np.array(pool_slots, np.int64),
        position_instrument=np.array(position, np.int32),
        position_quantity=np.array(quantity, float),
        position_entry_price=np.array(entry, float),
        position_slot=np.array(slot_of, np.int32),
        slot_asset=np.array(slot_asset, np.int32),
        slot_quantity=np.array(slot_quantity, float),
        instrument_venue=venue,
        instrument_kind=np.full(n_i, InstrumentKind.PERPETUAL, np.int32),
        instrument_underlying=underlying,
        instrument_quote=quote,
        instrument_settlement=settlement,
        instrument_multiplier=multiplier,
        instrument_is_inverse=is_inverse,
        instrument_expiry_us=np.full(n_i, -1, np.int64),
        instrument_fund=fund,
        instrument_tier_start=np.concatenate(([0], np.cumsum([len(row[0]) for row in tiers]))).astype(np.int64),
        tier_floor=np.concatenate([row[0] for row in tiers]),
        tier_initial_rate=np.concatenate([row[1] for row in tiers]),
        tier_maintenance_rate=np.concatenate([row[2] for row in tiers]),
        tier_deduction=np.concatenate([row[3] for row in tiers]),
        mark_price=mark,
        funding_rate=np.full(n_i, np.nan),
        funding_interval_hours=np.full(n_i, np.nan),
        open_interest=np.full(n_i, np.nan),
        adv_usd=np.full(n_i, np.nan),
        daily_vol=np.full(n_i, np.nan),
        depth_usd_1pct=depth / 100.0,
        table_depth_bid=np.full(n_i, np.nan),
        table_depth_ask=np.full(n_i, np.nan),
        index_price=price,
        index_beta=np.array([1.0, 1.1, 1.4, 0.0, 0.0]),
        index_depth_usd_1pct=np.array([5e5, np.nan if rng.random() < 0.3 else 2e5, 1e5, np.nan, np.nan]),
        venue_price=venue_price,
        collateral_band_start=np.concatenate(([0], np.cumsum([len(rows) for rows in bands_per_row]))).astype(np.int64),
        band_floor=np.array([row[0] for rows in bands_per_row for row in rows]),
        band_haircut=np.array([row[1] for rows in bands_per_row for row in rows]),
        borrow_maintenance_rate=borrow,
        fund_venue=np.array([0, 1, 0], np.int32),
        fund_asset=np.array([3, 0, 3], np.int32),
        fund_balance=np.array([rng.lognormal(9, 2), rng.lognormal(-1, 2), rng.lognormal(7, 2)]),
        venue_fund=np.array([0, 1], np.int32),
    )


def market_of(book):
    """A market straight from the book's own columns, without history."""
    nan = np.full(book.n_instruments, np.nan)
    depth = book.depth_usd_1pct / 0.01
    ratio = np.where(np.isnan(book.venue_price), 1.0, book.venue_price / book.index_price)
    return Market(
        index_price=book.index_price,
        index_beta=book.index_beta,
        index_depth=book.index_depth_usd_1pct / 0.01,
        venue_price_ratio=ratio,
        mark_price=book.mark_price,
        basis=book.mark_price * book.index_price[book.instrument_quote] / book.index_price[book.instrument_underlying]
        - 1,
        depth_bid=depth,
        depth_ask=depth * 1.5,
        basis_vol_1h=nan,
        basis_realised_vol=np.full((book.n_instruments, 4), np.nan),
        basis_innovation_max=nan,
        basis_observations=np.zeros(book.n_instruments),
        basis_mean=nan,
        basis_last=nan,
        ewma_decay=0.97,
    )


def random_rules(rng):
    sales = np.random.default_rng(int(rng.bit_generator.state["state"]["state"]) % 2**32)  # draws nothing from rng

    def venue(name):
        return VenueRules(
            venue=name,
            fee_rate=float(rng.choice([0.0, 0.005])),
            close_out_alpha=[1.0, 0.5, "vwap"][int(rng.integers(0, 3))],
            law=["exponential", "linear"][int(rng.integers(0, 2))],
            price_floor=float(rng.choice([0.0, 0.3])),
            price_cap=float(rng.choice([3.0, 0.5])),
            kappa=float(rng.choice([0.0, 0.3, 1.0])),
            mark_response=float(rng.choice([1.0, 0.4])),
            mark_band=[None, 0.05][int(rng.integers(0, 2))],
            arbitrage_capacity_usd=[None, 5e4][int(rng.integers(0, 2))],
            waterfall=[("fee_offset", "fund", "adl"), ("fund", "adl", "fee_offset"), ("fund",)][
                int(rng.integers(0, 3))
            ],
            fund_haircut=float(rng.choice([0.0, 0.25])),
            max_rounds=int(rng.choice([100, 3])),
            collateral_sale=[None, (), ("ETH", "BTC")][sales.integers(0, 3)],
        )

    return Rules(
        venues=(venue("alpha"), venue("bravo")),
        index_impact=IndexImpact(
            law=["exponential", "linear"][int(rng.integers(0, 2))], price_floor=float(rng.choice([0.0, 0.5]))
        ),
    )


def random_scenarios(rng, n, *, gap_shares=(1.0, 0.3, 0.0), shift=0.15, neutral_basis=False):
    variants = tuple(Variant(gap_share=gap) for gap in gap_shares)
    return ScenarioSet(
        index_shock=np.round(rng.normal(-0.05, shift, n), 3),
        basis_shock=np.zeros(n) if neutral_basis else rng.choice([0.0, -0.02, 0.01], n),
        vol_shock=np.zeros(n),
        depth_factor=rng.choice([1.0, 0.3, 0.1], n),
        haircut_shock=rng.choice([0.0, 0.05], n),
        probability=np.full(n, np.nan),
        variant=rng.integers(0, len(variants), n).astype(np.int32),
        set_index=np.zeros(n, np.int32),
        name=np.full(n, ""),
        variants=variants,
        sets=("grid",),
    )


def with_own_moves(rng, case):
    """Return the case with some assets and instruments that move on their own: all, some or none of a scenario's."""
    n, shares = len(case.scenarios), np.array([0.0, 0.4, 1.0])
    assets, instruments = case.book.n_assets, case.book.n_instruments
    alone = rng.random((n, assets)) < rng.choice(shares, (n, 1))
    moves = rng.normal(-0.05, 0.2, (n, assets)) * np.array([1.0, 1.0, 1.0, 0.05, 0.0])
    moved = rng.random((n, instruments)) < rng.choice(shares, (n, 1))
    scenarios = replace(
        case.scenarios,
        asset_shock=np.where(alone, np.clip(moves, -1.2, 2.0), np.nan) if rng.random() < 0.8 else None,
        instrument_basis_shock=np.where(moved, rng.normal(0.0, 0.02, (n, instruments)), 0.0)
        if rng.random() < 0.8
        else None,
    )
    return replace(case, scenarios=scenarios)


def random_case(seed, *, n_accounts=12, n_instruments=5, n_scenarios=4, is_levered=True):
    rng = np.random.default_rng(seed)
    book = random_book(rng, n_accounts=n_accounts, n_instruments=n_instruments, is_levered=is_levered)
    return Case(book, market_of(book), random_rules(rng), random_scenarios(rng, n_scenarios))


@st.composite
def cases(draw, max_accounts=16, max_scenarios=4):
    """Random cases; the seed fills in what shrinking need not touch."""
    return random_case(
        draw(st.integers(0, 2**32 - 1)),
        n_accounts=draw(st.integers(1, max_accounts)),
        n_instruments=draw(st.integers(2, 7)),
        n_scenarios=draw(st.integers(1, max_scenarios)),
        is_levered=draw(st.booleans()),
    )
