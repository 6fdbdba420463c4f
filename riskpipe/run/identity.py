"""Identity: what makes two runs the same run.

The run key is the hash of everything that can change a number: the snapshot's files, the history rows read, the
resolved configuration, the package's sources and the cube's format. Where things lie and who computes them is left out.
"""

import platform
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any

from riskpipe import __version__
from riskpipe.calibrate.history import HistoryRows
from riskpipe.compute.units import library_versions
from riskpipe.config import RunConfig
from riskpipe.cube.digest import canonical_json, sha256
from riskpipe.domain.instant import format_as_of
from riskpipe.domain.schema import CUBE_FORMAT_VERSION
from riskpipe.domain.snapshot import Snapshot
from riskpipe.numerics import source_hash


@dataclass(frozen=True)
class Identity:
    """A run's name and what it was made from."""

    as_of: datetime
    run_key: str
    inputs: dict[str, Any]

    @property
    def run_id(self) -> str:
        """Name of the run's directory: the instant and the first 16 digits of the key."""
        return f"{format_as_of(self.as_of)}-{self.run_key[:16]}"


def identify(config: RunConfig, snapshots: tuple[Snapshot, ...], history: HistoryRows | None) -> Identity:
    """Return the identity of a run on these inputs."""
    inputs: dict[str, Any] = {
        "snapshots": [dict(sorted(snapshot.file_hashes.items())) for snapshot in snapshots],
        "history": None if history is None else history.content_hash,
        "config": config.keyed(),
        "source": source_hash(),
        "format_version": CUBE_FORMAT_VERSION,
    }
    return Identity(snapshots[0].as_of, sha256(canonical_json(inputs)), inputs)


def versions() -> dict[str, str]:
    """Return the versions of Python, riskpipe and the libraries whose bits matter."""
    compiling = {name: version(name) for name in ("numba", "numpy")}
    return {"python": platform.python_version(), "riskpipe": __version__, **compiling, **library_versions()}
