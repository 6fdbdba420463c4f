"""Books in a store: content-addressed arrays that workers map into memory instead of receiving them.

`books/<sha>/` holds one `.npy` per array, one Arrow file per label array, and `book.json`, which lists them with their
hashes and whose own SHA-256 is the name. `book.json` is written last: with it the book is whole.
"""

import io
import json
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from riskpipe.cube.book_cache import local_copy
from riskpipe.cube.digest import canonical_json, sha256
from riskpipe.cube.layout import book_prefix
from riskpipe.cube.protocol import Store
from riskpipe.cube.store import open_store
from riskpipe.domain.book import Book
from riskpipe.errors import StoreError, VerifyError

BOOK_FORMAT_VERSION = 1
_SCALARS = {"as_of", "numeraire", "labels"}
_FRESH = timedelta(hours=12)
_SWEPT_AT_MOST = 3


def put_book(store: Store, book: Book) -> str:
    """Store a book unless it is there, and return the SHA-256 that names it.

    Equal books have equal names. Writers may race: all write the same bytes. Raises StoreError when a label is null.
    """
    listing: dict[str, dict[str, Any]] = {
        name: {"sha256": sha256(data), "size": len(data)} for name, data in _files(book)
    }
    content = canonical_json(
        {
            "format": "riskpipe-book",
            "version": BOOK_FORMAT_VERSION,
            "as_of": book.as_of.astimezone(UTC).isoformat(),
            "numeraire": book.numeraire,
            "arrays": {name: [str(array.dtype), list(array.shape)] for name, array in book.arrays().items()},
            "labels": {name: len(labels) for name, labels in book.labels.items()},
            "files": listing,
        }
    )
    name = sha256(content)
    prefix = book_prefix(name)
    whole = f"{prefix}/book.json"
    # an old book is made young again before its files are looked at: a sweep spares young ones that no run refers to
    if store.exists(whole) and store.now() - store.modified(whole) >= _FRESH:
        store.write(whole, content)
    for _ in range(_SWEPT_AT_MOST):
        wanted = [
            file
            for file, entry in listing.items()
            if (data := store.get(f"{prefix}/{file}")) is None or sha256(data) != entry["sha256"]
        ]
        for file, data in _files(book) if wanted else ():
            if file in wanted:
                store.write(f"{prefix}/{file}", data)
        if wanted or store.get(whole) != content:
            store.write(whole, content)
        if set(store.children(prefix)) >= {*listing, "book.json"}:  # else a sweep was at it before it was young
            return name
    raise StoreError(f"{store.uri}/{prefix} is deleted as fast as it is written: end what deletes it, and run again")


def open_book(store: Store | str, sha: str, *, is_verified: bool = False) -> Book:
    """Open a stored book; its arrays are read-only, and mapped into memory unless the store is one of this process.

    From an object store the book is copied to this host first (`cube.book_cache`), once for all its processes.

    The same book is opened once per process, and again when it was written anew. A book just assembled is writable:
    open the stored one before compiled code sees it, or that code is compiled twice.

    Parameters
    ----------
    store: a store or its URI.
    sha: what `put_book` returned.
    is_verified: also compare every file's bytes with the hash that `book.json` gives.

    Raises
    ------
    StoreError: when there is no such book or a file of it is missing or torn. VerifyError: listing files that differ.
    """
    store = open_store(store) if isinstance(store, str) else store
    if is_verified and (problems := book_problems(store, sha)):
        raise VerifyError(
            f"book {sha} in {store.uri} is damaged: {'; '.join(problems)}. Run the night again: it writes it anew"
        )
    return _opened(store.uri, sha, store.modified(f"{book_prefix(sha)}/book.json"))


def is_whole(store: Store, sha: str) -> bool:
    """Tell whether a book is there and every file of it is as `book.json` says."""
    return store.exists(f"{book_prefix(sha)}/book.json") and not book_problems(store, sha)


