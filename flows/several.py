"""Flows over several nights that share a cluster: many books of a night, and the nights of a range."""

from typing import Annotated, Any

from prefect import flow
from pydantic import Field

from flows.recovery import sign
from flows.steps import TIMEOUT_S, as_task, code_left, due_of, kept_address, log, show
from riskpipe.run.addresses import addressed
from riskpipe.run.listening import listening
from riskpipe.run.requests import ConfigName, InstantText, Override
from riskpipe.run.several import Nights, run_backfill, run_books


@flow(name="books", persist_result=False, validate_parameters=True, timeout_seconds=TIMEOUT_S)
def books(
    configs: Annotated[list[ConfigName], Field(min_length=1, max_length=1000)],
    urgent: list[ConfigName] | None = None,
    as_of: InstantText | None = None,
    publish: bool = True,
    behind_minutes: Annotated[int, Field(ge=0, le=100_000)] = 0,
) -> dict[str, Any]:
    """Run a night of many books on one cluster; Failed when any is missing, naming it, after the others are done.

    Blocks of `urgent` books overtake, and so do those of small books those of large ones.
    """
    sign()
    with code_left(), listening(), addressed(kept_address()):
        nights = run_books(
            configs, urgent=urgent or [], as_of=as_of, due=due_of(behind_minutes), is_published=publish, step=as_task,
            say=log(),
        )  # fmt: skip
        return _told(nights)


@flow(name="backfill", persist_result=False, validate_parameters=True, timeout_seconds=10 * TIMEOUT_S)
def backfill(
    config: ConfigName,
    start: InstantText,
    end: InstantText,
    overrides: list[Override] | None = None,
    publish: bool | None = None,
    step_hours: Annotated[int, Field(ge=1, le=8760)] = 24,
    at_once: Annotated[int, Field(ge=1, le=64)] = 2,
) -> dict[str, Any]:
    """Run the nights from `start` to `end`, both included, but for those that are published; `at_once` side by side.

    Failed when any is missing, naming it, after the others are done; run again, it does what is missing.
    """
    sign()
    with code_left(), listening(), addressed(kept_address()):
        nights = run_backfill(
            config,
            start,
            end,
            overrides=overrides or [],
            step_hours=step_hours,
            at_once=at_once,
            is_published=publish if publish is not None else not overrides,
            step=as_task,
            say=log(),
        )
        return _told(nights)


def _told(nights: Nights) -> dict[str, Any]:
    found = nights.as_json()
    if found["done"]:
        show(*found["done"].values())
    nights.require_all()
    nights.conclude()
    return found
