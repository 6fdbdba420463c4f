"""Sums by index."""

import numpy as np

from riskpipe.domain.book import FloatArray


def sum_by(index: np.ndarray, values: FloatArray, n: int) -> FloatArray:
    """Return for each k below n the sum of values [rows] where index [rows] is k."""
    return np.bincount(index, values, n).astype(np.float64)
