"""Submission: blocks handed to the workers of a cluster, and what may become of them there."""

import asyncio
import concurrent.futures
import contextlib
import copy
import queue
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from riskpipe.compute.cancellation import is_imposed
from riskpipe.compute.units import Item, Receipt, attempt, block_name
from riskpipe.compute.watch import Watch, listed
from riskpipe.compute.workers import Workers
from riskpipe.errors import ClusterLost, ComputeError, RiskpipeError

Future = Any  # of distributed, which is slow to import

_POLL_S = 0.5


class DaskExecutor:
    """Runs blocks on the workers of a cluster.

    `block_timeout_s` is the longest time that a block may run while no other finishes: then the map fails and names
    where (see Watch); waiting behind others does not count. `deserted_timeout_s` is the longest time without any
    worker: dead ones may be starting again.
    """

    is_serial = False

    def __init__(
        self,
        workers: Workers,
        *,
        block_timeout_s: float = 600.0,
        deserted_timeout_s: float = 60.0,
        priority: int = 0,
    ) -> None:
        self._workers = workers
        self._priority = priority
        self._is_stopped = threading.Event()  # shared with copies of another priority
        self._block_timeout_s = block_timeout_s
        self._deserted_timeout_s = deserted_timeout_s

    @property
    def n_workers(self) -> int:
        """Count the workers' threads."""
        return max(1, self._workers.n_threads())

    def with_priority(self, priority: int) -> "DaskExecutor":
        """See Executor."""
        other = copy.copy(self)
        other._priority = priority  # noqa: SLF001  its own kind
        return other

    def stop(self) -> None:
        """See Executor."""
        self._is_stopped.set()

    @contextlib.contextmanager
    def performance_report(self, keep: Callable[[bytes], None]) -> Iterator[None]:
        """See Executor."""
        from distributed import performance_report

        with tempfile.TemporaryDirectory() as folder, self._workers.client().as_current():
            page = Path(folder) / "performance.html"
            with performance_report(filename=str(page)):
                yield
            keep(page.read_bytes())

    def map_blocks(
        self, unit: Callable[[Item], Receipt], items: Sequence[Item], *, on_done: Callable[[Item, Receipt], None]
    ) -> None:
        """See Executor."""
        if not items:
            return
        # Keys are new in every call: the scheduler must never answer a block from an earlier map.
        own = f"block-{uuid.uuid4().hex}-"
        pending: dict[str, Item] = {f"{own}{index}": item for index, item in enumerate(items)}
        self._refuse_stopped(pending)
        client, only = self._workers.ready()
        finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
        futures: list[Any] = []
        try:
            with _lost_connections_named(items[0]):
                futures = client.map(
                    partial(attempt, unit, self._workers.identity),
                    items,
                    key=list(pending),
                    pure=False,
                    priority=self._priority,
                    workers=only,
                )
                for future in futures:
                    future.add_done_callback(finished.put)
            watch = Watch(
                client,
                own,
                only=only,
                block_timeout_s=self._block_timeout_s,
                deserted_timeout_s=self._deserted_timeout_s,
            )
            while pending:
                future = self._next(finished, watch, pending)
                item = pending[future.key]
                receipt = self._receipt(future, item)
                del pending[future.key]
                on_done(item, receipt)
        finally:
            if pending and client.status == "running":
                with contextlib.suppress(Exception):
                    client.cancel([future for future in futures if future.key in pending], force=True)

    def _next(self, finished: "queue.SimpleQueue[Any]", watch: Watch, pending: Mapping[str, object]) -> Future:
        """Wait for the next future, for as long as there is hope of one."""
        watch.begin()
        while True:
            self._refuse_stopped(pending)
            with contextlib.suppress(queue.Empty):
                return finished.get(timeout=_POLL_S)
            watch.look(pending)

    def _refuse_stopped(self, pending: Mapping[str, object]) -> None:
        if self._is_stopped.is_set():
            raise ComputeError(f"stopped; unfinished: {listed(pending)}")

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
                f"{block_name(item)}: every worker that tried it died ({error.allowed_failures + 1} tries), most "
                "likely for want of memory. Give workers more memory or make blocks smaller"
            ) from error
        except Exception as error:
            raise ComputeError(f"{block_name(item)}: {type(error).__name__}: {error}") from error


@contextlib.contextmanager
def _lost_connections_named(item: object) -> Iterator[None]:
    """Turn the ways in which a lost scheduler shows into one ComputeError (cancellation is no Exception in Python)."""
    from distributed.client import ClosedClientError
    from distributed.comm import CommClosedError

    try:
        yield
    except (
        asyncio.CancelledError,
        concurrent.futures.CancelledError,
        ClosedClientError,
        CommClosedError,
    ) as error:
        if is_imposed(error):
            raise
        raise ClusterLost(f"{block_name(item)}: the connection to the scheduler was lost ({error})") from error
    except TimeoutError as error:
        raise ComputeError(f"{block_name(item)}: its receipt did not arrive in time ({error})") from error
