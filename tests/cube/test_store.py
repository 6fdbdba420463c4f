"""What every store promises, tried on each that is built in, and what a local folder promises across processes."""

import contextlib
import os
import pickle
import signal
import stat
import subprocess
import sys
import threading
import time
from datetime import timedelta

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import default_buffer_prototype

from riskpipe.cube.protocol import check_key, try_conditions
from riskpipe.cube.store import open_store
from riskpipe.errors import StoreError, StoreLost


def test_what_is_written_is_read(store):
    store.write("a/b.json", b"one")
    store.write("a/b.json", b"twelve")
    assert (store.read("a/b.json"), store.get("a/b.json"), store.size("a/b.json")) == (b"twelve", b"twelve", 6)
    assert store.exists("a/b.json")
    assert not store.exists("a")
    assert store.get("a") is None
    assert open_store(store.uri).read("a/b.json") == b"twelve", "a second opening sees the same objects"


def test_what_is_missing_is_an_error_that_names_it(store):
    assert store.get("a/b") is None
    for ask in (store.read, store.size, store.modified):
        with pytest.raises(StoreError, match="a/b"):
            ask("a/b")


def test_lists_are_sorted_and_whole(store):
    for key in ("runs/b/x", "runs/a/z/1", "runs/a.b", "runs/a/y", "other"):
        store.write(key, b"")
    assert store.list("") == ["other", "runs/a.b", "runs/a/y", "runs/a/z/1", "runs/b/x"]
    assert store.list("runs/a") == ["runs/a/y", "runs/a/z/1"]
    assert store.children("runs") == ["a", "a.b", "b"]
    assert store.children("") == ["other", "runs"]
    assert store.list("none") == store.children("none") == []
    store.delete("runs/a")
    store.delete("none")
    assert store.list("runs") == ["runs/a.b", "runs/b/x"]


def test_entries_are_the_list_with_sizes_and_times(store):
    for key in ("runs/b/x", "runs/a/y", "runs/a.b"):
        store.write(key, key.encode())
    found = store.entries("runs/a")
    assert [(entry.key, entry.size) for entry in found] == [("runs/a/y", 8)]
    assert store.entries("none") == ()
    assert [entry.key for entry in store.entries("")] == store.list("")
    for entry in store.entries(""):
        assert abs((entry.modified - store.modified(entry.key)).total_seconds()) < 1
        assert entry.modified <= store.now() + timedelta(seconds=1)


def test_create_writes_once(store):
    assert store.create("plan.json", b"mine")
    assert not store.create("plan.json", b"yours")
    assert store.read("plan.json") == b"mine"


def test_swap_compares_first(store):
    assert not store.swap("p", b"old", b"new")
    assert store.swap("p", None, b"old")
    assert not store.swap("p", None, b"new")
    assert store.swap("p", b"old", b"new")
    assert store.read("p") == b"new"


def test_times_are_the_stores_own(store):
    before = store.now()
    store.write("a", b"")
    assert before <= store.modified("a") <= store.now()
    assert store.list("") == ["a"], "asking for the time leaves nothing behind"


def test_conditions_are_honoured_and_the_probe_leaves_nothing(store):
    assert store.honours_conditions()
    assert store.list("") == []


