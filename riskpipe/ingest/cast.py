"""Cast: one table as found in a file, as the table the snapshot format promises.

Integers and decimals become float64, any spelling of a string (large, view, dictionary) a string, times microseconds in
UTC (a time without zone is UTC already). A column without a single value may have any type where it may hold nulls.
Text is never parsed into numbers or times: a number written as text is a fault of the writer.

The few names that millions of rows repeat (venues, assets, instruments, ...) are kept as codes into a dictionary.
"""

from collections.abc import Callable, Sequence

import pyarrow as pa

from riskpipe.domain.tables import ACCOUNTS, BALANCES, POSITIONS, Column, Table

ARROW_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "time": pa.timestamp("us", tz="UTC"),
}
_CODES = pa.dictionary(pa.int32(), pa.string())


def arrow_schema(spec: Table) -> pa.Schema:
    """Return the Arrow schema of a table of the snapshot format, as it is written."""
    return pa.schema([(column.name, ARROW_TYPES[column.type]) for column in spec.columns])


def coded_columns(spec: Table) -> list[str]:
    """Return which columns hold strings that many rows repeat: all of the accounts' tables but account_id."""
    if spec not in (ACCOUNTS, BALANCES, POSITIONS):
        return []
    return [column.name for column in spec.columns if column.type == "string" and column.name != "account_id"]


def cast_schema(spec: Table) -> pa.Schema:
    """Return the Arrow schema of a table as cast: that of the format, repeated strings as codes."""
    coded = coded_columns(spec)
    return pa.schema([(field.name, _CODES if field.name in coded else field.type) for field in arrow_schema(spec)])


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


_ACCEPTS: dict[str, Callable[[pa.DataType], bool]] = {
    "string": _is_text,
    "float": _is_number,
    "bool": pa.types.is_boolean,
    "time": _is_time,
}
_WANTED = {
    "string": "a string",
    "float": "a number (float, integer or decimal)",
    "bool": "a boolean",
    "time": "a timestamp or date",
}


def _cast_values(values: pa.ChunkedArray, kind: str, target: pa.DataType) -> pa.ChunkedArray:
    if values.type == target:
        return values
    if target == _CODES:
        return values.cast(pa.string()).dictionary_encode()
    if kind == "float":
        # integers beyond 2**53 round to the nearest float64, as the same number written as a float would
        return values.cast(target, safe=False)
    if kind == "time" and pa.types.is_timestamp(values.type) and values.type.unit == "ns":
        return values.cast(target, safe=False)  # nanoseconds are cut to the microsecond below
    return values.cast(target)


def cast_column(
    values: pa.ChunkedArray, column: Column, target: pa.DataType, where: str
) -> tuple[pa.ChunkedArray | None, str]:
    """Cast one column to the format's type.

    Parameters
    ----------
    values: the column as found.
    column: what the format says about it.
    target: the type to cast to, that of `cast_schema`.
    where: table (and file) for the message.

    Returns
    -------
    The cast column and an empty text, or None and the problem found.
    """
    n_rows = len(values)
    has_no_values = values.null_count == n_rows
    if has_no_values and (n_rows == 0 or column.nullable or pa.types.is_null(values.type)):
        return pa.chunked_array([pa.nulls(n_rows, target)], type=target), ""
    plain = ARROW_TYPES[column.type]
    complaint = f"{where}: column {column.name!r} has type {values.type}; expected {_WANTED[column.type]}"
    if not _ACCEPTS[column.type](values.type):
        return None, f"{complaint}. Write it as {plain}"
    try:
        return _cast_values(values, column.type, target), ""
    except (pa.ArrowException, ValueError, OverflowError) as error:
        return None, f"{complaint} and a value of it cannot be cast to {plain}: {error}"


def cast_table(found: pa.Table, spec: Table, where: str) -> tuple[pa.Table | None, list[str], list[str]]:
    """Cast a table as found to the format's columns, in the format's order.

    Parameters
    ----------
    found: the table as read, any columns in any order.
    spec: the table of the format.
    where: file of the table, for messages.

    Returns
    -------
    The cast table (None where a problem was found), the problems, and the names of unknown columns, which are left out.
    """
    names: Sequence[str] = found.column_names
    problems = [
        f"{where}: column {name!r} appears {names.count(name)} times"
        for name in sorted(set(names))
        if names.count(name) > 1
    ]
    known = {column.name for column in spec.columns}
    unknown = [name for name in names if name not in known]
    schema = cast_schema(spec)
    columns: list[pa.ChunkedArray] = []
    for column, target in zip(spec.columns, schema.types, strict=True):
        if names.count(column.name) > 1:
            continue
        if column.name not in names:
            if column.required:
                got = ", ".join(names) or "none"
                problems.append(f"{where}: required column {column.name!r} ({column.doc}) is missing; got {got}")
            columns.append(pa.chunked_array([pa.nulls(found.num_rows, target)]))
            continue
        cast, problem = cast_column(found.column(column.name), column, target, where)
        if cast is None:
            problems.append(problem)
        else:
            columns.append(cast)
    if problems:
        return None, problems, unknown
    return pa.table(columns, schema=schema), [], unknown
