"""A folder of a store as zarr sees it, so that chunks are written as atomically and durably as everything else."""

import asyncio
from collections.abc import AsyncIterator, Iterable

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.abc.store import Store as ZarrStore
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype
from zarr.storage import WrapperStore

from riskpipe.cube.protocol import Store
from riskpipe.errors import StoreError


class ZarrFolder(ZarrStore):
    """The objects below `prefix` of a store."""

    supports_writes = True
    supports_deletes = True
    supports_listing = True

    def __init__(self, store: Store, prefix: str, *, read_only: bool = False) -> None:
        super().__init__(read_only=read_only)
        self._objects = store
        self._prefix = prefix

    def __eq__(self, other: object) -> bool:
        """Equal when they show the same folder of the same store."""
        return isinstance(other, ZarrFolder) and (self._objects.uri, self._prefix, self.read_only) == (
            other._objects.uri,
            other._prefix,
            other.read_only,
        )

    def __hash__(self) -> int:
        """Hash of the folder's location."""
        return hash((self._objects.uri, self._prefix))

    def __str__(self) -> str:
        """Location of the folder."""
        return f"{self._objects.uri.rstrip('/')}/{self._prefix}"

    __repr__ = __str__

    def with_read_only(self, read_only: bool = False) -> "ZarrFolder":
        """Return the same folder, read-only or not."""
        return ZarrFolder(self._objects, self._prefix, read_only=read_only)

    def _key(self, key: str) -> str:
        return f"{self._prefix}/{key}".strip("/") if self._prefix else key

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return an object or a part of it, None when there is none."""
        data = None if _is_hidden(key) else await asyncio.to_thread(self._objects.get, self._key(key))
        if data is None:
            return None
        return (prototype or default_buffer_prototype()).buffer.from_bytes(_part(data, byte_range))

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Return parts of several objects."""
        return list(await asyncio.gather(*(self.get(key, prototype, byte_range) for key, byte_range in key_ranges)))

    async def exists(self, key: str) -> bool:
        """Tell whether an object exists."""
        return not _is_hidden(key) and await asyncio.to_thread(self._objects.exists, self._key(key))

    async def set(self, key: str, value: Buffer) -> None:
        """Write an object."""
        self._check_writable()
        await asyncio.to_thread(self._objects.write, self._key(key), value.to_bytes())

    async def delete(self, key: str) -> None:
        """Delete an object."""
        self._check_writable()
        await asyncio.to_thread(self._objects.delete, self._key(key))

    async def list(self) -> AsyncIterator[str]:
        """Yield the keys of all objects."""
        async for key in self.list_prefix(""):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield the keys that start with `prefix`."""
        cut = len(self._prefix) + 1 if self._prefix else 0
        for key in await asyncio.to_thread(self._objects.list, self._prefix):
            if key[cut:].startswith(prefix):
                yield key[cut:]

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield the names directly below a folder."""
        for name in await asyncio.to_thread(self._objects.children, self._key(prefix.strip("/")).strip("/")):
            yield name


class WholeCube(WrapperStore[ZarrStore]):
    """A cube of which every chunk was written: one that is missing is an error, where zarr would give its fill value.

    So whoever reads a run while it is swept is told, and not given gaps.
    """

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Return an object or a part of it; None for metadata that is not there."""
        found = await super().get(key, prototype, byte_range)
        if found is None and "c" in key.split("/")[2:]:
            raise StoreError(f"{self._store} has no {key}: the run was swept meanwhile, or is damaged; open it again")
        return found


def _is_hidden(key: str) -> bool:
    """Tell whether zarr is looking for format 2's dotted names, which are no keys of ours."""
    return any(part.startswith(".") for part in key.split("/"))


def _part(data: bytes, byte_range: ByteRequest | None) -> bytes:
    """Cut out what was asked for."""
    match byte_range:
        case RangeByteRequest(start, end):
            return data[start:end]
        case OffsetByteRequest(offset):
            return data[offset:]
        case SuffixByteRequest(suffix):
            return data[-suffix:] if suffix else b""
        case _:
            return data
