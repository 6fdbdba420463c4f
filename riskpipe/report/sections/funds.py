"""Funds: what each one pays, the moves that exhaust it, and who pays along the index."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from riskpipe.report.document import Block, Paragraph, Section, Table
from riskpipe.report.report_input import ReportInput
from riskpipe.report.sections.adequacy import adequacy_blocks
from riskpipe.report.sections.bars import bars
from riskpipe.report.sections.waterfall import PAYERS, waterfall_blocks
from riskpipe.report.wording import (
    axis_columns,
    bracket_words,
    column,
    flattened,
    label_columns,
    picked,
    rows_of_funds,
    source_of,
)

COUNTS = ("n_exhausted", "n_values", "n_cells_exhausted", "n_cells")


def funds_section(report: ReportInput) -> Section:
    """Losses, drawdown and exhaustion of every insurance fund."""
    if report.measures["fund_losses"].sizes["fund"] == 0:
        return Section("funds", "Funds", (Paragraph("The book has no insurance fund and no venue that needs one."),))
    return Section(
        "funds",
        "Funds",
        (
            Paragraph(
                "A fund is exhausted where its uncovered loss (shortfall less fees, fund and backstop) is above zero; "
                "what is left then falls to auto-deleveraging, to all accounts, or to nobody."
            ),
            *waterfall_blocks(report),
            worst_by_fund(report),
            exhaustion_table(report),
            *adequacy_blocks(report),
            *payers_blocks(report),
            losses_table(report),
        ),
    )


def worst_by_fund(report: ReportInput) -> Table:
    """Each fund in its own worst scenario of the central variant."""
    losses = report.measures["fund_losses"]
    is_central = losses["variant"].values == losses["variant"].values[0]
    rows = np.flatnonzero(is_central)
    uncovered, shortfall = losses["uncovered_loss"].values[rows], losses["shortfall"].values[rows]
    # of a tie the first row, as among the worst cells
    worst = rows[[np.lexsort((-shortfall[:, f], -uncovered[:, f]))[0] for f in range(losses.sizes["fund"])]]
    has_loss = np.asarray(shortfall.any(axis=0))
    each = np.arange(losses.sizes["fund"])

    def at(name: str) -> np.ndarray:
        return np.asarray(losses[name].values)[worst, each]

    shown = axis_columns(losses, worst)
    axes = [replace(one, values=_where(has_loss, one.values, np.nan)) for one in shown]
    n_exhausting = losses["is_exhausted"].values[rows].sum(axis=0)
    return Table(
        "funds",
        "Each fund in its own worst scenario, central variant; a fund without a loss has none",
        (
            column("fund", "Fund", "text", losses["fund"].values),
            column("scenario", "Scenario", "id", _where(has_loss, worst.tolist(), None)),
            *axes,
            column("fund_balance", "Balance", "usd", at("fund_balance")),
            column("shortfall", "Shortfall", "usd", at("shortfall")),
            column("fund_used", "Fund used", "usd", at("fund_used")),
            column("drawdown", "Drawdown", "share", at("drawdown")),
            column("uncovered_loss", "Uncovered", "usd", at("uncovered_loss")),
            column("adl_loss", "ADL", "usd", at("adl_loss")),
            column("residual", "Unpaid", "usd", at("residual")),
            column("n_exhausting", "Scenarios exhausting it", "count", n_exhausting),
        ),
        source_of(report, losses, "uncovered_loss"),
    )


def _where(is_kept: np.ndarray, values: Sequence[Any], instead: float | None) -> tuple[Any, ...]:
    """Values where kept, another elsewhere."""
    return tuple(value if kept else instead for kept, value in zip(is_kept.tolist(), values, strict=True))


def exhaustion_table(report: ReportInput) -> Table:
    """Brackets of the smallest index move that exhausts each fund, by variant and direction."""
    walked = report.measures["exhaustion"]
    dims = ("fund", "variant", "direction")
    names = ("last_held", "first_exhausted", "heals_at")
    found = {name: flattened(walked, name) for name in (*names, *COUNTS, "status")}
    words = [bracket_words(*row) for row in zip(*(found[name].tolist() for name in (*names, "status")), strict=True)]
    return Table(
        "exhaustion",
        "Smallest index move that exhausts each fund: the last grid value at which it holds and the first at which it "
        f"does not; {walked.attrs['plane']}; nothing is interpolated. "
        "Grid cells: the distinct ones on that side, index 0 included, whatever their other axes",
        picked(
            (
                *label_columns(walked, dims, ("Fund", "Variant", "Index"), ("text", "text", "text")),
                column("bracket", "Bracket", "text", words),
                column("last_held", "Last held", "signed_share", found["last_held"]),
                column("first_exhausted", "First exhausted", "signed_share", found["first_exhausted"]),
                column("heals_at", "Holds again at", "signed_share", found["heals_at"]),
                column("n_exhausted", "Values exhausting", "count", found["n_exhausted"]),
                column("n_values", "Values walked", "count", found["n_values"]),
                column("n_cells_exhausted", "Grid cells exhausting", "count", found["n_cells_exhausted"]),
                column("n_cells", "Grid cells on that side", "count", found["n_cells"]),
            ),
            rows_of_funds(report, walked, dims),
        ),
        source_of(report, walked, "status"),
    )


def payers_blocks(report: ReportInput) -> list[Block]:
    """Who pays the shortfall along the index axis, by fund."""
    losses, walked = report.measures["fund_losses"], report.measures["exhaustion"]
    if not losses["shortfall"].values.any():
        return [Paragraph("No scenario leaves a shortfall: no fund is used.", "good")]
    rows = _index_rows(report)
    if len(rows) == 0:
        return []
    funds = losses["fund"].values
    shocks = losses["index_shock"].values[rows]
    table = Table(
        "fund_payers",
        f"Shortfall of each fund along the index axis by who paid; {walked.attrs['plane']}",
        (
            column("variant", "Variant", "text", np.repeat(losses["variant"].values[rows], len(funds))),
            column("index_shock", "Index", "signed_share", np.repeat(shocks, len(funds))),
            column("fund", "Fund", "text", np.tile(funds, len(rows))),
            *(
                column(name, label, "usd", np.asarray(losses[name].values)[rows].reshape(-1))
                for name, label in PAYERS.items()
            ),
        ),
        source_of(report, losses, "shortfall"),
    )
    paid = tuple(name for name in PAYERS if losses[name].values.any())
    chart = bars(
        "fund_payers",
        "Who pays along the index",
        f"Shortfall at each index shock, split by who bore it; {walked.attrs['plane']}.",
        table,
        x="index_shock",
        filters=(("variant", False), ("fund", True)),
        series=paid,
        places=tuple(list(PAYERS).index(name) for name in paid),
    )
    return [chart]


def _index_rows(report: ReportInput) -> np.ndarray:
    """Scenarios along the index axis, in order of variant and shock: those of the ladder."""
    losses, ladder = report.measures["fund_losses"], report.measures["ladder"]
    rows = np.array(ladder.attrs["scenarios"], dtype=np.int64)
    place = {label: ix for ix, label in enumerate(ladder["variant"].values.tolist())}
    variants = np.array([place[label] for label in losses["variant"].values[rows].tolist()], dtype=np.int64)
    return rows[np.lexsort((losses["index_shock"].values[rows], variants))]


def losses_table(report: ReportInput) -> Table:
    """Every fund in every scenario, for reading elsewhere."""
    losses = report.measures["fund_losses"]
    names = ["fund_balance", "shortfall", *PAYERS, "uncovered_loss", "adl_notional", "drawdown"]
    kinds = {"drawdown": "share"}
    return Table(
        "fund_losses",
        "Every fund in every scenario",
        (
            *label_columns(losses, ("scenario", "fund"), ("Scenario", "Fund"), ("id", "text")),
            *(
                column(name, str(losses[name].attrs["long_name"]).capitalize(), kinds.get(name, "usd"),  # type: ignore[arg-type]
                       flattened(losses, name))
                for name in names
            ),
            column("is_exhausted", "Exhausted", "flag", flattened(losses, "is_exhausted")),
        ),
        source_of(report, losses, "uncovered_loss"),
        n_shown=0,
    )  # fmt: skip
