"""Races: many publications under many kills while others read, and two writers for one pointer."""

import json
import multiprocessing
import sys
import uuid
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from random import Random

from chaos.failure import Failure
from chaos.laws import right
from chaos.moments import drawn
from chaos.processes import Command, Processes
from chaos.publisher import run_id_of
from chaos.scene import LONGEST_S, Scene
from chaos.shared import shared
from support.cube_runs import AS_OF, finished_run
from support.s3 import SeaweedFS, environment_of

from riskpipe.cube.catalogue import pointer_of, publish
from riskpipe.cube.store import open_store
from riskpipe.errors import StoreError

N_PUBLICATIONS, N_KILLS = 200, 50
N_RACES = 20


def readers(_scene: Scene | None, seed: int, folder: Path, size: tuple[int, int] = (N_PUBLICATIONS, N_KILLS)) -> str:
    """Two processes read all the time, while one that publishes is killed again and again: no torn read."""
    with Processes(folder) as processes:
        ended = processes.start("readers", "-m", "chaos.publisher", folder / "store", seed, *size).wait(LONGEST_S * 2)
        if ended.code:
            raise Failure(ended.output[-3000:])
    found = json.loads(ended.output.splitlines()[-1])
    if not found["reads"]:
        raise Failure("nobody read anything")
    return f"{found['published']} publications, {found['kills']} kills, {found['reads']} reads of whole cubes"


def writers(scene: Scene, seed: int, folder: Path, n_races: int = N_RACES) -> str:
    """Two writers race for one pointer, in a folder and in a bucket; and two commands run one night at once."""
    random = drawn("writers", seed)
    with Processes(folder) as processes:
        in_folder = _race(processes, folder / "pointers", random, n_races)
        server = shared("seaweedfs", SeaweedFS)
        place = f"s3://{server.make_bucket()}/{uuid.uuid4().hex}"
        in_bucket = _race(processes, place, random, n_races, **environment_of(server.endpoint, cache=folder / "cache"))
        config = scene.config(folder, folder / "store", executor=random.choice(("serial", "local")), n_workers=1)
        both = [processes.riskpipe("run", config) for _ in range(2)]
        codes = [_ends_well(scene, folder / "store", command) for command in both]
    return f"{n_races} races in a folder ({in_folder} won by the first), as many in a bucket ({in_bucket}); {codes}"


def _ends_well(scene: Scene, store: Path, command: Command) -> str:
    ended = command.succeeds(LONGEST_S)
    right(scene, store)
    return f"night done in {ended.seconds:.0f} s"


def _race(processes: Processes, store: Path | str, random: Random, n_races: int, **environment: str) -> int:
    command = processes.start("race", "-m", "chaos.races", store, random.randrange(1 << 30), n_races, **environment)
    ended = command.wait(LONGEST_S)
    if ended.code:
        raise Failure(f"writers of {store}:\n{ended.output[-3000:]}")
    return int(ended.output.split()[-1])


def race(store_uri: str, seed: int, n_races: int) -> int:
    """Let two processes publish different runs where a third stands; returns how often the first of them won."""
    store, random, wins = open_store(store_uri), drawn("race", seed), 0
    for number in range(3):
        finished_run(store, run_id_of(number), block_size=27, seed=number)  # one block: the race is for its pointer
    publish(store, run_id_of(0), AS_OF)
    processes = multiprocessing.get_context("spawn")  # the client of an object store survives no fork
    start = processes.Barrier(2)
    pipes = [processes.Pipe() for _ in range(2)]
    children = [processes.Process(target=_write, args=(store_uri, theirs, start), daemon=True) for _, theirs in pipes]
    for child in children:
        child.start()
    for _ in range(n_races):
        standing = pointer_of(store, AS_OF)
        numbers = [number for number in range(3) if run_id_of(number) != standing.run_id]
        random.shuffle(numbers)
        for (mine, _), number in zip(pipes, numbers, strict=True):
            mine.send((number, standing))
        won = [_answer(mine) for mine, _ in pipes]
        if sorted(won) != [False, True]:
            raise Failure(f"of two writers exactly one must win and the other must say so; they say {won}")
        winner = run_id_of(numbers[won.index(True)])
        if pointer_of(store, AS_OF).run_id != winner:
            raise Failure(f"{winner} won, but the pointer names {pointer_of(store, AS_OF).run_id}")
        wins += won[0]
    for (mine, _), child in zip(pipes, children, strict=True):
        mine.send(None)
        child.join()
    return wins


def _answer(pipe: Connection) -> bool:
    if not pipe.poll(LONGEST_S):
        raise Failure("a writer does not answer")
    return pipe.recv()


def _write(store_uri: str, pipe: Connection, start: Barrier) -> None:
    """Publish what is asked for, at the same moment as the other writer; answer whether it was published."""
    store = open_store(store_uri)
    while (asked := pipe.recv()) is not None:
        number, standing = asked
        start.wait()
        try:
            publish(store, run_id_of(number), AS_OF, expected=standing)
            pipe.send(True)
        except StoreError as error:
            if "was not published" not in str(error):
                raise
            pipe.send(False)


if __name__ == "__main__":
    sys.stdout.write(f"{race(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))}\n")
