"""Random books that lean on every turn of the kernel, and slabs of many distinct scenarios.

Eight tiers crossed within a slab, deductions that leave steps, haircuts that fall and rise up to all of the value,
venues' own collateral prices, contracts quoted or settled in a coin, positions of nothing, exempt accounts; every
second of them with a margin model drawn for each contract.
"""

from dataclasses import replace

import numpy as np
from strategies import Case, market_of, random_book, random_rules
from support.mixed_margin import with_mixed_margin

from riskpipe.domain.scenarios import ScenarioSet, Variant

BTC = 0
VARIANTS = (Variant(gap_share=1.0), Variant(gap_share=0.5), Variant(gap_share=0.0), Variant())


def hard_book(rng, *, n_accounts=12, n_instruments=6, leverage=1.0):
    """Return a random book with all of that; leverage multiplies every position."""
    book = random_book(rng, n_accounts=n_accounts, n_instruments=n_instruments)
    quantity = book.position_quantity * leverage
    quantity[rng.random(len(quantity)) < 0.08] = 0.0
    own = np.array([1.0, 0.97, 1.05, 0.999, 1.0])
    book = replace(
        in_coin(rng, book),
        position_quantity=quantity,
        account_is_exempt=rng.random(n_accounts) < 0.12,
        venue_price=np.where(rng.random((2, 5)) < 0.3, book.index_price * own, np.nan),
    )
    return with_bands(rng, with_tiers(rng, book))


def in_coin(rng, book):
    """Return the book with some linear contracts quoted and settled in BTC, or quoted in USDT and settled in BTC."""
    changes = ~book.instrument_is_inverse & (book.instrument_underlying != BTC) & (rng.random(book.n_instruments) < 0.6)
    is_quanto = changes & (rng.random(book.n_instruments) < 0.3)
    quote = np.where(changes & ~is_quanto, BTC, book.instrument_quote).astype(np.int32)
    settlement = np.where(changes, BTC, book.instrument_settlement).astype(np.int32)
    factor = book.index_price[book.instrument_quote] / book.index_price[quote]
    # a contract settled in coins is smaller by as much as a coin is worth
    size = np.where(changes, book.index_price[book.instrument_quote] / book.index_price[settlement] / factor, 1.0)
    instrument = book.position_instrument
    slot_start, slot_asset, slot_quantity = [0], [], []
    position_slot = np.zeros(book.n_positions, np.int32)
    for p in range(book.n_pools):
        slots = slice(*book.pool_slot_start[[p, p + 1]])
        positions = slice(*book.pool_position_start[[p, p + 1]])
        held = dict(zip(book.slot_asset[slots].tolist(), book.slot_quantity[slots].tolist(), strict=True))
        settles = settlement[instrument[positions]].tolist()
        if book.pool_is_isolated[p]:
            (asset, margin), *_ = held.items()
            held = {settles[0]: margin * book.index_price[asset] / book.index_price[settles[0]]}
        assets = sorted({*held, *settles})
        position_slot[positions] = [assets.index(asset) for asset in settles]
        slot_asset += assets
        slot_quantity += [held.get(asset, 0.0) for asset in assets]
        slot_start.append(len(slot_asset))
    return replace(
        book,
        instrument_quote=quote,
        instrument_settlement=settlement,
        instrument_multiplier=book.instrument_multiplier * size,
        mark_price=book.mark_price * factor,
        position_entry_price=book.position_entry_price * factor[instrument],
        position_slot=position_slot,
        pool_slot_start=np.array(slot_start, np.int64),
        slot_asset=np.array(slot_asset, np.int32),
        slot_quantity=np.array(slot_quantity, float),
        slot_threshold=None,
    )


def with_tiers(rng, book, n_tiers=8):
    """Return the book with tiers where its positions are; every third instrument's deductions are given, with steps."""
    rows = []
    for i in range(book.n_instruments):
        floors = np.concatenate(([0.0], np.sort(rng.lognormal(9.0, 1.2, n_tiers - 1))))
        rates = np.sort(rng.uniform(0.004, 0.15, n_tiers))
        deductions = np.concatenate(([0.0], np.cumsum(floors[1:] * np.diff(rates))))
        if i % 3 == 2:
            deductions *= rng.uniform(0.7, 1.0, n_tiers)
        rows.append((floors, np.minimum(1.0, rates * rng.uniform(1.0, 2.0)), rates, deductions))
    names = ("tier_floor", "tier_initial_rate", "tier_maintenance_rate", "tier_deduction")
    columns = {name: np.concatenate(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    return replace(book, instrument_tier_start=np.arange(book.n_instruments + 1) * n_tiers, **columns)


def with_bands(rng, book):
    """Return the book with up to four collateral bands for each venue and asset, some of them without any credit."""
    starts, floors, haircuts = [0], [], []
    for row in range(book.n_venues * book.n_assets):
        n = 1 if row % book.n_assets >= 3 and rng.random() < 0.6 else int(rng.integers(0, 5))
        floors += [0.0, *np.sort(rng.lognormal(7.5, 1.0, max(n - 1, 0)))][:n]
        shares = rng.uniform(0.0, 0.9, n)
        shares[rng.random(n) < 0.2] = 1.0
        haircuts += [0.0] if n == 1 and row % book.n_assets >= 3 else shares.tolist()
        starts.append(len(floors))
    return replace(
        book,
        collateral_band_start=np.array(starts, np.int64),
        band_floor=np.array(floors),
        band_haircut=np.array(haircuts),
    )


def many_scenarios(rng, n, *, variants=VARIANTS, most=0.6):
    """Return n scenarios, no two alike, from minus to plus `most` of the index, half of them near no move at all."""
    return ScenarioSet(
        index_shock=rng.uniform(-most, most, n) * rng.choice([1.0, 0.15], n),
        basis_shock=rng.choice([0.0, -0.02, 0.015], n),
        vol_shock=np.zeros(n),
        depth_factor=rng.uniform(0.05, 1.5, n),
        haircut_shock=rng.choice([0.0, 0.0, 0.05, 0.6], n),
        probability=np.full(n, np.nan),
        variant=rng.integers(0, len(variants), n).astype(np.int32),
        set_index=rng.integers(0, 2, n).astype(np.int32),
        name=np.full(n, ""),
        variants=variants,
        sets=("grid", "historical"),
    )


def hard_case(seed, *, n_scenarios=6, n_accounts=12, leverage=1.0, most=0.6):
    """Return a hard book over depths down to a thirtieth, under random rules and n distinct scenarios."""
    rng = np.random.default_rng(seed)
    book = hard_book(rng, n_accounts=n_accounts, n_instruments=int(rng.integers(2, 8)), leverage=leverage)
    rules, allowed = random_rules(rng), int(rng.choice([1, 2, 100]))
    rules = replace(rules, venues=tuple(replace(venue, max_rounds=allowed) for venue in rules.venues))
    market, thin = market_of(book), float(rng.choice([1.0, 0.2, 0.03])) * max(1.0, leverage)
    depths = {name: getattr(market, name) * thin for name in ("depth_bid", "depth_ask", "index_depth")}
    case = Case(book, replace(market, **depths), rules, many_scenarios(rng, n_scenarios, most=most))
    return with_mixed_margin(np.random.default_rng([seed, 1]), case) if seed % 2 else case


def taken(scenarios, rows):
    """Return some rows of a scenario set, in the order given."""
    arrays = {name: value[rows] for name, value in vars(scenarios).items() if isinstance(value, np.ndarray)}
    return replace(scenarios, **arrays)
