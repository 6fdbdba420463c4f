"""Maps that share a cluster: who overtakes, who is stopped, and clusters that follow their work."""

import os
import threading
import time

import numpy as np
import pytest

from riskpipe.compute import SerialExecutor, clusters, make_executor
from riskpipe.errors import ComputeError, ConfigError


def dawdles(item):
    time.sleep(0.05)
    return item


def n_given(dask_scheduler):
    """Blocks that each worker has been given."""
    return [len(worker.processing) for worker in dask_scheduler.workers.values()]


@pytest.fixture(scope="module")
def local():
    with make_executor("local", n_workers=1, block_timeout_s=60) as executor:
        yield executor


def test_blocks_of_a_higher_priority_start_before_the_rest_of_a_large_map(local):
    order, is_under_way = [], threading.Event()

    def on_done(item, _receipt):
        order.append(item)
        is_under_way.set()

    large = threading.Thread(target=local.map_blocks, args=(dawdles, list(range(60))), kwargs={"on_done": on_done})
    large.start()
    assert is_under_way.wait(30)
    local.with_priority(5).map_blocks(dawdles, ["urgent-a", "urgent-b"], on_done=on_done)
    seen = len(order)
    large.join(60)
    assert len(order) == 62
    assert seen < 40, f"the urgent map ended after {seen} of 62 blocks"


def test_a_stopped_executor_ends_its_maps_and_cancels_their_blocks():
    with make_executor("local", n_workers=1, block_timeout_s=60) as executor:
        threading.Timer(1.0, executor.with_priority(3).stop).start()
        begun = time.monotonic()
        with pytest.raises(ComputeError, match="stopped; unfinished"):
            executor.map_blocks(dawdles, list(range(1000)), on_done=lambda _item, _receipt: None)
        assert time.monotonic() - begun < 5


def test_no_block_waits_at_a_worker_where_it_would_be_blamed_for_the_workers_death(local):
    waiting = []

    def look(_item, _receipt):
        waiting.extend(local._workers.client().run_on_scheduler(n_given))

    local.map_blocks(dawdles, list(range(30)), on_done=look)
    assert max(waiting) == 1


def test_the_performance_report_is_a_page_about_the_blocks(local):
    kept = []
    with local.performance_report(kept.append):
        local.map_blocks(dawdles, [1, 2], on_done=lambda _item, _receipt: None)
    assert b"Dask Performance Report" in kept[0]


def works_slowly(item):
    """Return bits that depend on the order of sums, and who made them."""
    time.sleep(0.25)
    values = np.random.default_rng(item).normal(size=1000) * 10.0 ** np.arange(1000) ** 0.5
    return {"bits": float(np.cumsum(np.exp(values / values.max()))[-1]).hex(), "pid": os.getpid()}


def test_a_cluster_grows_with_its_work_and_gives_the_bits_of_one_process():
    kwargs = {"n_workers": 1, "threads_per_worker": 1, "silence_logs": 50}
    spec = {"class": "distributed.LocalCluster", "kwargs": kwargs, "adapt": {"minimum": 1, "maximum": 3}}
    seen, done, serial = [], {}, {}

    def on_done(item, receipt):
        done[item] = receipt
        seen.append(executor.n_workers)

    with make_executor(spec, block_timeout_s=60) as executor:
        executor.map_blocks(works_slowly, list(range(80)), on_done=on_done)
    SerialExecutor().map_blocks(works_slowly, [0, 41, 79], on_done=serial.__setitem__)
    assert seen[0] == 1
    assert 1 < max(seen) <= 3
    assert len({receipt["pid"] for receipt in done.values()}) > 1, "the new workers had their share"
    assert sorted(done) == list(range(80))
    assert {item: done[item]["bits"] for item in serial} == {item: serial[item]["bits"] for item in serial}


@pytest.mark.parametrize("adapt", [{"minimum": 0, "maximum": 2}, {"minimum": 3, "maximum": 2}, {"maximum": 2}])
def test_bounds_that_could_leave_no_worker_are_refused(adapt):
    with (
        pytest.raises(ConfigError, match="adapt"),
        make_executor({"class": "distributed.LocalCluster", "adapt": adapt}),
    ):
        pytest.fail("started")


def test_a_function_declared_to_return_a_cluster_is_as_good_as_a_class_and_no_other_function_is():
    import os

    import distributed

    assert clusters._makes_clusters(distributed.SSHCluster)
    assert clusters._makes_clusters(distributed.LocalCluster)
    assert not clusters._makes_clusters(os.system)
    assert not clusters._makes_clusters(distributed.Client)
