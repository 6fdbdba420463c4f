"""Kills: a process of a running night, or of a flow, ends by `kill -9`; the same command makes it whole again."""

import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from chaos.laws import COMPUTE, no_false_success, nothing_or_right, right
from chaos.moments import drawn, wait_for_moment
from chaos.orchestration import shared_server
from chaos.processes import Cluster, Command, Processes, kill_computing_process, wait_until
from chaos.results import TOO_LATE
from chaos.scene import LONGEST_S, Scene

LEFT_OVER_S = 60.0
SOON = {"RISKPIPE_FLOW_BACK_OFF_SECONDS": "1"}


def _against_a_cluster(
    scene: Scene, random: Random, folder: Path, kill: Callable[[Cluster], str], mend: Callable[[Cluster], None]
) -> str:
    """Start a night or a flow on a cluster, kill some of that at a drawn moment, see how it ends, mend for a rerun.

    What Prefect's server says of a flow must be how it ended.
    """
    module = random.choice(("riskpipe", "flows"))
    prefect = shared_server(scene) if module == "flows" else None
    with Processes(folder, **(SOON | prefect.environment if prefect else {})) as processes:
        cluster = Cluster(processes)
        store = processes.folder / "store"
        config = scene.config(processes.folder, store, executor=cluster.address)
        command = ("-m", module, *(("nightly", "--config") if prefect else ("run",)), config)
        earlier = prefect.new_runs() if prefect else {}
        night = processes.start(module, *command)
        moment = wait_for_moment(random, store, scene.seconds * (2.0 if prefect else 1.0), lambda: night.is_over)
        killed = kill(cluster)
        ended = night.wait(LONGEST_S * (2 if prefect else 1))  # a flow tries thrice
        no_false_success(scene, store, ended, COMPUTE, is_traced=prefect is not None)
        if prefect:
            prefect.agrees(earlier, ended)
        if ended.code:
            mend(cluster)
            processes.start(module, *command).succeeds(LONGEST_S)
            right(scene, store)
    return f"{module}, killed {moment}: {killed}; exit {ended.code}"


def _nothing(_cluster: Cluster) -> None:
    """Mend nothing: what a rerun needs is there."""


def worker(scene: Scene, seed: int, folder: Path) -> str:
    """One of two workers dies: its process, which the nanny starts again, or nanny and process for good."""
    random = drawn("worker", seed)

    def kill(cluster: Cluster) -> str:
        victim = random.choice(cluster.workers)
        if random.random() < 0.5:
            victim.kill_all()
            return "worker"
        return "its process" if kill_computing_process(victim) else f"no process of a worker ({TOO_LATE})"

    return _against_a_cluster(scene, random, folder, kill, _nothing)


def workers(scene: Scene, seed: int, folder: Path) -> str:
    """All workers die for good; new ones come after a while."""
    random = drawn("workers", seed)

    def kill(cluster: Cluster) -> str:
        for victim in list(cluster.workers):
            victim.kill_all()
        pause = random.uniform(0.0, 4.0)
        time.sleep(pause)
        cluster.start_worker()
        cluster.start_worker()
        return f"new ones after {pause:.1f} s"

    return _against_a_cluster(scene, random, folder, kill, _nothing)


def scheduler(scene: Scene, seed: int, folder: Path) -> str:
    """The scheduler dies, and workers end without it; others come at once, or when the night has failed."""
    random = drawn("scheduler", seed)
    is_quick = False

    def kill(cluster: Cluster) -> str:
        nonlocal is_quick
        cluster.scheduler.kill()
        is_quick = random.random() < 0.5
        if is_quick:
            _replace(cluster)
        return f"another {'at once' if is_quick else 'afterwards'}"

    def mend(cluster: Cluster) -> None:
        if not is_quick:
            _replace(cluster)

    return _against_a_cluster(scene, random, folder, kill, mend)


def _replace(cluster: Cluster) -> None:
    """Start another scheduler on the port, and other workers."""
    cluster.start_scheduler()
    cluster.replace_workers()


def run(scene: Scene, seed: int, folder: Path) -> str:
    """The command's own process dies, with its local workers or without any; it leaves no process behind."""
    random = drawn("run", seed)
    executor = random.choice(("serial", "local"))
    n_kills = random.choice((1, 1, 2))
    with Processes(folder) as processes:
        config = scene.config(folder, folder / "store", executor=executor, n_workers=2)
        killed, moments = [], []
        for _ in range(n_kills):
            night = processes.riskpipe("run", config)
            moments.append(_wait(random, scene, night, folder / "store"))
            night.kill()
            killed.append(night)
            nothing_or_right(scene, folder / "store")
        processes.riskpipe("run", config).succeeds(LONGEST_S)
        right(scene, folder / "store")
        wait_until(
            lambda: not any(night.members() for night in killed),
            timeout=LEFT_OVER_S,
            what="workers of a killed command end by themselves",
        )
    return f"{executor}, killed {' and '.join(moments)}"


def _wait(random: Random, scene: Scene, night: Command, store: Path) -> str:
    return wait_for_moment(random, store, scene.seconds, lambda: night.is_over)
