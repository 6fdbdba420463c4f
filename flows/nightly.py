"""The nightly flow and its ad-hoc sister: Prefect sees the stages, Dask sees the blocks.

    python -m flows nightly --config configs/nightly.yaml

With PREFECT_API_URL set it reports to that server; else it starts one for as long as it runs. A stage that is marked
done in the run directory is not run again, whoever ran it.
"""

from typing import Annotated, Any

from prefect import flow
from pydantic import Field

from flows.recovery import sign
from flows.steps import TIMEOUT_S, as_task, code_left, due_of, kept_address, log, show
from riskpipe.run.addresses import addressed
from riskpipe.run.listening import listening
from riskpipe.run.nightly import run_night
from riskpipe.run.progress import tenths
from riskpipe.run.requests import ConfigName, InstantText, Override, instant_of, requested


@flow(name="nightly", persist_result=False, validate_parameters=True, timeout_seconds=TIMEOUT_S)
def nightly(
    config: ConfigName,
    as_of: InstantText | None = None,
    overrides: list[Override] | None = None,
    publish: bool | None = None,
    behind_minutes: Annotated[int, Field(ge=0, le=100_000)] = 0,
) -> dict[str, Any]:
    """Run one night, stage after stage as `riskpipe.run.stages.STAGES` has them.

    Publishes; with overrides only when `publish` is true. A scheduled run without `as_of` is of its scheduled time less
    `behind_minutes` where the configuration is dated, else of whichever instant its snapshot is.
    """
    return _night(config, as_of, overrides or [], publish=publish if publish is not None else not overrides,
                  behind_minutes=behind_minutes)  # fmt: skip


@flow(name="ad-hoc", persist_result=False, validate_parameters=True, timeout_seconds=TIMEOUT_S)
def ad_hoc(
    config: ConfigName, overrides: list[Override], as_of: InstantText | None = None, publish: bool = False
) -> dict[str, Any]:
    """Run one night with changed keys: stored, but not published unless asked."""
    return _night(config, as_of, overrides, publish=publish, behind_minutes=0)


def _night(
    config: str, as_of: str | None, overrides: list[str], *, publish: bool, behind_minutes: int
) -> dict[str, Any]:
    sign()
    with code_left(), listening(), addressed(kept_address()):
        instant, say = instant_of(config, overrides, as_of=as_of, due=due_of(behind_minutes)), log()
        settings = requested(config, overrides, instant)
        result = run_night(settings, as_of=instant, is_published=publish, progress=tenths(say), say=say, step=as_task)
        say(result.took)
        found = result.as_json()
        show(found)
        result.conclude()
        return found
