"""Values: what the snapshot format allows in a column, checked for every row at once."""

from collections.abc import Container, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from riskpipe.domain.book import BoolArray
from riskpipe.domain.tables import Column, Table
from riskpipe.ingest.columns import floats, nulls, rows_of

_BOUNDS = {
    "any": "a finite number",
    "positive": "a finite number above 0",
    "non_negative": "a finite number, 0 or more",
    "fraction": "a fraction from 0 to 1",
}


@dataclass(frozen=True)
class Defect:
    """One rule that some rows of a table break: where, which rows ([n] bool), and what was expected."""

    column: str
    is_bad: BoolArray
    expected: str
    is_enumeration: bool = False


def expectation(column: Column) -> str:
    """Return in words what a column may hold."""
    if column.choices:
        words = "one of " + ", ".join(repr(choice) for choice in column.choices)
    else:
        words = {"float": _BOUNDS[column.bound], "string": "a text", "bool": "true or false", "time": "a time"}[
            column.type
        ]
    return f"{words}, or null" if column.nullable else words


def _breaks_bound(table: pa.Table, column: Column, *, is_nan_null: bool) -> BoolArray:
    values = floats(table, column.name)
    with np.errstate(invalid="ignore"):
        match column.bound:
            case "positive":
                is_good = (values > 0) & (values < np.inf)
            case "non_negative":
                is_good = (values >= 0) & (values < np.inf)
            case "fraction":
                is_good = (values >= 0) & (values <= 1)
            case _:
                is_good = np.isfinite(values)
    is_bad = ~is_good
    if column.nullable:
        is_bad &= ~(np.isnan(values) if is_nan_null else nulls(table, column.name))
    return is_bad


def value_defects(table: pa.Table, spec: Table, *, nan_is_null: Container[str] | None = None) -> Iterator[Defect]:
    """Find the values the format does not allow, column by column.

    Parameters
    ----------
    table: rows of `spec`, already of the format's types.
    spec: the table of the format: bounds, choices, which columns may be null.
    nan_is_null: nullable columns in which NaN means "not given", as writers without nulls spell it; None = all of them.

    Yields
    ------
    One defect for each column with at least one bad row; unknown choices apart from missing ones.
    """
    for column in spec.columns:
        if column.type == "float":
            is_nan_null = nan_is_null is None or column.name in nan_is_null
            is_bad = _breaks_bound(table, column, is_nan_null=is_nan_null)
        elif column.choices:
            known = rows_of(table.column(column.name), pa.array(column.choices, pa.string())) >= 0
            is_null = nulls(table, column.name)
            is_bad = ~known & ~is_null
            if is_bad.any():
                yield Defect(column.name, is_bad, expectation(column), is_enumeration=True)
            is_bad = np.zeros_like(is_null) if column.nullable else is_null
        elif column.nullable:
            continue
        else:
            is_bad = nulls(table, column.name)
        if is_bad.any():
            yield Defect(column.name, is_bad, expectation(column))
