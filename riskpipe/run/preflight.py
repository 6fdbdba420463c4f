"""Preflight: what a run will take, forecast before it starts and held against the configuration's limits.

The constants are measured ones of a core of a common server; every run compares its forecast with what it took
(`riskpipe.run.outcome`), which shows when they drift. Nothing here depends on the machine that plans, except the number
of workers, which is not kept in the plan.
"""

import math
import os
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from riskpipe.config import ExecutorClass, LimitsConfig, RunConfig, SimulatedConfig
from riskpipe.domain.book import Book, OffsetArray
from riskpipe.domain.scenarios import ASSET_AXIS, BASIS_AXIS, SIMULATED, ScenarioSet, own_axis_of
from riskpipe.domain.schema import VARIABLES
from riskpipe.errors import ConfigError
from riskpipe.liquidation.footprint import kernel_bytes
from riskpipe.run.memory import machine_bytes

# time on one core
LEAST_TOLD_SECONDS = 1.0
SECONDS_PER_BLOCK = 0.15  # opening, writing and reading back its chunks
SECONDS_PER_POSITION = 8.0e-7  # what a block does once for the whole book, however few its scenarios
SECONDS_PER_POSITION_SCENARIO = 3.0e-8  # a scenario with its cascade, alike ones once
SECONDS_PER_SCANNED_SCENARIO = 4.0e-7  # the same of a position under portfolio margin, for each of some 35 cells

# how scenarios are cut into blocks
TARGET_BLOCK_SECONDS = 3.0
LARGEST_FIXED_SHARE = 0.2
BLOCKS_PER_WORKER = 4

# anonymous memory of a worker
LIBRARIES_BYTES = 236_000_000  # an idle worker that has loaded the compiled kernel
MAPPED_LIBRARIES_BYTES = 160_000_000  # code of libraries: resident, but not anonymous
FORECAST_HEADROOM = 1.5
SCENARIO_NUMBERS = 9  # of each scenario, moves of single assets and instruments apart
SCENARIO_COPIES = 2  # the arrays, and the file that they are read from

# the store, compressed and not
METADATA_BYTES = 250_000
STRING_BYTES = 16
PART_ROW_BYTES, STORED_PART_ROW_BYTES = 32, 13
HIT_SHARE = 0.35  # of the accounts, in a block of the central variant
STORED_RESULT_SHARE = 0.6  # of the scenarios computed: copies of alike ones compress to nothing
STORED_ACCOUNT_SHARE = 0.35

_REMEDIES = {
    "blocks": "set a larger block_size, or compute fewer scenarios",
    "core_hours": "compute fewer scenarios or variants",
    "wall_seconds": "start more workers (n_workers), or compute fewer scenarios or variants",
    "worker_memory_bytes": "set a smaller block_size",
    "store_bytes": "compute fewer scenarios or variants",
}


@dataclass(frozen=True)
class Forecast:
    """What a run will take.

    Attributes
    ----------
    scenarios: of the cube. computed_scenarios: those that are computed, once where a block holds alike ones.
    blocks: units of work. block_seconds: the longest one's time on one core. core_seconds: of all blocks.
    worker_bytes: anonymous memory of a worker at its peak, the sum of worker_bytes_by_part. mapped_bytes: of the book,
        which workers map and share.
    store_bytes: of cube and parts as stored. uncompressed_bytes: the same before compression.
    searched_scenarios: computed at most, beside the blocks, by the search for exhausting moves; search_seconds: what
        they take on one core.
    attribution_seconds: of computing the tail of the simulated set once more, after the blocks, in the night's process.
    """

    scenarios: int
    computed_scenarios: int
    blocks: int
    block_seconds: float
    core_seconds: float
    worker_bytes: int
    worker_bytes_by_part: Mapping[str, int]
    mapped_bytes: int
    store_bytes: int
    uncompressed_bytes: int
    searched_scenarios: int = 0
    search_seconds: float = 0.0
    attribution_seconds: float = 0.0

    def wall_seconds(self, n_workers: int) -> float:
        """Seconds that the blocks take on so many workers, each block as long as the mean, and what follows."""
        blocks = math.ceil(self.blocks / n_workers) * self.core_seconds / max(self.blocks, 1)
        return blocks + self.search_seconds / n_workers + self.attribution_seconds

    def as_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def as_text(self, n_workers: int) -> str:
        """One line for a person."""
        searched = f" and a search of {self.searched_scenarios:,}" if self.searched_scenarios else ""
        more = self.attribution_seconds
        tail = f", then {seconds_text(more)} of attributing the tail" if more >= LEAST_TOLD_SECONDS else ""
        return (
            f"preflight: {count_text(self.blocks, 'block')} of {count_text(self.scenarios, 'scenario')}{searched}; "
            f"{seconds_text(self.core_seconds + self.search_seconds)} of computing, "
            f"{seconds_text(self.wall_seconds(n_workers))} on {count_text(n_workers, 'worker')}{tail}; "
            f"{bytes_text(self.worker_bytes)} of memory a worker, and a book of "
            f"{bytes_text(self.mapped_bytes)} mapped; {bytes_text(self.store_bytes)} stored "
            f"({bytes_text(self.uncompressed_bytes)} before compression)"
        )


