"""Fits and scores of basis volatility, an instrument a unit of work: in this process, or on the executor's workers.

Series are kept once in the run directory; a unit names its instrument, reads its row and sends plain numbers back,
which JSON keeps to the bit, so that results do not depend on where they were computed.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np

from riskpipe.calibrate.fits import FitSettings, SeriesFit, basis_arrays, estimators, fit_series
from riskpipe.calibrate.hourly import HourlySeries
from riskpipe.calibrate.market import in_book_order
from riskpipe.calibrate.validation import FAILS, SeriesScores, score_series, validation_arrays
from riskpipe.compute import Executor, SerialExecutor, make_executor
from riskpipe.cube.layout import run_prefix
from riskpipe.cube.store import Store, open_store
from riskpipe.domain.book import Book
from riskpipe.domain.findings import Findings, Reason, Severity
from riskpipe.run.night import Night

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


def _key(run_id: str, name: str) -> str:
    return f"{run_prefix(run_id)}/inputs/{name}.npz"


def _write(store: Store, key: str, arrays: dict[str, np.ndarray]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays, allow_pickle=False)
    store.write(key, buffer.getvalue())


def _read(store: Store, key: str) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(store.read(key)), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


@lru_cache(maxsize=1)
def _series(store_uri: str, run_id: str) -> HourlySeries:
    """Read a run's series once per process."""
    return HourlySeries(**_read(open_store(store_uri), _key(run_id, "basis_series")))


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


def _map(night: Night, stage: str, unit: Callable[[SeriesJob], dict[str, Any]], n_series: int) -> list[dict[str, Any]]:
    """Map a unit over the night's series where it is soonest done."""
    run = partial(
        map_series, unit=unit, store=night.store.uri, run_id=night.run_id, n_series=n_series, settings=_settings(night),
        on_done=lambda n_done: night.progress(stage, n_done, n_series),
    )  # fmt: skip
    spec = night.config.executor
    if n_series <= IN_PROCESS or spec == "serial":
        return run(SerialExecutor())
    with make_executor(
        spec if isinstance(spec, str) else spec.model_dump(by_alias=True),
        n_workers=night.config.n_workers,
        block_timeout_s=night.config.block_timeout_seconds,
    ) as executor:
        return run(executor)


def _settings(night: Night) -> FitSettings:
    return FitSettings(night.config.calibration.ewma_decay, night.config.calibration.minimum_observations)


def keep_series(store: Store, run_id: str, series: HourlySeries) -> None:
    """Keep the series of a run, from which units read theirs."""
    arrays = {name: getattr(series, name) for name in ("changes", "level", "index_move")}
    _write(store, _key(run_id, "basis_series"), arrays)
    _series.cache_clear()  # a stage that is run again may have others


def fit_all(night: Night, series: HourlySeries, _asked: FitSettings) -> list[SeriesFit]:
    """Keep the series of a night and fit them: `riskpipe.calibrate.fits.Fit` over the night's executor."""
    keep_series(night.store, night.run_id, series)
    return [SeriesFit.from_json(receipt) for receipt in _map(night, "calibrate", fit_unit, len(series))]


def keep_fits(night: Night, book: Book, fits: list[SeriesFit]) -> None:
    """Keep what /basis will hold of the fits."""
    _write(night.store, _key(night.run_id, "basis_fits"), basis_arrays(in_book_order(book, fits)))


def read_fits(store: Store, run_id: str) -> dict[str, np.ndarray]:
    """Read what `keep_fits` kept, by variable of /basis; texts as objects, as cubes take them."""
    kept = _read(store, _key(run_id, "basis_fits"))
    return {name: values.astype(object) if values.dtype.kind == "U" else values for name, values in kept.items()}


def score_all(night: Night, book: Book) -> tuple[dict[str, np.ndarray], Findings]:
    """Return the variables of /validation, and findings for estimators in use whose forecasts fail."""
    has_series = night.store.exists(_key(night.run_id, "basis_series"))
    with_basis = np.flatnonzero(~book.is_option)
    scores = [SeriesScores()] * book.n_instruments
    if has_series:
        for at, receipt in zip(with_basis, _map(night, "validate", score_unit, len(with_basis)), strict=True):
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
