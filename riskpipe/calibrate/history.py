"""Price history: the rows of one growing Parquet data set that a night may know, and the hash that identifies them.

Only rows inside the look-back that ends at as_of are read: the bounds go down into the Parquet reader, which skips row
groups by their statistics. Rows come back in one canonical order, whatever files they were in.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.fs import FSSpecHandler, PyFileSystem

from riskpipe.domain.book import FloatArray, OffsetArray
from riskpipe.domain.findings import Findings, Reason, Severity
from riskpipe.domain.tables import HISTORY, Column
from riskpipe.errors import InputRefused

HOUR_US = 3_600_000_000
_TYPES = {"string": pa.string(), "float": pa.float64(), "time": pa.timestamp("us", tz="UTC")}
_SCHEMA = pa.schema([(column.name, _TYPES[column.type]) for column in HISTORY.columns])
_UNITS_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_WANTED = {"string": "a string", "float": "a number", "time": "a timestamp"}


@dataclass(frozen=True)
class HistoryRows:
    """The rows with as_of - look-back < ts <= as_of, in canonical order, and their identity.

    `table` has exactly the columns of the history format (string, float64, timestamp[us, UTC]), ordered by ts,
    instrument_id and asset (null last), then by every other column. `content_hash` is the SHA-256 of these rows: it
    does not depend on files, row groups or row order, nor on whether an optional column is absent or empty.
    """

    table: pa.Table
    as_of: datetime
    lookback_days: float
    content_hash: str
    findings: Findings


def read_history(uri: str, *, as_of: datetime, lookback_days: float) -> HistoryRows:
    """Return the rows of a price history that were known at `as_of` and are not older than the look-back.

    Parameters
    ----------
    uri: any fsspec location of one Parquet file, or of a folder searched for `*.parquet` (names that start with a dot
        or an underscore are left aside).
    as_of: the instant of the snapshot; without a zone it is UTC. No row later than it is read.
    lookback_days: > 0.

    Returns
    -------
    The rows in canonical order. Nulls and NaN are kept as they are, for the guards of the series made from them.

    Raises
    ------
    InputRefused: nothing is there, a file is not Parquet, or columns are missing or of the wrong type; every problem of
        every file is listed.
    ValueError: lookback_days is not positive.
    """
    import pyarrow.dataset as ds  # late: it brings pandas, which those who read no history have no use for

    if not lookback_days > 0.0:
        raise ValueError(f"lookback_days must be above 0, got {lookback_days}")
    as_of = as_of.replace(tzinfo=UTC) if as_of.tzinfo is None else as_of.astimezone(UTC)
    subject = f"price history {uri}"
    filesystem, paths = _parquet_files(uri, subject)
    arrow_filesystem = PyFileSystem(FSSpecHandler(filesystem))
    window = (as_of - timedelta(days=lookback_days), as_of)
    problems: list[str] = []
    unknown: set[str] = set()
    parts: list[pa.Table] = []
    for path in paths:
        try:
            fragment = ds.ParquetFileFormat().make_fragment(path, filesystem=arrow_filesystem)
            schema = fragment.physical_schema
            schema_problems = _schema_problems(schema, path)
            problems.extend(schema_problems)
            unknown.update(set(schema.names) - set(_SCHEMA.names))
            if not schema_problems:
                parts.append(_read_window(fragment, schema, window))
        except (pa.ArrowException, OSError) as error:
            problems.append(f"file {path} cannot be read as Parquet: {error}")
    if problems:
        raise InputRefused(subject, problems)
    findings = Findings()
    if unknown:
        findings.add(
            Severity.INFO,
            Reason.UNKNOWN_COLUMN,
            "history",
            "columns that the history format does not have are ignored",
            count=len(unknown),
            examples=sorted(unknown),
        )
    rows = pa.concat_tables(parts)
    without_time = rows["ts"].null_count
    if without_time:
        findings.add(
            Severity.WARNING, Reason.BAD_VALUE, "history.ts", "rows without a time are dropped", count=without_time
        )
        rows = rows.filter(pc.is_valid(rows["ts"]))
    rows = _canonical_order(rows)
    return HistoryRows(rows, as_of, lookback_days, content_hash(rows), findings)


def _parquet_files(uri: str, subject: str) -> tuple[Any, list[str]]:
    """Return the file system and the sorted paths of the data set's files."""
    try:
        filesystem, path = fsspec.core.url_to_fs(uri)
    except (ValueError, ImportError) as error:
        raise InputRefused(subject, [f"the location cannot be opened: {error}"]) from error
    filesystem.invalidate_cache()
    if filesystem.isfile(path):
        return filesystem, [path]
    if not filesystem.exists(path):
        raise InputRefused(subject, ["nothing is there; give a Parquet file or a folder of them"])

    def is_data(found: str) -> bool:
        relative = found.removeprefix(path).strip("/").split("/")
        return found.endswith(".parquet") and not any(part.startswith((".", "_")) for part in relative)

    paths = sorted(filter(is_data, filesystem.find(path)))
    if not paths:
        raise InputRefused(subject, ["the folder holds no *.parquet file"])
    return filesystem, paths


