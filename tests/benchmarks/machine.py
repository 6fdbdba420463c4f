"""On what it was measured: processor, cores, memory, versions; and what a process really holds in memory."""

import os
import platform
import re
import subprocess
import threading
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from riskpipe.numerics import numerics_fingerprint, source_hash

from .settings import ROOT

LIBRARIES = ("dask", "distributed", "llvmlite", "numba", "numpy", "pandas", "polars", "pyarrow", "scipy", "xarray")


def about() -> dict[str, Any]:
    """Machine, versions and the sources measured."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": _first(r"model name\s*:\s*(.*)", "/proc/cpuinfo") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(int(_first(r"MemTotal:\s*(\d+)", "/proc/meminfo") or 0) / 2**20, 1),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
        "numerics": numerics_fingerprint().sha,
        "sources": source_hash()[:16],
        "commit": _commit(),
    }


def _first(pattern: str, path: str) -> str:
    try:
        found = re.search(pattern, Path(path).read_text(encoding="utf-8"))
    except OSError:  # not Linux
        return ""
    return found.group(1).strip() if found else ""


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def anonymous_bytes() -> int:
    """Memory of this process that is its own: no page of a mapped file counts, until it is written to."""
    return 1024 * int(_first(r"^(?:.*\n)*Anonymous:\s*(\d+)", "/proc/self/smaps_rollup"))


def mapped_bytes(part: str) -> int:
    """Resident bytes of mapped files whose path contains `part`."""
    total, is_inside = 0, False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        first = line.split(maxsplit=1)[0]
        if not first.endswith(":"):
            is_inside = part in line
        elif is_inside and first == "Rss:":
            total += 1024 * int(line.split()[1])
    return total


class AnonymousPeak:
    """Samples this process's anonymous memory until the block ends; compiled code runs beside the sampling thread."""

    def __init__(self, every_s: float = 0.01) -> None:
        self.bytes = anonymous_bytes()
        self._every_s = every_s
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def _sample(self) -> None:
        while not self._is_over.wait(self._every_s):
            self.bytes = max(self.bytes, anonymous_bytes())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._is_over.set()
        self._thread.join()
        self.bytes = max(self.bytes, anonymous_bytes())
