"""Where things lie in a store."""

import re
from datetime import datetime

from riskpipe.domain.instant import format_as_of
from riskpipe.errors import StoreError

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
MARKET, SCENARIOS = "market", "scenarios"
BLOCK_INPUTS = (MARKET, SCENARIOS)
"""Arrays that a run's blocks were computed from, besides the book; a replay reads them again."""


def run_prefix(run_id: str) -> str:
    """Folder of a run; StoreError when run_id is no plain name."""
    if not _NAME.fullmatch(run_id):
        raise StoreError(f"run id {run_id!r} is not made of letters, digits, dots, underscores and hyphens")
    return f"runs/{run_id}"


def cube_prefix(run_id: str) -> str:
    """Folder of a run's cube."""
    return f"{run_prefix(run_id)}/cube.zarr"


def plan_key(run_id: str) -> str:
    """Key of a run's plan, which is created first and exclusively."""
    return f"{run_prefix(run_id)}/plan.json"


def manifest_key(run_id: str) -> str:
    """Key of a run's manifest, without which the run does not exist for readers."""
    return f"{run_prefix(run_id)}/manifest.json"


def inputs_key(run_id: str, name: str) -> str:
    """Key of named arrays that a run's units of work read."""
    return f"{run_prefix(run_id)}/inputs/{name}.npz"


def part_key(run_id: str, block: int) -> str:
    """Key of a block's sparse account part."""
    return f"{run_prefix(run_id)}/parts/block-{block:05d}.parquet"


def mark_key(run_id: str, block: int) -> str:
    """Key of a block's done-mark."""
    return f"{run_prefix(run_id)}/marks/block-{block:05d}.json"


def book_prefix(sha: str) -> str:
    """Folder of an assembled book; StoreError when sha is not the hash of one."""
    if not re.fullmatch(r"[0-9a-f]{64}", sha):
        raise StoreError(f"book {sha!r} is not named by a SHA-256 (64 hexadecimal digits)")
    return f"books/{sha}"


def pointer_prefix(book: str) -> str:
    """Folder of a book's published nights; StoreError when the name could be mistaken for a path or a pointer."""
    if not book:
        return "published"
    if not _NAME.fullmatch(book) or book.endswith(".json"):
        raise StoreError(
            f"book name {book!r} must be made of letters, digits, dots, underscores and hyphens, must not start with a "
            "dot and must not end in .json"
        )
    return f"published/{book}"


def pointer_key(book: str, as_of: datetime) -> str:
    """Key of the pointer to a published night."""
    return f"{pointer_prefix(book)}/{format_as_of(as_of)}.json"


def acknowledgements_key(book: str, limit: str) -> str:
    """Key of what is acknowledged of a book's limit; StoreError when either name could be mistaken for a path."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", limit):
        raise StoreError(f"limit {limit!r} is not made of small letters, digits, underscores and hyphens")
    folder = pointer_prefix(book).removeprefix("published").strip("/")
    return f"acknowledgements/{folder}/{limit}.json" if folder else f"acknowledgements/{limit}.json"


def changes_key(run_id: str, since_run_id: str) -> str:
    """Key of what has changed from one run to another: outside both."""
    own, earlier = (run_prefix(name).removeprefix("runs/") for name in (run_id, since_run_id))
    return f"changes/{own}/since-{earlier}.json"


def engine_backtest_key(run_id: str, since_run_id: str) -> str:
    """Key of an earlier run's book held against the liquidations that a later one reports: outside both."""
    return f"backtests/{changes_key(run_id, since_run_id).partition('/')[2]}"
