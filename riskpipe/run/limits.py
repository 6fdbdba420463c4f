"""Limits of a night: held against its measures, kept beside its report, acknowledged.

What was found is in the mark of the report's stage and, for readers, in `report/limits.json`. Neither is part of the
manifest: limits are no part of what makes a run the same run, and may change after it. The report's stage then runs
again, and nothing else.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import xarray as xr

from riskpipe.config import RunConfig, read_as_of
from riskpipe.cube.catalogue import pointer_of
from riskpipe.cube.digest import canonical_json
from riskpipe.cube.layout import run_prefix
from riskpipe.cube.protocol import Store
from riskpipe.cube.store import open_store
from riskpipe.domain.instant import format_as_of, parse_as_of
from riskpipe.domain.limits import LEVELS, Acknowledgement, Level, LimitState
from riskpipe.errors import ConfigError
from riskpipe.measures.limits import hold_against
from riskpipe.run.acknowledgements import acknowledgements_of, remember
from riskpipe.run.events import happened
from riskpipe.run.limit_checks import limits_of
from riskpipe.run.night import stage_result

DEFAULT_DAYS = 7
"""How long an acknowledgement holds that says nothing else: none holds for ever."""
LONGEST_TEXT = 1000


def limit_options(store: Store, config: RunConfig) -> dict[str, Any]:
    """Return what the states of limits depend on besides the run: the limits, and who has acknowledged one."""
    limits = limits_of(config)
    if not limits:
        return {}
    known = acknowledgements_of(store, config.book, [limit.name for limit in limits])
    options = {
        "risk_limits": [asdict(limit) for limit in limits],
        "acknowledgements": {name: found.as_json() for name, found in known.items()},
    }
    plain: dict[str, Any] = json.loads(canonical_json(options))  # as it will be read back
    return plain


def keep_limits(
    store: Store, run_id: str, config: RunConfig, as_of: datetime, measures: Mapping[str, xr.Dataset]
) -> list[LimitState]:
    """Hold a night's limits against its measures, keep what was found, and return it, the worst first."""
    limits = limits_of(config)
    known = acknowledgements_of(store, config.book, [limit.name for limit in limits])
    states = [state.acknowledged(known.get(state.limit.name), as_of) for state in hold_against(measures, limits)]
    states.sort(key=lambda state: (state.acknowledgement is not None, LEVELS.index(state.level)))
    kept = {
        "format": "riskpipe-limits",
        "run_id": run_id,
        "book": config.book,
        "as_of": format_as_of(as_of),
        "limits": [state.as_json() for state in states],
    }
    key = limits_key(run_id)
    if states:
        store.write(key, canonical_json(kept))
        happened("limits held", **{level.replace(" ", "_"): n for level, n in counted(states).items()})
    elif store.exists(key):  # an earlier configuration of this very run had some
        store.delete(key)
    return states


def limit_states(store: Store, run_id: str) -> list[LimitState]:
    """Return what the report of a run found of its limits; StoreError where it has not been made."""
    return [LimitState.from_json(state) for state in stage_result(store, run_id, "report").get("limits", [])]


def limits_key(run_id: str) -> str:
    """Key of what a run's report found of its limits."""
    return f"{run_prefix(run_id)}/report/limits.json"


def counted(states: Sequence[LimitState]) -> dict[str, int]:
    """Count limits by level; those acknowledged apart."""
    levels: tuple[Level, ...] = LEVELS
    found: dict[str, int] = {
        level: sum(one.level == level and one.acknowledgement is None for one in states) for level in levels
    }
    return {**found, "acknowledged": sum(one.acknowledgement is not None for one in states)}


def acknowledge(
    store_uri: str,
    limit: str,
    *,
    by: str,
    why: str,
    until: str | None = None,
    as_of: str | None = None,
    book: str = "",
) -> Acknowledgement:
    """Remember that somebody knows of a published night's limit that is over, and return what is remembered.

    It holds for nights up to `until` (an instant; seven days after the night's own where it is None) whose number of
    this limit is no worse.

    Raises
    ------
    ConfigError: nobody or no reason is named, there is no such limit, it is not over, or `until` is before the night.
    StoreError: there is no such night, or the store fails or ignores conditions.
    """
    texts = {"--by": by.strip(), "--why": why.strip()}
    for option, text in texts.items():
        if not text or len(text) > LONGEST_TEXT or not text.isprintable():
            raise ConfigError(f"{option}: expected 1 to {LONGEST_TEXT} printable letters, got {text[:40]!r}")
    store = open_store(store_uri, must_exist=True)
    pointer = pointer_of(store, None if as_of is None else read_as_of(as_of), book)
    night = parse_as_of(pointer.as_of)
    states = {state.limit.name: state for state in limit_states(store, pointer.run_id)}
    if limit not in states:
        raise ConfigError(f"run {pointer.run_id} has no limit {limit!r}; its limits are: {', '.join(states) or 'none'}")
    state = states[limit]
    if state.level == "ok":
        raise ConfigError(f"limit {limit} is ok in run {pointer.run_id}: there is nothing to acknowledge")
    last = night + timedelta(days=DEFAULT_DAYS) if until is None else read_as_of(until)
    if last < night:
        raise ConfigError(f"--until {until} is before the night {pointer.as_of}: the acknowledgement would never hold")
    said = Acknowledgement(
        limit=limit,
        by=texts["--by"],
        why=texts["--why"],
        at=store.now().replace(microsecond=0),
        until=last,
        level=state.level,
        value=state.value,
        run_id=pointer.run_id,
        number=state.limit.number(),
    )
    remember(store, book, said)
    return said


def acknowledged_text(said: Acknowledgement) -> str:
    """One line for a person."""
    until = instant_text(said.until)
    return (
        f"limit {said.limit} ({said.level}) is acknowledged by {said.by} until {until}, unless it worsens: {said.why}"
    )


def instant_text(instant: datetime) -> str:
    """An instant as a person reads it; seconds where there are any."""
    return instant.strftime("%Y-%m-%d %H:%MZ") if instant.second == 0 else format_as_of(instant)
