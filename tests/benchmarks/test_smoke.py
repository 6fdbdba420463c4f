"""Benchmarks run once at a tiny size, so that they never rot."""

import json
import subprocess
import sys
from pathlib import Path


def test_benchmarks_run_and_write_their_figures(tmp_path):
    root = Path(__file__).parents[2]
    out = tmp_path / "bench.json"
    subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "--smoke", "--out", out], cwd=root, check=True, capture_output=True
    )
    figures = json.loads(out.read_text())["figures"]
    assert all(value > 0 for value in figures.values())
