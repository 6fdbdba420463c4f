"""Lists of the largest contributors: sums by place, the largest above zero, their names."""

import numpy as np

from riskpipe.domain.book import Book, BoolArray, FloatArray, OffsetArray
from riskpipe.domain.schema import N_CONTRIBUTORS


def has_one_owner(book: Book) -> BoolArray:
    """Whether each row [a] is somebody's: of a known owner, or one account alone."""
    return np.asarray(book.account_has_entity | (book.account_weight == 1.0))


def summed(at: np.ndarray, values: FloatArray, n: int) -> FloatArray:
    """Add up values by place, [n]."""
    return np.bincount(at, values, minlength=n).astype(np.float64)


def largest(values: FloatArray) -> OffsetArray:
    """Return the places of the largest values above 0, of equals the first first."""
    order = np.argsort(-values, kind="stable")[:N_CONTRIBUTORS].astype(np.int64)
    return order[values[order] > 0.0]


def names(book: Book, dimension: str, at: OffsetArray) -> np.ndarray:
    """Return the labels at some places, then empty ones, object [N_CONTRIBUTORS]."""
    found = [str(name) for name in book.labels[dimension].take(at).to_pylist()]
    return np.array([*found, *[""] * (N_CONTRIBUTORS - len(found)), None], dtype=object)[:-1]


def padded(values: FloatArray) -> FloatArray:
    """Return a list with zeros behind it, float64 [N_CONTRIBUTORS]."""
    return np.concatenate((values, np.zeros(N_CONTRIBUTORS - len(values))))
