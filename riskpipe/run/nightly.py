"""The river: one night from inputs to a published report, without an orchestrator. Flows wrap the same stages."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from riskpipe.config import RunConfig
from riskpipe.cube.catalogue import publish
from riskpipe.cube.layout import cube_prefix, run_prefix
from riskpipe.cube.manifest import require_verified
from riskpipe.run.night import Night, Progress, Say, mute, open_night, run_stage, silent
from riskpipe.run.outcome import read_outcome
from riskpipe.run.stages import STAGES


@dataclass(frozen=True)
class NightResult:
    """Where a finished night is, and what it concluded."""

    run_id: str
    as_of: datetime
    store: str
    cube: str
    report: str
    is_published: bool
    was_complete: bool
    headline: tuple[str, ...]
    preflight: dict[str, Any]
    """What was predicted, and what was measured (see `riskpipe.run.outcome.Outcome`)."""
    took: str
    """The same in one line."""

    def as_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**self.__dict__, "as_of": self.as_of.isoformat(), "headline": list(self.headline)}


def result_lines(result: dict[str, Any]) -> list[str]:
    """What a command says of a night's result (`NightResult.as_json`), line by line, before where it is."""
    state = "was done already" if result["was_complete"] else "is done"
    published = " and published" if result["is_published"] else ", not published"
    headline = (f"  {line}" for line in result["headline"])
    return [f"night {result['run_id']} {state}{published}", *headline, f"took:   {result['took']}"]


def finish(night: Night, *, was_complete: bool, is_published: bool, reported: dict[str, Any]) -> NightResult:
    """Publish a complete night if asked, and say where it is."""
    if is_published:
        if was_complete:  # a run that has just been sealed was compared block by block
            require_verified(night.store, night.run_id)
        publish(night.store, night.run_id, night.as_of, book=night.config.book)
    outcome = read_outcome(night.store, night.run_id)
    return NightResult(
        run_id=night.run_id,
        as_of=night.as_of,
        store=night.store.uri,
        cube=f"{night.store.uri}/{cube_prefix(night.run_id)}",
        report=f"{night.store.uri}/{run_prefix(night.run_id)}/report/index.html",
        is_published=is_published,
        was_complete=was_complete,
        headline=tuple(reported["headline"]),
        preflight=outcome.as_json(),
        took=outcome.as_text(),
    )


def run_night(
    config: RunConfig,
    *,
    as_of: datetime | None = None,
    is_published: bool = True,
    progress: Progress = silent,
    say: Say = mute,
) -> NightResult:
    """Run one night to its end; the same night again finds it done, and after a kill finishes it.

    `progress` is told how far each stage is, `say` lines such as the preflight's. Raises what its stages raise:
    ConfigError, InputRefused, ComputeError, StoreError.
    """
    night = open_night(config, as_of, progress, say)
    was_complete = night.is_complete
    results = {stage.name: run_stage(night, stage) for stage in STAGES}
    return finish(night, was_complete=was_complete, is_published=is_published, reported=results["report"])
