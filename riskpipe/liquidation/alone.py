"""One account taken out of its book, with the contracts that it holds: all that its own story needs.

What it is worth at given prices does not depend on anybody else, so that the specification can be asked of this book as
of the whole one.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pyarrow as pa

from riskpipe.domain.book import Book, OffsetArray
from riskpipe.domain.market import Market
from riskpipe.domain.scenarios import ScenarioSet

_OF_INSTRUMENTS = (
    "instrument_venue", "instrument_kind", "instrument_underlying", "instrument_quote", "instrument_settlement",
    "instrument_multiplier", "instrument_is_inverse", "instrument_expiry_us", "instrument_fund", "mark_price",
    "funding_rate", "funding_interval_hours", "open_interest", "adv_usd", "daily_vol", "depth_usd_1pct",
    "table_depth_bid", "table_depth_ask", "instrument_strike", "instrument_is_call", "implied_vol",
)  # fmt: skip
_OF_ACCOUNTS = (
    "account_venue", "account_has_entity", "account_segment", "account_weight", "account_is_exempt",
    "account_reported_equity", "account_reported_maintenance_margin", "account_is_lending", "account_is_portfolio",
)  # fmt: skip
_NOT_OF_INSTRUMENTS = {"index_price", "index_beta", "index_depth", "venue_price_ratio"}  # of the market


@dataclass(frozen=True)
class Alone:
    """A book of one account, its market and scenario, and where its pools and contracts stand in the whole book."""

    book: Book
    market: Market
    scenario: ScenarioSet
    pool: range
    instrument: OffsetArray  # [i of this book] ascending


def alone(book: Book, market: Market, scenario: ScenarioSet, account: int) -> Alone:
    """Take an account out of its book. Assets, venues and funds stay those of the whole book.

    Raises IndexError when there is no such account.
    """
    if not 0 <= account < book.n_accounts:
        raise IndexError(f"account {account} of {book.n_accounts}")
    pools = slice(int(book.account_pool_start[account]), int(book.account_pool_start[account + 1]))
    positions = slice(int(book.pool_position_start[pools.start]), int(book.pool_position_start[pools.stop]))
    slots = slice(int(book.pool_slot_start[pools.start]), int(book.pool_slot_start[pools.stop]))
    instrument = np.unique(book.position_instrument[positions]).astype(np.int64)
    # wrapped as they are: to convert an array arrow would import pandas, which takes as long as all the rest
    rows = pa.Array.from_buffers(pa.int64(), len(instrument), [None, pa.py_buffer(instrument)])
    tiers = [np.arange(book.instrument_tier_start[i], book.instrument_tier_start[i + 1]) for i in instrument]
    tier = np.concatenate([np.zeros(0, np.int64), *tiers]).astype(np.int64)
    n_pools, one = pools.stop - pools.start, slice(account, account + 1)
    entity = int(book.account_entity[account])
    own = replace(
        book,
        labels={
            **book.labels,
            "account": book.labels["account"].slice(account, 1),
            "entity": book.labels["entity"].slice(entity, 1),
            "instrument": book.labels["instrument"].take(rows),
        },
        **{name: getattr(book, name)[one] for name in _OF_ACCOUNTS},
        **{name: getattr(book, name)[instrument] for name in _OF_INSTRUMENTS},
        account_entity=np.zeros(1, np.int32),
        account_pool_start=np.array([0, n_pools], np.int64),
        entity_account_start=np.array([0, 1], np.int64),
        entity_account=np.zeros(1, np.int32),
        pool_account=np.zeros(n_pools, np.int32),
        pool_is_isolated=book.pool_is_isolated[pools],
        pool_position_start=book.pool_position_start[pools.start : pools.stop + 1] - positions.start,
        pool_slot_start=book.pool_slot_start[pools.start : pools.stop + 1] - slots.start,
        position_instrument=np.searchsorted(instrument, book.position_instrument[positions]).astype(np.int32),
        position_quantity=book.position_quantity[positions],
        position_entry_price=book.position_entry_price[positions],
        position_slot=book.position_slot[positions],
        slot_asset=book.slot_asset[slots],
        slot_quantity=book.slot_quantity[slots],
        slot_threshold=book.slot_threshold[slots],
        instrument_tier_start=np.concatenate(([0], np.cumsum([len(at) for at in tiers]))).astype(np.int64),
        **{name: getattr(book, name)[tier] for name in ("tier_floor", "tier_initial_rate", "tier_maintenance_rate",
                                                        "tier_deduction")},
    )  # fmt: skip
    kept: dict[str, Any] = {
        spec.name: value[instrument]
        for spec in fields(market)
        if spec.name not in _NOT_OF_INSTRUMENTS and isinstance(value := getattr(market, spec.name), np.ndarray)
    }
    moves = scenario.instrument_basis_shock
    moved = replace(scenario, instrument_basis_shock=None if moves is None else moves[:, instrument])
    return Alone(own, replace(market, **kept), moved, range(pools.start, pools.stop), instrument)