def forecast(
    book: Book,
    scenarios: ScenarioSet,
    sizes: dict[str, int],
    block_size: int,
    n_searched: int = 0,
    attributed: SimulatedConfig | None = None,
) -> Forecast:
    """Forecast a run of `scenarios` in blocks of `block_size`; `sizes` are those of the cube's dimensions.

    `n_searched` scenarios more are computed by a search, and `attributed` says of which tail contributions are.
    """
    computed = computed_scenarios(scenarios, block_size, has_options=bool(book.is_option.any()))
    seconds = _fixed_seconds(book.n_positions) + scenario_seconds(book) * computed
    memory = worker_bytes(book, sizes, block_size, int(computed.max(initial=0)), scenario_bytes(book, scenarios))
    stored, uncompressed = _store_bytes(book, scenarios, sizes, computed, block_size)
    return Forecast(
        scenarios=len(scenarios),
        computed_scenarios=int(computed.sum()),
        blocks=len(computed),
        block_seconds=float(seconds.max(initial=0.0)),
        core_seconds=float(seconds.sum()),
        worker_bytes=sum(memory.values()),
        worker_bytes_by_part=memory,
        mapped_bytes=sum(array.nbytes for array in (*book.arrays().values(), *book.labels.values())),
        store_bytes=stored,
        uncompressed_bytes=uncompressed,
        searched_scenarios=n_searched,
        search_seconds=scenario_seconds(book) * n_searched,
        attribution_seconds=0.0 if attributed is None else _attribution_seconds(book, attributed),
    )


def _attribution_seconds(book: Book, attributed: SimulatedConfig) -> float:
    """Seconds of computing a tail, and again without each of some entities; a copy of the kernel for each."""
    n_tail = math.ceil(attributed.n * (1.0 - attributed.attributed_level))
    return (1 + attributed.without_entities) * (_fixed_seconds(book.n_positions) + n_tail * scenario_seconds(book))


def computed_scenarios(scenarios: ScenarioSet, block_size: int, *, has_options: bool) -> OffsetArray:
    """Count the scenarios that each block computes, int64 [blocks].

    Without options, scenarios of one block that differ in the volatility axis alone are computed once.
    """
    block = np.arange(len(scenarios)) // block_size
    differs_by = (
        block,
        scenarios.variant,
        scenarios.set_index,
        scenarios.index_shock,
        scenarios.basis_shock,
        scenarios.depth_factor,
        scenarios.haircut_shock,
        *([scenarios.vol_shock] if has_options else []),
        *([] if scenarios.own_value is None else scenarios.own_value.T),
    )
    distinct = np.unique(np.stack([np.asarray(axis, dtype=np.float64) for axis in differs_by], axis=1), axis=0)
    return np.bincount(distinct[:, 0].astype(np.int64), minlength=math.ceil(len(scenarios) / block_size))


def scenario_seconds(book: Book) -> float:
    """Seconds that one scenario of a block takes on one core."""
    n_scanned = int(np.diff(book.pool_position_start)[book.pool_is_portfolio].sum())
    return (book.n_positions - n_scanned) * SECONDS_PER_POSITION_SCENARIO + n_scanned * SECONDS_PER_SCANNED_SCENARIO


def _fixed_seconds(n_positions: int) -> float:
    return SECONDS_PER_BLOCK + n_positions * SECONDS_PER_POSITION


