"""Processes: a dead one is told from every living one; services start in order and all stop."""

import os
import subprocess
import sys

import pytest

from riskpipe.errors import ComputeError, ConfigError
from riskpipe.run.processes import (
    Service,
    free_port,
    is_dead_here,
    keep_running,
    listens,
    only_one,
    process_name,
    running,
)


def test_a_process_is_dead_once_it_has_ended_even_if_another_gets_its_number():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        name = process_name(process.pid)
        assert not is_dead_here(name)
        process.kill()
        process.wait()
        assert is_dead_here(name)
    host, boot, _, start = name.split("/")
    assert is_dead_here(f"{host}/{boot}/{os.getpid()}/{start}"), "our number, another process"
    assert is_dead_here(f"{host}/another-boot/{process_name().split('/', 2)[2]}")


def test_of_processes_elsewhere_nothing_is_known():
    assert not is_dead_here("elsewhere/boot/1/2")
    assert not is_dead_here("")


def test_services_serve_inside_the_block_and_are_gone_after_it(tmp_path):
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    with running([Service("web", command, lambda: listens(port), tmp_path / "log")], timeout_s=20):
        assert listens(port)
    assert not listens(port)


def test_a_service_that_ends_is_an_error_with_its_last_words(tmp_path):
    command = [sys.executable, "-c", "raise SystemExit('no such thing')"]
    with (
        pytest.raises(ComputeError, match=r"broken ended(.|\n)*no such thing"),
        running([Service("broken", command, lambda: False, tmp_path / "log")], timeout_s=20),
    ):
        pytest.fail("served")


@pytest.mark.parametrize(
    ("healthy_s", "ends_with", "restarts"),
    [
        (600.0, pytest.raises(ComputeError, match="brittle has ended 6 times"), 5),
        (0.0, pytest.raises(KeyboardInterrupt), 8),
    ],
)
def test_a_service_that_keeps_ending_is_given_up_and_one_that_ran_for_long_is_not(
    tmp_path, healthy_s, ends_with, restarts
):
    command = [sys.executable, "-c", "raise SystemExit('no such thing')"]
    service = Service("brittle", command, log=tmp_path / "log")
    service.start()
    said = []

    def say(line):
        said.append(line)
        if len(said) == 8:
            raise KeyboardInterrupt

    with ends_with:
        keep_running([service], say, look_s=0.05, healthy_s=healthy_s)
    assert len(said) == restarts


def test_only_one_holds_a_lock_and_the_other_is_told_where_it_is(tmp_path):
    with only_one(tmp_path / "x.lock", "it runs") as keep:
        keep("at home")
        with pytest.raises(ConfigError, match="it runs already: at home"), only_one(tmp_path / "x.lock", "it runs"):
            pytest.fail("two of them")
    with only_one(tmp_path / "x.lock", "it runs"):
        pass
