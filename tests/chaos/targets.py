"""Targets: everything that chaos does to a night, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chaos import clock, kills, media, orchestration, poison, races
from chaos.scene import Scene


@dataclass(frozen=True)
class Target:
    """Something that happens to a night."""

    run: Callable[[Scene, int, Path], str]
    """With the scene, a seed and an empty folder; returns what was done, raises Failure."""
    why_not: Callable[[], str | None] = lambda: None
    """Why it cannot be done on this machine."""


TARGETS = {
    "worker": Target(kills.worker),
    "workers": Target(kills.workers),
    "scheduler": Target(kills.scheduler),
    "run": Target(kills.run),
    "flow": Target(orchestration.flow),
    "server": Target(orchestration.server),
    "readers": Target(races.readers),
    "writers": Target(races.writers),
    "disk": Target(media.disk, media.why_no_disk),
    "s3": Target(media.s3),
    "truncated": Target(media.truncated),
    "chunk": Target(media.chunk),
    "clock": Target(clock.clock),
    "skew": Target(clock.skew, clock.why_no_faketime),
    "poison": Target(poison.poison),
}
