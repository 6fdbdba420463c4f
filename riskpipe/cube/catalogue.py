"""Catalogue: which run is the published one of a book and an instant. A pointer moves by compare-and-swap only."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

from riskpipe.cube.digest import canonical_json, sha256
from riskpipe.cube.layout import manifest_key, pointer_key, pointer_prefix
from riskpipe.cube.protocol import Store
from riskpipe.domain.instant import format_as_of, parse_as_of
from riskpipe.errors import StoreError


@dataclass(frozen=True)
class Pointer:
    """What a published night points at."""

    run_id: str
    as_of: str
    """As in names: 2024-08-05T000000Z."""
    manifest_sha256: str


@dataclass(frozen=True)
class Published:
    """A pointer and the book's name under which it stands ("" = none)."""

    book: str
    pointer: Pointer


@dataclass(frozen=True)
class Run:
    """A run in a store."""

    run_id: str
    is_complete: bool
    """It has a manifest; without one it does not exist for readers."""
    published_as: tuple[str, ...]
    """Books under which it is published now."""


def publish(
    store: Store,
    run_id: str,
    as_of: datetime,
    *,
    book: str = "",
    expected: Pointer | Literal["current"] | None = "current",
) -> Pointer:
    """Point a book's night at a complete run.

    Publishing the same run again changes nothing. An older run of the same night is superseded.

    Parameters
    ----------
    as_of: the night's instant, timezone-aware.
    expected: the pointer that must stand there now (None: there must be none); "current" takes what is there on entry.

    Raises
    ------
    StoreError: when the run has no manifest or is of another instant, another writer moved the pointer meanwhile or it
    is not the expected one, or the store ignores conditions, so that it cannot keep two writers apart.
    """
    key = pointer_key(book, as_of)
    manifest = store.get(manifest_key(run_id))
    if manifest is None:
        raise StoreError(f"run {run_id} has no manifest in {store.uri}: it is not complete and cannot be published")
    pointer = Pointer(run_id, format_as_of(as_of), sha256(manifest))
    of = json.loads(manifest)["as_of"]
    if of != pointer.as_of:
        raise StoreError(f"run {run_id} is of {of}, it cannot be published as {pointer.as_of}")
    before = store.get(key) if expected == "current" else None if expected is None else canonical_json(asdict(expected))
    new = canonical_json(asdict(pointer))
    if store.get(key) == new:
        return pointer
    if not store.honours_conditions():
        raise StoreError(
            f"{store.uri} ignores conditional writes: two nights published at once would overwrite each other unseen. "
            "Publish to a local folder or to an object store that honours them"
        )
    if not store.swap(key, before, new) and store.get(key) != new:
        found = store.get(key)
        holder = "nothing" if found is None else f"run {_pointer(key, found).run_id}"
        raise StoreError(
            f"run {run_id} was not published: {key} names {holder}, which is not what was expected there; another "
            "writer was faster. Compare the two runs and publish again to supersede it"
        )
    return pointer


def published(store: Store, book: str | None = None) -> list[Published]:
    """List published nights by book and instant; `book` None = of every book."""
    names = [book] if book is not None else ["", *(name for name in store.children("published") if _is_book(name))]
    found = []
    for name in names:
        prefix = pointer_prefix(name)
        for file in store.children(prefix):
            if file.endswith(".json"):
                key = f"{prefix}/{file}"
                found.append(Published(name, _pointer(key, store.read(key))))
    return found


def pointer_of(store: Store, as_of: datetime | str | None = None, book: str = "") -> Pointer:
    """Return the pointer of a book's night; None = the newest one. StoreError when there is none."""
    name = f"book {book!r}" if book else "the unnamed book"
    if as_of is None:
        nights = published(store, book)
        if not nights:
            others = sorted({night.book for night in published(store)} - {book})
            hint = f"; there are nights of {', '.join(repr(other) for other in others)}" if others else ""
            raise StoreError(f"{store.uri} has no published night of {name}{hint}")
        return max(nights, key=lambda night: parse_as_of(night.pointer.as_of)).pointer
    instant = parse_as_of(as_of) if isinstance(as_of, str) else as_of
    key = pointer_key(book, instant)
    data = store.get(key)
    if data is None:
        instants = [night.pointer.as_of for night in published(store, book)]
        hint = f"published are {', '.join(instants[-3:])}" if instants else "nothing is published"
        raise StoreError(f"{store.uri} has no published night {format_as_of(instant)} of {name}; {hint}")
    return _pointer(key, data)


def runs(store: Store) -> list[Run]:
    """List every run in the store, complete or not, by run id."""
    books: dict[str, list[str]] = {}
    for night in published(store):
        books.setdefault(night.pointer.run_id, []).append(night.book)
    return [Run(name, store.exists(manifest_key(name)), tuple(books.get(name, ()))) for name in store.children("runs")]


def _is_book(name: str) -> bool:
    return not name.endswith(".json")


def _pointer(key: str, data: bytes) -> Pointer:
    """Read a pointer."""
    try:
        return Pointer(**json.loads(data))
    except (ValueError, TypeError) as error:
        raise StoreError(f"{key} is not a pointer to a run: {error}") from error
