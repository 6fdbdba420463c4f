"""Catalogue: which run is the published one of a book and an instant. A pointer moves by compare-and-swap only."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

from riskpipe.cube.digest import canonical_json, sha256
from riskpipe.cube.layout import manifest_key, pointer_key, pointer_prefix
from riskpipe.cube.parallel import map_objects
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
class NightName:
    """A published night as its pointer's name tells it: nothing has been read."""

    book: str
    as_of: datetime

    @property
    def key(self) -> str:
        """Key of the pointer."""
        return pointer_key(self.book, self.as_of)


@dataclass(frozen=True)
class Catalogue:
    """What is published, and what stands among the pointers but is none."""

    nights: tuple[Published, ...]
    """By book and instant."""
    problems: dict[str, str]
    """What is wrong with an object that should be a pointer, by its key."""


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
    StoreError: when the run has no manifest, is of another instant or is swept meanwhile, another writer moved the
    pointer meanwhile or it is not the expected one, or the store ignores conditions, so that it cannot keep two writers
    apart. The pointer is then what it was.
    """
    key = pointer_key(book, as_of)
    manifest = store.get(manifest_key(run_id))
    if manifest is None:
        raise StoreError(f"run {run_id} has no manifest in {store.uri}: it is not complete and cannot be published")
    pointer = Pointer(run_id, format_as_of(as_of), sha256(manifest))
    try:
        of = json.loads(manifest)["as_of"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{store.uri}/{manifest_key(run_id)} is torn: {error}. Verify the run") from error
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
    if not store.exists(manifest_key(run_id)):  # a sweep deletes the manifest, then looks for pointers
        if before is not None:
            store.swap(key, new, before)
        elif store.get(key) == new:
            store.delete(key)
        raise StoreError(
            f"run {run_id} was swept while it was published: {key} is as it was before. Run the night again"
        )
    return pointer


def night_names(store: Store, book: str | None = None) -> list[NightName]:
    """List published nights by book and instant, from the names of their pointers; `book` None = of every book."""
    return _names(store, book)[0]


def read_catalogue(store: Store, book: str | None = None) -> Catalogue:
    """Read every pointer, many at a time; one that is torn is a problem by name and hides no other."""
    return _read(store, *_names(store, book))


def published(store: Store, book: str | None = None) -> list[Published]:
    """List published nights by book and instant; `book` None = of every book. StoreError when a pointer is torn."""
    catalogue = read_catalogue(store, book)
    for problem in catalogue.problems.values():
        raise StoreError(problem)
    return list(catalogue.nights)


def pointer_of(store: Store, as_of: datetime | str | None = None, book: str = "") -> Pointer:
    """Return the pointer of a book's night; None = the newest one. StoreError when there is none.

    Reads one pointer, however many there are.
    """
    name = f"book {book!r}" if book else "the unnamed book"
    if as_of is None:
        nights = night_names(store, book)
        if not nights:
            others = sorted({night.book for night in night_names(store)} - {book})
            named = ", ".join(repr(other) for other in others)
            hint = f"; there are nights of {named}: say which book (--book)" if others else ""
            raise StoreError(f"{store.uri} has no published night of {name}{hint}")
        instant = max(night.as_of for night in nights)
    else:
        instant = parse_as_of(as_of) if isinstance(as_of, str) else as_of
    key = pointer_key(book, instant)
    data = store.get(key)
    if data is None:
        instants = [format_as_of(night.as_of) for night in night_names(store, book)]
        hint = f"published are {', '.join(instants[-3:])}" if instants else "nothing is published"
        raise StoreError(f"{store.uri} has no published night {format_as_of(instant)} of {name}; {hint}")
    return _pointer(key, data)


def catalogue_at(store: Store, as_of: datetime) -> Catalogue:
    """Read the pointers of one instant, of every book: one read for each book."""
    return _read(store, [NightName(book, as_of) for book in _books(store)], {})


def points_at(store: Store, run_id: str, as_of: datetime, *, book: str = "") -> bool:
    """Tell whether the pointer of a book's night names a run; one that is torn names none."""
    return any(night.book == book and night.pointer.run_id == run_id for night in catalogue_at(store, as_of).nights)


def unpublished_runs(store: Store, catalogue: Catalogue) -> list[Run]:
    """List runs that no pointer names, complete or not, by run id; `catalogue` is what is published in the store."""
    named = {night.pointer.run_id for night in catalogue.nights}
    return _runs(store, [name for name in store.children("runs") if name not in named], {})


def runs(store: Store) -> list[Run]:
    """List every run in the store, complete or not, by run id. StoreError when a pointer is torn."""
    books: dict[str, list[str]] = {}
    for night in published(store):
        books.setdefault(night.pointer.run_id, []).append(night.book)
    return _runs(store, store.children("runs"), books)


def _runs(store: Store, names: list[str], books: dict[str, list[str]]) -> list[Run]:
    is_complete = map_objects(lambda name: store.exists(manifest_key(name)), names)
    return [Run(name, done, tuple(books.get(name, ()))) for name, done in zip(names, is_complete, strict=True)]


def _books(store: Store) -> list[str]:
    return ["", *(name for name in store.children("published") if _is_book(name))]


def _names(store: Store, book: str | None) -> tuple[list[NightName], dict[str, str]]:
    """Read the names below `published`, and list those that are no pointer's."""
    names, problems = [], {}
    for folder in _books(store) if book is None else [book]:
        prefix = pointer_prefix(folder)
        for file in store.children(prefix):
            if _is_book(file):
                continue
            try:
                name = NightName(folder, parse_as_of(file.removesuffix(".json")))
            except ValueError:
                name = None
            if name is None or name.key != f"{prefix}/{file}":
                problems[f"{prefix}/{file}"] = f"{prefix}/{file} is not named by an instant such as 2024-08-05T000000Z"
            else:
                names.append(name)
    return names, problems


def _read(store: Store, names: list[NightName], problems: dict[str, str]) -> Catalogue:
    found: list[Published] = []
    for name, data in zip(names, map_objects(lambda name: store.get(name.key), names), strict=True):
        if data is None:  # none of this book, or swept since it was listed
            continue
        try:
            found.append(Published(name.book, _pointer(name.key, data)))
        except StoreError as error:
            problems[name.key] = str(error)
    return Catalogue(tuple(found), problems)


def _is_book(name: str) -> bool:
    return not name.endswith(".json")


def _pointer(key: str, data: bytes) -> Pointer:
    """Read a pointer."""
    try:
        pointer = Pointer(**json.loads(data))
    except (ValueError, TypeError) as error:
        raise StoreError(f"{key} is not a pointer to a run: {error}") from error
    if not all(isinstance(value, str) for value in asdict(pointer).values()):
        raise StoreError(f"{key} is not a pointer to a run: run_id, as_of and manifest_sha256 must be text")
    if not key.endswith(f"/{pointer.as_of}.json"):
        raise StoreError(f"{key} names a run of another instant, {pointer.as_of}")
    return pointer
