"""The nightly flow: Prefect sees the stages, Dask sees the blocks.

    python -m flows nightly --config configs/nightly.yaml

With PREFECT_API_URL set it reports to that server; else it starts an embedded one. A stage that is marked done in the
run directory is not run again, whoever ran it: Prefect's result cache is off because it cannot see a task's inputs.
"""

import os
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

# an embedded server needs 16 to 26 s on two cores; Prefect waits 20 by default
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

from riskpipe.config import load, read_as_of
from riskpipe.errors import ConfigError
from riskpipe.run.night import open_night, run_stage
from riskpipe.run.nightly import finish
from riskpipe.run.publish import headline_table, summary_markdown
from riskpipe.run.stages import STAGES

Result = TypeVar("Result")
NOT_FOR_SUBMITTERS = ("executor", "store", "snapshot", "history", "limits")


def _refuse_placement(overrides: list[str]) -> None:
    """Refuse overrides that would choose what is read, where results go, what computes them, or their limits."""
    keys = [override.partition("=")[0].strip() for override in overrides]
    refused = [key for key in keys if key.split(".")[0] in NOT_FOR_SUBMITTERS]
    if refused:
        raise ConfigError(
            f"a flow's overrides cannot set {', '.join(refused)}: these belong to the configuration file on the "
            "machine that runs the flow"
        )


def _as_task(name: str, step: Callable[[], Result]) -> Callable[[], Result]:
    """Make a task of a step without arguments, so that Prefect neither inspects nor stores what the night holds."""

    @task(name=name, cache_policy=NO_CACHE, persist_result=False)
    def run() -> Result:
        return step()

    return run


@flow(name="nightly", persist_result=False, validate_parameters=True)
def nightly(
    config: str, as_of: str | None = None, overrides: list[str] | None = None, publish: bool | None = None
) -> dict[str, Any]:
    """Run one night: ingest, calibrate, scenarios, compute, validate, accounts, seal, report, publish.

    Publishes; with overrides only when `publish` is true.
    """
    logger = get_run_logger()
    _refuse_placement(overrides or [])
    instant = None if as_of is None else read_as_of(as_of)
    is_published = publish if publish is not None else not overrides
    shown: dict[str, int] = {}

    def progress(stage: str, done: int, total: int) -> None:
        share = 10 * done // max(total, 1)  # a line for every tenth is enough for a log
        if shown.get(stage) != share:
            shown[stage] = share
            logger.info("%s: %d of %d", stage, done, total)

    settings = load(config, overrides or [], instant)
    night = _as_task("open", lambda: open_night(settings, instant, progress, logger.info))()
    logger.info("run %s in %s", night.run_id, night.store.uri)
    was_complete = night.is_complete
    reported: dict[str, Any] = {}
    for stage in STAGES:
        reported = _as_task(stage.name, partial(run_stage, night, stage))()
    result = _as_task(
        "publish", lambda: finish(night, was_complete=was_complete, is_published=is_published, reported=reported)
    )()
    logger.info("%s", result.took)
    create_markdown_artifact(key="riskpipe-summary", markdown=summary_markdown(night), description=night.run_id)
    create_table_artifact(key="riskpipe-headlines", table=headline_table(night), description=night.run_id)
    return result.as_json()
