"""Races: many publications under many kills while others read, and two writers for one pointer."""

import json
import uuid
from pathlib import Path
from random import Random

from chaos.failure import Failure
from chaos.laws import right
from chaos.moments import drawn
from chaos.processes import Command, Processes
from chaos.scene import LONGEST_S, Scene
from chaos.shared import shared
from support.s3 import SeaweedFS, environment_of

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
    command = processes.start(
        "race", "-m", "chaos.pointer_race", store, random.randrange(1 << 30), n_races, **environment
    )
    ended = command.wait(LONGEST_S)
    if ended.code:
        raise Failure(f"writers of {store}:\n{ended.output[-3000:]}")
    return int(ended.output.split()[-1])
