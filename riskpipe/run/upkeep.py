"""Upkeep of a store, as the command line asks for it: what is there, whether it is whole, and what may go."""

from dataclasses import asdict, dataclass
from typing import Any

from riskpipe.cube.catalogue import Published, Run, read_catalogue, unpublished_runs
from riskpipe.cube.manifest import verify, verify_published
from riskpipe.cube.store import open_store
from riskpipe.cube.sweep import Sweep, sweep
from riskpipe.errors import StoreError


@dataclass(frozen=True)
class Listing:
    """What a store holds."""

    nights: tuple[Published, ...]
    others: tuple[Run, ...]
    """Runs that no pointer names."""
    problems: tuple[str, ...]
    """What stands among the pointers but is none."""

    def as_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "published": [{"book": night.book, **asdict(night.pointer)} for night in self.nights],
            "unpublished": [{"run_id": run.run_id, "is_complete": run.is_complete} for run in self.others],
            "problems": list(self.problems),
        }

    def as_text(self) -> str:
        """Lines for a person."""
        lines = [f"{night.pointer.as_of}  {night.book or '-':<12} {night.pointer.run_id}" for night in self.nights] + [
            f"not published      {'complete  ' if run.is_complete else 'unfinished'}   {run.run_id}"
            for run in self.others
        ]
        return "\n".join(lines or ["the store is empty"])


def list_store(uri: str) -> Listing:
    """List what is published in a store, and runs that are not; StoreError when there is no store."""
    store = open_store(uri, must_exist=True)
    catalogue = read_catalogue(store)
    others = tuple(unpublished_runs(store, catalogue))
    return Listing(catalogue.nights, others, tuple(catalogue.problems.values()))


def verify_store(uri: str, run_id: str | None = None) -> dict[str, list[str]]:
    """List every difference of a run from its manifest, by run id; without a run, of every published one.

    A torn pointer is a problem by its key. Raises StoreError when the run has no manifest, or nothing is published.
    """
    store = open_store(uri, must_exist=True)
    problems = verify_published(store) if run_id is None else {run_id: verify(store, run_id)}
    if not problems:
        raise StoreError(f"nothing is published in {uri}: name a run with --run-id")
    return {name: list(found) for name, found in problems.items()}


def sweep_store(uri: str, *, keep_days: int, month_ends_only: bool, is_dry_run: bool) -> Sweep:
    """Remove what a store no longer needs (`riskpipe.cube.sweep.sweep`); StoreError when there is no store."""
    store = open_store(uri, must_exist=True)
    return sweep(store, keep_days=keep_days, month_ends_only=month_ends_only, is_dry_run=is_dry_run)
