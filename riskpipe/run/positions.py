"""Positions of a book on other labels of venues, assets, instruments and funds, in canonical order again."""

from collections.abc import Mapping

import numpy as np

from riskpipe.domain.book import Book, IntArray

_KEPT = (
    "account_entity", "account_has_entity", "account_segment", "account_weight", "account_is_exempt",
    "account_reported_equity", "account_reported_maintenance_margin", "account_pool_start", "entity_account_start",
    "entity_account", "account_is_lending", "account_is_portfolio", "pool_account", "pool_is_isolated",
    "pool_position_start", "pool_slot_start",
)  # fmt: skip


def positions_on(
    book: Book, place: Mapping[str, np.ndarray], n_funds: int, fund_asset: IntArray
) -> dict[str, np.ndarray]:
    """Return accounts, pools, positions, slots and funds' balances of a book as arrays on other labels.

    Parameters
    ----------
    place: of each dimension (venue, asset, instrument, fund) the new index of every old one.
    n_funds, fund_asset: of the other labels; a fund that the book does not have holds nothing.
    """
    pool_of_position = np.repeat(np.arange(book.n_pools), np.diff(book.pool_position_start))
    pool_of_slot = np.repeat(np.arange(book.n_pools), np.diff(book.pool_slot_start))
    instrument = place["instrument"][book.position_instrument].astype(np.int32)
    asset = place["asset"][book.slot_asset].astype(np.int32)
    slots = np.lexsort((asset, pool_of_slot))  # stable: of one asset the collateral stays before the debt
    positions = np.lexsort((instrument, pool_of_position))
    moved_to = np.empty(len(slots), np.int64)
    moved_to[slots] = np.arange(len(slots))
    first = book.pool_slot_start[pool_of_position]
    slot = (moved_to[first + book.position_slot] - first).astype(np.int32) if len(positions) else book.position_slot
    balance = np.zeros(n_funds)
    balance[place["fund"]] = book.fund_balance
    return {
        **{name: np.asarray(getattr(book, name)) for name in _KEPT},
        "account_venue": place["venue"][book.account_venue].astype(np.int32),
        "position_instrument": instrument[positions],
        "position_quantity": np.asarray(book.position_quantity)[positions],
        "position_entry_price": np.asarray(book.position_entry_price)[positions],
        "position_slot": slot[positions],
        "slot_asset": asset[slots],
        "slot_quantity": np.asarray(book.slot_quantity)[slots],
        "slot_threshold": np.asarray(book.slot_threshold)[slots],
        "fund_asset": fund_asset,
        "fund_balance": balance,
    }
