"""Nodes that are served: each with its share of this machine's memory."""

import pytest

from flows.serving import Ports, _services, serve
from riskpipe.errors import ConfigError
from riskpipe.run.memory import machine_bytes


@pytest.mark.parametrize("share", [0.9, 0.4])
def test_served_workers_have_a_memory_limit_and_together_the_share_that_was_asked_for(tmp_path, share):
    services = _services(tmp_path, tmp_path, Ports(), 3, share)
    commands = [list(service.command) for service in services if service.name.startswith("worker-")]
    limits = [int(command[command.index("--memory-limit") + 1]) for command in commands]
    assert len(set(limits)) == 1
    assert sum(limits) == pytest.approx(share * machine_bytes(), rel=1e-6)


@pytest.mark.parametrize("share", [0.0, -0.5, 1.01, float("nan")])
def test_a_share_of_memory_that_is_none_is_refused_before_anything_starts(tmp_path, share):
    with pytest.raises(ConfigError, match="--memory-share"):
        serve(tmp_path / "home", 1, Ports(), memory_share=share)
    assert not (tmp_path / "home").exists()
