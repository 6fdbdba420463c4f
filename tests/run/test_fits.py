"""Fits and scores on workers: the bits of one process, and what cannot be fitted spoils nothing else."""

import json

import numpy as np
import pytest
from support.basis_changes import basis_changes

from riskpipe.calibrate.fits import FitSettings, SeriesFit
from riskpipe.calibrate.hourly import HourlySeries
from riskpipe.calibrate.spreads.measured import PairMeasures, PairSeries
from riskpipe.calibrate.validation import SeriesScores
from riskpipe.compute import SerialExecutor, make_executor
from riskpipe.cube.store import open_store
from riskpipe.run.fits import fit_unit, keep_series, map_series, score_unit
from riskpipe.run.inputs import arrays_of, write_arrays
from riskpipe.run.spreads import SERIES as SPREADS
from riskpipe.run.spreads import measure_unit

RUN = "2024-08-05T000000Z-0123456789abcdef"
SETTINGS = FitSettings(0.97, 48)
HUGE, SHORT, ABSENT = 3, 5, 7
N, N_HOURS = 10, 1_050
UNITS = (fit_unit, score_unit, measure_unit)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    uri = str(tmp_path_factory.mktemp("fits"))
    changes = np.array([basis_changes(N_HOURS, seed=seed, n_gaps=5) for seed in range(N)])
    changes[HUGE] *= 1e300  # squares overflow, so that no estimator's forecasts are finite
    changes[SHORT, 400:] = np.nan
    changes[ABSENT] = np.nan
    moves = np.random.default_rng(1).normal(0.0, 0.005, changes.shape)
    level = np.nancumsum(changes, axis=1)
    keep_series(open_store(uri), RUN, HourlySeries(changes, level, moves))
    spread = np.where(np.isnan(changes), np.nan, level)
    trade = np.tile([-1.0, 1.0, 0.01, 0.19, 0.0, 0.02, 0.18, 0.0], (N, 1))
    pairs = PairSeries(spread, spread, moves + np.nan_to_num(changes), moves, moves, trade)
    write_arrays(open_store(uri), RUN, SPREADS, arrays_of(pairs))
    return uri


@pytest.fixture(scope="module")
def on_workers(store):
    with make_executor("local", n_workers=2) as executor:
        return {unit: map_series(executor, unit, store, RUN, N, SETTINGS) for unit in UNITS}


@pytest.mark.parametrize("unit", UNITS)
def test_workers_give_the_bits_of_one_process_in_the_order_of_the_series(store, on_workers, unit):
    here = map_series(SerialExecutor(), unit, store, RUN, N, SETTINGS)
    assert json.dumps(on_workers[unit]) == json.dumps(here)


@pytest.mark.parametrize(("n_series", "n_workers", "units"), [(300, 2, 19), (10, 2, 10), (1, 8, 1), (64, 4, 16)])
def test_series_are_handed_out_some_at_a_time_each_once_and_every_worker_gets_some(n_series, n_workers, units):
    seen = []

    class Recorder(SerialExecutor):
        def map_blocks(self, unit, items, *, on_done):
            seen.extend(items)
            super().map_blocks(unit, items, on_done=on_done)

    executor = Recorder()
    executor.n_workers = n_workers
    found = map_series(executor, lambda job: [{"row": row} for row in job.rows], "", RUN, n_series, SETTINGS)
    assert [one["row"] for one in found] == list(range(n_series))
    assert len(seen) == units


def test_what_cannot_be_fitted_stays_in_its_cell(on_workers):
    fits = [SeriesFit.from_json(receipt) for receipt in on_workers[fit_unit]]
    used = ["reverting_mixture"] * N
    used[HUGE], used[SHORT], used[ABSENT] = "", "ewma", ""
    assert [fit.estimator for fit in fits] == used
    assert all("not finite" in reason or "times what was forecast" in reason or "Error" in reason
               for reason in fits[HUGE].refused), fits[HUGE].refused  # fmt: skip
    assert fits[SHORT].refused[0].startswith("reverting_mixture: ")
    assert [fit.is_short for fit in fits] == [row == ABSENT for row in range(N)]
    scores = [SeriesScores.from_json(receipt) for receipt in on_workers[score_unit]]
    assert [one.n_scored > 0 for one in scores] == [row not in {HUGE, SHORT, ABSENT} for row in range(N)]
    pairs = [PairMeasures.from_json(receipt) for receipt in on_workers[measure_unit]]
    assert [one.estimator for one in pairs] == used
    assert [bool(one.problems) for one in pairs] == [row == HUGE for row in range(N)]
    verdicts = {one.verdict for row in (HUGE, SHORT, ABSENT) for one in scores[row].estimators.values()}
    assert verdicts == {"not checked"}
