"""Compute: run one pure unit of work over many blocks, in this process or on a Dask cluster.

The only module that knows distributed. Blocks are idempotent, so a worker's death is answered by running its block
again; what cannot be answered ends as a ComputeError that names the block. Nothing waits without a limit, and no map
returns before every block has handed in its receipt.
"""

import asyncio
import concurrent.futures
import contextlib
import importlib
import json
import logging
import os
import queue
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from riskpipe.errors import ComputeError, ConfigError, RiskpipeError
from riskpipe.numerics import Fingerprint, numerics_fingerprint, source_hash

Item = TypeVar("Item")
Receipt = Any
ExecutorSpec = str | Mapping[str, Any]
# What distributed calls so; it is imported only where it is used, for it is slow to import.
Client = Any
Future = Any
Target = Any  # an address or a cluster

_POLL_S = 0.5
_CLIENT_TIMEOUT_S = 30.0
_CLOSE_TIMEOUT_S = 15.0
_WORKERS_LOOK_S = 2.0
_SPECS = 'serial, local, "tcp://host:port", or {class: dotted.Name, kwargs: {...}} naming a distributed.deploy.Cluster'

_LOCAL_SETTINGS = {
    # a limit stops a worker that goes beyond it, and nothing else: mapped pages stay resident when a block is done, so
    # a worker that pauses at a share of its limit might never go on
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 1.0,
    # a terminal sends Ctrl-C to workers, too; they are ended by the process that started them, without a traceback each
    "distributed.worker.preload": ["import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"],
}


class Executor(Protocol):
    """Runs pure units of work."""

    @property
    def n_workers(self) -> int:
        """Count the units that run at the same time."""

    @property
    def is_serial(self) -> bool:
        """Tell whether blocks run in this very process, so that a `memory://` store can be used."""

    def map_blocks(
        self, unit: Callable[[Item], Receipt], items: Sequence[Item], *, on_done: Callable[[Item, Receipt], None]
    ) -> None:
        """Call `unit` at least once for every item, and `on_done(item, receipt)` once each in order of completion.

        `unit` must be pure (same item, same effect, however often), picklable by reference, and return a small value
        that JSON can hold; receipts arrive as JSON gives them back (tuples as lists). `str(item)` names the block in
        errors. The first failure cancels what has not started and raises: a RiskpipeError as it is, with a note naming
        the block; anything else as a ComputeError with the block's name and the original message.
        """


class SerialExecutor:
    """Runs blocks one after another in this process, in the order given."""

    n_workers = 1
    is_serial = True

    def map_blocks(
        self, unit: Callable[[Item], Receipt], items: Sequence[Item], *, on_done: Callable[[Item, Receipt], None]
    ) -> None:
        """See Executor."""
        for item in items:
            on_done(item, _attempt(unit, None, item))


