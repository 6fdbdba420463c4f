"""Books are stored once under the hash of their content and come back mapped, equal and read-only."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from support.stored_books import make_book

from riskpipe.cube import books
from riskpipe.cube.books import is_whole, open_book, put_book
from riskpipe.cube.layout import book_prefix
from riskpipe.errors import StoreError, VerifyError


def same(one, other):
    return (
        one.as_of == other.as_of
        and one.numeraire == other.numeraire
        and all(one.names(name) == other.names(name) for name in one.labels)
        and one.arrays().keys() == other.arrays().keys()
        and all(
            array.dtype == other.arrays()[name].dtype
            and np.array_equal(array, other.arrays()[name], equal_nan=array.dtype.kind == "f")
            for name, array in one.arrays().items()
        )
    )


@pytest.mark.parametrize("size", [0, 1, 50])
def test_a_book_comes_back_as_it_was(store, size):
    book = make_book(size=size)
    assert same(book, open_book(store.uri, put_book(store, book), is_verified=True))


def test_a_stored_book_is_mapped_and_read_only(store):
    book = open_book(store, put_book(store, make_book()))
    assert not any(array.flags.writeable for array in book.arrays().values())
    is_mapped = isinstance(book.position_quantity.base, np.memmap)
    assert is_mapped == store.is_shared
    assert open_book(store, put_book(store, make_book())) is book, "opened once per process"


def test_equal_books_have_one_name_and_others_another(store):
    book = make_book()
    sha = put_book(store, book)
    assert put_book(store, make_book()) == sha
    padded = pa.array(["other", *book.names("account"), "more"])
    assert put_book(store, replace(book, labels={**book.labels, "account": padded[1:-1]})) == sha, "slices too"
    changed = book.position_quantity.copy()
    changed[7] = np.nextafter(changed[7], 1e9)
    assert put_book(store, replace(book, position_quantity=changed)) != sha
    assert put_book(store, replace(book, as_of=datetime(2024, 8, 6, tzinfo=UTC))) != sha
    assert put_book(store, replace(book, labels={**book.labels, "segment": pa.array(["x"])})) != sha


def test_putting_again_writes_nothing(local_store):
    sha = put_book(local_store, make_book())
    before = {key: local_store.modified(key) for key in local_store.list("")}
    assert put_book(local_store, make_book()) == sha
    assert {key: local_store.modified(key) for key in local_store.list("")} == before


def test_an_old_book_that_is_put_again_is_dated_anew_so_that_no_sweep_takes_it(local_store):
    sha = put_book(local_store, make_book())
    for key in local_store.list(book_prefix(sha)):
        os.utime(local_store.local_path(key), (0, 0))
    assert put_book(local_store, make_book()) == sha
    assert local_store.modified(f"{book_prefix(sha)}/book.json").year > 1970
    assert local_store.modified(f"{book_prefix(sha)}/mark_price.npy").year == 1970


def test_a_book_that_is_swept_while_it_is_put_is_whole_in_the_end(local_store, monkeypatch):
    sha = put_book(local_store, make_book())
    for key in local_store.list(book_prefix(sha)):
        os.utime(local_store.local_path(key), (0, 0))
    original, seen = type(local_store).get, []

    def get(self, key):
        found = original(self, key)
        if key.endswith(".npy"):
            seen.append(key)
            if len(seen) == 3:  # a sweep that saw the book old
                self.delete(book_prefix(sha))
        return found

    monkeypatch.setattr(type(local_store), "get", get)
    assert put_book(local_store, make_book()) == sha
    assert same(make_book(), open_book(local_store, sha, is_verified=True))


def test_a_book_that_was_written_anew_is_opened_anew(local_store):
    sha = put_book(local_store, make_book())
    path = local_store.local_path(f"{book_prefix(sha)}/mark_price.npy")
    opened, before = open_book(local_store, sha), path.read_bytes()
    path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    assert not np.array_equal(opened.mark_price, make_book().mark_price)
    assert not is_whole(local_store, sha)
    put_book(local_store, make_book())
    assert is_whole(local_store, sha)
    assert np.array_equal(open_book(local_store, sha).mark_price, make_book().mark_price)


def test_racing_writers_leave_one_whole_book(store):
    book = make_book()
    with ThreadPoolExecutor(4) as pool:
        names = set(pool.map(lambda _: put_book(store, book), range(4)))
    assert store.children("books") == sorted(names)
    assert same(book, open_book(store, names.pop(), is_verified=True))


def test_a_half_written_book_is_finished_by_the_next_writer(local_store):
    sha = put_book(local_store, make_book())
    prefix = book_prefix(sha)
    local_store.delete(f"{prefix}/book.json")
    local_store.write(f"{prefix}/mark_price.npy", b"torn")
    with pytest.raises(StoreError, match=r"book\.json"):
        open_book(local_store, sha)
    put_book(local_store, make_book())
    assert same(make_book(), open_book(local_store, sha, is_verified=True))


def test_damage_is_found(local_store):
    sha = put_book(local_store, make_book(seed=3))
    prefix = book_prefix(sha)
    data = bytearray(local_store.read(f"{prefix}/mark_price.npy"))
    data[-1] ^= 1
    local_store.write(f"{prefix}/mark_price.npy", bytes(data))
    local_store.delete(f"{prefix}/label-venue.arrow")
    with pytest.raises(VerifyError, match=r"label-venue\.arrow is missing; mark_price\.npy has SHA-256"):
        open_book(local_store, sha, is_verified=True)
    with pytest.raises(StoreError, match=r"label-venue\.arrow cannot be read"):
        open_book(local_store, sha)
    local_store.write(f"{prefix}/mark_price.npy", b"torn")
    with pytest.raises(StoreError, match=r"mark_price\.npy cannot be read"):
        open_book(local_store, sha)
    local_store.write(f"{prefix}/book.json", b"{}")
    with pytest.raises(VerifyError, match="not the one in its path"):
        open_book(local_store, sha)


@pytest.mark.parametrize("sha", ["", "../../etc", "A" * 64, "0" * 63])
def test_a_name_that_is_no_hash_is_refused(store, sha):
    with pytest.raises(StoreError, match="64 hexadecimal digits"):
        open_book(store, sha)


def test_null_labels_are_refused(store):
    book = make_book()
    with pytest.raises(StoreError, match="1 labels of fund are null"):
        put_book(store, replace(book, labels={**book.labels, "fund": pa.array(["x", None])}))


def test_a_mapped_book_costs_a_process_almost_no_memory(local_store):
    book = replace(make_book(), position_quantity=np.ones(20_000_000))
    sha = put_book(local_store, book)
    books._opened.cache_clear()
    code = f"""
import resource
from riskpipe.cube.books import open_book
def anonymous():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon"))
before = anonymous()
book = open_book({local_store.uri!r}, {sha!r})
assert book.position_quantity.sum() == 20_000_000
print(anonymous() - before)
"""
    grown = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert grown < 20_000, f"160 MB of positions cost {grown} kB of private memory"
