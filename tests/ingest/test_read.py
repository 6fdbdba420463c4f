import decimal
import hashlib
import pathlib
from datetime import UTC, datetime

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.snapshot_builder import arrow_table, rows, write_snapshot

from riskpipe.domain.findings import Reason
from riskpipe.domain.tables import TABLES
from riskpipe.errors import InputRefused
from riskpipe.ingest.cast import arrow_schema
from riskpipe.ingest.read import read_snapshot


def replaced(name, column, values):
    table = arrow_table(name, rows()[name])
    return table.set_column(table.schema.get_field_index(column), column, values)


CODED = {
    "accounts": ["venue", "kind", "margin_mode", "entity_id", "segment"],
    "balances": ["asset"],
    "positions": ["instrument_id"],
}


def problems_of(uri):
    with pytest.raises(InputRefused) as refusal:
        read_snapshot(uri)
    assert refusal.value.exit_code == 1
    return refusal.value.problems


def test_every_table_has_exactly_the_columns_and_types_of_the_format(tmp_path):
    snapshot = read_snapshot(write_snapshot(tmp_path, without=("depth",)))
    assert list(snapshot.tables) == list(TABLES)
    for name, table in snapshot.tables.items():
        plain = [field.type.value_type if pa.types.is_dictionary(field.type) else field.type for field in table.schema]
        assert plain == arrow_schema(TABLES[name]).types
        coded = [field.name for field in table.schema if pa.types.is_dictionary(field.type)]
        assert coded == CODED.get(name, [])
    assert snapshot.tables["depth"].num_rows == 0
    assert snapshot.as_of == datetime(2024, 8, 5, tzinfo=UTC)
    assert not snapshot.findings.items


def test_hashes_are_those_of_the_files_that_belong_to_the_format(tmp_path):
    uri = write_snapshot(tmp_path)
    (tmp_path / "notes.txt").write_text("not ours")
    hashes = read_snapshot(uri).file_hashes
    assert sorted(hashes) == sorted(["snapshot.json", *(f"{name}.parquet" for name in TABLES)])
    for name, digest in hashes.items():
        assert digest == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()


@pytest.mark.parametrize("scheme", ["file", "memory"])
def test_any_file_system_gives_the_same_snapshot(tmp_path, scheme):
    local = read_snapshot(write_snapshot(tmp_path))
    uri = tmp_path.as_uri()
    if scheme == "memory":
        uri = f"memory://{tmp_path.name}/snap"
        memory = fsspec.filesystem("memory")
        for path in tmp_path.iterdir():
            memory.pipe_file(f"/{tmp_path.name}/snap/{path.name}", path.read_bytes())
    other = read_snapshot(uri)
    assert other.file_hashes == local.file_hashes
    assert other.tables == local.tables


def test_a_table_may_be_a_directory_of_files_read_in_name_order(tmp_path):
    whole = read_snapshot(write_snapshot(tmp_path / "whole"))
    uri = write_snapshot(tmp_path / "parts", without=("balances",))
    folder = tmp_path / "parts" / "balances"
    folder.mkdir()
    table = whole.tables["balances"]
    pq.write_table(table.slice(3), folder / "part-1.parquet")
    pq.write_table(table.slice(0, 3), folder / "part-0.parquet")
    (folder / "_SUCCESS").touch()
    parts = read_snapshot(uri)
    assert parts.tables["balances"] == table
    assert {"balances/part-0.parquet", "balances/part-1.parquet"} < set(parts.file_hashes)
    (folder / "venue=alpha").mkdir()
    pq.write_table(table, tmp_path / "parts" / "balances.parquet")
    assert "given twice" in problems_of(uri)[0]
    (tmp_path / "parts" / "balances.parquet").unlink()
    assert "sub-directories (venue=alpha)" in problems_of(uri)[0]


STRING_SPELLINGS = {
    "large": lambda values: values.cast(pa.large_string()),
    "view": lambda values: values.cast(pa.string_view()),
    "dictionary": lambda values: values.dictionary_encode(),
    "dictionary of large": lambda values: values.cast(pa.large_string()).dictionary_encode(),
}


