"""Replay: what a complete run computed, rebuilt from what it keeps, for the scenarios asked for only.

A run keeps its book, market, rules and scenarios, so that the same sources under the same numerics give the same bits.
Others agree to 1e-9, and say so.
"""

from collections.abc import Iterable

import numpy as np

from riskpipe.config import read_as_of
from riskpipe.cube.layout import cube_prefix
from riskpipe.cube.rows import read_rows
from riskpipe.cube.store import open_store
from riskpipe.domain.book import OffsetArray
from riskpipe.errors import ComputeError
from riskpipe.liquidation.kernel import Kernel
from riskpipe.run.block import block_values
from riskpipe.run.finished import FinishedRun, open_published

TOLERANCE = 1e-9


class Replay(FinishedRun):
    """A complete run with its inputs as its blocks saw them, what it keeps, and what it computes again."""

    def kept(self, keys: Iterable[str], row: int) -> dict[str, np.ndarray]:
        """Read one scenario's (or account's) row of the run's cube, by key."""
        return read_rows(self.store, cube_prefix(self.run_id), keys, row)

    def compute(self, rows: OffsetArray) -> dict[str, np.ndarray]:
        """Compute some scenarios as a block does, every per-block variable by key [row, ...].

        Raises ComputeError where they are not what the run keeps.
        """
        values, _ = block_values(Kernel(self.book, self.market, self.rules), self.scenarios.take(rows))
        for n, row in enumerate(rows.tolist()):
            found = {key: array[n] for key, array in values.items()}
            self.require_equal(row, found, self.kept(found, row))
        return values

    def require_equal(self, row: int, found: dict[str, np.ndarray], kept: dict[str, np.ndarray]) -> None:
        """Raise ComputeError where arrays of a scenario, by key, are not what the run has `kept`: bit for bit, or to
        1e-9 of the largest number of their variable where sources or numerics are others.
        """  # noqa: D205
        problems = []
        for key, mine in found.items():
            theirs = kept[key]
            if np.array_equal(mine, theirs, equal_nan=True):
                continue
            scale = float(np.nanmax(np.abs(theirs), initial=0.0))
            is_close = np.allclose(mine, theirs, rtol=TOLERANCE, atol=TOLERANCE * scale, equal_nan=True)
            if not self.differs_by or not is_close:
                problems.append(f"{key}: off by {float(np.nanmax(np.abs(mine - theirs), initial=0.0)):.3g}")
        if problems:
            because = f" The replay has {', '.join(self.differs_by)}." if self.differs_by else ""
            raise ComputeError(
                f"scenario {row} of run {self.run_id} cannot be replayed: {'; '.join(problems)}.{because} Nothing is "
                "told of it. Install the version that made the run (its report names it), or verify the run"
            )


def open_replay(store_uri: str, as_of: str | None = None, book: str = "") -> Replay:
    """Open a published run for replay; see `open_finished`. ConfigError for an instant that is none."""
    store = open_store(store_uri, must_exist=True)
    return Replay.of(open_published(store, None if as_of is None else read_as_of(as_of), book))
