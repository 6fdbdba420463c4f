"""Limits held against measures: which number is meant, how far it is, and what is wrong with a limit's wording."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
import xarray as xr

from riskpipe.domain.limits import Limit, LimitState
from riskpipe.measures.registry import MEASURES
from riskpipe.measures.shapes import UNKNOWN

MAX_NAMED = 5


@dataclass(frozen=True)
class Selection:
    """The cells that a limit is on.

    Attributes
    ----------
    values: their numbers, flat. cells: labels of each by dimension and by coordinate named in the limit.
    problem: why there are none, else empty.
    """

    values: np.ndarray
    cells: Sequence[Mapping[str, str | float]]
    problem: str = ""


def hold_against(measures: Mapping[str, xr.Dataset], limits: Iterable[Limit]) -> list[LimitState]:
    """Hold limits against measures, in the order given; never raises: what cannot be read is not measured, and says why.

    A cell without a number (NaN) makes a limit not measured unless the other cells breach it whatever that cell would
    be, or the limit allows it; no cell left is never allowed.
    """  # noqa: E501
    return [_state(measures, limit) for limit in limits]


class _UnmeasuredError(Exception):
    """A limit's number cannot be read; says why."""


def _state(measures: Mapping[str, xr.Dataset], limit: Limit) -> LimitState:
    dataset = measures.get(limit.measure)
    if dataset is None or limit.variable not in dataset.data_vars:
        return LimitState(limit, "not measured", math.nan, "", f"there is no {limit.measure}/{limit.variable}")
    array = dataset[limit.variable]
    units, sources = str(array.attrs.get("units", "")), tuple(array.attrs.get("sources", ()))
    try:
        value, cell, n_cells = _number(array, limit)
    except _UnmeasuredError as error:
        return LimitState(limit, "not measured", math.nan, units, str(error), sources=sources)
    units = str(cell.get("units", units))  # headlines have each its own
    return LimitState(limit, limit.level_of(value), value, units, cell=cell, n_cells=n_cells, sources=sources)


def _number(array: xr.DataArray, limit: Limit) -> tuple[float, Mapping[str, str | float], int]:
    """Return the number that a limit is on, the cell that set it, and of how many cells it is."""
    if array.dtype.kind not in "fiub":
        raise _UnmeasuredError(f"{limit.variable} is no number")
    found = select(array, limit.at)
    if found.problem:
        raise _UnmeasuredError(found.problem)
    n_cells = len(found.values)
    if limit.reduce is None and n_cells > 1:
        raise _UnmeasuredError(f"{n_cells} cells are selected, and no reduce says what becomes of them")
    known = np.flatnonzero(~np.isnan(found.values))
    if len(known) == 0:
        raise _UnmeasuredError("no cell has a number" if n_cells > 1 else "it has no number")
    values = found.values[known]
    at: int | None = None if limit.reduce in {"mean", "sum"} else 0
    if limit.reduce in {"min", "max"}:
        at = int(values.argmin() if limit.reduce == "min" else values.argmax())
    value = float(values[at] if at is not None else values.sum() if limit.reduce == "sum" else values.mean())
    if math.isnan(value):  # infinite numbers of both signs
        raise _UnmeasuredError(f"the {limit.reduce} of its cells is no number")
    n_unknown = n_cells - len(known)
    is_worst = (limit.reduce, limit.direction) in {("max", "above"), ("min", "below")}
    is_sure = is_worst and limit.level_of(value) == "breach"  # whatever the other cells would be
    if n_unknown and not limit.allow_unmeasured and not is_sure:
        raise _UnmeasuredError(f"{n_unknown} of {n_cells} cells have no number")
    return value, {} if at is None else found.cells[int(known[at])], n_cells


def select(array: xr.DataArray, at: Mapping[str, tuple[str | float, ...]]) -> Selection:
    """Return the cells of a variable that labels name, by dimension or by coordinate along one; 1 or more.

    A label that the coordinate does not have is a problem, even where others are there.
    """
    none = np.zeros(0)
    masks: dict[str, np.ndarray] = {}
    for key, wanted in at.items():
        coordinate = array.coords.get(key)
        if coordinate is None or coordinate.ndim != 1:
            return Selection(
                none, (), f"{key} is no dimension or coordinate of {array.name}{_known(_keys(array), key)}"
            )
        mask = np.zeros(len(coordinate), dtype=np.bool_)
        for label in wanted:
            is_meant = _is_label(coordinate.values, label)
            if not is_meant.any():
                has = list(dict.fromkeys(map(_label, coordinate.values.tolist())))
                return Selection(none, (), f"there is no {key} {_label(label)}{_known(has, str(label))}")
            mask |= is_meant
        dim = str(coordinate.dims[0])
        masks[dim] = masks.get(dim, np.ones(len(coordinate), dtype=np.bool_)) & mask
    kept = array.isel({dim: np.flatnonzero(mask) for dim, mask in masks.items()})
    values = np.asarray(kept.values, dtype=np.float64).reshape(-1)
    if values.size == 0:
        return Selection(none, (), "no cell is selected: the labels never stand together, or there is none")
    return Selection(values, _Cells(kept, tuple(at)))


