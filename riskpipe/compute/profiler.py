"""Dask's statistical profiler, which is kept off workers.

It asks for all threads' frames a hundred times a second. Before CPython 3.11.9 that call deadlocks with a thread that
is being started (https://github.com/python/cpython/issues/106883): a worker then holds its block for ever, and its
scheduler waits for it.
"""

from distributed import Worker
from distributed.diagnostics.plugin import WorkerPlugin

CALLBACKS = ("profile", "profile-cycle")


class WithoutProfiler(WorkerPlugin):
    """Stop the profiler of every worker of a cluster, and of those that join later."""

    name = "riskpipe-without-profiler"

    def setup(self, worker: Worker) -> None:
        """See WorkerPlugin."""
        for name in CALLBACKS:
            callback = worker.periodic_callbacks.pop(name, None)
            if callback is not None:
                callback.stop()
