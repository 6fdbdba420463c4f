"""Lists of the largest contributors: an amount of each account summed by owner and segment, and who is named."""

import numpy as np

from riskpipe.domain.book import Book, BoolArray, FloatArray, OffsetArray
from riskpipe.domain.schema import N_CONTRIBUTORS
from riskpipe.run.plan import segment_labels


def has_one_owner(book: Book) -> BoolArray:
    """Whether each row [a] is somebody's: of a known owner, or one account alone."""
    return np.asarray(book.account_has_entity | (book.account_weight == 1.0))


def summed(at: np.ndarray, values: FloatArray, n: int) -> FloatArray:
    """Add up values by place, [n]."""
    return np.bincount(at, values, minlength=n).astype(np.float64)


def by_segment(book: Book, by_account: FloatArray) -> FloatArray:
    """Add up amounts of accounts by segment, in the order of `segment_labels`."""
    segments, segment = segment_labels(book), np.asarray(book.account_segment)
    return summed(np.where(segment < 0, segments.index(""), segment), by_account, len(segments))


def listed(book: Book, by_account: FloatArray, what: str) -> tuple[dict[str, np.ndarray], OffsetArray]:
    """Name the accounts and owners of the largest amounts, rows of several owners left out; what: the amounts' name.

    Returns `account_name`, `account_<what>`, `entity_name`, `entity_<what>`, each [N_CONTRIBUTORS], and the places of
    the owners named.
    """
    by_owner = np.where(has_one_owner(book), by_account, 0.0)
    by_entity = summed(book.account_entity, by_owner, len(book.entity_account_start) - 1)
    accounts, entities = _largest(by_owner), _largest(by_entity)
    values = {
        "account_name": _names(book, "account", accounts),
        f"account_{what}": _padded(by_owner[accounts]),
        "entity_name": _names(book, "entity", entities),
        f"entity_{what}": _padded(by_entity[entities]),
    }
    return values, entities


def _largest(values: FloatArray) -> OffsetArray:
    """Return the places of the largest values above 0, of equals the first first."""
    order = np.argsort(-values, kind="stable")[:N_CONTRIBUTORS].astype(np.int64)
    return order[values[order] > 0.0]


def _names(book: Book, dimension: str, at: OffsetArray) -> np.ndarray:
    """Return the labels at some places, then empty ones, object [N_CONTRIBUTORS]."""
    found = [str(name) for name in book.labels[dimension].take(at).to_pylist()]
    return np.array([*found, *[""] * (N_CONTRIBUTORS - len(found)), None], dtype=object)[:-1]


def _padded(values: FloatArray) -> FloatArray:
    """Return a list with zeros behind it, float64 [N_CONTRIBUTORS]."""
    return np.concatenate((values, np.zeros(N_CONTRIBUTORS - len(values))))
