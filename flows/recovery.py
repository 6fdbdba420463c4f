"""Flow runs whose process died without a word: they bear its name, and are marked Crashed when it is found dead.

A worker that outlives its flow's process reports the crash at once, and so does the automation on heartbeats for hosts
that are gone. What is left are processes that died together with their worker or their server.
"""

import sys
from contextlib import AbstractContextManager

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

    While a run of a deployment is pending, whoever ran it before is not who will: its worker sees to it.
    """
    if run.state_type == StateType.PENDING and run.deployment_id is not None:
        return None
    return next((tag.removeprefix(PREFIX) for tag in run.tags if tag.startswith(PREFIX)), None)


def crash_dead_runs(client: SyncPrefectClient) -> list[str]:
    """Mark flow runs Crashed whose process was one of this host and has ended; return their names."""
    is_live = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_LIVE)))
    dead = []
    offset = 0
    while page := client.read_flow_runs(flow_run_filter=is_live, sort=FlowRunSort.ID_DESC, limit=200, offset=offset):
        offset += len(page)
        dead += [(run, process) for run in page if (process := process_of(run)) is not None and is_dead_here(process)]
    for run, process in dead:
        reason = f"its process {process} ended without a word; the next run of the night finishes it"
        client.set_flow_run_state(run.id, Crashed(message=reason), force=True)
    return [run.name for run, _ in dead]


def recover() -> None:
    """Mark dead flow runs of this host as Crashed before another one starts; a server that refuses is no obstacle."""
    try:
        with get_client(sync_client=True) as client:
            crash_dead_runs(client)
    except Exception as error:  # noqa: BLE001  of many types, and none a reason not to run the night
        sys.stderr.write(f"riskpipe: dead flow runs were not looked for: {error}\n")
