"""Nodes that are served: each with its share of this machine's memory."""

from flows.serving import Ports, _services
from riskpipe.run.memory import machine_bytes


def test_served_workers_have_a_memory_limit_and_fit_this_machine_together(tmp_path):
    services = _services(tmp_path, tmp_path, 3, Ports())
    commands = [list(service.command) for service in services if service.name.startswith("worker-")]
    limits = [int(command[command.index("--memory-limit") + 1]) for command in commands]
    assert len(limits) == 3
    assert 0.8 * machine_bytes() < sum(limits) < machine_bytes()
