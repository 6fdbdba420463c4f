import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from riskpipe.ingest.names import NameIndex

# few letters, so that names repeat, begin and end alike, and are as long as one another
NAMES = st.one_of(st.none(), st.text("ab\0é", max_size=4), st.sampled_from(["account-1", "account-2", "bccount-1"]))


def first_rows(ids):
    rows = {}
    for row, name in enumerate(ids):
        rows.setdefault(name, row)
    rows[None] = -1
    return rows


@settings(deadline=None)
@given(st.lists(NAMES, max_size=30), st.lists(NAMES, max_size=30), st.integers(0, 5), st.integers(0, 5))
def test_a_name_is_found_at_the_first_equal_id(ids, names, ids_cut, names_cut):
    # slices: arrays that begin inside their buffers
    index = NameIndex(pa.array(ids, pa.string())[ids_cut:])
    found = index.rows_of(pa.array(names, pa.string())[names_cut:])
    place = first_rows(ids[ids_cut:])
    assert found.dtype == np.int32
    assert found.tolist() == [place.get(name, -1) for name in names[names_cut:]]
    assert index.first.tolist() == [place[name] for name in ids[ids_cut:]]
    assert index.repeated().tolist() == [
        row for row, name in enumerate(ids[ids_cut:]) if name is not None and place[name] < row
    ]


def test_names_are_found_in_any_order_of_many_ids():
    rng = np.random.default_rng(5)
    ids = [f"{n:x}-{'x' * (n % 23)}" for n in rng.permutation(20_000)]
    index = NameIndex(pa.array(ids))
    assert len(index.repeated()) == 0
    in_order = np.repeat(np.arange(20_000), rng.integers(0, 3, 20_000))
    for rows in (in_order, rng.permutation(in_order)):
        assert np.array_equal(index.rows_of(pa.array(ids).take(pa.array(rows))), rows)
    assert set(index.rows_of(pa.array([name + "y" for name in ids])).tolist()) == {-1}
