"""Price history: nothing later than as_of is read, and identity does not depend on files."""

from datetime import UTC, datetime, timedelta

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskpipe.calibrate.history import read_history
from riskpipe.domain.findings import Reason
from riskpipe.errors import InputRefused

AS_OF = datetime(2024, 8, 5, tzinfo=UTC)


def rows(n_hours=100, *, until=AS_OF, instruments=("BTCUSDT", "ETHUSDT"), step=timedelta(hours=1)):
    ts = [until - step * k for k in range(n_hours)]
    rng = np.random.default_rng(n_hours)
    n = n_hours * (len(instruments) + 1)
    return pa.table({
        "ts": pa.array(ts * (len(instruments) + 1), pa.timestamp("us", tz="UTC")),
        "instrument_id": pa.array(np.repeat([*instruments, None], n_hours), pa.string()),
        "asset": pa.array(np.repeat([*[None] * len(instruments), "BTC"], n_hours), pa.string()),
        "mark_price": pa.array(rng.uniform(99, 101, n)),
        "index_price": pa.array(rng.uniform(99, 101, n)),
        "index_volume_usd": pa.array(rng.uniform(1, 2, n)),
    })  # fmt: skip


def write(directory, table, name="history.parquet", **options):
    directory.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, directory / name, **options)
    return str(directory)


def test_only_rows_of_the_look_back_up_to_as_of_are_read(tmp_path):
    table = rows(24 * 20, until=AS_OF + timedelta(days=10))
    history = read_history(write(tmp_path, table), as_of=AS_OF, lookback_days=5)
    ts = history.table["ts"].to_pylist()
    assert max(ts) == AS_OF
    assert min(ts) == AS_OF - timedelta(days=5) + timedelta(hours=1)
    assert history.table.num_rows == 5 * 24 * 3


def test_a_later_row_changes_nothing(tmp_path):
    before = read_history(write(tmp_path, rows()), as_of=AS_OF, lookback_days=30)
    write(tmp_path, rows(50, until=AS_OF + timedelta(hours=50)), "later.parquet")
    after = read_history(str(tmp_path), as_of=AS_OF, lookback_days=30)
    assert before.content_hash == after.content_hash
    assert before.table.equals(after.table)


def test_an_earlier_row_inside_the_look_back_changes_the_hash(tmp_path):
    before = read_history(write(tmp_path, rows()), as_of=AS_OF, lookback_days=30)
    write(tmp_path, rows(1, until=AS_OF - timedelta(days=20)), "earlier.parquet")
    assert before.content_hash != read_history(str(tmp_path), as_of=AS_OF, lookback_days=30).content_hash


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_files=st.integers(1, 4), row_group=st.integers(1, 200))
def test_identity_does_not_depend_on_order_files_row_groups_or_column_order(tmp_path_factory, seed, n_files, row_group):
    rng, table = np.random.default_rng(seed), rows(40)
    expected = read_history(write(tmp_path_factory.mktemp("one"), table), as_of=AS_OF, lookback_days=9)
    shuffled = table.take(pa.array(rng.permutation(table.num_rows)))
    directory = tmp_path_factory.mktemp("many")
    for number, part in enumerate(np.array_split(np.arange(table.num_rows), n_files)):
        columns = list(rng.permutation(table.column_names))
        write(directory / f"part={number}", shuffled.take(pa.array(part)).select(columns), row_group_size=row_group)
    got = read_history(str(directory), as_of=AS_OF, lookback_days=9)
    assert got.content_hash == expected.content_hash
    assert got.table.equals(expected.table)


def test_identity_does_not_depend_on_how_a_value_is_stored(tmp_path):
    table = rows(30)
    expected = read_history(write(tmp_path / "plain", table), as_of=AS_OF, lookback_days=9)
    other = table.append_column("funding_rate", pa.nulls(table.num_rows, pa.int32()))
    other = other.set_column(0, "ts", other["ts"].cast(pa.timestamp("ns", tz="UTC")).cast(pa.timestamp("ns")))
    other = other.set_column(1, "instrument_id", other["instrument_id"].dictionary_encode())
    other = other.set_column(2, "asset", other["asset"].cast(pa.large_string()))
    got = read_history(write(tmp_path / "other", other), as_of=AS_OF, lookback_days=9)
    assert got.content_hash == expected.content_hash


@pytest.mark.parametrize("column", ["ts", "instrument_id", "mark_price", "index_price", "index_volume_usd"])
def test_every_value_is_part_of_the_identity(tmp_path, column):
    table = rows(5)
    expected = read_history(write(tmp_path / "one", table), as_of=AS_OF, lookback_days=9).content_hash
    at = table.column_names.index(column)
    values = table[column].to_pylist()
    values[0] = {"ts": AS_OF - timedelta(minutes=1), "instrument_id": "XRPUSDT"}.get(column, 100.25)
    changed = table.set_column(at, column, pa.array(values, table.schema.field(column).type))
    assert read_history(write(tmp_path / "two", changed), as_of=AS_OF, lookback_days=9).content_hash != expected


def test_all_problems_of_all_files_are_listed_at_once(tmp_path):
    write(tmp_path, rows().drop_columns(["index_price"]), "a.parquet")
    table = rows()
    write(tmp_path, table.set_column(3, "mark_price", table["mark_price"].cast(pa.string())), "b.parquet")
    write(tmp_path, table, "c.parquet")
    (tmp_path / "c.parquet").write_bytes((tmp_path / "c.parquet").read_bytes()[:500])
    with pytest.raises(InputRefused) as refused:
        read_history(str(tmp_path), as_of=AS_OF, lookback_days=9)
    text = "\n".join(refused.value.problems)
    assert len(refused.value.problems) == 3
    assert "a.parquet: column 'index_price'" in text
    assert "b.parquet: column 'mark_price' has type string, expected a number" in text
    assert "c.parquet cannot be read as Parquet" in text


def test_nothing_there_is_refused_and_an_empty_window_is_not(tmp_path):
    with pytest.raises(InputRefused, match="nothing is there"):
        read_history(str(tmp_path / "absent"), as_of=AS_OF, lookback_days=9)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputRefused, match="holds no"):
        read_history(str(tmp_path / "empty"), as_of=AS_OF, lookback_days=9)
    uri = write(tmp_path / "old", rows(until=AS_OF - timedelta(days=90)))
    assert read_history(uri, as_of=AS_OF, lookback_days=9).table.num_rows == 0


def test_any_file_system_serves_and_unknown_columns_and_missing_times_are_findings():
    table = rows(10).append_column("colour", pa.array(["red"] * 30))
    ts = table["ts"].to_pylist()
    ts[4] = None
    table = table.set_column(0, "ts", pa.array(ts, table.schema.field("ts").type))
    filesystem = fsspec.filesystem("memory")
    with filesystem.open("/riskpipe-history/history.parquet", "wb") as target:
        pq.write_table(table, target)
    history = read_history("memory://riskpipe-history", as_of=AS_OF, lookback_days=9)
    assert history.table.num_rows == 29
    assert {item.reason: item.count for item in history.findings} == {Reason.UNKNOWN_COLUMN: 1, Reason.BAD_VALUE: 1}
    filesystem.rm("/riskpipe-history", recursive=True)
