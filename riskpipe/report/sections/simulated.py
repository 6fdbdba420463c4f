"""The simulated set: how losses are distributed over scenarios that have probabilities."""

import numpy as np

from riskpipe.report import numbers
from riskpipe.report.document import Block, Paragraph, Table
from riskpipe.report.report_input import ReportInput
from riskpipe.report.wording import column, flattened, label_columns, source_of

_HEADLINES = {
    "uncovered_loss": "Uncovered loss",
    "shortfall": "Shortfall",
    "liquidated_notional": "Notional liquidated",
}


def simulated_blocks(report: ReportInput) -> list[Block]:
    """What the simulated scenarios cost, as probabilities; nothing where the run has none."""
    found = report.measures["simulated"]
    n = found.attrs["n_scenarios"]
    if n == 0:
        return []
    dims = ("variant", "headline")
    headline = label_columns(found, dims, ("Variant", "Headline"), ("text", "text"))
    names = [_HEADLINES[str(name)] for name in headline[1].values]
    by_level = []
    for at, level in enumerate(found["level"].values.tolist()):
        for name, label in (("quantile", "Quantile"), ("tail_mean", "Mean beyond")):
            values = np.asarray(found[name].values)[:, :, at].reshape(-1)
            by_level.append(column(f"{name}_{round(100 * level)}", f"{label} {numbers.share(level)}", "usd", values))
    table = Table(
        "simulated",
        f"Simulated set: {numbers.plural(n, 'scenario')} of equal probability",
        (
            headline[0],
            column("headline", "Headline", "text", names),
            column("chance", "Chance of any", "share", flattened(found, "chance")),
            column("mean", "Mean", "usd", flattened(found, "mean")),
            *by_level,
            column("largest", "Largest", "usd", flattened(found, "largest")),
        ),
        source_of(report, found, "quantile"),
    )
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
        table,
    ]
