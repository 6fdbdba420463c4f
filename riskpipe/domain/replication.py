"""Replication: how much of what venues report of their accounts this program computes again, and the grade of it.

A grade is about the snapshot before any shock: it says how well equity and maintenance margin are understood, which is
what every number of a night starts from.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from math import floor, isfinite, isnan, nan
from typing import Any, Literal

Grade = Literal["A", "B", "C", "not checked"]
Figure = Literal["equity", "maintenance margin"]

FIGURES: tuple[Figure, ...] = ("equity", "maintenance margin")
TOLERANCE = 1e-4
"""A computed amount matches a reported one within this share of the reported one: 1 bp."""
CENT = 0.01
"""A figure reported in whole cents is known to a cent only, because venues round or cut: that much is allowed too."""
THRESHOLDS: tuple[tuple[Grade, float], ...] = (("A", 0.99), ("B", 0.95))
"""Least share matched, of accounts and of USD, of either figure, for each grade; C is anything less."""
LEAST_COVERAGE = 0.5
"""Where fewer of a venue's accounts, or of its computed USD, report a figure, it is not checked, unless it fails."""
MAX_MISMATCHES = 20
_FROM_BEST: tuple[Grade, ...] = ("A", "B", "not checked", "C")  # unknown is never good, and known to be bad is worse
_ROUNDING = 1e-9  # 99 of 100 equal weights are 0.99, whatever their sums round to


def percent(share: float) -> str:
    """Write a matched share rounded down to 0.01%, so that none looks like all, or like a threshold it misses."""
    return "n/a" if isnan(share) else f"{floor(1e4 * share + 1e-4) / 100:.2f}".rstrip("0").rstrip(".") + "%"


def worst_grade(grades: Iterable[Grade]) -> Grade:
    """Return the worst of some grades, "not checked" for none: C, else not checked, else B, else A."""
    return max(grades, key=_FROM_BEST.index, default="not checked")


@dataclass(frozen=True)
class FigureReplication:
    """One reported figure on one venue. Accounts are weighted; USD are absolute amounts times weight.

    Attributes
    ----------
    accounts, reporting, matched: of the venue, that have the figure; those that report it; of these, those matched.
    n_mismatched: rows that report and are not matched.
    reported_usd, matched_usd: what is reported; of it, what matched accounts report.
    computed_usd, covered_usd: what is computed for the venue; of it, for accounts that report.
    """

    venue: str
    figure: Figure
    accounts: float
    reporting: float
    matched: float
    n_mismatched: int
    reported_usd: float
    matched_usd: float
    computed_usd: float
    covered_usd: float

    @property
    def share_of_accounts(self) -> float:
        """Share of the reporting accounts that is matched, weighted; NaN where none reports."""
        return _ratio(self.matched, self.reporting)

    @property
    def share_of_usd(self) -> float:
        """Share of the USD reported that is matched; NaN where none, or only zeros, are reported."""
        return _ratio(self.matched_usd, self.reported_usd)

    @property
    def share_reporting(self) -> float:
        """Share of the venue's accounts that report, or of its computed USD, whichever is less."""
        of_usd = _ratio(self.covered_usd, self.computed_usd)
        of_accounts = _ratio(self.reporting, self.accounts)
        return of_accounts if isnan(of_usd) else min(of_accounts, of_usd)

    @property
    def lowest_share(self) -> float:
        """The lower of both matched shares; NaN where no account reports."""
        return self.share_of_accounts if isnan(self.share_of_usd) else min(self.share_of_accounts, self.share_of_usd)

    @property
    def grade(self) -> Grade:
        """Grade of this figure on this venue."""
        if not self.reporting > 0.0:
            return "not checked"
        earned = (grade for grade, least in THRESHOLDS if self.lowest_share >= least - _ROUNDING)
        grade: Grade = next(earned, "C")
        return "not checked" if grade != "C" and self.share_reporting < LEAST_COVERAGE else grade

    def matched_words(self) -> str:
        """Both matched shares in words."""
        of_usd = "" if isnan(self.share_of_usd) else f" and {percent(self.share_of_usd)} of USD"
        return f"{percent(self.share_of_accounts)} of accounts{of_usd}"

    def as_text(self) -> str:
        """What was found, for a terminal."""
        if not self.reporting > 0.0:
            return "the snapshot reports none"
        return f"{self.matched_words()} matched to 1 bp, {percent(self.share_reporting)} of accounts or USD reporting"

    def as_json(self) -> dict[str, Any]:
        """Plain values for JSON, the shares and the grade beside what they are made from; NaN becomes null."""
        shares = {name: getattr(self, name) for name in ("share_of_accounts", "share_of_usd", "share_reporting")}
        return {**{key: _null(value) for key, value in {**asdict(self), **shares}.items()}, "grade": self.grade}


@dataclass(frozen=True)
class Mismatch:
    """An account whose reported figure is not matched: USD, of one of its `weight` identical ones; NaN = no number."""

    account: str
    venue: str
    figure: Figure
    reported: float
    computed: float
    weight: float

    @property
    def difference(self) -> float:
        """Computed less reported, USD."""
        return self.computed - self.reported

    @property
    def basis_points(self) -> float:
        """The difference in bp of what is reported, signed as the difference; NaN where 0 is reported."""
        return 1e4 * _ratio(self.difference, abs(self.reported))

    def as_text(self) -> str:
        """What differs, for a terminal."""
        return (
            f"reported {self.reported:,.2f} USD, computed {self.computed:,.2f} USD, difference {self.difference:,.2f} "
            f"USD ({self.basis_points:,.2f} bp), weight {self.weight:g}"
        )

    def as_json(self) -> dict[str, Any]:
        """Plain values for JSON; NaN becomes null."""
        derived = {"difference": self.difference, "basis_points": self.basis_points}
        return {key: _null(value) for key, value in {**asdict(self), **derived}.items()}


@dataclass(frozen=True)
class Replication:
    """Every figure that accounts have, on every venue, and the largest mismatches, at most MAX_MISMATCHES of them."""

    figures: tuple[FigureReplication, ...] = ()
    mismatches: tuple[Mismatch, ...] = ()

    @property
    def venues(self) -> tuple[str, ...]:
        """Venues that have accounts, in the order of the book."""
        return tuple(dict.fromkeys(one.venue for one in self.figures))

    def of_venue(self, venue: str) -> tuple[FigureReplication, ...]:
        """Return what is known of one venue."""
        return tuple(one for one in self.figures if one.venue == venue)

    def grade(self, venues: Iterable[str] | None = None) -> Grade:
        """Return the grade of a number into which these venues enter (None = all): that of the worst figure of any."""
        entering = self.venues if venues is None else tuple(venues)
        grades: list[Grade] = []
        for venue in entering:
            grades += [one.grade for one in self.of_venue(venue)] or ["not checked"]
        return worst_grade(grades)

    def as_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "grade": self.grade(),
            "figures": [one.as_json() for one in self.figures],
            "mismatches": [one.as_json() for one in self.mismatches],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Replication":
        """Read back what `as_json` wrote; what is derived is derived again."""
        return cls(
            tuple(FigureReplication(**_kept(FigureReplication, one)) for one in data["figures"]),
            tuple(Mismatch(**_kept(Mismatch, one)) for one in data["mismatches"]),
        )


def _kept(kind: type, data: dict[str, Any]) -> dict[str, Any]:
    return {spec.name: nan if data[spec.name] is None else data[spec.name] for spec in fields(kind)}


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0.0 else nan


def _null(value: Any) -> Any:  # noqa: ANN401  any value of JSON
    return None if isinstance(value, float) and not isfinite(value) else value
