"""Basis: where it stands, how far cascades push marks off their index, and the hedges they break."""

import numpy as np
import xarray as xr

from riskpipe.report import numbers
from riskpipe.report.document import Block, Paragraph, Section, Table
from riskpipe.report.report_input import ReportInput
from riskpipe.report.wording import AXES, axes_of, cell_words, column, source_of


def basis_section(report: ReportInput) -> Section:
    """Basis statistics, dislocation extremes and broken hedges."""
    if np.all(np.isnan(report.measures["basis_table"]["basis"].values)):
        return Section("basis", "Basis and hedges", (Paragraph("The book holds no perpetuals and no futures."),))
    tables = (basis_table(report), fits_table(report), estimators_table(report))
    return Section("basis", "Basis and hedges", (hedges_block(report), dislocation_block(report), *tables))


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
    """Basis and its volatility, of every instrument that has a basis: options have none."""
    table = _with_basis(report)
    has_basis = np.flatnonzero(~np.isnan(report.measures["basis_table"]["basis"].values))
    stressed = report.measures["stressed_basis_vol"].isel(instrument=has_basis)
    kind = AXES["basis_shock"][1]
    columns = [
        column("instrument", "Instrument", "text", table["instrument"].values),
        column("basis", "Basis at as_of", kind, table["basis"].values),
        column("last_history_basis", "Last of history", kind, table["last_history_basis"].values),
        column("mean_basis", "Mean", kind, table["mean_basis"].values),
        column("observations", "Observations", "count", table["observations"].values),
        column("estimator_used", "Estimator", "text", _used_words(table)),
    ]
    realised = table["estimator"].values.tolist().index("realised")
    for h, horizon in enumerate(table["horizon"].values.tolist()):
        used = np.asarray(table["used_vol"].values)[:, h]
        columns.append(column(f"basis_vol_{horizon}", f"Vol {horizon}", "share", used))
    for h, horizon in enumerate(table["horizon"].values.tolist()):
        moved = np.asarray(table["basis_vol"].values)[:, realised, h]
        columns.append(column(f"basis_vol_realised_{horizon}", f"Vol {horizon}, realised", "share", moved))
    for h, horizon in enumerate(stressed["horizon"].values.tolist()):
        after = np.asarray(stressed["basis_vol"].values)[:, h]
        columns.append(column(f"stressed_basis_vol_{horizon}", f"Vol {horizon}, worst scenario", "share", after))
    beyond = stressed["extrapolated_share"].values
    columns.append(column("extrapolated_share", "Scenarios beyond the sample", "share", beyond))
    return Table(
        "basis",
        "Basis (mark over index, less 1; not annualised) and its volatility over each horizon from as_of by the "
        "estimator used, with its own mean reversion; realised: standard deviation of overlapping changes over the "
        "look-back; worst scenario: after the scenario that leaves most. Scenarios beyond the sample move the basis, "
        "or the index where it matters, more than the history has seen, and are counted as if they moved it that far; "
        "n/a = not measured",
        tuple(columns),
        source_of(report, table, "basis"),
        n_shown=25,
    )


def fits_table(report: ReportInput) -> Table:
    """What is known of each instrument's fit."""
    table = _with_basis(report)
    plain = (
        ("half_life", "Half-life of the basis, h", "number"),
        ("stationary_deviation", "Long-run deviation", "share"),
        ("misfit", "Squared innovations over forecast", "factor"),
        ("jump_share", "Variance in jumps", "share"),
        ("n_jumps", "Innovations beyond 5 deviations", "count"),
        ("arch_p", "p, no clusters left", "number"),
        ("ljung_box_p", "p, no correlation left", "number"),
        ("tail_shape_lower", "Tail shape, lower", "number"),
        ("tail_shape_upper", "Tail shape, upper", "number"),
        ("degrees_of_freedom", "Degrees of freedom (GARCH t)", "number"),
    )  # fmt: skip
    columns = [
        column("instrument", "Instrument", "text", table["instrument"].values),
        column("estimator_used", "Estimator", "text", _used_words(table)),
        *(column(name, label, kind, table[name].values) for name, label, kind in plain),  # type: ignore[arg-type]
    ]
    columns.append(column("calm_share", "Next hour's variance, calm index", "share", table["calm_share"].values))
    for name, label in (("crash", "fall"), ("rally", "rise")):
        growth = 0.01 * np.asarray(table[f"{name}_coefficient"].values)
        columns.append(column(f"{name}_growth", f"More per 1% of index {label}", "signed_share", growth))
        columns.append(column(f"{name}_t", f"t, index {label}", "number", table[f"{name}_t"].values))
    columns.append(column("estimators_refused", "Not used, and why", "text", table["estimators_refused"].values))
    return Table(
        "basis_fits",
        "Fits of basis volatility. The next hour's variance, over its average, after an hour in which the index stands "
        "still and more for each percent that it moves: used where t is above 1.96, and only upwards; tail shapes are "
        "of standardised innovations, above 0 = heavier than exponential",
        tuple(columns),
        source_of(report, table, "estimator_used"),
        n_shown=25,
    )


def estimators_table(report: ReportInput) -> Table:
    """Volatility by every estimator, one row for each that has a figure."""
    table = _with_basis(report)
    values = np.asarray(table["basis_vol"].values)
    i, e = np.nonzero(~np.isnan(values).all(axis=2))
    horizons = table["horizon"].values.tolist()
    estimators = np.asarray(table["estimator"].values)
    return Table(
        "basis_volatility",
        "Basis volatility from as_of by every estimator: only the mixture knows that a basis reverts, the others grow "
        "with the square root of the horizon; realised is what changes over each horizon did in the look-back",
        (
            column("instrument", "Instrument", "text", np.asarray(table["instrument"].values)[i]),
            column("estimator", "Estimator", "text", estimators[e]),
            column("is_used", "In use", "flag", np.asarray(table["estimator_used"].values)[i] == estimators[e]),
            *(column(f"vol_{name}", f"Vol {name}", "share", values[i, e, h]) for h, name in enumerate(horizons)),
        ),
        source_of(report, table, "basis_vol"),
        n_shown=12,
    )


def _with_basis(report: ReportInput) -> xr.Dataset:
    every = report.measures["basis_table"]
    return every.isel(instrument=np.flatnonzero(~np.isnan(every["basis"].values)))


def _used_words(table: xr.Dataset) -> list[str]:
    return [str(name) or "none" for name in table["estimator_used"].values.tolist()]
