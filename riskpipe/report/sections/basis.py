"""Basis: where it stands, how far cascades push marks off their index, and the hedges they break."""

import numpy as np

from riskpipe.report import numbers
from riskpipe.report.document import Block, Paragraph, Section, Table
from riskpipe.report.report_input import ReportInput
from riskpipe.report.wording import AXES, axes_of, cell_words, column, source_of


def basis_section(report: ReportInput) -> Section:
    """Basis statistics, dislocation extremes and broken hedges."""
    if np.all(np.isnan(report.measures["basis_table"]["basis"].values)):
        return Section("basis", "Basis and hedges", (Paragraph("The book holds no perpetuals and no futures."),))
    return Section("basis", "Basis and hedges", (hedges_block(report), dislocation_block(report), basis_table(report)))


def hedges_block(report: ReportInput) -> Paragraph:
    """The scenario that breaks most hedges, in words."""
    hedges = report.measures["broken_hedges"]
    broken = hedges["broken_hedge_notional"].values
    row = int(broken.argmax())
    if broken[row] <= 0.0:
        return Paragraph("No scenario breaks a hedge: nobody's absolute delta grows by the closings.")
    where = cell_words({axis: float(hedges[axis].values[row]) for axis in axes_of(hedges)})
    return Paragraph(
        f"At most {numbers.usd(float(broken[row]))} of hedges are broken (scenario {row}: {where}; "
        f"{hedges['variant'].values[row]}): by so much the closings make owners' absolute deltas grow. Where owners "
        "are unknown this is a lower bound."
    )


def dislocation_block(report: ReportInput) -> Block:
    """How far each mark is pushed off its index."""
    moved = report.measures["dislocation"]
    values = np.asarray(moved["dislocation"].values)
    if not values.any():
        return Paragraph("No mark is pushed off its index: there is no forced flow that moves one.")
    order = np.argsort(-np.abs(values).max(axis=1), kind="stable")
    instruments = np.asarray(moved["instrument"].values)[order]
    axes = axes_of(moved)
    columns = [column("instrument", "Instrument", "text", instruments)]
    for k, extreme in enumerate(moved["extreme"].values.tolist()):
        where = [cell_words({axis: float(moved[axis].values[i, k]) for axis in axes}) for i in order]
        columns += [
            column(f"{extreme}_dislocation", extreme.capitalize(), "signed_share", values[order, k]),
            column(f"{extreme}_basis", "Basis there", "signed_share", np.asarray(moved["basis"].values)[order, k]),
            column(f"{extreme}_scenario", "Scenario", "id", np.asarray(moved["scenario"].values)[order, k]),
            column(f"{extreme}_cell", "Cell", "text", where),
        ]
    return Table(
        "dislocation",
        "Furthest that forced flow pushes each mark off its index, over every scenario and variant",
        tuple(columns),
        source_of(report, moved, "dislocation"),
        n_shown=25,
    )


def basis_table(report: ReportInput) -> Table:
    """Basis statistics of every instrument that has a basis: options have none."""
    every = report.measures["basis_table"]
    has_basis = np.flatnonzero(~np.isnan(every["basis"].values))
    table, stressed = (measure.isel(instrument=has_basis) for measure in (every, report.measures["stressed_basis_vol"]))
    kind = AXES["basis_shock"][1]
    columns = [
        column("instrument", "Instrument", "text", table["instrument"].values),
        column("basis", "Basis at as_of", kind, table["basis"].values),
        column("last_history_basis", "Last of history", kind, table["last_history_basis"].values),
        column("mean_basis", "Mean", kind, table["mean_basis"].values),
        column("observations", "Observations", "count", table["observations"].values),
    ]
    for e, estimator in enumerate(table["estimator"].values.tolist()):
        for h, horizon in enumerate(table["horizon"].values.tolist()):
            fitted = np.asarray(table["basis_vol"].values)[:, e, h]
            columns.append(column(f"basis_vol_{estimator}_{horizon}", f"Vol {horizon}, {estimator}", "share", fitted))
    for h, horizon in enumerate(stressed["horizon"].values.tolist()):
        after = np.asarray(stressed["basis_vol"].values)[:, h]
        columns.append(column(f"stressed_basis_vol_{horizon}", f"Vol {horizon}, worst scenario", "share", after))
    beyond = stressed["extrapolated_share"].values
    columns.append(column("extrapolated_share", "Scenarios beyond the sample", "share", beyond))
    return Table(
        "basis",
        "Basis (mark over index, less 1; not annualised) and its volatility. EWMA: 1h figure times the square root "
        "of the horizon (no mean reversion, an upper figure); realised: standard deviation of overlapping changes over "
        "each horizon; n/a = not measured",
        tuple(columns),
        source_of(report, table, "basis"),
        n_shown=25,
    )
