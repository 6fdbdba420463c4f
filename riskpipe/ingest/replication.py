"""Replication: equity and maintenance margin that the snapshot reports, compared with what is computed, by venue."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from riskpipe.domain.book import Book, BoolArray, FloatArray, IntArray
from riskpipe.domain.replication import (
    CENT,
    FIGURES,
    MAX_MISMATCHES,
    TOLERANCE,
    Figure,
    FigureReplication,
    Mismatch,
    Replication,
)


def is_matched(reported: FloatArray, computed: FloatArray) -> BoolArray:
    """Tell which computed amounts lie within 1 bp of the reported ones, or within a cent of those in whole cents.

    Both [n] USD. NaN matches nothing. A reported 0 is in whole cents: it is matched by less than a cent.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        slack = np.where(reported == np.round(reported, 2), CENT, 0.0)
        return np.abs(computed - reported) <= np.maximum(TOLERANCE * np.abs(reported), slack)


def replicate(book: Book, *, equity: FloatArray, maintenance_margin: FloatArray) -> Replication:
    """Compare what the snapshot reports of its accounts with what is computed at its own prices.

    Parameters
    ----------
    book: the book; accounts in quarantine are not in it, and not compared.
    equity, maintenance_margin: [a] USD, computed for each account (one of its `weight` identical ones); NaN = not
        computable, which matches nothing.

    Returns
    -------
    For each venue with accounts and each figure they have: accounts by weight and USD (absolute reported amount times
    weight), all of them, reporting and matched; and the largest mismatches by USD times weight, those without a number
    first, half of them for each figure (more where the other has fewer), ties in order of the account's name. Lending
    accounts have no maintenance margin: theirs is looked at only where it is reported.
    """
    pairs = tuple(
        zip(
            FIGURES,
            (book.account_reported_equity, book.account_reported_maintenance_margin),
            (equity, maintenance_margin),
            strict=True,
        )
    )
    matched = [is_matched(reported, computed) for _, reported, computed in pairs]
    place = {name: ix for ix, name in enumerate(book.names("venue"))}
    found = [one for pair, is_good in zip(pairs, matched, strict=True) for one in _figures(book, *pair, is_good)]
    first, second = (list(_mismatches(book, *pair, is_good)) for pair, is_good in zip(pairs, matched, strict=True))
    half = MAX_MISMATCHES // 2
    n_first = min(len(first), max(half, MAX_MISMATCHES - len(second)))
    return Replication(
        tuple(sorted(found, key=lambda one: place[one.venue])),
        (*first[:n_first], *second[: MAX_MISMATCHES - n_first]),
    )


def _figures(
    book: Book, figure: Figure, reported: FloatArray, computed: FloatArray, is_good: BoolArray
) -> Iterator[FigureReplication]:
    venue, weight = book.account_venue, book.account_weight
    is_reporting = ~np.isnan(reported)
    has_figure = is_reporting | ~book.account_is_lending | (figure == "equity")
    said = np.where(is_reporting, np.abs(reported), 0.0) * weight
    got = np.where(np.isnan(computed), 0.0, np.abs(computed)) * weight

    def by_venue(amount: FloatArray | BoolArray, is_counted: BoolArray | None = None) -> FloatArray:
        counted = amount if is_counted is None else np.where(is_counted, amount, 0.0)
        return np.bincount(venue, weights=counted, minlength=book.n_venues).astype(np.float64)

    rows = by_venue(has_figure)
    columns = {
        "accounts": by_venue(weight, has_figure),
        "reporting": by_venue(weight, is_reporting),
        "matched": by_venue(weight, is_good),
        "reported_usd": by_venue(said),
        "matched_usd": by_venue(said, is_good),
        "computed_usd": by_venue(got, has_figure),
        "covered_usd": by_venue(got, is_reporting),
    }
    n_mismatched = by_venue(is_reporting & ~is_good)
    for ix, name in enumerate(book.names("venue")):
        if rows[ix] > 0.0:
            numbers = {key: float(values[ix]) for key, values in columns.items()}
            yield FigureReplication(venue=name, figure=figure, n_mismatched=int(n_mismatched[ix]), **numbers)


def _mismatches(
    book: Book, figure: Figure, reported: FloatArray, computed: FloatArray, is_good: BoolArray
) -> Iterator[Mismatch]:
    found = np.flatnonzero(~np.isnan(reported) & ~is_good)
    size = np.abs(computed[found] - reported[found]) * book.account_weight[found]
    ranked = pa.table(
        {
            "size": np.where(np.isnan(size), np.inf, size),
            "account": book.labels["account"].take(pa.array(found)),
        }
    )
    order: IntArray = pc.select_k_unstable(
        ranked, MAX_MISMATCHES, [("size", "descending"), ("account", "ascending")]
    ).to_numpy()
    venues = book.names("venue")
    for row in found[order].tolist():
        yield Mismatch(
            account=str(book.labels["account"][row]),
            venue=venues[book.account_venue[row]],
            figure=figure,
            reported=float(reported[row]),
            computed=float(computed[row]),
            weight=float(book.account_weight[row]),
        )
