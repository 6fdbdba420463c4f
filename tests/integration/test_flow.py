"""The nightly flow on a real Prefect server: stages as task runs, artifacts, and failures that are failures."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from support.nights import marks, metrics_of, settings, write_config, write_inputs


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A Prefect home of its own, so that runs of other tests and of the user are not seen."""
    folder = tmp_path_factory.mktemp("prefect")
    return os.environ | {
        "PREFECT_HOME": str(folder),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }


def test_a_flow_publishes_and_shows_its_stages_and_a_broken_one_fails(home, tmp_path):
    inputs = write_inputs(tmp_path / "inputs", n_accounts=60)
    reached = {
        "measure": "liquidation",
        "variable": "rounds",
        "reduce": "max",
        "breach": 0.0,
        "owner": "a",
        "action": "b",
    }
    night = settings(inputs, tmp_path / "store", executor="local", n_workers=1, risk_limits={"rounds": reached})
    config = write_config(tmp_path / "c.yaml", night)
    command = [sys.executable, "-m", "flows", "nightly", "--config", str(config)]
    watched = home | {"RISKPIPE_METRICS_FILE": str(tmp_path / "riskpipe.prom")}
    done = subprocess.run(command, env=watched, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    blocks = metrics_of(tmp_path / "riskpipe.prom")["riskpipe_blocks_done_total", None]
    assert blocks == len(marks(tmp_path / "store")) > 0
    assert "is done and published" in done.stdout
    assert list((tmp_path / "store").glob("published/*.json"))
    (inputs / "snapshot/quotes.parquet").unlink()
    broken = subprocess.run(command, env=home, capture_output=True, text=True, timeout=300, check=False)
    assert broken.returncode == 1
    assert "quotes" in broken.stderr
    with contextlib.closing(sqlite3.connect(f"file:{home['PREFECT_HOME']}/prefect.db?mode=ro", uri=True)) as server:
        runs = "from flow_run where state_name <> 'Crashed'"  # which the other test leaves, if it ran before
        flows = [name for (name,) in server.execute(f"select state_name {runs}")]
        found = server.execute(f"select name from task_run where flow_run_id in (select id {runs})")
        tasks = [name.rsplit("-", 1)[0] for (name,) in found]
        artifacts = [key for (key,) in server.execute("select key from artifact where key is not null")]
    assert sorted(flows) == ["Completed", "Failed"]
    stages = "ingest calibrate scenarios compute validate spreads exhaustion attribution accounts seal report"
    assert sorted(tasks) == sorted(["open", *stages.split(), "publish", "alert", "changes", "open"])
    assert sorted(artifacts) == ["riskpipe-headlines", "riskpipe-limits", "riskpipe-result", "riskpipe-summary"]


def test_ctrl_c_ends_a_flow_and_its_own_server_within_seconds_and_says_so_to_the_server(home, tmp_path):
    inputs = write_inputs(tmp_path / "inputs", n_accounts=60)
    config = write_config(tmp_path / "c.yaml", settings(inputs, tmp_path / "store"))
    command = [sys.executable, "-m", "flows", "nightly", "--config", str(config)]
    with subprocess.Popen(
        command, env=home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as flow:
        for line in flow.stdout:
            if "Beginning flow run" in line:
                name = line.split("'")[1]
            if "ingest: 0 of 1" in line:
                break
        os.killpg(flow.pid, signal.SIGINT)  # as a terminal does
        begun = time.monotonic()
        said = flow.communicate(timeout=60)[0]
    assert flow.returncode == 130, said
    assert time.monotonic() - begun < 15
    assert "goes on where this one stopped" in said
    with contextlib.closing(sqlite3.connect(f"file:{home['PREFECT_HOME']}/prefect.db?mode=ro", uri=True)) as server:
        assert server.execute("select state_name from flow_run where name = ?", [name]).fetchall() == [("Crashed",)]
