"""Basis: where it stands, how far cascades push marks off their index, and the hedges they break."""

import numpy as np
import xarray as xr

from riskpipe.report import numbers
from riskpipe.report.document import Block, Column, Paragraph, Section, Table
from riskpipe.report.report_input import ReportInput
from riskpipe.report.sections.holdings import neutral_blocks
from riskpipe.report.wording import AXES, axes_of, cell_words, column, measure_columns, source_of

_FIT_LABELS = {
    "half_life": "Half-life of the basis, h",
    "stationary_deviation": "Long-run deviation",
    "misfit": "Squared innovations over forecast",
    "jump_share": "Variance in jumps",
    "n_jumps": "Innovations beyond 5 deviations",
    "arch_p": "p, no clusters left",
    "ljung_box_p": "p, no correlation left",
    "tail_shape_lower": "Tail shape, lower",
    "tail_shape_upper": "Tail shape, upper",
    "degrees_of_freedom": "Degrees of freedom (GARCH t)",
}


def basis_section(report: ReportInput) -> Section:
    """Basis statistics, dislocation extremes and broken hedges."""
    if np.all(np.isnan(report.measures["basis_table"]["basis"].values)):
        return Section("basis", "Basis and hedges", (Paragraph("The book holds no perpetuals and no futures."),))
    tables = (basis_table(report), fits_table(report), estimators_table(report))
    return Section(
        "basis", "Basis and hedges", (hedges_block(report), *neutral_blocks(report), dislocation_block(report), *tables)
    )


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
    """Basis and its volatility, of every instrument that has a basis."""
    table, stressed = with_basis(report, "basis_table"), with_basis(report, "stressed_basis_vol")
    kind = AXES["basis_shock"][1]
    realised = table["estimator"].values.tolist().index("realised")
    return Table(
        "basis",
        "Basis (mark over index, less 1; not annualised) and its volatility over each horizon from as_of by the "
        "estimator used, with its own mean reversion; realised: standard deviation of overlapping changes over the "
        "look-back; worst scenario: after the scenario that leaves most. Scenarios beyond the sample move the basis, "
        "or the index where it matters, more than the history has seen, and are counted as if they moved it that far; "
        "n/a = not measured",
        (
            column("instrument", "Instrument", "text", table["instrument"].values),
            column("basis", "Basis at as_of", kind, table["basis"].values),
            column("last_history_basis", "Last of history", kind, table["last_history_basis"].values),
            column("mean_basis", "Mean", kind, table["mean_basis"].values),
            column("observations", "Observations", "count", table["observations"].values),
            column("estimator_used", "Estimator", "text", _used_words(table)),
            *_by_horizon("basis_vol", "", table["used_vol"]),
            *_by_horizon("basis_vol_realised", ", realised", table["basis_vol"].isel(estimator=realised)),
            *_by_horizon("stressed_basis_vol", ", worst scenario", stressed["basis_vol"]),
            column("extrapolated_share", "Scenarios beyond the sample", "share", stressed["extrapolated_share"].values),
        ),
        source_of(report, table, "basis"),
        n_shown=25,
    )


def _by_horizon(name: str, what: str, values: xr.DataArray) -> list[Column]:
    """Volatility [instrument, horizon] as one column for each horizon."""
    return [
        column(f"{name}_{horizon}", f"Vol {horizon}{what}", "share", np.asarray(values.values)[:, h])
        for h, horizon in enumerate(values["horizon"].values.tolist())
    ]


def fits_table(report: ReportInput) -> Table:
    """What is known of each instrument's fit."""
    table = with_basis(report, "basis_table")
    by_index: list[Column] = []
    for name, label in (("crash", "fall"), ("rally", "rise")):
        growth = 0.01 * np.asarray(table[f"{name}_coefficient"].values)
        by_index += [
            column(f"{name}_growth", f"More per 1% of index {label}", "signed_share", growth),
            column(f"{name}_t", f"t, index {label}", "number", table[f"{name}_t"].values),
        ]
    return Table(
        "basis_fits",
        "Fits of basis volatility. The next hour's variance, over its average, after an hour in which the index stands "
        "still and more for each percent that it moves: used where t is above 1.96, and only upwards; tail shapes are "
        "of standardised innovations, above 0 = heavier than exponential",
        (
            column("instrument", "Instrument", "text", table["instrument"].values),
            column("estimator_used", "Estimator", "text", _used_words(table)),
            *measure_columns(table, tuple(_FIT_LABELS), _FIT_LABELS),
            column("calm_share", "Next hour's variance, calm index", "share", table["calm_share"].values),
            *by_index,
            column("estimators_refused", "Not used, and why", "text", table["estimators_refused"].values),
        ),
        source_of(report, table, "estimator_used"),
        n_shown=25,
    )


def estimators_table(report: ReportInput) -> Table:
    """Volatility by every estimator, one row for each that has a figure."""
    table = with_basis(report, "basis_table")
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


def with_basis(report: ReportInput, measure: str) -> xr.Dataset:
    """A measure of the instruments that have a basis: options have none."""
    basis = report.measures["basis_table"]["basis"].values
    return report.measures[measure].isel(instrument=np.flatnonzero(~np.isnan(basis)))


def _used_words(table: xr.Dataset) -> list[str]:
    return [str(name) or "none" for name in table["estimator_used"].values.tolist()]
