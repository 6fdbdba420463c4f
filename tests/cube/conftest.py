import uuid

import pytest
from support.s3 import Moto, SeaweedFS, surround

from riskpipe.cube.store import open_store


@pytest.fixture(scope="session")
def moto():
    """One S3 server for all tests of a session."""
    with Moto() as server:
        yield server


@pytest.fixture(scope="session")
def seaweedfs():
    """A second S3 server, which another house wrote and which infra/compose.yaml runs."""
    with SeaweedFS() as server:
        yield server


@pytest.fixture
def s3_store(moto, monkeypatch, tmp_path):
    """A store in a bucket of its own."""
    surround(monkeypatch, moto.endpoint, cache=tmp_path / "cache")
    return open_store(f"s3://{moto.make_bucket()}/nights/desk one")


@pytest.fixture
def seaweedfs_store(seaweedfs, monkeypatch, tmp_path):
    """A store in a bucket of its own."""
    surround(monkeypatch, seaweedfs.endpoint, cache=tmp_path / "cache")
    return open_store(f"s3://{seaweedfs.make_bucket()}/nights/desk one")


@pytest.fixture(params=["local", "memory", "s3", "seaweedfs"])
def store(request, tmp_path):
    """Every kind of store built in, the object store on two servers."""
    if request.param in {"s3", "seaweedfs"}:
        return request.getfixturevalue(f"{request.param}_store")
    return open_store(str(tmp_path / "store") if request.param == "local" else f"memory://{uuid.uuid4().hex}")


@pytest.fixture(params=["local", "memory"])
def near_store(request):
    """For whole runs: thousands of requests say no more of an object store than hundreds."""
    return request.getfixturevalue(f"{request.param}_store")


@pytest.fixture
def memory_store():
    """For what is long to try and the same on every store, being written in terms of its promises."""
    return open_store(f"memory://{uuid.uuid4().hex}")


@pytest.fixture
def local_store(tmp_path):
    return open_store(str(tmp_path / "store"))
