"""Shapley values: what each of several changes explains of a number, whatever the order in which they are made.

L. S. Shapley, "A Value for n-Person Games" (1953); for decompositions of a change A. F. Shorrocks, "Decomposition
procedures for distributional analysis" (Journal of Economic Inequality, 2013).
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import factorial

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def shapley(values: Mapping[frozenset[str], FloatArray], parts: Sequence[str]) -> dict[str, FloatArray]:
    """Return what each part explains: the mean, over all orders of the parts, of what its turn adds.

    The parts' shares add up to all parts changed less none changed, but for rounding; a part that changes nothing
    beside any others explains 0 exactly, and what several explain together is split among them evenly.

    Parameters
    ----------
    values: the number, or an array of them, with the parts of each subset changed: 2^n subsets, all of one shape.
    """
    n = len(parts)
    explained = {}
    for part in parts:
        others = [one for one in parts if one != part]
        total = np.zeros_like(values[frozenset()], dtype=np.float64)
        for size in range(n):
            weight = factorial(size) * factorial(n - size - 1) / factorial(n)
            for subset in combinations(others, size):
                total = total + weight * (values[frozenset((*subset, part))] - values[frozenset(subset)])
        explained[part] = total
    return explained
