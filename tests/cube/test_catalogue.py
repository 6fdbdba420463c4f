"""A pointer moves to complete runs only, by comparison, and of two writers one is told that it lost."""

import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest
from support.cube_runs import AS_OF, RUN_ID, finished_run

from riskpipe.cube.catalogue import (
    Pointer,
    catalogue_at,
    night_names,
    pointer_of,
    publish,
    published,
    read_catalogue,
    runs,
)
from riskpipe.cube.digest import canonical_json
from riskpipe.cube.layout import manifest_key, pointer_key
from riskpipe.domain.instant import format_as_of, parse_as_of
from riskpipe.errors import StoreError

OTHER = "2024-08-05T000000Z-ffffffffffffffff"
LATER = datetime(2024, 8, 6, tzinfo=UTC)


def complete(store, run_id=RUN_ID, as_of=AS_OF, note=""):
    """The least that a complete run is to the catalogue."""
    store.write(manifest_key(run_id), f'{{"as_of":"{format_as_of(as_of)}","note":"{note}"}}'.encode())


def test_publishing_points_at_the_manifest(near_store):
    digest = finished_run(near_store)
    pointer = publish(near_store, RUN_ID, AS_OF)
    assert pointer == Pointer(RUN_ID, "2024-08-05T000000Z", digest)
    assert near_store.exists("published/2024-08-05T000000Z.json")
    assert pointer_of(near_store) == pointer_of(near_store, AS_OF) == pointer_of(near_store, "2024-08-05") == pointer
    modified = near_store.modified("published/2024-08-05T000000Z.json")
    assert publish(near_store, RUN_ID, AS_OF) == pointer
    assert near_store.modified("published/2024-08-05T000000Z.json") == modified, "publishing again changes nothing"


def test_a_run_without_manifest_or_of_another_instant_is_not_published(store):
    store.write(f"runs/{RUN_ID}/plan.json", b"{}")
    with pytest.raises(StoreError, match="not complete"):
        publish(store, RUN_ID, AS_OF)
    complete(store)
    with pytest.raises(StoreError, match="cannot be published as 2024-08-06T000000Z"):
        publish(store, RUN_ID, LATER)
    assert published(store) == []


def test_books_are_kept_apart_and_the_newest_night_is_found(store):
    for run_id, as_of, book in ((RUN_ID, AS_OF, ""), (OTHER, LATER, ""), ("third", AS_OF, "desk-1")):
        complete(store, run_id, as_of)
        publish(store, run_id, as_of, book=book)
    assert pointer_of(store).run_id == OTHER
    assert pointer_of(store, book="desk-1").run_id == "third"
    assert [night.pointer.run_id for night in published(store, "desk-1")] == ["third"]
    assert [(night.book, night.pointer.run_id) for night in published(store)] == [
        ("", RUN_ID), ("", OTHER), ("desk-1", "third"),
    ]  # fmt: skip
    with pytest.raises(StoreError, match="of book 'desk-2'; there are nights of '', 'desk-1': say which book"):
        pointer_of(store, book="desk-2")
    with pytest.raises(StoreError, match="published are 2024-08-05T000000Z, 2024-08-06T000000Z"):
        pointer_of(store, "2024-08-07")


def test_an_older_run_is_superseded_when_it_is_the_one_expected(store):
    complete(store)
    complete(store, OTHER)
    first = publish(store, RUN_ID, AS_OF)
    with pytest.raises(StoreError, match=f"names run {RUN_ID}, which is not what was expected"):
        publish(store, OTHER, AS_OF, expected=None)
    second = publish(store, OTHER, AS_OF, expected=first)
    with pytest.raises(StoreError, match=f"names run {OTHER}"):
        publish(store, "late", AS_OF, expected=first) if complete(store, "late") is None else None
    assert pointer_of(store) == second
    assert publish(store, RUN_ID, AS_OF).run_id == RUN_ID, "by default what is there may be superseded"


