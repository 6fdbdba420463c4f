"""Comparisons of nights: when they are made, and where they are kept."""

import json
import logging
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa

from riskpipe.config import read_as_of
from riskpipe.cube.catalogue import Pointer, pointer_of
from riskpipe.cube.digest import canonical_json, sha256
from riskpipe.cube.layout import changes_key, engine_backtest_key
from riskpipe.cube.store import Store, open_store
from riskpipe.domain.changes import MEASURES, PARTS, Changes
from riskpipe.domain.engine_backtest import EngineBacktest
from riskpipe.domain.instant import parse_as_of
from riskpipe.domain.tables import REALISED_LIQUIDATIONS
from riskpipe.errors import ConfigError, RiskpipeError, StoreError
from riskpipe.report import numbers
from riskpipe.report.sections.changes import change_words
from riskpipe.run.changes import changes_between
from riskpipe.run.engine_backtest import engine_backtest
from riskpipe.run.events import happened
from riskpipe.run.finished import open_finished, pointer_before
from riskpipe.run.night import Night

Kept = TypeVar("Kept", Changes, EngineBacktest)


def compare(store_uri: str, *, as_of: str | None = None, since: str | None = None, book: str = "") -> Changes:
    """Return what has changed since an earlier published night, computing and keeping it unless it is kept.

    Parameters
    ----------
    as_of, since: instants of the night (the newest where it is None) and of the earlier one (the last before it).

    Raises
    ------
    ConfigError: the earlier night is not earlier. StoreError, ComputeError: see `riskpipe.run.changes.changes_between`.
    """
    store = open_store(store_uri, must_exist=True)
    later = pointer_of(store, None if as_of is None else read_as_of(as_of), book)
    if since is None:
        earlier = pointer_before(store, parse_as_of(later.as_of), book)
        if earlier is None:
            raise StoreError(f"{store.uri} has no published night of book {book!r} before {later.as_of}")
    else:
        earlier = pointer_of(store, read_as_of(since), book)
    if earlier.as_of >= later.as_of:
        raise ConfigError(f"--since {earlier.as_of} is not before the night {later.as_of}")
    kept = kept_changes(store, later.run_id, earlier.run_id)
    return kept if kept is not None and not kept.problem else _compared(store, earlier, later)


def compare_with_previous(night: Night) -> Changes | None:
    """Compare a published night with the one before it, once; None where there is none.

    A night is no worse for a comparison that fails: what went wrong is kept and shown in its place, and tried again
    when the night is run again.
    """
    earlier = pointer_before(night.store, night.as_of, night.config.book)
    if earlier is None:
        return None
    kept = kept_changes(night.store, night.run_id, earlier.run_id)
    if kept is not None and not kept.problem:
        return kept
    later = pointer_of(night.store, night.as_of, night.config.book)
    try:
        return _compared(night.store, earlier, later)
    except RiskpipeError as error:
        happened("night not compared", level=logging.WARNING, since=earlier.run_id, error=str(error))
        since = parse_as_of(earlier.as_of)
        failed = Changes(night.run_id, night.as_of, earlier.run_id, since, problem=str(error))
        _keep(night.store, failed)
        return failed


def _compared(store: Store, earlier: Pointer, later: Pointer) -> Changes:
    found = changes_between(*(open_finished(store, one.run_id, one.manifest_sha256) for one in (earlier, later)))
    _keep(store, found)
    return found


