"""Benchmarks run once at a tiny size, so that they never rot."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GOALS = {
    "health pass over bare loop, 16% crossing a tier": ">= 0.4",
    "health pass over bare loop, none crossing": ">= 0.7",
    "health pass over fastest of numpy, scipy.sparse, Polars": ">= 3",
    "health pass over faster of pandas, xarray/dask.array": ">= 100",
    "whole block over one dense health pass": None,  # 2 and 1.2 times the later passes
    "later rounds: cost of a pass over touched pools, in dense passes": "",
    "later rounds: fit of a proportional curve, R squared": "",
    "compute stage over kernel seconds / workers": "<= 1.1",
    "Dask tasks over blocks": None,
    "two processes over one, over the same of the bare loop": ">= 0.9",
    "growth exponent in positions": "0.95 to 1.05",
    "growth exponent in scenarios": "0.95 to 1.05",
    "anonymous memory of a worker at its peak over the promise": "<= 1.1",
    "snapshot to Book over read_table": "<= 3",
    "writes and marks over compute, auto block size": "<= 0.05",
    "same bits in halves of that slab": ">= 1",
    "cells of portfolio scans over bare loop": "",
    "basis fits on two workers over one serial arch loop": "<= 1",
    "same bits of fits on workers and in one process": ">= 1",
    "riskpipe --help over import typer": "",
    "first call of the kernel, from the cache, seconds": "",
}
BASELINES = ("numpy", "scipy.sparse", "Polars", "pandas", "xarray over dask.array")


def tiny(out, *arguments):
    command = [sys.executable, "-m", "tests.benchmarks", "--smoke", "--out", out, *arguments]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    out = tmp_path_factory.mktemp("bench") / "bench.json"
    return tiny(out), json.loads(out.read_text()), out


def test_every_row_is_measured_and_shows_its_goal(smoke):
    done, result, _ = smoke
    assert done.returncode == 0, done.stderr
    assert not result["failed"]
    for name, goal in GOALS.items():
        figure = result["figures"][name]
        assert math.isfinite(figure["value"]), name
        assert goal is None or figure["goal"] == goal, name
        assert name in done.stdout
    assert any(name.startswith("riskpipe synth --accounts") for name in result["figures"])
    assert any(name.startswith("anonymous bytes at the peak") for name in result["figures"])


def test_every_baseline_counts_the_pools_that_the_kernel_counts(smoke):
    details = smoke[1]["details"]["baselines"]
    assert {name: details[f"{name}: most pools counted otherwise"] for name in BASELINES} == dict.fromkeys(BASELINES, 0)


def test_dask_is_given_a_task_for_each_block_and_one_for_each_worker(smoke):
    details = smoke[1]["details"]["night"]
    assert sum(details["Dask tasks"].values()) == details["blocks"] + 2


def test_fits_have_the_same_bits_anywhere_and_one_that_fails_spoils_no_other(smoke):
    result = smoke[1]
    assert result["figures"]["same bits of fits on workers and in one process"]["value"] == 1.0
    assert result["details"]["fits"]["without an estimator"] == 1


def test_machine_versions_and_sizes_are_told(smoke):
    result = smoke[1]
    assert result["about"]["memory_gb"] > 0
    assert {"processor", "cores", "python", "numpy", "numba", "commit"} <= result["about"].keys()
    assert result["sizes"]["snapshot_accounts"] > 0


def test_a_second_run_compares_with_the_first(smoke):
    _, before, out = smoke
    again = tiny(out, "--only", "help", "--against", out)
    assert again.returncode == 0, again.stderr
    assert f"against the run of {before['about']['when']}" in again.stdout
    assert "riskpipe --help over import typer" in again.stdout


@pytest.mark.system  # for its minute, not for what it needs
def test_rows_that_are_measured_by_name_only_are_measured(tmp_path):
    out = tmp_path / "bench.json"
    done = tiny(out, "--only", "orchestration", "--only", "many-blocks")
    assert done.returncode == 0, done.stderr
    figures = json.loads(out.read_text())["figures"]
    assert figures["Prefect and Dask in a night of minutes, share of its time"]["goal"] == "<= 0.1"
    assert figures["a block among many over one among few"]["goal"] == "<= 1.1"
    assert figures["the last of many blocks over as many of the first"]["goal"] == "<= 1.1"
