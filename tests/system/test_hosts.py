"""Three hosts over mutual TLS: right answers, also when one is cut off and heals; nobody else is let in."""

import time

import pytest
from chaos.laws import right
from chaos.processes import wait_until
from chaos.scene import LONGEST_S
from support.certificates import write_certificates
from support.hosts import beyond_loopback, hosts, why_no_hosts
from support.nights import attempts, marks

from riskpipe.compute.security import VARIABLES

WHY_NOT = why_no_hosts()
pytestmark = [pytest.mark.system, pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))]
PORT = 8786
CONFIG, COMPUTE = 2, 4
"""Exit codes."""
JOINED = "Registered to"
START_S = 120.0
GIVEN_UP_S = 90.0
"""No host that is cut off is waited for longer: Dask gives a silent connection 30 s."""


class Hosts:
    """A scheduler's host and two workers' hosts, each started as its operator would start it."""

    def __init__(self, scheduler, first, second):
        self.scheduler, self.first, self.second = scheduler, first, second
        self.address = f"tls://{scheduler.address}:{PORT}"
        scheduler.riskpipe("scheduler", "--host", scheduler.address, "--port", PORT)
        self.workers = {host: self.start_worker(host) for host in (first, second)}
        self.wait_for_workers()

    def start_worker(self, host):
        place = {"DASK_TEMPORARY_DIRECTORY": str(host.folder)}
        return host.riskpipe("worker", self.address, "--host", host.address, **place)

    def wait_for_workers(self):
        for host, worker in self.workers.items():
            wait_until(lambda said=worker: JOINED in said.output, timeout=START_S, what=f"{host.name}'s worker joins")

    def submit(self, scene, folder, *, to=None, **environment):
        """Hand the night to the scheduler, from the scheduler's own host; return the command and the night's store."""
        config, store = scene.config(folder, folder / "store"), folder / "store"
        night = self.scheduler.riskpipe("submit", config, "--scheduler", to or self.address, "--publish", **environment)
        return night, store


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    with hosts(tmp_path_factory.mktemp("hosts"), "scheduler", "first", "second") as made:
        yield Hosts(**made)


def who_computed(store):
    return {record["host"] for tries in attempts(store).values() for record in tries if record["state"] == "done"}


def in_the_middle(night, store):
    wait_until(lambda: night.is_over or len(marks(store)) >= 3, timeout=LONGEST_S, what="three blocks are done")
    assert not night.is_over, night.output


def test_a_night_over_three_hosts_is_right_and_both_workers_hosts_computed(three, scene, tmp_path):
    night, store = three.submit(scene, tmp_path)
    night.succeeds(LONGEST_S)
    right(scene, store)
    assert who_computed(store) == {"first", "second"}


@pytest.mark.parametrize("name", ["second", "scheduler"])
def test_a_host_cut_off_for_a_moment_costs_nothing_but_time(name, three, scene, tmp_path):
    night, store = three.submit(scene, tmp_path)
    in_the_middle(night, store)
    host = getattr(three, name)
    host.cut_off()
    try:
        time.sleep(3.0)
        assert not night.is_over, "the night needs the host that is cut off"
    finally:
        host.heal()
    night.succeeds(LONGEST_S)
    right(scene, store)


def test_blocks_of_a_host_that_stays_away_are_computed_elsewhere_and_its_next_worker_takes_part_again(
    three, scene, tmp_path
):
    night, store = three.submit(scene, tmp_path / "without")
    in_the_middle(night, store)
    three.second.cut_off()
    try:
        night.succeeds(GIVEN_UP_S)
        right(scene, store)
        # a worker that has lost its scheduler ends: whatever watches over it starts another
        lost = three.workers[three.second]
        wait_until(lambda: lost.is_over, timeout=GIVEN_UP_S, what="a worker that is cut off ends")
    finally:
        three.second.heal()
    three.workers[three.second] = three.start_worker(three.second)
    three.wait_for_workers()
    again, store = three.submit(scene, tmp_path / "with")
    again.succeeds(LONGEST_S)
    right(scene, store)
    assert who_computed(store) == {"first", "second"}


def test_a_client_that_is_given_no_certificate_says_so_and_publishes_nothing(three, scene, tmp_path):
    nothing = dict.fromkeys(VARIABLES.values(), "")
    night, store = three.submit(scene, tmp_path / "own", **nothing)
    ended = night.wait(LONGEST_S)
    assert ended.code == CONFIG
    assert "no certificate is given" in ended.output
    assert not list(store.glob("published/*"))


def test_whatever_listens_beyond_loopback_asks_for_a_certificate(three):
    beyond = beyond_loopback(three.scheduler, *three.workers)
    assert f"{three.scheduler.address}:{PORT}" in beyond
    assert len(beyond) == 5, "the scheduler, and of either worker the process that computes and the one that watches it"
    assert three.first.answers_to_a_stranger(beyond) == dict.fromkeys(beyond, "TLSV13_ALERT_CERTIFICATE_REQUIRED")


def test_a_client_with_a_certificate_of_another_authority_is_refused(three, scene, tmp_path):
    theirs = write_certificates(tmp_path / "theirs")
    files = {variable: theirs[name] for name, variable in VARIABLES.items()}
    night, store = three.submit(scene, tmp_path / "foreign", **files)
    ended = night.wait(LONGEST_S)
    assert ended.code == COMPUTE
    assert "is it of the scheduler's authority?" in ended.output
    assert not list(store.glob("published/*"))


def test_a_client_that_speaks_no_tls_is_refused_before_it_sends_anything(three, scene, tmp_path):
    night, _ = three.submit(scene, tmp_path, to=three.address.replace("tls://", "tcp://"))
    ended = night.wait(LONGEST_S)
    assert ended.code == CONFIG
    assert "not encrypted" in ended.output
