"""All of riskpipe on one machine: Prefect server, Dask scheduler and workers, and a worker for the deployments.

Everything listens on the loopback interface only. One Ctrl-C stops it all; what ends by itself is started again.
"""

import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.provision import ROOT, provision
from flows.recovery import POOL
from riskpipe.compute.nodes import node_environment, scheduler_command, worker_command
from riskpipe.errors import ConfigError
from riskpipe.run.memory import machine_bytes
from riskpipe.run.processes import Service, answers, free_port, keep_running, listens, only_one, running
from riskpipe.run.requests import CONFIGS_VARIABLE, SCHEDULER_VARIABLE, configs_folder

AT_ONCE = 4


@dataclass(frozen=True)
class Ports:
    """Where things listen; 0 = any free port."""

    prefect: int = 4200
    scheduler: int = 8786
    dashboard: int = 8787


def serve(home: Path, n_workers: int, ports: Ports, *, memory_share: float) -> None:
    """Start everything and keep it running until interrupted; ConfigError when another one runs in this home.

    The Dask workers may together use `memory_share` of this machine's memory.
    """
    if not 0.0 < memory_share <= 1.0:
        raise ConfigError(f"--memory-share: got {memory_share:g}, expected a share of this machine's memory in (0, 1]")
    home = home.absolute()
    logs = home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    for one in (signal.SIGINT, signal.SIGTERM):  # a shell starts background jobs deaf to SIGINT
        signal.signal(one, _interrupt)
    with only_one(home / "serve.lock", "riskpipe is being served") as keep:
        ports = _chosen(ports)
        url = f"http://127.0.0.1:{ports.prefect}/api"
        scheduler = f"tcp://127.0.0.1:{ports.scheduler}"
        addresses = (
            f"Prefect: http://127.0.0.1:{ports.prefect}   scheduler: {scheduler}   "
            f"dashboard: http://127.0.0.1:{ports.dashboard}/status   logs: {logs}"
        )
        keep(addresses)
        services = _services(home, logs, ports, n_workers, memory_share)
        _say(f"starting {', '.join(service.name for service in services)} (a minute or less)")
        with running(services), temporary_settings({PREFECT_API_URL: url}):
            provision(at_once=AT_ONCE, say=_say)
            flows = _flows(logs, url, scheduler)
            with running([flows]):
                _say(addresses)
                _say(f"submit with: PREFECT_API_URL={url} riskpipe submit nightly.yaml    Ctrl-C stops everything")
                keep_running([*services, flows], _say)


def _services(home: Path, logs: Path, ports: Ports, n_workers: int, memory_share: float) -> list[Service]:
    """Return what runs besides the flows' worker, in the order in which it starts."""
    scheduler = f"tcp://127.0.0.1:{ports.scheduler}"
    prefect = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(ports.prefect)]
    server = {
        "PREFECT_HOME": os.environ.get("PREFECT_HOME", str(home / "prefect")),
        "PREFECT_UI_API_URL": f"http://127.0.0.1:{ports.prefect}/api",
        # slots of concurrency limits must not stay taken when the server is started again
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    }
    node, memory = node_environment(), machine_bytes()
    limit = None if memory is None else int(memory_share * memory / max(1, n_workers))
    dashboard = f"127.0.0.1:{ports.dashboard}"
    return [
        Service("prefect-server", prefect, _healthy(ports.prefect), logs / "prefect-server.log", server),
        Service(
            "scheduler",
            scheduler_command("127.0.0.1", ports.scheduler, dashboard=dashboard),
            lambda: listens(ports.scheduler),
            logs / "scheduler.log",
            node,
        ),
        *(
            Service(f"worker-{n}", worker_command(scheduler, host="127.0.0.1", memory_limit_bytes=limit),
                    log=logs / f"worker-{n}.log", environment=node)
            for n in range(n_workers)
        ),
    ]  # fmt: skip


def _flows(logs: Path, url: str, scheduler: str) -> Service:
    """Return the worker that runs flows of deployments, each in a process of its own."""
    name = f"riskpipe-{socket.gethostname()}"
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process", "--name", name]
    environment = {
        "PREFECT_API_URL": url,
        CONFIGS_VARIABLE: str(configs_folder()),
        SCHEDULER_VARIABLE: os.environ.get(SCHEDULER_VARIABLE, scheduler),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    return Service("flows", command, log=logs / "flows.log", environment=environment)


def _healthy(port: int) -> Callable[[], bool]:
    return lambda: answers(port, "/api/health")


def _chosen(ports: Ports) -> Ports:
    """Return ports with free ones for 0; ConfigError for one that is taken."""
    taken = [port for port in (ports.prefect, ports.scheduler, ports.dashboard) if port and listens(port)]
    if taken:
        raise ConfigError(
            f"port {', '.join(map(str, taken))} of 127.0.0.1 is taken: choose others with --prefect-port, "
            "--scheduler-port and --dashboard-port (0 = any free one)"
        )
    return Ports(ports.prefect or free_port(), ports.scheduler or free_port(), ports.dashboard or free_port())


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
