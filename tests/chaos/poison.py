"""Poison: a block that raises, or kills its worker, every time it is tried ends the night within a minute, by name."""

import re
import time
from pathlib import Path

from chaos.failure import Failure
from chaos.laws import COMPUTE, STORE, is_published, right
from chaos.moments import drawn
from chaos.processes import Cluster, Processes, wait_until
from chaos.scene import LONGEST_S, N_BLOCKS, Scene

WITHIN_S = 60.0
DEADLY = """
import os, signal, sys

def end_at_block(event, arguments):
    if event == "open" and "attempts/.block-{block:05d}-" in str(arguments[0]):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(end_at_block)
"""
"""What workers load first: a block that they cannot survive, whichever of them begins it."""


def poison(scene: Scene, seed: int, folder: Path) -> str:
    """One block of a night on two workers raises in every try, or kills the process that tries it."""
    random = drawn("poison", seed)
    block, is_deadly = random.randrange(N_BLOCKS), random.random() < 0.5
    store = folder / "store"
    preload = None
    with Processes(folder) as processes:
        if is_deadly:
            preload = folder / "deadly.py"
            preload.write_text(DEADLY.format(block=block), encoding="utf-8")
        else:
            _plant(scene, processes, store, block)
        cluster = Cluster(processes, preload=preload)
        night = processes.riskpipe("run", scene.config(folder, store, executor=cluster.address))
        wait_until(
            lambda: night.is_over or any(store.glob("runs/*/attempts/*block-*")),
            timeout=LONGEST_S,
            what="the first block begins",
        )
        begun = time.monotonic()
        ended = night.wait(LONGEST_S)
        seconds = time.monotonic() - begun
        if ended.code not in {STORE, COMPUTE} or is_published(store):
            raise Failure(f"a poisoned night ended with {ended.code}\n{ended.output[-3000:]}")
        if not re.search(rf"\bblock {block}\b", ended.output):
            raise Failure(f"the error does not name block {block}\n{ended.output[-3000:]}")
        if seconds > WITHIN_S:
            raise Failure(f"it took {seconds:.0f} s from the first block to the end")
        _cure(cluster, store)
        processes.riskpipe("run", folder / "night.yaml").succeeds(LONGEST_S)
        right(scene, store)
    return f"block {block} {'kills' if is_deadly else 'raises'}; told after {seconds:.1f} s, exit {ended.code}"


def _plant(scene: Scene, processes: Processes, store: Path, block: int) -> None:
    """Put a folder where a block must write one of its chunks, in a night that is planned and not computed."""
    night = processes.riskpipe("run", scene.config(processes.folder, store))
    wait_until(
        lambda: night.is_over or any(store.glob("runs/*/marks/stage-scenarios.json")), timeout=LONGEST_S, what="a plan"
    )
    night.kill()
    for mark in store.glob("runs/*/marks/block-*.json"):
        mark.unlink()  # what the serial night began before it was killed
    (cube,) = store.glob("runs/*/cube.zarr")
    chunk = cube / "system" / "rounds" / "c" / str(block)
    chunk.unlink(missing_ok=True)
    chunk.mkdir(parents=True)


def _cure(cluster: Cluster, store: Path) -> None:
    """Take the poison away."""
    for chunk in store.glob("runs/*/cube.zarr/system/rounds/c/*"):
        if chunk.is_dir():
            chunk.rmdir()
    if cluster.preload is not None:
        cluster.preload = None
        cluster.replace_workers()
