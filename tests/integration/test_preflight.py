"""What a night says it will take, what it took, and what is refused before it starts."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from support.nights import marks, riskpipe_command, run_on, settings, write_config

from riskpipe.errors import ConfigError


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_run_over_its_limits_is_refused_with_exit_2_before_anything_is_kept(inputs, tmp_path, form):
    limits = {"blocks": 3, "store_bytes": 1000, "core_hours": 1e6}
    config = write_config(tmp_path / "c.yaml", settings(inputs, tmp_path / "store", block_size=2, limits=limits))
    found = riskpipe_command("run", config, *form)
    assert found.returncode == 2
    assert found.stdout == ""
    assert "limits.blocks: 32 blocks predicted, 3 allowed: set a larger block_size" in found.stderr
    assert "limits.store_bytes: " in found.stderr
    assert "core_hours" not in found.stderr
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file()]


def test_a_night_says_what_it_will_take_and_tells_what_it_took(inputs, tmp_path):
    store, heard = tmp_path / "store", []
    result = run_on(inputs, store, say=heard.append, block_size=4, executor="local", n_workers=2)
    named, forecast = heard
    assert named == f"run {result.run_id} in {store}"
    assert forecast.startswith("preflight: 16 blocks of 64 scenarios; ")
    assert "on 2 workers" in forecast
    run = store / "runs" / result.run_id
    predicted, measured = result.preflight["predicted"], result.preflight["measured"]
    plan = json.loads((run / "plan.json").read_text())
    assert predicted == {**plan["preflight"], "wall_seconds": predicted["wall_seconds"]}
    assert (measured["blocks"], measured["tries"], measured["workers"]) == (16, 16, 2)
    assert predicted["blocks"] == 16
    assert predicted["computed_scenarios"] == 32, "half of them differ in volatility alone"
    kept = [path for name in ("cube.zarr", "parts") for path in (run / name).rglob("*") if path.is_file()]
    assert measured["store_bytes"] == sum(path.stat().st_size for path in kept)
    assert 0.5 < measured["store_bytes"] / predicted["store_bytes"] < 2
    records = [json.loads(path.read_text()) for path in run.glob("attempts/block-*.json")]
    assert measured["core_seconds"] == pytest.approx(
        sum(record["seconds"]["compute"] + record["seconds"]["write"] for record in records)
    )
    assert 0 < measured["wall_seconds"] < measured["core_seconds"] + measured["load_seconds"]
    if sys.platform == "linux":
        assert all(0 < r["anonymous_bytes"]["before"] <= r["anonymous_bytes"]["peak"] for r in records)
        assert 0.6 < measured["worker_bytes"] / predicted["worker_bytes"] < 1.1
    report = json.loads((run / "report" / "report.json").read_text())
    assert "preflight" in json.dumps(report)
    heard.clear()
    again = run_on(inputs, store, say=heard.append, block_size=4, limits={"blocks": 1})
    assert (again.run_id, again.was_complete, heard) == (result.run_id, True, [named])
    assert again.preflight == result.preflight


def test_a_resume_is_held_against_the_limits_of_its_own_configuration(inputs, tmp_path):
    store, heard = tmp_path / "store", []
    first = run_on(inputs, store, block_size=8)
    assert first.preflight["measured"]["wall_seconds"] > 0
    run = store / "runs" / first.run_id
    lost = ["manifest.json", "marks/block-00003.json", *(f"marks/stage-{name}.json" for name in ("compute", "seal"))]
    for name in lost:
        (run / name).unlink()
    with pytest.raises(ConfigError, match=r"limits\.blocks: 8 blocks predicted, 7 allowed"):
        run_on(inputs, store, limits={"blocks": 7})
    resumed = run_on(inputs, store, say=heard.append, limits={"blocks": 8})
    assert resumed.run_id == first.run_id
    assert heard[1].endswith("; 1 block is left")
    measured = resumed.preflight["measured"]
    assert (measured["blocks"], measured["tries"]) == (8, 9)
    assert measured["wall_seconds"] is None, "not one stretch"
    assert "not measured" in resumed.took


def test_a_night_that_stresses_nothing_says_so(inputs, tmp_path):
    store = tmp_path / "store"
    result = run_on(inputs, store, scenarios={"grid": {"depth_factor": [1.0, 0.5]}})
    [mark] = store.glob(f"runs/{result.run_id}/marks/stage-ingest.json")
    [finding] = [one for one in json.loads(mark.read_text())["findings"] if one["reason"] == "no_stressed_scenario"]
    assert finding["severity"] == "warning"


@pytest.mark.parametrize("executor", ["serial", "local"])
def test_an_interrupted_night_says_in_one_line_that_the_same_command_finishes_it(inputs, tmp_path, executor):
    store = tmp_path / "store"
    shape = settings(inputs, store, block_size=1, executor=executor, n_workers=1)
    config = write_config(tmp_path / "c.yaml", shape)
    process = subprocess.Popen(
        [sys.executable, "-m", "riskpipe", "run", str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while len(marks(store)) < 3 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the command and all it has started
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    said = [line for line in err.splitlines() if not line.startswith(("run 2026-01-05T", "preflight: "))]
    assert said == ["riskpipe: interrupted; the same command goes on where this one stopped"]
    assert riskpipe_command("run", config, check=True).returncode == 0
