"""The waterfall: the shortfall of a worst scenario, and what each payer takes off it until nothing is left."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from riskpipe.report.document import Block, Chart, Table
from riskpipe.report.report_input import ReportInput
from riskpipe.report.sections.bars import coded, short
from riskpipe.report.wording import ALL_SCENARIOS, column, flattened, scenario_words, source_of

PAYERS: Mapping[str, str] = {
    "fee_offset": "Fees",
    "fund_used": "Fund",
    "backstop_loss": "Backstop",
    "adl_loss": "ADL",
    "socialised_loss": "Socialised",
    "residual": "Unpaid",
}
_BEHIND = ("adl_loss", "socialised_loss", "residual")  # what reaches them is the uncovered loss
DIMS = ("among", "variant", "party")
_AMONG = {"grid": "Worst cell of the grid", ALL_SCENARIOS: "Worst of all scenarios"}


def waterfall_blocks(report: ReportInput) -> list[Block]:
    """The waterfall of the system, of venues with several funds and of funds; nothing where nothing falls to them."""
    found = report.measures["waterfalls"]
    kept = _kept(found)
    if len(kept) == 0:
        return []
    table = _table(report, found, kept)
    by_name = {one.name: one for one in table.columns}
    paying = [name for name in PAYERS if name == "residual" or any(by_name[name].values)]

    def step(name: str, label: str, kind: str) -> dict[str, Any]:
        values = by_name[name].values
        return {"name": name, "label": label, "kind": kind, "values": [short(float(value)) for value in values]}

    behind = [name for name in _BEHIND if name in paying]
    steps = [step("shortfall", "Shortfall", "whole")]
    steps += [step(name, PAYERS[name], "paid") for name in paying if name not in _BEHIND]
    if len(behind) > 1:  # else nobody stands behind the funds, and uncovered is unpaid
        steps.append(step("uncovered_loss", "Uncovered", "left"))
    steps += [step(name, PAYERS[name], "left" if name == "residual" else "paid") for name in behind]
    data = {
        "filters": [{**coded(by_name[name]), "has_all": False} for name in ("of", "variant", "among")],
        "steps": steps,
        "where": list(by_name["cell"].values),
        "scenario": list(by_name["scenario"].values),
    }
    return [
        Chart(
            "waterfall",
            "Who pays in the worst scenario",
            "What liquidations leave short, and what each payer takes off it: the steps add up to the shortfall. "
            "What fees, fund and backstop leave is the uncovered loss; what nobody bears stays unpaid. Worst is the "
            "largest uncovered loss of the funds chosen. Payers stand in one order, whatever a venue's own.",
            "waterfall",
            data,
            table,
            table.source,
        )
    ]


def _kept(found: xr.Dataset) -> np.ndarray:
    """Rows with a shortfall: no venue whose only fund says the same, and all scenarios only where that differs."""
    scope, row = found["scope"].values, flattened(found, "scenario")
    among, _, party = np.indices([found.sizes[name] for name in DIMS]).reshape(3, -1)
    amounts = found["shortfall"].values.reshape(-1, found.sizes["party"]).T
    of_funds = amounts[scope == "fund"]
    says_more = np.array(
        [scope[p] != "venue" or not (of_funds == own).all(axis=1).any() for p, own in enumerate(amounts)]
    )
    differs = not np.array_equal(found["scenario"].values[0], found["scenario"].values[1])
    return np.flatnonzero((row >= 0) & says_more[party] & ((among == 0) | differs))


def _table(report: ReportInput, found: xr.Dataset, kept: np.ndarray) -> Table:
    """One row for each waterfall."""
    flat = report.measures["liquidation"]
    among, variant, party = np.indices([found.sizes[name] for name in DIMS]).reshape(3, -1)
    of = [
        "All funds" if scope == "system" else f"{str(scope).capitalize()} {place}"
        for scope, place in zip(found["scope"].values, found["place"].values, strict=True)
    ]
    rows = flattened(found, "scenario")[kept].astype(np.int64)
    has_grid = bool(report.measures["headline_cells"].attrs["has_grid"])
    of_what = [_AMONG[str(one) if has_grid else ALL_SCENARIOS] for one in found["among"].values]
    return Table(
        "waterfall",
        "Who pays in the worst scenario of all funds, of each venue and of each fund: shortfall, and what each payer "
        "bears of it; they add up. Uncovered is what fees, fund and backstop leave",
        (
            column("of", "Whose", "text", [of[p] for p in party[kept]]),
            column("variant", "Variant", "text", found["variant"].values[variant[kept]]),
            column("among", "Scenario", "text", [of_what[k] for k in among[kept]]),
            column("scenario", "Number", "id", rows),
            column("cell", "Where", "text", [scenario_words(flat, int(row)) for row in rows]),
            column("shortfall", "Shortfall", "usd", flattened(found, "shortfall")[kept]),
            *(column(name, label, "usd", flattened(found, name)[kept]) for name, label in PAYERS.items()),
            column("uncovered_loss", "Uncovered", "usd", flattened(found, "uncovered_loss")[kept]),
        ),
        source_of(report, found, "shortfall"),
        n_shown=24,
    )