def scenario_bytes(book: Book, scenarios: ScenarioSet) -> int:
    """Bytes of the scenarios that every worker reads whole, moves of single assets and instruments among them.

    A plan is made before those moves are known: where the run will have any, they are counted by what moves them.
    """
    is_simulated = SIMULATED in scenarios.sets
    assets = book.n_assets if is_simulated or _has_axis(scenarios, ASSET_AXIS) else 0
    contracts = book.n_instruments if is_simulated or _has_axis(scenarios, BASIS_AXIS) else 0
    return SCENARIO_COPIES * 8 * len(scenarios) * (SCENARIO_NUMBERS + assets + contracts + len(scenarios.own_axes))


def _has_axis(scenarios: ScenarioSet, kind: str) -> bool:
    return any(own_axis_of(axis, kind) is not None for axis in scenarios.own_axes)


def worker_bytes(
    book: Book, sizes: dict[str, int], block_size: int, n_lanes: int, scenarios_bytes: int = 0
) -> dict[str, int]:
    """Anonymous bytes of a worker at its peak, by part; `scenarios_bytes` are those of `scenario_bytes`."""
    return {
        "libraries": LIBRARIES_BYTES,
        "scenarios": scenarios_bytes,
        "kernel": kernel_bytes(book, n_lanes),
        "results": 2
        * _variable_bytes(sizes | {"scenario": block_size}, per_block=True),  # as computed, and as written or read back
        # counts of every account and set, and rows of those hit, as gathered and as written
        "accounts": book.n_accounts * (16 * sizes["set"] + int(2 * PART_ROW_BYTES * HIT_SHARE)),
    }


def _variable_bytes(sizes: dict[str, int], *, per_block: bool) -> int:
    """Bytes before compression of the variables that blocks write, or of those that are written once."""
    return sum(
        math.prod(sizes[name] for name in variable.dims) * (STRING_BYTES if variable.dtype == "string" else 8)
        for variable in VARIABLES.values()
        if variable.per_block is per_block
    )