@pytest.mark.parametrize("spelling", STRING_SPELLINGS)
def test_every_spelling_of_a_string_is_a_string(tmp_path, spelling):
    values = arrow_table("accounts", rows()["accounts"]).column("segment").combine_chunks()
    table = replaced("accounts", "segment", STRING_SPELLINGS[spelling](values))
    snapshot = read_snapshot(write_snapshot(tmp_path, accounts=table))
    assert snapshot.tables["accounts"].column("segment").to_pylist() == ["pro", "retail", None, None, None]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1, 2, 3, 4, 5, 6, 7], pa.int32()),
        pa.array([1, 2, 3, 4, 5, 6, 7], pa.uint64()),
        pa.array([decimal.Decimal(n) for n in range(1, 8)], pa.decimal128(20, 4)),
        pa.array([1, 2, 3, 4, 5, 6, 7], pa.float32()),
        pa.array(np.arange(1, 8, dtype=np.float16)),
    ],
    ids=lambda values: str(values.type),
)
def test_integers_and_decimals_are_cast(tmp_path, values):
    snapshot = read_snapshot(write_snapshot(tmp_path, balances=replaced("balances", "quantity", values)))
    assert snapshot.tables["balances"].column("quantity").to_pylist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]


def test_integers_beyond_two_to_the_53_round_as_floats_do(tmp_path):
    values = pa.array([2**60 + 1] * 7, pa.int64())
    snapshot = read_snapshot(write_snapshot(tmp_path, balances=replaced("balances", "quantity", values)))
    assert snapshot.tables["balances"].column("quantity")[0].as_py() == float(2**60 + 1)


@pytest.mark.parametrize(
    "kind", [pa.null(), pa.string(), pa.bool_(), pa.int8(), pa.list_(pa.int8()), pa.timestamp("ns")], ids=str
)
def test_an_optional_column_of_nulls_may_have_any_type(tmp_path, kind):
    table = replaced("accounts", "weight", pa.nulls(5, kind))
    snapshot = read_snapshot(write_snapshot(tmp_path, accounts=table))
    assert snapshot.tables["accounts"].column("weight").null_count == 5


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_times_are_instants_and_without_zone_utc(tmp_path, unit, zone):
    moment = datetime(2024, 9, 27, 8, tzinfo=UTC)
    values = pa.array([None, moment, None], pa.timestamp("us", "UTC"))
    values = values.cast(pa.timestamp(unit, "UTC")).cast(pa.timestamp(unit, zone))
    snapshot = read_snapshot(write_snapshot(tmp_path, instruments=replaced("instruments", "expiry", values)))
    assert snapshot.tables["instruments"].column("expiry").to_pylist() == [None, moment, None]


@pytest.mark.parametrize(
    ("table", "column", "values"),
    [
        ("balances", "quantity", pa.array(["1"] * 7)),
        ("balances", "quantity", pa.array([True] * 7)),
        ("accounts", "account_id", pa.array([1, 2, 3, 4, 5])),
        ("accounts", "liquidation_exempt", pa.array([0, 1, 0, 0, 0])),
        ("instruments", "expiry", pa.array([None, "2024-09-27", None])),
        ("instruments", "expiry", pa.array([None, 2**62, None], pa.timestamp("ms"))),
    ],
)
def test_a_type_that_cannot_be_cast_is_refused(tmp_path, table, column, values):
    (problem,) = problems_of(write_snapshot(tmp_path, **{table: replaced(table, column, values)}))
    assert problem.startswith(f"{table}.parquet: column {column!r} has type {values.type}; expected ")


