"""The figures in large type that stand under the sentences at the head."""

import numpy as np

from riskpipe.domain.ranges import Range
from riskpipe.report import numbers
from riskpipe.report.document import KeyFigure
from riskpipe.report.points import where_words
from riskpipe.report.ranges import range_words
from riskpipe.report.report_input import ReportInput
from riskpipe.report.wording import limit_words, source_of


def key_figures(report: ReportInput) -> dict[str, KeyFigure]:
    """Headlines in large type by name: central, with the range of the variants beside it."""
    ranges, variants = report.measures["ranges"].sel(scope="grid"), report.measures["variants"]
    cells, n_variants = report.measures["headline_cells"], variants.sizes["variant"]
    labels = {
        "uncovered_loss": "Uncovered loss",
        "liquidated_notional": "Notional liquidated",
        "liquidated_accounts": "Accounts liquidated",
        "amplification": "Amplification",
    }
    figures = {}
    for name, label in labels.items():
        one = ranges.sel(headline=name)
        low, central, high = (float(one[key].values) for key in ("low", "central", "high"))
        write = {"USD": numbers.usd, "accounts": numbers.count, "x": numbers.factor}[str(one["units"].values)]
        cell = cells.sel(headline=name)
        if np.isnan(central) or central == 0.0:
            note = "nothing is liquidated" if name != "uncovered_loss" else "no cell leaves one"
        else:
            note = f"at {where_words(cell)}{limit_words(float(cell['price_limits_hit'].values))}"
            if name == "amplification":
                note = f"{amplification_words(report, int(cell['scenario'].values))}, {note}"
        if not np.isnan(central) and (high > 0.0 or n_variants == 1):
            spread = Range(low, central, high, driver=str(one["driver"].values))
            note = f"{range_words(spread, n_variants, write)}; {note}"
        figures[name] = KeyFigure(label, write(central), note, source_of(report, variants, name))
    return figures


def amplification_words(report: ReportInput, scenario: int) -> str:
    """Both sums behind an amplification."""
    cell = report.measures["liquidation"].sel(scenario=scenario)
    first, total = (float(cell[name].values) for name in ("first_round_notional", "liquidated_notional"))
    return f"largest, from {numbers.usd(first)} in the first round to {numbers.usd(total)}"
