"""Copies of books on this host: what lies in an object store is fetched once, checked by hash, and mapped from there.

`RISKPIPE_CACHE/books/<sha256>/` (by default below ~/.cache/riskpipe) holds the files of `books/<sha256>/` in the store.
A copy is made beside its place and renamed into it under a lock, so that of all workers of a host one fetches and none
sees half of it. Every process compares hashes before it maps: a copy that was cut short or edited is fetched again.
"""

import contextlib
import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from riskpipe.cube.digest import sha256
from riskpipe.cube.layout import book_prefix
from riskpipe.cube.protocol import Store
from riskpipe.errors import StoreError, VerifyError

_LOCK_TIMEOUT_S = 1800.0
_UNUSED_DAYS = 14.0
_FILE = re.compile(r"[a-z0-9_-]+\.(npy|arrow)")


def cache_folder() -> Path:
    """Return the folder of this host's copies: RISKPIPE_CACHE, else ~/.cache/riskpipe."""
    return Path(os.environ.get("RISKPIPE_CACHE") or Path.home() / ".cache" / "riskpipe") / "books"


def local_copy(store: Store, sha: str, files: Mapping[str, Mapping[str, Any]]) -> Path:
    """Return the folder of this host's copy of a book, fetched from the store unless it is there and whole.

    Parameters
    ----------
    sha: the book's name.
    files: size and SHA-256 of every file, as book.json lists them.

    Raises
    ------
    VerifyError: when a file in the store is not the one that book.json lists. StoreError: when a file is missing or its
    name could lead elsewhere, the disk is full, or another process held the lock for half an hour.
    """
    odd = sorted(name for name in files if not _FILE.fullmatch(name))
    if odd:
        raise StoreError(f"{store.uri}/{book_prefix(sha)} lists {odd[0]!r}, which is not the name of a book's file")
    folder = cache_folder() / sha
    with contextlib.suppress(OSError):
        os.utime(folder)  # before it is looked at: what is unused may be dropped at any moment
    if not _is_whole(folder, files):
        with _errors_of(folder):
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                with FileLock(folder.parent / f"{sha}.lock", timeout=_LOCK_TIMEOUT_S):
                    if not _is_whole(folder, files):  # another process may have been faster
                        _fetch(store, sha, files, folder)
            except Timeout as error:
                raise StoreError(f"{folder}: another process has been fetching it for half an hour; end it") from error
    return folder


def _is_whole(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> bool:
    """Compare every file of a copy with its hash."""
    try:
        return all((folder / name).stat().st_size == entry["size"] for name, entry in files.items()) and all(
            _file_sha256(folder / name) == entry["sha256"] for name, entry in files.items()
        )
    except OSError:
        return False


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch(store: Store, sha: str, files: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
    """Fetch a book beside its place, and put it there whole. The lock is held: what lies about is a dead process's."""
    for left in folder.parent.glob(f".{sha}.*"):
        shutil.rmtree(left, ignore_errors=True)
    _drop_unused(folder.parent)
    temporary = folder.parent / f".{sha}.{uuid.uuid4().hex}"
    temporary.mkdir()
    try:
        for name, entry in files.items():
            key = f"{book_prefix(sha)}/{name}"
            data = store.read(key)
            if len(data) != entry["size"] or sha256(data) != entry["sha256"]:
                raise VerifyError(
                    f"{store.uri}/{key} has {len(data)} bytes, SHA-256 {sha256(data)}; book.json says {entry['size']}, "
                    f"{entry['sha256']}. Run the night again: it writes the book anew"
                )
            with (temporary / name).open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        if folder.exists():  # damaged; whoever has mapped it keeps what it mapped
            folder.rename(folder.parent / f".{sha}.{uuid.uuid4().hex}")
        temporary.rename(folder)
    finally:
        for left in folder.parent.glob(f".{sha}.*"):
            shutil.rmtree(left, ignore_errors=True)


def _drop_unused(books: Path) -> None:
    """Remove copies that no process has opened for two weeks, so that a host's disk does not fill with old nights."""
    oldest = time.time() - _UNUSED_DAYS * 86_400.0
    for folder in books.iterdir():
        with contextlib.suppress(OSError):
            if folder.is_dir() and not folder.name.startswith(".") and folder.stat().st_mtime < oldest:
                shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _errors_of(folder: Path) -> Iterator[None]:
    """Turn the operating system's errors into StoreErrors that name the copy and what to do."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"this host's copy of a book, {folder}, cannot be made: {error.strerror or error}; free space there, or "
            "point RISKPIPE_CACHE at a folder with room"
        ) from error