def test_of_two_racing_writers_one_wins_and_the_other_is_told(store, monkeypatch):
    complete(store)
    complete(store, OTHER)
    barrier = threading.Barrier(2)
    original = type(store).swap

    def swap(self, key, expected, new):
        if key.startswith("published"):
            barrier.wait(timeout=10)
        return original(self, key, expected, new)

    monkeypatch.setattr(type(store), "swap", swap)
    outcomes = {}

    def race(run_id):
        try:
            outcomes[run_id] = publish(store, run_id, AS_OF)
        except StoreError as error:
            outcomes[run_id] = error

    threads = [threading.Thread(target=race, args=(run_id,)) for run_id in (RUN_ID, OTHER)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [run_id for run_id, outcome in outcomes.items() if isinstance(outcome, Pointer)]
    losers = [outcome for outcome in outcomes.values() if isinstance(outcome, StoreError)]
    assert len(winners) == len(losers) == 1
    assert "another writer was faster" in str(losers[0])
    assert pointer_of(store).run_id == winners[0]


def test_a_store_that_ignores_conditions_refuses_to_publish(store, monkeypatch):
    complete(store)
    monkeypatch.setattr(type(store), "honours_conditions", lambda _: False)
    with pytest.raises(StoreError, match="ignores conditional writes"):
        publish(store, RUN_ID, AS_OF)
    assert published(store) == []


@pytest.mark.parametrize("book", ["..", "a/b", ".x", "a b", "2024-08-05T000000Z.json", "-/-", "ü"])
def test_a_book_name_that_could_be_a_path_is_refused(store, book):
    complete(store)
    with pytest.raises(StoreError, match="book name"):
        publish(store, RUN_ID, AS_OF, book=book)
    with pytest.raises(StoreError, match="book name"):
        pointer_of(store, book=book)


@pytest.mark.parametrize("run_id", ["../x", "", "a/b", ".hidden"])
def test_a_run_id_that_could_be_a_path_is_refused(store, run_id):
    with pytest.raises(StoreError, match="run id"):
        publish(store, run_id, AS_OF)


def test_a_torn_pointer_is_named(store):
    store.write(pointer_key("", AS_OF), b"{")
    with pytest.raises(StoreError, match=r"published/2024-08-05T000000Z\.json is not a pointer"):
        pointer_of(store)


def test_a_torn_pointer_hides_no_other(store):
    for run_id, as_of in ((RUN_ID, AS_OF), (OTHER, LATER)):
        complete(store, run_id, as_of)
        publish(store, run_id, as_of)
    store.write("published/desk/2024-08-07T000000Z.json", b"{")
    store.write("published/2024-08-08T000000Z.json", store.read(pointer_key("", AS_OF)))
    store.write("published/notes.json", b"{}")
    found = read_catalogue(store)
    assert [night.pointer.run_id for night in found.nights] == [RUN_ID, OTHER]
    assert sorted(found.problems) == [
        "published/2024-08-08T000000Z.json", "published/desk/2024-08-07T000000Z.json", "published/notes.json",
    ]  # fmt: skip
    assert "of another instant, 2024-08-05T000000Z" in found.problems["published/2024-08-08T000000Z.json"]
    with pytest.raises(StoreError, match="published/"):
        published(store)


def test_three_thousand_nights_are_listed_without_reading_them(memory_store, monkeypatch):
    for day in range(1500):
        as_of = AS_OF + timedelta(days=day)
        for book in ("", "desk"):
            pointer = {"run_id": f"{day}-{book}", "as_of": format_as_of(as_of), "manifest_sha256": "0" * 64}
            memory_store.write(pointer_key(book, as_of), canonical_json(pointer))
    seen = []
    original = type(memory_store).get
    monkeypatch.setattr(type(memory_store), "get", lambda self, key: seen.append(key) or original(self, key))
    assert len(night_names(memory_store)) == 3000
    assert seen == []
    newest = AS_OF + timedelta(days=1499)
    assert pointer_of(memory_store, book="desk").run_id == "1499-desk"
    assert seen == [pointer_key("desk", newest)]
    seen.clear()
    assert pointer_of(memory_store, AS_OF).run_id == "0-"
    with pytest.raises(StoreError, match="no published night 2020"):
        pointer_of(memory_store, "2020-01-01")
    assert len(catalogue_at(memory_store, newest).nights) == 2
    assert len(seen) == 4
    seen.clear()
    assert len(read_catalogue(memory_store).nights) == 3000
    assert len(seen) == len(set(seen)) == 3000


def test_runs_say_what_is_complete_and_published(store):
    complete(store)
    publish(store, RUN_ID, AS_OF, book="desk")
    complete(store, "unpublished")
    store.write("runs/unfinished/plan.json", b"{}")
    found = {run.run_id: (run.is_complete, run.published_as) for run in runs(store)}
    assert found == {RUN_ID: (True, ("desk",)), "unpublished": (True, ()), "unfinished": (False, ())}


def test_instants_are_written_in_utc_and_read_back():
    tokyo = timezone(timedelta(hours=9))
    assert format_as_of(datetime(2024, 8, 5, 9, tzinfo=tokyo)) == "2024-08-05T000000Z"
    assert (
        parse_as_of("2024-08-05T000000Z")
        == parse_as_of("2024-08-05T09:00:00+09:00")
        == parse_as_of("2024-08-05")
        == AS_OF
    )
    for bad in (datetime(2024, 8, 5), datetime(2024, 8, 5, microsecond=1, tzinfo=UTC)):  # noqa: DTZ001
        with pytest.raises(ValueError, match="as_of"):
            format_as_of(bad)