def backtest_with_previous(night: Night) -> EngineBacktest | None:
    """Hold the liquidations that a published night reports against the book of the night before it, once.

    None where its snapshots have no table of them, or there is no night before. What goes wrong is kept like that of
    `compare_with_previous`.
    """
    realised = _reported(night)
    earlier = pointer_before(night.store, night.as_of, night.config.book)
    if realised is None or earlier is None:
        return None
    kept = kept_backtest(night.store, night.run_id, earlier.run_id)
    if kept is not None and not kept.problem:
        return kept
    later = pointer_of(night.store, night.as_of, night.config.book)
    runs = (earlier, later)
    try:
        first, second = (open_finished(night.store, one.run_id, one.manifest_sha256) for one in runs)
        found = engine_backtest(first, second, realised, night.history)
    except RiskpipeError as error:
        happened("engine not back-tested", level=logging.WARNING, since=earlier.run_id, error=str(error))
        since = parse_as_of(earlier.as_of)
        found = EngineBacktest(night.run_id, night.as_of, earlier.run_id, since, problem=str(error))
    _keep(night.store, found)
    return found


def _reported(night: Night) -> pa.Table | None:
    """Return the liquidations that a night's snapshots report; None where none has the table, an empty one included."""
    name = REALISED_LIQUIDATIONS.name
    given = [one.tables[name] for one in night.snapshots if any(file.startswith(name) for file in one.file_hashes)]
    return pa.concat_tables(given) if given else None


def _keep(store: Store, found: Changes | EngineBacktest) -> None:
    key = changes_key if isinstance(found, Changes) else engine_backtest_key
    store.write(key(found.run_id, found.since_run_id), canonical_json(found.as_json()))


def kept_changes(store: Store, run_id: str, since_run_id: str) -> Changes | None:
    """Return what is kept of two runs' comparison, None where there is nothing, or nothing that can be read."""
    return _read(store, changes_key(run_id, since_run_id), Changes)


def kept_backtest(store: Store, run_id: str, since_run_id: str) -> EngineBacktest | None:
    """Return what is kept of an engine back-test, None where there is nothing, or nothing that can be read."""
    return _read(store, engine_backtest_key(run_id, since_run_id), EngineBacktest)


def _read(store: Store, key: str, kind: type[Kept]) -> Kept | None:
    data = store.get(key)
    if data is None:
        return None
    try:
        return kind.from_json(json.loads(data))
    except (ValueError, KeyError, TypeError):
        return None  # torn, or another version's: it is made again


@dataclass(frozen=True)
class Since:
    """What is kept of a run against an earlier one."""

    run_id: str = ""
    changes: Changes | None = None
    engine_backtest: EngineBacktest | None = None

    def options(self) -> dict[str, Any]:
        """Return what a report depends on of it: nothing where there is nothing."""
        given = [None if one is None else one.as_json() for one in (self.changes, self.engine_backtest)]
        if given == [None, None]:
            return {}
        return {"since": {"run_id": self.run_id, "sha256": sha256(canonical_json({"kept": given}))}}


def since_run(store: Store, run_id: str, since_run_id: str) -> Since:
    """Return what is kept of a run against an earlier one."""
    return Since(since_run_id, kept_changes(store, run_id, since_run_id), kept_backtest(store, run_id, since_run_id))


def since_previous(night: Night) -> Since:
    """Return what is kept of a night against the one before it; nothing where the report is not to show it."""
    earlier = pointer_before(night.store, night.as_of, night.config.book) if night.config.report.changes else None
    return Since() if earlier is None else since_run(night.store, night.run_id, earlier.run_id)


def changes_text(found: Changes) -> str:
    """Lines for a person: each headline of all funds together, and what explains its change."""
    lines = [f"run {found.run_id} since run {found.since_run_id}"]
    for row in found.rows:
        if row.fund == "":
            lines.append(change_words(row))
            parts = {**row.parts, "program": row.program}
            lines += [f"  {part:<12}{numbers.usd(amount):>14}" for part, amount in parts.items()]
    if not found.rows:
        lines.append(f"nothing to explain: {', '.join(MEASURES)} are 0 in both nights")
    lines += [
        f"{numbers.plural(one.count, one.what)} {one.state}, {numbers.usd(one.gross_notional_usd)} gross"
        for one in found.one_sided
        if one.count
    ]
    same = [part for part in PARTS if part in found.unchanged]
    return "\n".join([*lines, *([f"the same in both nights: {', '.join(same)}"] if same else [])])
