"""Submission: blocks handed to the workers of a cluster, and what may become of them there."""

import asyncio
import concurrent.futures
import contextlib
import copy
import queue
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from riskpipe.compute.cancellation import is_imposed
from riskpipe.compute.units import Item, Receipt, attempt, block_name, identity_problems, process_identity
from riskpipe.errors import ClusterLost, ComputeError, RiskpipeError

Client = Any  # of distributed, which is slow to import
Future = Any

_POLL_S = 0.5
_WORKERS_LOOK_S = 2.0


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
        priority: int = 0,
    ) -> None:
        self._client = client
        self._priority = priority
        self._is_stopped = threading.Event()  # shared with copies of another priority
        self._block_timeout_s = block_timeout_s
        self._deserted_timeout_s = deserted_timeout_s
        self._identity = process_identity()
        self._check_workers(start_timeout_s)

    @property
    def n_workers(self) -> int:
        """Count the workers' threads."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        return max(1, sum(int(worker["nthreads"]) for worker in workers))

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

        with tempfile.TemporaryDirectory() as folder, self._client.as_current():
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
        keys = [f"block-{uuid.uuid4().hex}-{index}" for index in range(len(items))]
        pending = dict(zip(keys, items, strict=True))
        finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
        futures: list[Any] = []
        try:
            with _lost_connections_named(items[0]):
                futures = self._client.map(
                    partial(attempt, unit, self._identity), items, key=keys, pure=False, priority=self._priority
                )
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
            if self._is_stopped.is_set():
                raise ComputeError(f"stopped; unfinished: {_listed(pending)}")
            try:
                return finished.get(timeout=_POLL_S)
            except queue.Empty:
                now = time.monotonic()
            if self._client.status != "running":
                raise ClusterLost(f"the scheduler is gone; unfinished: {_listed(pending)}")
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
                raise ClusterLost(
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
                f"{block_name(item)}: every worker that tried it died ({error.allowed_failures + 1} tries), most "
                "likely for want of memory. Give workers more memory or make blocks smaller"
            ) from error
        except Exception as error:
            raise ComputeError(f"{block_name(item)}: {type(error).__name__}: {error}") from error

    def _check_workers(self, timeout_s: float) -> None:
        """Refuse workers whose results could differ, as every block does later ones; keep the profiler off all."""
        from riskpipe.compute.profiler import WithoutProfiler

        try:
            self._client.wait_for_workers(1, timeout=timeout_s)
            addresses = sorted(self._client.scheduler_info(n_workers=-1)["workers"])
            futures = {
                address: self._client.submit(
                    process_identity,
                    key=f"identity-{uuid.uuid4().hex}",
                    workers=[address],
                    allow_other_workers=False,
                    pure=False,
                )
                for address in addresses
            }
            identities = {address: future.result(timeout=timeout_s) for address, future in futures.items()}
            self._client.register_plugin(WithoutProfiler())
        except (OSError, TimeoutError, asyncio.CancelledError, concurrent.futures.CancelledError) as error:
            if is_imposed(error):
                raise
            raise ClusterLost(f"no worker answered within {timeout_s:g} s: {type(error).__name__} {error}") from error
        except Exception as error:
            raise ComputeError(f"workers cannot run this package: {type(error).__name__}: {error}") from error
        problems = [
            f"{address}: {problem}"
            for address, found in identities.items()
            for problem in identity_problems(found, self._identity)
        ]
        if problems:
            lines = "".join(f"\n  - {problem}" for problem in problems)
            raise ComputeError(
                f"workers would give other bits than this process ({len(problems)} differences, each as the worker's, "
                f"not this process's). Start them from the same image on the same kind of machine:{lines}"
            )


@contextlib.contextmanager
def _lost_connections_named(item: object) -> Iterator[None]:
    """Turn the ways in which a lost scheduler shows into one ComputeError (cancellation is no Exception in Python)."""
    from distributed.comm import CommClosedError

    try:
        yield
    except (asyncio.CancelledError, concurrent.futures.CancelledError, CommClosedError) as error:
        if is_imposed(error):
            raise
        raise ClusterLost(f"{block_name(item)}: the connection to the scheduler was lost ({error})") from error
    except TimeoutError as error:
        raise ComputeError(f"{block_name(item)}: its receipt did not arrive in time ({error})") from error


def _listed(pending: Mapping[str, object]) -> str:
    """Name the first blocks of those pending."""
    names = [block_name(item) for item in pending.values()]
    return f"{', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"
