"""Fits and scores on workers: the bits of one process, and what cannot be fitted spoils nothing else."""

import json

import numpy as np
import pytest
from support.basis_changes import basis_changes

from riskpipe.calibrate.fits import FitSettings, SeriesFit
from riskpipe.calibrate.hourly import HourlySeries
from riskpipe.calibrate.validation import SeriesScores
from riskpipe.compute import SerialExecutor, make_executor
from riskpipe.cube.store import open_store
from riskpipe.run.fits import fit_unit, keep_series, map_series, score_unit

RUN = "2024-08-05T000000Z-0123456789abcdef"
SETTINGS = FitSettings(0.97, 48)
HUGE, SHORT, ABSENT = 3, 5, 7
N, N_HOURS = 10, 1_050


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    uri = str(tmp_path_factory.mktemp("fits"))
    changes = np.array([basis_changes(N_HOURS, seed=seed, n_gaps=5) for seed in range(N)])
    changes[HUGE] *= 1e300  # squares overflow, so that no estimator's forecasts are finite
    changes[SHORT, 400:] = np.nan
    changes[ABSENT] = np.nan
    moves = np.random.default_rng(1).normal(0.0, 0.005, changes.shape)
    keep_series(open_store(uri), RUN, HourlySeries(changes, np.nancumsum(changes, axis=1), moves))
    return uri


@pytest.fixture(scope="module")
def on_workers(store):
    with make_executor("local", n_workers=2) as executor:
        return {unit: map_series(executor, unit, store, RUN, N, SETTINGS) for unit in (fit_unit, score_unit)}


@pytest.mark.parametrize("unit", [fit_unit, score_unit])
def test_workers_give_the_bits_of_one_process_in_the_order_of_the_series(store, on_workers, unit):
    here = map_series(SerialExecutor(), unit, store, RUN, N, SETTINGS)
    assert json.dumps(on_workers[unit]) == json.dumps(here)


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
    verdicts = {one.verdict for row in (HUGE, SHORT, ABSENT) for one in scores[row].estimators.values()}
    assert verdicts == {"not checked"}
