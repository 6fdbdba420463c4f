"""Moments: when something happens to a night, drawn from a seed so that every part of a night has its turn."""

import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from chaos.processes import POLL_S
from chaos.results import TOO_LATE
from chaos.scene import N_BLOCKS

STAGES = (
    "ingest", "calibrate", "scenarios", "compute", "validate", "spreads", "exhaustion", "attribution",
    "accounts", "seal", "report",
)  # fmt: skip


def drawn(target: str, seed: int) -> Random:
    """Return the source of a seed's choices, other ones for each target."""
    return Random(f"{target} {seed}")  # noqa: S311  nothing here is secret


def wait_for_moment(random: Random, store: Path, seconds: float, is_over: Callable[[], bool]) -> str:
    """Wait for a moment within a night that takes about `seconds`, and say which; returns early when it is over."""
    kind = random.choice(("time", "block", "block", "stage"))
    if kind == "time":
        delay = random.uniform(0.0, 1.1 * seconds)
        _wait(lambda: False, is_over, longest=delay)
        return _told(f"after {delay:.2f} s", is_over)
    delay = random.uniform(0.0, 0.4)
    if kind == "block":
        n = random.randrange(N_BLOCKS)
        _wait(lambda: sum(1 for _ in store.glob("runs/*/marks/block-*.json")) >= n, is_over)
        what = f"{delay:.2f} s after block mark {n}" if n else f"{delay:.2f} s after the start"
    else:
        stage = random.choice(STAGES)
        _wait(lambda: any(store.glob(f"runs/*/marks/stage-{stage}.json")), is_over)
        what = f"{delay:.2f} s after stage {stage}"
    _wait(lambda: False, is_over, longest=delay)
    return _told(what, is_over)


def _told(what: str, is_over: Callable[[], bool]) -> str:
    return f"{what}, when {TOO_LATE}" if is_over() else what


def _wait(has_come: Callable[[], bool], is_over: Callable[[], bool], longest: float = float("inf")) -> None:
    deadline = time.monotonic() + longest
    while not has_come() and not is_over() and time.monotonic() < deadline:
        time.sleep(POLL_S)
