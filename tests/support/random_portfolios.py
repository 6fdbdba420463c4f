"""Random books with portfolio accounts: options of both settlements and dated futures beside what they held before."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from strategies import market_of
from support.scan_models import DERIBIT_BTC_2024, OKX_2025, PARADEX, PMRM, span

from riskpipe.domain.book import InstrumentKind
from riskpipe.pricing.black76 import option_value

BTC, ETH, USDT, USD = 0, 1, 3, 4
MODELS = (DERIBIT_BTC_2024, OKX_2025, PARADEX, PMRM, span(0.15, 0.3, 2.0, 0.35))
DAY = timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _listed(rng, book):
    """Rows of new contracts: (venue, kind, underlying, quote, settlement, days, strike, is call, vol, forward)."""
    rows = []
    for venue in range(book.n_venues):
        for _ in range(int(rng.integers(2, 7))):
            u = int(rng.choice([BTC, ETH]))
            coin_settled = rng.random() < 0.6
            quote = USD if coin_settled else USDT
            index = book.index_price[u] / book.index_price[quote]
            days = float(rng.choice([2.0, 9.0, 30.0, 180.0]))
            forward = index * float(rng.uniform(0.98, 1.05))
            if rng.random() < 0.25:
                rows.append((venue, InstrumentKind.FUTURE, u, quote, quote, days, np.nan, False, np.nan, forward))
                continue
            strike = float(np.round(index * rng.choice([0.7, 0.9, 1.0, 1.1, 1.5])))
            settlement = u if coin_settled else quote
            is_call, vol = bool(rng.random() < 0.5), float(rng.uniform(0.3, 1.3))
            rows.append((venue, InstrumentKind.OPTION, u, quote, settlement, days, strike, is_call, vol, forward))
    return rows


def _with_contracts(rng, case, rows):
    """Return the case with new contracts after its own."""
    book, n = case.book, len(rows)
    venue, kind, u, quote, settlement, days, strike, is_call, vol, forward = (
        np.array(col) for col in zip(*rows, strict=True)
    )
    is_option = kind == InstrumentKind.OPTION
    mark = np.array(forward)
    for j in np.flatnonzero(is_option):
        value = option_value(bool(is_call[j]), forward[j], strike[j], days[j] / 365.0, vol[j], 1.0)
        mark[j] = value / forward[j] if settlement[j] == u[j] else value
    nan, tiers = np.full(n, np.nan), np.where(is_option, 0, 1)
    labels = dict(book.labels)
    labels["instrument"] = pa.array([*book.names("instrument"), *(f"new{j}" for j in range(n))])
    expiry = [(book.as_of + days[j] * DAY - EPOCH) // timedelta(microseconds=1) for j in range(n)]
    more = {
        "instrument_venue": venue,
        "instrument_kind": kind,
        "instrument_underlying": u,
        "instrument_quote": quote,
        "instrument_settlement": settlement,
        "instrument_multiplier": rng.choice([1.0, 0.1], n),
        "instrument_is_inverse": np.zeros(n, bool),
        "instrument_expiry_us": expiry,
        "instrument_fund": venue,
        "instrument_tier_start": book.instrument_tier_start[-1] + np.cumsum(tiers),
        "tier_floor": np.zeros(tiers.sum()),
        "tier_initial_rate": np.full(tiers.sum(), 0.1),
        "tier_maintenance_rate": np.full(tiers.sum(), 0.05),
        "tier_deduction": np.zeros(tiers.sum()),
        "mark_price": mark,
        "depth_usd_1pct": rng.lognormal(np.log(2e5), 1.0, n) / 100.0,
        **dict.fromkeys(
            ("funding_rate", "funding_interval_hours", "open_interest", "adv_usd", "daily_vol", "table_depth_bid"), nan
        ),
        "table_depth_ask": nan,
        "instrument_strike": strike,
        "instrument_is_call": is_call,
        "implied_vol": vol,
    }
    book = replace(
        book,
        labels=labels,
        **{
            name: np.concatenate([getattr(book, name), values]).astype(getattr(book, name).dtype)
            for name, values in more.items()
        },
    )
    market = market_of(book)
    old = np.full(len(case.market.mark_price), np.nan)
    market = replace(
        market,
        basis=np.where(book.is_option, np.nan, market.basis),
        option_forward=np.concatenate([old, np.where(is_option, forward, np.nan)]),
        option_vol=np.concatenate([old, vol]),
    )
    return replace(case, book=book, market=market)


def _with_positions(rng, book, is_portfolio):
    """Return the book with positions in the new contracts in the cross pools of portfolio accounts."""
    has_expiry = book.instrument_expiry_us >= 0
    listed = {v: np.flatnonzero((book.instrument_venue == v) & has_expiry) for v in range(book.n_venues)}
    columns = ([], [], [], [], [], [])
    starts = ([0], [0])
    for p in range(book.n_pools):
        a = book.pool_account[p]
        at = slice(*book.pool_position_start[[p, p + 1]])
        slots = slice(*book.pool_slot_start[[p, p + 1]])
        held = dict(zip(book.slot_asset[slots].tolist(), book.slot_quantity[slots].tolist(), strict=True))
        rows = list(
            zip(
                book.position_instrument[at].tolist(),
                book.position_quantity[at].tolist(),
                book.position_entry_price[at].tolist(),
                strict=True,
            )
        )
        if is_portfolio[a] and not book.pool_is_isolated[p] and rng.random() < 0.95:
            wealth = sum(abs(q) * book.index_price[c] for c, q in held.items()) + 100.0
            for i in sorted(rng.choice(listed[book.account_venue[a]], int(rng.integers(1, 6))).tolist()):
                usd = wealth * float(rng.lognormal(-0.7, 0.8)) * float(rng.choice([-1.0, 1.0]))
                quantity = usd / (book.index_price[book.instrument_underlying[i]] * book.instrument_multiplier[i])
                rows.append((i, quantity, book.mark_price[i] * float(rng.uniform(0.7, 1.3))))
                held.setdefault(int(book.instrument_settlement[i]), 0.0)
        order = sorted(held)
        for i, quantity, entry in rows:
            slot = order.index(int(book.instrument_settlement[i]))
            for column, value in zip(columns, (i, quantity, entry, slot), strict=False):
                column.append(value)
        columns[4].extend(order)
        columns[5].extend(held[c] for c in order)
        starts[0].append(len(columns[0]))
        starts[1].append(len(columns[4]))
    return replace(
        book,
        account_is_portfolio=is_portfolio,
        pool_position_start=np.array(starts[0], np.int64),
        pool_slot_start=np.array(starts[1], np.int64),
        position_instrument=np.array(columns[0], np.int32),
        position_quantity=np.array(columns[1], float),
        position_entry_price=np.array(columns[2], float),
        position_slot=np.array(columns[3], np.int32),
        slot_asset=np.array(columns[4], np.int32),
        slot_quantity=np.array(columns[5], float),
        slot_threshold=None,
    )


def with_portfolios(rng, case, share=0.6):
    """Return the case with about this share of its accounts margined as portfolios, and scenarios that move volatility.

    Coins that a venue has no scan for require nothing, as in the specification."""
    case = _with_contracts(rng, case, _listed(rng, case.book))
    book = _with_positions(rng, case.book, rng.random(case.book.n_accounts) < share)
    venues = []
    for venue in case.rules.venues:
        first, second = rng.integers(0, len(MODELS), 2)
        venues.append(replace(venue, portfolio={"BTC": MODELS[first], "*": MODELS[second]}))
    scenarios = replace(case.scenarios, vol_shock=rng.choice([0.0, 0.5, -0.3], len(case.scenarios)))
    return replace(case, book=book, rules=replace(case.rules, venues=tuple(venues)), scenarios=scenarios)
