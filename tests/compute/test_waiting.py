"""Maps that wait: for their turn as long as it takes, but not for a block or a worker that never comes to an end."""

import contextlib
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from riskpipe.compute import clusters, make_executor
from riskpipe.compute.nodes import node_environment, scheduler_command, worker_command
from riskpipe.compute.submission import DaskExecutor
from riskpipe.compute.workers import Workers
from riskpipe.errors import ClusterLost, ComputeError
from riskpipe.run.processes import Service, free_port, listens, running, stop


def sleeps(seconds):
    time.sleep(seconds)
    return os.getpid()


def hangs(folder, _item):
    """Say where, and do not come back while the test lasts."""
    from distributed import get_worker

    (Path(folder) / "where").write_text(get_worker().address)
    time.sleep(120)


@contextlib.contextmanager
def started(n_workers=2, threads_per_worker=1):
    """A cluster on loopback, of which each client is a night."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=n_workers,
        threads_per_worker=threads_per_worker,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        silence_logs=50,
    ) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def healthy():
    with started() as cluster:
        yield cluster


@pytest.fixture
def spoilt():
    """A cluster for one test, which holds threads of it for good."""
    with started() as cluster, night(cluster):  # workers have loaded what they need
        yield cluster


@contextlib.contextmanager
def night(cluster, *, start_timeout_s=60, **limits):
    """An executor over a client of its own."""
    from distributed import Client

    with Client(cluster.scheduler_address, set_as_default=False) as client:
        yield DaskExecutor(Workers(lambda: client, start_timeout_s=start_timeout_s), **limits)


def collect(executor, unit, items):
    done = []
    executor.map_blocks(unit, items, on_done=lambda item, receipt: done.append((item, receipt)))
    return done


@contextlib.contextmanager
def under_way(executor, items):
    """Run a map beside the test; give what it has done so far, when it has begun."""
    done, has_begun = [], threading.Event()

    def on_done(item, receipt):
        done.append((item, receipt))
        has_begun.set()

    def run():
        with contextlib.suppress(ComputeError):
            executor.map_blocks(sleeps, items, on_done=on_done)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert has_begun.wait(60)
        yield done
    finally:
        executor.stop()
        thread.join(30)


@contextlib.contextmanager
def wedged(cluster, folder, address):
    """Hold a worker's only thread with a task that nobody waits for any longer, as a night leaves one that hangs."""
    from distributed import Client

    with Client(cluster.scheduler_address, set_as_default=False) as client:
        future = client.submit(hangs, str(folder), 0, workers=[address], pure=False)
        wait_for(folder / "where")
        client.cancel([future], force=True)
    yield


def wait_for(path):
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def addresses(cluster):
    return sorted(worker.address for worker in cluster.scheduler.workers.values())


def test_a_map_that_waits_behind_anothers_for_longer_than_the_block_timeout_has_its_turn(healthy):
    with night(healthy) as first, night(healthy, block_timeout_s=2) as second:
        with under_way(first, [0.4] * 40) as others:
            begun = time.monotonic()
            done = collect(second, sleeps, [0.01])
            waited = time.monotonic() - begun
        assert len(done) == 1
        assert waited > 4, f"{waited} s is no queue"
        assert len(others) > 20


@pytest.mark.parametrize("size", [{"n_workers": 2}, {"n_workers": 1, "threads_per_worker": 2}])
def test_a_block_that_hangs_while_other_maps_go_on_ends_its_own_within_the_timeout_and_is_named(tmp_path, size):
    with started(**size) as cluster, night(cluster) as first, night(cluster, block_timeout_s=3, priority=5) as second:
        with under_way(first, [0.2] * 150) as others:
            begun = time.monotonic()
            with pytest.raises(ComputeError, match="no block finished for 3 s") as caught:
                collect(second, partial(hangs, str(tmp_path)), ["worst"])
            assert time.monotonic() - begun < 9
            assert 0 < len(others) < 150, "the other map goes on"
        assert f"stand still: {(tmp_path / 'where').read_text()} with block worst." in str(caught.value)


def test_a_map_whose_block_waits_for_a_held_thread_ends_also_while_others_go_on(spoilt, tmp_path):
    held, free = addresses(spoilt)
    with night(spoilt) as first, night(spoilt, block_timeout_s=3) as second, ThreadPoolExecutor(1) as pool:
        with wedged(spoilt, tmp_path, held):
            begun = time.monotonic()
            waiting = pool.submit(collect, second, sleeps, [0.01] * 8)
            time.sleep(1)
            with under_way(first, [0.2] * 150) as others:
                with pytest.raises(ComputeError, match="no block finished for 3 s") as caught:
                    waiting.result(timeout=60)
                assert time.monotonic() - begun < 12
                assert len(others) < 150
        assert f"stand still: {held}." in str(caught.value)
        assert free not in str(caught.value)


