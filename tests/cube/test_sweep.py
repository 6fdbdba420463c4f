"""A sweep removes what is old and unused, says why, and cut off anywhere leaves nothing that only looks whole."""

import json
import os
from datetime import UTC, datetime, timedelta

import pytest
from support.cube_runs import AS_OF, RUN_ID

from riskpipe.cube.catalogue import night_names, pointer_of, publish, read_catalogue
from riskpipe.cube.layout import manifest_key, pointer_key
from riskpipe.cube.sweep import sweep
from riskpipe.domain.instant import format_as_of
from riskpipe.errors import StoreError

USED, UNUSED = "a" * 64, "b" * 64
OTHER = "2024-08-05T000000Z-ffffffffffffffff"
OBJECTS = (
    "marks/block-00000.json",
    "cube.zarr/zarr.json",
    "cube.zarr/system/c/0",
    "parts/p.parquet",
    "report/index.html",
)


def make_run(store, run_id=RUN_ID, *, is_complete=True, book=USED, as_of=AS_OF):
    """The least that a run is to a sweep."""
    store.write(f"runs/{run_id}/plan.json", json.dumps({"book_sha256": book}).encode())
    store.write(f"runs/{run_id}/attempts/block-00000-x.json", b"{}")
    for name in OBJECTS:
        store.write(f"runs/{run_id}/{name}", name.encode())
    if is_complete:
        store.write(manifest_key(run_id), f'{{"as_of":"{format_as_of(as_of)}","run":"{run_id}"}}'.encode())


def make_book(store, sha):
    for name in ("price.npy", "book.json"):
        store.write(f"books/{sha}/{name}", sha.encode())


def pass_days(monkeypatch, store, days):
    """Let the store's clock, and no other, go on."""
    now = type(store).now
    monkeypatch.setattr(type(store), "now", lambda self: now(self) + timedelta(days=days))


def make_old(store, folder, days):
    """Let what lies in a folder of a local store be of some days ago."""
    then = datetime.now(UTC).timestamp() - 86_400.0 * days
    for key in store.list(folder):
        os.utime(store.local_path(key), (then, then))


def keys_of(swept):
    return [removal.key for removal in swept.removals]


@pytest.fixture
def full(store):
    make_run(store)
    publish(store, RUN_ID, AS_OF)
    make_run(store, OTHER)
    make_run(store, "unfinished", is_complete=False, book=UNUSED)
    make_book(store, USED)
    make_book(store, UNUSED)
    store.write("probes/left", b"over")
    return store


@pytest.mark.parametrize(
    ("days", "gone"),
    [
        (0, []),
        (1.5, ["runs/unfinished", f"books/{UNUSED}", "probes"]),
        (29, ["runs/unfinished", f"books/{UNUSED}", "probes"]),
        (31, [f"runs/{OTHER}", "runs/unfinished", f"books/{UNUSED}", "probes"]),
    ],
)
def test_what_is_old_and_unused_goes_and_a_dry_run_only_says_so(full, monkeypatch, days, gone):
    before = full.list("")
    pass_days(monkeypatch, full, days)
    planned = sweep(full, is_dry_run=True)
    assert keys_of(planned) == gone
    assert full.list("") == before
    done = sweep(full)
    assert done.removals == planned.removals
    assert not done.problems
    assert full.list("") == [key for key in before if not key.startswith(tuple(f"{name}/" for name in gone))]
    assert done.n_objects == len(before) - len(full.list(""))
    assert sweep(full).removals == ()


def test_reasons_and_sizes_are_told(memory_store, monkeypatch):
    make_run(memory_store, "unfinished", is_complete=False)
    pass_days(monkeypatch, memory_store, 2)
    swept = sweep(memory_store, is_dry_run=True)
    (removal,) = swept.removals
    entries = memory_store.entries("runs/unfinished")
    assert (removal.n_objects, removal.n_bytes) == (len(entries), sum(entry.size for entry in entries))
    assert "unfinished, nothing was written since 2" in swept.as_text()
    assert swept.as_text().splitlines()[-1] == f"would remove {len(entries)} objects, 0.00 MB"
    assert json.loads(json.dumps(swept.as_json()))["removals"][0]["kind"] == "run"


