"""Processes of a disturbed night: started in sessions of their own, killed by their ids, none left behind."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
from chaos.failure import Failure
from support.s3 import free_port

from riskpipe.compute.nodes import node_environment

ROOT = Path(__file__).parents[2]
POLL_S = 0.01


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    output: str
    seconds: float


class Command:
    """A process with all it starts, and its output in a file."""

    def __init__(self, arguments, log: Path, environment, cwd):
        self.log = log
        self._started = time.monotonic()
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [*map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=environment,
                cwd=cwd,
            )

    @property
    def output(self) -> str:
        """What it said so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    @property
    def is_over(self) -> bool:
        """Whether the process has ended, whatever became of those that it started."""
        return self.process.poll() is not None

    def wait(self, timeout: float) -> Ended:
        """Wait for the end; a command that hangs is the failure that chaos is there to find."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failure(f"it hangs: no end after {timeout:g} s\n{self.output[-2000:]}") from None
        return Ended(code, self.output, time.monotonic() - self._started)

    def succeeds(self, timeout: float) -> Ended:
        """Wait for the end, which must be a good one."""
        ended = self.wait(timeout)
        if ended.code:
            raise Failure(f"a night that nothing disturbs ended with {ended.code}\n{ended.output[-3000:]}")
        return ended

    def kill(self) -> None:
        """End the process itself, and nothing that it started, as `kill -9` does."""
        self.process.kill()
        self.process.wait()

    def kill_all(self) -> None:
        """End the process and all of its session."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def members(self) -> list[psutil.Process]:
        """List what is alive of its session but the process itself."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                if (
                    process.pid != self.process.pid
                    and os.getsid(process.pid) == self.process.pid
                    and process.status() != psutil.STATUS_ZOMBIE
                ):
                    found.append(process)
        return found


class Processes:
    """Starts commands that write into a folder; leaving it kills whatever is left of any of them."""

    launcher: tuple[str, ...] = ()
    """What stands before every command, such as the one that enters another host."""

    def __init__(self, folder: Path, **environment: str):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
            "NUMBA_NUM_THREADS": "1",
            **environment,
        }
        self._started: list[Command] = []

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        for command in reversed(self._started):
            command.kill_all()

    def execute(self, name: str, *words: object, **environment: str) -> Command:
        """Start any command."""
        log = self.folder / f"{name}-{len(self._started)}.log"
        command = Command((*self.launcher, *words), log, self.environment | environment, self.folder)
        self._started.append(command)
        return command

    def start(self, name: str, *arguments: object, **environment: str) -> Command:
        """Start `python ARGUMENTS`."""
        return self.execute(name, sys.executable, *arguments, **environment)

    def riskpipe(self, *arguments: object, **environment: str) -> Command:
        """Start `riskpipe ARGUMENTS`."""
        return self.start(f"riskpipe-{arguments[0]}", "-m", "riskpipe", *arguments, **environment)


class Cluster:
    """A scheduler and its workers as separate processes, on a port that a new scheduler takes over."""

    def __init__(
        self, processes: Processes, *, n_workers: int = 2, preload: Path | None = None, port: int | None = None
    ):
        self._processes = processes
        self.preload = preload
        self._port = port or free_port()
        self.address = f"tcp://127.0.0.1:{self._port}"
        self.scheduler: Command
        self.workers: list[Command] = []
        self.start_scheduler()
        for _ in range(n_workers):
            self.start_worker()

    def start_scheduler(self) -> None:
        """Start a scheduler."""
        pages = ("--dashboard-address", "127.0.0.1:0", "--no-dashboard")  # its health page only, on any free port
        arguments = ("--host", "127.0.0.1", "--port", self._port, *pages)
        module = ("-m", "distributed.cli.dask_scheduler")
        self.scheduler = self._processes.start("scheduler", *module, *arguments, **node_environment())

    def start_worker(self) -> None:
        """Start a worker under a nanny, which starts it again when it dies."""
        arguments = (self.address, "--nworkers", 1, "--nthreads", 1, "--no-dashboard", "--memory-limit", 0)
        folder = ("--local-directory", self._processes.folder)
        preload = ("--preload", self.preload) if self.preload else ()
        worker = self._processes.start("worker", "-m", "distributed.cli.dask_worker", *arguments, *folder, *preload)
        self.workers.append(worker)

    def replace_workers(self) -> None:
        """Kill all workers, and start as many others, as whatever watches over them does."""
        old, self.workers = self.workers, []
        for worker in old:
            worker.kill_all()
            self.start_worker()


def kill_computing_process(worker: Command) -> bool:
    """Kill the process in which a worker's nanny has blocks computed; False when there is none at the moment."""
    for process in worker.members():
        with contextlib.suppress(psutil.Error):
            if any("spawn_main" in argument for argument in process.cmdline()):
                process.kill()
                return True
    return False


def wait_until(is_so: Callable[[], bool], *, timeout: float, what: str) -> None:
    """Wait, looking often, for something that must come true."""
    deadline = time.monotonic() + timeout
    while not is_so():
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not within {timeout:g} s")
        time.sleep(POLL_S)
