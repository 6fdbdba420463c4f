"""What every flow shares: steps as tasks, lines as logs, retries, and what is shown of a finished night."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.blocks.notifications import SlackWebhook
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import FlowRunContext
from prefect.events import emit_event
from prefect.runtime import flow_run
from prefect.tasks import Task, exponential_backoff

from riskpipe.cube.store import open_store
from riskpipe.domain.limits import LimitState
from riskpipe.errors import ClusterLost, RiskpipeError, StoreError, StoreLost
from riskpipe.report.sections.limits import state_words
from riskpipe.run.addresses import DEFAULT_VARIABLE
from riskpipe.run.publish import headline_of, markdown_of

Result = TypeVar("Result")
RETRIES = 2
BACK_OFF_S = float(os.environ.get("RISKPIPE_FLOW_BACK_OFF_SECONDS") or 10)
TIMEOUT_S = float(os.environ.get("RISKPIPE_FLOW_TIMEOUT_SECONDS") or 12 * 3600)
RESULT_KEY = "riskpipe-result"
CODE_KEY = "riskpipe-exit-code"
ADDRESS_BLOCK = "riskpipe-notify"
LIMIT_EVENT = "riskpipe.limit.over"


def _may_work_later(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """Tell whether a step failed for a reason that passes: a cluster, file system or object store was not there."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, ClusterLost | StoreLost | OSError)


def as_task(name: str, do: Callable[[], Result], /) -> Result:
    """Run a step as a task without arguments, so that Prefect neither inspects nor stores what a night holds.

    What passes, such as a lost cluster, is tried again after a while; marks let it go on where it was. Results are not
    cached: a night's marks are its only memory.
    """

    @task(
        name=name,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=RETRIES,
        retry_delay_seconds=exponential_backoff(BACK_OFF_S),
        retry_jitter_factor=0.3,
        retry_condition_fn=_may_work_later,
    )
    def run() -> Result:
        return do()

    return run()


@contextmanager
def code_left() -> Iterator[None]:
    """Leave the exit code of what fails in the `with` block to whoever follows a deployment's run; its state has words.

    As an artifact, where the server takes it: trouble with the server must not hide what is wrong with the night.
    """
    try:
        yield
    except Exception as error:
        of_others = StoreError.exit_code if isinstance(error, OSError) else RiskpipeError.exit_code
        code = error.exit_code if isinstance(error, RiskpipeError) else of_others
        mine = FlowRunContext.get()
        if mine is not None and mine.flow_run is not None and mine.flow_run.deployment_id is not None:
            with suppress(Exception):
                create_table_artifact(key=CODE_KEY, table=[{"exit_code": code}], description=type(error).__name__)
        raise


def log() -> Callable[[str], None]:
    """Return what writes a line into the flow run's log, from whichever thread."""
    logger = get_run_logger()
    return lambda line: logger.info("%s", line)


def due_of(behind_minutes: int) -> datetime | None:
    """Return the instant that a scheduled run is due for, its time less `behind_minutes`; None for any other run."""
    if "auto-scheduled" not in (flow_run.tags or []):
        return None
    scheduled: datetime = flow_run.scheduled_start_time
    return (scheduled - timedelta(minutes=behind_minutes)).astimezone(UTC).replace(microsecond=0)


def show(*results: dict[str, Any]) -> None:
    """Leave what to know of finished nights as artifacts of the flow run."""
    for result in results:
        store, run_id = open_store(result["store"]), result["run_id"]
        create_markdown_artifact(key="riskpipe-summary", markdown=markdown_of(store, run_id), description=run_id)
        rows = [{"what to know": line} for line in headline_of(store, run_id)]
        create_table_artifact(key="riskpipe-headlines", table=rows, description=run_id)
        if result["limits"]:
            _show_limits(result)
    names = ("run_id", "as_of", "is_published", "was_complete", "report", "cube", "store", "took")
    rows = [{name: str(result[name]) for name in names} for result in results]
    create_table_artifact(key=RESULT_KEY, table=rows, description="where the results are")


def kept_address() -> dict[str, str]:
    """Return the address for notifications that `provision` keeps in an encrypted block, where the server has one."""
    try:
        block = cast("SlackWebhook", SlackWebhook.load(ADDRESS_BLOCK))  # it takes any Apprise address
        return {DEFAULT_VARIABLE: block.url.get_secret_value()}
    except ValueError:  # there is no such block
        return {}


def _show_limits(result: dict[str, Any]) -> None:
    """Leave what was found of a night's limits as an artifact, and an event for each that is over."""
    rows = []
    for state in map(LimitState.from_json, result["limits"]):
        known = "" if state.acknowledgement is None else f"by {state.acknowledgement.by}"
        words, limit = state_words(state), state.limit
        rows.append(
            {"state": state.level, "limit": limit.name, "what": words, "acknowledged": known, "owner": limit.owner,
             "to do": limit.action}
        )  # fmt: skip
        if state.is_over:
            emit_event(
                LIMIT_EVENT,
                {"prefect.resource.id": f"riskpipe.limit.{limit.name}", "prefect.resource.name": limit.name},
                payload={"run_id": result["run_id"], "as_of": result["as_of"], "state": state.level, "what": words},
            )
    create_table_artifact(key="riskpipe-limits", table=rows, description=result["run_id"])
