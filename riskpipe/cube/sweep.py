"""Sweep: what a store no longer needs, why, and its deletion in an order that deceives no reader and no resume.

All ages are by the store's clock. A run in which anything was written within the last day is never touched.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from riskpipe.cube.catalogue import Catalogue, Published, catalogue_at, read_catalogue
from riskpipe.cube.layout import book_prefix, cube_prefix, manifest_key, plan_key, pointer_key, run_prefix
from riskpipe.cube.parallel import map_objects
from riskpipe.cube.protocol import Entry, Store
from riskpipe.domain.instant import parse_as_of
from riskpipe.errors import StoreError

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Removal:
    """Something that goes: what it is, its key or folder, why, and how many objects and bytes it has."""

    kind: Literal["pointer", "run", "book", "probe"]
    key: str
    why: str
    n_objects: int
    n_bytes: int


@dataclass(frozen=True)
class Sweep:
    """What a sweep removed, or would remove, and what it left alone because something is wrong with it."""

    store: str
    is_dry_run: bool
    removals: tuple[Removal, ...]
    problems: tuple[str, ...]

    @property
    def n_objects(self) -> int:
        """Objects removed."""
        return sum(removal.n_objects for removal in self.removals)

    @property
    def n_bytes(self) -> int:
        """Bytes removed."""
        return sum(removal.n_bytes for removal in self.removals)

    def as_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "n_objects": self.n_objects, "n_bytes": self.n_bytes}

    def as_text(self) -> str:
        """Lines for a person."""
        verb = "would remove" if self.is_dry_run else "removed"
        lines = [f"{verb} {removal.key} ({removal.n_bytes / 1e6:,.2f} MB): {removal.why}" for removal in self.removals]
        lines += [f"left alone: {problem}" for problem in self.problems]
        return "\n".join([*lines, f"{verb} {self.n_objects:,} objects, {self.n_bytes / 1e6:,.2f} MB"])


def sweep(store: Store, *, keep_days: float = 30.0, month_ends_only: bool = False, is_dry_run: bool = False) -> Sweep:
    """Remove what a store no longer needs.

    Removed are runs without a manifest of which nothing was written for a day; complete runs that no pointer names and
    whose manifest, and what is published of their night, is older than `keep_days` (whoever reads a run that has been
    superseded has so long to end); with `month_ends_only` published nights whose instant is older than
    `keep_days`, except each book's last of a calendar month (UTC); books older than a day that no run refers to; probes
    older than a day. Left alone, and told as problems: what a torn pointer may name, and books while a plan cannot be
    read.

    Parameters
    ----------
    keep_days: at least 1.
    is_dry_run: remove nothing, only say what would go.

    Raises
    ------
    StoreError: when `keep_days` is below 1, or the store fails.
    """
    if not keep_days >= 1.0:
        raise StoreError(f"a sweep keeps at least one day, got {keep_days:g}")
    now = store.now()
    catalogue = read_catalogue(store)
    sweeper = _Sweeper(store, now, timedelta(days=keep_days), is_dry_run, list(catalogue.problems.values()))
    faded = _faded_nights(catalogue, now - sweeper.keep) if month_ends_only else []
    pointers = [removal for night in faded for removal in sweeper.remove_pointer(night)]
    left = {removal.key for removal in pointers}
    standing = [night for night in catalogue.nights if _pointer_key(night) not in left]
    named = {night.pointer.run_id for night in standing}
    unsure = {key.rpartition("/")[2].removesuffix(".json") for key in catalogue.problems}
    names = [name for name in store.children("runs") if name not in named and _instant_of(name) not in unsure]
    faded_runs = {night.pointer.run_id for night in faded}
    runs = [removal for name in names for removal in sweeper.remove_run(name, standing, is_faded=name in faded_runs)]
    books = list(sweeper.remove_books({removal.key for removal in runs}))
    return Sweep(store.uri, is_dry_run, (*pointers, *runs, *books, *sweeper.remove_probes()), tuple(sweeper.problems))


def _pointer_key(night: Published) -> str:
    return pointer_key(night.book, parse_as_of(night.pointer.as_of))


def _instant_of(run_id: str) -> str:
    """Return the instant with which a run's name begins."""
    return run_id[: len("yyyy-mm-ddThhmmssZ")]


def _faded_nights(catalogue: Catalogue, oldest: datetime) -> list[Published]:
    """List published nights before an instant that are not the last of their book's month."""
    last: dict[tuple[str, str], str] = {}
    for night in catalogue.nights:
        month = (night.book, night.pointer.as_of[:7])
        last[month] = max(last.get(month, ""), night.pointer.as_of)
    return [
        night
        for night in catalogue.nights
        if parse_as_of(night.pointer.as_of) < oldest
        and last[night.book, night.pointer.as_of[:7]] != night.pointer.as_of
    ]


def _removal(kind: Literal["run", "book", "probe"], key: str, why: str, entries: Sequence[Entry]) -> Removal:
    return Removal(kind, key, why, len(entries), sum(entry.size for entry in entries))


