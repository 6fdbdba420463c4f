"""Memory: what a process holds for itself is seen, even if it is given back before anyone looks at the end."""

import mmap
import sys
import time

import numpy as np
import pytest

from riskpipe.run.memory import PeakMemory, anonymous_bytes, machine_bytes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
MEGABYTE = 1_000_000


def test_memory_that_was_given_back_counts_at_the_peak():
    with PeakMemory() as memory:
        held = mmap.mmap(-1, 200 * MEGABYTE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        np.frombuffer(held, np.uint8)[::4096] = 1
        time.sleep(0.2)
        held.close()
    assert memory.peak - memory.before > 190 * MEGABYTE
    assert anonymous_bytes() < memory.peak - 150 * MEGABYTE


def test_a_mapped_file_does_not_count(tmp_path):
    path = tmp_path / "book.npy"
    np.save(path, np.ones(25 * MEGABYTE))
    with PeakMemory() as memory:
        mapped = np.load(path, mmap_mode="r")
        assert mapped.sum() == 25 * MEGABYTE
    assert memory.peak - memory.before < 50 * MEGABYTE


def test_the_machine_has_memory():
    assert machine_bytes() > anonymous_bytes()
