"""Workers: those of a cluster that a client reaches, compared with this process before they are given blocks."""

import asyncio
import concurrent.futures
import logging
import threading
import time
import uuid
from collections.abc import Callable, Collection
from typing import Any

from riskpipe.compute.cancellation import is_imposed
from riskpipe.compute.clusters import close_quietly
from riskpipe.compute.units import identity_problems, process_identity
from riskpipe.errors import ClusterLost, ComputeError, RiskpipeError

Client = Any  # of distributed, which is slow to import
Future = Any

TROUBLE = logging.getLogger("riskpipe.compute")
"""Is told of workers that are done without, which is no reason to lose a night."""
_ANSWER_S = 30.0
_FIRST = 10**12  # above any block's priority: an urgent night is no reason to think that nobody answers


class Workers:
    """The workers of a cluster, and the client through which they are reached.

    Raises ClusterLost when none answers within `start_timeout_s`, and ComputeError when the sources or the numerics
    fingerprint of one differ from this process's. Those that do not answer while others do are given no block until
    they have: their threads are held by something that does not end, or takes long.
    """

    def __init__(self, connect: Callable[[], Client], *, start_timeout_s: float = 120.0) -> None:
        self.identity = process_identity()
        self._connect, self._start_timeout_s = connect, start_timeout_s
        self._lock = threading.Lock()  # nights side by side share a client
        self._silent: dict[str, Future] = {}
        self._client = self._opened()

    def client(self) -> Client:
        """Return a client that is connected: another one, of workers checked anew, when the scheduler was gone."""
        return self.ready()[0]

    def ready(self) -> tuple[Client, list[str] | None]:
        """Return a connected client, and the addresses of the workers that blocks are to be kept to; None = any."""
        with self._lock:
            if self._client.status != "running":
                close_quietly(self._client)
                self._client = self._opened()
            self._silent = {address: future for address, future in self._silent.items() if not future.done()}
            if not self._silent:
                return self._client, None
            present = set(_present(self._client))
            silent = self._silent.keys() & present
            if silent and silent == present:
                raise ClusterLost(_silence(silent, self._start_timeout_s))
            return self._client, sorted(present - silent) if silent else None

    def n_threads(self) -> int:
        """Count the threads of the workers that blocks may go to."""
        client, only = self.ready()
        return sum(
            int(worker["nthreads"]) for address, worker in _present(client).items() if only is None or address in only
        )

    def _opened(self) -> Client:
        """Return a new client whose workers have been checked."""
        client = self._connect()
        try:
            self._check(client)
        except BaseException:
            close_quietly(client)
            raise
        return client

    def _check(self, client: Client) -> None:
        """Refuse workers whose results could differ, as every block does later ones; keep the profiler off all."""
        from riskpipe.compute.profiler import WithoutProfiler

        try:
            client.wait_for_workers(1, timeout=self._start_timeout_s)
            identities, silent = self._identities(client)
            client.register_plugin(WithoutProfiler())
        except RiskpipeError:
            raise
        except (OSError, TimeoutError, asyncio.CancelledError, concurrent.futures.CancelledError) as error:
            if is_imposed(error):
                raise
            raise ClusterLost(
                f"no worker came within {self._start_timeout_s:g} s: {type(error).__name__} {error}"
            ) from error
        except Exception as error:
            raise ComputeError(f"workers cannot run this package: {type(error).__name__}: {error}") from error
        problems = [
            f"{address}: {problem}"
            for address, found in identities.items()
            for problem in identity_problems(found, self.identity)
        ]
        if problems:
            lines = "".join(f"\n  - {problem}" for problem in problems)
            raise ComputeError(
                f"workers would give other bits than this process ({len(problems)} differences, each as the worker's, "
                f"not this process's). Start them from the same image on the same kind of machine:{lines}"
            )
        if not identities:
            raise ClusterLost(_silence(silent, self._start_timeout_s))
        if silent:
            TROUBLE.warning("%s. The night goes on without them", _silence(silent, self._start_timeout_s))
        self._silent = silent

    def _identities(self, client: Client) -> tuple[dict[str, dict[str, Any]], dict[str, Future]]:
        """Return what workers are, by address, and what those that have not said so in time may still say."""
        futures = {
            address: client.submit(
                process_identity,
                key=f"identity-{uuid.uuid4().hex}",
                workers=[address],
                allow_other_workers=False,
                pure=False,
                priority=_FIRST,
            )
            for address in sorted(_present(client))
        }
        deadline = time.monotonic() + self._start_timeout_s
        identities, silent = {}, {}
        for address, future in futures.items():
            try:
                identities[address] = future.result(timeout=max(0.1, deadline - time.monotonic()))
            except TimeoutError:
                silent[address] = future
        return identities, silent


def _present(client: Client) -> dict[str, Any]:
    """Return what the scheduler says of its workers, by address; ClusterLost when it says nothing."""
    try:
        found = client.sync(client.scheduler.identity, n_workers=-1, callback_timeout=_ANSWER_S)
    except Exception as error:  # of many types
        raise ClusterLost(f"the scheduler does not say who its workers are: {type(error).__name__} {error}") from error
    workers: dict[str, Any] = found["workers"]
    return workers


def _silence(silent: Collection[str], timeout_s: float) -> str:
    who = ", ".join(sorted(silent)) or "any worker"
    return (
        f"no answer within {timeout_s:g} s from {who}: held by a block that does not end, or takes long. Start again "
        "what is held"
    )
