"""Memory: what this process holds for itself, and what the machine has.

Anonymous memory is what a process cannot give back: pages of mapped files (a book, the code of libraries) are left out,
for the system can drop them at any time. Read from `RssAnon` of /proc/self/status, which costs 25 us however much is
mapped; the exact sum of `smaps_rollup` walks every page (7 ms with 1 GB mapped).
"""

import os
import re
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

_SAMPLE_S = 0.02
_STATUS = Path("/proc/self/status")
_CONTAINER = Path("/sys/fs/cgroup/memory.max")


def anonymous_bytes() -> int | None:
    """Anonymous memory of this process, bytes; None where the system does not tell (it does on Linux)."""
    try:
        found = re.search(rb"^RssAnon:\s+(\d+) kB$", _STATUS.read_bytes(), flags=re.MULTILINE)
    except OSError:
        return None
    return None if found is None else int(found[1]) * 1024


def machine_bytes() -> int | None:
    """Memory of this machine, or what its container may use if that is less, bytes; None where it is not told."""
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    try:
        return min(machine, int(_CONTAINER.read_text()))
    except (OSError, ValueError):  # no container, or "max"
        return machine


class PeakMemory:
    """Watches this process while its `with` block runs: looks at both ends, and every 20 ms from a thread between.

    Compiled code runs without Python's lock, so that its scratch is seen too. What other threads of the process hold
    counts as well.
    """

    def __init__(self) -> None:
        self.before = anonymous_bytes()
        """Anonymous bytes at the start; None where they cannot be read."""
        self.peak = self.before
        """The most seen so far; None where it cannot be read."""
        self._is_over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True, name="peak-memory")

    def __enter__(self) -> Self:
        """Start watching."""
        if self.peak is not None:
            self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Look a last time."""
        if self.peak is not None:
            self._is_over.set()
            self._watcher.join()
            self._look()

    def _look(self) -> None:
        self.peak = max(self.peak or 0, anonymous_bytes() or 0)

    def _watch(self) -> None:
        while not self._is_over.wait(_SAMPLE_S):
            self._look()