def _store_bytes(
    book: Book, scenarios: ScenarioSet, sizes: dict[str, int], computed: OffsetArray, block_size: int
) -> tuple[int, int]:
    """Bytes of cube and parts as stored, and before compression."""
    results = _variable_bytes(sizes, per_block=True)
    once = _variable_bytes(sizes, per_block=False)
    n_central = len(np.unique(np.flatnonzero(scenarios.variant == 0) // block_size))  # only these say who was hit
    rows = n_central * HIT_SHARE * book.n_accounts
    distinct_share = float(computed.sum()) / max(len(scenarios), 1)
    stored = results * distinct_share * STORED_RESULT_SHARE + once * STORED_ACCOUNT_SHARE + rows * STORED_PART_ROW_BYTES
    uncompressed = results + once + rows * PART_ROW_BYTES
    return METADATA_BYTES + int(stored), METADATA_BYTES + int(uncompressed)


def expected_workers(config: RunConfig) -> int:
    """Return how many workers a run is planned for; what a cluster elsewhere really has shows when it is reached."""
    if config.executor == "serial":
        return 1
    named = config.executor.kwargs.get("n_workers") if isinstance(config.executor, ExecutorClass) else None
    return config.n_workers or (named if isinstance(named, int) and named > 0 else None) or os.cpu_count() or 1


def choose_block_size(config: RunConfig, book: Book, scenarios: ScenarioSet, sizes: dict[str, int]) -> int:
    """Return scenarios per block: as configured, or what `auto` chooses.

    Auto aims at blocks of about three seconds and at four blocks for each worker, but at no block of which more than a
    fifth goes into what every block does once, unless a worker would be left without one. Within `limits` where that
    is possible: fewer and larger blocks for `blocks`, then smaller ones for `worker_memory_bytes`.
    """
    n, workers, limits = len(scenarios), expected_workers(config), config.limits
    if config.block_size != "auto":
        return min(config.block_size, n)
    has_options = bool(book.is_option.any())

    def longest(size: int) -> int:
        return int(computed_scenarios(scenarios, size, has_options=has_options).max(initial=0))

    sizes_tried = range(1, n + 1)
    a_scenario = scenario_seconds(book)
    fixed = _fixed_seconds(book.n_positions)
    by_time = bisect_right(sizes_tried, TARGET_BLOCK_SECONDS, key=lambda size: fixed + a_scenario * longest(size))
    worthwhile = 1 + bisect_left(
        sizes_tried, fixed * (1.0 / LARGEST_FIXED_SHARE - 1.0), key=lambda size: a_scenario * longest(size)
    )
    size = max(min(by_time, math.ceil(n / (BLOCKS_PER_WORKER * workers))), worthwhile)
    size = max(1, min(size, math.ceil(n / workers)))
    if limits.blocks is not None:
        size = max(size, math.ceil(n / limits.blocks))
    if limits.worker_memory_bytes is not None:
        whole = scenario_bytes(book, scenarios)
        while size > 1 and sum(worker_bytes(book, sizes, size, size, whole).values()) > limits.worker_memory_bytes:
            size = math.ceil(size / 2)
    return size


def check_limits(predicted: Forecast, limits: LimitsConfig, n_workers: int) -> None:
    """Raise ConfigError naming every limit that a run would exceed, what is predicted, and what to do."""
    wall = predicted.wall_seconds(n_workers)
    core_hours = (predicted.core_seconds + predicted.search_seconds + predicted.attribution_seconds) / 3600.0
    parts = ", ".join(f"{name} {bytes_text(size)}" for name, size in predicted.worker_bytes_by_part.items())
    found: dict[str, tuple[float, str]] = {
        "blocks": (predicted.blocks, count_text(predicted.blocks, "block")),
        "core_hours": (core_hours, f"{core_hours:.4g} core hours"),
        "wall_seconds": (wall, f"{wall:,.4g} s on {count_text(n_workers, 'worker')}"),
        "worker_memory_bytes": (predicted.worker_bytes, f"{bytes_text(predicted.worker_bytes)} ({parts})"),
        "store_bytes": (predicted.store_bytes, bytes_text(predicted.store_bytes)),
    }
    problems = []
    for name, (value, text) in found.items():
        allowed = getattr(limits, name)
        if allowed is not None and value > allowed:
            written = bytes_text(allowed) if name.endswith("_bytes") else f"{allowed:,.6g}"
            problems.append(f"limits.{name}: {text} predicted, {written} allowed: {_REMEDIES[name]}")
    if problems:
        listed = "".join(f"\n  - {problem}" for problem in problems)
        raise ConfigError(f"the run would exceed its limits, so nothing was computed; or raise them{listed}")


def worker_memory_limit(predicted: Forecast, limits: LimitsConfig) -> int | None:
    """Return the bytes of resident memory at which a local worker is stopped; None, no limit, unless one is set.

    Mapped pages count as resident although the system can drop them, so they come on top of the anonymous memory
    allowed; and what is a little over its forecast is let alone.
    """
    if limits.worker_memory_bytes is None:
        return None
    anonymous = max(limits.worker_memory_bytes, int(FORECAST_HEADROOM * predicted.worker_bytes))
    return anonymous + predicted.mapped_bytes + MAPPED_LIBRARIES_BYTES


def memory_warning(predicted: Forecast, n_processes: int, available: int | None = None) -> str | None:
    """Return a line of warning where processes of this machine may want more memory than it has, else None."""
    available = machine_bytes() if available is None else available
    wanted = predicted.worker_bytes * n_processes
    if available is None or wanted <= available:
        return None
    return (
        f"warning: {count_text(n_processes, 'worker')} may need {bytes_text(wanted)} of memory, and this machine has "
        f"{bytes_text(available)}: start fewer (n_workers), or set a smaller block_size"
    )


def count_text(n: int, noun: str, plural: str = "") -> str:
    """A count with its noun: `1 block`, `1,024 blocks`."""
    return f"{n:,} {noun if n == 1 else plural or f'{noun}s'}"


def seconds_text(value: float) -> str:
    """A duration: `0.4 s`, `25 s`, `12 min`, `3.4 h`."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if value >= 2 * size:
            return f"{value / size:.2g} {unit}" if value < 100 * size else f"{value / size:,.0f} {unit}"
    return f"{value:.2g} s" if value < 100 else f"{value:.0f} s"


def bytes_text(value: float) -> str:
    """A size in powers of 1000: `640 kB`, `1.2 GB`."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f} B"
