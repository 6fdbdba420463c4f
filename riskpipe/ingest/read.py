"""Read: a snapshot from any fsspec location, cast to the format's types, with the hash of every byte it was read from.

A snapshot is `snapshot.json` and, for each table, either `<table>.parquet` or a directory `<table>/` of `*.parquet`
files (read in the order of their names). Everything that keeps it from being read is listed at once.
"""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from riskpipe.domain.findings import Findings, Reason, Severity
from riskpipe.domain.instant import parse_as_of
from riskpipe.domain.snapshot import Snapshot
from riskpipe.domain.tables import SNAPSHOT_FORMAT, SNAPSHOT_VERSION, TABLES, Table
from riskpipe.errors import InputRefused
from riskpipe.ingest.cast import cast_schema, cast_table, coded_columns

HEADER = "snapshot.json"
_HEADER_KEYS = ("format", "version", "as_of", "numeraire", "source")


@dataclass
class _Reading:
    """What reading one table, or the header, has gathered so far; tables are read at the same time."""

    filesystem: Any
    root: str
    names: dict[str, str]  # name inside the root -> "file" or "directory"
    hashes: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)

    def read_bytes(self, relative: str) -> bytes:
        """Return the bytes of a file and note their hash."""
        data: bytes = self.filesystem.cat_file(f"{self.root.rstrip('/')}/{relative}")
        self.hashes[relative] = hashlib.sha256(data).hexdigest()
        return data

    def extend(self, other: "_Reading") -> None:
        """Append what another reading has gathered."""
        self.hashes |= other.hashes
        self.problems += other.problems
        self.findings.extend(other.findings)


def _list_names(filesystem: Any, path: str) -> dict[str, str]:  # noqa: ANN401  # fsspec is untyped
    filesystem.invalidate_cache(path)
    entries = filesystem.ls(path, detail=True)
    return {entry["name"].rstrip("/").rsplit("/", 1)[-1]: entry["type"] for entry in entries}


def _refuse_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    repeated = sorted({key for key in keys if keys.count(key) > 1})
    if repeated:
        raise ValueError(f"key {repeated[0]!r} appears twice")
    return dict(pairs)


def _parse_header(data: bytes, problems: list[str], findings: Findings) -> tuple[datetime | None, str, str]:
    """Return `as_of`, numeraire and source; what is wrong with them goes to `problems`."""
    try:
        header = json.loads(data.decode("utf-8"), object_pairs_hook=_refuse_repeated_keys)
    except ValueError as error:
        problems.append(f"{HEADER} is not valid JSON: {error}")
        return None, "", ""
    if not isinstance(header, dict):
        problems.append(
            f"{HEADER} holds {type(header).__name__}; expected an object with the keys {', '.join(_HEADER_KEYS)}"
        )
        return None, "", ""
    if unknown := [key for key in header if key not in _HEADER_KEYS]:
        findings.add(
            Severity.INFO,
            Reason.UNKNOWN_COLUMN,
            HEADER,
            "unknown keys are ignored",
            count=len(unknown),
            examples=unknown,
        )
    if header.get("format") != SNAPSHOT_FORMAT:
        problems.append(f"{HEADER}: format is {header.get('format')!r}; expected {SNAPSHOT_FORMAT!r}")
    version = header.get("version")
    if type(version) is not int or version != SNAPSHOT_VERSION:
        problems.append(f"{HEADER}: version is {version!r}; this riskpipe reads version {SNAPSHOT_VERSION}")
    as_of, given = None, header.get("as_of")
    try:
        as_of = parse_as_of(given if isinstance(given, str) else "")
    except (ValueError, OverflowError):
        problems.append(f"{HEADER}: as_of is {given!r}; expected an ISO-8601 instant such as '2024-08-05T00:00:00Z'")
    problems += [
        f"{HEADER}: {key} is {header.get(key)!r}; expected a non-empty string"
        for key in ("numeraire", "source")
        if not isinstance(header.get(key), str) or not header[key]
    ]
    return as_of, str(header.get("numeraire")), str(header.get("source"))


def _table_files(reading: _Reading, spec: Table) -> list[str] | None:
    """Return the relative paths of a table's files; None where it has none (which may be a problem)."""
    single = f"{spec.name}.parquet"
    has_file = reading.names.get(single) == "file"
    has_directory = reading.names.get(spec.name) == "directory"
    if has_file and has_directory:
        reading.problems.append(
            f"table {spec.name!r} is given twice: as {single} and as directory {spec.name}/. Keep one"
        )
        return None
    if has_file:
        return [single]
    if not has_directory:
        if spec.required:
            reading.problems.append(f"table {spec.name!r} is missing: expected {single} or {spec.name}/*.parquet")
        return None
    inside = _list_names(reading.filesystem, f"{reading.root.rstrip('/')}/{spec.name}")
    nested = sorted(name for name, kind in inside.items() if kind == "directory" and not name.startswith((".", "_")))
    if nested:
        reading.problems.append(
            f"table {spec.name!r}: directory {spec.name}/ holds sub-directories ({', '.join(nested[:5])}), whose rows"
            " would be lost. Put all its *.parquet files directly inside"
        )
    files = sorted(name for name, kind in inside.items() if kind == "file" and name.endswith(".parquet"))
    if not files:
        reading.problems.append(f"table {spec.name!r}: directory {spec.name}/ holds no *.parquet file")
        return None
    return [f"{spec.name}/{name}" for name in files]


