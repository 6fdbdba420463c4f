"""A process that computes as a worker does and tells its memory, as JSON on its last line.

`python -m tests.benchmarks.memory_worker night STORE RUN_ID BLOCK` computes one block of a planned run;
`... large FOLDER SIZES STORE BASE BOOK N_TILES` runs a slab over a book of n tiles, whole and in halves.
"""

import hashlib
import json
import sys
from typing import Any

import distributed  # noqa: F401  a worker holds it
import numpy as np

from riskpipe.cube.books import open_book
from riskpipe.cube.store import open_store
from riskpipe.domain.scenarios import ScenarioSet
from riskpipe.liquidation.kernel import BlockResult, Kernel
from riskpipe.run.block import BlockJob, compute_block
from riskpipe.run.plan import read_plan
from riskpipe.scenarios.grid import scenario_set

from .books import Inputs, deeper
from .machine import AnonymousPeak, mapped_bytes
from .scaling import slab_axes

SUMS = ("liquidated_accounts", "liquidated_notional", "margin_call_accounts", "broken_hedge_notional", "rounds")


def night(store: str, run_id: str, block: str) -> dict[str, Any]:
    start, stop = read_plan(open_store(store), run_id)["blocks"][int(block)]
    compute_block(BlockJob(store, run_id, int(block), start, stop))
    return {"mapped": mapped_bytes("/books/")}


def large(folder: str, sizes: str, store: str, base: str, sha: str, n_tiles: str) -> dict[str, Any]:
    inputs = Inputs.from_arguments(folder, sizes)
    scenarios = scenario_set(slab_axes(inputs.sizes.large_scenarios))
    market, rules, _ = inputs.world(open_book(store, base), inputs.sizes.dense_accounts)
    book = open_book(store, sha)
    kernel = Kernel(book, deeper(market, float(n_tiles)), rules)
    half = len(scenarios) // 2
    whole = _digests(kernel, scenarios)
    halves = _digests(kernel, scenarios.slab(0, half)) + _digests(kernel, scenarios.slab(half, len(scenarios)))
    one = Kernel(open_book(store, base), market, rules).run(scenarios)
    system = kernel.run(scenarios.slab(0, half)).values
    return {
        "mapped": mapped_bytes("/books/"),
        "positions": book.n_positions,
        "is_same_bits_in_halves": whole == halves,
        "sums": {name: system[f"system/{name}"].tolist() for name in SUMS},
        "sums_of_one_tile": {name: one.values[f"system/{name}"][:half].tolist() for name in SUMS},
    }


def _digests(kernel: Kernel, scenarios: ScenarioSet) -> list[str]:
    """One hash for each scenario of everything that a block writes of it."""
    result: BlockResult = kernel.run(scenarios)
    return [
        hashlib.sha256(
            b"".join(np.ascontiguousarray(result.values[name][s]).tobytes() for name in sorted(result.values))
        ).hexdigest()
        for s in range(len(scenarios))
    ]


def main() -> None:
    with AnonymousPeak() as peak:
        before = peak.bytes
        found = {"night": night, "large": large}[sys.argv[1]](*sys.argv[2:])
    sys.stdout.write(json.dumps({"before": before, "peak": peak.bytes, **found}) + "\n")


if __name__ == "__main__":
    main()
