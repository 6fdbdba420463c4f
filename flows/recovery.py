"""Flow runs whose process died without a word: signed while they run, marked Crashed when it is found dead.

A worker that outlives its flow's process reports the crash at once, and so does the automation on heartbeats for hosts
that are gone. What is left are processes that died together with their worker or their server.
"""

import sys

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.runtime import flow_run
from prefect.states import Crashed

from riskpipe.run.processes import is_dead_here, process_name

LABEL = "riskpipe.process"
_LIVE = [StateType.RUNNING, StateType.CANCELLING]


def sign() -> None:
    """Say which process runs this flow run."""
    with get_client(sync_client=True) as client:
        client.update_flow_run_labels(flow_run.id, {LABEL: process_name()})


def crash_dead_runs(client: SyncPrefectClient) -> list[str]:
    """Mark flow runs Crashed whose process was one of this host and has ended; return their names."""
    is_live = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_LIVE)))
    dead = []
    offset = 0
    while page := client.read_flow_runs(flow_run_filter=is_live, sort=FlowRunSort.ID_DESC, limit=200, offset=offset):
        offset += len(page)
        dead += [run for run in page if is_dead_here(str(run.labels.get(LABEL, "")))]
    for run in dead:
        reason = f"its process {run.labels[LABEL]} ended without a word; the next run of the night finishes it"
        client.set_flow_run_state(run.id, Crashed(message=reason), force=True)
    return [run.name for run in dead]


def recover() -> None:
    """Mark dead flow runs of this host as Crashed before another one starts; a server that refuses is no obstacle."""
    try:
        with get_client(sync_client=True) as client:
            crash_dead_runs(client)
    except Exception as error:  # noqa: BLE001  of many types, and none a reason not to run the night
        sys.stderr.write(f"riskpipe: dead flow runs were not looked for: {error}\n")
