"""Processes: how one is told from all others, whether it still lives, and services kept running side by side."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from riskpipe.errors import ComputeError, ConfigError

_STOP_S = 8.0
_RESTARTS = 5
# run first in each service: it ends with the process that started it, however that ends (Linux)
_WITH_PARENT = (
    "import ctypes, os, sys\n"
    "try:\n    ctypes.CDLL(None).prctl(1, 15)\n"
    "except (AttributeError, OSError):\n    pass\n"
    "os.execv(sys.argv[1], sys.argv[1:])"
)


def process_name(pid: int | None = None) -> str:
    """Name a process of this machine so that no other one ever has the same name: host, boot, number and start."""
    number = os.getpid() if pid is None else pid
    return f"{socket.gethostname()}/{_boot()}/{number}/{_start(number)}"


def is_dead_here(name: str) -> bool:
    """Tell whether a name is of a process of this host that has ended; of other hosts nothing is known: False."""
    parts = name.split("/")
    if len(parts) != 4 or parts[0] != socket.gethostname() or not parts[2].isdecimal():
        return False
    return process_name(int(parts[2])) != name


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"


def _start(pid: int) -> str:
    """Return when a process started, in ticks since boot; `ended` when there is none."""
    try:
        rest = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        if Path("/proc/self/stat").exists():
            return "ended"
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return "ended"
        except OSError:
            pass
        return "unknown"
    return "ended" if rest[0] in {"Z", "X"} else rest[19]


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether somebody listens there."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1.0):
        return True
    return False


def answers(port: int, path: str) -> bool:
    """Tell whether HTTP on the loopback interface answers 200 there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2.0)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@dataclass
class Service:
    """A process that is to run until it is stopped.

    Attributes
    ----------
    command: what is run. is_ready: whether it serves. log: the file that takes its output; None = nowhere.
    environment: what is added to this process's. restarts: how often it was started again since it last ran for long.
    since: when it was started, by the monotonic clock.
    """

    name: str
    command: Sequence[str]
    is_ready: Callable[[], bool] = lambda: True
    log: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    restarts: int = 0
    since: float = 0.0
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it in a process group of its own: a terminal's Ctrl-C reaches only whoever started it."""
        self.since = time.monotonic()
        with contextlib.ExitStack() as stack:
            output = subprocess.DEVNULL if self.log is None else stack.enter_context(self.log.open("ab"))
            self.process = subprocess.Popen(  # noqa: S603  commands are made here, not taken from outside
                [sys.executable, "-c", _WITH_PARENT, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=os.environ | dict(self.environment),
            )

    @property
    def is_running(self) -> bool:
        """Whether its process lives."""
        return self.process is not None and self.process.poll() is None

    def wait_until_ready(self, timeout_s: float) -> None:
        """Wait until it serves; ComputeError with the end of its log when it ends before, or takes too long."""
        deadline = time.monotonic() + timeout_s
        while not self.is_ready():
            if not self.is_running or time.monotonic() > deadline:
                what = "does not serve" if self.is_running else "ended"
                raise ComputeError(f"{self.name} {what} (of {timeout_s:g} s){self.last_words()}")
            time.sleep(0.1)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and all it has started."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)

    def last_words(self) -> str:
        """Return the end of its log, to be added to an error."""
        if self.log is None or not self.log.exists():
            return ""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
        return f"; see {self.log}" + "".join(f"\n  {line}" for line in lines)


def stop(services: Sequence[Service]) -> None:
    """Stop services, all at once; what does not end by itself is killed, with all it has started."""
    for service in reversed(services):
        service.signal(signal.SIGTERM)
    deadline = time.monotonic() + _STOP_S
    for service in services:
        if service.process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                service.process.wait(max(0.1, deadline - time.monotonic()))
            service.signal(signal.SIGKILL)
            service.process.wait()


@contextlib.contextmanager
def running(services: Sequence[Service], *, timeout_s: float = 180.0) -> Iterator[None]:
    """Start services, each when the one before it serves; stop all at the end."""
    try:
        for service in services:
            service.start()
            service.wait_until_ready(timeout_s)
        yield
    finally:
        stop(services)


def keep_running(
    services: Sequence[Service], say: Callable[[str], None], *, look_s: float = 1.0, healthy_s: float = 600.0
) -> None:
    """Start again what ends, until interrupted; ComputeError for a service that keeps ending.

    What has run for `healthy_s` before it ended has not kept ending: its restarts are counted anew.
    """
    while True:
        for service in services:
            if service.is_running:
                continue
            if time.monotonic() - service.since > healthy_s:
                service.restarts = 0
            if service.restarts >= _RESTARTS:
                raise ComputeError(f"{service.name} has ended {_RESTARTS + 1} times{service.last_words()}")
            service.restarts += 1
            say(f"{service.name} has ended: starting it again ({service.restarts} of {_RESTARTS} times)")
            service.start()
        time.sleep(look_s)


@contextlib.contextmanager
def only_one(lock: Path, what: str) -> Iterator[Callable[[str], None]]:
    """Hold a lock file, and give what keeps a note beside it; ConfigError with the holder's note when it is held."""
    note = lock.with_suffix(".txt")
    holder = FileLock(lock)
    try:
        holder.acquire(blocking=False)
    except Timeout as error:
        about = note.read_text(encoding="utf-8").strip() if note.exists() else ""
        raise ConfigError(f"{what} already: {about or lock}") from error

    def keep(text: str) -> None:
        note.write_text(f"{text}\n", encoding="utf-8")

    try:
        yield keep
    finally:
        note.unlink(missing_ok=True)
        holder.release()
