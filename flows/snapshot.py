"""The flow of a snapshot's arrival: validated, and its book kept, so that a refusal is known before the night."""

from typing import Annotated, Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from pydantic import Field

from flows.recovery import sign
from flows.steps import as_task, code_left, due_of, log
from riskpipe.run.arrival import check_arrival
from riskpipe.run.requests import ConfigName, InstantText, instant_of, requested


@flow(name="snapshot", persist_result=False, validate_parameters=True, timeout_seconds=3600)
def snapshot(
    config: ConfigName,
    as_of: InstantText | None = None,
    behind_minutes: Annotated[int, Field(ge=0, le=100_000)] = 0,
) -> dict[str, Any]:
    """Validate the snapshots that a configuration names and keep their book; Failed with every reason when refused."""
    sign()
    with code_left():
        instant, say = instant_of(config, as_of=as_of, due=due_of(behind_minutes)), log()
        settings = requested(config, (), instant)
        found = as_task("arrival", lambda: check_arrival(settings, instant))
        say(f"book {found['book_sha256'][:16]} of {found['as_of']} is kept; {found['took']}")
        lines = [f"- {key}: {value}" for key, value in found["summary"].items()]
        lines += [f"- {finding['severity']}: {finding['where']}: {finding['message']}" for finding in found["findings"]]
        create_markdown_artifact(key="riskpipe-snapshot", markdown="\n".join(lines), description=found["as_of"])
        return found