def test_a_night_runs_on_the_workers_that_answer_and_names_those_that_do_not(spoilt, tmp_path, caplog):
    held, free = addresses(spoilt)
    with wedged(spoilt, tmp_path, held), night(spoilt, start_timeout_s=4, block_timeout_s=20) as executor:
        assert f"no answer within 4 s from {held}: held by a block" in caplog.text
        assert free not in caplog.text
        assert executor.n_workers == 1
        done = collect(executor, sleeps, [0.05] * 12)
    assert len(done) == 12
    assert len({pid for _, pid in done}) == 1


def test_a_worker_that_answers_late_is_given_blocks_of_the_next_map(healthy):
    from distributed import Client

    held, _ = addresses(healthy)
    with night(healthy), Client(healthy.scheduler_address, set_as_default=False) as other:
        busy = other.submit(sleeps, 8, workers=[held], pure=False)
        time.sleep(0.5)
        with night(healthy, start_timeout_s=2) as executor:
            assert executor.n_workers == 1
            busy.result(timeout=30)
            time.sleep(0.5)
            assert executor.n_workers == 2
            assert len({pid for _, pid in collect(executor, sleeps, [0.1] * 12)}) == 2


def test_where_no_worker_answers_each_is_named(spoilt, tmp_path):
    with contextlib.ExitStack() as stack:
        for number, address in enumerate(addresses(spoilt)):
            (folder := tmp_path / str(number)).mkdir()
            stack.enter_context(wedged(spoilt, folder, address))
        with pytest.raises(ClusterLost) as caught, night(spoilt, start_timeout_s=2):
            pytest.fail("an executor was handed out")
    assert f"no answer within 2 s from {', '.join(addresses(spoilt))}" in str(caught.value)


def test_an_urgent_map_keeps_no_other_night_from_its_workers_answers(spoilt, tmp_path):
    held, _ = addresses(spoilt)
    with (
        wedged(spoilt, tmp_path, held),
        night(spoilt, start_timeout_s=2, priority=1_000_000_000) as urgent,
        under_way(urgent, [0.3] * 100) as others,  # blocks kept to some workers all wait there, and not for their turn
        night(spoilt, start_timeout_s=5),
    ):
        assert len(others) < 80


def nodes(port, folder):
    """A scheduler and its worker, as their commands start them."""
    environment = node_environment() | {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    scheduler, worker = scheduler_command("127.0.0.1", port), worker_command(f"tcp://127.0.0.1:{port}")
    return [
        Service("scheduler", scheduler, lambda: listens(port), folder / "scheduler.log", environment),
        Service("worker", worker, log=folder / "worker.log", environment=environment),
    ]


def test_a_scheduler_that_is_there_but_does_not_answer_ends_a_map(tmp_path, monkeypatch):
    monkeypatch.setattr(clusters, "_CLOSE_TIMEOUT_S", 1.0)
    port = free_port()
    with running(services := nodes(port, tmp_path), timeout_s=60):
        with make_executor(f"tcp://127.0.0.1:{port}", block_timeout_s=4) as executor:
            threading.Timer(1.0, services[0].signal, [signal.SIGSTOP]).start()
            begun = time.monotonic()
            with pytest.raises(ClusterLost, match=r"scheduler has not answered for 4 s .*unfinished: block 2"):
                collect(executor, sleeps, [2])
            assert time.monotonic() - begun < 20
        services[0].signal(signal.SIGCONT)


def test_an_executor_whose_scheduler_was_away_for_too_long_runs_blocks_on_the_next_one(tmp_path, monkeypatch):
    monkeypatch.setattr(clusters, "_CLIENT_TIMEOUT_S", 2.0)
    port = free_port()
    with contextlib.ExitStack() as stack:
        with running(first := nodes(port, tmp_path), timeout_s=60):
            executor = stack.enter_context(make_executor(f"tcp://127.0.0.1:{port}", block_timeout_s=60))
            assert len(collect(executor, sleeps, [0.01])) == 1
            stop(first)
        time.sleep(4)  # longer than the client tries
        with pytest.raises(ClusterLost, match="no scheduler answers"):
            collect(executor, sleeps, [0.01])
        with pytest.raises(ClusterLost, match="no scheduler answers"):
            _ = executor.n_workers
        with running(nodes(port, tmp_path), timeout_s=60):
            assert executor.with_priority(3).n_workers == 1
            assert len(collect(executor, sleeps, [0.01] * 3)) == 3
