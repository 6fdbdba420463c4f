"""Two processes that race for one pointer; it imports little, as each of both must.

    python -m chaos.pointer_race STORE SEED RACES

Prints how often the first of them won; fails where not exactly one of both won.
"""

import multiprocessing
import sys
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from random import Random

from chaos.failure import Failure
from support.cube_runs import AS_OF, finished_run, run_id_of

from riskpipe.cube.catalogue import pointer_of, publish
from riskpipe.cube.store import open_store
from riskpipe.errors import StoreError

PATIENCE_S = 150.0


def race(store_uri: str, seed: int, n_races: int) -> int:
    """Let two processes publish different runs where a third stands; returns how often the first of them won."""
    store, random, wins = open_store(store_uri), Random(f"race {seed}"), 0  # noqa: S311  nothing here is secret
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
    if not pipe.poll(PATIENCE_S):
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