def test_all_problems_of_form_are_listed_at_once(tmp_path):
    uri = write_snapshot(
        tmp_path,
        header={"format": "other", "version": 2, "as_of": "yesterday", "numeraire": "", "source": None},
        without=("collateral",),
        accounts=arrow_table("accounts", rows()["accounts"]).drop_columns(["venue", "kind"]),
        balances=replaced("balances", "quantity", pa.array(["x"] * 7)),
    )
    for name in ("quotes", "prices"):
        path = tmp_path / f"{name}.parquet"
        path.write_bytes(path.read_bytes()[:-20])
    problems = problems_of(uri)
    for fragment in (
        "format is 'other'",
        "version is 2",
        "as_of is 'yesterday'",
        "numeraire is ''",
        "source is None",
        "table 'collateral' is missing",
        "required column 'venue'",
        "required column 'kind'",
        "column 'quantity' has type string",
        "quotes.parquet cannot be read as Parquet",
        "prices.parquet cannot be read as Parquet",
    ):
        assert sum(fragment in problem for problem in problems) == 1, fragment
    assert len(problems) == 11


@pytest.mark.parametrize("name", TABLES)
def test_only_depth_and_realised_liquidations_may_be_missing(tmp_path, name):
    uri = write_snapshot(tmp_path, without=(name,))
    if name in {"depth", "realised_liquidations"}:
        assert read_snapshot(uri).tables[name].num_rows == 0
    else:
        assert f"table {name!r} is missing" in problems_of(uri)[0]


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_torn_file_is_named(tmp_path, keep):
    uri = write_snapshot(tmp_path)
    path = tmp_path / "positions.parquet"
    path.write_bytes(path.read_bytes()[:keep])
    (problem,) = problems_of(uri)
    assert problem.startswith("positions.parquet cannot be read")


def test_text_that_is_not_utf8_is_refused(tmp_path):
    table = arrow_table("accounts", rows()["accounts"])
    raw = pa.Array.from_buffers(pa.string(), 5, pa.array([b"\xff\xfe"] * 5).buffers())
    path = write_snapshot(tmp_path, accounts=table.set_column(0, "account_id", raw))
    assert "accounts.parquet cannot be read" in problems_of(path)[0]


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("{", "not valid JSON"),
        ("[]", "holds list"),
        ('{"format": 1, "format": 2}', "appears twice"),
        ('{"format": "riskpipe-snapshot", "version": true, "as_of": 20240805}', "version is True"),
    ],
)
def test_a_broken_header_is_refused(tmp_path, text, fragment):
    uri = write_snapshot(tmp_path)
    (tmp_path / "snapshot.json").write_text(text)
    assert any(fragment in problem for problem in problems_of(uri))


@pytest.mark.parametrize(
    ("text", "hour"), [("2024-08-05T06:00:00", 6), ("2024-08-05T06:00:00+02:00", 4), ("2024-08-05T06:00:00Z", 6)]
)
def test_as_of_is_utc_unless_it_carries_a_zone(tmp_path, text, hour):
    snapshot = read_snapshot(write_snapshot(tmp_path, header={"as_of": text}))
    assert snapshot.as_of == datetime(2024, 8, 5, hour, tzinfo=UTC)


def test_what_the_format_does_not_know_is_ignored_with_a_finding(tmp_path):
    table = arrow_table("accounts", rows()["accounts"]).append_column("shoe_size", pa.array([1, 2, 3, 4, 5]))
    uri = write_snapshot(tmp_path, accounts=table, header={"mood": "good"})
    pq.write_table(table, tmp_path / "dept.parquet")
    found = [(finding.reason, finding.where) for finding in read_snapshot(uri).findings]
    assert found == [
        (Reason.UNKNOWN_COLUMN, "snapshot.json"),
        (Reason.UNKNOWN_COLUMN, "accounts"),
        (Reason.UNKNOWN_FILE, "dept.parquet"),
    ]


def test_a_column_that_appears_twice_is_refused(tmp_path):
    table = arrow_table("balances", rows()["balances"])
    (problem,) = problems_of(
        write_snapshot(tmp_path, balances=table.append_column("quantity", table.column("quantity")))
    )
    assert "'quantity' appears 2 times" in problem


@pytest.mark.parametrize("make", [lambda path: path / "absent", lambda path: path, lambda _: pathlib.Path("nope://x")])
def test_a_location_without_snapshot_is_refused(tmp_path, make):
    assert len(problems_of(str(make(tmp_path)))) == 1
