"""Units of work: one block run where it is, and what must be equal between the processes of one run."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

from riskpipe.errors import ComputeError, RiskpipeError
from riskpipe.numerics import Fingerprint, numerics_fingerprint, source_hash

Item = TypeVar("Item")
Receipt = Any
LIBRARIES = ("arch", "dask", "distributed", "numcodecs", "pandas", "pyarrow", "scipy", "xarray", "zarr")
"""What else has a hand in what a run computes and stores, beside the fingerprint's own facts."""


def attempt(unit: Callable[[Item], Receipt], expected: Mapping[str, Any] | None, item: Item) -> Receipt:
    """Run one block where it is; `expected` is the identity a remote process must have."""
    if expected is not None and (problems := identity_problems(process_identity(), expected)):
        raise ComputeError(f"{block_name(item)}: its worker would give other bits: {'; '.join(problems)}")
    try:
        return json.loads(json.dumps(unit(item)))
    except RiskpipeError as error:
        error.add_note(f"in {block_name(item)}")
        raise
    except Exception as error:
        raise ComputeError(f"{block_name(item)}: {type(error).__name__}: {error}") from error


def process_identity() -> dict[str, Any]:
    """Return what must be equal between the processes of one run."""
    return {
        "sources": source_hash(),
        "facts": dict(numerics_fingerprint().facts),
        "libraries": dict(library_versions()),
    }


@cache
def library_versions() -> dict[str, str]:
    """Versions of `LIBRARIES`: equal between the processes of one run, and no part of the fingerprint.

    They decide which bytes are stored and how processes speak, and what is fitted, but not the bits of a block: a run
    that is resumed with newer ones keeps the blocks it has.
    """
    return {name: _version(name) for name in LIBRARIES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def identity_problems(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """List how a process differs from the one expected."""
    problems = [
        problem
        for part in ("facts", "libraries")
        for problem in Fingerprint.from_facts(found.get(part, {})).differences(Fingerprint.from_facts(expected[part]))
    ]
    if found["sources"] != expected["sources"]:
        problems.append(f"riskpipe sources: {found['sources'][:16]}, not {expected['sources'][:16]}")
    return problems


def block_name(item: object) -> str:
    """Name a block in a message: one that names itself is not called a block twice."""
    text = str(item)
    text = text if text.startswith("block ") else f"block {text}"
    return text if len(text) <= 200 else f"{text[:197]}..."
