"""Liquidation: the heat map of the grid, the ladder along the index, the worst cells and the named scenarios."""

from typing import Any

import numpy as np
import xarray as xr

from riskpipe.report import numbers
from riskpipe.report.document import Block, Chart, Paragraph, Section, Table
from riskpipe.report.report_input import ReportInput
from riskpipe.report.sections.bars import bars, short
from riskpipe.report.sections.losses import losses_blocks
from riskpipe.report.wording import (
    axes_of,
    axis_columns,
    axis_of,
    column,
    flattened,
    kind_of,
    label_columns,
    measure_columns,
    set_words,
    source_of,
)

# numbers in the page's heat map: about 9 bytes each, beside 5 MB of drawing code
MAX_HEATMAP_NUMBERS = 200_000
_HEATMAP = {
    "liquidated_notional": "Notional liquidated",
    "liquidated_long": "Longs liquidated",
    "liquidated_short": "Shorts liquidated",
    "liquidated_accounts": "Accounts liquidated",
    "margin_call_accounts": "Accounts in margin call",
    "amplification": "Amplification (total over first round)",
    "rounds": "Cascade rounds",
}


def liquidation_section(report: ReportInput) -> Section:
    """Liquidated notional, accounts, amplification and losses over the grid."""
    blocks: list[Block] = []
    flat = report.measures["liquidation"]
    n_scenarios = flat.sizes["scenario"]
    if is_nothing_liquidated(report):
        blocks.append(
            Paragraph(f"Nothing is liquidated and nothing is lost in any of {numbers.plural(n_scenarios, 'scenario')}.")
        )
    else:
        blocks += [heatmap(report), *ladder_blocks(report), *worst_blocks(report)]
    blocks += [*named_blocks(report), *losses_blocks(report)]
    blocks.append(cells_table(report))
    return Section("liquidation", "Liquidation", tuple(blocks))


def is_nothing_liquidated(report: ReportInput) -> bool:
    """Whether no scenario closes a position or loses money."""
    closed = report.measures["liquidation"]["liquidated_notional"].values
    return not (closed.any() or report.measures["fund_losses"]["shortfall"].values.any())


def scenario_numbers(report: ReportInput) -> dict[str, tuple[str, str, np.ndarray]]:
    """Every number by scenario: name -> (label, kind, values)."""
    flat, funds = report.measures["liquidation"], report.measures["fund_losses"]
    found: dict[str, tuple[str, str, np.ndarray]] = {
        name: (label, kind_of(flat[name]), flat[name].values) for name, label in _HEATMAP.items()
    }
    losses = {"uncovered_loss": "Uncovered loss", "shortfall": "Shortfall", "adl_loss": "ADL loss"}
    first = {name: (label, "usd", funds[name].values.sum(axis=1)) for name, label in losses.items()}
    hedges = report.measures["broken_hedges"]["broken_hedge_notional"].values
    return {**first, **found, "broken_hedge_notional": ("Broken hedges", "usd", hedges)}


def heatmap(report: ReportInput) -> Block:
    """The grid as a heat map of any measure over the index and another axis; words where it is too large for a page."""
    flat = report.measures["liquidation"]
    rows = np.flatnonzero(flat["set"].values == "grid")
    axes = axes_of(flat)
    series = scenario_numbers(report)
    variants = list(dict.fromkeys(flat["variant"].values.tolist()))
    if len(rows) * (len(series) + len(axes) + 1) > MAX_HEATMAP_NUMBERS:  # the central variant first of all
        rows = rows[flat["variant"].values[rows] == variants[0]]
        variants = variants[:1]
    if len(rows) * (len(series) + len(axes) + 1) > MAX_HEATMAP_NUMBERS or len(rows) == 0:
        why = "is too large to be drawn here" if len(rows) else "has no cells to be drawn"
        return Paragraph(f"The grid {why}; every scenario is a row of cells.parquet.")
    data: dict[str, Any] = {
        "axes": [_axis(flat, name, rows) for name in axes],
        "variants": [str(variant) for variant in variants],
        "variant": [variants.index(variant) for variant in flat["variant"].values[rows].tolist()],
        "scenario": rows.tolist(),
        "measures": [
            {"name": name, "label": label, "kind": kind, "values": [short(value) for value in values[rows].tolist()]}
            for name, (label, kind, values) in series.items()
        ],
    }
    return Chart(
        "grid",
        "The grid",
        "Each cell is one scenario: the index shock across, another axis upward. Choose the measure, the variant and "
        "where the remaining axes are held. Darker is more. The table below the chart holds the numbers drawn. "
        f"{distinct_words(report)}",
        "heatmap",
        data,
        source=source_of(report, report.measures["fund_losses"], "uncovered_loss"),
    )


def distinct_words(report: ReportInput) -> str:
    """How many cells of the grid say something of their own."""
    about = report.measures["headline_cells"].attrs
    why = ": without options, volatility moves no liquidation" if about["n_distinct"] < about["n_cells"] else ""
    cells = numbers.plural(about["n_cells"], "cell")
    return f"{numbers.count(about['n_distinct'])} of the grid's {cells} (all variants) are distinct{why}."


