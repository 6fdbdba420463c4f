"""How many tasks Dask is given: preloaded into the scheduler of a local cluster, which lives in this process."""

from collections import Counter
from typing import Any

from distributed.diagnostics.plugin import SchedulerPlugin

counted: Counter[str] = Counter()
"""Tasks by the first word of their key."""


class _Count(SchedulerPlugin):
    name = "riskpipe-benchmark-task-count"

    def __init__(self) -> None:
        self.seen: set[Any] = set()

    def transition(self, key: Any, start: str, *_args: Any, **_kwargs: Any) -> None:
        if start == "released" and key not in self.seen:
            self.seen.add(key)
            counted[str(key).split("-")[0]] += 1


def dask_setup(scheduler: Any) -> None:
    """Start counting; called by the scheduler that preloads this module."""
    scheduler.add_plugin(_Count())
