"""A portfolio-margin model from plain values, as a venue file holds them.

Keys are the fields of `ScanModel` and of its parts, with two conveniences: an entry of `charges` says by the key
`charge` which it is (size, naked_short, expiry, delta, liquidity, confidence), and `grids` lists products of moves,
{group, price_moves: [...], vol_moves: [...]} and any other key of a cell, whose cells come before those of `cells`,
price moves outermost.
"""

import difflib
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from riskpipe.errors import ConfigError
from riskpipe.margin.scan_model import (
    Cell,
    Charge,
    ConfidenceCharge,
    DeltaCharge,
    ExpiryCharge,
    LiquidityCharge,
    NakedShortCharge,
    ScanModel,
    SizeCharge,
)

CHARGES: dict[str, type[Charge]] = {
    "size": SizeCharge,
    "naked_short": NakedShortCharge,
    "expiry": ExpiryCharge,
    "delta": DeltaCharge,
    "liquidity": LiquidityCharge,
    "confidence": ConfidenceCharge,
}


def scan_model(parameters: Mapping[str, Any]) -> ScanModel:
    """Return the model that plain values describe.

    Raises ConfigError listing every unknown key (with the nearest known one), missing key and value of a wrong type,
    each with its place, or what `ScanModel` itself refuses.
    """
    problems: list[str] = []
    rest = {key: value for key, value in parameters.items() if key not in {"grids", "cells"}}
    values = _fields(ScanModel, rest, "", problems)
    cells: list[Cell] = []
    for key in ("grids", "cells"):
        given = parameters.get(key, [])
        if not isinstance(given, list) or not all(isinstance(part, Mapping) for part in given):
            problems.append(f"{key}: expected a list of mappings, got {given!r}")
            continue
        for n, part in enumerate(given):
            where = f"{key}[{n}]"
            cells += _cells_of(part, where, problems) if key == "grids" else [_dataclass(Cell, part, where, problems)]
    if problems:
        listed = "".join(f"\n  - {problem}" for problem in problems)
        raise ConfigError(f"portfolio margin parameters: {len(problems)} problem(s){listed}")
    return ScanModel(**{**values, "cells": tuple(cells)})


def _cells_of(grid: Mapping[str, Any], where: str, problems: list[str]) -> list[Cell]:
    """Return the cells of a grid; what is wrong with every one of them is said once."""
    before = len(problems)
    if "price_moves" not in grid:
        problems.append(f"{where}: expected price_moves, a list")
    moves = {
        key: _value(tuple[float, ...], grid.get(key, [0.0]), f"{where}.{key}", problems)
        for key in ("price_moves", "vol_moves")
    }
    rest = {key: value for key, value in grid.items() if key not in moves}
    cell = _dataclass(Cell, {"price_move": 0.0, **rest}, where, problems)
    if len(problems) > before:
        return []
    return [
        replace(cell, price_move=price, vol_move=vol) for price in moves["price_moves"] for vol in moves["vol_moves"]
    ]


def _dataclass(kind: type[Any], raw: object, where: str, problems: list[str]) -> Any:  # noqa: ANN401
    """Return a dataclass made of a mapping, or None after saying what is wrong."""
    if not isinstance(raw, Mapping):
        problems.append(f"{where}: expected a mapping, got {raw!r}")
        return None
    before = len(problems)
    values = _fields(kind, raw, where, problems)
    missing = [field.name for field in fields(kind) if field.default is MISSING and field.name not in raw]
    problems += [f"{where}: {name} is missing" for name in missing]
    return kind(**values) if len(problems) == before else None


def _fields(kind: type[Any], raw: Mapping[str, Any], where: str, problems: list[str]) -> dict[str, Any]:
    """Return the values of a dataclass's fields as their types ask, after saying which keys are unknown."""
    hints, known = get_type_hints(kind), [field.name for field in fields(kind)]
    for key in raw:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            problems.append(f"unknown key {_join(where, str(key))}" + (f"; did you mean {near[0]}?" if near else ""))
    return {
        key: _value(hints[key], value, _join(where, str(key)), problems) for key, value in raw.items() if key in known
    }


def _value(hint: Any, raw: object, where: str, problems: list[str]) -> Any:  # noqa: ANN401, PLR0911
    """Return a raw value as a field's type asks, or None after saying what is wrong."""
    if hint == Charge:
        kind = raw.get("charge") if isinstance(raw, Mapping) else None
        if not isinstance(raw, Mapping) or kind not in CHARGES:
            problems.append(f"{where}: expected a mapping with charge: one of {', '.join(CHARGES)}, got {raw!r}")
            return None
        return _dataclass(CHARGES[kind], {key: item for key, item in raw.items() if key != "charge"}, where, problems)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        inner = next(argument for argument in arguments if argument is not type(None))
        return None if raw is None else _value(inner, raw, where, problems)
    if is_dataclass(hint) and isinstance(hint, type):
        return _dataclass(hint, raw, where, problems)
    if origin is tuple:
        is_any_length = len(arguments) == 2 and arguments[1] is Ellipsis
        if not isinstance(raw, list | tuple) or not (is_any_length or len(raw) == len(arguments)):
            problems.append(f"{where}: expected a list{'' if is_any_length else f' of {len(arguments)}'}, got {raw!r}")
            return None
        kinds = [arguments[0]] * len(raw) if is_any_length else arguments
        return tuple(
            _value(part, item, f"{where}[{n}]", problems) for n, (part, item) in enumerate(zip(kinds, raw, strict=True))
        )
    if origin is Literal:
        if raw in arguments:
            return raw
    elif hint is float:
        if isinstance(raw, int | float) and not isinstance(raw, bool):
            return float(raw)
    elif isinstance(raw, hint):
        return raw
    expected = f"one of {', '.join(map(str, arguments))}" if origin is Literal else f"a {hint.__name__}"
    problems.append(f"{where}: expected {expected}, got {raw!r}")
    return None


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
