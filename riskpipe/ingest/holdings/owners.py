"""Owners: amounts of accounts added up by who owns them, their concentration, the largest of them.

An owner is an entity; an account whose entity is not known is its own. A row of unknown owner that stands for several
accounts (weight other than 1) stands for as many owners: it counts, weighted, in totals and concentration, and is
listed nowhere.
"""

from dataclasses import dataclass

import numpy as np

from riskpipe.domain.book import Book, BoolArray, FloatArray, IntArray, OffsetArray

NONE = -1  # index of no owner


@dataclass(frozen=True)
class Owners:
    """Who owns the accounts of a book (a accounts, e owners)."""

    entity: IntArray  # [a] owner
    weight: FloatArray  # [a] accounts that the row stands for
    is_known: BoolArray  # [a] whether the entity was given
    n_behind: FloatArray  # [e] owners that this one stands for: 1, or the weight of a row of unknown owners

    @property
    def is_listed(self) -> BoolArray:
        """Tell who is one owner and not several, [e]."""
        return np.asarray(self.n_behind == 1.0)

    def __len__(self) -> int:
        """Count owners, those that stand for several once."""
        return len(self.n_behind)

    def by_owner(self, amount: FloatArray) -> FloatArray:
        """Add amounts per account [a] up by owner, weighted, [e]."""
        return np.bincount(self.entity, amount * self.weight, len(self)).astype(np.float64)

    def total_unlisted(self, amount: FloatArray) -> float:
        """Part of amounts [a], weighted, in rows that stand for several owners."""
        return float((amount * self.weight)[~self.is_listed[self.entity]].sum())

    def total_unknown(self, amount: FloatArray) -> float:
        """Part of amounts [a], weighted, whose owner is not known beyond the account."""
        return float((amount * self.weight)[~self.is_known].sum())


def owners_of(book: Book) -> Owners:
    """Find the owners of a book's accounts."""
    n_behind = np.ones(len(book.labels["entity"]))
    is_several = ~book.account_has_entity & (book.account_weight != 1.0)
    n_behind[book.account_entity[is_several]] = book.account_weight[is_several]
    return Owners(book.account_entity, book.account_weight, book.account_has_entity, n_behind)


def concentration(amount: FloatArray, n_behind: FloatArray) -> float:
    """Herfindahl-Hirschman index of owners' amounts: the sum of squared percentage shares, 0 to 10,000.

    Source: U.S. Department of Justice and Federal Trade Commission, Merger Guidelines (2023), guideline 1.

    Parameters
    ----------
    amount: [n] >= 0, of everybody whom the owner stands for.
    n_behind: [n] how many equal owners each stands for; their shares are squared one by one.

    Returns NaN where there is nothing.
    """
    total = float(amount.sum())
    return float(1e4 * ((amount / total) ** 2 / n_behind).sum()) if total > 0.0 else float("nan")


def largest(amount: FloatArray, is_listed: BoolArray, n_top: int) -> tuple[OffsetArray, FloatArray]:
    """Indices [n_top] and amounts [n_top] of the largest by size among the listed; of a tie the first.

    Where there are fewer that are not 0, the index is -1 and the amount 0.
    """
    rows = np.flatnonzero(is_listed & (amount != 0.0))
    size = np.abs(amount[rows])
    if len(rows) > 4 * n_top:  # only those as large as the last of the list have to be sorted
        least = np.partition(size, len(size) - n_top)[len(size) - n_top]
        rows, size = rows[size >= least], size[size >= least]
    rows = rows[np.argsort(-size, kind="stable")[:n_top]]
    who, what = np.full(n_top, NONE, np.int64), np.zeros(n_top)
    who[: len(rows)], what[: len(rows)] = rows, amount[rows]
    return who, what
