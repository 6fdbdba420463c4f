"""Headlines as low, central and high: one place that says a number under every variant, and what drives its width."""

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr

from riskpipe.domain.ranges import Range, range_over
from riskpipe.report import numbers
from riskpipe.report.report_input import ReportInput
from riskpipe.report.wording import axes_of

ONE_VARIANT = "one variant: no range"
SAME = "the same under every variant"


class Ranged:
    """Numbers of one sentence: each is written where it stands, and at the end what all their widths come from.

    `width` is that of the widest of their ranges so far, infinite where no move does it under some variant.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        """Start a sentence of numbers under these variants, the central one first."""
        self.labels = [str(label) for label in labels]
        self.drivers: list[str] = []
        self.n_wide = 0
        self.n_said = 0
        self.width = 0.0

    def said(self, values: np.ndarray, write: Callable[[float], str]) -> str:
        """Write one number [variant]: `USD 5M (low USD 4M, high USD 6M)`; without brackets where variants agree, to the
        digits shown.
        """  # noqa: D205
        one = range_over(self.labels, values)
        words = [write(value) for value in (one.low, one.central, one.high)]
        if len(set(words)) == 1:
            self.n_said += 1
            return words[1]
        self._count(one)
        return f"{words[1]} (low {words[0]}, high {words[2]})"

    def counted(self, values: np.ndarray) -> Range:
        """Return the range of one number [variant], which then counts among those of the sentence."""
        one = range_over(self.labels, values)
        self._count(one)
        return one

    def _count(self, one: Range) -> None:
        self.n_said += 1
        self.n_wide += one.is_wide
        self.width = max(self.width, one.width)
        self.drivers += [one.driver] if one.driver and one.driver not in self.drivers else []

    @property
    def ending(self) -> str:
        """What the widths of the numbers said so far come from."""
        if len(self.labels) == 1:
            return ONE_VARIANT
        if self.n_wide == 0:
            return SAME
        driven = f", driven by {' and '.join(self.drivers)}" if self.drivers else ""
        rest = "; other numbers do not vary" if self.n_wide < self.n_said else ""
        return f"low and high over {numbers.plural(len(self.labels), 'variant')}{driven}{rest}"


def range_words(one: Range, n_variants: int, write: Callable[[float], str]) -> str:
    """A range beside its number: `low USD 4M, high USD 6M, driven by gap_share`; or why there is none."""
    if n_variants == 1:
        return ONE_VARIANT
    if not one.is_wide:
        return SAME
    driven = f", driven by {one.driver}" if one.driver else ""
    return f"low {write(one.low)}, high {write(one.high)}{driven}"


def same_cell(report: ReportInput, scenario: int) -> np.ndarray:
    """Scenarios that differ from one in their variant only, [variant], in the order of variants.

    Draws of a set that agree in every label are told apart by their order.
    """
    flat = report.measures["liquidation"]
    labels = [*axes_of(flat), "set", "name"]
    is_alike = np.ones(flat.sizes["scenario"], np.bool_)
    for name in labels:
        values = flat[name].values
        one = values[scenario]
        is_nan = not isinstance(one, str) and np.isnan(one)  # a scenario may stand nowhere on an axis of the run's own
        is_alike &= np.isnan(values) if is_nan else values == one
    variant = flat["variant"].values
    place = int((is_alike & (variant == variant[scenario]))[:scenario].sum())
    return np.array([np.flatnonzero(is_alike & (variant == label))[place] for label in variant_labels(report)])


def variant_labels(report: ReportInput) -> list[str]:
    """Labels of the variants, the central one first."""
    return [str(label) for label in report.measures["variants"]["variant"].values]


def uncovered_of(report: ReportInput, scenarios: np.ndarray) -> np.ndarray:
    """Uncovered loss of all funds in some scenarios, USD."""
    losses: xr.DataArray = report.measures["fund_losses"]["uncovered_loss"]
    return np.asarray(losses.values[scenarios].sum(axis=1))
