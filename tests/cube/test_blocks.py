"""Blocks are written as whole chunks, checked before and after, and never half."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cube_runs import block_arrays, once_arrays, small_template

from riskpipe.cube import blocks
from riskpipe.cube.blocks import read_block, write_block, write_once
from riskpipe.cube.marks import Mark, read_attempts, read_marks, record_attempt, write_mark
from riskpipe.cube.parts import merge_parts, part_digest, read_part, write_part
from riskpipe.cube.template import create_cube
from riskpipe.domain.parts import AccountPart
from riskpipe.errors import StoreError

PREFIX = "runs/x/cube.zarr"


@pytest.fixture
def cube(store):
    create_cube(store, PREFIX, small_template(block_size=5))
    return store


def test_a_block_comes_back_bit_by_bit(cube):
    arrays = block_arrays(5, 10)
    digest = write_block(cube, PREFIX, 5, 10, arrays)
    found = read_block(cube, PREFIX, 5, 10)
    assert found.keys() == arrays.keys()
    assert all(found[key].tobytes() == array.tobytes() for key, array in arrays.items()), "NaN and -0.0 included"
    assert write_block(cube, PREFIX, 5, 10, arrays) == digest, "writing again changes nothing"
    assert np.all(np.isnan(read_block(cube, PREFIX, 0, 5)["system/rounds"])), "and touches no other block"


def test_one_bit_more_is_another_hash(cube):
    arrays = block_arrays(25, 27)
    digest = write_block(cube, PREFIX, 25, 27, arrays)
    arrays["system/rounds"][1] = np.nextafter(arrays["system/rounds"][1], 9)
    assert write_block(cube, PREFIX, 25, 27, arrays) != digest


def test_chunks_of_nothing_but_nan_or_zero_are_written_too(cube):
    arrays = {key: np.full_like(array, np.nan) for key, array in block_arrays(0, 5).items()}
    write_block(cube, PREFIX, 0, 5, arrays)
    for key, array in arrays.items():
        assert cube.exists(f"{PREFIX}/{key}/c/{'/'.join('0' * array.ndim)}"), key


@pytest.mark.parametrize(("start", "stop"), [(0, 4), (1, 5), (3, 8), (20, 26), (24, 27)])
def test_a_misaligned_block_is_refused_with_the_race_and_the_remedy(memory_store, start, stop):
    cube = memory_store
    create_cube(cube, PREFIX, small_template(block_size=5))
    with pytest.raises(StoreError, match=r"the later would undo the earlier(.|\n)*block_bounds\(27, 5\)"):
        write_block(cube, PREFIX, start, stop, block_arrays(start, stop))


@pytest.mark.parametrize(("start", "stop"), [(25, 30), (-5, 5), (5, 5)])
def test_a_block_outside_the_cube_is_refused(memory_store, start, stop):
    cube = memory_store
    create_cube(cube, PREFIX, small_template(block_size=5))
    with pytest.raises(StoreError, match="lies outside its 27 scenarios"):
        write_block(cube, PREFIX, start, stop, {})


def test_every_fault_of_a_block_is_listed_and_nothing_is_written(cube):
    arrays = block_arrays(0, 5)
    del arrays["system/rounds"]
    arrays["system/mood"] = arrays["system/liquidated_notional"]
    arrays["funds/shortfall"] = arrays["funds/shortfall"][:, :2]
    arrays["funds/residual"] = arrays["funds/residual"].astype(np.float32)
    arrays["accounts/equity"] = np.zeros(7)
    with pytest.raises(StoreError) as caught:
        write_block(cube, PREFIX, 0, 5, arrays)
    for fault in (
        "system/rounds is missing",
        "system/mood is not a variable written here",
        "accounts/equity is not a variable written here",
        "funds/shortfall has shape (5, 2), expected (5, 3)",
        "funds/residual has dtype float32, expected float64",
    ):
        assert fault in str(caught.value)
    assert not [key for key in cube.list(PREFIX) if "/funds/fee_offset/c/" in key]


def test_a_disk_that_loses_a_bit_is_caught(cube, monkeypatch):
    original = type(cube).write

    def lossy(self, key, data):
        if "/funds/shortfall/c/" in key:
            data = self.read(f"{PREFIX}/funds/residual/c/0/0")
        original(self, key, data)

    arrays = block_arrays(0, 5)
    write_block(cube, PREFIX, 0, 5, arrays)
    monkeypatch.setattr(type(cube), "write", lossy)
    with pytest.raises(StoreError, match="reads back otherwise than it was written: funds/shortfall"):
        write_block(cube, PREFIX, 0, 5, arrays)


def test_arrays_are_opened_once(cube, monkeypatch):
    opened = []
    original = blocks.open_arrays
    monkeypatch.setattr(blocks, "open_arrays", lambda *given: opened.append(given) or original(*given))
    for start in (0, 5, 10):
        write_block(cube, PREFIX, start, start + 5, block_arrays(start, start + 5))
    assert len(opened) == 1


def test_a_block_without_a_cube_is_refused(store):
    with pytest.raises(StoreError, match="create the template first"):
        write_block(store, PREFIX, 0, 5, block_arrays(0, 5))


def test_whole_variables_are_written_once_text_included(cube):
    arrays = once_arrays()
    first = {key: arrays.pop(key) for key in list(arrays) if key.startswith("basis/")}
    assert write_once(cube, PREFIX, first) != write_once(cube, PREFIX, arrays)
    group = blocks.open_arrays(cube, PREFIX)
    for key, array in {**first, **arrays}.items():
        found = np.asarray(group[key][...])
        assert found.tolist() == array.tolist(), key
    with pytest.raises(StoreError, match=r"accounts/equity has shape \(3,\), expected \(7,\)"):
        write_once(cube, PREFIX, {"accounts/equity": np.zeros(3)})
    with pytest.raises(StoreError, match="system/rounds is not a variable written here"):
        write_once(cube, PREFIX, {"system/rounds": np.zeros(27)})


def part(*rows):
    accounts, sets, counts, maxima = zip(*rows, strict=True) if rows else ((), (), (), ())
    return AccountPart(
        np.array(accounts, np.int64), np.array(sets, np.int64), np.array(counts, np.int64), np.array(maxima, np.float64)
    )


def test_a_part_comes_back_and_any_parquet_reader_can_read_it(store, tmp_path):
    given_part = part((2, 0, 3, 0.1), (2, 1, 1, 0.0), (5, 0, 2, 7.25))
    digest = write_part(store, "runs/x/parts/block-00000.parquet", given_part)
    found = read_part(store, "runs/x/parts/block-00000.parquet")
    assert all(np.array_equal(column, found.columns()[name]) for name, column in given_part.columns().items())
    assert part_digest(store, "runs/x/parts/block-00000.parquet") == digest
    (tmp_path / "plain.parquet").write_bytes(store.read("runs/x/parts/block-00000.parquet"))
    assert pq.read_table(tmp_path / "plain.parquet").column_names == [
        "account_ix", "set_ix", "liquidated_scenarios", "shortfall_max",
    ]  # fmt: skip
    assert write_part(store, "empty", part()) != digest


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (part((2, 0, 1, 0.0), (1, 0, 1, 0.0)), "ascending"),
        (part((2, 0, 1, 0.0), (2, 0, 1, 0.0)), "ascending"),
        (part((2, 0, 1, -1.0)), "not negative"),
        (part((2, 0, 1, np.nan)), "finite"),
        (AccountPart(np.zeros(1, np.int32), *list(part((2, 0, 1, 0.0)).columns().values())[1:]), "types int64"),
    ],
)
def test_a_part_that_could_be_merged_wrongly_is_refused(store, bad, message):
    with pytest.raises(StoreError, match=message):
        write_part(store, "p", bad)


ROWS = st.dictionaries(
    st.tuples(st.integers(0, 5), st.integers(0, 1)), st.tuples(st.integers(0, 9), st.floats(0, 1e12)), max_size=8
)


@given(st.lists(ROWS, max_size=5), st.randoms())
def test_merging_is_a_sum_and_a_maximum_in_any_order(tables, random):
    parts = [part(*((*key, *value) for key, value in sorted(rows.items()))) for rows in tables]
    counts, maxima = merge_parts(parts, 6, 2)
    for account in range(6):
        for set_ix in range(2):
            values = [rows[account, set_ix] for rows in tables if (account, set_ix) in rows]
            assert counts[account, set_ix] == sum(count for count, _ in values)
            assert maxima[account, set_ix] == max((largest for _, largest in values), default=0)
    random.shuffle(parts)
    again = merge_parts(parts, 6, 2)
    assert counts.tobytes() == again[0].tobytes()
    assert maxima.tobytes() == again[1].tobytes()


def test_an_account_that_does_not_exist_is_refused():
    with pytest.raises(StoreError, match="outside 0 to 5"):
        merge_parts([part((6, 0, 1, 0.0))], 6, 2)


def test_marks_are_read_by_block_and_attempts_are_kept_apart(store):
    mark = Mark(12, 60, 65, "a" * 64, "b" * 64, "c" * 16)
    assert read_marks(store, "x") == {}
    write_mark(store, "x", mark)
    record_attempt(store, "x", 12, {"host": "here", "seconds": 1.5})
    record_attempt(store, "x", 12, {"host": "there", "seconds": 2.5})
    assert read_marks(store, "x") == {12: mark}
    assert sorted(attempt["host"] for attempt in read_attempts(store, "x")) == ["here", "there"]
    store.write("runs/x/marks/block-00013.json", store.read("runs/x/marks/block-00012.json"))
    with pytest.raises(StoreError, match="speaks of block 12"):
        read_marks(store, "x")
    store.write("runs/x/marks/block-00013.json", b'{"block": 13}')
    with pytest.raises(StoreError, match="not a done-mark"):
        read_marks(store, "x")