@lru_cache(maxsize=4)
def _opened(uri: str, sha: str, _written: datetime) -> Book:
    store = open_store(uri)
    prefix = book_prefix(sha)
    content = _content(store, sha)
    expected = {spec.name for spec in fields(Book)} - _SCALARS
    if content["version"] != BOOK_FORMAT_VERSION or expected != content["arrays"].keys():
        raise StoreError(f"{store.uri}/{prefix} was written in another version's format; assemble the book again")
    is_remote = store.is_shared and store.local_path(prefix) is None
    folder = local_copy(store, sha, content["files"]) if is_remote else store.local_path(prefix)
    arrays = {name: _array(store, folder, f"{prefix}/{name}.npy", spec) for name, spec in content["arrays"].items()}
    labels = {
        name: _labels(store, folder, f"{prefix}/label-{name}.arrow", length)
        for name, length in content["labels"].items()
    }
    as_of = datetime.fromisoformat(content["as_of"])
    return Book(as_of=as_of, numeraire=content["numeraire"], labels=labels, **arrays)


def _content(store: Store, sha: str) -> dict[str, Any]:
    """Read book.json, whose hash is the book's name."""
    key = f"{book_prefix(sha)}/book.json"
    data = store.read(key)
    if sha256(data) != sha:
        raise VerifyError(f"{store.uri}/{key} has SHA-256 {sha256(data)}, not the one in its path")
    content: dict[str, Any] = json.loads(data)
    return content


def book_problems(store: Store, sha: str) -> list[str]:
    """Compare every file of a book with book.json, and list every difference; StoreError when there is no book."""
    prefix = book_prefix(sha)
    problems: list[str] = []
    try:
        files = _content(store, sha)["files"]
    except VerifyError as error:
        return [str(error)]
    for name, entry in files.items():
        data = store.get(f"{prefix}/{name}")
        if data is None:
            problems.append(f"{name} is missing")
        elif sha256(data) != entry["sha256"]:
            problems.append(f"{name} has SHA-256 {sha256(data)}, expected {entry['sha256']}")
    return problems


def _files(book: Book) -> Iterator[tuple[str, bytes]]:
    """Yield the book's files one at a time: a book may be most of a worker's memory."""
    for name, array in book.arrays().items():
        buffer = io.BytesIO()
        np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
        yield f"{name}.npy", buffer.getvalue()
    for name, labels in book.labels.items():
        yield f"label-{name}.arrow", _label_file(name, labels)


def _label_file(name: str, labels: pa.StringArray) -> bytes:
    """Encode labels as an Arrow file whose bytes depend on the labels alone, not on how the array was made."""
    if labels.null_count:
        raise StoreError(f"book: {labels.null_count} labels of {name} are null")
    _, offsets_buffer, data = labels.cast(pa.string()).buffers()
    offsets = np.zeros(1, np.int32)
    if offsets_buffer is not None and len(labels):
        offsets = np.frombuffer(offsets_buffer, np.int32)[labels.offset : labels.offset + len(labels) + 1]
    text = b"" if data is None else data.slice(int(offsets[0]), int(offsets[-1] - offsets[0]))
    canonical = pa.StringArray.from_buffers(len(labels), pa.py_buffer(offsets - offsets[0]), pa.py_buffer(text))
    sink = pa.BufferOutputStream()
    table = pa.record_batch({name: canonical})
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_batch(table)
    return sink.getvalue().to_pybytes()


def _array(store: Store, folder: Path | None, key: str, spec: list[Any]) -> np.ndarray[Any, Any]:
    """Open one array, read-only, and check its dtype and shape; `folder` holds the book where it can be mapped."""
    try:
        if folder is None:
            array = np.load(io.BytesIO(store.read(key)), allow_pickle=False)
            array.flags.writeable = False
        else:
            array = np.load(folder / _name(key), mmap_mode="r", allow_pickle=False).view(np.ndarray)
    except (OSError, ValueError) as error:
        raise StoreError(f"{store.uri}/{key} cannot be read: {error}") from error
    if [str(array.dtype), list(array.shape)] != spec:
        raise StoreError(f"{store.uri}/{key} holds {array.dtype} {list(array.shape)}, book.json says {spec}")
    return array


def _labels(store: Store, folder: Path | None, key: str, length: int) -> pa.StringArray:
    """Open one label array."""
    try:
        source = pa.BufferReader(store.read(key)) if folder is None else pa.memory_map(str(folder / _name(key)))
        with source:
            table = pa.ipc.open_file(source).read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise StoreError(f"{store.uri}/{key} cannot be read: {error}") from error
    chunks = table.column(0).chunks
    labels = chunks[0] if chunks else pa.array([], pa.string())
    if len(labels) != length:
        raise StoreError(f"{store.uri}/{key} holds {len(labels)} labels, book.json says {length}")
    return labels


def _name(key: str) -> str:
    return key.rpartition("/")[2]
