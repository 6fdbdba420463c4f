"""Executors: every way of running blocks obeys the same laws; death ends in the right answer or in an error."""

import contextlib
import json
import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest

import riskpipe
from riskpipe.compute import SerialExecutor, clusters, make_executor
from riskpipe.compute.nodes import scheduler_command
from riskpipe.compute.submission import DaskExecutor
from riskpipe.compute.workers import Workers
from riskpipe.errors import ComputeError, ConfigError, InputRefused
from riskpipe.run.processes import Service, free_port, listens, running

PATHS = os.pathsep.join([str(Path(riskpipe.__file__).parents[1]), str(Path(__file__).parent)])


def square(item):
    return {"item": item, "square": item * item, "bounds": (item, item + 1)}


def fails_at_three(item):
    if item == 3:
        message = "the third of its kind"
        raise ZeroDivisionError(message)
    return item


def refuses(item):
    raise InputRefused("snapshot", [f"row {item}", "another"])


def returns_a_set(item):
    return {item}


def writes_file(folder, item):
    """An idempotent block: slow enough to be killed in its middle, and it says who works on it."""
    folder = Path(folder)
    (folder / f"pid-{os.getpid()}").touch()
    time.sleep(0.15)
    (folder / f"block-{item}").write_text(str(item * item))
    return item * item


def kills_its_worker(_item):
    os.kill(os.getpid(), signal.SIGKILL)


def sleeps(seconds):
    time.sleep(seconds)


KEPT = []


