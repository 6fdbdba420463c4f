"""Night: one run in its store, and the stages that bring it from inputs to a published report.

Each stage is a function of the night that leaves its results and a mark in the run directory and returns a small JSON.
A stage whose mark is there is not run again: flows and the command line resume by the same marks.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from riskpipe.calibrate.history import HistoryRows, read_history
from riskpipe.compute import Executor, make_executor
from riskpipe.config import RunConfig
from riskpipe.cube.blocks import digests_of, write_once
from riskpipe.cube.digest import canonical_json
from riskpipe.cube.layout import cube_prefix, manifest_key, plan_key, run_prefix
from riskpipe.cube.store import Store, open_store
from riskpipe.domain.findings import Findings
from riskpipe.domain.instant import format_as_of
from riskpipe.domain.schema import VARIABLES
from riskpipe.domain.snapshot import Snapshot
from riskpipe.errors import ConfigError, InputRefused, StoreError
from riskpipe.ingest.read import read_snapshot
from riskpipe.measures.registry import check_requirements
from riskpipe.run.events import bound, happened
from riskpipe.run.identity import Identity, identify
from riskpipe.run.limit_checks import check_risk_limits

Progress = Callable[[str, int, int], None]
"""Called with a stage's name, how much is done, and of how much."""
Say = Callable[[str], None]
"""Called with a line for the person who watches the night."""
FOUND_BEFORE_SEAL = ("ingest", "calibrate", "scenarios", "validate", "spreads", "accounts")
"""Stages that leave findings before the run is sealed, in the order in which they are told."""
WRITTEN_BEFORE_SEAL = ("validate", "spreads", "exhaustion", "attribution", "accounts")
"""Stages that write what no block writes."""


def silent(_stage: str, _done: int, _total: int) -> None:
    """Show nothing."""


