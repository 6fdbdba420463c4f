"""Variants: gap and path side by side, and the width they leave."""

import numpy as np
import xarray as xr

from riskpipe.report import numbers
from riskpipe.report.document import Block, Chart, Paragraph, Section, Table
from riskpipe.report.grade import headline_grade
from riskpipe.report.report_input import ReportInput
from riskpipe.report.wording import ALL_SCENARIOS, UNIT_KINDS, column, label_columns, measure_columns, source_of

HEADLINE_LABELS = {
    "uncovered_loss": "Uncovered loss",
    "shortfall": "Shortfall",
    "fund_used": "Paid by funds",
    "adl_loss": "Taken by ADL",
    "liquidated_notional": "Notional liquidated",
    "liquidated_accounts": "Accounts liquidated",
    "broken_hedge_notional": "Broken hedges",
    "rounds": "Cascade rounds",
    "amplification": "Amplification",
}


def variants_section(report: ReportInput) -> Section:
    """Headlines under every reading of the uncertain rules."""
    variants = report.measures["variants"]
    n_variants = variants.sizes["variant"]
    if n_variants == 1:
        note = (
            "The run has one variant only, so that low, central and high are equal: the width of the uncertain rules "
        )
        note += "is not measured. List values under the key variants of the run's file to measure it."
    else:
        note = (
            f"{n_variants} readings of the uncertain rules, the first of them central. With gap_share 1 prices jump "
            "and everything is closed at the far end of the move (gap); with 0 they slide and pools are closed on the "
            "way (path). The driver is the rule that moves a headline most when it alone changes."
        )
    blocks: list[Block] = [Paragraph(note, "unknown" if n_variants == 1 else "plain")]
    if variants["liquidated_notional"].values.any():
        blocks += [*range_blocks(report), side_by_side(report)]
    else:
        blocks.append(Paragraph("Nothing is liquidated under any variant."))
    return Section("variants", "Gap and path", tuple(blocks))


def range_blocks(report: ReportInput) -> list[Block]:
    """Low, central and high of every headline."""
    ranges, variants = _scoped(report, "ranges"), report.measures["variants"]
    has_grid = bool(report.measures["headline_cells"].attrs["has_grid"])
    dims = ("headline", "scope")
    headline, scope = label_columns(ranges, dims, ("Headline", "Scope"), ("text", "text"))
    texts = {name: np.asarray(ranges[name].values).reshape(-1) for name in ("driver", "low_variant", "high_variant")}
    units = [str(unit) for unit in ranges["units"].values for _ in range(ranges.sizes["scope"])]
    values = {name: np.asarray(ranges[name].values).reshape(-1).tolist() for name in ("low", "central", "high")}
    kinds = [UNIT_KINDS[unit] for unit in units]
    shown = [HEADLINE_LABELS[name] for name in headline.values]
    graded = column(
        "grade",
        "Grade",
        "text",
        [
            headline_grade(report, str(name), str(of) if has_grid else "grid")
            for name, of in zip(headline.values, scope.values, strict=True)
        ],
    )
    over = (
        "the whole grid, and over the index axis with the other axes neutral"
        if has_grid
        else "all scenarios, for the grid moves nothing"
    )
    table = Table(
        "ranges",
        f"Largest value of each headline over {over}: lowest, central and highest variant",
        (
            column("headline", "Headline", "text", shown),
            scope,
            *(
                column(f"{name}_text", name.capitalize(), "text", [
                    numbers.written(kind, value) for kind, value in zip(kinds, values[name], strict=True)])
                for name in values
            ),
            column("driver", "Driver", "text", [text or "none" for text in texts["driver"]]),
            column("low_variant", "Lowest in", "text", texts["low_variant"]),
            column("high_variant", "Highest in", "text", texts["high_variant"]),
            graded,
        ),
        source_of(report, variants, "uncovered_loss"),
        tone_column="grade",
    )  # fmt: skip
    stored = Table(
        "range_values",
        "Headlines as numbers",
        (
            headline,
            scope,
            column("unit", "Unit", "text", units),
            *(column(name, name.capitalize(), "number", given) for name, given in values.items()),
            graded,
        ),
        table.source,
        n_shown=0,
    )
    if variants.sizes["variant"] == 1:
        return [table, stored]
    money = [n for n, unit in enumerate(units) if unit == "USD" and scope.values[n] == scope.values[0]]
    chart = Chart(
        "ranges",
        "Low, central and high",
        f"Money headlines, the largest of {'the whole grid' if has_grid else 'all scenarios'}: the line spans the "
        "variants, the dot is the central one.",
        "ranges",
        {
            "labels": [shown[n] for n in money],
            **{name: [given[n] for n in money] for name, given in values.items()},
            "drivers": [str(texts["driver"][n]) for n in money],
        },
        table,
        table.source,
    )
    return [chart, stored]


def side_by_side(report: ReportInput) -> Table:
    """Every variant as a row."""
    variants = _scoped(report, "variants")
    flat = variants.stack(row=("scope", "variant"), create_index=False)
    return Table(
        "variants",
        "Largest value of each headline, variant by variant",
        (
            column("scope", "Scope", "text", flat["scope"].values),
            column("variant", "Variant", "text", flat["variant"].values),
            *measure_columns(flat, tuple(HEADLINE_LABELS), HEADLINE_LABELS),
        ),
        source_of(report, variants, "uncovered_loss"),
    )


def _scoped(report: ReportInput, measure: str) -> xr.Dataset:
    """A measure over scopes, as it is where a grid moves anything; else both scopes are all scenarios, and one is."""
    found = report.measures[measure]
    if report.measures["headline_cells"].attrs["has_grid"]:
        return found
    return found.isel(scope=[0]).assign_coords(scope=[ALL_SCENARIOS])