class DaskExecutor:
    """Runs blocks on the workers of a connected `distributed.Client`.

    `block_timeout_s` is the longest silence allowed: when no block finishes for so long, the map fails and names what
    it was waiting for. `deserted_timeout_s` is the longest time without any worker: dead ones may be starting again.
    Raises ComputeError at once when a worker's sources or numerics fingerprint differ from this process's.
    """

    is_serial = False

    def __init__(
        self,
        client: Client,
        *,
        block_timeout_s: float = 600.0,
        start_timeout_s: float = 120.0,
        deserted_timeout_s: float = 60.0,
    ) -> None:
        self._client = client
        self._block_timeout_s = block_timeout_s
        self._deserted_timeout_s = deserted_timeout_s
        self._identity = _identity()
        self._check_workers(start_timeout_s)

    @property
    def n_workers(self) -> int:
        """Count the workers' threads."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        return max(1, sum(int(worker["nthreads"]) for worker in workers))

    def map_blocks(
        self, unit: Callable[[Item], Receipt], items: Sequence[Item], *, on_done: Callable[[Item, Receipt], None]
    ) -> None:
        """See Executor."""
        if not items:
            return
        # Keys are new in every call: the scheduler must never answer a block from an earlier map.
        keys = [f"block-{uuid.uuid4().hex}-{index}" for index in range(len(items))]
        pending = dict(zip(keys, items, strict=True))
        finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
        futures: list[Any] = []
        try:
            with _lost_connections_named(items[0]):
                futures = self._client.map(partial(_attempt, unit, self._identity), items, key=keys, pure=False)
                for future in futures:
                    future.add_done_callback(finished.put)
            while pending:
                future = self._next(finished, pending)
                item = pending[future.key]
                receipt = self._receipt(future, item)
                del pending[future.key]
                on_done(item, receipt)
        finally:
            if pending and self._client.status == "running":
                with contextlib.suppress(Exception):
                    self._client.cancel([future for future in futures if future.key in pending], force=True)

    def _next(self, finished: "queue.SimpleQueue[Any]", pending: Mapping[str, object]) -> Future:
        """Wait for the next future, no longer than the block timeout and no longer than scheduler and workers live."""
        now = time.monotonic()
        deadline, last_staffed, next_look = now + self._block_timeout_s, now, now + _WORKERS_LOOK_S
        while True:
            try:
                return finished.get(timeout=_POLL_S)
            except queue.Empty:
                now = time.monotonic()
            if self._client.status != "running":
                raise ComputeError(f"the scheduler is gone; unfinished: {_listed(pending)}")
            if now > deadline:
                raise ComputeError(
                    f"no block finished for {self._block_timeout_s:g} s; unfinished: {_listed(pending)}. Look at the "
                    "workers, or raise the block timeout if blocks are really that slow"
                )
            if now < next_look:
                continue
            next_look = now + _WORKERS_LOOK_S
            if self._is_staffed():
                last_staffed = now
            elif now - last_staffed > self._deserted_timeout_s:
                raise ComputeError(
                    f"no worker has been left for {self._deserted_timeout_s:g} s; unfinished: {_listed(pending)}. Look "
                    "at why the workers ended, and start them again: what is done stays done"
                )

    def _is_staffed(self) -> bool:
        """Tell whether the scheduler has a worker; a scheduler that does not answer is another matter."""
        try:
            found = self._client.sync(self._client.scheduler.identity, n_workers=1, callback_timeout=_WORKERS_LOOK_S)
        except Exception:  # noqa: BLE001  a lost connection has many types, and is looked for apart
            return True
        return bool(found["workers"])

    def _receipt(self, future: Future, item: object) -> Receipt:
        """Fetch a receipt; the block is computed again where the worker that held it has died meanwhile."""
        from distributed.scheduler import KilledWorker

        try:
            with _lost_connections_named(item):
                return future.result(timeout=self._block_timeout_s)
        except RiskpipeError:
            raise
        except KilledWorker as error:
            raise ComputeError(
                f"block {_name(item)}: every worker that tried it died ({error.allowed_failures + 1} tries), most "
                "likely for want of memory. Give workers more memory or make blocks smaller"
            ) from error
        except Exception as error:
            raise ComputeError(f"block {_name(item)}: {type(error).__name__}: {error}") from error

    def _check_workers(self, timeout_s: float) -> None:
        """Refuse workers whose results could differ; every block checks again, for workers that join later."""
        try:
            self._client.wait_for_workers(1, timeout=timeout_s)
            addresses = sorted(self._client.scheduler_info(n_workers=-1)["workers"])
            futures = {
                address: self._client.submit(
                    _identity,
                    key=f"identity-{uuid.uuid4().hex}",
                    workers=[address],
                    allow_other_workers=False,
                    pure=False,
                )
                for address in addresses
            }
            identities = {address: future.result(timeout=timeout_s) for address, future in futures.items()}
        except (OSError, TimeoutError, asyncio.CancelledError, concurrent.futures.CancelledError) as error:
            raise ComputeError(f"no worker answered within {timeout_s:g} s: {type(error).__name__} {error}") from error
        except Exception as error:
            raise ComputeError(f"workers cannot run this package: {type(error).__name__}: {error}") from error
        problems = [
            f"{address}: {problem}"
            for address, identity in identities.items()
            for problem in _identity_problems(identity, self._identity)
        ]
        if problems:
            lines = "".join(f"\n  - {problem}" for problem in problems)
            raise ComputeError(
                f"workers would give other bits than this process ({len(problems)} differences, each as the worker's, "
                f"not this process's). Start them from the same image on the same kind of machine:{lines}"
            )


@contextlib.contextmanager
def make_executor(
    spec: ExecutorSpec,
    *,
    n_workers: int | None = None,
    block_timeout_s: float = 600.0,
    start_timeout_s: float = 120.0,
    memory_limit_bytes: int | None = None,
) -> Iterator[Executor]:
    """Open an executor and close it, with the cluster it started, at the end.

    Parameters
    ----------
    spec: "serial"; "local" (a cluster of processes with one thread each on the loopback interface); a scheduler's
        address; or {"class": dotted name of a `distributed.deploy.Cluster`, "kwargs": {...}}.
    n_workers: workers to start (local: as many as cores; a cluster class: what it does by itself; address: ignored).
    block_timeout_s: the longest time in which no block finishes before the map fails.
    start_timeout_s: the longest wait for a first worker.
    memory_limit_bytes: per local worker, anonymous and mapped together, beyond which it is stopped and another started;
        None = no limit (Dask counts memory-mapped book pages, which the system can drop at any time).

    Raises
    ------
    ConfigError: when `spec` is none of these. ComputeError: when there is no scheduler or worker, or a worker would
    compute other bits.
    """
    if spec == "serial":
        yield SerialExecutor()
        return
    with contextlib.ExitStack() as stack:
        stack.enter_context(_quiet_logs())
        target = _target(spec, n_workers, memory_limit_bytes, stack)
        client = _connect(target, stack)
        yield DaskExecutor(client, block_timeout_s=block_timeout_s, start_timeout_s=start_timeout_s)


def _target(
    spec: ExecutorSpec, n_workers: int | None, memory_limit_bytes: int | None, stack: contextlib.ExitStack
) -> Target:
    """Return what a client connects to: an address, or a cluster that `stack` will close."""
    if isinstance(spec, str):
        if "://" in spec:
            return spec
        if spec != "local":
            raise ConfigError(f"executor: got {spec!r}, expected {_SPECS}")
        import dask.config
        from distributed import LocalCluster

        stack.enter_context(dask.config.set(_LOCAL_SETTINGS))
        start: Callable[[], Any] = partial(
            LocalCluster,
            n_workers=n_workers or os.cpu_count() or 1,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            scheduler_kwargs={"dashboard": False},
            dashboard_address="127.0.0.1:0",  # its health page only, on any free port
            memory_limit=memory_limit_bytes or 0,
            silence_logs=logging.CRITICAL,
            env={"NUMBA_NUM_THREADS": "1"},
        )
    else:
        start = _cluster_class(spec)
    try:
        cluster = start()
    except Exception as error:
        root: BaseException = error
        while root.__cause__ is not None:  # distributed wraps the reason twice
            root = root.__cause__
        raise ComputeError(f"executor: the cluster did not start: {type(root).__name__}: {root}") from error
    stack.callback(_close_quietly, cluster)
    if n_workers is not None and not isinstance(spec, str) and "n_workers" not in spec.get("kwargs", {}):
        cluster.scale(n_workers)
    return cluster


def _cluster_class(spec: Mapping[str, Any]) -> Callable[[], Any]:
    """Return a call that starts the cluster named by `spec`."""
    from distributed.deploy import Cluster

    unknown = sorted(spec.keys() - {"class", "kwargs"})
    dotted, kwargs = spec.get("class"), spec.get("kwargs", {})
    if unknown or not isinstance(dotted, str) or "." not in dotted or not isinstance(kwargs, Mapping):
        raise ConfigError(f"executor: got {dict(spec)!r}, expected {_SPECS}")
    module, _, name = dotted.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"executor.class: {dotted} cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Cluster)):
        raise ConfigError(f"executor.class: {dotted} is not a subclass of distributed.deploy.Cluster")
    return partial(found, **kwargs)


def _connect(target: Target, stack: contextlib.ExitStack) -> Client:
    """Return a client of an address or cluster."""
    from distributed import Client

    try:
        client = Client(target, timeout=_CLIENT_TIMEOUT_S, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise ComputeError(f"executor: no scheduler answers at {target}: {error}") from error
    except ValueError as error:
        raise ConfigError(f"executor: {target} is not a scheduler's address: {error}") from error
    stack.callback(_close_quietly, client)
    return client


def _close_quietly(part: Client) -> None:
    """Close a client or cluster whatever its state: results are already safe, or an error is already on its way."""
    with contextlib.suppress(Exception, asyncio.CancelledError):
        part.close(timeout=_CLOSE_TIMEOUT_S)


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


@contextlib.contextmanager
def _lost_connections_named(item: object) -> Iterator[None]:
    """Turn the ways in which a lost scheduler shows into one ComputeError (cancellation is no Exception in Python)."""
    from distributed.comm import CommClosedError

    try:
        yield
    except (asyncio.CancelledError, concurrent.futures.CancelledError, CommClosedError) as error:
        raise ComputeError(f"block {_name(item)}: the connection to the scheduler was lost ({error})") from error
    except TimeoutError as error:
        raise ComputeError(f"block {_name(item)}: its receipt did not arrive in time ({error})") from error


def _attempt(unit: Callable[[Item], Receipt], expected: Mapping[str, Any] | None, item: Item) -> Receipt:
    """Run one block where it is; `expected` is the identity a remote process must have."""
    if expected is not None and (problems := _identity_problems(_identity(), expected)):
        raise ComputeError(f"block {_name(item)}: its worker would give other bits: {'; '.join(problems)}")
    try:
        return json.loads(json.dumps(unit(item)))
    except RiskpipeError as error:
        error.add_note(f"in block {_name(item)}")
        raise
    except Exception as error:
        raise ComputeError(f"block {_name(item)}: {type(error).__name__}: {error}") from error


def _identity() -> dict[str, Any]:
    """Return what must be equal between the processes of one run."""
    return {"sources": source_hash(), "facts": dict(numerics_fingerprint().facts)}


def _identity_problems(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """List how a process differs from the one expected."""
    problems = Fingerprint.from_facts(found["facts"]).differences(Fingerprint.from_facts(expected["facts"]))
    if found["sources"] != expected["sources"]:
        problems.append(f"riskpipe sources: {found['sources'][:16]}, not {expected['sources'][:16]}")
    return problems


def _name(item: object) -> str:
    """Name a block in a message."""
    text = str(item)
    return text if len(text) <= 200 else f"{text[:197]}..."


def _listed(pending: Mapping[str, object]) -> str:
    """Name the first blocks of those pending."""
    names = [_name(item) for item in pending.values()]
    return f"{', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"
