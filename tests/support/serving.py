"""Everything on one machine, as `make serve` starts it, for tests: its commands, its runs, and who is notified."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from support.nights import settings, write_config

from flows.submission import Submitted, submit


class Served:
    """A running `python -m flows serve`: its folder, the folder of its configurations, its environment."""

    def __init__(self, folder: Path, configs: Path, environment: dict[str, str], command: list[str], pid: int):
        self.folder, self.configs, self.environment, self.command, self.pid = folder, configs, environment, command, pid
        self.orphan: tuple | None = None

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @contextmanager
    def client(self):
        url = self.environment["PREFECT_API_URL"]
        with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
            yield client

    def ended(self, deployment: str, **parameters) -> tuple[Submitted, str]:
        """Run a deployment to its end; return how it ended and its log."""
        said: list[str] = []
        with temporary_settings({PREFECT_API_URL: self.environment["PREFECT_API_URL"]}):
            return submit(deployment, parameters, said.append), "\n".join(said)

    def start(self, *arguments: object, **variables: str) -> subprocess.Popen:
        """Start a module of Python with what speaks to this server."""
        command = [sys.executable, "-m", *map(str, arguments)]
        environment = self.environment | variables
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run_of(self, said: str):
        """Return the flow run that a command's lines name."""
        with self.client() as client:
            return client.read_flow_run(re.search(r"flow-run/([0-9a-f-]{36})", said)[1])

    def write_night(self, name: str, inputs: Path | str, **changes) -> None:
        """Write the configuration of a small night of book `name`; `inputs` may hold a date to fill in."""
        few = {"scenarios": {"grid": {"index_shock": [-0.3, 0.0]}}, "variants": {}, "history": None}
        night = settings(Path(inputs), self.store, executor="local", book=name)
        write_config(self.configs / f"{name}.yaml", night | few | changes)

    def pointers(self, book: str) -> dict[str, bytes]:
        """Return the published nights of a book."""
        return {path.name: path.read_bytes() for path in (self.store / "published" / book).glob("*.json")}


@contextmanager
def serving(folder: Path, configs: Path, *, n_workers: int = 1, **variables: str):
    """Start everything on free ports, give it, and stop it with one Ctrl-C."""
    environment = os.environ | {"RISKPIPE_CONFIGS": str(configs)} | variables
    ports = ["--prefect-port", "0", "--scheduler-port", "0", "--dashboard-port", "0"]
    where = ["--home", str(folder / "home"), "--workers", str(n_workers)]
    command = [sys.executable, "-m", "flows", "serve", *where, *ports]
    with (folder / "serve.log").open("w+") as log:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            url = re.search(r"PREFECT_API_URL=(\S+)", until(process, "PREFECT_API_URL="))[1]
            yield Served(folder, configs, environment | {"PREFECT_API_URL": url}, command, process.pid)
        finally:
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=30)[0]
        assert process.returncode == 130, said


def until(process: subprocess.Popen, words: str) -> str:
    """Read a command's lines until one holds these words, and return all of them."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if words in line:
            return "".join(lines)
    return pytest.fail("".join(lines))


def wait_for(find, *, timeout: float, what: str):
    """Return what `find` finds, asked again until it is something."""
    deadline = time.monotonic() + timeout
    while not (found := find()):
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {timeout:g} s")
        time.sleep(0.5)
    return found
