"""Clusters: what a specification names, started or found, and a client connected to it."""

import asyncio
import contextlib
import importlib
import inspect
import logging
import os
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from riskpipe.compute.cancellation import is_imposed
from riskpipe.compute.security import TlsFiles, refuse_open, tls_files
from riskpipe.errors import ClusterLost, ConfigError

ExecutorSpec = str | Mapping[str, Any]
Client = Any  # of distributed, which is slow to import
Target = Any  # an address or a cluster

_CLIENT_TIMEOUT_S = 30.0
_CLOSE_TIMEOUT_S = 15.0
_SPECS = (
    'serial, local, "tcp://host:port", "tls://host:port", or {class: dotted.Name, kwargs: {...}, '
    "adapt: {minimum, maximum}} naming a distributed.deploy.Cluster or a function that returns one"
)

LOOPBACK = "127.0.0.1"
PAGE = f"{LOOPBACK}:0"
"""Where a scheduler's pages are unless asked for elsewhere, on any free port: Dask's own default is every interface."""
SCHEDULER_SETTINGS = {
    # a worker is given its next block when the one before is done: of what waits at a worker that dies, the scheduler
    # thinks that it may have killed it, so that another block, or another night's, would be blamed and given up
    "distributed.scheduler.worker-saturation": 1.0,
}
LOCAL_SETTINGS = {
    **SCHEDULER_SETTINGS,
    # a limit stops a worker that goes beyond it, and nothing else: mapped pages stay resident when a block is done, so
    # a worker that pauses at a share of its limit might never go on
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 1.0,
    # a terminal sends Ctrl-C to workers, too; they are ended by the process that started them, without a traceback each
    "distributed.worker.preload": ["import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"],
}


@contextlib.contextmanager
def connecting(
    spec: ExecutorSpec,
    n_workers: int | None,
    memory_limit_bytes: int | None,
    security: Mapping[str, Any] | None = None,
) -> Iterator[Callable[[], Client]]:
    """Give what connects a new client to what `spec` names (see `make_executor`), started here or found.

    Clients, and the cluster where it was started here, are closed at the end.
    """
    tls = tls_files(security)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_quiet_logs())
        if tls is not None:
            import dask.config

            stack.enter_context(dask.config.set(tls.settings()))
        target = _target(spec, n_workers, memory_limit_bytes, tls, stack)
        yield partial(_connect, target, tls, stack)


def _target(
    spec: ExecutorSpec,
    n_workers: int | None,
    memory_limit_bytes: int | None,
    tls: TlsFiles | None,
    stack: contextlib.ExitStack,
) -> Target:
    """Return what a client connects to: an address, or a cluster that `stack` will close."""
    import dask.config

    if isinstance(spec, str):
        if "://" in spec:
            refuse_open(spec, has_tls=tls is not None, what="executor")
            return spec
        if spec != "local":
            raise ConfigError(f"executor: got {spec!r}, expected {_SPECS}")
        from distributed import LocalCluster

        stack.enter_context(dask.config.set(LOCAL_SETTINGS))
        start: Callable[[], Any] = partial(
            LocalCluster,
            n_workers=n_workers or os.cpu_count() or 1,
            threads_per_worker=1,
            processes=True,
            host=LOOPBACK,
            scheduler_kwargs={"dashboard": False},
            dashboard_address=PAGE,  # its health page only
            memory_limit=memory_limit_bytes or 0,
            silence_logs=logging.CRITICAL,
            env={"NUMBA_NUM_THREADS": "1"},
        )
    else:
        stack.enter_context(dask.config.set(SCHEDULER_SETTINGS))
        start = _cluster_class(spec)
    try:
        cluster = start()
    except Exception as error:
        root: BaseException = error
        while root.__cause__ is not None:  # distributed wraps the reason twice
            root = root.__cause__
        raise ClusterLost(f"executor: the cluster did not start: {type(root).__name__}: {root}") from error
    stack.callback(close_quietly, cluster)
    refuse_open(str(cluster.scheduler_address), has_tls=tls is not None, what="executor")
    if not isinstance(spec, str):
        _size(cluster, spec, n_workers)
    return cluster


def _size(cluster: Client, spec: Mapping[str, Any], n_workers: int | None) -> None:
    """Make a started cluster as large as asked, or let it follow its work."""
    adapt = spec.get("adapt")
    if adapt is not None:
        cluster.adapt(minimum=adapt["minimum"], maximum=adapt["maximum"])
    elif n_workers is not None and "n_workers" not in spec.get("kwargs", {}):
        cluster.scale(n_workers)


def _cluster_class(spec: Mapping[str, Any]) -> Callable[[], Any]:
    """Return a call that starts the cluster named by `spec`."""
    unknown = sorted(spec.keys() - {"class", "kwargs", "adapt"})
    dotted, kwargs = spec.get("class"), spec.get("kwargs", {})
    if unknown or not isinstance(dotted, str) or "." not in dotted or not isinstance(kwargs, Mapping):
        raise ConfigError(f"executor: got {dict(spec)!r}, expected {_SPECS}")
    adapt = spec.get("adapt")
    # with none to start with, no worker would ever be there to be compared with this process
    if adapt is not None and not 1 <= int(adapt.get("minimum", 0)) <= int(adapt.get("maximum", 0)):
        raise ConfigError(f"executor.adapt: got {adapt!r}, expected {{minimum, maximum}} with 1 <= minimum <= maximum")
    module, _, name = dotted.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"executor.class: {dotted} cannot be imported: {error}") from error
    if not _makes_clusters(found):
        raise ConfigError(
            f"executor.class: {dotted} is not a subclass of distributed.deploy.Cluster, nor a function declared to "
            "return one"
        )
    page = {"dashboard_address": PAGE} if "dashboard_address" in inspect.signature(found).parameters else {}
    return partial(found, **{**page, **kwargs})


def _makes_clusters(found: object) -> bool:
    """Tell whether this is a class of clusters, or a function declared to return one (as SSHCluster is)."""
    from distributed.deploy import Cluster

    made = found
    if not isinstance(found, type):
        try:
            made = typing.get_type_hints(found).get("return")
        except (TypeError, NameError):
            return False
    return isinstance(made, type) and issubclass(made, Cluster)


def _connect(target: Target, tls: TlsFiles | None, stack: contextlib.ExitStack) -> Client:
    """Return a client of an address or cluster."""
    from distributed import Client

    try:
        client = Client(target, timeout=_CLIENT_TIMEOUT_S, set_as_default=False)
    except (OSError, TimeoutError) as error:
        hint = "" if tls is None else f" (with the certificate {tls.cert}: is it of the scheduler's authority?)"
        raise ClusterLost(f"executor: no scheduler answers at {target}{hint}: {error}") from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"executor: {target} is not a scheduler's address: {error}") from error
    stack.callback(close_quietly, client)
    return client


def close_quietly(part: Client) -> None:
    """Close a client or cluster whatever its state: results are already safe, or an error is already on its way."""
    try:
        part.close(timeout=_CLOSE_TIMEOUT_S)
    except asyncio.CancelledError as error:
        if is_imposed(error):
            raise
    except Exception:  # noqa: BLE001  of many types
        return


@contextlib.contextmanager
def _quiet_logs() -> Iterator[None]:
    """Silence distributed's loggers: what matters comes back as exceptions, teardown chatter does not."""
    import distributed  # noqa: F401  - it sets its loggers' levels when imported

    names = [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "distributed"]
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
