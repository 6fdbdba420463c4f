"""A store in a local folder: temporary file, fsync, rename; hard links for creation; flock for comparison and swap."""

import contextlib
import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from zarr.abc.store import Store as ZarrStore

from riskpipe.cube.adapter import ZarrFolder
from riskpipe.cube.protocol import Entry, Names, Store, check_key, missing
from riskpipe.errors import StoreError, StoreLost

_LOCK_TIMEOUT_S = 60.0
_LASTING = frozenset(
    {
        errno.EACCES,
        errno.EDQUOT,
        errno.EISDIR,
        errno.ENAMETOOLONG,
        errno.ENOSPC,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
    }
)
"""What another try would meet again: no right, no room, something else in the way."""


@dataclass(frozen=True)
class LocalStore(Store):
    """Objects as files below `root`. Hidden names (temporary files, locks) are the store's own and never listed."""

    root: Path

    @property
    def uri(self) -> str:
        """See Store."""
        return str(self.root)

    @property
    def is_shared(self) -> bool:
        """See Store."""
        return True

    def get(self, key: str) -> bytes | None:
        """See Store."""
        with _errors_of(key):
            try:
                return self._path(key).read_bytes()
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                return None

    def exists(self, key: str) -> bool:
        """See Store."""
        return self._path(key).is_file()

    def size(self, key: str) -> int:
        """See Store."""
        return self._stat(key).st_size

    def modified(self, key: str) -> datetime:
        """See Store."""
        return datetime.fromtimestamp(self._stat(key).st_mtime, UTC)

    def now(self) -> datetime:
        """See Store: the file system's clock, which on a network mount is the server's."""
        with _errors_of("the store's clock"):
            self.root.mkdir(parents=True, exist_ok=True)
            path = self.root / f".clock-{uuid.uuid4().hex}"
            path.touch(exist_ok=False)
            try:
                return datetime.fromtimestamp(path.stat().st_mtime, UTC)
            finally:
                path.unlink()

    def write(self, key: str, data: bytes) -> None:
        """See Store."""
        path = self._path(key)
        with _errors_of(key), _temporary(path, data) as temporary:
            temporary.replace(path)
            _sync_folder(path.parent)

    def create(self, key: str, data: bytes) -> bool:
        """See Store. A hard link of a finished file: it appears whole, and only where there is none."""
        path = self._path(key)
        with _errors_of(key), _temporary(path, data) as temporary:
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
            _sync_folder(path.parent)
            return True

    def swap(self, key: str, expected: bytes | None, new: bytes) -> bool:
        """See Store."""
        path = self._path(key)
        lock = self.root / ".locks" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.lock"
        with _errors_of(key):
            lock.parent.mkdir(parents=True, exist_ok=True)
            try:
                with FileLock(lock, timeout=_LOCK_TIMEOUT_S):
                    if self.get(key) != expected:
                        return False
                    with _temporary(path, new) as temporary:
                        temporary.replace(path)
                        _sync_folder(path.parent)
                    return True
            except Timeout as error:
                raise StoreError(f"{key}: another process held its lock {lock} for {_LOCK_TIMEOUT_S:g} s") from error

    def list(self, prefix: str) -> Names:
        """See Store."""
        keys = []
        with _errors_of(prefix):
            for folder, folders, files in os.walk(self._path(prefix, is_prefix=True)):
                folders[:] = [name for name in folders if not name.startswith(".")]
                relative = Path(folder).relative_to(self.root).as_posix()
                start = "" if relative == "." else f"{relative}/"
                keys += [f"{start}{name}" for name in files if not name.startswith(".")]
        return sorted(keys)

    def entries(self, prefix: str) -> tuple[Entry, ...]:
        """See Store. What is deleted meanwhile is left out."""
        found = []
        for key in self.list(prefix):
            with _errors_of(key):
                try:
                    stat = self._path(key).stat()
                except (FileNotFoundError, NotADirectoryError):
                    continue
            found.append(Entry(key, stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC)))
        return tuple(found)

    def children(self, prefix: str) -> Names:
        """See Store."""
        with _errors_of(prefix):
            try:
                names = [path.name for path in self._path(prefix, is_prefix=True).iterdir()]
            except (FileNotFoundError, NotADirectoryError):
                return []
        return sorted(name for name in names if not name.startswith("."))

    def delete(self, prefix: str) -> None:
        """See Store."""
        path = self._path(prefix)
        with _errors_of(prefix):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            if path.parent.is_dir():
                _sync_folder(path.parent)

    def zarr_store(self, prefix: str) -> ZarrStore:
        """See Store."""
        return ZarrFolder(self, check_key(prefix, is_prefix=True))

    def local_path(self, key: str) -> Path | None:
        """See Store."""
        return self._path(key, is_prefix=True)

    def _path(self, key: str, *, is_prefix: bool = False) -> Path:
        return self.root / check_key(key, is_prefix=is_prefix)

    def _stat(self, key: str) -> os.stat_result:
        with _errors_of(key):
            try:
                return self._path(key).stat()
            except (FileNotFoundError, NotADirectoryError):
                raise missing(self, key) from None


@contextlib.contextmanager
def _errors_of(key: str) -> Iterator[None]:
    """Turn the operating system's errors into StoreErrors that name the object: StoreLost for what may pass."""
    try:
        yield
    except OSError as error:
        kind = StoreError if error.errno in _LASTING else StoreLost
        raise kind(f"store object {key}: {error.strerror or error} ({error.filename or 'no file'})") from error


@contextlib.contextmanager
def _temporary(path: Path, data: bytes) -> Iterator[Path]:
    """Write data durably to a hidden file beside `path`; remove it at the end if it still has its hidden name."""
    _make_folder(path.parent)
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}.tmp"
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, each durable: a rename into a folder that a crash forgets is lost with it."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    """Make renames inside a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
