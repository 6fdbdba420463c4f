"""Measure, in one process and one run: `make bench` prints a table of ratios and writes JSON beside it.

Ratios are compared, never seconds: machines are noisy. `--smoke` runs everything once at a tiny size, as a test does.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pyarrow.parquet as pq

from riskpipe.calibrate.market import calibrate
from riskpipe.config import DEFAULT_STABLE_ASSETS
from riskpipe.ingest.assemble import assemble
from riskpipe.ingest.read import read_snapshot
from riskpipe.ingest.synthetic.write import write_snapshot
from riskpipe.liquidation.compiled import make_work, pool_health, set_shocked
from riskpipe.liquidation.kernel import Kernel
from riskpipe.run.wiring import default_rules
from riskpipe.scenarios.grid import scenario_set

GRID = {
    "index_shock": (-0.4, -0.2, -0.1, 0.0, 0.1, 0.2),
    "basis_shock": (-0.02, 0.0),
    "depth_factor": (1.0, 0.25),
}


@numba.njit(error_model="numpy", _nrt=False)
def bare_loop(health, size, price, offset, n_passes):
    """The yardstick: a streamed multiply-add over price rows of 64 scenarios, nothing else."""
    for _ in range(n_passes):
        for q in range(len(size)):
            a, b, row = size[q], offset[q], price[q % len(price)]
            for s in range(len(health)):
                health[s] += a * row[s] - b


@numba.njit(error_model="numpy", _nrt=False)
def health_passes(pools, terms, work, n_passes):
    """Health of every pool under one scenario's prices, many times over."""
    total = 0.0
    for _ in range(n_passes):
        for p in range(len(pools.account)):
            equity, maintenance, _ = pool_health(pools, terms, work.amounts, p, work.shocked, 0.0)
            total += equity - maintenance
    return total


def best(function: Callable[[], Any], repeats: int) -> float:
    """Seconds of the fastest of several calls, after one that may compile."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def measure_kernel(kernel: Kernel, repeats: int) -> dict[str, float]:
    """Health pass and whole cascades against the bare loop of the same process."""
    n = kernel.book.n_positions
    lanes, n_passes = 64, max(1, 2_000_000 // n)
    rng = np.random.default_rng(0)
    price = rng.uniform(0.5, 1.5, (kernel.book.n_instruments, lanes))
    health = np.zeros(lanes)
    size, offset = kernel.pools.size, kernel.pools.offset
    bare = lanes * n * n_passes / best(lambda: bare_loop(health, size, price, offset, n_passes), repeats)
    work = make_work(kernel.pools, kernel.terms)
    set_shocked(kernel.terms, work.shocked, -0.2, 0.0)
    seconds = best(lambda: health_passes(kernel.pools, kernel.terms, work, n_passes), repeats)
    dense = n * n_passes / seconds
    scenarios = scenario_set(GRID)
    block = best(lambda: kernel.run(scenarios), repeats) / len(scenarios)
    return {
        "bare loop, position-scenarios a second": bare,
        "health pass, position-scenarios a second": dense,
        "health pass over bare loop": dense / bare,
        "whole scenario over one health pass": block * dense / n,
    }


def measure_ingest(directory: Path, repeats: int) -> dict[str, float]:
    """Parquet to Book over reading the same files only."""
    files = sorted((directory / "snapshot").glob("*.parquet"))
    plain = best(lambda: [pq.read_table(file) for file in files], repeats)
    whole = best(lambda: assemble([read_snapshot(str(directory / "snapshot"))]), repeats)
    return {"snapshot to book over read_table": whole / plain}


def measure_help(repeats: int) -> dict[str, float]:
    """`riskpipe --help` over importing typer, each in a fresh process."""

    def seconds(code: str) -> float:
        return best(lambda: subprocess.run([sys.executable, "-c", code], check=True, capture_output=True), repeats)

    shown = "import sys; sys.argv = ['riskpipe', '--help']; from riskpipe.cli import main; main()"
    return {"riskpipe --help over import typer": seconds(shown) / seconds("import typer")}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, once")
    parser.add_argument("--out", type=Path, default=Path("bench.json"))
    arguments = parser.parse_args()
    n_accounts, repeats = (200, 1) if arguments.smoke else (arguments.accounts, 5)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        write_snapshot(directory, n_accounts=n_accounts, seed=1, as_of=datetime(2026, 1, 5, tzinfo=UTC))
        book, _ = assemble([read_snapshot(str(directory / "snapshot"))])
        rules = default_rules(book)
        market, _ = calibrate(book, rules, None, stable_assets=DEFAULT_STABLE_ASSETS)
        figures = measure_kernel(Kernel(book, market, rules), repeats)
        figures |= measure_ingest(directory, repeats)
    figures |= measure_help(repeats)
    about = {
        "accounts": n_accounts,
        "positions": book.n_positions,
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
    }
    for name, value in (about | figures).items():
        sys.stdout.write(f"{name:<45} {value:,.3g}\n" if isinstance(value, float) else f"{name:<45} {value}\n")
    arguments.out.write_text(json.dumps({"about": about, "figures": figures}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
