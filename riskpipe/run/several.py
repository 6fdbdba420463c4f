"""Several nights on one cluster: many books of a night, or a range of nights. One that fails does not stop the others.

Nights run side by side in threads of this process, which wait while the cluster's workers compute; each leaves its
own marks, so that the same request again does what is missing only. Blocks of urgent nights overtake waiting ones, and
so do those of small nights those of large ones, by what their preflight says.
"""

import contextvars
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from riskpipe.compute import Executor
from riskpipe.config import RunConfig, read_as_of
from riskpipe.cube.layout import pointer_key
from riskpipe.cube.store import open_store
from riskpipe.domain.instant import format_as_of
from riskpipe.errors import (
    AlertsUndelivered,
    ComputeError,
    ConfigError,
    LimitsBreached,
    NightsMissing,
    RiskpipeError,
    masked,
)
from riskpipe.run.events import bound
from riskpipe.run.night import Night, Say, configured_executor, mute, open_night, run_stage
from riskpipe.run.nightly import NightResult, Result, Step, complete, plain_step, told
from riskpipe.run.preflight import Forecast, worker_memory_limit
from riskpipe.run.progress import tenths
from riskpipe.run.requests import instant_of, instants, is_dated, requested
from riskpipe.run.stages import STAGES

URGENT = 1_000_000_000
"""Priority of an urgent night's blocks, above that of any size."""
_INGEST = STAGES[0]


@dataclass(frozen=True)
class Asked:
    """One of several nights."""

    name: str
    config: RunConfig
    as_of: datetime | None = None
    is_published: bool = True
    is_urgent: bool = False


@dataclass
class Nights:
    """What became of several nights."""

    done: dict[str, NightResult] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    """Published before."""
    missing: dict[str, str] = field(default_factory=dict)
    """Why, by name."""

    def as_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "done": {name: result.as_json() for name, result in self.done.items()},
            "skipped": self.skipped,
            "missing": self.missing,
        }

    def require_all(self) -> None:
        """Raise NightsMissing when any is, naming each with its reason."""
        if self.missing:
            raise NightsMissing(len(self.done) + len(self.skipped) + len(self.missing), self.missing)

    def conclude(self) -> None:
        """Raise what a command ends with although all nights are there (see `NightResult.conclude`), naming each."""
        ended: dict[type[RiskpipeError], list[str]] = {AlertsUndelivered: [], LimitsBreached: []}
        for night in self.done.values():
            try:
                night.conclude()
            except (AlertsUndelivered, LimitsBreached) as error:
                ended[type(error)].append(str(error))
        for kind, said in ended.items():
            if said:
                raise kind("\n".join(said))


def priority_of(predicted: Forecast, *, is_urgent: bool) -> int:
    """Return a night's priority: the less it computes, the higher, and urgent ones above all others."""
    return (URGENT if is_urgent else 0) - round(predicted.core_seconds)


def run_several(
    asked: Sequence[Asked],
    *,
    at_once: int | None = None,
    step: Step = plain_step,
    say: Say = mute,
) -> Nights:
    """Run nights on one cluster, `at_once` of them side by side (None = all), and say what became of each.

    Their configurations must agree on executor, n_workers, security and block timeout: ConfigError otherwise. Whatever
    else goes wrong with one night is its own: see `Nights.missing`.
    """
    nights = Nights()
    if not asked:
        return nights
    _refuse_twins(asked)
    config = asked[0].config
    is_local = config.executor == "local"
    # only a cluster started here needs to know beforehand how much memory its workers may take
    first = [_open(one, step, say, nights) for one in (asked[:1] if at_once is not None else asked)] if is_local else []
    opened = {one.name: night for one, night in zip(asked, first, strict=False) if night is not None}
    left = [one for one in asked if one.name not in nights.missing]
    if not left:
        return nights
    limit = _shared_limit(list(opened.values()))
    with configured_executor(config, memory_limit_bytes=limit) as executor:
        run = partial(_run_one, opened=opened, executor=executor, step=step, say=say, nights=nights)
        # the ones that were asked for as urgent start first, also where not all run side by side
        left.sort(key=lambda one: not one.is_urgent)
        if executor.is_serial:
            for one in left:
                run(one, is_stopped=threading.Event())
        else:
            _run_side_by_side(left, run, executor, at_once or len(left))
    return nights


def _refuse_twins(asked: Sequence[Asked]) -> None:
    """Refuse nights that cannot share a cluster, and two that would be published as one."""
    problems = []
    first = asked[0]
    for one in asked[1:]:
        problems += [
            f"{one.name} has another {key} than {first.name}: books of one night share a cluster"
            for key in ("executor", "n_workers", "security", "block_timeout_seconds")
            if getattr(one.config, key) != getattr(first.config, key)
        ]
    places: dict[tuple[Any, ...], str] = {}
    for one in asked:
        place = (one.config.store, one.config.book, one.as_of)
        if place in places:
            problems.append(f"{one.name} and {places[place]} are the same book of one night: {one.config.book!r}")
        places.setdefault(place, one.name)
    if problems:
        raise ConfigError("; ".join(problems))


def _open(one: Asked, step: Step, say: Say, nights: Nights) -> Night | None:
    """Open a night and assemble its book; None, and the reason kept, when that fails."""

    def prefixed(line: str) -> None:
        say(f"{one.name}: {line}")

    def begin() -> Night:
        night = open_night(one.config, one.as_of, tenths(prefixed), prefixed)
        run_stage(night, _INGEST)
        return night

    with bound(book=one.config.book):
        return _attempted(one.name, nights, lambda: told(lambda: step(f"open {one.name}", begin)))


