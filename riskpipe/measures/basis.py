"""Basis: where it stands, how it moves, and how far cascades push marks off their index."""

import numpy as np
import xarray as xr

from riskpipe.measures.cells import FloatArray, cells_of, labels, quantity, read

DISLOCATION, BASIS, BASIS_VOL = "instruments/dislocation", "instruments/basis", "instruments/basis_vol"
EXTRAPOLATED = "instruments/basis_vol_is_extrapolated"
FITTED = "basis/basis_vol"
SERIES = {
    "basis": ("basis at as_of", "share"),
    "last_history_basis": ("last basis of the history", "share"),
    "mean_basis": ("mean basis over the look-back", "share"),
    "observations": ("hourly changes used", "changes"),
    "innovation_max": ("largest standardised innovation", "sigma"),
}
DIAGNOSTICS = {
    "misfit": ("mean square of standardised innovations", "x"),
    "half_life": ("half-life of the basis, hours", "h"),
    "stationary_deviation": ("standard deviation of the basis in the long run", "share"),
    "jump_share": ("share of variance in jumps", "share"),
    "n_jumps": ("innovations beyond five deviations", "changes"),
    "arch_p": ("p, no clusters left", "1"),
    "ljung_box_p": ("p, no correlation left", "1"),
    "tail_shape_lower": ("tail shape, lower", "1"),
    "tail_shape_upper": ("tail shape, upper", "1"),
    "degrees_of_freedom": ("degrees of freedom of GARCH's t", "1"),
    "calm_share": ("next hour's variance after a calm hour, over its average", "x"),
    "crash_coefficient": ("what that variance is more per unit of index fall", "x"),
    "crash_t": ("its t", "1"),
    "rally_coefficient": ("what that variance is more per unit of index rise", "x"),
    "rally_t": ("its t", "1"),
}
USED, REFUSED = "basis/estimator_used", "basis/estimators_refused"
EXTREMES = ("lowest", "highest")


def basis_table(tree: xr.DataTree) -> xr.Dataset:
    """Basis statistics of every instrument at as_of.

    Returns dims (instrument): `basis`, `last_history_basis`, `mean_basis` as fractions, signed; `observations`;
    `innovation_max`; and (instrument, estimator, horizon): `basis_vol`, the standard deviation of basis changes over
    the horizon, and (instrument, horizon): `used_vol`, that of `estimator_used` (""= none; `estimators_refused` says
    why). Diagnostics of the fit: see DIAGNOSTICS. NaN where not measured.
    """
    one = ("instrument",)
    data = {
        name: quantity(one, read(tree, f"basis/{name}", may_hold_nan=True), units, long_name, f"basis/{name}")
        for name, (long_name, units) in (SERIES | DIAGNOSTICS).items()
    }
    fitted = read(tree, FITTED, may_hold_nan=True)
    data["basis_vol"] = quantity(("instrument", "estimator", "horizon"), fitted, "share", "basis volatility", FITTED)
    coords = {name: labels(tree, "basis", name) for name in ("instrument", "estimator", "horizon")}
    used = read(tree, USED)
    vol = np.full((fitted.shape[0], fitted.shape[2]), np.nan)
    for e, estimator in enumerate(coords["estimator"]):
        vol = np.where((used == estimator)[:, None], fitted[:, e], vol)
    data["used_vol"] = quantity(
        ("instrument", "horizon"), vol, "share", "volatility by the estimator used", FITTED, USED
    )
    data["estimator_used"] = quantity(one, used, "", "estimator used", USED)
    data["estimators_refused"] = quantity(one, read(tree, REFUSED), "", "estimators not used, and why", REFUSED)
    return xr.Dataset(data, coords=coords)


def dislocation(tree: xr.DataTree) -> xr.Dataset:
    """The furthest each mark is pushed off its index by its own forced flow, over every scenario.

    Returns dims (instrument, extreme): `dislocation` (signed fraction of the mark), `basis` in that scenario, and the
    `scenario` with its axes and variant (the first of a tie).
    """
    cells = cells_of(tree)
    moves, basis = read(tree, DISLOCATION), read(tree, BASIS, may_hold_nan=True)  # options have no basis
    rows = np.stack([moves.argmin(axis=0), moves.argmax(axis=0)], axis=1)
    each = np.arange(moves.shape[1])[:, None]
    dims = ("instrument", "extreme")
    data = {
        "dislocation": quantity(dims, moves[rows, each], "share", "mark's response to its own flow", DISLOCATION),
        "basis": quantity(dims, basis[rows, each], "share", "final basis in that scenario", BASIS),
    }
    at = {name: (dims, variable.values[rows]) for name, variable in cells.coordinates().items()}
    coords = {"instrument": labels(tree, "instruments", "instrument"), "extreme": list(EXTREMES), **at}
    return xr.Dataset(data, coords=coords)


def stressed_basis_vol(tree: xr.DataTree) -> xr.Dataset:
    """Largest conditional basis volatility after any scenario.

    Returns dims (instrument, horizon): `basis_vol` (NaN where not measured), `scenario` where it is reached (-1 =
    none); (instrument): `extrapolated_share`, the share of scenarios whose basis move is beyond any innovation of the
    sample.
    """
    values = read(tree, BASIS_VOL, may_hold_nan=True)
    known = np.where(np.isnan(values), -np.inf, values)
    largest: FloatArray = known.max(axis=0)
    where = np.where(np.isinf(largest), -1, known.argmax(axis=0))
    flags = read(tree, EXTRAPOLATED, may_hold_nan=True)
    dims = ("instrument", "horizon")
    data = {
        "basis_vol": quantity(
            dims, np.where(np.isinf(largest), np.nan, largest), "share", "largest basis volatility", BASIS_VOL
        ),
        "scenario": quantity(dims, where, "index", "scenario where it is reached", BASIS_VOL),
        "extrapolated_share": quantity(
            ("instrument",), (flags == 1.0).mean(axis=0), "share", "scenarios beyond the sample", EXTRAPOLATED
        ),
    }
    coords = {name: labels(tree, "instruments", name) for name in dims}
    return xr.Dataset(data, coords=coords)