def test_a_run_that_is_being_written_is_never_touched(local_store):
    make_run(local_store, is_complete=False)
    make_run(local_store, OTHER)
    long_ago = datetime(2020, 1, 1, tzinfo=UTC).timestamp()
    for key in local_store.list("runs"):
        if "/attempts/" not in key:
            os.utime(local_store.local_path(key), (long_ago, long_ago))
    assert sweep(local_store, keep_days=1).removals == ()
    for run_id in (RUN_ID, OTHER):
        os.utime(local_store.local_path(f"runs/{run_id}/attempts/block-00000-x.json"), (long_ago, long_ago))
    assert keys_of(sweep(local_store, keep_days=1)) == [f"runs/{RUN_ID}", f"runs/{OTHER}"]


def test_month_ends_stay_for_ever_and_other_nights_go_only_when_asked(memory_store, monkeypatch):
    first = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0) - timedelta(days=100)
    nights = [first + timedelta(days=day) for day in range(90)]
    for as_of in nights:
        for book in ("", "desk"):
            run_id = f"{format_as_of(as_of)}-{book or 'none'}"
            make_run(memory_store, run_id, as_of=as_of)
            publish(memory_store, run_id, as_of, book=book)
    make_book(memory_store, USED)
    pass_days(monkeypatch, memory_store, 2)
    assert sweep(memory_store).removals == ()
    swept = sweep(memory_store, month_ends_only=True)
    oldest = memory_store.now() - timedelta(days=30)
    kept = [as_of for as_of in nights if as_of >= oldest or as_of == max(n for n in nights if n.month == as_of.month)]
    assert 3 < len(kept) < 60
    for book in ("", "desk"):
        assert [night.as_of for night in night_names(memory_store, book)] == kept
    assert memory_store.children("runs") == sorted(
        f"{format_as_of(n)}-{book}" for n in kept for book in ("desk", "none")
    )
    assert sum(removal.kind == "pointer" for removal in swept.removals) == 2 * (len(nights) - len(kept))
    assert memory_store.children("books") == [USED]


class CutOffError(Exception):
    pass


def cut_off_after(monkeypatch, store, n):
    """Let a sweep die in its n-th deletion; of a folder it has then deleted the last object."""
    original, done = type(store).delete, []

    def delete(self, prefix):
        if not prefix.startswith("probes"):
            if len(done) == n:
                for key in self.list(prefix)[-1:]:
                    original(self, key)
                raise CutOffError
            done.append(prefix)
        original(self, prefix)

    monkeypatch.setattr(type(store), "delete", delete)


def test_a_sweep_killed_anywhere_leaves_no_run_that_looks_whole_and_no_mark_that_lies(local_store, monkeypatch):
    for n in range(20):
        make_run(local_store, OTHER)
        make_book(local_store, USED)
        with monkeypatch.context() as patch:
            pass_days(patch, local_store, 31)
            cut_off_after(patch, local_store, n)
            try:
                sweep(local_store)
            except CutOffError:
                is_cut = True
            else:
                is_cut = False
        held = set(local_store.list(f"runs/{OTHER}"))
        data = {f"runs/{OTHER}/{name}" for name in OBJECTS}
        if manifest_key(OTHER) in held:
            assert data <= held, "whole, or without a manifest"
        if f"runs/{OTHER}/{OBJECTS[0]}" in held:
            assert data <= held, "a resume trusts marks"
        if held:
            assert f"runs/{OTHER}/plan.json" in held, "the plan goes last"
        if not local_store.exists(f"books/{USED}/price.npy"):
            assert not local_store.exists(f"books/{USED}/book.json"), "with book.json a book is whole"
        if not is_cut:
            break
    assert n > 6
    assert local_store.list("") == []


def test_a_run_published_while_it_is_swept_is_left_whole(memory_store, monkeypatch):
    make_run(memory_store)
    before = memory_store.list("")
    pass_days(monkeypatch, memory_store, 31)
    original = type(memory_store).delete

    def delete(self, prefix):
        if prefix == manifest_key(RUN_ID):
            publish(self, RUN_ID, AS_OF)
        original(self, prefix)

    monkeypatch.setattr(type(memory_store), "delete", delete)
    swept = sweep(memory_store)
    assert "has just been published" in swept.problems[0]
    assert swept.removals == ()
    assert memory_store.list("") == sorted([*before, pointer_key("", AS_OF)])


