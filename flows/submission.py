"""A night handed to a deployment: submitted, followed line by line, cancelled on Ctrl-C."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import LogSort
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelling

from flows.server import loss_told
from flows.steps import CODE_KEY, RESULT_KEY
from riskpipe.errors import ComputeError, ConfigError

DEPLOYMENT = "ad-hoc/ad-hoc"
_LOOK_S = 1.0
_LAST_LINES_S = 4.0
"""How long an ended run's log may still grow: its process sends lines every two seconds, its state at once."""
_CANCEL_S = 60.0
_REFUSED = "Validation of flow parameters failed"
"""How Prefect begins to say that a flow's own checks of its parameters refused them."""


@dataclass(frozen=True)
class Submitted:
    """How a submitted flow run ended."""

    name: str
    state: str
    message: str
    result: dict[str, Any]
    """Where its night's results are; empty when there are none. A night that is complete may belong to a failed run."""
    exit_code: int
    """What the flow's own command would have ended with."""

    def lines(self) -> list[str]:
        """What a command says of the night; nothing where there is none."""
        return _lines(self.result)


def server_url() -> str | None:
    """Return the address of the Prefect server that is configured, None without one."""
    url = PREFECT_API_URL.value()
    return None if url is None else str(url)


def submit(deployment: str, parameters: dict[str, Any], say: Callable[[str], None]) -> Submitted:
    """Start a run of a deployment and follow it to its end, its log going to `say`.

    Ctrl-C cancels it, waits until it has ended, and goes on as KeyboardInterrupt. ConfigError for an unknown deployment
    or parameters that it refuses; ComputeError for a run that crashed, ClusterLost when the server is not there.
    """
    with loss_told(), get_client(sync_client=True) as client:
        try:
            found = client.read_deployment_by_name(deployment)
            run = client.create_flow_run_from_deployment(found.id, parameters=parameters)
        except httpx.TransportError:
            raise
        except Exception as error:  # of types that differ by what refuses
            raise ConfigError(
                f"deployment {deployment!r} at {server_url()} was not started: {_reason(error)}"
            ) from error
        say(f"flow run {run.name} of deployment {deployment} ({_page(run)})")
        try:
            ended = _follow(client, run.id, say)
        except KeyboardInterrupt:
            _cancel(client, run.id, say)
            raise
        state = ended.state
        if state is None or state.type == StateType.CRASHED:
            raise ComputeError(f"flow run {run.name} crashed: {state and state.message}. Submit again to finish it")
        where = _left(client, run.id, RESULT_KEY)
        return Submitted(run.name, state.type.value, state.message or "", where, _exit_code(client, run.id, state))


def _follow(client: SyncPrefectClient, run: UUID, say: Callable[[str], None], seconds: float | None = None) -> FlowRun:
    """Wait for the end of a run and tell its log; with `seconds`, no longer."""
    told, deadline, ended = 0, None if seconds is None else time.monotonic() + seconds, float("inf")
    mine = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run]))
    state: str | None = ""
    while True:
        now = client.read_flow_run(run)
        logs = client.read_logs(mine, sort=LogSort.TIMESTAMP_ASC, limit=200, offset=told)
        told += len(logs)
        for line in logs:
            say(line.message)
        if now.state is not None and now.state.name != state:
            state = now.state.name
            say(f"[{state}]")
        if now.state is not None and now.state.is_final():
            ended = min(ended, time.monotonic())
        if time.monotonic() > min(ended + _LAST_LINES_S, deadline or float("inf")):
            return now
        if not logs:
            time.sleep(_LOOK_S)


def _cancel(client: SyncPrefectClient, run: UUID, say: Callable[[str], None]) -> None:
    """Cancel a run and wait until its process has ended; its worker kills what does not end by itself."""
    say("cancelling; what is done stays done")
    client.set_flow_run_state(run, Cancelling())
    ended = _follow(client, run, say, _CANCEL_S)
    if ended.state is None or not ended.state.is_final():
        say(f"it has not ended after {_CANCEL_S:g} s: its worker will end it, or look at {_page(ended)}")
    for line in _lines(_left(client, run, RESULT_KEY)):
        say(line)


def _exit_code(client: SyncPrefectClient, run: UUID, state: State[Any]) -> int:
    """Return what a run's flow left as its exit code, and that of lost infrastructure where it could not."""
    if state.type == StateType.COMPLETED:
        return 0
    if (state.message or "").startswith(_REFUSED):
        return ConfigError.exit_code
    return int(_left(client, run, CODE_KEY).get("exit_code", ComputeError.exit_code))


def _left(client: SyncPrefectClient, run: UUID, key: str) -> dict[str, Any]:
    """Read the first row of what a run left as an artifact; empty where it made none, as a skipped backfill."""
    # asked for without the client's own method, whose nulls for what is left out this server refuses
    mine = {"flow_run_id": {"any_": [str(run)]}, "key": {"any_": [key]}}
    found = client.request("POST", "/artifacts/filter", json={"artifacts": mine, "sort": "ID_DESC", "limit": 1}).json()
    if not found:
        return {}
    rows = found[0]["data"]
    first: dict[str, Any] = (json.loads(rows) if isinstance(rows, str) else rows)[0]
    return first


def _lines(night: dict[str, Any]) -> list[str]:
    if not night:
        return []
    published = " and published" if night["is_published"] == "True" else ", not published"
    places = (f"{name + ':':<8}{night[name]}" for name in ("took", "cube", "report"))
    return [f"night {night['run_id']} is done{published}", *places]


def _page(run: FlowRun) -> str:
    return f"{str(server_url()).removesuffix('/api')}/runs/flow-run/{run.id}"


def _reason(error: Exception) -> str:
    response = getattr(error, "response", None)
    text = str(error) if response is None else response.text
    return text[:1000]
