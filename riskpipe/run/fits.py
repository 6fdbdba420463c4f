"""Fits and scores of basis volatility, some instruments a unit of work: here, or on the executor's workers.

Series are kept once in the run directory; a unit names its instruments, reads their rows and sends plain numbers back,
which JSON keeps to the bit, so that results do not depend on where they were computed or how they were cut.
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
from riskpipe.cube.layout import inputs_key
from riskpipe.cube.store import Store, open_store
from riskpipe.domain.book import Book
from riskpipe.domain.findings import Findings, Reason, Severity
from riskpipe.domain.market import FAILS
from riskpipe.run.inputs import arrays_of, read_arrays, write_arrays
from riskpipe.run.night import Night

SERIES, FITS = "basis_series", "basis_fits"  # names of inputs
IN_PROCESS = 250  # series up to which starting workers takes longer than the work
ROWS_PER_UNIT = 16  # at most: a unit of one series would take hardly longer than handing it out
UNITS_PER_WORKER = 4  # at least, where there are rows enough: the last ones to finish are then short


@dataclass(frozen=True)
class SeriesJob:
    """Which series of which run."""

    store: str
    run_id: str
    rows: tuple[int, ...]
    settings: FitSettings
    what: str = "basis series"

    def __str__(self) -> str:
        """Name the series for errors and logs."""
        first, last = self.rows[0], self.rows[-1]
        return f"{self.what} {first}{f' to {last}' if last > first else ''} of run {self.run_id}"


SeriesUnit = Callable[[SeriesJob], list[dict[str, Any]]]
"""What is done with every row of a job, as plain values in the order of its rows."""


@lru_cache(maxsize=1)
def _series(store_uri: str, run_id: str) -> HourlySeries:
    """Read a run's series once per process."""
    return HourlySeries(**read_arrays(open_store(store_uri), run_id, SERIES))


def fit_unit(job: SeriesJob) -> list[dict[str, Any]]:
    """Fit each instrument of a job (`SeriesFit` as plain values)."""
    series = _series(job.store, job.run_id)
    return [
        fit_series(series.changes[row], series.level[row], series.index_move[row], job.settings).as_json()
        for row in job.rows
    ]


def score_unit(job: SeriesJob) -> list[dict[str, Any]]:
    """Score the estimators of each instrument of a job (`SeriesScores` as plain values)."""
    changes = _series(job.store, job.run_id).changes
    available = estimators(job.settings.ewma_decay)
    return [score_series(changes[row], available).as_json() for row in job.rows]


def map_series(
    executor: Executor, unit: SeriesUnit, store: str, run_id: str, n_series: int,
    settings: FitSettings, on_done: Callable[[int], None] = lambda _n_done: None, what: str = "basis series",
) -> list[dict[str, Any]]:  # fmt: skip
    """Map a unit over the series of a run, in their order whatever order they finish in."""
    received: dict[int, dict[str, Any]] = {}
    size = max(1, min(ROWS_PER_UNIT, n_series // (UNITS_PER_WORKER * executor.n_workers)))
    jobs = [
        SeriesJob(store, run_id, tuple(range(first, min(first + size, n_series))), settings, what)
        for first in range(0, n_series, size)
    ]

    def keep(job: SeriesJob, receipts: Any) -> None:  # noqa: ANN401  whatever the unit returned
        received.update(zip(job.rows, receipts, strict=True))
        on_done(len(received))

    executor.map_blocks(unit, jobs, on_done=keep)
    return [received[row] for row in range(n_series)]


def map_over_night(
    night: Night, stage: str, unit: SeriesUnit, n_series: int, settings: FitSettings, what: str = "basis series"
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
            what=what,
        )


def keep_series(store: Store, run_id: str, series: HourlySeries) -> None:
    """Keep the series of a run, from which units read theirs."""
    write_arrays(store, run_id, SERIES, arrays_of(series))
    _series.cache_clear()  # a stage that is run again may have others


def fit_all(night: Night, series: HourlySeries, settings: FitSettings) -> list[SeriesFit]:
    """Keep the series of a night and fit them: `riskpipe.calibrate.fits.Fit` over the night's executor."""
    keep_series(night.store, night.run_id, series)
    return [
        SeriesFit.from_json(receipt) for receipt in map_over_night(night, "calibrate", fit_unit, len(series), settings)
    ]


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
        receipts = map_over_night(night, "validate", score_unit, len(with_basis), settings)
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
