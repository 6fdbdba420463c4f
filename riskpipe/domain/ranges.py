"""Ranges: one number under every variant as low, central and high, and the rule that makes the width."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Range:
    """A number over variants, in its own unit.

    Attributes
    ----------
    low, central, high: central is the first variant's; low <= central <= high, unless central is NaN; all NaN where no
        variant has a number.
    low_variant, high_variant: labels, "" where low and high are equal.
    driver: the overridden key whose change alone moves the number most, "" where none does; driver_spread: that move.
    """

    low: float
    central: float
    high: float
    low_variant: str = ""
    high_variant: str = ""
    driver: str = ""
    driver_spread: float = 0.0

    @property
    def is_wide(self) -> bool:
        """Whether variants disagree."""
        return self.low < self.high

    @property
    def width(self) -> float:
        """From low to high as a share of central, >= 0; infinite where central is 0 or a number is without bound."""
        if not self.is_wide:
            return 0.0
        is_bounded = self.central != 0.0 and np.isfinite([self.low, self.central, self.high]).all()
        return (self.high - self.low) / abs(self.central) if is_bounded else np.inf


def range_over(labels: Sequence[str], values: FloatArray) -> Range:
    """Return the range of a number over variants, `values` [variant] in the order of their labels, the central first.

    Variants without a number (NaN) widen nothing and drive nothing.
    """
    given = np.asarray(values, np.float64)
    rows = np.flatnonzero(~np.isnan(given)).tolist()
    if not rows:
        return Range(np.nan, np.nan, np.nan, driver_spread=np.nan)
    known, told = given[rows], [labels[row] for row in rows]
    low, high = int(known.argmin()), int(known.argmax())
    names = (told[low], told[high]) if known[low] < known[high] else ("", "")
    return Range(float(known[low]), float(given[0]), float(known[high]), *names, *driver(told, known))


def overrides(label: str) -> dict[str, str]:
    """What a variant's label overrides: key -> value ("gap_share=1, kappa=0.3"); a label without "=" nothing."""
    return dict(part.split("=", 1) for part in label.split(", ") if "=" in part)


def driver(labels: Sequence[str], values: FloatArray) -> tuple[str, float]:
    """The overridden key that alone moves a value most, and by how much; ("", 0) where none moves it.

    For each key, variants that agree in every other key are compared: the largest difference inside such a group.
    Of a tie, the key named first. `values` [variant].
    """
    given = [overrides(label) for label in labels]
    keys = dict.fromkeys(key for one in given for key in one)
    spreads = {key: _spread_of(key, given, values) for key in keys}
    best = max(spreads, key=lambda key: spreads[key], default="")
    return (best, spreads[best]) if best and spreads[best] > 0.0 else ("", 0.0)


def _spread_of(key: str, given: Sequence[Mapping[str, str]], values: FloatArray) -> float:
    """Largest difference of values between variants that differ in `key` only."""
    rest = [
        (tuple(sorted((k, v) for k, v in one.items() if k != key)), float(values[n])) for n, one in enumerate(given)
    ]
    groups = groupby(sorted(rest), key=lambda pair: pair[0])
    spread = 0.0
    for _, members in groups:
        found = [value for _, value in members]
        spread = max(spread, max(found) - min(found))
    return spread
