"""A store in this process's memory, for tests and small nights with executor serial."""

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from zarr.abc.store import Store as ZarrStore

from riskpipe.cube.adapter import ZarrFolder
from riskpipe.cube.protocol import Entry, Names, Store, check_key, missing
from riskpipe.errors import StoreError


@dataclass
class _Objects:
    """What all stores opened by one URI share."""

    held: dict[str, tuple[bytes, datetime]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)


_BY_URI: dict[str, _Objects] = {}
_BY_URI_LOCK = threading.Lock()


class MemoryStore(Store):
    """Objects in memory, the same for every store opened by the same URI in this process."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        with _BY_URI_LOCK:
            self._objects = _BY_URI.setdefault(uri, _Objects())

    @property
    def uri(self) -> str:
        """See Store."""
        return self._uri

    @property
    def is_shared(self) -> bool:
        """See Store."""
        return False

    def __reduce__(self) -> tuple[type, tuple[str]]:
        """Refuse to travel: another process would find it empty."""
        raise StoreError(f"{self.uri} cannot be reached from another process; use a local folder, or executor serial")

    def get(self, key: str) -> bytes | None:
        """See Store."""
        held = self._objects.held.get(check_key(key))
        return None if held is None else held[0]

    def exists(self, key: str) -> bool:
        """See Store."""
        return check_key(key) in self._objects.held

    def size(self, key: str) -> int:
        """See Store."""
        return len(self.read(key))

    def modified(self, key: str) -> datetime:
        """See Store."""
        try:
            return self._objects.held[check_key(key)][1]
        except KeyError:
            raise missing(self, key) from None

    def now(self) -> datetime:
        """See Store."""
        return datetime.now(UTC)

    def write(self, key: str, data: bytes) -> None:
        """See Store."""
        with self._objects.lock:
            self._objects.held[check_key(key)] = (bytes(data), self.now())

    def create(self, key: str, data: bytes) -> bool:
        """See Store."""
        return self.swap(key, None, data)

    def swap(self, key: str, expected: bytes | None, new: bytes) -> bool:
        """See Store."""
        with self._objects.lock:
            if self.get(key) != expected:
                return False
            self.write(key, new)
            return True

    def list(self, prefix: str) -> Names:
        """See Store."""
        start = f"{check_key(prefix, is_prefix=True)}/" if prefix else ""
        with self._objects.lock:
            return sorted(key for key in self._objects.held if key.startswith(start))

    def entries(self, prefix: str) -> tuple[Entry, ...]:
        """See Store."""
        with self._objects.lock:
            held = self._objects.held
            return tuple(Entry(key, len(held[key][0]), held[key][1]) for key in self.list(prefix))

    def children(self, prefix: str) -> Names:
        """See Store."""
        cut = len(prefix) + 1 if prefix else 0
        return sorted({key[cut:].split("/", 1)[0] for key in self.list(prefix)})

    def delete(self, prefix: str) -> None:
        """See Store."""
        with self._objects.lock:
            for key in [check_key(prefix), *self.list(prefix)]:
                self._objects.held.pop(key, None)

    def zarr_store(self, prefix: str) -> ZarrStore:
        """See Store."""
        return ZarrFolder(self, check_key(prefix, is_prefix=True))

    def local_path(self, key: str) -> Path | None:
        """See Store: memory cannot be mapped."""
        check_key(key, is_prefix=True)
        return None
