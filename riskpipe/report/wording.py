"""Words shared by sections: axes, cells, brackets, sources and columns."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from riskpipe.domain.scenarios import ASSET_AXIS, BASIS_AXIS, NEUTRAL, SIMULATED, own_axis_of, own_coordinates
from riskpipe.report import numbers
from riskpipe.report.document import Column, Kind, Source

if TYPE_CHECKING:  # half a second to import, which a story has no use for
    import xarray as xr

    from riskpipe.report.report_input import ReportInput

AXES: Mapping[str, tuple[str, Kind, float]] = {
    "index_shock": ("Index", "signed_share", NEUTRAL["index_shock"]),
    "basis_shock": ("Basis", "signed_share", NEUTRAL["basis_shock"]),
    "vol_shock": ("Volatility", "signed_share", NEUTRAL["vol_shock"]),
    "depth_factor": ("Depth", "factor", NEUTRAL["depth_factor"]),
    "haircut_shock": ("Haircut", "signed_share", 0.0),
}
ALL_SCENARIOS = "all scenarios"  # what a largest value is over where the grid moves nothing
UNIT_KINDS: Mapping[str, Kind] = {
    "USD": "usd", "share": "share", "x": "factor", "accounts": "count", "rounds": "count", "hits": "count",
    "HHI": "number", "rows": "count", "changes": "count", "index": "count", "sigma": "number", "": "text",
}  # fmt: skip


def axis_of(name: str) -> tuple[str, Kind, float]:
    """Label, kind and neutral value of an axis; of the run's own, those of bases are in standard deviations."""
    if (own := own_axis_of(name, ASSET_AXIS)) is not None:
        return f"Own move of {own}", "signed_share", 0.0
    if (own := own_axis_of(name, BASIS_AXIS)) is not None:
        return f"Basis of {own} (sd)", "number", 0.0
    return AXES[name]


def cell_words(axes: Mapping[str, float]) -> str:
    """Say where a cell is, naming what departs from neutral: `index -40%, depth 0.1x`."""
    moved = [
        f"{label[0].lower()}{label[1:]} {numbers.written(kind, value)}"
        for name, value in axes.items()
        for label, kind, neutral in [axis_of(name)]
        if value != neutral
    ]
    return ", ".join(moved) or "no shock"


def set_words(label: str) -> str:
    """A set's label, with what a reader must know of it."""
    return "simulated (of observed moves, cascades included)" if label == SIMULATED else label


def scenario_words(flat: "xr.Dataset", row: int) -> str:
    """Where a scenario is: its name, or its set where that is not the grid, and its axes.

    flat: a measure whose `scenario` carries the axes, `name` and `set`.
    """
    words = cell_words({axis: float(flat[axis].values[row]) for axis in axes_of(flat)})
    name, of = str(flat["name"].values[row]), str(flat["set"].values[row])
    said = name or ("" if of == "grid" else set_words(of))
    return f"{said}: {words}" if said else words


def variant_words(label: str) -> str:
    """A variant's label with what its gap_share means beside it, where that is 1 or 0."""
    said = {"gap_share=1": "gap_share=1 gap (prices jump)", "gap_share=0": "gap_share=0 path (closed on the way)"}
    return ", ".join(said.get(part, part) for part in label.split(", "))


def limit_words(n_hits: float) -> str:
    """What price limits do to a figure, as a clause after it; nothing where none was hit."""
    if not n_hits > 0.0:
        return ""
    laws = "1 impact law stands at its" if n_hits == 1 else f"{numbers.count(n_hits)} impact laws stand at their"
    return f"; {laws} floor or cap there: the figure is set by price_floor/price_cap"


def axes_of(dataset: "xr.Dataset") -> list[str]:
    """Axes that label a dataset, in their order."""
    return [*(name for name in AXES if name in dataset.coords), *own_coordinates(dataset.coords)]


