from itertools import pairwise

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from riskpipe.ingest.columns import enumerate_some, equals, repeated_rows, rows_of, unique_names

MANY = [f"id-{n:04d}" for n in range(1_500)]


def chunked(chunks, *, is_coded):
    """Give each chunk, if coded, a dictionary of its own, as row groups have."""
    coded = [chunk.dictionary_encode() for chunk in chunks]
    return pa.chunked_array(coded if is_coded else chunks, pa.dictionary(pa.int32(), pa.string()) if is_coded else None)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([*MANY[::97], "absent", "", None]), st.integers(1, 9)), max_size=30),
    st.booleans(),
    st.integers(0, 3),
    st.booleans(),
)
def test_rows_of_names_are_those_of_a_dictionary(runs, is_sorted, n_cuts, is_coded):
    ids = MANY if is_sorted else MANY[::-1]
    names = [name for name, length in runs for _ in range(length)]
    cuts = [len(names) * k // (n_cuts + 1) for k in range(n_cuts + 2)]
    chunks = [pa.array(names[start:stop], pa.string()) for start, stop in pairwise(cuts)]
    column = chunked(chunks, is_coded=is_coded)
    found = rows_of(column, pa.array(ids))
    place = {name: row for row, name in enumerate(ids)}
    assert found.dtype == np.int32
    assert found.tolist() == [place.get(name, -1) for name in names]
    for text in ("absent", "", MANY[97]):
        assert equals(pa.table({"name": column}), "name", text).tolist() == [name == text for name in names]


def test_a_list_of_ids_finds_itself():
    for ids in (MANY, MANY[::-1]):
        assert rows_of(pa.array(ids), pa.array(ids)).tolist() == list(range(len(ids)))


@given(st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from(["x", "y", None])), max_size=12))
def test_a_row_repeats_if_an_earlier_one_has_its_whole_key(keys):
    table = pa.table(
        {"one": pa.array([a for a, _ in keys], pa.string()), "two": pa.array([b for _, b in keys], pa.string())}
    )
    strict = [row for row, key in enumerate(keys) if None not in key and key in keys[:row]]
    assert repeated_rows(table, ("one", "two")).tolist() == strict
    loose = [row for row, key in enumerate(keys) if key[0] is not None and key in keys[:row]]
    assert repeated_rows(table, ("one", "two"), null_is_value=("two",)).tolist() == loose
    single = [row for row, (a, _) in enumerate(keys) if a is not None and a in [key[0] for key in keys[:row]]]
    assert repeated_rows(table, ("one",)).tolist() == single


def test_names_keep_the_order_of_first_appearance():
    first, second = pa.array(["b", None, "a", "b"]), [pa.array(["c", "a"]), pa.array(["d", None, "a"])]
    for is_coded in (False, True):
        names = unique_names(first, chunked(second, is_coded=is_coded))
        assert names.type == pa.string()
        assert names.to_pylist() == ["b", "a", "c", "d"]
    unused = pa.DictionaryArray.from_arrays(pa.array([2, None, 1, 2], pa.int32()), pa.array(["x", "y", "z"]))
    assert unique_names(unused).to_pylist() == ["z", "y"]


def test_a_long_list_says_how_much_it_leaves_out():
    assert enumerate_some(["a", "b", "c"], limit=2) == "a; b (and 1 more)"
    assert enumerate_some(["a", "b"], 7) == "a; b (and 5 more)"
