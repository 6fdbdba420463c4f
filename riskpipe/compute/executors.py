"""Executors: what runs units of work, and how one is opened."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, Self

from riskpipe.compute.clusters import ExecutorSpec, connecting
from riskpipe.compute.doors import refuse_open_doors
from riskpipe.compute.security import tls_files
from riskpipe.compute.submission import DaskExecutor
from riskpipe.compute.units import Item, Receipt, attempt
from riskpipe.compute.workers import Workers


class Executor(Protocol):
    """Runs pure units of work."""

    @property
    def n_workers(self) -> int:
        """Count the units that run at the same time."""

    @property
    def is_serial(self) -> bool:
        """Tell whether blocks run in this very process, so that a `memory://` store can be used."""

    def with_priority(self, priority: int) -> "Executor":
        """Return the same executor whose blocks overtake waiting ones of a lower priority, of whichever run."""

    def stop(self) -> None:
        """Make every map that runs on this executor, in whichever thread, cancel its blocks and fail soon."""

    def performance_report(self, keep: Callable[[bytes], None]) -> AbstractContextManager[None]:
        """Hand the engine's own page about what runs inside the `with` block to `keep`; nothing where there is none."""

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

    def with_priority(self, priority: int) -> Self:  # noqa: ARG002  one block at a time has nothing to overtake
        """See Executor."""
        return self

    def stop(self) -> None:
        """See Executor: blocks run in the thread that would be told to stop."""

    def performance_report(self, keep: Callable[[bytes], None]) -> AbstractContextManager[None]:  # noqa: ARG002
        """See Executor: this process has no such page."""
        return contextlib.nullcontext()

    def map_blocks(
        self, unit: Callable[[Item], Receipt], items: Sequence[Item], *, on_done: Callable[[Item, Receipt], None]
    ) -> None:
        """See Executor."""
        for item in items:
            on_done(item, attempt(unit, None, item))


@contextlib.contextmanager
def make_executor(
    spec: ExecutorSpec,
    *,
    n_workers: int | None = None,
    block_timeout_s: float = 600.0,
    start_timeout_s: float = 120.0,
    memory_limit_bytes: int | None = None,
    security: Mapping[str, Any] | None = None,
) -> Iterator[Executor]:
    """Open an executor and close it, with the cluster it started, at the end.

    Parameters
    ----------
    spec: "serial"; "local" (a cluster of processes with one thread each on the loopback interface); a scheduler's
        address; or {"class": dotted name of a `distributed.deploy.Cluster` or of a function that returns one, "kwargs":
        {...}, "adapt": {"minimum": 1, "maximum": n} to let it follow its work}.
    n_workers: workers to start (local: as many as cores; a cluster class: what it does by itself; address: ignored).
    block_timeout_s: the longest time that a block may run while no other finishes before the map fails.
    start_timeout_s: the longest wait for a first worker, and then for what each says it is.
    memory_limit_bytes: per local worker, anonymous and mapped together, beyond which it is stopped and another started;
        None = no limit (Dask counts memory-mapped book pages, which the system can drop at any time).
    security: {"ca", "cert", "key"}, certificate files for mutual TLS; None = those of the environment, if any.

    Raises
    ------
    ConfigError: when `spec` is none of these, or what it names is open to strangers. ComputeError: when there is no
    scheduler or worker, or a worker would compute other bits.
    """
    if spec == "serial":
        yield SerialExecutor()
        return
    with connecting(spec, n_workers, memory_limit_bytes, security) as connect:
        workers = Workers(connect, start_timeout_s=start_timeout_s)
        if not isinstance(spec, str):  # its workers are here now: a cluster of a class may listen wherever it likes
            refuse_open_doors(workers.client(), has_tls=tls_files(security) is not None)
        yield DaskExecutor(workers, block_timeout_s=block_timeout_s)
