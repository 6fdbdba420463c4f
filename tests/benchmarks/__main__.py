"""Measure in one run and print one table: `make bench`, or `python -m tests.benchmarks --only ROW`.

Ratios are compared, not seconds: machines are noisy. `--smoke` runs every row once at a tiny size, as a test does.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("POLARS_MAX_THREADS", "1")  # read when polars is imported; all is measured per core
sys.path.append(str(Path(__file__).parents[1]))  # books that tests make

from . import fit_rows, ingest_rows, kernel_rows, memory, night_rows, orchestration_rows, portfolio_rows, scaling
from .books import Inputs
from .machine import about
from .settings import Measured, read_settings
from .table import compared, table

ROWS: dict[str, Callable[[Inputs], Measured]] = {
    "synth": ingest_rows.synth,
    "snapshot": ingest_rows.snapshot,
    "first-call": ingest_rows.first_call,
    "health": kernel_rows.health,
    "baselines": kernel_rows.baselines,
    "block": kernel_rows.block,
    "rounds": kernel_rows.rounds,
    "portfolios": portfolio_rows.scans,
    "growth": scaling.growth,
    "processes": scaling.processes,
    "night": night_rows.compute_stage,
    "writes": night_rows.auto_blocks,
    "memory": memory.promised,
    "large-book": memory.large,
    "fits": fit_rows.basis_fits,
    "help": ingest_rows.command_line,
}
LONG: dict[str, Callable[[Inputs], Measured]] = {
    "orchestration": orchestration_rows.orchestration,
    "many-blocks": orchestration_rows.many_blocks,
}
"""Rows of many minutes, measured where they are asked for by name."""
ALL = ROWS | LONG


def main() -> int:
    """Measure, print, write; 1 where a row could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="every row once, at a tiny size")
    parser.add_argument("--only", action="append", choices=ALL, metavar="ROW", help=f"one row of: {', '.join(ALL)}")
    parser.add_argument("--set", action="append", default=[], metavar="SIZE=VALUE", help="another size (YAML)")
    parser.add_argument("--out", type=Path, default=Path("bench.json"), help="where the figures go")
    parser.add_argument("--against", type=Path, help="figures of an earlier run to compare with")
    arguments = parser.parse_args()
    before = json.loads(arguments.against.read_text(encoding="utf-8")) if arguments.against else None
    settings = read_settings()
    sizes = (settings.smoke if arguments.smoke else settings.full).changed(arguments.set)
    result: dict[str, Any] = {
        "about": about(),
        "settings": settings.model_dump(mode="json", exclude={"full", "smoke"}),
        "sizes": sizes.model_dump(mode="json"),
        "figures": {},
        "details": {},
        "seconds": {},
        "failed": {},
    }
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="riskpipe-bench-") as folder:
        inputs = Inputs(settings, sizes, Path(folder))
        for name in arguments.only or ROWS:
            _measure(name, inputs, result)
    result["seconds"]["all"] = time.perf_counter() - started
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(table(result))
    if before is not None:
        sys.stdout.write(compared(result, before))
    return 1 if result["failed"] else 0


def _measure(name: str, inputs: Inputs, result: dict[str, Any]) -> None:
    """Measure one row; one that fails is listed and spoils no other."""
    sys.stderr.write(f"{name} ... ")
    sys.stderr.flush()
    start = time.perf_counter()
    try:
        measured = ALL[name](inputs)
    except Exception as error:  # noqa: BLE001  whatever it was, the other rows are worth having
        result["failed"][name] = f"{type(error).__name__}: {error}"
        sys.stderr.write(f"failed: {result['failed'][name]}\n")
        return
    result["figures"] |= {figure.name: figure.as_json() for figure in measured.figures}
    result["details"][name] = dict(measured.details)
    result["seconds"][name] = time.perf_counter() - start
    sys.stderr.write(f"{result['seconds'][name]:.0f} s\n")


if __name__ == "__main__":
    sys.exit(main())
