"""Change since the previous night: what has moved the headlines, part by part."""

import math

from riskpipe.domain.changes import PARTS, Change
from riskpipe.report import numbers
from riskpipe.report.document import Block, Paragraph, Point, Section, Table
from riskpipe.report.report_input import ReportInput
from riskpipe.report.wording import AXES, cell_words, column

_MEASURES = {
    "shortfall": "Shortfall",
    "uncovered_loss": "Uncovered loss",
    "liquidated_notional": "Notional liquidated",
}
_LEAST = 0.005


def changes_section(report: ReportInput) -> list[Section]:
    """What has changed since the previous night; nothing where there is none, or it has not been compared yet."""
    found = report.changes
    if found is None:
        return []
    title = "Change since the previous night"
    since = found.since.strftime("%Y-%m-%d %H:%M UTC")
    if found.problem:
        text = f"Not compared with the night of {since} (run {found.since_run_id}): {found.problem}"
        return [Section("changes", title, (Paragraph(text, "unknown"),))]
    blocks: list[Block] = [
        Paragraph(
            f"The night of {since} (run {found.since_run_id}) against this one, at the scenarios that set either's "
            "headlines in the central variant. Every mixture of the two nights is computed: positions (with accounts, "
            "balances and funds), prices (with bases and the time that has passed), implied volatility, depth of "
            "books, and parameters (rules, tiers, haircuts, terms, betas). What a part explains is its Shapley value: "
            "the mean over all orders of changing one after the other, so that parts add up to the change and none is "
            "favoured by its place. Accounts that only one night has are part of its positions; contracts that only "
            "one night has keep their basis in the other. Program is what a change of riskpipe itself explains."
        )
    ]
    if found.unchanged:
        blocks.append(Paragraph(f"The same in both nights: {', '.join(found.unchanged)}."))
    if not found.rows:
        blocks.append(Paragraph("Nothing to explain: shortfall and liquidations are 0 in both nights."))
    rows = found.rows
    blocks.append(
        Table(
            "changes",
            "What explains the change of each headline, the scenarios of this night's first",
            (
                column("scenario", "Scenario", "text", [_where(row) for row in rows]),
                column("measure", "Measure", "text", [_MEASURES[row.measure] for row in rows]),
                column("fund", "Fund", "text", [row.fund or "all" for row in rows]),
                column("before", "Before", "usd", [row.before for row in rows]),
                column("after", "Now", "usd", [row.after for row in rows]),
                *(column(part, part.capitalize(), "usd", [row.parts[part] for row in rows]) for part in PARTS),
                column("program", "Program", "usd", [row.program for row in rows]),
                column("old_book_now", "Previous book today", "usd", [row.old_book_now for row in rows]),
                column("new_book_then", "Today's book then", "usd", [row.new_book_then for row in rows]),
            ),
            n_shown=60,
        )
    )
    blocks.append(
        Table(
            "changes_one_sided",
            "Accounts and instruments that only one of the nights has",
            (
                column("what", "What", "text", [one.what for one in found.one_sided]),
                column("state", "State", "text", [one.state for one in found.one_sided]),
                column("count", "How many", "count", [one.count for one in found.one_sided]),
                column("gross", "Gross notional there", "usd", [one.gross_notional_usd for one in found.one_sided]),
                column("examples", "Such as", "text", [", ".join(one.examples) for one in found.one_sided]),
            ),
        )
    )
    return [Section("changes", title, tuple(blocks))]


def changes_points(report: ReportInput) -> list[Point]:
    """What moved the uncovered loss (else the shortfall, else what is liquidated) in the night's own worst scenario."""
    found = report.changes
    if found is None:
        return []
    since = found.since.strftime("%Y-%m-%d %H:%M UTC")
    if found.problem:
        return [Point(f"Not compared with the night of {since}.", "unknown")]
    for measure in ("uncovered_loss", "shortfall", "liquidated_notional"):
        for row in found.rows:
            if row.measure == measure and row.fund == "" and (row.after > 0.0 or row.before > 0.0):
                explained = {**row.parts, "program": row.program}
                moved = sorted(explained.items(), key=lambda item: -abs(item[1]) if item[1] == item[1] else 0.0)
                parts = [f"{part} {_signed(amount)}" for part, amount in moved if abs(amount) >= _LEAST]
                because = f": {', '.join(parts)}" if parts else ""
                is_worse = row.after > row.before
                return [
                    Point(
                        f"Since {since}, {change_words(row)} (central variant){because}.",
                        "warn" if is_worse else "plain",
                    )
                ]
    return [Point(f"Since {since}, nothing is lost or liquidated in either night's worst scenarios.", "good")]


def change_words(row: Change) -> str:
    """What a measure was and is, and where."""
    what = _MEASURES[row.measure].lower()
    fund = f" of {row.fund}" if row.fund else ""
    at = _where(row)
    was = "a number not known" if math.isnan(row.before) else numbers.usd(row.before)
    now = numbers.usd(row.after)
    return f"{what}{fund} at {at} {f'stays at {now}' if was == now else f'went from {was} to {now}'}"


def _where(row: Change) -> str:
    return row.name or cell_words({name: row.axes[name] for name in AXES if name in row.axes})


def _signed(amount: float) -> str:
    return f"{'+' if amount > 0.0 else ''}{numbers.usd(amount).removeprefix('USD ')}"