def _schema_problems(schema: pa.Schema, path: str) -> list[str]:
    """List what keeps a file's columns from being history columns."""
    problems = []
    for column in HISTORY.columns:
        count = schema.names.count(column.name)
        if count > 1:
            problems.append(f"file {path}: column {column.name!r} appears {count} times")
        elif count == 1 and not _is_castable(schema.field(column.name).type, column):
            problems.append(
                f"file {path}: column {column.name!r} has type {schema.field(column.name).type}, "
                f"expected {_WANTED[column.type]}: write it as {_TYPES[column.type]}"
            )
        elif count == 0 and column.required:
            problems.append(f"file {path}: column {column.name!r} ({column.doc}) is missing")
    return problems


def _is_castable(kind: pa.DataType, column: Column) -> bool:
    if pa.types.is_null(kind):
        return column.nullable
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if column.type == "float":
        return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind))
    if column.type == "time":
        return bool(pa.types.is_timestamp(kind))
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _read_window(fragment: Any, schema: pa.Schema, window: tuple[datetime, datetime]) -> pa.Table:  # noqa: ANN401
    """Read one file's rows inside the window (start, end], and rows without a time, cast to the format."""
    kind = schema.field("ts").type
    start, end = (pa.scalar(_in_units(instant, kind.unit), pa.int64()).cast(kind) for instant in window)
    ts = pc.field("ts")
    names = [name for name in _SCHEMA.names if name in schema.names]
    found = fragment.to_table(columns=names, filter=((ts > start) & (ts <= end)) | ts.is_null())
    arrays = []
    for field in _SCHEMA:
        if field.name not in names:
            arrays.append(pa.chunked_array([pa.nulls(found.num_rows, field.type)]))
            continue
        values = found[field.name]
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        # Unsafe casts cut nanoseconds to microseconds and round integers beyond 2**53, nothing else here.
        arrays.append(values.cast(field.type, safe=False))
    return pa.Table.from_arrays(arrays, schema=_SCHEMA)


def _in_units(instant: datetime, unit: str) -> int:
    """Return an instant as whole units since 1970, rounded down: `ts > start` and `ts <= end` then hold in any unit."""
    microseconds = (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return microseconds * _UNITS_PER_SECOND[unit] // 10**6


def _canonical_order(rows: pa.Table) -> pa.Table:
    """Sort by ts, instrument and asset (null after any name), then by all else, so that copies have one order."""
    if rows.num_rows == 0:
        return rows.combine_chunks()
    identity = ["ts", "instrument_id", "asset"]
    others = [name for name in _SCHEMA.names if name not in identity]
    keys = [(name, "ascending") for name in (*identity, *others)]
    order = pc.sort_indices(rows, sort_keys=keys)
    return rows.take(order).combine_chunks()


def content_hash(rows: pa.Table) -> str:
    """Return the SHA-256 of rows in canonical order: names, types, which values are null, and the values themselves."""
    digest = hashlib.sha256()
    for name, values in zip(rows.column_names, rows.columns, strict=True):
        array = values.combine_chunks()
        array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
        digest.update(f"{name}:{array.type}:{len(array)}\n".encode())
        digest.update(np.packbits(array.is_valid().to_numpy(zero_copy_only=False)).tobytes())
        if pa.types.is_string(array.type):
            text = array.fill_null("")
            lengths = pc.binary_length(text).to_numpy(zero_copy_only=False).astype("<i4")
            digest.update(lengths.tobytes())
            digest.update("".join(text.to_pylist()).encode())
        elif pa.types.is_floating(array.type):
            numbers = array.fill_null(0.0).to_numpy(zero_copy_only=False).astype("<f8")
            # One bit pattern for every NaN and for both zeros.
            numbers = np.where(np.isnan(numbers), np.nan, numbers + 0.0)
            digest.update(numbers.tobytes())
        else:
            digest.update(array.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False).astype("<i8").tobytes())
    return digest.hexdigest()


def times_us(rows: pa.Table) -> OffsetArray:
    """Return the instants of rows, microseconds since 1970."""
    return np.asarray(rows["ts"].cast(pa.int64()).to_numpy(), dtype=np.int64)


def floats(values: pa.ChunkedArray) -> FloatArray:
    """Return a column as floats, null as NaN."""
    return np.asarray(pc.fill_null(values, np.nan).to_numpy(), dtype=np.float64)


def usual_minute(ts_us: OffsetArray) -> int:
    """Return how far into the hour most instants stand, microseconds; of a tie the first."""
    phases, counts = np.unique(ts_us % HOUR_US, return_counts=True)
    return int(phases[counts.argmax()])
