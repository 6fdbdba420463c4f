"""Units of work: one block run where it is, and what must be equal between the processes of one run."""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from riskpipe.errors import ComputeError, RiskpipeError
from riskpipe.numerics import Fingerprint, library_versions, numerics_fingerprint, source_hash

Item = TypeVar("Item")
Receipt = Any


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
