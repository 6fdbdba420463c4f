"""Rows of what is around a night's work: Prefect and Dask beside minutes of it, and nights of thousands of blocks."""

import math
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from support.serving import serving

from riskpipe.config import RunConfig
from riskpipe.cube.marks import read_attempts
from riskpipe.cube.store import open_store
from riskpipe.domain.book import FloatArray
from riskpipe.run.nightly import run_night

from .books import Inputs
from .night_rows import N_WORKERS, scenarios_of
from .scaling import slab_axes
from .settings import Figure, Measured

CLUSTER = ("compute",)
"""Stages whose work is the workers' own seconds; other stages do theirs in the flow's process."""


def orchestration(inputs: Inputs) -> Measured:
    """A flow on a running Prefect server whose blocks run on a running Dask cluster: what is not work of the night."""
    sizes = inputs.sizes
    per_block = scenarios_of(inputs, sizes.night_block_seconds)
    n_blocks = N_WORKERS * math.ceil(sizes.orchestrated_seconds / sizes.night_block_seconds)
    axes = slab_axes(16 * math.ceil(per_block * n_blocks / 16))
    grid = [f"scenarios.grid.{name}={list(values)}" for name, values in axes.items()]
    folder = inputs.folder / "orchestration"
    configs = folder / "configs"
    configs.mkdir(parents=True)
    config = inputs.night(
        sizes.snapshot_accounts,
        folder / "store",
        f"block_size={per_block}",
        "scenarios.grid.vol_shock=[0.0]",
        "executor=local",
        *grid,
    )
    (configs / "long.yaml").write_text(yaml.safe_dump(_as_given(config)), encoding="utf-8")
    with serving(folder, configs, n_workers=N_WORKERS) as served:
        ended, said = served.ended("ad-hoc/ad-hoc", config="long.yaml", overrides=[])
        if ended.state != "COMPLETED":
            raise RuntimeError(f"the night ended as {ended.state}: {ended.message}\n{said}")
        with served.client() as client:
            run = client.read_flow_runs(sort="ID_DESC", limit=1)[0]
    in_flow = run.total_run_time.total_seconds()
    stages, blocks = _seconds(folder / "store", ended.result["run_id"])
    shutil.rmtree(folder / "store")
    of_workers = sum(sum(seconds.values()) for seconds in blocks) / N_WORKERS
    work = of_workers + sum(seconds for name, seconds in stages.items() if name not in CLUSTER)
    between = in_flow - sum(stages.values())
    return Measured(
        (Figure("Prefect and Dask in a night of minutes, share of its time", 1.0 - work / in_flow, at_most=0.10),),
        {
            "seconds from Running to the end": in_flow,
            "seconds from submission to Running (worker's poll, process, imports)": (
                run.start_time - run.created
            ).total_seconds(),
            "seconds outside stages": between,
            "compute stage less its work shared by the workers, seconds": stages["compute"] - of_workers,
            "blocks": len(blocks),
            "work, seconds": work,
            **{f"stage {name}, seconds": seconds for name, seconds in stages.items()},
        },
    )


def many_blocks(inputs: Inputs) -> Measured:
    """Seconds from one block's end to the next, in a night of few blocks and in one of ten times as many.

    One scenario each. Workers' first blocks, which open inputs, do not count, nor does starting the cluster: what grows
    with the number of blocks must not hide behind what a night costs however few they are.
    """
    paces: dict[int, FloatArray] = {}
    details: dict[str, Any] = {}
    for n in (inputs.sizes.few_blocks, inputs.sizes.many_blocks):
        store = inputs.folder / f"blocks-{n}"
        grid = [f"scenarios.grid.{name}={list(values)}" for name, values in slab_axes(n).items()]
        config = inputs.night(
            inputs.sizes.many_blocks_accounts,
            store,
            "executor=local",
            "block_size=1",
            "scenarios.grid.vol_shock=[0.0]",
            *grid,
        )
        outcome = run_night(config)
        stages, blocks = _seconds(store, outcome.run_id)
        paces[n] = _paces(store, outcome.run_id)
        shutil.rmtree(store)
        each = {name: seconds / len(blocks) for name, seconds in stages.items()}
        each["computing, one after the other"] = sum(sum(seconds.values()) for seconds in blocks) / len(blocks)
        each["from one end to the next"] = float(paces[n].mean())
        details[f"{n} scenarios, {len(blocks)} blocks: milliseconds a block"] = {
            name: 1000.0 * seconds for name, seconds in each.items()
        }
    few, many = paces.values()
    n_few = len(few)
    return Measured(
        (
            Figure("a block among many over one among few", float(many.mean() / few.mean()), at_most=1.1),
            Figure(
                "the last of many blocks over as many of the first",
                float(many[-n_few:].mean() / many[:n_few].mean()),
                at_most=1.1,
            ),
        ),
        details,
    )


def _paces(store: Path, run_id: str) -> FloatArray:
    """Seconds between the ends of blocks in turn, from when each worker has done its first."""
    attempts = read_attempts(open_store(str(store)), run_id)
    done = [attempt for attempt in attempts if attempt.get("state") == "done" and "block" in attempt]
    ends = {attempt["block"]: datetime.fromisoformat(attempt["finished"]).timestamp() for attempt in done}
    first: dict[int, float] = {}
    for attempt in done:
        end = ends[attempt["block"]]
        first[attempt["pid"]] = min(first.get(attempt["pid"], end), end)
    return np.diff(np.sort([end for end in ends.values() if end >= max(first.values())]))


def _seconds(store: Path, run_id: str) -> tuple[dict[str, float], list[dict[str, float]]]:
    """Wall seconds of each stage, and of the parts of each block."""
    attempts = sorted(read_attempts(open_store(str(store)), run_id), key=_started)
    stages = {attempt["stage"]: attempt["seconds"] for attempt in attempts if "stage" in attempt}
    blocks = [attempt["seconds"] for attempt in attempts if attempt.get("state") == "done" and "block" in attempt]
    return stages, blocks


def _started(attempt: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(attempt["started"])


def _as_given(config: RunConfig) -> dict[str, Any]:
    given: dict[str, Any] = config.model_dump(mode="json", by_alias=True, exclude_none=True)
    return given
