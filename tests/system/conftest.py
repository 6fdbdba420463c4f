"""The small night that is run on real hosts and databases, made once, and its right answer."""

import pytest
from chaos.scene import make_scene


@pytest.fixture(scope="session")
def scene(tmp_path_factory):
    return make_scene(tmp_path_factory.mktemp("scene"))
