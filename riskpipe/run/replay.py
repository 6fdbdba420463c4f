"""Replay: what a complete run computed, rebuilt from what it keeps, for the scenarios asked for only.

A run keeps its book, market, rules and scenarios, so that the same sources under the same numerics give the same bits.
Others agree to 1e-9, and say so.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from riskpipe.config import read_as_of
from riskpipe.cube.books import open_book
from riskpipe.cube.catalogue import pointer_of
from riskpipe.cube.digest import sha256
from riskpipe.cube.layout import cube_prefix, plan_key
from riskpipe.cube.manifest import read_manifest
from riskpipe.cube.rows import read_rows
from riskpipe.cube.store import Store, open_store
from riskpipe.domain.book import Book, OffsetArray
from riskpipe.domain.market import Market
from riskpipe.domain.rules import Rules
from riskpipe.domain.scenarios import ScenarioSet
from riskpipe.errors import ComputeError, StoreError, VerifyError
from riskpipe.liquidation.kernel import Kernel
from riskpipe.numerics import numerics_fingerprint, source_hash
from riskpipe.run.block import block_values
from riskpipe.run.inputs import read_market, read_scenarios, rules_from_json
from riskpipe.run.plan import read_plan

TOLERANCE = 1e-9


@dataclass(frozen=True)
class Replay:
    """A complete run with its inputs as its blocks saw them; the book is mapped."""

    store: Store = field(repr=False)
    run_id: str
    plan: dict[str, Any] = field(repr=False)
    book: Book = field(repr=False)
    market: Market = field(repr=False)
    rules: Rules = field(repr=False)
    scenarios: ScenarioSet = field(repr=False)
    differs_by: tuple[str, ...]
    """Why bits need not be the run's own: other sources, other numerics; empty = they must be."""

    def kept(self, keys: Iterable[str], row: int) -> dict[str, np.ndarray]:
        """Read one scenario's (or account's) row of the run's cube, by key."""
        return read_rows(self.store, cube_prefix(self.run_id), keys, row)

    def compute(self, rows: OffsetArray) -> dict[str, np.ndarray]:
        """Compute some scenarios as a block does, every per-block variable by key [row, ...].

        Raises ComputeError where they are not what the run keeps.
        """
        values, _ = block_values(Kernel(self.book, self.market, self.rules), self.scenarios.take(rows))
        for n, row in enumerate(rows.tolist()):
            self.require_equal(row, {key: array[n] for key, array in values.items()})
        return values

    def require_equal(self, row: int, found: dict[str, np.ndarray]) -> None:
        """Raise ComputeError where arrays of a scenario, by key, are not what the run keeps: bit for bit, or to 1e-9
        of the largest number of their variable where sources or numerics are others.
        """  # noqa: D205
        kept, problems = self.kept(found, row), []
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
    """Open a published run for replay.

    Raises
    ------
    StoreError: where there is no such night, ConfigError for an instant that is none, VerifyError where the plan is not
    the one that was sealed.
    """
    store = open_store(store_uri, must_exist=True)
    pointer = pointer_of(store, None if as_of is None else read_as_of(as_of), book)
    run_id = pointer.run_id
    manifest = read_manifest(store, run_id, pointer.manifest_sha256)
    if sha256(store.read(plan_key(run_id))) != manifest["plan_sha256"]:
        raise VerifyError(f"run {run_id}: plan.json is not the one that was sealed. Run verify on {run_id}")
    plan = read_plan(store, run_id)
    differs = []
    if manifest["about"]["input_hashes"]["source"] != source_hash():
        differs.append("other sources than the run")
    if manifest["fingerprint"] != numerics_fingerprint().sha:
        differs.append("another numerics fingerprint than the run")
    try:
        inputs = read_market(store, run_id), rules_from_json(plan["rules"]), read_scenarios(store, run_id, plan)
    except (KeyError, TypeError) as error:
        raise StoreError(
            f"run {run_id} was made by a version whose inputs this one does not read ({error}): use that version"
        ) from error
    return Replay(store, run_id, plan, open_book(store, plan["book_sha256"]), *inputs, tuple(differs))
