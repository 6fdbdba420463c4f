"""Rows of whole nights: how busy blocks keep the workers, what writing costs, and how many tasks Dask sees."""

import json
import math
import shutil
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import dask
import numpy as np

from riskpipe.config import RunConfig
from riskpipe.liquidation.kernel import Kernel
from riskpipe.run.night import Night, open_night, run_stage
from riskpipe.run.stages import STAGES

from . import task_count
from .books import Inputs
from .scaling import slab_axes
from .settings import Figure, Measured
from .timing import best

N_WORKERS = 2
UP_TO_COMPUTE = ("ingest", "calibrate", "scenarios", "compute")


def compute_stage(inputs: Inputs) -> Measured:
    """Wall time of the compute stage over the kernel's seconds shared by the workers, with blocks of a good size."""
    sizes = inputs.sizes
    n_accounts = sizes.snapshot_accounts
    per_block = scenarios_of(inputs, sizes.night_block_seconds)
    axes = slab_axes(16 * math.ceil(per_block * sizes.night_blocks / 16))
    store = inputs.folder / "night"
    overrides = [f"scenarios.grid.{name}={list(values)}" for name, values in axes.items()]
    config = inputs.night(
        n_accounts, store, "executor=local", f"block_size={per_block}", "scenarios.grid.vol_shock=[0.0]", *overrides
    )
    task_count.counted.clear()
    with dask.config.set({"distributed.scheduler.preload": [task_count.__name__]}):
        wall, started, records = _night(config)
    shutil.rmtree(store)
    kernel = np.array([record["seconds"]["compute"] for record in records])
    tasks = dict(task_count.counted)
    first = min(datetime.fromisoformat(record["started"]).timestamp() for record in records)
    return Measured(
        (
            Figure("compute stage over kernel seconds / workers", wall / (kernel.sum() / N_WORKERS), at_most=1.10),
            Figure(
                "Dask tasks over blocks", sum(tasks.values()) / len(records), at_most=1.0 + N_WORKERS / len(records)
            ),
        ),
        {
            "blocks": len(records),
            "scenarios a block": per_block,
            "blocks a worker, fewest": min(np.unique([r["pid"] for r in records], return_counts=True)[1].tolist()),
            "kernel seconds a block, mean": float(kernel.mean()),
            "kernel seconds a block, least of the full ones": float(np.sort(kernel)[1:].min(initial=kernel.max())),
            "opening inputs and writing, seconds a worker": sum(
                record["seconds"]["load"] + record["seconds"]["write"] for record in records
            )
            / N_WORKERS,
            "wall seconds of the stage": wall,
            "seconds until the first block starts (cluster, compiled code, book check)": first - started,
            "from first block to the end over kernel seconds / workers": (wall - first + started)
            / (kernel.sum() / N_WORKERS),
            "Dask tasks": tasks,
        },
    )


def auto_blocks(inputs: Inputs) -> Measured:
    """Writing, reading back and marking over computing, in the default night at the block size it chooses itself."""
    store = inputs.folder / "night-auto"
    config = inputs.night(inputs.sizes.snapshot_accounts, store, "executor=local", "variants.gap_share=[1.0,0.0]")
    wall, _, records = _night(config)
    shutil.rmtree(store)
    total = {name: sum(record["seconds"][name] for record in records) for name in records[0]["seconds"]}
    return Measured(
        (Figure("writes and marks over compute, auto block size", total["write"] / total["compute"], at_most=0.05),),
        {
            "blocks": len(records),
            "wall seconds of the stage": wall,
            **{f"{name}, seconds of all blocks": value for name, value in total.items()},
            "compute seconds a block, mean": total["compute"] / len(records),
        },
    )


def scenarios_of(inputs: Inputs, seconds: float) -> int:
    """Distinct scenarios that take the kernel so long on one core, from one trial slab."""
    from riskpipe.scenarios.grid import scenario_set

    n_accounts = inputs.sizes.snapshot_accounts
    book = inputs.book(n_accounts)
    market, rules, _ = inputs.world(book, n_accounts)
    kernel, n = Kernel(book, market, rules), inputs.sizes.process_scenarios
    kernel.prepare()  # also what no trial comes to, which else the compute stage would compile while it is measured
    trial = scenario_set(slab_axes(n))
    return max(1, math.ceil(seconds * n / best(lambda: kernel.run(trial), 2)))


def _night(config: RunConfig) -> tuple[float, float, list[dict[str, Any]]]:
    """Run a night's stages up to compute: wall seconds of the compute stage, when it began, and its blocks' records."""
    night = open_night(config)
    stages = {stage.name: stage for stage in STAGES}
    for name in UP_TO_COMPUTE[:-1]:
        run_stage(night, stages[name])
    began = time.time()
    run_stage(night, stages["compute"])
    wall = time.time() - began
    return wall, began, _records(night)


def _records(night: Night) -> list[dict[str, Any]]:
    """The finished try of every block."""
    folder = Path(night.store.local_path(f"runs/{night.run_id}/attempts/x")).parent
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("block-*.json"))]
    return [record for record in found if record["state"] == "done"]
