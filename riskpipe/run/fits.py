"""Fits and scores of basis volatility, an instrument a unit of work: in this process, or on the executor's workers.

Series are kept once in the run directory; a unit names its instrument, reads its row and sends plain numbers back,
which JSON keeps to the bit, so that results do not depend on where they were computed.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from riskpipe.calibrate.fits import FitSettings, SeriesFit, basis_arrays, estimators, fit_series
from riskpipe.calibrate.hourly import HourlySeries
from riskpipe.calibrate.market import in_book_order
from riskpipe.calibrate.validation import SeriesScores, score_series, validation_arrays
from riskpipe.compute import Executor, SerialExecutor
from riskpipe.cube.store import Store, open_store
from riskpipe.domain.book import Book
from riskpipe.domain.findings import Findings, Reason, Severity
from riskpipe.domain.market import FAILS
from riskpipe.run.inputs import arrays_of, inputs_key, read_arrays, write_arrays
from riskpipe.run.night import Night

SERIES, FITS = "basis_series", "basis_fits"  # names of inputs
IN_PROCESS = 64  # instruments up to which starting workers takes longer than the work


@dataclass(frozen=True)
class SeriesJob:
    """Which instrument's series of which run."""

    store: str
    run_id: str
    row: int
    settings: FitSettings

    def __str__(self) -> str:
        """Name the series for errors and logs."""
        return f"basis series {self.row} of run {self.run_id}"


@lru_cache(maxsize=1)
def _series(store_uri: str, run_id: str) -> HourlySeries:
    """Read a run's series once per process."""
    return HourlySeries(**read_arrays(open_store(store_uri), run_id, SERIES))


def fit_unit(job: SeriesJob) -> dict[str, Any]:
    """Fit one instrument (a `SeriesFit` as plain values)."""
    series = _series(job.store, job.run_id)
    rows = (series.changes[job.row], series.level[job.row], series.index_move[job.row])
    return fit_series(*rows, job.settings).as_json()


def score_unit(job: SeriesJob) -> dict[str, Any]:
    """Score the estimators of one instrument (`SeriesScores` as plain values)."""
    changes = _series(job.store, job.run_id).changes[job.row]
    return score_series(changes, estimators(job.settings.ewma_decay)).as_json()


def map_series(
    executor: Executor, unit: Callable[[SeriesJob], dict[str, Any]], store: str, run_id: str, n_series: int,
    settings: FitSettings, on_done: Callable[[int], None] = lambda _n_done: None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Map a unit over the series of a run, in their order whatever order they finish in."""
    received: dict[int, dict[str, Any]] = {}

    def keep(job: SeriesJob, receipt: Any) -> None:  # noqa: ANN401  whatever the unit returned
        received[job.row] = receipt
        on_done(len(received))

    executor.map_blocks(unit, [SeriesJob(store, run_id, row, settings) for row in range(n_series)], on_done=keep)
    return [received[row] for row in range(n_series)]


def _map(
    night: Night, stage: str, unit: Callable[[SeriesJob], dict[str, Any]], n_series: int, settings: FitSettings
) -> list[dict[str, Any]]:
    """Map a unit over the night's series where it is soonest done."""
    with nullcontext(SerialExecutor()) if n_series <= IN_PROCESS else night.open_executor() as executor:
        return map_series(
            executor,
            unit,
            night.store.uri,
            night.run_id,
            n_series,
            settings,
            on_done=lambda n_done: night.progress(stage, n_done, n_series),
        )


def keep_series(store: Store, run_id: str, series: HourlySeries) -> None:
    """Keep the series of a run, from which units read theirs."""
    write_arrays(store, run_id, SERIES, arrays_of(series))
    _series.cache_clear()  # a stage that is run again may have others


def fit_all(night: Night, series: HourlySeries, settings: FitSettings) -> list[SeriesFit]:
    """Keep the series of a night and fit them: `riskpipe.calibrate.fits.Fit` over the night's executor."""
    keep_series(night.store, night.run_id, series)
    return [SeriesFit.from_json(receipt) for receipt in _map(night, "calibrate", fit_unit, len(series), settings)]


def keep_fits(night: Night, book: Book, fits: list[SeriesFit]) -> None:
    """Keep what /basis will hold of the fits."""
    write_arrays(night.store, night.run_id, FITS, basis_arrays(in_book_order(book, fits)))


def read_fits(store: Store, run_id: str) -> dict[str, np.ndarray]:
    """Read what `keep_fits` kept, by variable of /basis; texts as objects, as cubes take them."""
    kept = read_arrays(store, run_id, FITS)
    return {name: values.astype(object) if values.dtype.kind == "U" else values for name, values in kept.items()}


def score_all(night: Night, book: Book) -> tuple[dict[str, np.ndarray], Findings]:
    """Return the variables of /validation, and findings for estimators in use whose forecasts fail."""
    has_series = night.store.exists(inputs_key(night.run_id, SERIES))
    with_basis = np.flatnonzero(~book.is_option)
    scores = [SeriesScores()] * book.n_instruments
    if has_series:
        calibration = night.config.calibration
        settings = FitSettings(calibration.ewma_decay, calibration.minimum_observations)
        receipts = _map(night, "validate", score_unit, len(with_basis), settings)
        for at, receipt in zip(with_basis, receipts, strict=True):
            scores[at] = SeriesScores.from_json(receipt)
    used = read_fits(night.store, night.run_id)["estimator_used"].tolist()
    names = book.names("instrument")
    failing = [
        f"{names[at]}, {used[at]}: {one.estimators[used[at]].reason}"
        for at, one in enumerate(scores)
        if used[at] in one.estimators and one.estimators[used[at]].verdict == FAILS
    ]
    findings = Findings()
    if failing:
        findings.add(
            Severity.WARNING,
            Reason.FORECAST_FAILS,
            "validation",
            "forecasts of the estimator in use fail a test",
            count=len(failing),
            examples=failing,
        )
    return validation_arrays(scores), findings