def keeps_a_file_mapped(path, _item):
    """Touch every page of a file that stays mapped when the block is done, as a book does."""
    if not KEPT:
        with Path(path).open("rb") as file:
            KEPT.append(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    assert sum(KEPT[0][::4096]) == 0
    time.sleep(0.5)  # long enough to be seen by whoever watches
    return os.getpid()


def holds_too_much_once(marker, _item):
    is_first = not Path(marker).exists()
    Path(marker).touch()
    if is_first:
        held = bytearray(800_000_000)
        held[::4096] = b"1" * len(held[::4096])
        time.sleep(5)
    return os.getpid()


def collect(executor, unit, items):
    done = []
    executor.map_blocks(unit, items, on_done=lambda item, receipt: done.append((item, receipt)))
    return done


@pytest.fixture(scope="module")
def local():
    with make_executor("local", n_workers=2, block_timeout_s=60) as executor:
        yield executor


@pytest.fixture(params=["serial", "local"])
def executor(request):
    if request.param == "serial":
        yield SerialExecutor()
    else:
        yield request.getfixturevalue("local")


def test_every_item_is_done_exactly_once_with_its_receipt(executor):
    done = collect(executor, square, list(range(30)))
    assert sorted(item for item, _ in done) == list(range(30))
    assert all(receipt == {"item": item, "square": item * item, "bounds": [item, item + 1]} for item, receipt in done)


def test_no_items_is_no_work(executor):
    assert collect(executor, square, []) == []


def test_an_exception_names_its_block_and_keeps_its_message(executor):
    with pytest.raises(ComputeError, match=r"block 3: ZeroDivisionError: the third of its kind"):
        collect(executor, fails_at_three, list(range(8)))
    assert len(collect(executor, square, [1, 2])) == 2, "the executor works on after a failed map"


def test_an_error_of_the_house_arrives_as_it_is(executor):
    with pytest.raises(InputRefused) as caught:
        collect(executor, refuses, [7])
    assert caught.value.problems == ("row 7", "another")


def test_a_receipt_that_json_cannot_hold_is_an_error(executor):
    with pytest.raises(ComputeError, match="block 7: TypeError"):
        collect(executor, returns_a_set, [7])


def test_an_error_of_the_caller_stops_the_map(executor):
    def stop(item, receipt):
        raise LookupError(item, receipt)

    with pytest.raises(LookupError):
        executor.map_blocks(square, [5], on_done=stop)


def test_a_worker_killed_in_mid_map_gives_the_right_answer(local, tmp_path):
    done = []

    def kill_first_worker(item, receipt):
        done.append((item, receipt))
        if len(done) == 3:
            victim = next(tmp_path.glob("pid-*")).name.removeprefix("pid-")
            os.kill(int(victim), signal.SIGKILL)

    local.map_blocks(partial(writes_file, str(tmp_path)), list(range(24)), on_done=kill_first_worker)
    assert sorted(done) == [(item, item * item) for item in range(24)]
    assert all((tmp_path / f"block-{item}").read_text() == str(item * item) for item in range(24))
    assert len(list(tmp_path.glob("pid-*"))) == 3, "the killed worker was replaced"


def test_a_block_that_kills_every_worker_is_named():
    with (
        make_executor("local", n_workers=1, block_timeout_s=60) as executor,
        pytest.raises(ComputeError, match="block 11"),
    ):
        collect(executor, kills_its_worker, [11])


def test_a_block_that_hangs_is_named_in_bounded_time():
    started = time.monotonic()
    with (
        make_executor("local", n_workers=1, block_timeout_s=2) as executor,
        pytest.raises(
            ComputeError,
            match=r"no block finished for 2 s; unfinished: block 30\. .* stand still: tcp://\S+ with block 30\.",
        ),
    ):
        collect(executor, sleeps, [30])
    assert time.monotonic() - started < 25


@contextmanager
def own_cluster(n_workers):
    """Give a cluster whose workers a test may end, and a client of it."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=50,
        ) as cluster,
        Client(cluster.scheduler_address, set_as_default=False) as client,
    ):
        yield cluster, client


def test_when_the_last_worker_is_gone_for_good_the_map_ends_long_before_the_block_timeout():
    with own_cluster(n_workers=2) as (cluster, client):
        executor = DaskExecutor(Workers(lambda: client), block_timeout_s=300, deserted_timeout_s=3)
        started = None

        def close_workers(_item, _receipt):
            nonlocal started
            if started is None:
                started = time.monotonic()
                cluster.scale(0)

        with pytest.raises(ComputeError, match=r"no worker has been left for 3 s; unfinished: .*what is done stays"):
            executor.map_blocks(sleeps, [0.1] + [0.5] * 40, on_done=close_workers)
        assert 3 <= time.monotonic() - started < 30


def test_a_map_waits_for_workers_that_start_again():
    with own_cluster(n_workers=1) as (cluster, client):
        executor = DaskExecutor(Workers(lambda: client), block_timeout_s=300, deserted_timeout_s=20)
        done = []

        def replace_worker(item, receipt):
            done.append((item, receipt))
            if len(done) == 1:
                cluster.scale(0)
                threading.Timer(4.0, cluster.scale, [1]).start()

        executor.map_blocks(square, list(range(6)), on_done=replace_worker)
        assert sorted(item for item, _ in done) == list(range(6))


@contextlib.contextmanager
def command_worker(tmp_path, limit):
    """A scheduler and a worker as their commands start them; yields the address."""
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    command = [sys.executable, "-m", "riskpipe", "worker", address, "--host", "127.0.0.1", "--memory-limit", str(limit)]
    paths = {"PYTHONPATH": PATHS}
    services = [
        Service("scheduler", scheduler_command("127.0.0.1", port), lambda: listens(port), tmp_path / "s.log", paths),
        Service("worker", command, log=tmp_path / "w.log", environment=paths),
    ]
    with running(services, timeout_s=60):
        yield address


@pytest.mark.parametrize("start", [lambda *_: contextlib.nullcontext("local"), command_worker])
def test_a_worker_beyond_its_memory_limit_is_replaced_and_one_within_it_is_let_alone(tmp_path, start):
    limit = 700_000_000
    with (tmp_path / "book").open("wb") as file:
        file.truncate(500_000_000)
    with (
        start(tmp_path, limit) as spec,
        make_executor(spec, n_workers=1, block_timeout_s=15, memory_limit_bytes=limit) as executor,
    ):
        within = {pid for _, pid in collect(executor, partial(keeps_a_file_mapped, str(tmp_path / "book")), [1, 2, 3])}
        assert len(within) == 1, "nearly nine tenths of the limit, most of it mapped: it neither dies nor pauses"
        [(_, other)] = collect(executor, partial(holds_too_much_once, str(tmp_path / "tried")), [4])
        assert other not in within


@contextlib.contextmanager
def separate_scheduler(tmp_path, environment=None):
    """A scheduler and one worker as processes of their own; yields (address, scheduler process)."""
    commands = Path(sys.executable).parent
    settings = {**os.environ, "PYTHONPATH": PATHS}
    address_file = tmp_path / "scheduler.json"
    scheduler = subprocess.Popen(
        [
            commands / "dask",
            "scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--no-dashboard",
            "--scheduler-file",
            address_file,
        ],
        env=settings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    worker = subprocess.Popen(
        [
            commands / "dask",
            "worker",
            "--scheduler-file",
            address_file,
            "--nthreads",
            "1",
            "--no-dashboard",
            "--no-nanny",
        ],
        env={**settings, **(environment or {})},
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        while not address_file.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        yield json.loads(address_file.read_text())["address"], scheduler
    finally:
        for process in (worker, scheduler):
            for child in psutil.Process(process.pid).children(recursive=True) if process.poll() is None else ():
                child.kill()
            process.kill()
            process.wait()


def test_the_schedulers_death_is_an_error_in_bounded_time(tmp_path):
    with separate_scheduler(tmp_path) as (address, scheduler):
        started = None
        with make_executor(address, block_timeout_s=60, start_timeout_s=60) as executor:

            def kill_scheduler(_item, _receipt):
                nonlocal started
                started = time.monotonic()
                scheduler.kill()

            with pytest.raises(ComputeError, match="scheduler"):
                executor.map_blocks(sleeps, [0.1] + [0.5] * 20, on_done=kill_scheduler)
            assert time.monotonic() - started < 10
        assert time.monotonic() - started < 40, "closing does not hang either"


def test_workers_that_would_give_other_bits_are_refused_before_any_block(tmp_path):
    with (
        separate_scheduler(tmp_path, {"NUMBA_CPU_NAME": "generic"}) as (address, _),
        pytest.raises(ComputeError, match="cpu_name: generic, not"),
        make_executor(address, start_timeout_s=60),
    ):
        pytest.fail("an executor was handed out")


def test_workers_with_another_version_of_a_library_are_refused_before_any_block(tmp_path):
    (tmp_path / "zarr-3.0.0.dist-info").mkdir()
    (tmp_path / "zarr-3.0.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: zarr\nVersion: 3.0.0\n")
    with (
        separate_scheduler(tmp_path, {"PYTHONPATH": os.pathsep.join([str(tmp_path), PATHS])}) as (address, _),
        pytest.raises(ComputeError, match=r"\(1 differences.*\n  - tcp://127.*: zarr: 3\.0\.0, not 3\.[1-9]"),
        make_executor(address, start_timeout_s=60),
    ):
        pytest.fail("an executor was handed out")


def test_a_worker_that_joins_later_is_checked_too(local, monkeypatch):
    monkeypatch.setitem(local._workers.identity, "sources", "0" * 64)
    with pytest.raises(ComputeError, match=r"block 1: its worker would give other bits: riskpipe sources"):
        collect(local, square, [1])


def profiled(dask_worker):
    return [name for name in dask_worker.periodic_callbacks if name.startswith("profile")]


def test_no_worker_is_profiled_whenever_it_joins(local):
    client = local._workers.client()
    assert set(map(tuple, client.run(profiled).values())) == {()}
    client.cluster.scale(3)
    client.wait_for_workers(3, timeout=60)
    assert len(found := client.run(profiled)) == 3
    assert not any(found.values())
    client.cluster.scale(2)


def test_a_cluster_class_by_dotted_name_runs_blocks():
    spec = {
        "class": "distributed.LocalCluster",
        "kwargs": {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", "silence_logs": 50},
    }
    with make_executor(spec, block_timeout_s=30) as executor:
        assert collect(executor, square, [4])[0][1]["square"] == 16


@pytest.mark.parametrize(
    "spec",
    [
        "locall",
        {"class": "os.path"},
        {"class": "no.such.Thing"},
        {"class": "collections.OrderedDict"},
        {"klass": "distributed.LocalCluster"},
    ],
)
def test_what_is_no_executor_is_a_config_error(spec):
    with pytest.raises(ConfigError, match="executor"), make_executor(spec):
        pytest.fail("an executor was handed out")


def test_no_scheduler_at_the_address_is_a_compute_error(monkeypatch):
    monkeypatch.setattr(clusters, "_CLIENT_TIMEOUT_S", 1.0)
    with pytest.raises(ComputeError, match="no scheduler answers at tcp://127"), make_executor("tcp://127.0.0.1:9"):
        pytest.fail("an executor was handed out")


def test_importing_compute_does_not_import_distributed():
    code = "import sys, riskpipe.compute; print(sorted({'distributed', 'dask', 'numba', 'numpy'} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
