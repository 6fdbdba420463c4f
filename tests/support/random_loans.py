"""Random books with loans beside margin accounts: several collaterals and debts, own thresholds, shared owners."""

from dataclasses import replace

import numpy as np
import pyarrow as pa

from riskpipe.domain.rules import LendingRules


def random_lending_rules(rng):
    """Return rules in which every key takes a part now and then."""
    return LendingRules(
        close_factor=float(rng.choice([0.5, 1.0, 0.3])),
        full_health=float(rng.choice([0.0, 0.95])),
        full_below_usd=float(rng.choice([0.0, 2000.0, 5000.0])),
        minimum_leftover_usd=float(rng.choice([0.0, 1000.0])),
        protocol_fee=float(rng.choice([0.0, 0.1])),
        liquidation_cost_usd=float(rng.choice([0.0, 20.0, 300.0])),
    )


def with_loans(rng, case, n_loans):
    """Return the case with so many lending accounts after its own."""
    book = case.book
    shape = (book.n_venues, book.n_assets)
    threshold = np.where(rng.random(shape) < 0.1, np.nan, rng.uniform(0.5, 0.95, shape))
    bonus = np.where(rng.random(shape) < 0.2, np.nan, rng.uniform(0.0, 0.15, shape))
    shared = np.unique(book.account_entity[book.account_has_entity])
    venues, weights, slots, own = [], [], [], []
    for _ in range(n_loans):
        venue = int(rng.integers(0, book.n_venues))
        usd = float(rng.lognormal(8.0, 1.5))
        held = sorted(rng.choice(book.n_assets, int(rng.integers(1, 4)), replace=False).tolist())
        rows, weighted = [], 0.0
        for c in held:
            value = usd * float(rng.uniform(0.1, 1.0))
            given = float(rng.uniform(0.6, 0.97)) if rng.random() < 0.3 else np.nan
            counted = threshold[venue, c] if np.isnan(given) else given
            weighted += value * (0.0 if np.isnan(counted) else counted)
            rows.append((c, value / book.index_price[c], given))
        owed = sorted(rng.choice(book.n_assets, int(rng.integers(1, 3)), replace=False).tolist())
        debt = weighted / float(rng.uniform(0.9, 1.7))
        shares = rng.dirichlet(np.ones(len(owed)))
        if rng.random() > 0.05:
            rows += [(c, -debt * share / book.index_price[c], np.nan) for c, share in zip(owed, shares, strict=True)]
        rows.sort(key=lambda row: (row[0], row[1] < 0.0))
        slots.append(rows)
        venues.append(venue)
        weights.append(float(rng.choice([1.0, 1.0, 7.0])))
        own.append(int(rng.choice(shared)) if len(shared) and rng.random() < 0.4 else -1)
    n_entities, n = len(book.entity_account_start) - 1, book.n_accounts
    is_new = np.array(own) < 0
    entity = np.array(own)
    entity[is_new] = n_entities + np.arange(is_new.sum())
    entity = np.concatenate([book.account_entity, entity]).astype(np.int32)
    n_entities += int(is_new.sum())
    flat = [row for rows in slots for row in rows]
    counts = np.array([len(rows) for rows in slots])
    names = [f"loan{m}" for m in range(n_loans)]
    labels = dict(book.labels)
    labels["account"] = pa.array([*book.names("account"), *names])
    labels["entity"] = pa.array([*book.names("entity"), *(f"new{m}" for m in range(int(is_new.sum())))])
    owners = np.arange(n, n + n_loans, dtype=np.int32)

    def more(array, values, dtype=None):
        return np.concatenate([array, np.asarray(values)]).astype(dtype or array.dtype)

    book = replace(
        book,
        labels=labels,
        account_venue=more(book.account_venue, venues),
        account_entity=entity,
        account_has_entity=more(book.account_has_entity, ~is_new),
        account_segment=more(book.account_segment, np.full(n_loans, -1)),
        account_weight=more(book.account_weight, weights),
        account_is_exempt=more(book.account_is_exempt, rng.random(n_loans) < 0.05),
        account_reported_equity=more(book.account_reported_equity, np.full(n_loans, np.nan)),
        account_reported_maintenance_margin=more(book.account_reported_maintenance_margin, np.full(n_loans, np.nan)),
        account_pool_start=more(book.account_pool_start, book.account_pool_start[-1] + 1 + np.arange(n_loans)),
        entity_account_start=np.concatenate(([0], np.cumsum(np.bincount(entity, minlength=n_entities)))).astype(
            np.int64
        ),
        entity_account=np.argsort(entity, kind="stable").astype(np.int32),
        pool_account=more(book.pool_account, owners),
        pool_is_isolated=more(book.pool_is_isolated, np.zeros(n_loans, bool)),
        pool_position_start=more(book.pool_position_start, np.full(n_loans, book.n_positions)),
        pool_slot_start=more(book.pool_slot_start, len(book.slot_asset) + np.cumsum(counts)),
        slot_asset=more(book.slot_asset, [row[0] for row in flat]),
        slot_quantity=more(book.slot_quantity, [row[1] for row in flat]),
        account_is_lending=np.concatenate([np.zeros(n, bool), np.ones(n_loans, bool)]),
        account_is_portfolio=np.concatenate([book.account_is_portfolio, np.zeros(n_loans, bool)]),
        slot_threshold=np.concatenate([np.full(len(book.slot_asset), np.nan), [row[2] for row in flat]]),
        lending_threshold=threshold,
        lending_bonus=bonus,
        close_factor=np.where(rng.random(shape) < 0.8, np.nan, 0.4),
    )
    rules = tuple(replace(venue, lending=random_lending_rules(rng)) for venue in case.rules.venues)
    market = replace(case.market, index_depth=case.market.index_depth * float(rng.choice([1.0, 0.2, 0.02])))
    return replace(case, book=book, market=market, rules=replace(case.rules, venues=rules))
