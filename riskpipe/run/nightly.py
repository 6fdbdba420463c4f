"""The river: one night from inputs to a published report, without an orchestrator. Flows wrap the same stages."""

import logging
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Protocol, TypeVar

from riskpipe.config import RunConfig
from riskpipe.cube.catalogue import points_at, publish
from riskpipe.cube.layout import cube_prefix, run_prefix
from riskpipe.cube.manifest import require_verified
from riskpipe.domain.limits import LimitState
from riskpipe.errors import AlertsUndelivered, LimitsBreached
from riskpipe.report.sections.limits import level_words, state_words
from riskpipe.run.alerts import Alerts, alert
from riskpipe.run.comparisons import backtest_with_previous, compare_with_previous
from riskpipe.run.events import bound, happened
from riskpipe.run.limits import limit_states
from riskpipe.run.night import Night, Progress, Say, mute, open_night, record_try, run_stage, silent
from riskpipe.run.outcome import read_outcome
from riskpipe.run.stages import STAGES

Result = TypeVar("Result")


class Step(Protocol):
    """Does a named step of a night, such as by calling it; an orchestrator makes a task of it."""

    def __call__(self, name: str, do: Callable[[], Result], /) -> Result:
        """Return what `do` returns."""


def plain_step(_name: str, do: Callable[[], Result], /) -> Result:
    """Just do it."""
    return do()


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
    limits: tuple[LimitState, ...] = ()
    """What was found of the limits configured, the worst first."""
    alerts: Alerts = field(default_factory=Alerts)
    """Who was told of them; nobody of a night that is not published."""
    on_breach: int = 0
    """Exit status that the configuration asks for where a limit is over."""

    def as_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            **self.__dict__,
            "as_of": self.as_of.isoformat(),
            "headline": list(self.headline),
            "limits": [state.as_json() for state in self.limits],
            "limits_in_words": level_words(self.limits),
            "alerts": asdict(self.alerts),
            "alerts_in_words": self.alerts.as_text(),
        }

    def conclude(self) -> None:
        """Raise what a command ends with although the night is complete, after its result has been shown.

        AlertsUndelivered where somebody could not be told; else LimitsBreached where a limit is over and the
        configuration asks for a status of its own.
        """
        if self.alerts.failed:
            listed = "".join(f"\n  - {name}: {why}" for name, why in self.alerts.failed.items())
            asked = f"{len(self.alerts.failed)} of {self.alerts.n_addresses} addresses"
            raise AlertsUndelivered(
                f"night {self.run_id} is published, but {asked} could not be told that {self._over_words()}; the same "
                f"night again (but not by a backfill, which leaves it out) tells these only{listed}"
            )
        if self.on_breach and any(state.is_over for state in self.limits):
            raise LimitsBreached(f"night {self.run_id} is complete, and {self._over_words()}")

    def _over_words(self) -> str:
        over = [state for state in self.limits if state.is_over] or [one for one in self.limits if one.is_told("warn")]
        return f"{level_words(over)}: {'; '.join(f'{one.limit.name}: {state_words(one)}' for one in over)}"


def result_lines(result: dict[str, Any]) -> list[str]:
    """What a command says of a night's result (`NightResult.as_json`), line by line, before where it is."""
    state = "was done already" if result["was_complete"] else "is done"
    published = " and published" if result["is_published"] else ", not published"
    headline = (f"  {line}" for line in result["headline"])
    limits = [f"limits: {result['limits_in_words']}"] if result["limits"] else []
    alerts = [result["alerts_in_words"]] if result["alerts_in_words"] else []
    return [f"night {result['run_id']} {state}{published}", *headline, *limits, *alerts, f"took:   {result['took']}"]


def finish(night: Night, *, was_complete: bool, is_published: bool, reported: dict[str, Any]) -> NightResult:
    """Publish a complete night if asked, and say where it is."""
    if is_published:
        if "seal" not in night.ran:  # what was sealed here was compared just now
            if not points_at(night.store, night.run_id, night.as_of, book=night.config.book):
                record_try(night, "publish")
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
        limits=tuple(limit_states(night.store, night.run_id)),
        on_breach=night.config.alerts.on_breach,
    )


def run_night(
    config: RunConfig,
    *,
    as_of: datetime | None = None,
    is_published: bool = True,
    progress: Progress = silent,
    say: Say = mute,
    step: Step = plain_step,
) -> NightResult:
    """Run one night to its end; the same night again finds it done, and after a kill finishes it.

    `progress` is told how far each stage is, `say` lines such as the preflight's; `step` does each step. Raises what
    its stages raise: ConfigError, InputRefused, ComputeError, StoreError.
    """
    with bound(book=config.book):
        night = told(lambda: step("open", lambda: open_night(config, as_of, progress, say)))
        return complete(night, is_published=is_published, step=step)


def complete(night: Night, *, is_published: bool, step: Step = plain_step) -> NightResult:
    """Run the stages of an opened night, and publish it if asked."""
    with bound(book=night.config.book, run_id=night.run_id):
        return told(lambda: _complete(night, is_published=is_published, step=step))


def _complete(night: Night, *, is_published: bool, step: Step) -> NightResult:
    night.say(f"run {night.run_id} in {night.store.uri}")
    was_complete = night.is_complete
    reported: dict[str, Any] = {}
    for stage in STAGES:
        reported = step(stage.name, partial(run_stage, night, stage))
    result = step(
        "publish", lambda: finish(night, was_complete=was_complete, is_published=is_published, reported=reported)
    )
    measured = result.preflight["measured"]
    happened(
        "night done",
        was_complete=was_complete,
        is_published=is_published,
        report=result.report,
        blocks=measured["blocks"],
        tries=measured["tries"],
        core_seconds=measured["core_seconds"],
        bytes=measured["store_bytes"],
    )
    for state in result.limits:
        if state.is_told("warn"):
            value = None if math.isnan(state.value) else state.value
            happened("limit reached", level=logging.WARNING, limit=state.limit.name, state=state.level, value=value)
    return _followed(night, result, step) if result.is_published else result


def _followed(night: Night, result: NightResult, step: Step) -> NightResult:
    """Do what follows publication: tell of limits first, then compare with the previous night and say so."""
    if result.limits:
        alerts = step("alert", lambda: alert(night, result.limits))
        for name, why in alerts.failed.items():
            happened("alert undelivered", level=logging.ERROR, address=name, error=why)
        result = replace(result, alerts=alerts)
    if night.config.report.changes and step("changes", lambda: compared(night)):
        report = next(stage for stage in STAGES if stage.name == "report")
        reported = step("report changes", partial(run_stage, night, report))
        result = replace(result, headline=tuple(reported["headline"]))
    return result


def compared(night: Night) -> bool:
    """Compare a published night with the one before it, and tell whether there was anything to compare."""
    found = (compare_with_previous(night), backtest_with_previous(night))
    return any(one is not None for one in found)


def told(do: Callable[[], Result]) -> Result:
    """Do something of a night, and tell listeners when it fails."""
    try:
        return do()
    except BaseException as error:
        happened("night failed", level=logging.ERROR, error=f"{type(error).__name__}: {error}")
        raise
