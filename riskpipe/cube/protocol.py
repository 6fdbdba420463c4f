"""What every store promises: objects under checked keys, written whole, created once, swapped by comparison."""

import re
import uuid
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from riskpipe.errors import StoreError

if TYPE_CHECKING:
    from zarr.abc.store import Store as ZarrStore

Names = list[str]  # inside Store, `list` is the method
_PART = re.compile(r"[^/\\\x00-\x1f\x7f]+")


class Entry(NamedTuple):
    """An object as a listing shows it."""

    key: str
    size: int
    modified: datetime
    """By the store's clock, UTC."""


class Store(Protocol):
    """Bytes under keys (`runs/x/manifest.json`). Every method raises StoreError for a bad key or a failing medium."""

    @property
    def uri(self) -> str:
        """Location that `open_store` takes to open the same store, in this process or, when shared, in another."""

    @property
    def is_shared(self) -> bool:
        """Tell whether other processes can open it."""

    def get(self, key: str) -> bytes | None:
        """Return the object's bytes, None when there is no such object."""

    def read(self, key: str) -> bytes:
        """Return the object's bytes; StoreError when there is no such object."""
        data = self.get(key)
        if data is None:
            raise missing(self, key)
        return data

    def exists(self, key: str) -> bool:
        """Tell whether the object exists."""

    def size(self, key: str) -> int:
        """Count the object's bytes; StoreError when there is no such object."""

    def modified(self, key: str) -> datetime:
        """Return when the object was last written, by the store's clock, UTC."""

    def now(self) -> datetime:
        """Return the time by the store's clock, UTC: the only one to compare `modified` with."""

    def write(self, key: str, data: bytes) -> None:
        """Write an object, replacing any. Readers see old bytes or new; after return the new survive a crash."""

    def create(self, key: str, data: bytes) -> bool:
        """Write an object unless there is one (False), as durably as `write`. Of racing callers exactly one wins."""

    def swap(self, key: str, expected: bytes | None, new: bytes) -> bool:
        """Replace the object if its bytes are `expected` (None: there is none), else False. Atomic among swaps."""

    def list(self, prefix: str) -> Names:
        """List the keys of all objects below a folder ("" = all), sorted."""

    def entries(self, prefix: str) -> tuple[Entry, ...]:
        """List all objects below a folder as `list` does, with size and time of each."""

    def children(self, prefix: str) -> Names:
        """List the names directly below a folder ("" = the root), folders and objects alike, sorted."""

    def delete(self, prefix: str) -> None:
        """Delete an object, or a folder with all below it; nothing happens when there is none."""

    def zarr_store(self, prefix: str) -> "ZarrStore":
        """Return the folder as a store that zarr and xarray can open."""

    def local_path(self, key: str) -> Path | None:
        """Return the file's or folder's path where it can be memory-mapped, None where it cannot."""

    def honours_conditions(self) -> bool:
        """Tell, by trying, whether `create` and `swap` refuse when they must: some object stores ignore conditions."""
        return try_conditions(self)


def check_key(key: str, *, is_prefix: bool = False) -> str:
    """Return the key if it is safe as a path below the store's root.

    Raises StoreError for absolute keys, empty or dotted parts (so neither `..` nor a store's own hidden files),
    backslashes and control characters. `is_prefix` also allows "", the root.
    """
    if is_prefix and not key:
        return key
    for part in key.split("/"):
        if not _PART.fullmatch(part) or part.startswith("."):
            raise StoreError(
                f"store key {key!r}: part {part!r} is empty, starts with a dot, or holds a backslash or control "
                "character"
            )
    return key


def missing(store: Store, key: str) -> StoreError:
    """Make the error for an object that should be there."""
    return StoreError(f"{store.uri} has no {key}")


def try_conditions(store: Store) -> bool:
    """Create and swap an object of our own wrongly; a store that lets it pass does not keep its word."""
    key = f"probes/{uuid.uuid4().hex}"
    try:
        return (
            store.create(key, b"first")
            and not store.create(key, b"second")
            and not store.swap(key, b"second", b"third")
            and not store.swap(key, None, b"third")
            and store.swap(key, b"first", b"fourth")
            and store.get(key) == b"fourth"
        )
    finally:
        store.delete(key)
