"""A process whose children publish and read small runs; it forks them, so that fifty cost no fifty imports.

    python -m chaos.publisher STORE SEED PUBLICATIONS KILLS

Kills children that publish, at random moments, while others read. Prints what happened as JSON; exits 1 on a torn read.
"""

import contextlib
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

from chaos.moments import drawn
from support.cube_runs import AS_OF, finished_run, run_id_of

from riskpipe.cube.catalogue import publish
from riskpipe.cube.digest import digest_arrays
from riskpipe.cube.layout import manifest_key
from riskpipe.cube.read import open_cube
from riskpipe.cube.store import open_store

N_RUNS = 3
"""Different complete runs of one night; each process that publishes writes one more, or one of them anew."""
N_READERS = 2


def publications(store_uri: str, seed: int, log: int) -> None:
    """Finish runs, where no one has, and publish one after the other until killed; a byte for each publication."""
    store, random = open_store(store_uri), drawn("publications", seed)
    while True:
        number = random.randrange(N_RUNS)
        if not store.exists(manifest_key(run_id_of(number))):
            finished_run(store, run_id_of(number), seed=number)
        publish(store, run_id_of(number), AS_OF)
        os.write(log, b".")


def reads(store_uri: str, stop: Path, log: int) -> None:
    """Read the published cube whole, again and again: a run's arrays must be those that its number makes."""
    store, seen = open_store(store_uri), {}
    while not stop.exists():
        tree = open_cube(store)
        arrays = {
            f"{node.path}/{name}": variable.values
            for node in tree.subtree
            for name, variable in node.to_dataset(inherit=False).data_vars.items()
        }
        found = digest_arrays({key: values for key, values in arrays.items() if values.dtype.kind == "f"})
        run_id = tree.attrs["run_id"]
        if seen.setdefault(run_id, found) != found:
            raise AssertionError(f"run {run_id} was read in two ways")
        os.write(log, b".")
    os.write(log, json.dumps(seen).encode())


def forked(work, *arguments) -> int:
    """Do some work in a child; returns its id."""
    child = os.fork()
    if child:
        return child
    try:
        work(*arguments)
        os._exit(0)
    except BaseException:  # noqa: BLE001  whatever it was, the parent must know
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def main() -> int:
    store_uri, seed, n_publications, n_kills = sys.argv[1], *map(int, sys.argv[2:])
    random, stop = drawn("kills", seed), Path(f"{store_uri}-stop")
    log, written = os.pipe()
    os.set_blocking(log, False)
    published = 0

    def count() -> int:
        nonlocal published
        with contextlib.suppress(BlockingIOError):
            published += len(os.read(log, 1 << 16))
        return published

    pid = forked(publications, store_uri, random.randrange(1 << 30), written)
    deadline = time.monotonic() + 120
    while count() < 1 and time.monotonic() < deadline:
        time.sleep(0.002)
    reader_logs = [Path(f"{store_uri}-reader-{number}") for number in range(N_READERS)]
    descriptors = [os.open(path, os.O_CREAT | os.O_WRONLY) for path in reader_logs]
    readers = [forked(reads, store_uri, stop, descriptor) for descriptor in descriptors]
    kills = 0
    while (count() < n_publications or kills < n_kills) and time.monotonic() < deadline:
        if kills < n_kills:
            until = time.monotonic() + random.uniform(0.0, 0.25)
            while time.monotonic() < until:
                time.sleep(0.001)
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            if os.WIFEXITED(status):
                sys.stdout.write("a publisher ended by itself\n")
                return 1
            kills += 1
            pid = forked(publications, store_uri, random.randrange(1 << 30), written)
        else:
            time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    stop.touch()
    codes = [os.waitstatus_to_exitcode(os.waitpid(reader, 0)[1]) for reader in readers]
    is_enough = published >= n_publications and kills >= n_kills
    texts = [path.read_bytes().decode() for path in reader_logs]
    n_reads = sum(len(text) - len(text.lstrip(".")) for text in texts)
    problems = [f"reader {number} ended with {code}" for number, code in enumerate(codes) if code]
    if not is_enough:
        problems.append(f"only {published} publications and {kills} kills in time")
    if not problems:
        seen = [json.loads(text.lstrip(".")) for text in texts]
        expected = _expected(f"{store_uri}-expected", set().union(*seen))
        problems += [f"run {name} was read torn" for by in seen for name in by if by[name] != expected[name]]
    found = {"published": published, "kills": kills, "reads": n_reads, "problems": problems}
    sys.stdout.write(f"{json.dumps(found)}\n")
    return 1 if problems else 0


def _expected(store_uri: str, run_ids: set[str]) -> dict[str, str]:
    """Read each run that was seen, written again in peace elsewhere."""
    store, found = open_store(store_uri), {}
    for run_id in sorted(run_ids):
        number = int(run_id.rpartition("-")[2], 16)
        finished_run(store, run_id, seed=number)
        tree = open_cube(store, run_id=run_id)
        arrays = {
            f"{node.path}/{name}": variable.values
            for node in tree.subtree
            for name, variable in node.to_dataset(inherit=False).data_vars.items()
        }
        found[run_id] = digest_arrays({key: values for key, values in arrays.items() if values.dtype.kind == "f"})
    return found


if __name__ == "__main__":
    sys.exit(main())
