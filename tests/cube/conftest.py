import uuid

import pytest

from riskpipe.cube.store import open_store


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path):
    """Every kind of store built in."""
    return open_store(str(tmp_path / "store") if request.param == "local" else f"memory://{uuid.uuid4().hex}")


@pytest.fixture
def memory_store():
    """For what is long to try and the same on every store, being written in terms of its promises."""
    return open_store(f"memory://{uuid.uuid4().hex}")


@pytest.fixture
def local_store(tmp_path):
    return open_store(str(tmp_path / "store"))