@dataclass(frozen=True)
class _Sweeper:
    """One sweep in progress."""

    store: Store
    now: datetime
    keep: timedelta
    is_dry_run: bool
    problems: list[str]

    def remove_pointer(self, night: Published) -> Iterator[Removal]:
        """Remove a pointer, unless another run has been published there meanwhile."""
        key = _pointer_key(night)
        size = self.store.size(key)
        if not self.is_dry_run:
            if night not in catalogue_at(self.store, parse_as_of(night.pointer.as_of)).nights:
                return
            self.store.delete(key)
        yield Removal(
            "pointer", key, f"a night more than {self.keep.days} days old, not the last of its month", 1, size
        )

    def remove_run(self, run_id: str, standing: Sequence[Published], *, is_faded: bool) -> Iterator[Removal]:
        """Remove a run that no pointer names, if it is old enough; `standing` is what is published."""
        try:
            prefix, sealed = run_prefix(run_id), manifest_key(run_id)
        except StoreError as error:
            self.problems.append(str(error))
            return
        entries = self.store.entries(prefix)
        newest = max((entry.modified for entry in entries), default=self.now)
        if self.now - newest < _DAY:
            return
        manifest = next((entry for entry in entries if entry.key == sealed), None)
        if manifest is None:
            why = f"unfinished, nothing was written since {newest:%Y-%m-%d %H:%M}Z"
        elif is_faded:
            why = "its pointer is removed"
        elif self.now - max([manifest.modified, *self._published_at(_instant_of(run_id), standing)]) < self.keep:
            return
        else:
            why = f"complete since {manifest.modified:%Y-%m-%d}, but no pointer names it"
        if not self.is_dry_run and (problem := self._delete_run(run_id)) is not None:
            self.problems.append(problem)
            return
        yield _removal("run", prefix, why, entries)

    def _published_at(self, instant: str, standing: Sequence[Published]) -> list[datetime]:
        """Return when what stands for an instant was published: until then another run may have stood there."""
        keys = [_pointer_key(night) for night in standing if night.pointer.as_of == instant]
        return [self.store.modified(key) for key in keys if self.store.exists(key)]

    def _delete_run(self, run_id: str) -> str | None:
        """Delete a run, or say why it is left as it was: a pointer names it after all, or somebody goes on with it.

        First the manifest: from then on the run does not exist for readers. A publisher looks for it after it has moved
        the pointer, and we look for pointers before and after it is gone, so that one of both sees the other. Then the
        marks and the template, lest a resume should trust what is half deleted, and last the plan, which says what book
        it has.
        """
        store, prefix, sealed = self.store, run_prefix(run_id), manifest_key(run_id)
        now = store.now()
        if any(now - entry.modified < _DAY for entry in store.entries(f"{prefix}/attempts")):
            return f"run {run_id} has just been begun again"
        manifest = store.get(sealed)
        if manifest is not None:
            try:
                instant = parse_as_of(json.loads(manifest)["as_of"])
            except (ValueError, KeyError, TypeError) as error:
                return f"run {run_id}, whose manifest does not tell its night: {error}"
            if self._is_named(run_id, instant):
                return f"run {run_id} has just been published"
            store.delete(sealed)
            if self._is_named(run_id, instant):
                store.create(sealed, manifest)
                return f"run {run_id} has just been published"
        store.delete(f"{prefix}/marks")
        store.delete(f"{cube_prefix(run_id)}/zarr.json")
        for name in store.children(prefix):
            if f"{prefix}/{name}" != plan_key(run_id):
                store.delete(f"{prefix}/{name}")
        store.delete(prefix)
        return None

    def _is_named(self, run_id: str, instant: datetime) -> bool:
        """Whether a pointer names a run of this instant, or may do so, being torn."""
        here = catalogue_at(self.store, instant)
        return bool(here.problems) or any(night.pointer.run_id == run_id for night in here.nights)

    def remove_books(self, removed: set[str]) -> Iterator[Removal]:
        """Remove old books that no run refers to but those removed."""
        names = [name for name in self.store.children("books") if len(name) == 64]
        keys = [f"runs/{name}" for name in self.store.children("runs") if f"runs/{name}" not in removed]
        referred = map_objects(self._book_of, keys)
        if None in referred:
            return
        for name in sorted(set(names) - set(referred)):
            entries = self.store.entries(book_prefix(name))
            whole = f"{book_prefix(name)}/book.json"
            if self.now - max((entry.modified for entry in entries), default=self.now) < _DAY:
                continue
            if not self.is_dry_run:
                if self.store.exists(whole) and self.now - self.store.modified(whole) < _DAY:
                    continue  # a night has just begun to use it
                self.store.delete(whole)
                self.store.delete(book_prefix(name))
            yield _removal("book", book_prefix(name), "no run refers to it", entries)

    def _book_of(self, prefix: str) -> str | None:
        """Return the book that a run's plan names, "" where there is no plan yet, None where it cannot be told."""
        plan = self.store.get(f"{prefix}/plan.json")
        if plan is None and not self.store.exists(f"{prefix}/manifest.json"):
            return ""
        try:
            return str(json.loads(plan or b"")["book_sha256"])
        except (ValueError, KeyError, TypeError) as error:
            what = "is missing" if plan is None else f"does not name the run's: {error}"
            self.problems.append(f"all books, because {prefix}/plan.json {what}")
            return None

    def remove_probes(self) -> Iterator[Removal]:
        """Remove what a process left that was killed while it asked the store something."""
        entries = [entry for entry in self.store.entries("probes") if self.now - entry.modified >= _DAY]
        if not self.is_dry_run:
            for entry in entries:
                self.store.delete(entry.key)
        if entries:
            yield _removal("probe", "probes", "more than a day old", entries)
