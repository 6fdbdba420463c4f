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
    "s3": Target(media.s3),
    "writers": Target(races.writers),
    "skew": Target(clock.skew, clock.why_no_faketime),
    "scheduler": Target(kills.scheduler),
    "workers": Target(kills.workers),
    "readers": Target(races.readers),
    "poison": Target(poison.poison),
    "flow": Target(orchestration.flow),
    "server": Target(orchestration.server),
    "clock": Target(clock.clock),
    "chunk": Target(media.chunk),
    "run": Target(kills.run),
    "worker": Target(kills.worker),
    "disk": Target(media.disk, media.why_no_disk),
    "truncated": Target(media.truncated),
}
"""The longest first: where several run side by side, they end together."""
