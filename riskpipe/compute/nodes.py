"""Nodes: the command lines of a scheduler and of a worker as processes of their own, checked before they listen."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from riskpipe.compute.clusters import LOCAL_SETTINGS, LOOPBACK, PAGE, SCHEDULER_SETTINGS
from riskpipe.compute.security import TlsFiles, refuse_open, tls_files


def scheduler_command(
    host: str, port: int, *, dashboard: str | None = None, security: Mapping[str, Any] | None = None
) -> Sequence[str]:
    """Return the command of a scheduler that listens on a host and port, its dashboard at `dashboard` (host:port).

    Raises ConfigError for a host beyond loopback without certificates, and for any dashboard beyond it: a dashboard
    asks nobody for a certificate.
    """
    tls = tls_files(security)
    scheme = "tls" if tls else "tcp"
    refuse_open(f"{scheme}://{host}:{port}", has_tls=tls is not None, what="scheduler")
    own = ["--protocol", f"{scheme}://", "--host", host, "--port", str(port), "--no-jupyter", *_pages(dashboard)]
    return [sys.executable, "-m", "distributed.cli.dask_scheduler", *own, *_tls_options(tls)]


def worker_command(
    scheduler: str,
    *,
    host: str | None = None,
    dashboard: str | None = None,
    memory_limit_bytes: int | None = None,
    security: Mapping[str, Any] | None = None,
) -> Sequence[str]:
    """Return the command of a worker of one thread that joins a scheduler and listens on `host`.

    Without a host it listens on loopback, or over TLS on every interface. Its dashboard, with its health and metrics,
    is at `dashboard` (host:port). Raises ConfigError for addresses beyond loopback without certificates, and for any
    dashboard beyond it.
    """
    tls = tls_files(security)
    refuse_open(scheduler, has_tls=tls is not None, what="worker")
    scheme = "tls" if scheduler.startswith("tls://") else "tcp"  # it speaks as its scheduler does
    if host is None and scheme == "tcp":
        host = LOOPBACK  # where its scheduler is; Dask by itself would listen on every interface
    if host is not None:
        refuse_open(f"{scheme}://{host}:0", has_tls=tls is not None, what="worker")
    where = [] if host is None else ["--host", host]
    own = ["--nworkers", "1", "--nthreads", "1", *_pages(dashboard), "--memory-limit", str(memory_limit_bytes or 0)]
    return [sys.executable, "-m", "distributed.cli.dask_worker", scheduler, *own, *where, *_tls_options(tls)]


def node_environment() -> dict[str, str]:
    """Return what a node's environment adds: one thread for compiled code, and Dask's rules of a local cluster."""
    rules = {
        f"DASK_{name.upper().replace('.', '__').replace('-', '_')}": str(value)
        for name, value in LOCAL_SETTINGS.items()
        if name.startswith("distributed.worker.memory.") or name in SCHEDULER_SETTINGS
    }
    return {"NUMBA_NUM_THREADS": "1", **rules}


def _pages(dashboard: str | None) -> list[str]:
    """Return the options of a node's pages: without a dashboard it still serves some, of its tasks and its log."""
    if dashboard is None:
        return ["--no-dashboard", "--dashboard-address", PAGE]
    refuse_open(dashboard, has_tls=False, what="dashboard")
    return ["--dashboard-address", dashboard]


def _tls_options(tls: TlsFiles | None) -> list[str]:
    return [] if tls is None else ["--tls-ca-file", tls.ca, "--tls-cert", tls.cert, "--tls-key", tls.key]
