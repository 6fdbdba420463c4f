"""Selection: which scenario and which account a person means."""

import difflib
import math
from dataclasses import fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from riskpipe.domain.book import Book
from riskpipe.domain.names import plain
from riskpipe.domain.scenarios import AXES, GRID, NEUTRAL, ScenarioSet, Variant
from riskpipe.errors import ConfigError
from riskpipe.strict_yaml import nearest

_VARIANT_KEYS = tuple(spec.name for spec in fields(Variant))
_N_LISTED, _N_COMPARED = 5, 20_000


def find_scenario(scenarios: ScenarioSet, text: str) -> int:
    """Return the scenario that a selection means: its number, or `key=value,key=value`.

    Keys are axes, `variant`, `set`, `name` and the keys of variants (`gap_share`, ...). What is not given is central
    for variants, then of the grid, then neutral; where several are left, that is an error which lists them.

    Raises ConfigError for what is no selection, selects nothing or several.
    """
    text = text.strip()
    n = len(scenarios)
    if text.lstrip("-").isdigit():
        row = int(text)
        if not 0 <= row < n:
            raise ConfigError(f"--scenario {row}: the run has scenarios 0 to {n - 1}")
        return row
    given = _parsed(text, scenarios)
    left = np.arange(n)
    for key, value in given.items():
        kept = left[_matches(scenarios, key, value)[left]]
        if not len(kept):
            raise ConfigError(f"--scenario: nothing has {key}={plain(value)}; {_known(scenarios, key, left)}")
        left = kept
    preferred = []
    if not set(given) & {"variant", *_VARIANT_KEYS}:
        preferred.append(scenarios.variant == 0)
    if "set" not in given:
        preferred.append(np.array([name == GRID for name in scenarios.sets], dtype=np.bool_)[scenarios.set_index])
    preferred += [_axis(scenarios, axis) == NEUTRAL.get(axis, 0.0) for axis in _axes(scenarios) if axis not in given]
    for is_preferred in preferred:
        if len(left) > 1 and is_preferred[left].any():
            left = left[is_preferred[left]]
    if len(left) > 1:
        listed = "".join(f"\n  - {row}: {scenario_words(scenarios, row)}" for row in left[:_N_LISTED].tolist())
        more = f"\n  - and {len(left) - _N_LISTED} more" if len(left) > _N_LISTED else ""
        raise ConfigError(
            f"--scenario {plain(text)} selects {len(left)} scenarios; give a number, or more of:{listed}{more}"
        )
    return int(left[0])


def scenario_words(scenarios: ScenarioSet, row: int) -> str:
    """Say which scenario a row is: its axes, then name, set and variant."""
    axes = ", ".join(f"{axis}={_axis(scenarios, axis)[row]:.6g}" for axis in _axes(scenarios))
    name = f", name={plain(str(scenarios.name[row]))}" if str(scenarios.name[row]) else ""
    variant = scenarios.variants[int(scenarios.variant[row])].label
    return f"{axes}{name}, set={scenarios.sets[int(scenarios.set_index[row])]}, variant={variant}"


def find_account(book: Book, name: str) -> int:
    """Return the account of this id. Raises ConfigError naming the nearest ids."""
    labels = book.labels["account"]
    text = name.encode()  # wrapped as it is: to convert it arrow would import pandas
    wanted = pa.StringArray.from_buffers(1, pa.py_buffer(np.array([0, len(text)], np.int32)), pa.py_buffer(text))
    row = pc.index(labels, wanted[0]).as_py()
    if row >= 0:
        return int(row)
    close = _nearest_names(labels, name)
    hint = f"; nearest: {', '.join(plain(one) for one in close)}" if close else ""
    raise ConfigError(f"--account: the book has no account {plain(name)!r} among {len(labels):,}{hint}")


def _nearest_names(labels: pa.StringArray, name: str) -> list[str]:
    """Return up to five ids like this one: of those that share its beginning, as long a one as any does."""
    shared: Any = labels.slice(0, 0)
    for length in range(len(name), -1, -1):
        shared = labels.filter(pc.starts_with(labels, name[:length], ignore_case=True))
        if len(shared):
            break
    return difflib.get_close_matches(name, shared.slice(0, _N_COMPARED).to_pylist(), n=_N_LISTED, cutoff=0.0)


def _axes(scenarios: ScenarioSet) -> list[str]:
    return [*AXES, "haircut_shock", *scenarios.own_axes]


def _axis(scenarios: ScenarioSet, axis: str) -> np.ndarray:
    return scenarios.on_axis(axis) if axis in scenarios.own_axes else np.asarray(getattr(scenarios, axis))


def _parsed(text: str, scenarios: ScenarioSet) -> dict[str, str]:
    """Read `key=value,...`; a variant's label may hold commas of its own."""
    known = [*_axes(scenarios), "set", "name", "variant", *_VARIANT_KEYS]
    given: dict[str, str] = {}
    last = ""
    for part in text.split(","):
        key, sign, value = (piece.strip() for piece in part.partition("="))
        if last in {"variant", "name"} and (key not in known or (last == "variant" and key in _VARIANT_KEYS)):
            given[last] += f",{part}"
            continue
        if not sign:
            raise ConfigError(f"--scenario: {plain(part)!r} is no number of a scenario and not key=value")
        if key not in known:
            raise ConfigError(f"--scenario: unknown key {plain(key)}{nearest(key, known)}")
        if key in given:
            raise ConfigError(f"--scenario: {key} is given twice")
        given[key], last = value, key
    return given


def _matches(scenarios: ScenarioSet, key: str, value: str) -> np.ndarray:
    if key in _VARIANT_KEYS:
        held = [_is_same(getattr(variant, key), value) for variant in scenarios.variants]
        return np.array(held, dtype=np.bool_)[scenarios.variant]
    if key == "variant":
        return np.array([one.label == value for one in scenarios.variants], dtype=np.bool_)[scenarios.variant]
    if key == "set":
        return np.array([one == value for one in scenarios.sets], dtype=np.bool_)[scenarios.set_index]
    if key == "name":
        return np.array([str(one) == value for one in scenarios.name], dtype=np.bool_)
    number = _number(value)
    if number is None:
        raise ConfigError(f"--scenario: {key}={plain(value)} is not a number")
    return np.asarray(np.abs(_axis(scenarios, key) - number) <= 1e-9 * max(1.0, abs(number)))


def _is_same(held: object, value: str) -> bool:
    number = _number(value)
    return held == (value if number is None else number)


def _number(value: str) -> float | None:
    """Read a number, `-20%` too; None for what is none."""
    try:
        number = float(value.removesuffix("%")) / (100.0 if value.endswith("%") else 1.0)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _known(scenarios: ScenarioSet, key: str, rows: np.ndarray) -> str:
    """Say which values a key has among some scenarios."""
    if key in _VARIANT_KEYS:
        values = [getattr(variant, key) for variant in scenarios.variants]
    elif key == "variant":
        values = [variant.label for variant in scenarios.variants]
    elif key in {"set", "name"}:
        of = scenarios.sets if key == "set" else [plain(str(name)) for name in np.unique(scenarios.name)]
        values = list(of)
    else:
        values = np.unique(_axis(scenarios, key)[rows]).tolist()
    shown = [f"{value:.6g}" if isinstance(value, float) else str(value) for value in dict.fromkeys(values)]
    return f"there are {', '.join(shown[:20])}{', ...' if len(shown) > 20 else ''}"