def test_a_run_swept_while_it_is_published_is_no_success(memory_store, monkeypatch):
    make_run(memory_store)
    original = type(memory_store).swap

    def swap(self, key, expected, new):
        if key.startswith("published"):
            self.delete(manifest_key(RUN_ID))
        return original(self, key, expected, new)

    with monkeypatch.context() as patch:
        patch.setattr(type(memory_store), "swap", swap)
        with pytest.raises(StoreError, match="was swept while it was published"):
            publish(memory_store, RUN_ID, AS_OF)
    assert night_names(memory_store) == []
    make_run(memory_store)
    make_run(memory_store, OTHER)
    stands = publish(memory_store, OTHER, AS_OF)
    with monkeypatch.context() as patch:
        patch.setattr(type(memory_store), "swap", swap)
        with pytest.raises(StoreError, match="is as it was before"):
            publish(memory_store, RUN_ID, AS_OF)
    assert pointer_of(memory_store, AS_OF) == stands


def test_a_run_that_was_superseded_stays_as_long_as_readers_may_have_it_open(local_store):
    for run_id in (RUN_ID, OTHER):
        make_run(local_store, run_id)
    make_book(local_store, USED)
    publish(local_store, RUN_ID, AS_OF)
    publish(local_store, OTHER, AS_OF)
    make_old(local_store, "runs", days=90)
    assert sweep(local_store).removals == (), "it stood there until a moment ago"
    make_old(local_store, "published", days=31)
    assert keys_of(sweep(local_store)) == [f"runs/{RUN_ID}"]


def test_a_run_that_is_begun_again_while_a_sweep_goes_on_is_left_whole(local_store, monkeypatch):
    make_run(local_store, is_complete=False)
    make_old(local_store, "runs", days=2)
    before, original = local_store.list(""), type(local_store).entries

    def entries(self, prefix):
        found = original(self, prefix)
        self.write(f"runs/{RUN_ID}/attempts/stage-compute-x.json", b"{}")
        return found

    monkeypatch.setattr(type(local_store), "entries", entries)
    swept = sweep(local_store)
    assert "has just been begun again" in swept.problems[0]
    assert local_store.list("") == sorted([*before, f"runs/{RUN_ID}/attempts/stage-compute-x.json"])


def test_a_run_whose_manifest_tells_no_night_is_a_problem_and_stays(memory_store, monkeypatch):
    make_run(memory_store)
    memory_store.write(manifest_key(RUN_ID), b'{"as_og":"2024-08-05T000000Z"}')
    before = memory_store.list("")
    pass_days(monkeypatch, memory_store, 31)
    swept = sweep(memory_store)
    assert "does not tell its night" in swept.problems[0]
    assert memory_store.list("") == before


def test_what_a_torn_pointer_or_plan_may_name_is_left_alone(full, monkeypatch):
    full.write(pointer_key("desk", AS_OF), b"{")
    full.write("runs/2024-08-06T000000Z-0/plan.json", b"torn")
    full.write(manifest_key("2024-08-06T000000Z-0"), b'{"as_of":"2024-08-06T000000Z"}')
    pass_days(monkeypatch, full, 29)
    swept = sweep(full)
    assert keys_of(swept) == ["runs/unfinished", "probes"]
    assert [problem.split(" ")[0] for problem in swept.problems] == ["published/desk/2024-08-05T000000Z.json", "all"]
    pass_days(monkeypatch, full, 31)
    assert keys_of(sweep(full)) == ["runs/2024-08-06T000000Z-0", f"books/{UNUSED}"]
    assert full.exists(manifest_key(OTHER))
    assert len(read_catalogue(full).nights) == 1


@pytest.mark.parametrize("keep_days", [0, -1, float("nan"), 0.5])
def test_a_sweep_keeps_at_least_a_day(memory_store, keep_days):
    with pytest.raises(StoreError, match="at least one day"):
        sweep(memory_store, keep_days=keep_days)
