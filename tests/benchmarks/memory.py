"""Rows about memory: a worker's own against what was promised, and a book larger than the worker."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from riskpipe.cube.books import put_book
from riskpipe.cube.layout import book_prefix
from riskpipe.cube.store import open_store
from riskpipe.run.night import open_night, run_stage
from riskpipe.run.plan import read_plan
from riskpipe.run.stages import STAGES

from .books import Inputs, store_tiled
from .settings import ROOT, Figure, Measured


def promised(inputs: Inputs) -> Measured:
    """Anonymous memory of a fresh worker at its peak over what the plan of the default night promises."""
    store = inputs.folder / "night-memory"
    night = open_night(inputs.night(inputs.sizes.snapshot_accounts, store, "executor=serial"))
    for stage in STAGES[:3]:
        run_stage(night, stage)
    plan = read_plan(night.store, night.run_id)
    found = _in_worker("night", store, night.run_id, 0)
    book = store / book_prefix(plan["book_sha256"])
    book_bytes = sum(path.stat().st_size for path in book.glob("*.npy"))
    shutil.rmtree(store)
    promise = plan["preflight"]["worker_bytes"]
    return Measured(
        (Figure("anonymous memory of a worker at its peak over the promise", found["peak"] / promise, at_most=1.1),),
        {
            "promised bytes": promise,
            "anonymous bytes at the peak": found["peak"],
            "of these before the block (Python and libraries)": found["before"],
            "book bytes on disk": book_bytes,
            "book bytes mapped and resident": found["mapped"],
            "scenarios a block": plan["block_size"],
        },
    )


def large(inputs: Inputs) -> Measured:
    """A slab over a book of many positions, mapped from disk, under a limit on anonymous memory."""
    found = run_large(inputs, inputs.sizes.large_positions)
    return Measured(
        (
            Figure(
                f"anonymous bytes at the peak, {found['positions'] / 1e6:.3g} million positions",
                found["peak"],
                at_most=float(inputs.sizes.large_limit_bytes),
            ),
            Figure("same bits in halves of that slab", float(found["is_same_bits_in_halves"]), at_least=1.0),
        ),
        {name: found[name] for name in ("positions", "before", "peak", "mapped")},
    )


def run_large(inputs: Inputs, n_positions: int) -> dict[str, Any]:
    """Tile a generated book to n_positions on disk and run it in a process of its own; the files go again."""
    store = inputs.folder / "large"
    try:
        base = inputs.book(inputs.sizes.dense_accounts)
        base_sha = put_book(open_store(str(store)), base)
        n_tiles = max(1, round(n_positions / base.n_positions))
        sha = store_tiled(str(store), replace(base, fund_balance=base.fund_balance * n_tiles), n_tiles)
        found = _in_worker("large", *inputs.arguments(), store, base_sha, sha, n_tiles)
    finally:
        shutil.rmtree(store, ignore_errors=True)
    for name, values in found["sums_of_one_tile"].items():
        expected = np.array(values) * (1 if name == "rounds" else n_tiles)
        np.testing.assert_allclose(found["sums"][name], expected, rtol=1e-9, err_msg=name)
    return found | {"tiles": n_tiles}


def _in_worker(*arguments: str | int | Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.memory_worker", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
