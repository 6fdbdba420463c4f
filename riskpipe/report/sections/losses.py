"""Distributions of losses: what scenarios that have probabilities cost, the system, every venue and every fund."""

import numpy as np
import xarray as xr

from riskpipe.report import numbers
from riskpipe.report.document import Block, Column, Paragraph, Table
from riskpipe.report.report_input import ReportInput
from riskpipe.report.wording import column, source_of

HEADLINES = {
    "uncovered_loss": "Uncovered loss",
    "shortfall": "Shortfall",
    "liquidated_notional": "Notional liquidated",
}
_LEVELLED = {"value_at_risk": ("Value at risk", "VaR"), "expected_shortfall": ("Expected shortfall", "ES")}


def losses_blocks(report: ReportInput) -> list[Block]:
    """What the simulated scenarios cost, as probabilities; nothing where the run has none."""
    found = report.measures["loss_distribution"]
    n = found.attrs["n_scenarios"]
    if n == 0:
        return []
    return [
        Paragraph(
            "Simulated scenarios are drawn from observed moves, hour by hour, at today's volatility. An observed move "
            "already contains the cascade of its day, and the cascade computed here comes on top. "
            + (
                "Headlines above are the grid's; no simulated scenario enters them."
                if report.measures["headline_cells"].attrs["has_grid"]
                else "There is no grid that moves anything: headlines above are of every scenario."
            )
        ),
        Paragraph(
            "Value at risk at a level is the smallest loss that scenarios of that probability stay at or below; "
            "expected shortfall is the mean of the rest, scenarios at the boundary counted in part. Intervals "
            f"({numbers.share(found.attrs['confidence'])}) say what drawing {numbers.plural(n, 'other scenario')} "
            "would change, not whether the model holds: of a value at risk between order statistics (an end is open "
            "where too few scenarios lie beyond it), of an expected shortfall by the scatter of the tail (not told "
            "below ten scenarios in it)."
        ),
        distribution_table(report, found, n),
    ]


def distribution_table(report: ReportInput, found: xr.Dataset, n: int) -> Table:
    """Value at risk and expected shortfall with their intervals; of venues and funds those that lose anything."""
    chance = np.asarray(found["chance"].values)
    is_system = np.asarray(found["scope"].values == "system")
    variant, series = np.nonzero((chance > 0.0) | is_system[None, :])
    n_levels = found.sizes["level"]
    variant, series = np.repeat(variant, n_levels), np.repeat(series, n_levels)
    level = np.tile(np.arange(n_levels), len(variant) // n_levels)
    columns: list[Column] = [
        column("variant", "Variant", "text", found["variant"].values[variant]),
        column("scope", "Of", "text", found["scope"].values[series]),
        column("place", "Venue or fund", "text", found["place"].values[series]),
        column("headline", "Loss", "text", [HEADLINES[str(name)] for name in found["headline"].values[series]]),
        column("level", "Level", "share", found["level"].values[level]),
    ]
    for name, (label, short) in _LEVELLED.items():
        for end, words in (("", label), ("_low", f"{short} from"), ("_high", f"{short} to")):
            columns.append(column(f"{name}{end}", words, "usd", found[f"{name}{end}"].values[variant, series, level]))
    columns += [
        column("chance", "Chance of any", "share", chance[variant, series]),
        column("mean", "Mean", "usd", found["mean"].values[variant, series]),
        column("largest", "Largest", "usd", found["largest"].values[variant, series]),
    ]
    return Table(
        "loss_distribution",
        f"Losses over {numbers.plural(n, 'simulated scenario')} of equal probability; venues and funds that lose "
        "anything",
        tuple(columns),
        source_of(report, found, "value_at_risk"),
        n_shown=24,
    )