def mute(_line: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Night:
    """A run: its configuration, inputs, identity and store."""

    config: RunConfig
    store: Store
    identity: Identity
    snapshots: tuple[Snapshot, ...] = field(repr=False)
    history: HistoryRows | None = field(repr=False)
    progress: Progress = silent
    say: Say = mute
    executor: Executor | None = field(default=None, repr=False)
    """What computes it, shared with other nights; None = one of its own, as configured."""
    ran: set[str] = field(default_factory=set, repr=False)
    """Stages that were run here, and not found done."""

    @property
    def run_id(self) -> str:
        """Name of the run."""
        return self.identity.run_id

    @property
    def as_of(self) -> datetime:
        """The instant the run describes."""
        return self.identity.as_of

    def open_executor(self, *, memory_limit_bytes: int | None = None) -> AbstractContextManager[Executor]:
        """Open what computes the night's units of work: the shared one, else as configured."""
        if self.executor is not None:
            return nullcontext(self.executor)
        return configured_executor(self.config, memory_limit_bytes=memory_limit_bytes)

    def write_once(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, dict[str, str]]:
        """Write variables of the cube that no block writes; returns what their stage's mark promises of them.

        A run that has been sealed meanwhile, by another command, never changes: nothing is written then.
        """
        if self.is_complete:
            return {"written": digests_of(arrays)}
        return {"written": write_once(self.store, cube_prefix(self.run_id), arrays)}

    @property
    def is_complete(self) -> bool:
        """Whether the run has its manifest."""
        return self.store.exists(manifest_key(self.run_id))


@dataclass(frozen=True)
class Stage:
    """A step of the night: its name, which is its mark's, and the function that does it."""

    name: str
    run: Callable[[Night], dict[str, Any]]
    options: Callable[[Night], dict[str, Any]] = lambda _night: {}
    """What its result depends on besides the run's identity: when it changes, the stage runs again."""
    stands: Callable[[Night], bool] = lambda _night: True
    """Whether what its mark speaks of is there: when it is not, the stage runs again."""


def configured_executor(
    config: RunConfig, *, memory_limit_bytes: int | None = None
) -> AbstractContextManager[Executor]:
    """Open what a configuration says computes (see `make_executor`)."""
    spec = config.executor
    return make_executor(
        spec if isinstance(spec, str) else spec.model_dump(by_alias=True, exclude_none=True),
        n_workers=config.n_workers,
        block_timeout_s=config.block_timeout_seconds,
        memory_limit_bytes=memory_limit_bytes,
        security=None if config.security is None else config.security.model_dump(),
    )


def open_night(config: RunConfig, as_of: datetime | None = None, progress: Progress = silent, say: Say = mute) -> Night:
    """Read a run's inputs and find out which run it is.

    Raises ConfigError for a combination that cannot work, InputRefused listing everything wrong with the inputs.
    """
    store = open_store(config.store)
    if not store.is_shared and config.executor != "serial":
        raise ConfigError(
            f"store {config.store} lives in this process only, so executor {config.executor!r} could not reach it: "
            "use executor serial, or a local folder or s3://bucket/prefix as the store"
        )
    check_requirements(VARIABLES)
    check_risk_limits(config)
    snapshots = read_snapshots(config, as_of)
    given = snapshots[0].as_of
    config.venues_at(given)  # no rules in force by then is known before anything is read on
    history = None
    if config.history is not None:
        history = read_history(config.history, as_of=given, lookback_days=config.calibration.lookback_days)
    identity = identify(config, snapshots, history)
    return Night(config, store, identity, snapshots, history, progress, say)


def read_snapshots(config: RunConfig, as_of: datetime | None = None) -> tuple[Snapshot, ...]:
    """Read every snapshot of a configuration; InputRefused lists what is wrong with any, or another instant than asked.

    Their tables are checked when they are assembled.
    """
    problems: list[str] = []
    snapshots: list[Snapshot] = []
    for uri in config.snapshots:
        try:
            snapshots.append(read_snapshot(uri))
        except InputRefused as error:
            problems += (
                [f"{uri}: {problem}" for problem in error.problems] if len(config.snapshots) > 1 else error.problems
            )
    if problems:
        raise InputRefused(f"snapshot {', '.join(config.snapshots)}", problems)
    given = snapshots[0].as_of
    if as_of is not None and as_of.astimezone(UTC) != given:
        raise InputRefused(
            f"snapshot {config.snapshots[0]}",
            [f"snapshot.json says as_of {format_as_of(given)}, but the night asked for is {format_as_of(as_of)}"],
        )
    return tuple(snapshots)


def stage_key(run_id: str, stage: str) -> str:
    """Key of a stage's mark."""
    return f"{run_prefix(run_id)}/marks/stage-{stage}.json"


def run_stage(night: Night, stage: Stage) -> dict[str, Any]:
    """Run a stage, or return what it left when it ran before."""
    key = stage_key(night.run_id, stage.name)
    mark = night.store.get(key)
    options = stage.options(night)
    left = {} if mark is None else _parsed(night.store, key, mark)
    if mark is not None and left.get("options", {}) == options and stage.stands(night):
        night.progress(stage.name, 1, 1)
        happened("stage was done", stage=stage.name)
        return left
    night.progress(stage.name, 0, 1)
    started, clock = datetime.now(UTC), time.perf_counter()
    record, attempt = _try_of(night, stage.name, started)
    if night.store.exists(plan_key(night.run_id)):  # a run refused leaves nothing
        night.store.write(record, canonical_json(attempt))
    with bound(stage=stage.name):
        happened("stage started")
        result = stage.run(night) | ({"options": options} if options else {})
        night.ran.add(stage.name)
        seconds = time.perf_counter() - clock
        happened("stage done", seconds=seconds)
    attempt |= {"finished": datetime.now(UTC).isoformat(), "seconds": seconds}
    night.store.write(record, canonical_json(attempt))
    night.store.write(key, canonical_json(result))
    night.progress(stage.name, 1, 1)
    return result


def record_try(night: Night, step: str) -> None:
    """Record that a step of the night is begun: a sweep spares what is being tried."""
    record, attempt = _try_of(night, step, datetime.now(UTC))
    night.store.write(record, canonical_json(attempt))


def _try_of(night: Night, step: str, started: datetime) -> tuple[str, dict[str, Any]]:
    name = f"stage-{step}-{started.strftime('%Y%m%dT%H%M%S%f')}"
    about = {"stage": step, "started": started.isoformat(), "seconds": 0.0}
    return f"{run_prefix(night.run_id)}/attempts/{name}.json", about


def stage_result(store: Store, run_id: str, stage: str) -> dict[str, Any]:
    """Return what a stage left; StoreError when it has not run."""
    key = stage_key(run_id, stage)
    mark = store.get(key)
    if mark is None:
        raise StoreError(f"stage {stage} of run {run_id} has not run: run the night again to finish it")
    return _parsed(store, key, mark)


def findings_of(store: Store, run_id: str, stages: Iterable[str]) -> Findings:
    """Return the findings that stages left, in their order."""
    return Findings.from_json(
        finding for stage in stages for finding in stage_result(store, run_id, stage).get("findings", [])
    )


def _parsed(store: Store, key: str, data: bytes) -> dict[str, Any]:
    try:
        parsed: dict[str, Any] = json.loads(data)
    except ValueError as error:
        raise StoreError(f"{store.uri}/{key} is torn: {error}. Delete it and run the night again") from error
    return parsed
