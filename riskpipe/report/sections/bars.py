"""Bar charts of tables."""

from collections.abc import Mapping
from typing import Any

from riskpipe.report.document import Chart, Column, Table


def bars(
    name: str,
    title: str,
    description: str,
    table: Table,
    *,
    x: str,
    filters: tuple[tuple[str, bool], ...],
    series: tuple[str, ...],
    is_stacked: bool = True,
    places: tuple[int, ...] = (),
) -> Chart:
    """Make a bar chart of a table: series summed over the rows that the filters (name, whether "all" is a choice)
    select, at each value of x in the order of the rows. places: of each series' colour, in order unless given.
    """  # noqa: D205
    by_name: Mapping[str, Column] = {one.name: one for one in table.columns}
    data = {
        "x": coded(by_name[x]),
        "filters": [{**coded(by_name[key]), "has_all": has_all} for key, has_all in filters],
        "series": [
            {
                "label": by_name[key].label,
                "kind": by_name[key].kind,
                "place": place,
                "values": [None if value is None else short(float(value)) for value in by_name[key].values],
            }
            for key, place in zip(series, places or range(len(series)), strict=True)
        ],
        "is_stacked": is_stacked,
    }
    return Chart(name, title, description, "bars", data, table, table.source)


def coded(one: Column) -> dict[str, Any]:
    """A column as its distinct values, in their order, and the place of each row's among them."""
    values = list(dict.fromkeys(one.values))
    place = {value: ix for ix, value in enumerate(values)}
    return {"label": one.label, "kind": one.kind, "values": values, "codes": [place[value] for value in one.values]}


def short(value: float) -> float | None:
    """A number to six digits, enough for a page; None where there is none."""
    return None if value != value else float(f"{value:.6g}")  # noqa: PLR0124  NaN differs from itself
