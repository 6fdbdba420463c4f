"""Marks: a small file that says a block is done, and one record for each try, whoever made it."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from riskpipe.cube.digest import canonical_json
from riskpipe.cube.layout import mark_key, run_prefix
from riskpipe.cube.parallel import map_objects
from riskpipe.cube.protocol import Store
from riskpipe.errors import StoreError


@dataclass(frozen=True)
class Mark:
    """A block that is written, read back and compared."""

    block: int
    start: int
    stop: int
    sha256: str
    """Of the block's decoded arrays."""
    part_sha256: str
    """Of the decoded columns of its account part."""
    fingerprint: str
    """Numerics fingerprint (short) of the process that computed it."""


def write_mark(store: Store, run_id: str, mark: Mark) -> None:
    """Mark a block as done. Call it last: whoever resumes the run trusts it."""
    store.write(mark_key(run_id, mark.block), canonical_json(asdict(mark)))


def read_marks(store: Store, run_id: str) -> dict[int, Mark]:
    """Read all marks of a run by block number; StoreError when one cannot be read or stands under a wrong name."""
    marks = {}
    prefix = f"{run_prefix(run_id)}/marks"
    keys = [f"{prefix}/{name}" for name in store.children(prefix) if name.startswith("block-")]
    for key, data in zip(keys, map_objects(store.read, keys), strict=True):
        mark = _parsed(store, key, data)
        if mark_key(run_id, mark.block) != key:
            raise StoreError(f"{store.uri}/{key} speaks of block {mark.block}")
        marks[mark.block] = mark
    return marks


def read_mark(store: Store, run_id: str, block: int) -> Mark:
    """Read the mark of a block that is done; StoreError when there is none."""
    key = mark_key(run_id, block)
    return _parsed(store, key, store.read(key))


def _parsed(store: Store, key: str, data: bytes) -> Mark:
    try:
        return Mark(**json.loads(data))
    except (ValueError, TypeError) as error:
        raise StoreError(
            f"{store.uri}/{key} is not a done-mark: {error}. Delete it to compute its block again"
        ) from error


def record_attempt(store: Store, run_id: str, block: int, about: Mapping[str, Any]) -> str:
    """Record one try of a block (times, host, process, seconds) and return its key. Never part of the manifest."""
    key = f"{run_prefix(run_id)}/attempts/block-{block:05d}-{uuid.uuid4().hex}.json"
    store.write(key, canonical_json({"block": block, **about}))
    return key


def read_attempts(store: Store, run_id: str) -> list[dict[str, Any]]:
    """Read the records of all tries, by block."""
    prefix = f"{run_prefix(run_id)}/attempts"
    return [
        json.loads(data) for data in map_objects(store.read, [f"{prefix}/{name}" for name in store.children(prefix)])
    ]
