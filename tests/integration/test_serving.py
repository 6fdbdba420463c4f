"""Everything on one machine: submitted nights are followed, cancelled and resumed; a dead one is marked Crashed."""

import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml
from support.nights import GRID, settings, write_inputs

CANARY = "canary-0815"


@pytest.fixture(scope="module")
def told():
    """What is sent to the address for notifications."""
    messages = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            messages.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        messages.append(server.server_port)
        yield messages
        server.shutdown()


@pytest.fixture(scope="module")
def served(tmp_path_factory, told):
    """`make serve` with free ports; gives its environment and its folder."""
    folder = tmp_path_factory.mktemp("served")
    inputs = write_inputs(folder / "inputs", n_accounts=60)
    configs = folder / "configs"
    configs.mkdir()
    data = settings(inputs, folder / "store", executor="local", scenarios={"grid": GRID}, book="desk")
    (configs / "desk.yaml").write_text(yaml.safe_dump(data))
    environment = os.environ | {
        "RISKPIPE_CONFIGS": str(configs),
        "RISKPIPE_NOTIFY_URL": f"json://127.0.0.1:{told[0]}/{CANARY}",
    }
    ports = ["--prefect-port", "0", "--scheduler-port", "0", "--dashboard-port", "0"]
    command = [sys.executable, "-m", "flows", "serve", "--home", str(folder / "home"), "--workers", "1", *ports]
    with (folder / "serve.log").open("w+") as log:
        serving = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
        url = None
        for line in serving.stdout:
            if found := re.search(r"PREFECT_API_URL=(\S+)", line):
                url = found[1]
                break
        assert url is not None, (folder / "serve.log").read_text()
        yield environment | {"PREFECT_API_URL": url}, folder, command
        serving.send_signal(signal.SIGINT)
        said = serving.communicate(timeout=30)[0]
        assert serving.returncode == 130, said


def start(served, *options):
    command = [sys.executable, "-m", "riskpipe", "submit", "desk.yaml", *options]
    return subprocess.Popen(command, env=served[0], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def until(process, words):
    lines = []
    for line in process.stdout:
        lines.append(line)
        if words in line:
            return "".join(lines)
    return pytest.fail("".join(lines))


def run_of(served, said):
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    name = re.search(r"flow-run/([0-9a-f-]{36})", said)[1]
    with temporary_settings({PREFECT_API_URL: served[0]["PREFECT_API_URL"]}), get_client(sync_client=True) as client:
        return client.read_flow_run(name)


def test_a_night_whose_process_is_killed_is_crashed_notified_and_finished_by_the_next(served, told):
    with start(served, "--publish") as first:
        said = until(first, "calibrate: 0")
        pid = int(run_of(served, said).labels["riskpipe.process"].split("/")[2])
        os.kill(pid, signal.SIGKILL)
        rest = first.communicate(timeout=60)[0]
    assert first.returncode == 4, rest
    assert run_of(served, said).state.name == "Crashed"
    store = served[1] / "store"
    assert not list(store.glob("published/*/*.json"))
    with start(served, "--publish") as second:
        done = second.communicate(timeout=120)[0]
    assert second.returncode == 0, done
    assert "ingest: 0 of 1" not in done, "the stage that was done is not done again"
    assert len(list(store.glob("published/desk/*.json"))) == 1
    report = Path(re.search(r"^report:\s+(\S+)$", done, flags=re.MULTILINE)[1])
    assert report.is_file()
    assert [message["title"] for message in told[1:]] == ["riskpipe: ad-hoc Crashed"]


def test_ctrl_c_cancels_a_submitted_night_and_leaves_nothing_visible(served):
    before = list((served[1] / "store").glob("published/*/*.json"))
    with start(served, "--publish", "--set", "scenarios.grid.index_shock=[-0.25, 0.0]") as submitted:
        said = until(submitted, "calibrate: 0")
        submitted.send_signal(signal.SIGINT)
        rest = submitted.communicate(timeout=90)[0]
    assert submitted.returncode == 130, rest
    assert run_of(served, said).state.name == "Cancelled"
    assert list((served[1] / "store").glob("published/*/*.json")) == before


def test_a_second_one_says_that_one_is_running_and_where(served):
    environment, _, command = served
    second = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 2
    assert environment["PREFECT_API_URL"].removesuffix("/api") in second.stderr


def test_the_secret_of_notifications_is_in_no_log_and_no_result(served):
    folder = served[1]
    files = [path for path in folder.rglob("*") if path.is_file() and "prefect.db" not in path.name]
    assert any("flows.log" in path.name for path in files)
    assert not [path for path in files if CANARY.encode() in path.read_bytes()]
