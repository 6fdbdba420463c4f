"""Exhausting moves: how far the index, or one asset alone, must move before a fund is used up."""

import math

import numpy as np
import xarray as xr

from riskpipe.report import numbers
from riskpipe.report.document import Paragraph, Section, Table
from riskpipe.report.report_input import ReportInput
from riskpipe.report.wording import column, flattened, label_columns, picked, placeholders, rows_of_funds, source_of

_DIMS = ("mover", "direction", "depth", "fund")
_N_SHOWN = 48


def exhaustion_sections(report: ReportInput) -> list[Section]:
    """Return the section of the search, nothing where the night searched for nothing."""
    found = report.measures["exhausting_moves"]
    if found.sizes["mover"] == 0 or placeholders(report).all():
        return []
    return [Section("exhausting-moves", "Exhausting moves", (_meaning(found), _nearest(found), _table(report, found)))]


def _meaning(found: xr.Dataset) -> Paragraph:
    down, up = (float(value) for value in found["furthest"].values)
    return Paragraph(
        "The index moves every asset by its beta; a single asset moves alone, with every other one still. Each walk "
        f"goes outward to {numbers.share(down, is_signed=True)} and {numbers.share(up, is_signed=True)}, looks at "
        "every step, and then inside the first step that exhausts a fund. Central variant; bases and volatility stay."
    )


def _nearest(found: xr.Dataset) -> Paragraph:
    """The smallest move of all, in words."""
    first = np.asarray(found["first_exhausted"].values)
    if np.isnan(first).all():
        return Paragraph("No fund is exhausted by any move looked at.", "good")
    m, d, k, f = np.unravel_index(int(np.nanargmin(np.abs(first))), first.shape)
    one = found.isel(mover=m, direction=d, depth=k, fund=f)
    who, move = str(one["mover"].values), float(one["first_exhausted"].values)
    mover = "the index" if who == "index" else f"{who} alone"
    text = (
        f"Nearest: fund {one['fund'].values} is exhausted by {mover} at {numbers.share(move, is_signed=True)}, at "
        f"{numbers.factor(float(one['depth_factor'].values))} of its depth."
    )
    return Paragraph(text, "bad" if move == 0.0 else "warn")


def _table(report: ReportInput, found: xr.Dataset) -> Table:
    numbers_of = {name: flattened(found, name) for name in ("last_held", "first_exhausted", "heals_at")}
    words = [
        "holds as far as looked at"
        if math.isnan(first)
        else "exhausted without a move"
        if first == 0.0
        else "exhausted"
        for first in numbers_of["first_exhausted"].tolist()
    ]
    return Table(
        "exhausting_moves",
        "Smallest move that exhausts each fund, by what moves alone and by depth: the largest move before it at which "
        "the fund holds, and the first that exhausts it; nothing is interpolated",
        picked(
            (
                *label_columns(found, _DIMS, ("Moves", "Way", "Depth", "Fund"), ("text", "text", "text", "text")),
                column("last_held", "Last held", "signed_share", numbers_of["last_held"]),
                column("first_exhausted", "First exhausted", "signed_share", numbers_of["first_exhausted"]),
                column("heals_at", "Holds again at", "signed_share", numbers_of["heals_at"]),
                column("outcome", "Outcome", "text", words),
            ),
            rows_of_funds(report, found, _DIMS),
        ),
        source_of(report, found, "first_exhausted"),
        n_shown=_N_SHOWN,
    )
