"""Small nights for tests: inputs, configurations and comparisons."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml
from prometheus_client.parser import text_string_to_metric_families

import riskpipe
from riskpipe.config import resolve
from riskpipe.run.night import mute
from riskpipe.run.nightly import NightResult, run_night
from riskpipe.run.synthesis import synthesise

GRID = {
    "index_shock": [-0.4, -0.15, 0.0, 0.2],
    "basis_shock": [-0.02, 0.0],
    "vol_shock": [0.0, 0.5],
    "depth_factor": [1.0, 0.2],
}


def write_inputs(directory: Path, *, n_accounts: int = 150, seed: int = 7, fitted: str | None = "BTC") -> Path:
    """Write a snapshot, and the hours of all indices and of one underlying's contracts, or with None of all contracts.

    Fits and spreads of 31 contracts would be half the time of a small night.
    """
    synthesise(directory, n_accounts=n_accounts, seed=seed)
    if fitted is not None:
        path = directory / "history.parquet"
        table = pq.read_table(path)
        is_kept = pc.fill_null(pc.match_substring(table["instrument_id"], f"-{fitted}"), fill_value=True)
        pq.write_table(table.filter(is_kept), path)
    return directory


def settings(inputs: Path, store: Path | str, **changes) -> dict:
    return {
        "snapshot": str(inputs / "snapshot"),
        "history": str(inputs / "history.parquet"),
        "store": str(store),
        "executor": "serial",
        "scenarios": {"grid": GRID},
        "variants": {"gap_share": [1.0, 0.0]},
        "venues": {
            "alpha": {"liquidation": {"fee_rate": 0.005}, "impact": {"kappa": 0.3}},
            "bravo": {"impact": {"law": "linear", "kappa": 0.2, "price_floor": 0.5}},
        },
    } | changes


def run_on(inputs: Path, store: Path | str, *, is_published: bool = True, say=mute, **changes) -> NightResult:
    """Run the night of `settings` on these inputs."""
    config = resolve(settings(inputs, store, **changes), subject="test")
    return run_night(config, is_published=is_published, say=say)


def write_config(path: Path, data: dict) -> Path:
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


def riskpipe_command(*arguments: object, check: bool = False, **kwargs) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "riskpipe", *map(str, arguments)], capture_output=True, text=True, check=check, **kwargs
    )


def start_command(*arguments: object) -> subprocess.Popen:
    """Start a command in a process group of its own, so that it can be killed with all it has started."""
    return subprocess.Popen(
        [sys.executable, "-m", "riskpipe", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ,
    )


def decoded(store: Path | str) -> dict[str, np.ndarray]:
    """Every array and coordinate of the newest published cube, strings included."""
    tree = riskpipe.open_cube(str(store))
    return {
        f"{node.path}/{name}": variable.values
        for node in tree.subtree
        for name, variable in node.to_dataset(inherit=False).variables.items()
    }


def assert_same_bits(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> None:
    assert first.keys() == second.keys()
    for name, values in first.items():
        other = second[name]
        assert values.shape == other.shape, name
        if values.dtype.kind == "f":
            assert values.tobytes() == other.tobytes(), name
        else:
            assert (values == other).all(), name


def attempts(store: Path) -> dict[int, list[dict]]:
    """Records of tries by block, whichever run they belong to."""
    found: dict[int, list[dict]] = {}
    for path in sorted(store.glob("runs/*/attempts/block-*.json")):
        record = json.loads(path.read_text())
        found.setdefault(record["block"], []).append(record)
    return found


def metrics_of(file: Path) -> dict[tuple[str, str | None], float]:
    """What a file of Prometheus metrics holds, by name and what it is of: a stage or a state, or nothing."""
    families = text_string_to_metric_families(file.read_text(encoding="utf-8"))
    return {(s.name, s.labels.get("stage") or s.labels.get("state")): s.value for f in families for s in f.samples}


def marks(store: Path) -> list[Path]:
    return sorted(store.glob("runs/*/marks/block-*.json"))
