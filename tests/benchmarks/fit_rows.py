"""Row of basis volatility: every instrument fitted on workers, against one serial loop of arch."""

import json
import time
from typing import Any

import numpy as np

from riskpipe.calibrate.fits import FitSettings
from riskpipe.calibrate.hourly import HourlySeries
from riskpipe.compute import SerialExecutor, make_executor
from riskpipe.cube.store import open_store
from riskpipe.run.fits import fit_unit, keep_series, map_series

from .books import Inputs
from .settings import Figure, Measured

N_WORKERS = 2
RUN = "2024-08-05T000000Z-0000000000000000"
SETTINGS = FitSettings(0.97, 48)


def invented_changes(n_series: int, n_hours: int, seed: int) -> np.ndarray:
    """Changes [i, t] of bases that are pulled back, with clustered volatility; the last one overflows when squared."""
    random = np.random.default_rng(seed)
    variance, level = np.full(n_series, 5e-8), np.zeros(n_series)
    changes = np.empty((n_series, n_hours))
    for t in range(n_hours):
        shock = np.sqrt(variance) * random.standard_t(6, n_series) * np.sqrt(4.0 / 6.0)
        changes[:, t] = shock - 0.4 * level
        level += changes[:, t]
        variance = 2e-9 + 0.08 * shock * shock + 0.88 * variance
    changes[-1] *= 1e300
    return changes


def arch_loop(changes: np.ndarray) -> float:
    """Seconds of fitting GARCH(1,1) with Student t by arch and forecasting a week, one series after another."""
    from arch import arch_model

    started = time.perf_counter()
    for series in changes:
        model = arch_model(1e4 * series, mean="Zero", vol="GARCH", p=1, q=1, dist="t", rescale=False)
        model.fit(disp="off", show_warning=False).forecast(horizon=168, reindex=False)
    return time.perf_counter() - started


def basis_fits(inputs: Inputs) -> Measured:
    """Fits of every estimator, surface and diagnostics, for all instruments, with one that cannot be fitted."""
    n = inputs.sizes.fit_instruments
    changes = invented_changes(n, inputs.sizes.fit_hours, inputs.settings.seed)
    moves = np.random.default_rng(inputs.settings.seed).normal(0.0, 0.005, changes.shape)
    store = str(inputs.folder / "fits")
    keep_series(open_store(store), RUN, HourlySeries(changes, np.cumsum(changes, axis=1), moves))
    arch_loop(changes[:1])  # its import and compiling are not counted, nor are ours
    by_arch = arch_loop(changes[:-1])
    map_series(SerialExecutor(), fit_unit, store, RUN, 1, SETTINGS)
    started = time.perf_counter()
    here = map_series(SerialExecutor(), fit_unit, store, RUN, n, SETTINGS)
    in_process = time.perf_counter() - started
    started = time.perf_counter()
    with make_executor("local", n_workers=N_WORKERS) as executor:
        map_series(executor, fit_unit, store, RUN, min(n, 16 * N_WORKERS), SETTINGS)  # both load and compile
        starting = time.perf_counter() - started
        started = time.perf_counter()
        fits: list[dict[str, Any]] = map_series(executor, fit_unit, store, RUN, n, SETTINGS)
        on_workers = time.perf_counter() - started
    is_same = json.dumps(here) == json.dumps(fits)
    return Measured(
        (
            Figure("basis fits on two workers over one serial arch loop", on_workers / by_arch, at_most=1.0),
            Figure("same bits of fits on workers and in one process", float(is_same), at_least=1.0),
        ),
        {
            "instruments": n,
            "hours": inputs.sizes.fit_hours,
            "without an estimator": sum(not one["estimator"] for one in fits),
            "arch alone, GARCH only, seconds": by_arch,
            "every estimator in one process, seconds": in_process,
            "every estimator on workers, seconds": on_workers,
            "starting workers, seconds": starting,
        },
    )
