"""The head of the report: at most ten sentences of what to know, the others moved to the sections that they are of."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from riskpipe.report.document import KeyFigures, Paragraph, Point, Section
from riskpipe.report.figures import key_figures
from riskpipe.report.grade import grade_point, headline_grade, suppressed_words
from riskpipe.report.points import (
    axis_points,
    fund_points,
    named_points,
    simulated_points,
    trust_point,
    uncovered_point,
    volatility_points,
    worst_move_point,
)
from riskpipe.report.report_input import ReportInput
from riskpipe.report.sections.changes import changes_points
from riskpipe.report.sections.engine_backtest import engine_backtest_points
from riskpipe.report.sections.lending import loans_points
from riskpipe.report.sections.limits import limit_points
from riskpipe.report.sections.spreads import spread_points

MAX_POINTS = 10
IN_ITS_SECTION = ""


@dataclass(frozen=True)
class Candidate:
    """A sentence that may head the report: the smaller its rank, the longer it stays; the section that it is of, or
    IN_ITS_SECTION where that says it anyway.
    """  # noqa: D205

    rank: int
    section: str
    point: Point


def candidates(report: ReportInput) -> list[Candidate]:
    """Return every sentence in the order of reading."""
    return [
        *(Candidate(8 if point.tone == "good" else 0, IN_ITS_SECTION, point) for point in limit_points(report)),
        *_all(5, "method", axis_points(report)),
        *_headlines(report),
        *_all(2, "changes", changes_points(report)),
        *_all(3, "engine_backtest", engine_backtest_points(report)),
        *_all(6, IN_ITS_SECTION, spread_points(report)),
        Candidate(0, "replication", grade_point(report)),
        Candidate(0, IN_ITS_SECTION, trust_point(report)),
    ]


def head_points(found: Iterable[Candidate]) -> tuple[Point, ...]:
    """Return the sentences that head the report: the ten of the smallest ranks, in the order of reading."""
    return tuple(one.point for one in _kept(list(found)))


def with_rest(found: Iterable[Candidate], sections: Iterable[Section]) -> tuple[Section, ...]:
    """Return the sections, each headed by the sentences of its own that are not at the head."""
    every = list(found)
    kept = _kept(every)
    rest = [one for one in every if one not in kept and one.section != IN_ITS_SECTION]
    return tuple(replace(section, blocks=(*_paragraphs(rest, section.name), *section.blocks)) for section in sections)


def graded_figures(report: ReportInput) -> KeyFigures:
    """Return the figures in large type with their grades; without a number where headlines are suppressed."""
    figures, why = key_figures(report), suppressed_words(report)
    graded = {name: replace(one, grade=headline_grade(report, name)) for name, one in figures.items()}
    if why:
        graded = {
            name: replace(one, value="suppressed", note=f"control totals fail: {why}") for name, one in graded.items()
        }
    return KeyFigures(tuple(graded.values()))


def _headlines(report: ReportInput) -> list[Candidate]:
    """The sentences that say numbers off the cube, graded; where they are suppressed, the one that says why."""
    if why := suppressed_words(report):
        words = f"Headlines are suppressed, because control totals fail: {why}. The sections show what was computed."
        return [Candidate(0, IN_ITS_SECTION, Point(words, "bad"))]
    first, *others = fund_points(report)
    along_index = [
        Candidate(0, "liquidation", worst_move_point(report)),
        Candidate(0, "funds", first),
        *_all(4, "funds", others),
    ]
    elsewhere = [
        *_all(7, "funds", volatility_points(report)),
        Candidate(0, "variants", uncovered_point(report)),
        *_all(4, "liquidation", named_points(report)),
        *_all(2, "liquidation", simulated_points(report)),
        *_all(1, IN_ITS_SECTION, loans_points(report)),
    ]
    return [
        replace(one, point=replace(one.point, grade=one.point.grade or grade)) if one.point.source is not None else one
        for grade, found in (
            (headline_grade(report, scope="index axis"), along_index),
            (headline_grade(report), elsewhere),
        )
        for one in found
    ]


def _all(rank: int, section: str, points: Iterable[Point]) -> list[Candidate]:
    return [Candidate(rank, section, point) for point in points]


def _kept(found: list[Candidate]) -> list[Candidate]:
    # of a rank the first in the order of reading
    order = sorted(range(len(found)), key=lambda at: (found[at].rank, at))
    return [found[at] for at in sorted(order[:MAX_POINTS])]


def _paragraphs(rest: list[Candidate], section: str) -> list[Paragraph]:
    return [Paragraph(one.point.text, one.point.tone) for one in rest if one.section == section]
