"""A book larger than its worker: mapped from disk, walked, the same bits."""

import numpy as np
import pytest

from riskpipe.cube.books import open_book
from tests.benchmarks.books import Inputs, store_tiled, taken, tiled
from tests.benchmarks.memory import run_large
from tests.benchmarks.settings import read_settings

SETTINGS = read_settings()


@pytest.fixture
def inputs(tmp_path):
    return Inputs(SETTINGS, SETTINGS.full.changed(["dense_accounts=20000"]), tmp_path)


@pytest.mark.parametrize(
    "n_positions",
    [
        SETTINGS.full.large_positions // 20,
        pytest.param(SETTINGS.full.large_positions, marks=pytest.mark.bench),
    ],
)
def test_a_mapped_book_needs_little_memory_of_its_own(inputs, n_positions):
    found = run_large(inputs, n_positions)
    share = n_positions / SETTINGS.full.large_positions
    # two gigabytes for twenty million positions; what Python and compiled code hold does not shrink with the book
    fixed = found["before"] + 100e6
    limit = min(SETTINGS.full.large_limit_bytes, fixed + share * (SETTINGS.full.large_limit_bytes - fixed))
    assert found["peak"] < limit
    assert found["is_same_bits_in_halves"]
    assert found["positions"] == pytest.approx(n_positions, rel=0.05)


def test_a_book_tiled_on_disk_is_the_book_tiled_in_memory(inputs, tmp_path):
    base = taken(inputs.book(300), 200)
    sha = store_tiled(str(tmp_path / "store"), base, 3)
    stored, whole = open_book(str(tmp_path / "store"), sha, is_verified=True), tiled(base, 3)
    assert stored.n_accounts == 3 * base.n_accounts
    for name, array in whole.arrays().items():
        np.testing.assert_array_equal(getattr(stored, name), array, err_msg=name)
        assert getattr(stored, name).dtype == getattr(base, name).dtype