def _axis(flat: xr.Dataset, name: str, rows: np.ndarray) -> dict[str, Any]:
    """One axis of the heat map: its values, and the code of each cell's value."""
    label, kind, neutral = axis_of(name)
    values, codes = np.unique(flat[name].values[rows], return_inverse=True)
    nearest = int(np.argmin(np.abs(values - neutral)))
    return {"name": name, "label": label, "kind": kind, "values": values.tolist(), "codes": codes.tolist(),
            "neutral": nearest, "rest": neutral}  # fmt: skip


def ladder_blocks(report: ReportInput) -> list[Block]:
    """The liquidation ladder: notional closed at each index shock, by venue and underlying."""
    ladder = report.measures["ladder"]
    dims = ("variant", "index_shock", "venue", "underlying")
    columns = label_columns(
        ladder, dims, ("Variant", "Index", "Venue", "Underlying"), ("text", "signed_share", "text", "text")
    )
    long, short = flattened(ladder, "long"), flattened(ladder, "short")
    table = Table(
        "ladder",
        f"Notional liquidated at each index shock by venue and underlying, valued at the shocked mark; "
        f"{ladder.attrs['plane']}",
        (*columns, column("long", "Longs closed", "usd", long), column("short", "Shorts closed", "usd", short)),
        source_of(report, ladder, "long"),
    )
    chart = bars(
        "ladder",
        "Liquidation ladder",
        f"Notional closed by force at each index shock, longs and shorts, valued at the shocked mark; "
        f"{ladder.attrs['plane']}. One bar is one scenario, not a sum up to it.",
        table,
        x="index_shock",
        filters=(("variant", False), ("venue", True), ("underlying", True)),
        series=("long", "short"),
    )
    return [chart]


def worst_blocks(report: ReportInput) -> list[Block]:
    """The worst cells of every variant."""
    worst = report.measures["worst_cells"]
    names = ("uncovered_loss", "shortfall", "liquidated_notional", "liquidated_accounts", "rounds")
    labels = {"liquidated_notional": "Notional", "liquidated_accounts": "Accounts"}
    table = Table(
        "worst_cells",
        "Scenarios with the largest uncovered loss, of every variant; ties by notional liquidated; "
        "cells that differ in the volatility shock only stand once",
        (
            column("rank", "Rank", "count", worst["rank"].values),
            column("scenario", "Scenario", "id", worst["scenario"].values),
            *axis_columns(worst),
            column("price_limits_hit", "Price limits hit", "count", worst["price_limits_hit"].values),
            column("max_rounds_hit", "Cut off", "flag", worst["max_rounds_hit"].values > 0.0),
            column("variant", "Variant", "text", worst["variant"].values),
            column("set", "Set", "text", [set_words(label) for label in worst["set"].values.tolist()]),
            *measure_columns(worst, names, labels),
        ),
        source_of(report, worst, "uncovered_loss"),
    )
    return [table]


def named_blocks(report: ReportInput) -> list[Block]:
    """The named scenarios, such as days of the past, where the run has any."""
    flat = report.measures["liquidation"]
    rows = np.flatnonzero(flat["name"].values != "")
    if len(rows) == 0:
        return []
    losses = report.measures["fund_losses"]["uncovered_loss"]
    table = Table(
        "named_scenarios",
        "Named scenarios",
        (
            column("name", "Scenario", "text", flat["name"].values[rows]),
            column("set", "Set", "text", flat["set"].values[rows]),
            column("variant", "Variant", "text", flat["variant"].values[rows]),
            *axis_columns(flat, rows),
            column("uncovered_loss", "Uncovered loss", "usd", losses.values.sum(axis=1)[rows]),
            column("liquidated_notional", "Notional", "usd", flat["liquidated_notional"].values[rows]),
            column("liquidated_accounts", "Accounts", "count", flat["liquidated_accounts"].values[rows]),
            column("rounds", "Rounds", "count", flat["rounds"].values[rows]),
            column("price_limits_hit", "Price limits hit", "count", flat["price_limits_hit"].values[rows]),
            column("max_rounds_hit", "Cut off", "flag", flat["max_rounds_hit"].values[rows] > 0.0),
        ),
        source_of(report, flat, "liquidated_notional"),
    )
    return [table]


def cells_table(report: ReportInput) -> Table:
    """Every scenario with its axes and numbers, for reading elsewhere."""
    flat, concentration = report.measures["liquidation"], report.measures["exposure_concentration"]
    return Table(
        "cells",
        "Every scenario with its axes and headline numbers",
        (
            column("scenario", "Scenario", "id", flat["scenario"].values),
            column("set", "Set", "text", flat["set"].values),
            column("name", "Name", "text", flat["name"].values),
            column("variant", "Variant", "text", flat["variant"].values),
            *axis_columns(flat, are_all_shown=True),
            *(column(name, label, kind, values)  # type: ignore[arg-type]
              for name, (label, kind, values) in scenario_numbers(report).items()),
            column("first_round_notional", "First round", "usd", flat["first_round_notional"].values),
            column("hhi", "HHI", "number", concentration["hhi"].values),
            column("price_limits_hit", "Price limits hit", "count", flat["price_limits_hit"].values),
            column("max_rounds_hit", "Cut off", "flag", flat["max_rounds_hit"].values > 0.0),
        ),
        source_of(report, flat, "liquidated_notional"),
        n_shown=0,
    )  # fmt: skip
