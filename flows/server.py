"""The Prefect server of one command: found where there is one, else started for as long as the command runs."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, temporary_settings

from riskpipe.run.processes import Service, answers, free_port, running

_DRAIN_S = 5


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
        yield str(configured)
        return
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    with running([server_service(port)]), temporary_settings({PREFECT_API_URL: url}):
        try:
            yield url
        finally:  # logs and task runs' states are sent by threads, and their server is about to end
            APILogWorker.drain_all(timeout=_DRAIN_S)
            EventsWorker.drain_all(timeout=_DRAIN_S)
