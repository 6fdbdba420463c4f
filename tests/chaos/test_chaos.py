"""One seed of everything that chaos does to a night; `make chaos` runs as many as asked for."""

import pytest
from chaos.laws import right
from chaos.processes import Processes
from chaos.races import readers, writers
from chaos.results import Result, Results
from chaos.scene import make_scene
from chaos.shared import close_shared
from chaos.targets import TARGETS

SEED = 1


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    yield make_scene(tmp_path_factory.mktemp("scene"))
    close_shared()


def disturbed(name, scene, folder):
    why = TARGETS[name].why_not()
    if why is not None:
        pytest.skip(why)
    TARGETS[name].run(scene, SEED, folder)


@pytest.mark.parametrize("name", ["worker", "workers", "scheduler", "run", "flow", "server", "poison"])
def test_a_night_whose_processes_die_is_right_or_not_there_and_a_rerun_makes_it_right(name, scene, tmp_path):
    disturbed(name, scene, tmp_path / name)


@pytest.mark.parametrize("name", ["s3", "truncated", "chunk", "clock"])
def test_a_medium_that_fails_is_named_and_nothing_is_lost(name, scene, tmp_path):
    disturbed(name, scene, tmp_path / name)


@pytest.mark.system
@pytest.mark.parametrize("name", ["disk", "skew"])
def test_a_machine_that_fails_is_named_and_nothing_is_lost(name, scene, tmp_path):
    disturbed(name, scene, tmp_path / name)


def test_of_two_writers_one_wins_and_the_other_says_so(scene, tmp_path):
    writers(scene, SEED, tmp_path / "writers", n_races=4)


def test_no_read_is_torn_while_publishers_are_killed(tmp_path):
    readers(None, SEED, tmp_path / "readers", size=(20, 5))


def test_what_passed_is_not_done_again_and_what_failed_or_had_other_sources_is(tmp_path):
    path = tmp_path / "results.jsonl"
    results = Results(path, "a")
    results.add(Result("run", 0, is_good=True, seconds=1.0, told=""))
    results.add(Result("run", 1, is_good=False, seconds=1.0, told="torn"))
    with path.open("a") as file:
        file.write('{"sources": "a", "target"')  # killed while it wrote
    assert Results(path, "a").passed() == {("run", 0)}
    assert [result.told for result in Results(path, "a").failed(["run"], range(9))] == ["torn"]
    assert Results(path, "b").passed() == set()


def test_a_law_that_a_store_breaks_is_a_failure(scene, tmp_path):
    store = scene.copy_of_clean(tmp_path)
    chunk = next(path for path in sorted(store.glob("runs/*/cube.zarr/system/rounds/c/*")))
    other = chunk.with_name("3")
    other.write_bytes(chunk.read_bytes())
    with pytest.raises(AssertionError, match=r"/system/rounds|verify finds"):
        right(scene, store)


def test_no_process_outlives_its_test(tmp_path):
    import psutil

    with Processes(tmp_path) as processes:
        command = processes.start("sleep", "-c", "import time; time.sleep(600)")
        pid = command.process.pid
        assert psutil.pid_exists(pid)
    assert not psutil.pid_exists(pid)
