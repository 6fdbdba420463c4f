"""Replication: how well the figures that venues report are computed again, and the grade that headlines get from it."""

from collections.abc import Mapping

from riskpipe.domain.replication import (
    LEAST_COVERAGE,
    MAX_MISMATCHES,
    THRESHOLDS,
    FigureReplication,
    Grade,
    percent,
    worst_grade,
)
from riskpipe.report import numbers
from riskpipe.report.document import Block, Paragraph, Section, Table, Tone
from riskpipe.report.report_input import ReportInput
from riskpipe.report.wording import column

_TONES: Mapping[Grade, Tone] = {"A": "good", "B": "warn", "C": "bad", "not checked": "unknown"}
_ORDER: Mapping[Grade, int] = {"C": 0, "not checked": 1, "B": 2, "A": 3}
MAX_NAMED = 5


def reason_words(report: ReportInput) -> str:
    """Say why the grade of replication, the worst over all venues with accounts, is what it is, and what each has."""
    found = report.replication
    if not found.figures:
        return "nothing was compared with figures that venues report"
    grade = found.grade()
    if grade == "not checked":
        why = _unchecked_words(found.figures)
    elif all(one.lowest_share == 1.0 for one in found.figures):
        compared = " and ".join(sorted({one.figure for one in found.figures if one.reporting > 0.0}))
        why = f"every reported {compared} is matched to 1 bp"
    else:
        lowest = min((one for one in found.figures if one.grade == grade), key=lambda one: one.lowest_share)
        why = f"{lowest.figure} on {lowest.venue} is matched to 1 bp for {lowest.matched_words()}, the least of any"
    by_venue = _venue_grades(report)
    if len({given for _, given in by_venue}) > 1:
        why += f"; by venue: {_listed([f'{venue} {given}' for venue, given in by_venue])}"
    return why


def approximated_words(report: ReportInput) -> str:
    """Whose rules are approximated, as a clause after a grade; nothing where none are."""
    rules = [f"{numbers.plural(n, 'rule')} of {venue}" for venue, n in approximated_rules(report).items() if n]
    return f"; approximated, as the venue's file says: {_listed(rules)}" if rules else ""


def approximated_rules(report: ReportInput) -> dict[str, int]:
    """How many rules of each venue with accounts are approximated, as its file lists them; 0 where it lists none."""
    configured = report.config.get("venues")
    venues = configured if isinstance(configured, Mapping) else {}
    listed = {name: venue.get("approximated") for name, venue in venues.items() if isinstance(venue, Mapping)}
    return {name: len(listed.get(name) or ()) for name in report.replication.venues}


def replication_section(report: ReportInput) -> Section:
    """Shares matched by venue and figure, and the worst mismatches."""
    found = report.replication
    grade = found.grade()
    words = f"Replication is {grade}: {reason_words(report)}{approximated_words(report)}."
    blocks: list[Block] = [Paragraph(words, _TONES[grade])]
    if found.figures:
        blocks += [Paragraph(_method_words()), _shares_table(report)]
    if any(one.reporting > 0.0 for one in found.figures):
        blocks.append(_mismatch_table(report))
    return Section("replication", "Replication", tuple(blocks))


def _shares_table(report: ReportInput) -> Table:
    rows = sorted(report.replication.figures, key=lambda one: _ORDER[one.grade])
    approximated = approximated_rules(report)
    return Table(
        "replication",
        "Reported figures matched to 1 bp, by venue, the worst first",
        (
            column("grade", "Grade", "text", [one.grade for one in rows]),
            column("venue", "Venue", "text", [one.venue for one in rows]),
            column("figure", "Figure", "text", [one.figure for one in rows]),
            column("share_of_accounts", "Accounts matched", "matched", [one.share_of_accounts for one in rows]),
            column("share_of_usd", "USD matched", "matched", [one.share_of_usd for one in rows]),
            column("share_reporting", "Accounts or USD reporting", "matched", [one.share_reporting for one in rows]),
            column("accounts", "Accounts", "count", [one.accounts for one in rows]),
            column("reporting", "Accounts reporting", "count", [one.reporting for one in rows]),
            column("reported_usd", "Reported", "usd", [one.reported_usd for one in rows]),
            column("n_mismatched", "Account rows not matched", "count", [one.n_mismatched for one in rows]),
            column("n_approximated", "Rules approximated", "count", [approximated[one.venue] for one in rows]),
        ),
        n_shown=100,
        tone_column="grade",
    )


def _mismatch_table(report: ReportInput) -> Table:
    rows = report.replication.mismatches
    n_all = sum(one.n_mismatched for one in report.replication.figures)
    listed = f"{len(rows)} of {numbers.count(n_all)} listed"
    return Table(
        "replication_mismatches",
        f"Reported figures not matched, the largest difference in USD times weight first, figure by figure: {listed}"
        if rows
        else "Reported figures not matched",
        (
            column("account", "Account", "text", [one.account for one in rows]),
            column("venue", "Venue", "text", [one.venue for one in rows]),
            column("figure", "Figure", "text", [one.figure for one in rows]),
            column("reported", "Reported, USD", "cents", [one.reported for one in rows]),
            column("computed", "Computed, USD", "cents", [one.computed for one in rows]),
            column("difference", "Difference, USD", "cents", [one.difference for one in rows]),
            column("basis_points", "Difference, bp", "number", [one.basis_points for one in rows]),
            column("weight", "Weight", "count", [one.weight for one in rows]),
        ),
        n_shown=MAX_MISMATCHES,
    )


def _venue_grades(report: ReportInput) -> list[tuple[str, Grade]]:
    """Every venue with its grade, the worst first."""
    found = report.replication
    graded = [(venue, worst_grade(one.grade for one in found.of_venue(venue))) for venue in found.venues]
    return sorted(graded, key=lambda pair: _ORDER[pair[1]])


def _unchecked_words(figures: tuple[FigureReplication, ...]) -> str:
    """Why figures could not be checked, venue by venue."""
    missing: dict[str, list[str]] = {}
    partly = []
    for one in figures:
        if not one.reporting > 0.0:
            missing.setdefault(one.venue, []).append(f"no {one.figure}")
        elif one.grade == "not checked":
            partly.append(f"{one.figure} is reported for {percent(one.share_reporting)} of {one.venue} only")
    return _listed([*(f"{venue} reports {' and '.join(names)}" for venue, names in missing.items()), *partly])


def _threshold_words() -> str:
    (best, most), *others = THRESHOLDS
    return ", ".join((f"{best} takes {percent(most)}", *(f"{grade} {percent(least)}" for grade, least in others)))


def _method_words() -> str:
    return (
        "Equity and maintenance margin of every account are computed at the snapshot's own prices, before any shock, "
        "and compared with what the snapshot reports. Matched means within 1 bp of the reported amount, or within a "
        "cent where that is in whole cents. Accounts count by weight, USD by the absolute reported amount times "
        f"weight. Of accounts and of USD, {_threshold_words()}, and C is less; a figure that is reported for less than "
        f"{percent(LEAST_COVERAGE)} of a venue's accounts, or of its computed USD, is not checked unless it is C. A "
        "headline has the worst grade of any figure on any venue that enters it: every venue with accounts, because "
        "a cascade couples them all. Lending accounts have no maintenance margin to compare, and accounts in "
        "quarantine are neither computed nor compared."
    )


def _listed(parts: list[str]) -> str:
    more = f" and {len(parts) - MAX_NAMED} more" if len(parts) > MAX_NAMED else ""
    return f"{', '.join(parts[:MAX_NAMED])}{more}"
