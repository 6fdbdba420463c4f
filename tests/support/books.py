"""A minimal book: one account long one linear perpetual, and one short; any array can be replaced."""

from dataclasses import fields, replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from riskpipe.domain.book import Book, InstrumentKind

AS_OF = datetime(2024, 8, 5, tzinfo=UTC)


def book(*, instruments=("BTCUSDT", "ETHUSDT"), labels=None, **overrides):
    """Return a book of one venue with BTC and ETH perpetuals against USDT; `overrides` are Book fields."""
    n_instruments = len(instruments)
    nan = np.full(n_instruments, np.nan)
    i32, i64 = np.int32, np.int64
    arrays = {
        "account_venue": np.zeros(2, i32),
        "account_entity": np.arange(2, dtype=i32),
        "account_has_entity": np.zeros(2, bool),
        "account_segment": np.full(2, -1, i32),
        "account_weight": np.ones(2),
        "account_is_exempt": np.zeros(2, bool),
        "account_reported_equity": np.full(2, np.nan),
        "account_reported_maintenance_margin": np.full(2, np.nan),
        "account_pool_start": np.array([0, 1, 2], i64),
        "entity_account_start": np.array([0, 1, 2], i64),
        "entity_account": np.arange(2, dtype=i32),
        "pool_account": np.arange(2, dtype=i32),
        "pool_is_isolated": np.zeros(2, bool),
        "pool_position_start": np.array([0, 1, 2], i64),
        "pool_slot_start": np.array([0, 1, 2], i64),
        "position_instrument": np.zeros(2, i32),
        "position_quantity": np.array([1.0, -1.0]),
        "position_entry_price": np.full(2, 50_000.0),
        "position_slot": np.zeros(2, i32),
        "slot_asset": np.full(2, 2, i32),
        "slot_quantity": np.full(2, 20_000.0),
        "instrument_venue": np.zeros(n_instruments, i32),
        "instrument_kind": np.full(n_instruments, InstrumentKind.PERPETUAL, i32),
        "instrument_underlying": np.arange(n_instruments, dtype=i32) % 2,
        "instrument_quote": np.full(n_instruments, 2, i32),
        "instrument_settlement": np.full(n_instruments, 2, i32),
        "instrument_multiplier": np.ones(n_instruments),
        "instrument_is_inverse": np.zeros(n_instruments, bool),
        "instrument_expiry_us": np.full(n_instruments, -1, i64),
        "instrument_fund": np.zeros(n_instruments, i32),
        "instrument_tier_start": np.arange(n_instruments + 1, dtype=i64),
        "tier_floor": np.zeros(n_instruments),
        "tier_initial_rate": np.full(n_instruments, 0.02),
        "tier_maintenance_rate": np.full(n_instruments, 0.01),
        "tier_deduction": np.zeros(n_instruments),
        "mark_price": np.resize([50_050.0, 2_501.0], n_instruments),
        "funding_rate": nan,
        "funding_interval_hours": nan,
        "open_interest": nan,
        "adv_usd": nan,
        "daily_vol": nan,
        "depth_usd_1pct": np.full(n_instruments, 1e6),
        "table_depth_bid": nan,
        "table_depth_ask": nan,
        "index_price": np.array([50_000.0, 2_500.0, 0.999, 1.0]),
        "index_beta": np.full(4, np.nan),
        "index_depth_usd_1pct": np.array([2e6, 1e6, np.nan, np.nan]),
        "venue_price": np.full((1, 4), np.nan),
        "collateral_band_start": np.array([0, 0, 0, 1, 1], i64),
        "band_floor": np.zeros(1),
        "band_haircut": np.zeros(1),
        "borrow_maintenance_rate": np.zeros((1, 4)),
        "fund_venue": np.zeros(1, i32),
        "fund_asset": np.full(1, 2, i32),
        "fund_balance": np.full(1, 1e6),
        "venue_fund": np.zeros(1, i32),
    }
    names = {
        "account": ["a", "b"],
        "venue": ["alpha"],
        "asset": ["BTC", "ETH", "USDT", "USD"],
        "instrument": list(instruments),
        "fund": ["alpha"],
        "entity": ["a", "b"],
        "segment": [],
        **(labels or {}),
    }
    minimal = Book(
        as_of=AS_OF,
        numeraire="USD",
        labels={name: pa.array(values, pa.string()) for name, values in names.items()},
        **arrays,
    )
    unknown = set(overrides) - {spec.name for spec in fields(Book)}
    assert not unknown, f"a book has no field {unknown}"
    return replace(minimal, **overrides)
