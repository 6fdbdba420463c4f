"""One block: the pure unit of work that executors map over a night."""

import os
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np

from riskpipe.calibrate.surface import conditional_basis_vol
from riskpipe.cube.blocks import write_block
from riskpipe.cube.books import open_book
from riskpipe.cube.digest import canonical_json
from riskpipe.cube.layout import cube_prefix, manifest_key, part_key
from riskpipe.cube.marks import Mark, read_mark, record_attempt, write_mark
from riskpipe.cube.parts import write_part
from riskpipe.cube.store import Store, open_store
from riskpipe.domain.scenarios import ScenarioSet
from riskpipe.errors import StoreError
from riskpipe.liquidation.kernel import Kernel
from riskpipe.numerics import numerics_fingerprint
from riskpipe.run.inputs import read_market, read_scenarios, rules_from_json
from riskpipe.run.memory import PeakMemory
from riskpipe.run.plan import read_plan


@dataclass(frozen=True)
class BlockJob:
    """Which block of which run; everything else is read from the store."""

    store: str
    run_id: str
    block: int
    start: int
    stop: int

    def __str__(self) -> str:
        """Name the block for errors and logs."""
        return f"block {self.block} (scenarios {self.start} to {self.stop - 1}) of run {self.run_id}"


def open_kernel(store: Store, run_id: str, plan: dict[str, Any]) -> Kernel:
    """Return the kernel of a run whose market is kept; its book is memory-mapped where the store is a folder."""
    book = open_book(store, plan["book_sha256"])
    return Kernel(book, read_market(store, run_id), rules_from_json(plan["rules"]))


@lru_cache(maxsize=1)
def _inputs(store_uri: str, run_id: str) -> tuple[Kernel, ScenarioSet]:
    """Open a run's inputs once per process.

    The kernel is compiled or loaded here, so that the first block's time is that of computing it.
    """
    store = open_store(store_uri)
    plan = read_plan(store, run_id)
    kernel, scenarios = open_kernel(store, run_id, plan), read_scenarios(store, run_id, plan)
    kernel.prepare()
    return kernel, scenarios


def block_values(kernel: Kernel, scenarios: ScenarioSet) -> tuple[dict[str, np.ndarray], Any]:
    """Compute a slab: every per-block variable of the cube by key, and its part of /accounts."""
    market, result = kernel.market, kernel.run(scenarios)
    basis, mark = result.values["instruments/basis"], result.values["instruments/mark_price"]
    index_before = market.mark_price / (1.0 + market.basis)  # in the unit of the marks, as the history has it
    index_move = mark / (1.0 + basis) / index_before - 1.0
    vol, is_extrapolated = conditional_basis_vol(basis - market.basis, index_move, market)
    result.values["instruments/basis_vol"] = vol
    result.values["instruments/basis_vol_is_extrapolated"] = is_extrapolated.astype(np.float64)
    return result.values, result.part


def _refuse_sealed(store: Store, job: BlockJob) -> None:
    """Refuse to write other bits into a run that another command has sealed meanwhile; equal ones change nothing."""
    if not store.exists(manifest_key(job.run_id)):
        return
    mine, theirs = numerics_fingerprint().sha, read_mark(store, job.run_id, job.block).fingerprint
    if mine != theirs:
        raise StoreError(
            f"{job}: another command has completed the run meanwhile, on a machine of other numerics ({theirs}, here "
            f"{mine}). Nothing of it was changed; run the night again to see it"
        )


def compute_block(job: BlockJob) -> dict[str, Any]:
    """Compute a block, write it, read it back, and mark it done. Doing it twice leaves the same bytes."""
    store = open_store(job.store)
    started = time.perf_counter()
    about = {"started": datetime.now(UTC).isoformat(), "host": socket.gethostname(), "pid": os.getpid()}
    attempt = record_attempt(store, job.run_id, job.block, {**about, "state": "started"})
    with PeakMemory() as memory:
        kernel, scenarios = _inputs(job.store, job.run_id)
        loaded = time.perf_counter()
        values, part = block_values(kernel, scenarios.slab(job.start, job.stop))
        computed = time.perf_counter()
        _refuse_sealed(store, job)
        digest = write_block(store, cube_prefix(job.run_id), job.start, job.stop, values)
        part_digest = write_part(store, part_key(job.run_id, job.block), part)
        fingerprint = numerics_fingerprint().sha
        write_mark(store, job.run_id, Mark(job.block, job.start, job.stop, digest, part_digest, fingerprint))
    finished = time.perf_counter()
    seconds = {"load": loaded - started, "compute": computed - loaded, "write": finished - computed}
    done = {
        **about,
        "state": "done",
        "finished": datetime.now(UTC).isoformat(),
        "seconds": seconds,
        "anonymous_bytes": {"before": memory.before, "peak": memory.peak},
    }
    store.write(attempt, canonical_json({"block": job.block, **done}))
    return {"block": job.block, "seconds": seconds}
