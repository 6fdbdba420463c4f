"""What Prefect is told before it is imported is in force in the process that `python -m flows` starts."""

import json
import os
import subprocess
import sys

from riskpipe.run.processes import free_port

FLOW = """
import contextlib, json, runpy, sys

sys.argv = ["flows", "nightly", "--config", "none.yaml"]
with contextlib.suppress(SystemExit):
    runpy.run_module("flows", run_name="__main__", alter_sys=True)

from prefect.settings import get_current_settings

found = get_current_settings()
print(json.dumps([found.flows.heartbeat_frequency, found.server.analytics_enabled]))
"""


def said(script, tmp_path, **variables):
    """Run a script in a process that is told nothing but these variables, with a Prefect server that is not there."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    own.pop("DO_NOT_TRACK", None)
    nobody = {"PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api", "PREFECT_CLIENT_MAX_RETRIES": "0"}
    environment = own | nobody | {"PREFECT_HOME": str(tmp_path)} | variables
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def test_a_flow_by_command_sends_heartbeats_as_often_as_the_automation_on_dead_runs_wants_and_nothing_home(tmp_path):
    done = said(FLOW, tmp_path)
    assert "does not answer" in done.stderr, "it is the flow that was run"
    assert json.loads(done.stdout.splitlines()[-1]) == [30, False]


def test_what_an_operator_has_set_stands(tmp_path):
    done = said(FLOW, tmp_path, PREFECT_FLOWS_HEARTBEAT_FREQUENCY="45")
    assert json.loads(done.stdout.splitlines()[-1]) == [45, False]


def test_the_processes_of_a_local_cluster_do_not_load_prefect(tmp_path):
    assert said("import flows.__main__, sys; print('prefect' in sys.modules)", tmp_path).stdout == "False\n"
