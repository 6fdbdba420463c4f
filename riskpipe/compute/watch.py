"""Watch: a map that waits for its blocks, and what tells that they will never come.

On a shared cluster a map may wait long for its turn while nothing is wrong. So silence alone does not end it: only
silence in which a worker that has blocks of it stands still, or the whole cluster where none has any.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from riskpipe.compute.units import block_name
from riskpipe.errors import ClusterLost, ComputeError

Client = Any  # of distributed, which is slow to import
Loads = Mapping[str, tuple[bool, Mapping[str, float]]]
"""Of each worker: whether it has blocks of the map, running or waiting; all that it runs, and for how many seconds."""

_LOOK_S = 2.0


class Watch:
    """Looks after one map: raises when the cluster is gone, has no worker left, or stands still.

    `own` is what the keys of its blocks begin with, `only` the workers that they are kept to. A block that runs for
    `block_timeout_s` while no other finishes ends the map. A worker or cluster that does nothing new is looked at
    from half of that on, and for as long as that: one and a half times the timeout ends the map then.
    """

    def __init__(
        self,
        client: Client,
        own: str,
        *,
        only: Sequence[str] | None,
        block_timeout_s: float,
        deserted_timeout_s: float,
    ) -> None:
        self._client, self._own, self._only = client, own, only
        self._block_timeout_s, self._deserted_timeout_s = block_timeout_s, deserted_timeout_s
        self._look_s = min(_LOOK_S, block_timeout_s / 4)
        self.begin()

    def begin(self) -> None:
        """Begin to wait for the next block."""
        self._begun = self._last_staffed = self._last_answer = time.monotonic()
        self._next_look = self._begun + self._look_s
        self._runs: dict[str, tuple[set[str], float]] = {}  # of each worker, and since when it has been the same

    def look(self, pending: Mapping[str, object]) -> None:
        """Look whether `pending`, blocks by their keys, can still come; ClusterLost or ComputeError when not."""
        if self._client.status != "running":
            raise ClusterLost(f"the scheduler is gone; unfinished: {listed(pending)}")
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + self._look_s
        if self._is_staffed():
            self._last_staffed = now
        elif now - self._last_staffed > self._deserted_timeout_s:
            raise ClusterLost(
                f"no worker has been left for {self._deserted_timeout_s:g} s; unfinished: {listed(pending)}. Look at "
                "why the workers ended, and start them again: what is done stays done"
            )
        if now - self._begun >= self._block_timeout_s / 2:
            self._refuse_standstill(now, pending)

    def _is_staffed(self) -> bool:
        """Tell whether the scheduler has a worker for the map; one that does not answer is another matter."""
        n_workers = 1 if self._only is None else -1
        try:
            found = self._client.sync(self._client.scheduler.identity, n_workers=n_workers, callback_timeout=_LOOK_S)
        except Exception:  # noqa: BLE001  a lost connection has many types, and is looked for apart
            return True
        return any(self._only is None or address in self._only for address in found["workers"])

    def _refuse_standstill(self, now: float, pending: Mapping[str, object]) -> None:
        """Raise when no block has finished for the timeout, and the map does not just wait its turn."""
        try:
            question = self._client._run_on_scheduler  # noqa: SLF001  what has no limit of time in public
            loads = self._client.sync(question, _asks_for_loads(self._own), callback_timeout=_LOOK_S)
        except Exception as error:  # as above
            if now - self._last_answer < self._block_timeout_s:
                return
            raise ClusterLost(
                f"the scheduler has not answered for {self._block_timeout_s:g} s ({type(error).__name__}); unfinished: "
                f"{listed(pending)}"
            ) from error
        self._last_answer = now
        stuck = self._stuck(loads, now)
        if not stuck or now - self._begun < self._block_timeout_s:
            return
        who = [
            " with ".join([address, *(block_name(pending[key]) for key in keys if key in pending)])
            for address, keys in stuck.items()
        ]
        raise ComputeError(
            f"no block finished for {self._block_timeout_s:g} s; unfinished: {listed(pending)}. These workers stand "
            f"still: {_first(who)}. Start them again, or raise the block timeout if blocks are really that slow"
        )

    def _stuck(self, loads: Loads, now: float) -> dict[str, list[str]]:
        """Return the workers that keep the map from going on, each with the keys of its blocks that it runs.

        They are those that have blocks of the map and run one for the timeout, or nothing new; where none has any, all
        workers as soon as none runs anything new.
        """
        self._runs = {address: self._unchanged(address, set(runs), now) for address, (_, runs) in loads.items()}
        still = {address for address, (_, since) in self._runs.items() if now - since >= self._block_timeout_s}
        own = {address: [key for key in runs if key.startswith(self._own)] for address, (_, runs) in loads.items()}
        holders = [address for address, (is_holder, _) in loads.items() if is_holder]
        if not holders:
            return own if len(still) == len(loads) else {}
        return {
            address: own[address]
            for address in holders
            if address in still or any(loads[address][1][key] >= self._block_timeout_s for key in own[address])
        }

    def _unchanged(self, address: str, runs: set[str], now: float) -> tuple[set[str], float]:
        """Return what a worker runs, and since when it has been seen to run the same."""
        before, since = self._runs.get(address, (runs, now))
        return runs, (since if before == runs else now)


def listed(pending: Mapping[str, object]) -> str:
    """Name the first blocks of those pending."""
    return _first([block_name(item) for item in pending.values()])


def _first(names: Sequence[str]) -> str:
    return f"{', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"


def _asks_for_loads(own: str) -> Callable[..., dict[str, Any]]:
    """Return what makes a scheduler answer with its workers' loads, as their last heartbeats told them.

    A function within a function travels as code: the scheduler need not have this package.
    """

    def loads(dask_scheduler: Any) -> dict[str, Any]:  # noqa: ANN401  of distributed
        return {
            address: (
                any(str(task.key).startswith(own) for task in worker.processing),
                {str(task.key): seconds for task, seconds in worker.executing.items()},
            )
            for address, worker in dask_scheduler.workers.items()
        }

    return loads