def _run_one(
    one: Asked,
    *,
    opened: dict[str, Night],
    executor: Executor,
    step: Step,
    say: Say,
    nights: Nights,
    is_stopped: threading.Event,
) -> None:
    """Run one night to its end; what goes wrong is kept as its reason."""

    def unless_stopped(name: str, do: Callable[[], Any], /) -> Any:  # noqa: ANN401  whatever the step returns
        if is_stopped.is_set():
            raise ComputeError("the nights were stopped")  # what passes would be tried again
        return step(name, do)

    night = opened.pop(one.name, None)
    if night is None:
        night = _open(one, unless_stopped, say, nights)
    if night is None:
        return

    def finish(night: Night) -> NightResult:
        predicted = Forecast(**run_stage(night, _INGEST)["preflight"])
        mine = replace(night, executor=executor.with_priority(priority_of(predicted, is_urgent=one.is_urgent)))
        return step(f"night {one.name}", lambda: complete(mine, is_published=one.is_published, step=unless_stopped))

    result = _attempted(one.name, nights, partial(finish, night))
    if result is not None:
        nights.done[one.name] = result
        say(f"{one.name}: {result.took}")
        if told_whom := result.alerts.as_text():
            say(f"{one.name}: {told_whom}")


def _run_side_by_side(left: Sequence[Asked], run: Callable[..., None], executor: Executor, at_once: int) -> None:
    """Run nights in threads; an interruption of this thread cancels their blocks and ends them at their next step."""
    is_stopped = threading.Event()
    with ThreadPoolExecutor(max_workers=at_once, thread_name_prefix="night") as pool:
        try:
            pending = {pool.submit(contextvars.copy_context().run, run, one, is_stopped=is_stopped) for one in left}
            while pending:  # in short waits, so that signals are seen
                done, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
        except BaseException:
            is_stopped.set()
            executor.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _attempted(name: str, nights: Nights, do: Callable[[], Result]) -> Result | None:
    """Return what `do` returns; None, and the reason kept as the night's, when it fails."""
    try:
        return do()
    except RiskpipeError as error:
        nights.missing[name] = "; ".join([str(error), *getattr(error, "__notes__", ())])
    except Exception as error:  # noqa: BLE001  a defect met by one night is no reason to lose the others
        nights.missing[name] = masked(f"{type(error).__name__}: {error}")
    return None


def _shared_limit(nights: Sequence[Night]) -> int | None:
    """Return the memory limit of workers that several nights share: the largest; None where one of them has none."""
    limits = [
        worker_memory_limit(Forecast(**run_stage(night, _INGEST)["preflight"]), night.config.limits) for night in nights
    ]
    return None if None in limits or not limits else max(limit for limit in limits if limit is not None)


def run_books(
    configs: Sequence[str],
    *,
    urgent: Sequence[str] = (),
    as_of: str | None = None,
    due: datetime | None = None,
    is_published: bool = True,
    step: Step = plain_step,
    say: Say = mute,
) -> Nights:
    """Run a night of many books, each a named configuration (see `riskpipe.run.requests`); `urgent` names some of them.

    Each is of the instant `as_of`; without it, of the instant `due` where its configuration is dated. A configuration
    that cannot be loaded is missing like a night that fails.
    """
    unknown = sorted(set(urgent) - set(configs))
    if unknown or not configs:
        raise ConfigError(f"urgent books {unknown} are not among the books" if unknown else "no book is named")
    if as_of is not None:
        read_as_of(as_of)  # a mistyped one is the request's fault, not each book's
    nights, asked = Nights(), []
    for name in dict.fromkeys(configs):
        found = _attempted(name, nights, partial(_of_its_instant, name, as_of, due))
        if found is not None:
            asked.append(Asked(name, *found, is_published, name in urgent))
    ran = run_several(asked, step=step, say=say)
    ran.missing = nights.missing | ran.missing
    return ran


def _of_its_instant(name: str, as_of: str | None, due: datetime | None) -> tuple[RunConfig, datetime | None]:
    instant = instant_of(name, as_of=as_of, due=due)
    return requested(name, (), instant), instant


def run_backfill(
    config: str,
    start: str,
    end: str,
    *,
    overrides: Sequence[str] = (),
    step_hours: int = 24,
    at_once: int = 2,
    is_published: bool = True,
    step: Step = plain_step,
    say: Say = mute,
) -> Nights:
    """Run the nights of a range, `at_once` of them side by side, but for those that are published.

    Raises ConfigError where the configuration's snapshot has no date to fill in.
    """
    if not is_dated(config, overrides):
        raise ConfigError(f"configuration {config!r} has no {{as_of}} or {{date}} in snapshot: it is of one night only")
    asked, skipped = [], []
    for instant in instants(start, end, step_hours=step_hours):
        settings = requested(config, overrides, instant)
        name = format_as_of(instant)
        if is_published and open_store(settings.store).exists(pointer_key(settings.book, instant)):
            skipped.append(name)
            say(f"{name}: is published already")
        else:
            asked.append(Asked(name, settings, instant, is_published))
    nights = run_several(asked, at_once=at_once, step=step, say=say)
    nights.skipped = skipped
    return nights
