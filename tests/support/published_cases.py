"""Published worked cases: a kind of case, how a case is replayed and compared, and the table of kinds for a page."""

import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SHARED = Path(__file__).parents[2].parent / "shared" / "cases"


@dataclass(frozen=True)
class Row:
    """One kind of case: the functions it goes through, what they find, and how a case is replayed."""

    functions: tuple[Callable, ...]
    what: str
    replay: Callable


def cases_in(folder):
    return json.loads((folder / "published_cases.json").read_text(encoding="utf-8"))


def literature_cases(*sections):
    """Cases of the collection from these sections of the literature, by id, as copies of them are kept."""
    found = {}
    for case in json.loads((SHARED / "literature.json").read_text(encoding="utf-8")):
        if case["id"].startswith(sections):
            own = {"kind": case["id"], "tolerance": {case["tolerance_kind"]: case["tolerance"]}}
            found[case["id"]] = {f: case[f] for f in ("id", "inputs", "expected", "source")} | own
    return found


def assert_as_published(table, case):
    found = table[case["kind"]].replay(case["inputs"])
    assert found.keys() == case["expected"].keys()
    assert case["tolerance"].keys() == {"abs"}
    assert not differing(found, case)


def case_table(table):
    """The kinds as Markdown, for the documentation."""
    lines = ["| case kind | public functions | what they find |", "|---|---|---|"]
    for kind, row in table.items():
        names = ", ".join(f"`{f.__module__.removeprefix('riskpipe.')}.{f.__qualname__}`" for f in row.functions)
        lines.append(f"| `{kind}` | {names} | {row.what} |")
    return "\n".join(lines) + "\n"


def is_close(found, expected, tolerance):
    if isinstance(expected, bool | str):
        return found is expected
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(is_close, found, expected, [tolerance] * len(found)))
    assert tolerance.keys() <= {"rel", "abs"}
    allowed = max(tolerance.get("abs", 0.0), tolerance.get("rel", 0.0) * abs(expected))
    return math.isfinite(found) and abs(found - expected) <= allowed


def differing(found, case):
    """What of a case is not found, in words."""
    return [
        f"{name}: {number}, not {expected}: {case['source']}"
        for name, expected in case["expected"].items()
        for number in (
            found[name] if isinstance(found[name], list) and not isinstance(expected, list) else [found[name]]
        )
        if not is_close(number, expected, case["tolerance"])
    ]


def uncalled(row, cases):
    """Functions that a row names but that replaying these cases does not call."""
    called = set()
    before = sys.getprofile()
    sys.setprofile(lambda frame, event, _: called.add(frame.f_code) if event == "call" else None)
    try:
        for case in cases:
            row.replay(case["inputs"])
    finally:
        sys.setprofile(before)
    return [function for function in row.functions if function.__code__ not in called]
