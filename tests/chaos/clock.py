"""Clock: the store's clock, or the machine's, tells another time than it should."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from chaos.failure import Failure
from chaos.laws import is_published, right
from chaos.media import surroundings
from chaos.moments import drawn, wait_for_moment
from chaos.processes import Processes
from chaos.scene import LONGEST_S, N_SCENARIOS, Scene
from support.s3 import Server, environment_of, free_port

from riskpipe.cube.store import open_store
from riskpipe.cube.sweep import sweep

DAYS = (-400.0, -2.0, -0.05, 0.05, 2.0, 400.0)
OTHER_TIME = """
import datetime, sys
import moto.core.utils as utils

real = utils.utcnow
utils.utcnow = lambda: real() + datetime.timedelta(days={days})
from moto.server import main

main(["-H", "127.0.0.1", "-p", "{port}"])
"""
"""An S3 server whose clock differs: every time that it tells comes from this one function."""


class OtherTime(Server):
    """moto's server under another time."""

    def __init__(self, days: float):
        port = free_port()
        super().__init__([sys.executable, "-c", OTHER_TIME.format(days=days, port=port)], port)


def clock(scene: Scene, seed: int, folder: Path) -> str:
    """A night on a store of another time is killed, swept and finished: the sweep takes nothing that is being made."""
    random = drawn("clock", seed)
    days = random.choice(DAYS)
    with OtherTime(days) as server:
        bucket = f"other-time-{seed}"
        if server.request("PUT", f"/{bucket}") != 200:
            raise Failure("no bucket")
        environment = environment_of(server.endpoint, cache=folder / "cache")
        uri = f"s3://{bucket}/nights"
        with Processes(folder, **environment) as processes, surroundings(environment):
            config = scene.config(folder, uri, block_size=N_SCENARIOS // 2)
            night = processes.riskpipe("run", config)
            moment = wait_for_moment(random, uri, 1.5 * scene.seconds, lambda: night.is_over, n_blocks=2)
            night.kill()
            _sweep(uri)
            processes.riskpipe("run", config).succeeds(LONGEST_S)
            right(scene, uri)
            _sweep(uri)
            right(scene, uri)
    return f"the store's clock {days:+g} days off, killed {moment}"


def _sweep(uri: str) -> None:
    taken = [removal.key for removal in sweep(open_store(uri), keep_days=1.0).removals]
    if taken:
        raise Failure(f"a sweep took what was just written: {taken}")


def why_no_faketime() -> str | None:
    """Say why no process can be given another time here; None where it can."""
    return None if shutil.which("faketime") else "another time for a process needs libfaketime (Debian: faketime)"


def skew(scene: Scene, seed: int, folder: Path) -> str:
    """The machine's clock jumps between two tries of one night, forth or back."""
    random = drawn("skew", seed)
    first, second = random.choice(DAYS), random.choice(DAYS)
    with Processes(folder) as processes:
        store = folder / "store"
        config = scene.config(folder, store)
        night = processes.riskpipe("run", config, **_shifted(first))
        moment = wait_for_moment(random, store, scene.seconds, lambda: night.is_over)
        night.kill()
        if is_published(store):
            right(scene, store)
        processes.riskpipe("run", config, **_shifted(second)).succeeds(LONGEST_S)
        right(scene, store)
    return f"{first:+g} days, killed {moment}, then {second:+g} days"


def _shifted(days: float) -> dict[str, str]:
    """Variables under which a process lives at another time, as the command `faketime` sets them.

    The last one keeps it from shifting what threads wait for by the monotonic clock: they would not wait at all, and a
    night would take three times the processor time.
    """
    command = [
        "faketime", "-f", f"{days:+.4f}d", sys.executable, "-c", "import os; print(os.environ['LD_PRELOAD'])",
    ]  # fmt: skip
    library = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ)).stdout.strip()
    return {
        "LD_PRELOAD": library,
        "FAKETIME": f"{days:+.4f}d",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",
    }
