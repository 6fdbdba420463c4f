"""Changes of a book that a law compares with the book itself: accounts taken in any order, money scaled, parts."""

from dataclasses import replace

import numpy as np
import pyarrow as pa


def take_accounts(book, order):
    """Return the book of accounts `order` (rows of `book`; any order, any number of times) and its entities' origin.

    Entities shared by accounts stay one; an account that is its own entity becomes a new one each time it is taken.
    The second value gives, for each entity of the new book, its index in the old one.
    """
    order = np.asarray(order, int)
    pools = np.concatenate([np.arange(*book.account_pool_start[[a, a + 1]]) for a in order])
    positions = _members(book.pool_position_start, pools)
    slots = _members(book.pool_slot_start, pools)
    n_pools = np.diff(book.account_pool_start)[order]
    origin, entity, seen = [], [], {}
    for a in order:
        old = int(book.account_entity[a])
        if not (book.account_has_entity[a] and old in seen):
            seen[old] = len(origin)
            origin.append(old)
        entity.append(seen[old])
    entity = np.array(entity, np.int32)
    names = book.names("account")
    taken = replace(
        book,
        labels={**book.labels, "account": pa.array([f"{names[a]}#{n}" for n, a in enumerate(order)])}
        | {"entity": pa.array([f"{book.names('entity')[e]}#{n}" for n, e in enumerate(origin)])},
        **{
            name: getattr(book, name)[order]
            for name in (
                "account_venue",
                "account_has_entity",
                "account_segment",
                "account_weight",
                "account_is_exempt",
                "account_is_lending",
                "account_is_portfolio",
                "account_reported_equity",
                "account_reported_maintenance_margin",
            )
        },
        account_entity=entity,
        account_pool_start=_starts(n_pools),
        entity_account_start=_starts(np.bincount(entity, minlength=len(origin))),
        entity_account=np.argsort(entity, kind="stable").astype(np.int32),
        pool_account=np.repeat(np.arange(len(order), dtype=np.int32), n_pools),
        pool_is_isolated=book.pool_is_isolated[pools],
        pool_position_start=_starts(np.diff(book.pool_position_start)[pools]),
        pool_slot_start=_starts(np.diff(book.pool_slot_start)[pools]),
        **{
            name: getattr(book, name)[positions]
            for name in ("position_instrument", "position_quantity", "position_entry_price", "position_slot")
        },
        slot_asset=book.slot_asset[slots],
        slot_quantity=book.slot_quantity[slots],
        slot_threshold=book.slot_threshold[slots],
    )
    return taken, np.array(origin)


def scaled_money(case, factor):
    """Return the case with every amount of money, and no price, multiplied by `factor`."""
    book, market = case.book, case.market
    amounts = ("position_quantity", "slot_quantity", "fund_balance", "tier_floor", "tier_deduction", "band_floor")
    venues = tuple(
        replace(venue, arbitrage_capacity_usd=venue.arbitrage_capacity_usd and venue.arbitrage_capacity_usd * factor)
        for venue in case.rules.venues
    )
    return replace(
        case,
        book=replace(book, **{name: getattr(book, name) * factor for name in amounts}),
        market=replace(
            market,
            index_depth=market.index_depth * factor,
            depth_bid=market.depth_bid * factor,
            depth_ask=market.depth_ask * factor,
        ),
        rules=replace(case.rules, venues=venues),
    )


def first_tiers_only(book):
    """Return the book with one margin tier for each instrument and one band for each collateral asset."""
    tiers, bands = book.instrument_tier_start[:-1], np.diff(book.collateral_band_start) > 0
    rows = book.collateral_band_start[:-1][bands]
    return replace(
        book,
        instrument_tier_start=np.arange(book.n_instruments + 1),
        **{
            name: getattr(book, name)[tiers]
            for name in ("tier_floor", "tier_initial_rate", "tier_maintenance_rate", "tier_deduction")
        },
        collateral_band_start=_starts(bands.astype(np.int64)),
        band_floor=book.band_floor[rows],
        band_haircut=book.band_haircut[rows],
    )


def _members(starts, groups):
    return np.concatenate([np.arange(starts[g], starts[g + 1]) for g in groups]).astype(int)


def _starts(counts):
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
