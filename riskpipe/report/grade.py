"""The grade of headlines, from four parts: replication, coverage, control totals and width; and when none is shown.

A headline is worth what its weakest part is. Replication says how well the accounts are understood, coverage how much
of the market the book holds, control totals whether the book is whole, width how far the uncertain rules move the
number. What was not measured is "not checked", which is never good. Where a book that should be whole lacks a side,
headlines are suppressed: it has winners and losers that nobody computed. A book that is part of a market by what it
covers, as a prime broker's is, has neither side whole: its headlines are shown, and graded by how little it covers.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from riskpipe.domain.controls import Control
from riskpipe.domain.ranges import Range
from riskpipe.domain.replication import THRESHOLDS, Grade, percent, worst_grade
from riskpipe.report import numbers
from riskpipe.report.document import Point, Tone
from riskpipe.report.ranges import Ranged
from riskpipe.report.report_input import ReportInput
from riskpipe.report.sections.replication import approximated_words, reason_words

LONG_SHORT, COVERAGE = "long against short", "open interest covered"
"""Names of the controls read here, as the room of ingest writes them."""
WIDTHS: tuple[tuple[Grade, float], ...] = (("A", 0.25), ("B", 1.0))
"""Widest range of the variants, as a share of the central value, for each grade; C is anything wider."""
LEAST_BALANCED = 0.9
"""Where longs and shorts agree for less than this share of open interest, headlines are suppressed."""
TONES: dict[Grade, Tone] = {"A": "good", "B": "warn", "C": "bad", "not checked": "unknown"}
WIDTH = "width"
HEADLINE = "uncovered_loss"  # whose width grades sentences, which speak of several headlines


@dataclass(frozen=True)
class Part:
    """One part of a grade and why it is so."""

    name: str
    grade: Grade
    why: str


def grade_parts(report: ReportInput, headline: str = HEADLINE, scope: str = "grid") -> tuple[Part, ...]:
    """Return the parts of a headline's grade, over the grid or the index axis.

    A book without contracts has neither coverage nor control totals.
    """
    controls = {name: [one for one in report.controls if one.name == name] for name in (COVERAGE, LONG_SHORT)}
    held = _interest(report)
    parts = [Part("replication", report.replication.grade(), reason_words(report))]
    if held or any(controls.values()):
        parts += [
            _weighed("coverage", controls[COVERAGE], held, _covered, "of the market's open interest is in the book"),
            _weighed("control totals", controls[LONG_SHORT], held, _balanced, "of open interest has its other side"),
        ]
    return (*parts, _width(report, headline, scope))


def headline_grade(report: ReportInput, headline: str = HEADLINE, scope: str = "grid") -> Grade:
    """Return the grade of a headline: that of its worst part."""
    return worst_grade(part.grade for part in grade_parts(report, headline, scope))


def sentence_grade(report: ReportInput, of: Ranged) -> Grade:
    """Return the grade of a sentence: its width is that of its widest number, its other parts are those of all."""
    width: Grade = "not checked" if len(of.labels) == 1 else width_grade(of.width)
    return worst_grade((width, *(part.grade for part in grade_parts(report) if part.name != WIDTH)))


def width_grade(width: float) -> Grade:
    """Return the grade of a range by its width, a share of its central value."""
    return next((earned for earned, most in WIDTHS if width <= most), "C")


def suppressed_words(report: ReportInput) -> str:
    """Say why no headline is shown; empty where they are."""
    held, controls = _interest(report), [one for one in report.controls if one.name == LONG_SHORT]
    share = _share(controls, held, _balanced)
    if not share < LEAST_BALANCED or _is_part(report, held):
        return ""
    worst = min((one for one in controls if one.status == "differs"), key=_balanced)
    return (
        f"only {percent(share)} of open interest has its other side in the book ({percent(LEAST_BALANCED)} is the "
        f"least); {worst.subject}: {numbers.number(worst.value)} long, {numbers.number(worst.expected)} short. Give "
        "the accounts that are missing; of a book that is part of a market, the market's open interest"
    )


def _is_part(report: ReportInput, held: dict[str, float]) -> bool:
    """Whether even the larger side of the book covers less of the market than a whole book would."""
    sides = {one.subject: one for one in report.controls if one.name == LONG_SHORT}

    def larger_side(coverage: Control) -> float:
        one = sides.get(coverage.subject)
        if one is None or one.value <= 0.0:
            return float("inf")  # of longs that are not there coverage says nothing
        return coverage.value * max(one.value, one.expected) / one.value

    share = _share([one for one in report.controls if one.name == COVERAGE], held, larger_side)
    return share < LEAST_BALANCED


def grade_point(report: ReportInput) -> Point:
    """Say the grade of the first headline and what each part of it rests on, the parts that set it first."""
    parts = grade_parts(report)
    grade = worst_grade(part.grade for part in parts)
    said = [f"{part.name} {part.grade} ({part.why})" for part in sorted(parts, key=lambda one: one.grade != grade)]
    return Point(
        f"The uncovered loss has grade {grade}, that of its weakest part: {'; '.join(said)}"
        f"{approximated_words(report)}. Other headlines differ by their own width.",
        TONES[grade],
    )


def _interest(report: ReportInput) -> dict[str, float]:
    """Open interest by instrument, USD, its larger side; instruments that are held only."""
    held = report.measures["positions"]
    size = np.maximum(held["open_interest_long"].values, held["open_interest_short"].values)
    return {str(name): float(usd) for name, usd in zip(held["instrument"].values, size, strict=True) if usd > 0.0}


def _covered(control: Control) -> float:
    """How much of an instrument's open interest is in the book; more than all is as wrong as less."""
    return min(control.value, 1.0 / control.value) if control.value > 0.0 else 0.0


