"""A night submitted straight to a scheduler: it tells what a night of its own cluster tells, and Ctrl-C ends it."""

import json
import os
import signal
import time

import pytest
from support.nights import metrics_of, riskpipe_command, settings, start_command, write_config

from riskpipe.compute.nodes import node_environment, scheduler_command, worker_command
from riskpipe.cube.catalogue import night_names
from riskpipe.cube.store import open_store
from riskpipe.run.processes import Service, free_port, listens, running


@pytest.fixture
def scheduler(tmp_path):
    """A scheduler and a worker as their commands start them."""
    port = free_port()
    address, environment = f"tcp://127.0.0.1:{port}", os.environ | node_environment()
    command = scheduler_command("127.0.0.1", port)
    services = [
        Service("scheduler", command, lambda: listens(port), tmp_path / "s.log", environment),
        Service("worker", worker_command(address, host="127.0.0.1"), log=tmp_path / "w.log", environment=environment),
    ]
    with running(services, timeout_s=60):
        yield address


def test_it_tells_every_block_and_counts_it(inputs, tmp_path, scheduler):
    config = write_config(tmp_path / "c.yaml", settings(inputs, tmp_path / "s", block_size=32))
    watching = {"RISKPIPE_LOG_FORMAT": "json", "RISKPIPE_METRICS_FILE": str(tmp_path / "riskpipe.prom")}
    found = riskpipe_command("submit", config, "--scheduler", scheduler, check=True, env=os.environ | watching)
    blocks = [event for line in found.stderr.splitlines() if (event := json.loads(line))["event"] == "block done"]
    assert sorted(event["block"] for event in blocks) == [0, 1]
    assert metrics_of(tmp_path / "riskpipe.prom")["riskpipe_blocks_done_total", None] == 2


def test_ctrl_c_cancels_its_blocks_and_leaves_nothing_visible(inputs, tmp_path, scheduler):
    shocks = [-0.9 + n / 100 for n in range(100)]  # times 8 and two variants: minutes of blocks
    grid = settings(inputs, tmp_path)["scenarios"]["grid"] | {"index_shock": shocks}
    changes = {"block_size": 1, "scenarios": {"grid": grid}}
    store = tmp_path / "s"
    config = write_config(tmp_path / "c.yaml", settings(inputs, store, **changes))
    night = start_command("submit", config, "--scheduler", scheduler, "--publish")
    try:
        deadline = time.monotonic() + 300
        while len(list(store.glob("runs/*/marks/block-*.json"))) < 3:
            assert night.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        night.send_signal(signal.SIGINT)
        assert night.wait(60) == 130
    finally:
        night.kill()
        night.wait()
    assert not night_names(open_store(str(store)))
    time.sleep(2)  # for the block that was under way
    begun = set(store.glob("runs/*/attempts/block-*.json"))
    assert len(begun) < 1000
    time.sleep(3)
    assert set(store.glob("runs/*/attempts/block-*.json")) == begun, "no block starts once it is cancelled"
