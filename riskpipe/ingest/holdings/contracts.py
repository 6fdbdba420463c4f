"""Contracts: open interest by instrument and who holds it, owners on several venues, what forced closing would sell."""

from dataclasses import dataclass

import numpy as np

from riskpipe.domain.book import Book, BoolArray, FloatArray, IntArray, OffsetArray
from riskpipe.ingest.controls import gross_notional
from riskpipe.ingest.holdings.owners import NONE, Owners, concentration


@dataclass(frozen=True)
class Contracts:
    """A book's positions in USD at the snapshot's marks (q positions); options at their premium."""

    account: IntArray  # [q]
    instrument: IntArray  # [q]
    usd: FloatArray  # [q] signed, weighted
    is_option: BoolArray  # [q]


def contracts_of(book: Book) -> Contracts:
    """Value every position of a book."""
    account = np.repeat(book.pool_account, np.diff(book.pool_position_start))
    usd = np.nan_to_num(gross_notional(book)) * np.sign(book.position_quantity)
    return Contracts(account, book.position_instrument, usd, book.is_option[book.position_instrument])


def interest_by_account(book: Book, contracts: Contracts) -> FloatArray:
    """Both sides of each row's positions for one account of it, [a] USD >= 0."""
    total = np.bincount(contracts.account, np.abs(contracts.usd), book.n_accounts)
    return np.asarray(total / book.account_weight, np.float64)


def interest(book: Book, contracts: Contracts, owners: Owners, n_top: int) -> dict[str, FloatArray]:
    """Open interest by instrument (i), its concentration by owner, and the owners with the largest net positions.

    Returns `open_interest_long`, `open_interest_short` [i] USD, `interest_hhi` [i], and `position` [i, n_top] USD
    signed with `position_entity` [i, n_top], -1 = none.
    """
    n, n_owners = book.n_instruments, len(owners)
    row, usd = contracts.instrument, contracts.usd
    keys, at = np.unique(row.astype(np.int64) * n_owners + owners.entity[contracts.account], return_inverse=True)
    held_in, owner = keys // n_owners, keys % n_owners
    gross, net = (np.bincount(at, values, len(keys)).astype(np.float64) for values in (np.abs(usd), usd))
    start = np.searchsorted(held_in, np.arange(n + 1))
    hhi = [
        concentration(gross[a:b], owners.n_behind[owner[a:b]])
        for a, b in zip(start[:-1].tolist(), start[1:].tolist(), strict=True)
    ]
    position, entity = np.zeros((n, n_top)), np.full((n, n_top), NONE, np.int64)
    rows = np.flatnonzero(owners.is_listed[owner] & (net != 0.0))
    rows = rows[np.lexsort((rows, -np.abs(net[rows]), held_in[rows]))]
    rank = np.arange(len(rows)) - np.searchsorted(held_in[rows], held_in[rows])  # place among those of the instrument
    rows, rank = rows[rank < n_top], rank[rank < n_top]
    position[held_in[rows], rank], entity[held_in[rows], rank] = net[rows], owner[rows]
    return {
        "open_interest_long": np.bincount(row, np.maximum(usd, 0.0), n).astype(np.float64),
        "open_interest_short": np.bincount(row, np.maximum(-usd, 0.0), n).astype(np.float64),
        "interest_hhi": np.array(hhi, np.float64),
        "position": position,
        "position_entity": entity.astype(np.float64),
    }


def position_by_underlying(
    book: Book, contracts: Contracts, owners: Owners, entity: OffsetArray, is_counted: BoolArray
) -> FloatArray:
    """Net USD of some owners' contracts by underlying, [len(entity), u], in the order of `Book.underlyings`.

    Options are left out, their delta needs a model. Of owners -1 all is 0.

    Parameters
    ----------
    entity: owners wanted, -1 = none.
    is_counted: [a] accounts whose contracts count.
    """
    underlyings = book.underlyings
    place = np.full(len(owners) + 1, NONE, np.int64)  # the last place is that of owner -1
    place[entity[entity != NONE]] = np.flatnonzero(entity != NONE)
    at = place[owners.entity[contracts.account]]
    chosen = (at != NONE) & is_counted[contracts.account] & ~contracts.is_option
    cell = np.searchsorted(underlyings, book.instrument_underlying[contracts.instrument[chosen]])
    shape = (len(entity), len(underlyings))
    flat = np.bincount(at[chosen] * shape[1] + cell, contracts.usd[chosen], shape[0] * shape[1])
    return np.asarray(flat.reshape(shape), np.float64)


def shared_interest(book: Book, contracts: Contracts, owners: Owners) -> FloatArray:
    """Positions on one venue of owners who have positions on another, too, [v, v] USD; the diagonal is all positions.

    A lower bound: accounts of unknown owners are on one venue each.
    """
    n = book.n_venues
    venue = book.account_venue[contracts.account].astype(np.int64)
    keys, at = np.unique(owners.entity[contracts.account].astype(np.int64) * n + venue, return_inverse=True)
    gross = np.bincount(at, np.abs(contracts.usd), len(keys))
    owner, where = keys // n, keys % n
    shared = np.zeros((n, n))
    for other in range(n):
        is_there = np.zeros(len(owners), np.bool_)
        is_there[owner[(where == other) & (gross > 0.0)]] = True
        shared[:, other] = np.bincount(where, np.where(is_there[owner], gross, 0.0), n)
    np.fill_diagonal(shared, np.bincount(where, gross, n))
    return shared
