"""Liquidation: the heat map of the grid, the ladder along the index, the worst cells and the named scenarios."""

from typing import Any

import numpy as np
import xarray as xr

from riskpipe.domain.findings import Reason
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
MAX_EXAMPLES = 3
_FLAG_WORDS = (
    "Cut off: the cascade was still going on at max_rounds. Price limit: an impact law stands at its floor or cap, so "
    "that the configuration sets the price. Beyond book: a contract's own impact is above 10%, ten times the move at "
    "which depth is measured. Tenfold step: the next cell along some axis loses ten times as much, or a tenth. One "
    "owner: more than half of the shortfall is one owner's."
)
_OF_EVERY_CELL = {
    Reason.DEFAULT_BETA: "assets with a default beta",
    Reason.DEFAULT_DEPTH: "contracts with a depth from volume and volatility",
    Reason.NO_INDEX_DEPTH: "indices without depth",
    Reason.STALE_PRICE: "stale prices dropped from history",
}
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
        blocks += [heatmap(report), flags_words(report), *ladder_blocks(report), *worst_blocks(report)]
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
    if len(rows) * (len(series) + len(axes) + 2) > MAX_HEATMAP_NUMBERS:  # the central variant first of all
        rows = rows[flat["variant"].values[rows] == variants[0]]
        variants = variants[:1]
    if len(rows) * (len(series) + len(axes) + 2) > MAX_HEATMAP_NUMBERS or len(rows) == 0:
        why = "is too large to be drawn here" if len(rows) else "has no cells to be drawn"
        return Paragraph(f"The grid {why}; every scenario is a row of cells.parquet.")
    flags = report.measures["cell_flags"]
    data: dict[str, Any] = {
        "flags": flags["flag"].values.tolist(),
        "flagged": _flag_codes(flags)[rows].tolist(),
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
        "where the remaining axes are held. The stronger the colour, the more. The table below the chart "
        "holds the numbers drawn. "
        f"{distinct_words(report)}",
        "heatmap",
        data,
        source=source_of(report, report.measures["fund_losses"], "uncovered_loss"),
    )


def flags_of(report: ReportInput, scenarios: np.ndarray) -> list[str]:
    """Flags of some scenarios in words, none as empty text."""
    flags = report.measures["cell_flags"]
    names = flags["flag"].values.tolist()
    rows = (flags["is_flagged"].values[:, scenarios.astype(np.int64)] > 0.0).T
    return [", ".join(name for name, is_flagged in zip(names, row, strict=True) if is_flagged) for row in rows]


def flags_words(report: ReportInput) -> Paragraph:
    """How many scenarios have which flag, and what holds for all of them, as findings of the inputs tell it."""
    flags = report.measures["cell_flags"]
    hits = (flags["is_flagged"].values > 0.0).sum(axis=1).tolist()
    named = [f"{name} {numbers.count(n)}" for name, n in zip(flags["flag"].values.tolist(), hits, strict=True) if n]
    n_flagged, n = int((flags["n_flags"].values > 0.0).sum()), flags.sizes["scenario"]
    said = f"{numbers.count(n_flagged)} of {numbers.plural(n, 'scenario')} have a flag"
    said += f" ({', '.join(named)}). {_FLAG_WORDS}" if named else "."
    every = [
        f"{label} ({numbers.count(count)}, such as {examples})"
        for reason, label in _OF_EVERY_CELL.items()
        for found in [[one for one in report.findings if one.reason == reason]]
        if found
        for count, examples in [
            (sum(one.count for one in found), ", ".join((found[0].examples or (found[0].where,))[:MAX_EXAMPLES]))
        ]
    ]
    said += f" In every scenario: {'; '.join(every)}." if every else ""
    return Paragraph(said, "warn" if n_flagged or every else "good")


def _flag_codes(flags: xr.Dataset) -> np.ndarray:
    """Flags of each scenario as the bits of a number, the first flag the lowest."""
    bits = 1 << np.arange(flags.sizes["flag"])
    return np.asarray((flags["is_flagged"].values > 0.0).T @ bits)


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
            column("variant", "Variant", "text", worst["variant"].values),
            column("set", "Set", "text", [set_words(label) for label in worst["set"].values.tolist()]),
            *measure_columns(worst, names, labels),
            column("flags", "Flags", "text", flags_of(report, worst["scenario"].values)),
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
            column("flags", "Flags", "text", flags_of(report, rows)),
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
            column("flags", "Flags", "text", flags_of(report, flat["scenario"].values)),
        ),
        source_of(report, flat, "liquidated_notional"),
        n_shown=0,
    )  # fmt: skip
