"""Small worlds for sums on paper: two venues, round prices, bottomless books unless a depth is given.

Venues alpha and bravo; BTC and ETH at 100 USD, USDT and USD at 1 and still; every contract's mark is 100 and its tier
takes 10% initial and 5% maintenance margin; USDT and BTC count in full as collateral; funds hold nothing.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from strategies import Case, market_of

from riskpipe.domain.book import Book, InstrumentKind
from riskpipe.domain.rules import IndexImpact, Rules, VenueRules
from riskpipe.domain.scenarios import ScenarioSet, Variant

ASSETS = ("BTC", "ETH", "USDT", "USD")
VENUES = ("alpha", "bravo")
BOTTOMLESS = 1e30  # USD: no flow moves it by one ulp
TIERS = ((0.0, 0.10, 0.05),)
AS_CONFIGURED = (Variant(),)


@dataclass(frozen=True)
class Contract:
    """A perpetual; depth is the USD that moves it by 100% to first order; tiers are (floor, initial, maintenance)."""

    name: str
    underlying: str = "BTC"
    venue: str = "alpha"
    is_inverse: bool = False
    multiplier: float = 1.0
    basis: float = 0.0
    depth: float = BOTTOMLESS
    tiers: tuple = TIERS
    deductions: tuple | None = None
    fund: str | None = None


@dataclass(frozen=True)
class Account:
    """Balances by asset; positions (contract, quantity, entry price); isolated ones with their margin as a fourth."""

    name: str
    venue: str = "alpha"
    balances: dict = field(default_factory=dict)
    positions: tuple = ()
    isolated: tuple = ()
    weight: float = 1.0
    entity: str | None = None
    is_exempt: bool = False


def rules_of(alpha=None, bravo=None, index=None):
    """Return rules from keyword dictionaries; what is left out keeps its default."""
    return Rules(
        venues=(VenueRules(venue="alpha", **(alpha or {})), VenueRules(venue="bravo", **(bravo or {}))),
        index_impact=IndexImpact(**(index or {})),
    )


def world(
    contracts, accounts, *, bands=None, borrow=None, venue_price=None, funds=None, index_depth=None, prices=None,
    rules=None, scenarios=None,
):  # fmt: skip
    """Return a Case.

    bands: (venue, asset) -> ((floor, haircut), ...); borrow: asset -> rate on both venues; venue_price: (venue, asset)
    -> USD; funds: name -> (venue, asset, balance) beside those named after the venues; index_depth: asset -> USD.
    """
    asset_ix = {name: n for n, name in enumerate(ASSETS)}
    venue_ix = {name: n for n, name in enumerate(VENUES)}
    contract_ix = {contract.name: n for n, contract in enumerate(contracts)}
    price = np.array([{"BTC": 100.0, "ETH": 100.0, **(prices or {})}.get(name, 1.0) for name in ASSETS])
    listed = {"alpha": ("alpha", "USDT", 0.0), "bravo": ("bravo", "USDT", 0.0), **(funds or {})}
    fund_ix = {name: n for n, name in enumerate(listed)}
    is_inverse = np.array([contract.is_inverse for contract in contracts])
    underlying = np.array([asset_ix[contract.underlying] for contract in contracts], np.int32)
    quote = np.where(is_inverse, asset_ix["USD"], asset_ix["USDT"]).astype(np.int32)
    settlement = np.where(is_inverse, underlying, asset_ix["USDT"]).astype(np.int32)
    mark = price[underlying] * (1.0 + np.array([contract.basis for contract in contracts]))
    pools = []
    for a, account in enumerate(accounts):
        cross = sorted(((contract_ix[name], q, entry) for name, q, entry in account.positions), key=lambda row: row[0])
        pools.append((a, False, cross, {asset_ix[name]: q for name, q in account.balances.items()}))
        for name, q, entry, margin in account.isolated:
            i = contract_ix[name]
            pools.append((a, True, [(i, q, entry)], {int(settlement[i]): margin}))
    slots = [sorted({*held, *(int(settlement[i]) for i, _, _ in rows)}) for _, _, rows, held in pools]
    entity_names = list(dict.fromkeys(account.entity or account.name for account in accounts))
    entity = np.array([entity_names.index(account.entity or account.name) for account in accounts], np.int32)
    tiers = [row for contract in contracts for row in contract.tiers]
    deductions = []
    for contract in contracts:
        own = [0.0]
        for (_, _, lower), (floor, _, upper) in zip(contract.tiers, contract.tiers[1:], strict=False):
            own.append(own[-1] + floor * (upper - lower))
        deductions += contract.deductions or own
    full = {("alpha", "USDT"): ((0.0, 0.0),), ("bravo", "USDT"): ((0.0, 0.0),)}
    full |= {("alpha", "BTC"): ((0.0, 0.0),), ("bravo", "BTC"): ((0.0, 0.0),)}
    of_row = [{**full, **(bands or {})}.get((venue, asset), ()) for venue in VENUES for asset in ASSETS]
    own_price = np.full((2, len(ASSETS)), np.nan)
    for (venue, asset), value in (venue_price or {}).items():
        own_price[venue_ix[venue], asset_ix[asset]] = value
    nan = np.full(len(contracts), np.nan)
    book = Book(
        as_of=datetime(2024, 8, 5, tzinfo=UTC),
        numeraire="USD",
        labels={
            name: pa.array(values, pa.string())
            for name, values in {
                "account": [account.name for account in accounts],
                "venue": VENUES,
                "asset": ASSETS,
                "instrument": list(contract_ix),
                "fund": list(fund_ix),
                "entity": entity_names,
                "segment": [],
            }.items()
        },
        account_venue=np.array([venue_ix[account.venue] for account in accounts], np.int32),
        account_entity=entity,
        account_has_entity=np.array([account.entity is not None for account in accounts]),
        account_segment=np.full(len(accounts), -1, np.int32),
        account_weight=np.array([account.weight for account in accounts]),
        account_is_exempt=np.array([account.is_exempt for account in accounts]),
        account_reported_equity=np.full(len(accounts), np.nan),
        account_reported_maintenance_margin=np.full(len(accounts), np.nan),
        account_pool_start=_starts(1 + len(account.isolated) for account in accounts),
        entity_account_start=_starts(np.bincount(entity, minlength=len(entity_names))),
        entity_account=np.argsort(entity, kind="stable").astype(np.int32),
        pool_account=np.array([row[0] for row in pools], np.int32),
        pool_is_isolated=np.array([row[1] for row in pools]),
        pool_position_start=_starts(len(row[2]) for row in pools),
        pool_slot_start=_starts(len(row) for row in slots),
        position_instrument=np.array([i for row in pools for i, _, _ in row[2]], np.int32),
        position_quantity=np.array([q for row in pools for _, q, _ in row[2]], float),
        position_entry_price=np.array([entry for row in pools for _, _, entry in row[2]], float),
        position_slot=np.array(
            [own.index(settlement[i]) for row, own in zip(pools, slots, strict=True) for i, _, _ in row[2]], np.int32
        ),
        slot_asset=np.array([c for own in slots for c in own], np.int32),
        slot_quantity=np.array([row[3].get(c, 0.0) for row, own in zip(pools, slots, strict=True) for c in own], float),
        instrument_venue=np.array([venue_ix[contract.venue] for contract in contracts], np.int32),
        instrument_kind=np.full(len(contracts), InstrumentKind.PERPETUAL, np.int32),
        instrument_underlying=underlying,
        instrument_quote=quote,
        instrument_settlement=settlement,
        instrument_multiplier=np.array([contract.multiplier for contract in contracts]),
        instrument_is_inverse=is_inverse,
        instrument_expiry_us=np.full(len(contracts), -1, np.int64),
        instrument_fund=np.array([fund_ix[contract.fund or contract.venue] for contract in contracts], np.int32),
        instrument_tier_start=_starts(len(contract.tiers) for contract in contracts),
        tier_floor=np.array([row[0] for row in tiers]),
        tier_initial_rate=np.array([row[1] for row in tiers]),
        tier_maintenance_rate=np.array([row[2] for row in tiers]),
        tier_deduction=np.array(deductions, float),
        mark_price=mark,
        funding_rate=nan,
        funding_interval_hours=nan,
        open_interest=nan,
        adv_usd=nan,
        daily_vol=nan,
        depth_usd_1pct=np.array([contract.depth for contract in contracts]) / 100.0,
        table_depth_bid=nan,
        table_depth_ask=nan,
        index_price=price,
        index_beta=np.array([1.0, 1.0, 0.0, 0.0]),
        index_depth_usd_1pct=np.array([(index_depth or {}).get(name, np.nan) for name in ASSETS]) / 100.0,
        venue_price=own_price,
        collateral_band_start=_starts(len(row) for row in of_row),
        band_floor=np.array([floor for row in of_row for floor, _ in row]),
        band_haircut=np.array([haircut for row in of_row for _, haircut in row]),
        borrow_maintenance_rate=np.tile([(borrow or {}).get(name, 0.0) for name in ASSETS], (2, 1)),
        fund_venue=np.array([venue_ix[row[0]] for row in listed.values()], np.int32),
        fund_asset=np.array([asset_ix[row[1]] for row in listed.values()], np.int32),
        fund_balance=np.array([row[2] for row in listed.values()], float),
        venue_fund=np.array([0, 1], np.int32),
    )
    return Case(book, market_of(book), rules or rules_of(), scenarios if scenarios is not None else shocks(0.0))


def shocks(*index_shock, basis=0.0, depth=1.0, haircut=0.0, variants=AS_CONFIGURED):
    """Return one scenario for each index shock and variant, variants slowest; the other shocks are common to all."""
    x = np.tile(np.array(index_shock, float), len(variants))
    n = len(x)
    return ScenarioSet(
        index_shock=x,
        basis_shock=np.full(n, basis),
        vol_shock=np.zeros(n),
        depth_factor=np.full(n, depth),
        haircut_shock=np.full(n, haircut),
        probability=np.full(n, np.nan),
        variant=np.repeat(np.arange(len(variants), dtype=np.int32), len(index_shock)),
        set_index=np.zeros(n, np.int32),
        name=np.full(n, ""),
        variants=tuple(variants),
        sets=("grid",),
    )


def _starts(counts):
    return np.concatenate(([0], np.cumsum(np.array(list(counts), np.int64)))).astype(np.int64)