def test_the_probe_finds_a_store_that_ignores_conditions(store):
    class Careless:
        def __getattr__(self, name):
            return getattr(store, name)

        def create(self, key, data):
            store.write(key, data)
            return True

    assert not try_conditions(Careless())


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/", "./a", ".hidden", "a/.b", "a\\b", "a\0b", "a\nb"]
)
def test_unsafe_keys_are_refused_everywhere(store, key):
    calls = [
        store.get, store.read, store.exists, store.size, store.modified, store.delete,
        lambda key: store.write(key, b""), lambda key: store.create(key, b""), lambda key: store.swap(key, None, b""),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(StoreError, match="store key"):
            call(key)
    if key:
        for call in (store.list, store.children, store.zarr_store, store.local_path):
            with pytest.raises(StoreError, match="store key"):
                call(key)


@given(st.text(max_size=12))
def test_a_key_that_passes_stays_below_the_root(tmp_path_factory, key):
    root = tmp_path_factory.getbasetemp()
    with contextlib.suppress(StoreError):
        path = (root / check_key(key)).resolve()
        assert path != root
        assert root in path.parents


@pytest.mark.parametrize("operation", ["create", "swap"])
def test_of_racing_threads_exactly_one_wins(store, operation):
    start, won = threading.Barrier(8), []

    def race(number):
        start.wait()
        data = f"{number}".encode()
        if store.create("prize", data) if operation == "create" else store.swap("prize", None, data):
            won.append(data)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [store.read("prize")]


RACER = """
import sys, time
from riskpipe.cube.store import open_store
uri, operation, number, start = sys.argv[1:]
store = open_store(uri)
won = []
for turn in range(20):
    while time.time() < float(start) + turn * 0.02:
        pass
    key, data = f"prize-{turn}", number.encode() * 5000
    if store.create(key, data) if operation == "create" else store.swap(key, None, data):
        won.append(str(turn))
print(" ".join(won))
"""


@pytest.mark.parametrize("operation", ["create", "swap"])
def test_of_eight_racing_processes_exactly_one_wins_each_prize(local_store, operation):
    start = str(time.time() + 2.0)
    racers = [
        subprocess.Popen([sys.executable, "-c", RACER, local_store.uri, operation, str(number), start],
                         stdout=subprocess.PIPE, text=True)
        for number in range(8)
    ]  # fmt: skip
    won = {number: racer.communicate(timeout=60)[0].split() for number, racer in enumerate(racers)}
    assert sorted(int(turn) for turns in won.values() for turn in turns) == list(range(20))
    for number, turns in won.items():
        for turn in turns:
            assert local_store.read(f"prize-{turn}") == str(number).encode() * 5000


COUNTER = """
import sys
from riskpipe.cube.store import open_store
store = open_store(sys.argv[1])
for _ in range(25):
    while True:
        old = store.get("counter")
        if store.swap("counter", old, str(int(old or b"0") + 1).encode()):
            break
"""


def test_no_increment_is_lost_between_processes(local_store):
    counters = [subprocess.Popen([sys.executable, "-c", COUNTER, local_store.uri]) for _ in range(3)]
    assert [counter.wait(timeout=60) for counter in counters] == [0, 0, 0]
    assert local_store.read("counter") == b"75"


WRITER = """
import sys
from riskpipe.cube.store import open_store
store = open_store(sys.argv[1])
print("ready", flush=True)
while True:
    for letter in b"ab":
        store.write("big", bytes([letter]) * 3_000_000)
"""


def test_a_writer_killed_at_any_time_leaves_a_whole_object(local_store):
    local_store.write("big", b"a" * 3_000_000)
    for wait in (0.0, 0.013, 0.031):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, local_store.uri], stdout=subprocess.PIPE, text=True
        ) as writer:
            writer.stdout.readline()
            for _ in range(10):
                assert set(local_store.read("big")) in ({ord("a")}, {ord("b")}), "readers never see a mixture"
            time.sleep(wait)
            writer.send_signal(signal.SIGKILL)
        data = local_store.read("big")
        assert len(data) == 3_000_000
        assert len(set(data)) == 1
    assert local_store.list("") == ["big"], "what the killed left over is not an object"


def test_a_full_or_forbidden_disk_is_a_store_error(local_store, monkeypatch):
    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="a/b: No space left on device") as caught:
        local_store.write("a/b", b"data")
    assert not isinstance(caught.value, StoreLost), "it will not be there by itself"
    monkeypatch.undo()
    assert local_store.list("") == []


def test_a_medium_that_fails_is_a_lost_store(local_store):
    local_store.write("a/b", b"data")
    local_store.local_path("a/c").symlink_to("/proc/self/mem")  # whose first bytes nobody can read
    with pytest.raises(StoreLost, match="a/c: Input/output error"):
        local_store.get("a/c")


def test_objects_are_as_readable_as_the_umask_allows(local_store):
    local_store.write("a", b"")
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(local_store.local_path("a").stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize("uri", ["gs://bucket/x", "memori://x", "file://host/x"])
def test_a_scheme_that_is_not_built_in_is_refused(uri):
    with pytest.raises(StoreError, match="store"):
        open_store(uri)


def test_a_file_is_not_a_store(tmp_path):
    (tmp_path / "x").touch()
    with pytest.raises(StoreError, match="not a folder"):
        open_store(str(tmp_path / "x"))


def test_a_folder_has_one_store_whatever_it_is_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stores = [open_store(uri) for uri in ("s x", str(tmp_path / "s x"), (tmp_path / "s x").as_uri())]
    assert len({store.uri for store in stores}) == 1
    assert not (tmp_path / "s x").exists(), "opening creates nothing"
    assert pickle.loads(pickle.dumps(stores[0])) == stores[0]  # noqa: S301 - how it travels to a worker
    assert stores[0].is_shared


def test_memory_does_not_travel():
    store = open_store("memory://x")
    assert not store.is_shared
    assert store.local_path("x") is None
    with pytest.raises(StoreError, match="executor serial"):
        pickle.dumps(store)


def test_zarr_reads_and_writes_through_the_store(store):
    array = zarr.create_array(store.zarr_store("x/y.zarr"), name="v", shape=(4, 3), chunks=(2, 3), dtype="float64")
    array[:] = np.arange(12).reshape(4, 3)
    assert store.list("x") == [f"x/y.zarr/{name}" for name in ("v/c/0/0", "v/c/1/0", "v/zarr.json", "zarr.json")]
    group = zarr.open_group(store.zarr_store("x/y.zarr"), mode="r")
    assert [name for name, _ in group.arrays()] == ["v"]
    assert np.array_equal(group["v"][:], np.arange(12).reshape(4, 3))
    with pytest.raises(ValueError, match="read-only"):
        group["v"][0] = 1


def test_zarr_gets_the_bytes_it_asks_for(store):
    store.write("x/data", b"0123456789")
    folder, prototype = store.zarr_store("x"), default_buffer_prototype()

    async def parts():
        ranges = (RangeByteRequest(2, 5), OffsetByteRequest(7), SuffixByteRequest(2), None)
        return await folder.get_partial_values(prototype, [("data", part) for part in ranges])

    got = zarr.core.sync.sync(parts())
    assert [part.to_bytes() for part in got] == [b"234", b"789", b"89", b"0123456789"]