class _Cells(Sequence[Mapping[str, str | float]]):
    """Labels of each cell of an array, in the order of its flat values: made when one is asked for."""

    def __init__(self, array: xr.DataArray, keys: tuple[str, ...]) -> None:
        self._array, self._keys = array, keys

    def __len__(self) -> int:
        return int(self._array.size)

    def __getitem__(self, n: int) -> Mapping[str, str | float]:  # type: ignore[override]  # never sliced
        """Return the labels of one cell: of every dimension, and of scenarios their axes, variant and name."""
        place = np.unravel_index(n, self._array.shape)
        at = dict(zip(self._array.dims, place, strict=True))
        cell: dict[str, str | float] = {}
        for name, coordinate in self._array.coords.items():
            if coordinate.ndim == 1 and coordinate.dims[0] in at:
                label = _plain(coordinate.values[at[coordinate.dims[0]]])
                if label not in {"", None}:
                    cell[str(name)] = label
        return cell


def limit_problems(limits: Iterable[Limit], shapes: Mapping[str, xr.Dataset]) -> list[str]:
    """List all that is wrong with the wording of limits, as far as it is known before a night starts.

    Parameters
    ----------
    shapes: what measures return of a blank cube (`riskpipe.measures.shapes`): labels that only data tell are `UNKNOWN`.
    """
    return [f"risk_limits.{limit.name}: {problem}" for limit in limits for problem in _problems(limit, shapes)]


def _problems(limit: Limit, shapes: Mapping[str, xr.Dataset]) -> list[str]:
    if limit.measure not in MEASURES:
        return [f"there is no measure {limit.measure!r}{_known(list(MEASURES), limit.measure)}"]
    dataset = shapes[limit.measure]
    names = [str(name) for name, array in dataset.data_vars.items() if array.dtype.kind in "fiub"]
    if limit.variable not in names:
        return [f"measure {limit.measure} has no number {limit.variable!r}{_known(names, limit.variable)}"]
    array = dataset[limit.variable]
    at, problems = {}, []
    for key, wanted in limit.at.items():
        coordinate = array.coords.get(key)
        if coordinate is None or coordinate.ndim != 1:
            problems.append(select(array, {key: wanted}).problem)
            continue
        dim = str(coordinate.dims[0])
        if coordinate.size == 0:
            continue
        if key not in array.dims and dim != "scenario":  # which cells stand along it, only data will tell
            array = array.isel({dim: slice(0, 1)})
            continue
        is_open = _is_of_data(coordinate.values)
        at[key] = tuple(coordinate.values.tolist()[: len(wanted)]) if is_open else wanted
        problems += [problem] if (problem := select(array, {key: at[key]}).problem) else []
    if problems or array.size == 0:
        return problems
    found = select(array, at)
    if found.problem:
        return [found.problem]
    if limit.reduce is None and len(found.values) > 1:
        left = [name for name in _keys(array) if name in array.dims and name not in limit.at]
        return [f"it selects more than one cell: name {', '.join(left) or 'one label each'} in `at`, or give reduce"]
    return []


def _keys(array: xr.DataArray) -> list[str]:
    """Names by which cells of a variable can be selected."""
    return [str(name) for name, coordinate in array.coords.items() if coordinate.ndim == 1]


def _is_of_data(labels: np.ndarray) -> bool:
    """Whether labels are placeholders of those that data will tell."""
    return labels.dtype.kind in "OUT" and any(str(label).startswith(UNKNOWN[0][0]) for label in labels.tolist())


def _is_label(labels: np.ndarray, wanted: str | float) -> np.ndarray:
    """Which labels are the one wanted: texts letter by letter, numbers within rounding."""
    if labels.dtype.kind in "fiu":
        if isinstance(wanted, str):
            return np.zeros(len(labels), dtype=np.bool_)
        return np.isclose(labels.astype(np.float64), wanted, rtol=1e-9, atol=1e-12)
    return np.array([str(label) == str(wanted) for label in labels.tolist()], dtype=np.bool_)


def _label(label: str | float) -> str:
    return f"{label:g}" if isinstance(label, float) else repr(label)


def _plain(label: object) -> str | float | None:
    """A label as text or number; None where it is NaN."""
    if isinstance(label, str):
        return label
    number = float(label)  # type: ignore[arg-type]  # the other labels are numbers
    return None if math.isnan(number) else number


def _known(names: Sequence[str], wanted: str) -> str:
    """End of a message about an unknown name: the nearest, else some of those known."""
    close = get_close_matches(wanted.strip("'"), [name.strip("'") for name in names], n=1)
    if close:
        return f" (did you mean {close[0]!r}?)"
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return f" (there are {', '.join(names[:MAX_NAMED])}{more})" if names else ""
