"""A book from an object store is copied to a host once, whole and checked, and mapped from there."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support.stored_books import make_book

from riskpipe.cube import book_cache, books
from riskpipe.cube.book_cache import cache_folder, local_copy
from riskpipe.cube.layout import book_prefix
from riskpipe.errors import StoreError, VerifyError

FILES = {"mark_price.npy": b"x" * 5000, "label-venue.arrow": b"y" * 70}


@pytest.fixture
def stored(memory_store, monkeypatch, tmp_path):
    """Files of a book in a store, their listing, and a cache that is empty."""
    monkeypatch.setenv("RISKPIPE_CACHE", str(tmp_path / "cache"))
    for name, data in FILES.items():
        memory_store.write(f"{book_prefix('a' * 64)}/{name}", data)
    listing = {name: {"size": len(data), "sha256": books.sha256(data)} for name, data in FILES.items()}
    return memory_store, "a" * 64, listing


def reads_of(store, monkeypatch):
    seen = []
    original = type(store).get
    monkeypatch.setattr(type(store), "get", lambda self, key: seen.append(key) or original(self, key))
    return seen


def test_a_copy_is_fetched_once_whoever_asks(stored, monkeypatch):
    store, sha, listing = stored
    seen = reads_of(store, monkeypatch)
    with ThreadPoolExecutor(8) as pool:
        folders = set(pool.map(lambda _: local_copy(store, sha, listing), range(8)))
    assert folders == {cache_folder() / sha}
    assert len(seen) == len(FILES)
    assert {path.name: path.read_bytes() for path in folders.pop().iterdir()} == FILES
    assert {path.name for path in cache_folder().iterdir()} == {sha, f"{sha}.lock"}


@pytest.mark.parametrize("damage", ["truncated", "edited", "deleted"])
def test_a_damaged_copy_is_fetched_again(stored, monkeypatch, damage):
    store, sha, listing = stored
    path = local_copy(store, sha, listing) / "mark_price.npy"
    if damage == "truncated":
        os.truncate(path, 100)
    elif damage == "edited":
        path.write_bytes(b"z" * 5000)
    else:
        path.unlink()
    seen = reads_of(store, monkeypatch)
    assert (local_copy(store, sha, listing) / "mark_price.npy").read_bytes() == FILES["mark_price.npy"]
    assert len(seen) == len(FILES)
    local_copy(store, sha, listing)
    assert len(seen) == len(FILES)


def test_what_a_killed_process_left_is_cleared_and_old_copies_go(stored):
    store, sha, listing = stored
    half, old, young = (cache_folder() / name for name in (f".{sha}.dead", "b" * 64, "c" * 64))
    for folder in (half, old, young):
        folder.mkdir(parents=True)
        (folder / "mark_price.npy").write_bytes(b"half")
    os.utime(old, (time.time() - 15 * 86_400,) * 2)
    local_copy(store, sha, listing)
    assert {path.name for path in cache_folder().iterdir() if path.is_dir()} == {sha, young.name}


def test_a_book_damaged_in_the_store_is_refused_and_no_copy_is_kept(stored):
    store, sha, listing = stored
    store.write(f"{book_prefix(sha)}/mark_price.npy", b"x" * 4999)
    with pytest.raises(VerifyError, match=r"mark_price\.npy has 4999 bytes"):
        local_copy(store, sha, listing)
    assert [path for path in cache_folder().iterdir() if path.is_dir()] == []


def test_names_that_lead_elsewhere_are_refused(stored):
    store, sha, listing = stored
    for name in ("../x.npy", "/etc/x.npy", "x.npy/../y.npy", "x"):
        with pytest.raises(StoreError, match="not the name of a book's file"):
            local_copy(store, sha, {**listing, name: listing["mark_price.npy"]})


def test_a_cache_that_cannot_be_written_says_where_and_what_to_do(stored, monkeypatch, tmp_path):
    store, sha, listing = stored
    (tmp_path / "file").touch()
    monkeypatch.setenv("RISKPIPE_CACHE", str(tmp_path / "file"))
    with pytest.raises(StoreError, match="point RISKPIPE_CACHE at a folder with room"):
        local_copy(store, sha, listing)

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("RISKPIPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(book_cache.os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device"):
        local_copy(store, sha, listing)
    assert [path for path in cache_folder().iterdir() if path.is_dir()] == []


OPENER = """
import json, sys
from riskpipe.cube.books import open_book
book = open_book(sys.argv[1], sys.argv[2])
print(json.dumps([type(book.mark_price.base).__name__, float(book.mark_price.sum())]))
"""


def test_processes_of_a_host_map_one_copy_of_a_book_in_a_bucket(s3_store):
    book = make_book()
    sha = books.put_book(s3_store, book)
    openers = [
        subprocess.Popen([sys.executable, "-c", OPENER, s3_store.uri, sha], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for opener in openers:
        base, total = json.loads(opener.communicate(timeout=60)[0])
        assert base == "memmap"
        assert total == float(book.mark_price.sum())
    assert [path.name for path in cache_folder().iterdir() if path.is_dir()] == [sha]
    damaged = cache_folder() / sha / "mark_price.npy"
    damaged.write_bytes(damaged.read_bytes()[:-8] + b"garbage!")
    books._opened.cache_clear()
    assert np.array_equal(books.open_book(s3_store, sha).mark_price, book.mark_price)
