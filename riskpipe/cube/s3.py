"""A store in an object store that speaks S3: conditional PUT to create and swap, the server's clock, whole objects."""

import contextlib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import S3Store as Client
from zarr.abc.store import Store as ZarrStore

from riskpipe.cube.adapter import ZarrFolder
from riskpipe.cube.parallel import map_objects
from riskpipe.cube.protocol import Entry, Names, Store, check_key, missing, try_conditions
from riskpipe.cube.s3_client import Place, client_of, explained
from riskpipe.errors import StoreError

Result = TypeVar("Result")
_PART_BYTES = 16 << 20
"""Larger objects are written as multipart uploads, which appear whole when they are completed, and read in parts."""
_PARTS_AT_ONCE = 4
_REPLACED_AT_MOST = 5
_BROKEN_AT_MOST = 5
_BROKEN = "response body"
"""What the client says of an answer that broke off. It asks again where that was an object, not a list or an error."""
_WRITER = "writer"
"""Name of the object's metadata that tells whose conditional write it was."""


@dataclass(frozen=True)
class S3Store(Store):
    """Objects below `place`. Endpoint, region and credentials come from the environment and are no part of it."""

    place: Place

    @property
    def uri(self) -> str:
        """See Store."""
        return self.place.uri

    @property
    def is_shared(self) -> bool:
        """See Store."""
        return True

    @property
    def _client(self) -> Client:
        return client_of(self.place)

    def __reduce__(self) -> tuple[type, tuple[Place]]:
        """Travel as a location: the other process has its own environment."""
        return type(self), (self.place,)

    def get(self, key: str) -> bytes | None:
        """See Store."""
        check_key(key)
        with self._errors_of(key):
            for _ in range(_REPLACED_AT_MOST):
                try:
                    result = _again(lambda: obstore.get(self._client, key))
                    if result.meta["size"] <= _PART_BYTES:
                        return bytes(result.bytes())
                    return self._large(key, result.meta["size"], result.meta["e_tag"])
                except FileNotFoundError as error:
                    self._check_bucket(error)
                    return None
                except PreconditionError:  # it was replaced between two parts
                    continue
        raise StoreError(f"{self.uri}/{key} was replaced {_REPLACED_AT_MOST} times while it was read: try again")

    def _large(self, key: str, size: int, e_tag: str | None) -> bytes:
        """Read an object in parts, all of one version of it."""

        def part(start: int) -> bytes:
            stop = min(start + _PART_BYTES, size)
            result = _again(lambda: obstore.get(self._client, key, options={"range": (start, stop), "if_match": e_tag}))
            return bytes(result.bytes())

        data = b"".join(map_objects(part, range(0, size, _PART_BYTES), at_once=_PARTS_AT_ONCE))
        if len(data) != size:
            raise StoreError(f"{self.uri}/{key} has {size} bytes, but {len(data)} came")
        return data

    def exists(self, key: str) -> bool:
        """See Store."""
        return self._head(key) is not None

    def size(self, key: str) -> int:
        """See Store."""
        return self._known(key).size

    def modified(self, key: str) -> datetime:
        """See Store: whole seconds."""
        return self._known(key).modified

    def now(self) -> datetime:
        """See Store: when the server says that an object of our own was written, in whole seconds."""
        key = f"probes/clock-{uuid.uuid4().hex}"
        self.write(key, b"")
        try:
            return self.modified(key)
        finally:
            self.delete(key)

    def write(self, key: str, data: bytes) -> None:
        """See Store. Acknowledged by the server when it is durable."""
        check_key(key)
        with self._errors_of(key):
            _again(
                lambda: obstore.put(
                    self._client,
                    key,
                    data,
                    use_multipart=len(data) > _PART_BYTES,
                    chunk_size=_PART_BYTES,
                    max_concurrency=_PARTS_AT_ONCE,
                )
            )

    def create(self, key: str, data: bytes) -> bool:
        """See Store: PUT with `If-None-Match: *`."""
        return self._put_if(check_key(key), data, None)

    def swap(self, key: str, expected: bytes | None, new: bytes) -> bool:
        """See Store: PUT with `If-Match` and the ETag of the bytes that were compared."""
        if expected is None:
            return self.create(key, new)
        check_key(key)
        with self._errors_of(key):
            try:
                result = _again(lambda: obstore.get(self._client, key))
                if bytes(result.bytes()) != expected:
                    return False
            except FileNotFoundError as error:
                self._check_bucket(error)
                return False
        e_tag = result.meta["e_tag"]
        if e_tag is None:
            raise StoreError(f"{self.uri}: {key} has no ETag, so it cannot be swapped; use another object store")
        return self._put_if(key, new, e_tag)

    def _put_if(self, key: str, data: bytes, e_tag: str | None) -> bool:
        """Write if the object still has the ETag (None: if there is none).

        An answer may be lost and the request sent again by the client, which then finds its own write in the way: the
        object's metadata tells whose it is.
        """
        writer = uuid.uuid4().hex
        with self._errors_of(key):
            try:
                _again(
                    lambda: obstore.put(
                        self._client,
                        key,
                        data,
                        attributes={_WRITER: writer},
                        mode="create" if e_tag is None else {"e_tag": e_tag},
                        use_multipart=False,
                    )
                )
            except FileNotFoundError as error:  # the object to replace is gone
                self._check_bucket(error)
                return False
            except (AlreadyExistsError, PreconditionError):
                try:
                    return _again(lambda: obstore.get(self._client, key)).attributes.get(_WRITER) == writer
                except FileNotFoundError:
                    return False
            return True

    def list(self, prefix: str) -> Names:
        """See Store."""
        return [entry.key for entry in self.entries(prefix)]

    def entries(self, prefix: str) -> tuple[Entry, ...]:
        """See Store."""
        check_key(prefix, is_prefix=True)
        folder = f"{prefix}/" if prefix else None
        with self._errors_of(prefix):
            found = _again(lambda: [meta for batch in obstore.list(self._client, folder) for meta in batch])
        return tuple(sorted(Entry(meta["path"], meta["size"], meta["last_modified"].astimezone(UTC)) for meta in found))

    def children(self, prefix: str) -> Names:
        """See Store."""
        check_key(prefix, is_prefix=True)
        folder = f"{prefix}/" if prefix else None
        with self._errors_of(prefix):
            found = _again(lambda: obstore.list_with_delimiter(self._client, folder))
        names = {path.rstrip("/").rsplit("/", 1)[-1] for path in found["common_prefixes"]}
        return sorted(names | {meta["path"].rsplit("/", 1)[-1] for meta in found["objects"]})

    def delete(self, prefix: str) -> None:
        """See Store."""
        keys = [check_key(prefix), *self.list(prefix)]
        with self._errors_of(prefix):
            _again(lambda: obstore.delete(self._client, keys))

    def zarr_store(self, prefix: str) -> ZarrStore:
        """See Store."""
        return ZarrFolder(self, check_key(prefix, is_prefix=True))

    def local_path(self, key: str) -> Path | None:
        """See Store: an object cannot be mapped; books are, as copies."""
        check_key(key, is_prefix=True)
        return None

    def honours_conditions(self) -> bool:
        """See Store. `swap` compares bytes before it asks, so that a store which ignores `If-Match` shows it here."""
        return try_conditions(self) and self._refuses_what_is_stale()

    def _refuses_what_is_stale(self) -> bool:
        key = f"probes/{uuid.uuid4().hex}"
        try:
            self.write(key, b"first")
            with self._errors_of(key):
                e_tag = _again(lambda: obstore.head(self._client, key))["e_tag"]
            self.write(key, b"second")
            return e_tag is not None and not self._put_if(key, b"third", e_tag)
        finally:
            self.delete(key)

    def _head(self, key: str) -> Entry | None:
        check_key(key)
        with self._errors_of(key):
            try:
                meta = _again(lambda: obstore.head(self._client, key))
            except FileNotFoundError as error:
                self._check_bucket(error)
                return None
        return Entry(key, meta["size"], meta["last_modified"].astimezone(UTC))

    def _known(self, key: str) -> Entry:
        found = self._head(key)
        if found is None:
            raise missing(self, key)
        return found

    def _check_bucket(self, error: FileNotFoundError) -> None:
        """Raise the error again where the bucket itself is not there: both answer 404."""
        if "NoSuchBucket" in str(error):
            raise error

    @contextlib.contextmanager
    def _errors_of(self, key: str) -> Iterator[None]:
        """Turn what the client raises into StoreErrors that name object and remedy."""
        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            raise explained(self.place, key, error) from None  # the cause's text may hold what it was asked with


def _again(ask: Callable[[], Result]) -> Result:
    """Return the answer to a request, asked again where an answer broke off.

    Every request here may be asked twice: of a conditional write the object itself tells whose it was.
    """
    for _ in range(_BROKEN_AT_MOST - 1):
        try:
            return ask()
        except BaseError as error:
            if _BROKEN not in str(error):
                raise
    return ask()
