"""The Prefect server of one command: found, or started for as long as it runs; and what is said when it is lost."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, temporary_settings

from riskpipe.errors import ClusterLost, RiskpipeError
from riskpipe.run.processes import Service, answers, free_port, running

_DRAIN_S = 10


def server_service(port: int) -> Service:
    """Return a server without a user interface, on the loopback interface."""
    command = [
        sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app", "--host", "127.0.0.1",
        "--port", str(port), "--log-level", "error", "--lifespan", "on",
    ]  # fmt: skip
    # what Prefect itself sets for a server that lives as long as one flow
    environment = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    return Service("Prefect server", command, lambda: answers(port, "/api/health"), environment=environment)


@contextmanager
def reachable_server() -> Iterator[str]:
    """Give the address of the server that is configured (PREFECT_API_URL), or of one started for the `with` block.

    Prefect would start one by itself, in this process's own group: a Ctrl-C would end the server first, and the flow
    would then wait for it to take note.
    """
    configured = PREFECT_API_URL.value()
    if configured:
        with _all_sent():
            yield str(configured)
        return
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    with running([server_service(port)]), temporary_settings({PREFECT_API_URL: url}), _all_sent():
        yield url


@contextmanager
def _all_sent() -> Iterator[None]:
    """Wait at the end for the threads that send logs and task runs' states: they do not outlive the command."""
    try:
        yield
    finally:
        APILogWorker.drain_all(timeout=_DRAIN_S)
        EventsWorker.drain_all(timeout=_DRAIN_S)


@contextmanager
def loss_told() -> Iterator[None]:
    """Raise ClusterLost for what Prefect raises in the `with` block when its server is gone, after its own retries.

    A night that had failed already, and whose server then was not there to be told, ends with the night's own error:
    that is what somebody must act on.
    """
    try:
        yield
    except RiskpipeError:
        raise
    except Exception as error:
        chain = list(_chain(error))
        for earlier in chain:
            if isinstance(earlier, RiskpipeError):
                earlier.add_note("besides, the Prefect server does not answer, and does not know of this")
                raise earlier from None
        if not any(map(_is_loss, chain)):
            raise
        raise ClusterLost(
            f"the Prefect server at {PREFECT_API_URL.value()} does not answer ({chain[0]}). What is done stays "
            "done: start the server, and the same command goes on where this one stopped"
        ) from error


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Give an error and what it came of, newest first."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def _is_loss(error: BaseException) -> bool:
    """Tell whether a server was not there, or was there and could not answer."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= 500
    return isinstance(error, httpx.TransportError)