def _balanced(control: Control) -> float:
    """The smaller side of an instrument over its larger."""
    larger = max(control.value, control.expected)
    return min(control.value, control.expected) / larger if larger > 0.0 else 1.0


def _share(controls: list[Control], held: dict[str, float], of: Callable[[Control], float]) -> float:
    """Mean of a share over instruments, weighted by open interest; NaN where half of it or more was not checked."""
    known = [(of(one), held.get(one.subject, 0.0)) for one in controls if one.status != "not checked"]
    weight = sum(size for _, size in known)
    whole = sum(held.values())
    return sum(share * size for share, size in known) / weight if weight > 0.5 * whole else float("nan")


def _weighed(
    name: str, controls: list[Control], held: dict[str, float], of: Callable[[Control], float], what: str
) -> Part:
    """Grade a share by the same thresholds as replication."""
    share = _share(controls, held, of)
    if np.isnan(share):
        return Part(name, "not checked", "for half of open interest or more it was not measured")
    unrounded = share + 1e-9
    grade: Grade = next((earned for earned, least in THRESHOLDS if unrounded >= least), "C")
    return Part(name, grade, f"{percent(share)} {what}")


def _width(report: ReportInput, headline: str, scope: str) -> Part:
    if report.measures["variants"].sizes["variant"] == 1:
        return Part(WIDTH, "not checked", "one variant only")
    one = report.measures["ranges"].sel(scope=scope, headline=headline)
    low, central, high = (float(one[name].values) for name in ("low", "central", "high"))
    found = Range(low, central, high)
    if np.isnan([low, central, high]).any():
        return Part(WIDTH, "not checked", "there is no number under some variant")
    if not found.is_wide:
        return Part(WIDTH, "A", "the variants do not change it")
    driver = f", driven by {one['driver'].values}" if str(one["driver"].values) else ""
    is_off_0 = found.central != 0.0
    size = (
        f"{numbers.share(found.width)} of the central value"
        if is_off_0
        else "above 0 under some variant, 0 at the centre"
    )
    return Part(WIDTH, width_grade(found.width), f"{size}{driver}")
