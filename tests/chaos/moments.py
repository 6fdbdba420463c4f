"""Moments: when something happens to a night, drawn from a seed so that every part of a night has its turn."""

import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from chaos.processes import POLL_S
from chaos.results import TOO_LATE
from chaos.scene import N_BLOCKS

from riskpipe.cube.store import open_store

STAGES = (
    "ingest", "calibrate", "scenarios", "compute", "validate", "spreads", "exhaustion", "attribution",
    "accounts", "seal", "report",
)  # fmt: skip


def drawn(target: str, seed: int) -> Random:
    """Return the source of a seed's choices, other ones for each target."""
    return Random(f"{target} {seed}")  # noqa: S311  nothing here is secret


def wait_for_moment(
    random: Random, store: Path | str, seconds: float, is_over: Callable[[], bool], *, n_blocks: int = N_BLOCKS
) -> str:
    """Wait for a moment within a night that takes about `seconds`, and say which; returns early when it is over."""
    kind = random.choice(("time", "block", "block", "stage"))
    if kind == "time":
        delay = random.uniform(0.0, 1.1 * seconds)
        _wait(lambda: False, is_over, longest=delay)
        return _told(f"after {delay:.2f} s", is_over)
    delay = random.uniform(0.0, 0.4)
    if kind == "block":
        n = random.randrange(n_blocks)
        _wait(lambda: n == 0 or _marks(store, "block-") >= n, is_over, look_s=_look_s(store))
        what = f"{delay:.2f} s after block mark {n}" if n else f"{delay:.2f} s after the start"
    else:
        stage = random.choice(STAGES)
        _wait(lambda: _marks(store, f"stage-{stage}.") > 0, is_over, look_s=_look_s(store))
        what = f"{delay:.2f} s after stage {stage}"
    _wait(lambda: False, is_over, longest=delay)
    return _told(what, is_over)


def _told(what: str, is_over: Callable[[], bool]) -> str:
    return f"{what}, when {TOO_LATE}" if is_over() else what


def _marks(store: Path | str, start: str) -> int:
    """Count the marks of a store's runs, a folder or a location, whose names start so."""
    if isinstance(store, Path):
        return sum(1 for _ in store.glob(f"runs/*/marks/{start}*json"))
    return sum(f"/marks/{start}" in key for key in open_store(store).list("runs"))


def _look_s(store: Path | str) -> float:
    return POLL_S if isinstance(store, Path) else 10 * POLL_S  # a server has other things to do, too


def _wait(
    has_come: Callable[[], bool],
    is_over: Callable[[], bool],
    longest: float = float("inf"),
    look_s: float = POLL_S,
) -> None:
    deadline = time.monotonic() + longest
    while not has_come() and not is_over() and time.monotonic() < deadline:
        time.sleep(look_s)
