"""Pools: the rows of a part as margin pools, positions and slots in canonical order (see `riskpipe.domain.book`)."""

from typing import NamedTuple

import numpy as np

from riskpipe.compiled import compiled, inlined
from riskpipe.domain.book import BoolArray, FloatArray, IntArray, OffsetArray
from riskpipe.ingest.part import Part


class Pools(NamedTuple):
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
    slot_threshold: FloatArray


class _Balances(NamedTuple):
    """Balance rows by account."""

    account: IntArray
    asset: IntArray
    quantity: FloatArray
    threshold: FloatArray  # its owner's own liquidation threshold; NaN = none


class _Positions(NamedTuple):
    """Position rows in canonical order."""

    account: IntArray
    settlement: IntArray  # asset
    margin: FloatArray  # units of it set apart; NaN = margined in the account's cross pool


@inlined
def _rank(asset: int, quantity: float, is_loan: bool) -> int:
    """Where a slot stands in its pool: by asset; of a loan, whose debts are not netted, a debt after collateral."""
    return 2 * asset + (1 if is_loan and quantity < 0.0 else 0)


@inlined
def _add(pools: Pools, first: int, end: int, asset: int, quantity: float, is_loan: bool, threshold: float) -> int:
    """Add to the slot of an asset among slots first to end - 1, which rise by rank; return their end, new or not."""
    place, rank = end, _rank(asset, quantity, is_loan)
    while place > first and _rank(pools.slot_asset[place - 1], pools.slot_quantity[place - 1], is_loan) >= rank:
        place -= 1
    if place < end and _rank(pools.slot_asset[place], pools.slot_quantity[place], is_loan) == rank:
        pools.slot_quantity[place] += quantity
        return end
    for later in range(end, place, -1):
        pools.slot_asset[later] = pools.slot_asset[later - 1]
        pools.slot_quantity[later] = pools.slot_quantity[later - 1]
        pools.slot_threshold[later] = pools.slot_threshold[later - 1]
    pools.slot_asset[place] = asset
    pools.slot_quantity[place] = 0.0 + quantity  # a sum begins at 0 and is never -0
    pools.slot_threshold[place] = threshold if is_loan and not quantity < 0.0 else np.nan
    return end + 1


@inlined
def _close(pools: Pools, pool: int, account: int, is_isolated: bool, position_end: int, slot_end: int) -> int:
    """Note whose a pool is and where it ends; return the next one."""
    pools.pool_account[pool] = account
    pools.pool_is_isolated[pool] = is_isolated
    pools.pool_position_start[pool + 1] = position_end
    pools.pool_slot_start[pool + 1] = slot_end
    return pool + 1


@compiled
def _fill(balances: _Balances, positions: _Positions, is_lending: BoolArray, pools: Pools) -> None:
    """Fill all but what positions bring with them, account by account."""
    b = q = pool = slot = 0
    n_balances, n_positions = len(balances.account), len(positions.account)
    for account in range(len(pools.account_pool_start) - 1):
        first_position, first_slot, is_loan = q, slot, is_lending[account]
        while b < n_balances and balances.account[b] == account:
            asset, quantity, threshold = balances.asset[b], balances.quantity[b], balances.threshold[b]
            slot = _add(pools, first_slot, slot, asset, quantity, is_loan, threshold)
            b += 1
        while q < n_positions and positions.account[q] == account and np.isnan(positions.margin[q]):
            slot = _add(pools, first_slot, slot, positions.settlement[q], 0.0, False, np.nan)
            q += 1
        for position in range(first_position, q):
            place = first_slot
            while pools.slot_asset[place] != positions.settlement[position]:
                place += 1
            pools.position_slot[position] = place - first_slot
        pool = _close(pools, pool, account, False, q, slot)
        while q < n_positions and positions.account[q] == account:
            settlement, margin = positions.settlement[q], positions.margin[q]
            slot = _add(pools, slot, slot, settlement, margin, False, np.nan)
            pools.position_slot[q] = 0
            q += 1
            pool = _close(pools, pool, account, True, q, slot)
        pools.account_pool_start[account + 1] = pool


@compiled
def _set_keys(
    account: IntArray, instrument: IntArray, margin: FloatArray, n_instruments: int, keys: OffsetArray
) -> bool:
    """Set keys that rise in canonical order, an account's isolated positions last; return whether they do already."""
    is_rising = True
    for q in range(len(keys)):
        rank = instrument[q] if np.isnan(margin[q]) else n_instruments
        keys[q] = account[q] * np.int64(n_instruments + 1) + rank
        is_rising &= q == 0 or keys[q] >= keys[q - 1]
    return is_rising


def _position_order(part: Part, n_instruments: int) -> OffsetArray | slice:
    """Return what brings positions into canonical order: all as they are if they have it, as an export may have."""
    keys = np.empty(len(part.position_account), dtype=np.int64)
    is_canonical = _set_keys(
        part.position_account, part.position_instrument, part.position_isolated_margin, n_instruments, keys
    )
    return slice(None) if is_canonical else np.argsort(keys, kind="stable")


def _read_only(array: np.ndarray) -> np.ndarray:
    """Return a view that is of one type, whatever the array came from: loops are compiled once for it."""
    view = array.view()
    view.setflags(write=False)
    return view


def build_pools(part: Part, *, balance_asset: IntArray, settlement: IntArray, is_lending: BoolArray) -> Pools:
    """Build the margin pools of every account.

    Parameters
    ----------
    part: the joined rows.
    balance_asset: [b] asset of each balance row, an index of the book's assets.
    settlement: [i] settlement asset of each instrument.
    is_lending: [a] accounts that are loans; they have no positions.

    Returns
    -------
    Pools. An account's balances of one asset add up in row order (a loan's collateral and debt apart); its positions in
    one instrument stay apart. A threshold stands with collateral of loans only.
    """
    order = _position_order(part, len(settlement))
    instrument = part.position_instrument[order]
    margin = part.position_isolated_margin[order]
    owner = part.balance_account
    by_account = slice(None) if (owner[1:] >= owner[:-1]).all() else np.argsort(owner, kind="stable")

    n_accounts, n_positions = part.tables["accounts"].num_rows, len(instrument)
    n_pools = n_accounts + np.count_nonzero(~np.isnan(margin))
    n_most = len(owner) + n_positions
    pools = Pools(
        account_pool_start=np.zeros(n_accounts + 1, dtype=np.int64),
        pool_account=np.empty(n_pools, dtype=np.int32),
        pool_is_isolated=np.empty(n_pools, dtype=bool),
        pool_position_start=np.zeros(n_pools + 1, dtype=np.int64),
        pool_slot_start=np.zeros(n_pools + 1, dtype=np.int64),
        position_instrument=instrument,
        position_quantity=part.position_quantity[order],
        position_entry_price=part.position_entry_price[order],
        position_slot=np.empty(n_positions, dtype=np.int32),
        slot_asset=np.empty(n_most, dtype=np.int32),
        slot_quantity=np.empty(n_most, dtype=np.float64),
        slot_threshold=np.empty(n_most, dtype=np.float64),
    )
    _fill(
        _Balances(
            owner[by_account],
            balance_asset[by_account],
            part.balance_quantity[by_account],
            _read_only(part.balance_threshold[by_account]),
        ),
        _Positions(part.position_account[order], settlement[instrument], margin),
        _read_only(is_lending),
        pools,
    )
    n_slots = pools.pool_slot_start[-1]
    return pools._replace(
        slot_asset=pools.slot_asset[:n_slots],
        slot_quantity=pools.slot_quantity[:n_slots],
        slot_threshold=pools.slot_threshold[:n_slots],
    )