def _parse_parquet(data: bytes, spec: Table) -> pa.Table:
    metadata = pq.read_metadata(pa.BufferReader(data))
    found = {metadata.schema.column(ix).path for ix in range(metadata.num_columns)}
    # one file of a directory stands for itself: no data set discovery, no partition columns
    with pq.ParquetFile(
        pa.BufferReader(data),
        metadata=metadata,
        read_dictionary=[name for name in coded_columns(spec) if name in found],
        page_checksum_verification=True,
    ) as file:
        table = file.read()
    table.validate(full=True)  # a flipped bit may leave text that is not UTF-8
    return table


def _read_table(reading: _Reading, spec: Table) -> pa.Table:
    files = _table_files(reading, spec)
    pieces: list[pa.Table] = []
    unknown: dict[str, None] = {}
    for relative in files or ():
        try:
            found = _parse_parquet(reading.read_bytes(relative), spec)
        except (pa.ArrowException, OSError, ValueError) as error:
            reading.problems.append(
                f"{relative} cannot be read as Parquet (truncated or corrupt?): {error}. Write it again"
            )
            continue
        piece, problems, extra = cast_table(found, spec, relative)
        reading.problems.extend(problems)
        unknown.update(dict.fromkeys(extra))
        if piece is not None:
            pieces.append(piece)
    if unknown:
        reading.findings.add(
            Severity.INFO,
            Reason.UNKNOWN_COLUMN,
            spec.name,
            f"columns that the format does not know are ignored: {', '.join(unknown)}",
            count=len(unknown),
            examples=unknown,
        )
    return pa.concat_tables(pieces).combine_chunks() if pieces else cast_schema(spec).empty_table()


def _unknown_files(names: dict[str, str]) -> Iterator[str]:
    for name, kind in names.items():
        if kind == "file" and name.endswith(".parquet") and name.removesuffix(".parquet") not in TABLES:
            yield name


def _open_location(uri: str) -> tuple[Any, str, dict[str, str]]:
    """Return the file system, the root path and what is directly inside it."""
    try:
        filesystem, root = fsspec.core.url_to_fs(uri)
        names = _list_names(filesystem, root)
    except FileNotFoundError:
        raise InputRefused(f"snapshot {uri}", ["the location does not exist"]) from None
    except NotADirectoryError:
        raise InputRefused(f"snapshot {uri}", ["the location is not a directory"]) from None
    except (ImportError, ValueError, OSError) as error:
        raise InputRefused(f"snapshot {uri}", [f"the location cannot be opened: {error}"]) from error
    if not names:
        raise InputRefused(f"snapshot {uri}", ["the location is empty"])
    return filesystem, root, names


def read_snapshot(uri: str) -> Snapshot:
    """Read one snapshot: its header, its tables cast to the format's types, and the SHA-256 of each file's bytes.

    Values are not judged here (see `riskpipe.ingest.assemble`), only form.

    Parameters
    ----------
    uri: directory or object-store prefix, any fsspec location (local path, file://, memory://, s3://, ...).

    Returns
    -------
    The snapshot: every table of `riskpipe.domain.tables.TABLES` with exactly the format's columns (absent optional
    tables empty, absent optional columns null), hashes of the bytes parsed by path relative to `uri`, and findings for
    what was ignored (unknown columns, unknown Parquet files).

    Raises
    ------
    InputRefused: the location, header, a table or a column is missing or of the wrong kind, or a file is torn.
    """
    filesystem, root, names = _open_location(uri)
    reading = _Reading(filesystem, root, names)
    as_of, numeraire, source = None, "", ""
    try:
        as_of, numeraire, source = _parse_header(reading.read_bytes(HEADER), reading.problems, reading.findings)
    except FileNotFoundError:
        reading.problems.append(f"{HEADER} is missing. Is this a snapshot's directory?")
    except OSError as error:
        reading.problems.append(f"{HEADER} cannot be read: {error}")
    readings = [_Reading(filesystem, root, names) for _ in TABLES]
    with ThreadPoolExecutor(max_workers=len(TABLES)) as threads:
        tables = dict(zip(TABLES, threads.map(_read_table, readings, TABLES.values()), strict=True))
    for each in readings:
        reading.extend(each)
    for name in _unknown_files(names):
        reading.findings.add(
            Severity.WARNING,
            Reason.UNKNOWN_FILE,
            name,
            f"this file belongs to no table of the format and is not read; tables are {', '.join(TABLES)}",
        )
    if reading.problems or as_of is None:
        raise InputRefused(f"snapshot {uri}", reading.problems)
    hashes = dict(sorted(reading.hashes.items()))
    return Snapshot(uri, as_of, numeraire, source, tables, hashes, reading.findings)
