"""Flow runs whose process died without a word: they bear its name, and are marked Crashed when it is found dead.

A worker that outlives its flow's process reports the crash at once, and so do the automations for hosts that are gone.
What is left are processes that died together with their worker or their server, and runs that a worker had taken and
never began: nobody would take them again.
"""

import sys
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta

from prefect import tags
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.runtime import flow_run
from prefect.states import Crashed

from riskpipe.run.processes import is_dead_here, process_name

PREFIX = "process:"
"""What a tag with the name of a flow run's process begins with."""
POOL = "riskpipe"
"""The work pool of the deployments."""
BEGINS_WITHIN = timedelta(minutes=10)
"""What a worker that has taken a run needs at most to begin it."""
_LIVE = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]


def signed() -> AbstractContextManager[object]:
    """Flow runs that this process makes in the `with` block bear its name from the moment that they are there."""
    return tags(PREFIX + process_name())


def sign() -> None:
    """Say which process runs this flow run, where another one made it, as it does for deployments."""
    mine = PREFIX + process_name()
    if mine not in flow_run.tags:
        others = {tag for tag in flow_run.tags if not tag.startswith(PREFIX)}
        with get_client(sync_client=True) as client:
            client.update_flow_run(flow_run.id, tags=others | {mine})


def process_of(run: FlowRun) -> str | None:
    """Return the name of the process that runs a flow run; None where it is not known.

    While a run of a deployment is pending, whoever ran it before is not who will.
    """
    if _is_taken(run):
        return None
    return next((tag.removeprefix(PREFIX) for tag in run.tags if tag.startswith(PREFIX)), None)


def crash_dead_runs(client: SyncPrefectClient, *, begins_within: timedelta = BEGINS_WITHIN) -> list[str]:
    """Mark flow runs Crashed whose process was one of this host and has ended; return their names.

    And so those that a worker of our pool, wherever it is, has taken and has not begun within `begins_within`.
    """
    is_live = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_LIVE)))
    dead = []
    offset = 0
    while page := client.read_flow_runs(flow_run_filter=is_live, sort=FlowRunSort.ID_DESC, limit=200, offset=offset):
        offset += len(page)
        dead += [(run, reason) for run in page if (reason := _why_dead(run, begins_within)) is not None]
    for run, reason in dead:
        client.set_flow_run_state(
            run.id, Crashed(message=f"{reason}; the next run of the night finishes it"), force=True
        )
    return [run.name for run, _ in dead]


def _is_taken(run: FlowRun) -> bool:
    """Tell whether a worker has taken a run of a deployment, and no process has begun it."""
    return run.state_type == StateType.PENDING and run.deployment_id is not None


def _why_dead(run: FlowRun, begins_within: timedelta) -> str | None:
    """Return why nobody runs a flow run that is said to live; None where somebody may."""
    if _is_taken(run):
        if run.work_pool_name != POOL or run.state is None or datetime.now(UTC) - run.state.timestamp < begins_within:
            return None
        minutes = begins_within.total_seconds() / 60.0
        return f"a worker has taken it and has not begun it within {minutes:g} minutes"
    process = process_of(run)
    is_dead = process is not None and is_dead_here(process)
    return f"its process {process} ended without a word" if is_dead else None


def recover() -> None:
    """Mark dead flow runs of this host as Crashed before another one starts; a server that refuses is no obstacle."""
    try:
        with get_client(sync_client=True) as client:
            crash_dead_runs(client)
    except Exception as error:  # noqa: BLE001  of many types, and none a reason not to run the night
        sys.stderr.write(f"riskpipe: dead flow runs were not looked for: {error}\n")
