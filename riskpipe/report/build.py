"""From measures to the document tree: what to know first, then the sections in the order in which people ask."""

from datetime import UTC

import numpy as np

from riskpipe.report import numbers
from riskpipe.report.document import Document, KeyFigure, KeyFigures, Point, Tone
from riskpipe.report.report_input import ReportInput
from riskpipe.report.sections.basis import basis_section
from riskpipe.report.sections.concentration import concentration_section, distances_section
from riskpipe.report.sections.funds import funds_section
from riskpipe.report.sections.liquidation import liquidation_section
from riskpipe.report.sections.provenance import (
    control_words,
    controls_section,
    finding_words,
    findings_section,
    method_section,
)
from riskpipe.report.sections.variants import variants_section
from riskpipe.report.wording import axes_of, bracket_words, cell_words, source_of

MAX_FUND_POINTS = 3


def build(report: ReportInput) -> Document:
    """Build the document tree of a night."""
    flat = report.measures["liquidation"]
    n_variants = report.measures["variants"].sizes["variant"]
    n_accounts = report.cube["accounts"].sizes["account"]
    as_of = report.as_of.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    subtitle = ", ".join(
        (
            f"as of {as_of}",
            f"run {report.run_id}",
            numbers.plural(n_accounts, "account row"),
            numbers.plural(flat.sizes["scenario"], "scenario"),
            numbers.plural(n_variants, "variant"),
            numbers.plural(report.n_blocks, "block"),
        )
    )
    return Document(
        title=f"Liquidation and basis risk: {report.book}" if report.book else "Liquidation and basis risk",
        subtitle=subtitle,
        points=(
            worst_move_point(report),
            *fund_points(report),
            uncovered_point(report),
            Point(f"{finding_words(report).capitalize()}.", finding_tone(report)),
            controls_point(report),
        ),
        figures=key_figures(report),
        sections=(
            liquidation_section(report),
            funds_section(report),
            variants_section(report),
            concentration_section(report),
            distances_section(report),
            basis_section(report),
            findings_section(report),
            controls_section(report),
            method_section(report),
        ),
    )


def worst_move_point(report: ReportInput) -> Point:
    """Who is liquidated in the worst cell along the index axis."""
    worst = report.measures["worst_index_move"]
    row = int(worst["scenario"].values)
    cited = source_of(report, worst, "liquidated_notional", f".sel(scenario={row})")
    where = cell_words({axis: float(worst[axis].values) for axis in axes_of(worst)})
    total, n_closed = (float(worst[name].values) for name in ("liquidated_notional", "liquidated_accounts"))
    if total == 0.0:
        return Point(
            f"Nothing is liquidated by any index move of the grid (checked to {where}), {worst.attrs['plane']}.",
            "good",
            cited,
        )
    long, short = np.asarray(worst["long"].values), np.asarray(worst["short"].values)
    venue, underlying = np.unravel_index(int((long + short).argmax()), long.shape)
    largest = float((long + short)[venue, underlying])
    market = f"{worst['venue'].values[venue]} {worst['underlying'].values[underlying]}"
    return Point(
        f"Worst index move ({where}; {worst.attrs['plane']}): "
        f"{numbers.plural(n_closed, 'account')} and {numbers.usd(total)} of positions are liquidated "
        f"({numbers.usd(float(long.sum()))} long, {numbers.usd(float(short.sum()))} short), "
        f"{numbers.share(largest / total)} of it in {market}; uncovered loss "
        f"{numbers.usd(float(worst['uncovered_loss'].values))}.",
        "bad" if float(worst["uncovered_loss"].values) > 0.0 else "warn",
        cited,
    )


def fund_points(report: ReportInput) -> list[Point]:
    """Which fund is exhausted by which move: the nearest first, the others counted."""
    walked = report.measures["exhaustion"].isel(variant=0)
    funds = [str(fund) for fund in walked["fund"].values]
    if not funds:
        return [Point("There is no insurance fund.", "unknown")]
    first = np.abs(np.asarray(walked["first_exhausted"].values))
    nearest = np.where(np.isnan(first), np.inf, first).min(axis=1)
    cited = source_of(report, walked, "status")
    hit = [f for f in np.argsort(nearest, kind="stable").tolist() if np.isfinite(nearest[f])]
    points = [
        Point(f"Fund {funds[f]} is exhausted; {fund_words(report, f)}.", "bad", cited) for f in hit[:MAX_FUND_POINTS]
    ]
    n_more, n_safe = max(0, len(hit) - MAX_FUND_POINTS), len(funds) - len(hit)
    rest, n_elsewhere = [], 0
    if n_more:
        rest.append(f"{numbers.plural(n_more, 'more fund')} exhausted by moves further out")
    if n_safe:
        rest.append(f"{numbers.plural(n_safe, 'fund')} not exhausted by an index move alone ({walked.attrs['plane']})")
        losses = report.measures["fund_losses"]
        is_central = losses["variant"].values == losses["variant"].values[0]
        is_hit = losses["is_exhausted"].values[is_central].any(axis=0)
        n_elsewhere = sum(bool(is_hit[f]) for f in range(len(funds)) if f not in hit)
        if n_elsewhere:
            rest.append(f"{numbers.count(n_elsewhere)} of them exhausted elsewhere in the scenarios")
    if rest:
        tone: Tone = "bad" if n_more else "warn" if n_elsewhere else "good"
        points.append(Point(f"{'; '.join(rest)}.", tone, cited))
    return points