def bracket_words(last_held: float, first_exhausted: float, heals_at: float, status: str) -> str:
    """Say what a walk outward along the index axis found; shocks are fractions, NaN = none."""

    def shock(value: float) -> str:
        return numbers.share(value, is_signed=True)

    if math.isnan(first_exhausted):
        is_walked = not math.isnan(last_held) and last_held != 0.0
        return f"{status} (holds to {shock(last_held)})" if is_walked else status
    if math.isnan(last_held):
        text = status if first_exhausted == 0.0 else f"{status} ({shock(first_exhausted)})"
    else:
        text = f"holds at {shock(last_held)}, exhausted at {shock(first_exhausted)}"
    return text if math.isnan(heals_at) else f"{text}, holds again at {shock(heals_at)}"


def placeholders(report: "ReportInput") -> np.ndarray:
    """Funds that stand for a venue's having none, [fund]: without balance or loss in any scenario."""
    losses = report.measures["fund_losses"]
    is_used = losses["fund_balance"].values.any(axis=0) | losses["shortfall"].values.any(axis=0)
    return np.logical_not(is_used)


def rows_of_funds(report: "ReportInput", dataset: "xr.Dataset", dims: Sequence[str]) -> np.ndarray:
    """Rows of arrays flattened over dims, "fund" among them, but those of placeholders: there is nothing to exhaust."""
    is_fund = ~placeholders(report)
    grids = np.indices([dataset.sizes[name] for name in dims]).reshape(len(dims), -1)
    return np.flatnonzero(is_fund[grids[list(dims).index("fund")]])


def source(report: "ReportInput", variables: Iterable[str], selection: str = "") -> Source:
    """Say which cube variables a number was read from and how to read the first of them again."""
    keys = tuple(dict.fromkeys(variables))
    group, _, name = keys[0].partition("/")
    command = f'riskpipe.open_cube(store, run_id={json.dumps(report.run_id)})["{group}"]["{name}"]{selection}'
    return Source(keys, command)


def source_of(report: "ReportInput", dataset: "xr.Dataset", name: str, selection: str = "") -> Source:
    """Source of one variable of a measure."""
    return source(report, dataset[name].attrs["sources"], selection)


def column(name: str, label: str, kind: Kind, values: Any) -> Column:  # noqa: ANN401  arrays or sequences
    """Make a column of plain Python values from an array or a sequence."""
    listed = values.tolist() if isinstance(values, np.ndarray) else list(values)
    return Column(name, label, kind, tuple(listed))


def measure_columns(dataset: "xr.Dataset", names: Sequence[str], labels: Mapping[str, str]) -> list[Column]:
    """Make columns of flat variables of a measure, their kinds from their units."""
    return [
        column(name, labels.get(name, str(dataset[name].attrs["long_name"]).capitalize()), kind_of(dataset[name]),
               dataset[name].values)
        for name in names
    ]  # fmt: skip


def kind_of(array: "xr.DataArray") -> Kind:
    """How values of a measured variable are written."""
    return UNIT_KINDS.get(str(array.attrs["units"]), "number")


def axis_columns(dataset: "xr.Dataset", rows: np.ndarray | None = None, *, are_all_shown: bool = False) -> list[Column]:
    """Make one column per axis that varies (or all), for the rows given."""
    made = []
    for name in axes_of(dataset):
        label, kind, neutral = axis_of(name)
        values = np.asarray(dataset[name].values)
        if are_all_shown or name == "index_shock" or np.unique(values).size > 1 or (values != neutral).any():
            made.append(column(name, label, kind, values if rows is None else values[rows]))
    return made


def flattened(dataset: "xr.Dataset", name: str) -> np.ndarray:
    """One variable of a measure as a flat array, the last dimension fastest."""
    return np.asarray(dataset[name].values).reshape(-1)


def picked(columns: Iterable[Column], rows: Iterable[int]) -> tuple[Column, ...]:
    """Columns with some of their rows."""
    places = list(rows)
    return tuple(replace(one, values=tuple(one.values[row] for row in places)) for one in columns)


def label_columns(
    dataset: "xr.Dataset", dims: Sequence[str], labels: Sequence[str], kinds: Sequence[Kind]
) -> list[Column]:
    """Make columns that label each row of `flattened` arrays over dims."""
    sizes = [dataset.sizes[name] for name in dims]
    grids = np.indices(sizes).reshape(len(dims), -1)
    return [
        column(name, label, kind, np.asarray(dataset[name].values)[grid])
        for name, label, kind, grid in zip(dims, labels, kinds, grids, strict=True)
    ]
