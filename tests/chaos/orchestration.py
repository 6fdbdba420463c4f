"""Orchestration: the flow's own process dies, or the Prefect server under it; a server without a hitch is shared."""

import contextlib
import json
import os
import time
import urllib.request
from pathlib import Path
from typing import Any

from chaos.failure import Failure
from chaos.laws import nothing_or_right, right
from chaos.moments import drawn, wait_for_moment
from chaos.processes import Command, Ended, Processes, wait_until
from chaos.results import TOO_LATE
from chaos.scene import LONGEST_S, Scene
from chaos.shared import shared
from support.s3 import free_port

START_S = 180.0
LOST = 4
"""Exit code of a flow whose server is gone."""
RETRIES = "4"
"""How often a client asks a server that does not answer, 2, 4, 8 and 16 s apart; a flow has some last words."""
FAILED = {"FAILED", "CRASHED"}
Runs = dict[str, dict[str, Any]]
"""Flow runs by their ids."""


class Prefect:
    """A Prefect server with a home of its own, which comes back on the same port with the same database."""

    def __init__(self, folder: Path, **environment: str):
        self._port = free_port()
        self.api = f"http://127.0.0.1:{self._port}/api"
        self.environment = {
            "PREFECT_HOME": str(folder / "home"),
            "PREFECT_API_URL": self.api,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            **environment,
        }
        self.processes = Processes(folder, **self.environment)
        self.server: Command
        self.start()
        self.wait()

    def start(self) -> None:
        """Start the server; it needs ten seconds and more until it answers."""
        arguments = ("server", "start", "--host", "127.0.0.1", "--port", self._port)
        self.server = self.processes.start("server", "-m", "prefect", *arguments)

    def wait(self) -> None:
        """Wait until it answers."""
        wait_until(self._answers, timeout=START_S, what="a Prefect server answers")

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.api}/health", timeout=5) as answer:  # noqa: S310
            return answer.status == 200
        time.sleep(0.2)
        return False

    def close(self) -> None:
        """End the server."""
        self.processes.__exit__()

    def new_runs(self, earlier: Runs | None = None) -> Runs:
        """Return the latest flow runs but for those that were there earlier."""
        request = urllib.request.Request(  # noqa: S310  the server is this test's own
            f"{self.api}/flow_runs/filter",
            data=b'{"sort": "EXPECTED_START_TIME_DESC"}',
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return {run["id"]: run for run in json.load(answer) if run["id"] not in (earlier or {})}

    def agrees(self, earlier: Runs, ended: Ended) -> None:
        """What the server says of a command's flow run is how the command ended."""
        states = [run["state"]["type"] for run in self.new_runs(earlier).values()]
        if ended.code == 0 and states != ["COMPLETED"]:
            raise Failure(f"a flow that succeeded is {states} on the server")
        if ended.code and (len(states) > 1 or not set(states) <= FAILED):
            raise Failure(f"a flow that ended with {ended.code} is {states} on the server\n{ended.output[-2000:]}")


def shared_server(scene: Scene) -> Prefect:
    return shared(
        "prefect", lambda: Prefect(scene.folder / f"prefect-{os.getpid()}", PREFECT_CLIENT_MAX_RETRIES=RETRIES)
    )


def flow(scene: Scene, seed: int, folder: Path) -> str:
    """The flow's process dies; the server never calls it completed, and the same command finishes the night."""
    random = drawn("flow", seed)
    server = shared_server(scene)
    earlier = server.new_runs()
    with Processes(folder, **server.environment) as processes:
        config = scene.config(folder, folder / "store", executor=random.choice(("serial", "local")), n_workers=2)
        night = processes.start("flow", "-m", "flows", "nightly", "--config", config)
        seconds = 2.0 * scene.seconds  # Prefect takes its time, too
        moment = wait_for_moment(random, folder / "store", seconds, lambda: night.is_over)
        was_over = night.is_over
        night.kill()
        was_published = nothing_or_right(scene, folder / "store")
        killed = server.new_runs(earlier)
        if not was_published and any(run["state"]["type"] == "COMPLETED" for run in killed.values()):
            raise Failure("the server calls a killed flow completed, and nothing is published")
        ended = processes.start("flow", "-m", "flows", "nightly", "--config", config).succeeds(LONGEST_S)
        right(scene, folder / "store")
        server.agrees(earlier | killed, ended)
        now = server.new_runs(earlier)
        for run_id, run in killed.items():
            state, was = now[run_id]["state"]["type"], run["state"]["type"]
            if state != (was if was == "COMPLETED" else "CRASHED"):
                raise Failure(f"a flow whose process was killed is {state} on the server after the next start")
    return f"killed {moment}{f' ({TOO_LATE})' if was_over else ''}; again in {ended.seconds:.0f} s"


def server(scene: Scene, seed: int, folder: Path) -> str:
    """The Prefect server dies under a flow and comes back after a while, or only when the flow has ended."""
    random = drawn("server", seed)
    prefect = shared_server(scene)
    earlier = prefect.new_runs()
    with Processes(folder, **prefect.environment) as processes:
        config = scene.config(folder, folder / "store")
        night = processes.start("flow", "-m", "flows", "nightly", "--config", config)
        moment = wait_for_moment(random, folder / "store", 2.0 * scene.seconds, lambda: night.is_over)
        prefect.server.kill_all()
        pause, is_back = random.uniform(0.0, 5.0), random.random() < 0.7
        if is_back:
            time.sleep(pause)
            prefect.start()
        ended = night.wait(LONGEST_S * 2)
        if not is_back:
            prefect.start()
        prefect.wait()
        if ended.code == 0:
            right(scene, folder / "store")
            prefect.agrees(earlier, ended)
        else:
            nothing_or_right(scene, folder / "store")
        if ended.code not in {0, LOST}:
            raise Failure(f"a lost server ended the flow with {ended.code}, expected {LOST}\n{ended.output[-2000:]}")
        states = [run["state"]["type"] for run in prefect.new_runs(earlier).values()]
        if "COMPLETED" in states and ended.code:
            raise Failure(f"the server says completed, the flow ended with {ended.code}\n{ended.output[-2000:]}")
        if ended.code:
            processes.start("flow", "-m", "flows", "nightly", "--config", config).succeeds(LONGEST_S)
            right(scene, folder / "store")
    back = f"back after {pause:.1f} s" if is_back else "back afterwards"
    return f"killed {moment}, {back}; flow ended with {ended.code} after {ended.seconds:.0f} s"
