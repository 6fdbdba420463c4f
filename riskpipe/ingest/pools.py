"""Pools: the rows of a part as margin pools, positions and slots in canonical order (see `riskpipe.domain.book`)."""

from dataclasses import dataclass

import numpy as np

from riskpipe.domain.book import BoolArray, FloatArray, IntArray, OffsetArray
from riskpipe.ingest.columns import starts
from riskpipe.ingest.part import Part


@dataclass(frozen=True)
class Pools:
    """The fields of `Book` of the same names."""

    account_pool_start: OffsetArray
    pool_account: IntArray
    pool_is_isolated: BoolArray
    pool_position_start: OffsetArray
    pool_slot_start: OffsetArray
    position_instrument: IntArray
    position_quantity: FloatArray
    position_entry_price: FloatArray
    position_slot: IntArray
    slot_asset: IntArray
    slot_quantity: FloatArray


def sorted_rows(major: OffsetArray, minor: IntArray, n_minor: int) -> tuple[OffsetArray, OffsetArray]:
    """Sort rows by (major, minor, row number).

    Parameters
    ----------
    major, minor: [n] non-negative keys, minor below `n_minor`.

    Returns
    -------
    order: [n] row numbers; key: [n] major * n_minor + minor of each, ascending.
    """
    key = major * np.int64(n_minor) + minor
    # stable is also by far the fastest on rows that nearly are in order, as a venue's export mostly is
    order = np.argsort(key, kind="stable")
    return order, key[order]


def _pool_of_positions(
    owner: OffsetArray, is_isolated: BoolArray, n_accounts: int
) -> tuple[OffsetArray, OffsetArray, OffsetArray]:
    """Return where each account's pools start [a + 1], the pool of each position [q], and how many are isolated [a]."""
    n_isolated = np.bincount(owner[is_isolated], minlength=n_accounts)
    account_pool_start = starts(n_isolated + 1)
    pool = account_pool_start[owner]
    isolated = np.flatnonzero(is_isolated)
    by_owner = isolated[np.argsort(owner[isolated], kind="stable")]
    rank = np.arange(len(by_owner)) - starts(n_isolated)[owner[by_owner]]
    pool[by_owner] += 1 + rank
    return account_pool_start, pool, n_isolated


def build_pools(part: Part, *, balance_asset: IntArray, settlement: IntArray, n_assets: int) -> Pools:
    """Build the margin pools of every account.

    Parameters
    ----------
    part: the joined rows.
    balance_asset: [b] asset of each balance row, an index of the book's assets.
    settlement: [i] settlement asset of each instrument.
    n_assets: number of the book's assets.

    Returns
    -------
    Pools. An account's balances of one asset add up in row order; its positions in one instrument stay apart.
    """
    n_accounts = part.tables["accounts"].num_rows
    owner = part.position_account.astype(np.int64)
    is_isolated = ~np.isnan(part.position_isolated_margin)
    account_pool_start, pool, n_isolated = _pool_of_positions(owner, is_isolated, n_accounts)
    n_pools = int(account_pool_start[-1])
    pool_is_isolated = np.ones(n_pools, dtype=bool)
    pool_is_isolated[account_pool_start[:-1]] = False

    order, _ = sorted_rows(pool, part.position_instrument, max(len(settlement), 1))
    pool = pool[order]
    instrument = part.position_instrument[order]
    margin = np.nan_to_num(part.position_isolated_margin[order], nan=0.0)

    # a slot for each (pool, asset) that a balance, a position's PnL or an isolated margin falls to
    slot_pool = np.concatenate([account_pool_start[part.balance_account], pool])
    slot_source = np.concatenate([balance_asset, settlement[instrument]])
    source, key = sorted_rows(slot_pool, slot_source, n_assets)
    is_first = np.ones(len(key), dtype=bool)
    is_first[1:] = key[1:] != key[:-1]
    slot_of_row = np.empty(len(key), dtype=np.int64)
    slot_of_row[source] = np.cumsum(is_first) - 1
    slot_key = key[is_first]
    pool_slot_start = starts(np.bincount(slot_key // n_assets, minlength=n_pools))
    n_balances = len(balance_asset)
    # bincount adds one row after the other, so that the sum of duplicates has one defined order
    quantity = np.bincount(
        slot_of_row, weights=np.concatenate([part.balance_quantity, margin]), minlength=len(slot_key)
    ).astype(np.float64)
    return Pools(
        account_pool_start=account_pool_start,
        pool_account=np.repeat(np.arange(n_accounts, dtype=np.int32), n_isolated + 1),
        pool_is_isolated=pool_is_isolated,
        pool_position_start=starts(np.bincount(pool, minlength=n_pools)),
        pool_slot_start=pool_slot_start,
        position_instrument=instrument.astype(np.int32),
        position_quantity=part.position_quantity[order],
        position_entry_price=part.position_entry_price[order],
        position_slot=(slot_of_row[n_balances:] - pool_slot_start[pool]).astype(np.int32),
        slot_asset=(slot_key % n_assets).astype(np.int32),
        slot_quantity=quantity,
    )
