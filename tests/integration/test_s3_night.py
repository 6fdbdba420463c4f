"""A night whose store is an object store, over HTTP to a real server, is the night that a local folder holds."""

import json
import os

import pytest
from support.faulty_proxy import Fault, FaultyProxy
from support.nights import assert_same_bits, decoded, riskpipe_command, run_on
from support.s3 import SeaweedFS, environment_of

from riskpipe.cube.catalogue import night_names
from riskpipe.cube.layout import cube_prefix
from riskpipe.cube.store import open_store
from riskpipe.errors import StoreError, VerifyError


@pytest.fixture(scope="module")
def on_s3(inputs, tmp_path_factory):
    """A published night with two workers, in a bucket; commands started here see the same environment."""
    with SeaweedFS() as server, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        cache = tmp_path_factory.mktemp("host")
        for name, value in environment_of(server.endpoint, cache=cache).items():
            patch.setenv(name, value)
        uri = f"s3://{server.make_bucket()}/desks/nights"
        result = run_on(inputs, uri, executor="local", n_workers=2, block_size=22)
        yield uri, result, cache, server


@pytest.fixture(scope="module")
def on_folder(inputs, tmp_path_factory):
    store = tmp_path_factory.mktemp("folder") / "store"
    return store, run_on(inputs, store)


def test_the_cube_has_the_same_bits_in_a_bucket_as_in_a_folder(on_s3, on_folder):
    uri, result, *_ = on_s3
    assert result.run_id == on_folder[1].run_id
    assert result.cube == f"{uri}/{cube_prefix(result.run_id)}"
    assert result.is_published
    assert_same_bits(decoded(uri), decoded(on_folder[0]))


def test_each_host_holds_one_verified_copy_of_the_book(on_s3):
    uri, result, cache, _ = on_s3
    plan = json.loads(open_store(uri).read(f"runs/{result.run_id}/plan.json"))
    assert [path.name for path in (cache / "books").iterdir() if path.is_dir()] == [plan["book_sha256"]]


def test_commands_read_back_what_is_in_the_bucket(on_s3, on_folder, tmp_path):
    uri, result, *_ = on_s3
    listed = json.loads(riskpipe_command("runs", uri, "--json", check=True).stdout)
    assert [night["run_id"] for night in listed["published"]] == [result.run_id]
    assert listed["unpublished"] == listed["problems"] == []
    assert "as promised" in riskpipe_command("verify", uri, check=True).stdout
    riskpipe_command("report", uri, "--out", tmp_path / "report", check=True)
    kept = open_store(uri).read(f"runs/{result.run_id}/report/report.json")
    assert (tmp_path / "report" / "report.json").read_bytes() == kept
    here = open_store(str(on_folder[0])).read(f"runs/{result.run_id}/report/cells.parquet")
    assert open_store(uri).read(f"runs/{result.run_id}/report/cells.parquet") == here


def test_a_swept_bucket_still_holds_its_published_night(on_s3):
    uri, result, *_ = on_s3
    before = open_store(uri).list("")
    swept = json.loads(riskpipe_command("sweep", uri, "--json", check=True).stdout)
    assert swept["removals"] == []
    assert open_store(uri).list("") == before
    assert result.run_id in riskpipe_command("runs", uri, check=True).stdout


def test_a_night_that_was_damaged_in_the_bucket_is_not_published(on_s3, inputs):
    uri, result, *_ = on_s3
    whole, damaged = open_store(uri), open_store(f"{uri}-damaged")
    for key in [*whole.list(f"runs/{result.run_id}"), *whole.list("books")]:
        damaged.write(key, whole.read(key))
    chunk = f"{cube_prefix(result.run_id)}/funds/shortfall/c/1/0"
    damaged.delete(chunk)
    with pytest.raises(VerifyError, match=r"funds/shortfall/c/1/0 is missing"):
        run_on(inputs, damaged.uri)
    assert night_names(damaged) == []
    damaged.write(chunk, whole.read(chunk))
    assert run_on(inputs, damaged.uri).is_published


def test_a_night_goes_on_where_an_outage_stopped_it_and_bears_a_flaky_store(on_s3, inputs, on_folder, monkeypatch):
    uri, result, _, server = on_s3
    with FaultyProxy(server.port) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        monkeypatch.setenv("RISKPIPE_S3_RETRY_SECONDS", "0.3")
        other = open_store(f"{uri}-flaky")
        is_out = False

        def outage(_method, path):
            nonlocal is_out
            is_out = is_out or "attempts/block-00001" in path
            return Fault(status=503) if is_out else None

        proxy.rule = outage
        with pytest.raises(StoreError, match="could not be reached"):
            run_on(inputs, other.uri, block_size=22)
        proxy.rule = lambda _method, _path: Fault(status=503) if len(proxy.seen) % 40 == 0 else None
        monkeypatch.setenv("RISKPIPE_S3_RETRY_SECONDS", "20")
        assert night_names(other) == []
        n_seen = len(proxy.seen)
        assert run_on(inputs, other.uri, block_size=22).run_id == result.run_id
        written = [path for method, path in proxy.seen[n_seen:] if method == "PUT"]
        assert any("parts/block-00001" in path for path in written)
        assert not any("parts/block-00000" in path for path in written), "what was done before the outage stays done"
        assert_same_bits(decoded(other.uri), decoded(on_folder[0]))
