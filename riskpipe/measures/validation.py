"""Validation: how forecasts of basis volatility did on the part of the history that they were not fitted on."""

import xarray as xr

from riskpipe.measures.basis import USED
from riskpipe.measures.cells import labels, quantity, read

HOURS = {"hours_fitted": "hourly changes fitted on", "hours_scored": "hourly changes scored"}
SCORES = {
    "qlike": "QLIKE",
    "gain_168h": "QLIKE less that of 168 h",
    "gain_168h_t": "its t",
    "gain_24h": "QLIKE less that of 24 h",
    "gain_24h_t": "its t",
    "verdict": "verdict",
    "reason": "what fails, or why it is not checked",
}
TAIL_SCORES = {
    "hits": "hits",
    "kupiec_p": "p, as many hits as expected",
    "independence_p": "p, independent hits",
    "conditional_p": "p, both",
    "shortfall_z": "Acerbi-Szekely Z2",
    "shortfall_p": "its p",
    "tail_verdict": "verdict",
}


def validation(tree: xr.DataTree) -> xr.Dataset:
    """Scores of every estimator, and which one is in use.

    Returns dims (instrument): `hours_fitted`, `hours_scored`, `estimator_used` ("" = none); (instrument, estimator):
    `qlike`, `gain_168h` and `gain_24h` (below 0 = better than the plain deviation) with t-values, `verdict` ("passes",
    "fails", "not checked") and its `reason`; (instrument, estimator, tail): `hits`, p-values, Acerbi and Szekely's
    statistic, `tail_verdict`. NaN where not checked.
    """
    dims = ("instrument", "estimator", "tail")
    data = {"estimator_used": quantity(dims[:1], read(tree, USED), "", "estimator used", USED)}
    for n_dims, names in ((1, HOURS), (2, SCORES), (3, TAIL_SCORES)):
        for name, long_name in names.items():
            key = f"validation/{name}"
            units = "" if name in {"verdict", "reason", "tail_verdict"} else "hits" if name == "hits" else "1"
            values = read(tree, key, may_hold_nan=True)
            data[name] = quantity(dims[:n_dims], values, "changes" if n_dims == 1 else units, long_name, key)
    return xr.Dataset(data, coords={name: labels(tree, "validation", name) for name in dims})
