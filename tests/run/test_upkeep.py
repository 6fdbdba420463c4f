"""What the command line says of a store: what is there, what is wrong, and what may go."""

import json

import pytest
from support.cube_runs import AS_OF, RUN_ID, finished_run

from riskpipe.cube.catalogue import publish
from riskpipe.cube.layout import manifest_key, part_key
from riskpipe.cube.store import open_store
from riskpipe.errors import StoreError
from riskpipe.run.upkeep import list_store, sweep_store, verify_store

TORN = "published/desk/2024-08-05T000000Z.json"


@pytest.fixture
def store(tmp_path):
    """A published run, one that is not, one that is unfinished, and a torn pointer."""
    opened = open_store(str(tmp_path / "store"))
    finished_run(opened)
    publish(opened, RUN_ID, AS_OF)
    opened.write(manifest_key("other"), b'{"as_of":"2024-08-06T000000Z"}')
    opened.write("runs/unfinished/plan.json", b"{}")
    opened.write(TORN, b"{")
    return opened


def test_a_listing_says_all_that_is_there_in_words_and_in_json(store):
    listing = list_store(store.uri)
    assert listing.as_text().splitlines() == [
        f"2024-08-05T000000Z  -            {RUN_ID}",
        "not published      complete     other",
        "not published      unfinished   unfinished",
    ]
    assert f"{TORN} is not a pointer" in listing.problems[0]
    shown = json.loads(json.dumps(listing.as_json()))
    assert [night["run_id"] for night in shown["published"]] == [RUN_ID]
    assert [run["is_complete"] for run in shown["unpublished"]] == [True, False]


def test_verifying_names_the_torn_pointer_and_compares_the_rest(store):
    found = verify_store(store.uri)
    assert list(found) == [TORN, RUN_ID]
    assert found[RUN_ID] == []
    store.delete(part_key(RUN_ID, 3))
    assert "parts/block-00003.parquet is missing" in verify_store(store.uri)[RUN_ID]
    assert verify_store(store.uri, RUN_ID).keys() == {RUN_ID}


def test_a_store_that_is_not_there_is_not_an_empty_one(tmp_path):
    (tmp_path / "empty").mkdir()
    assert list_store(str(tmp_path / "empty")).as_text() == "the store is empty"
    with pytest.raises(StoreError, match="nothing is published"):
        verify_store(str(tmp_path / "empty"))
    for call in (list_store, verify_store):
        with pytest.raises(StoreError, match="there is no store"):
            call(str(tmp_path / "none"))
    with pytest.raises(StoreError, match="there is no store"):
        sweep_store(str(tmp_path / "none"), keep_days=30, month_ends_only=False, is_dry_run=True)
