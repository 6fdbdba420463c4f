"""Rows around the kernel: reading a snapshot, generating one, first calls, the command line's start."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping

import pyarrow.parquet as pq

from riskpipe.ingest.assemble import assemble
from riskpipe.ingest.read import read_snapshot

from .books import Inputs
from .settings import ROOT, Figure, Measured
from .timing import best_in_turn, seconds

_FIRST_CALL = """
import sys, time
from riskpipe.liquidation.kernel import Kernel
from tests.benchmarks.books import Inputs
inputs = Inputs.from_arguments(*sys.argv[1:3])
book = inputs.book(int(sys.argv[3]))
market, rules, scenarios = inputs.world(book, int(sys.argv[3]))
kernel = Kernel(book, market, rules)
start = time.perf_counter()
kernel.run(scenarios.slab(0, 1))
print(time.perf_counter() - start)
"""


def snapshot(inputs: Inputs) -> Measured:
    """Parquet snapshot to Book over reading the same files."""
    folder = inputs.snapshot(inputs.sizes.snapshot_accounts) / "snapshot"
    files = sorted(folder.glob("*.parquet"))
    rows = sum(pq.read_metadata(file).num_rows for file in files)
    times = best_in_turn(
        {
            "read_table": lambda: [pq.read_table(file) for file in files],
            "book": lambda: assemble([read_snapshot(str(folder))]),
        },
        inputs.sizes.repeats,
    )
    return Measured(
        (Figure("snapshot to Book over read_table", times["book"] / times["read_table"], at_most=3.0),),
        {"rows": rows, "rows a second": rows / times["book"]}
        | {f"{name}, seconds": time for name, time in times.items()},
    )


def synth(inputs: Inputs) -> Measured:
    """`riskpipe synth` in a process of its own; what it writes serves the other rows."""
    n_accounts = inputs.sizes.snapshot_accounts
    folder = inputs.folder / f"synth-{n_accounts}"
    if folder.exists():
        folder = inputs.folder / "synth-again"
    command = [sys.executable, "-m", "riskpipe", "synth", folder, "--accounts", str(n_accounts)]
    command += ["--seed", str(inputs.settings.seed)]
    time = seconds(lambda: subprocess.run(command, check=True, capture_output=True))
    return Measured((Figure(f"riskpipe synth --accounts {n_accounts}, seconds", time),))


def first_call(inputs: Inputs) -> Measured:
    """Seconds of a process's first call of the kernel: compiled afresh, and loaded from the cache."""
    n_accounts = inputs.settings.smoke.snapshot_accounts

    def first(environment: Mapping[str, str]) -> float:
        done = subprocess.run(
            [sys.executable, "-c", _FIRST_CALL, *inputs.arguments(), str(n_accounts)],
            cwd=ROOT,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        return float(done.stdout)

    inputs.snapshot(n_accounts)
    figures = []
    if inputs.sizes.compiles_afresh:
        with tempfile.TemporaryDirectory() as cache:
            compiled = first(os.environ | {"NUMBA_CACHE_DIR": cache})
        figures.append(Figure("first call of the kernel, compiled, seconds", compiled))
    loaded = min(first(os.environ) for _ in range(2))  # the first fills the cache where it is empty
    figures.append(Figure("first call of the kernel, from the cache, seconds", loaded))
    return Measured(tuple(figures))


def command_line(inputs: Inputs) -> Measured:
    """`riskpipe --help` over importing typer, each in a process of its own."""

    def start(code: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

    shown = "import sys; sys.argv = ['riskpipe', '--help']; from riskpipe.cli import main; main()"
    times = best_in_turn({"help": lambda: start(shown), "typer": lambda: start("import typer")}, inputs.sizes.repeats)
    return Measured((Figure("riskpipe --help over import typer", times["help"] / times["typer"]),))