def fund_words(report: ReportInput, fund: int) -> str:
    """Brackets of one fund, central variant: `index down: ...; index up: ...`, or both at once where they agree."""
    walked = report.measures["exhaustion"].isel(variant=0, fund=fund)
    said: dict[str, list[str]] = {}
    for d, direction in enumerate(walked["direction"].values.tolist()):
        last, first, heals = (float(walked[name].values[d]) for name in ("last_held", "first_exhausted", "heals_at"))
        words = bracket_words(last, first, heals, str(walked["status"].values[d]))
        said.setdefault(words, []).append(str(direction))
    return "; ".join(f"index {' or '.join(directions)}: {words}" for words, directions in said.items())


def uncovered_point(report: ReportInput) -> Point:
    """Uncovered loss as low, central and high."""
    ranges = report.measures["ranges"].sel(headline="uncovered_loss", scope="grid")
    low, central, high = (float(ranges[name].values) for name in ("low", "central", "high"))
    cited = source_of(report, report.measures["variants"], "uncovered_loss")
    if high == 0.0:
        return Point("No scenario of the grid leaves an uncovered loss under any variant.", "good", cited)
    driver = str(ranges["driver"].values)
    n_variants = report.measures["variants"].sizes["variant"]
    if n_variants == 1:
        width = "one variant only, so that the width is not measured"
    else:
        width = f"width driven by {driver}" if driver else "the variants do not change it"
    return Point(
        f"Uncovered loss in the grid's worst cell: low {numbers.usd(low)}, central {numbers.usd(central)}, high "
        f"{numbers.usd(high)} ({width}).",
        "bad",
        cited,
    )


def finding_tone(report: ReportInput) -> Tone:
    """How findings are marked: by the worst of them."""
    severities = {str(finding.severity) for finding in report.findings}
    return "bad" if "error" in severities else "warn" if "warning" in severities else "plain"


def controls_point(report: ReportInput) -> Point:
    """State of the controls; unmeasured is never good."""
    statuses = {one.status for one in report.controls}
    if not statuses:
        return Point("Controls: not checked.", "unknown")
    tone: Tone = "bad" if "differs" in statuses else "unknown" if "not checked" in statuses else "good"
    return Point(f"Controls: {control_words(report)}.", tone)


def key_figures(report: ReportInput) -> KeyFigures:
    """Headlines in large type: central, with the range of the variants beside it."""
    ranges, variants = report.measures["ranges"].sel(scope="grid"), report.measures["variants"]
    labels = {
        "uncovered_loss": "Uncovered loss",
        "liquidated_notional": "Notional liquidated",
        "liquidated_accounts": "Accounts liquidated",
        "amplification": "Amplification",
    }
    figures = []
    for name, label in labels.items():
        one = ranges.sel(headline=name)
        low, central, high = (float(one[key].values) for key in ("low", "central", "high"))
        write = {"USD": numbers.usd, "accounts": numbers.count, "x": numbers.factor}[str(one["units"].values)]
        note = "worst cell of the grid"
        if name == "amplification":
            note = amplification_words(report)
        if low != high and not np.isnan(central):
            note = f"{write(low)} to {write(high)}, {note}"
        figures.append(KeyFigure(label, write(central), note, source_of(report, variants, name)))
    return KeyFigures(tuple(figures))


def amplification_words(report: ReportInput) -> str:
    """Both sums behind the largest amplification of the central variant on the grid."""
    flat = report.measures["liquidation"]
    is_inside = (flat["variant"].values == flat["variant"].values[0]) & (flat["set"].values == "grid")
    values = np.where(is_inside & ~np.isnan(flat["amplification"].values), flat["amplification"].values, -np.inf)
    row = int(values.argmax())
    if np.isinf(values[row]):
        return "nothing is liquidated"
    first, total = (float(flat[name].values[row]) for name in ("first_round_notional", "liquidated_notional"))
    return f"largest, from {numbers.usd(first)} in the first round to {numbers.usd(total)}"
