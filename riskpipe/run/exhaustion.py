"""Exhaustion: the smallest moves of the index, and of single assets, that exhaust each fund, searched for by replays.

A fund that one move exhausts may hold at a larger one, so a walk outward looks at every step of its own grid, and then
at every point inside the first step that exhausts: nothing is bisected blindly, nothing interpolated.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from riskpipe.compute import SerialExecutor
from riskpipe.config import ExhaustionConfig, RunConfig
from riskpipe.cube.store import open_store
from riskpipe.domain.book import Book, FloatArray
from riskpipe.domain.scenarios import DIRECTIONS
from riskpipe.ingest.controls import gross_notional
from riskpipe.liquidation.kernel import Kernel
from riskpipe.measures.funds import bracket, left_uncovered
from riskpipe.run.block import open_kernel
from riskpipe.run.inputs import read_scenarios
from riskpipe.run.night import Night
from riskpipe.run.plan import read_plan
from riskpipe.run.preflight import scenario_seconds
from riskpipe.scenarios.walks import Search, walk

INDEX = "index"
IN_PROCESS_SECONDS = 10.0  # of computing, up to which starting workers takes longer than the work
FOUND = ("last_held", "first_exhausted", "heals_at")

IsExhausted = Callable[[FloatArray], np.ndarray]
"""Points [n, 2] of depth factor and move -> whether each exhausts each fund, [n, fund]."""


def search_of(config: RunConfig, book: Book) -> Search:
    """Return what a night searches: the index, then the underlyings with the largest gross notional of the book."""
    settings = config.scenarios.exhaustion
    if settings is None:
        return Search()
    held = np.zeros(book.n_assets)
    np.add.at(held, book.instrument_underlying[book.position_instrument], gross_notional(book))
    is_loan = np.asarray(book.account_is_lending, dtype=np.bool_)[book.slot_account]
    value = np.maximum(book.slot_quantity, 0.0) * book.index_price[book.slot_asset]
    np.add.at(held, book.slot_asset[is_loan], (value * book.account_weight[book.slot_account])[is_loan])
    names = book.names("asset")
    largest = np.argsort(-held, kind="stable")[: settings.assets]
    return Search((INDEX, *(names[c] for c in largest.tolist() if held[c] > 0.0)), settings.depth_factors)


def n_searched(config: RunConfig, search: Search, n_funds: int) -> int:
    """Count the scenarios that a search computes at most."""
    settings = config.scenarios.exhaustion
    if settings is None:
        return 0
    a_walk = 1 + len(DIRECTIONS) * (settings.steps + settings.refine * min(n_funds, settings.steps))
    return len(search.movers) * len(search.depth_factors) * a_walk


@dataclass(frozen=True)
class SearchJob:
    """One mover of a run's search."""

    store: str
    run_id: str
    mover: int
    asset: int | None
    settings: dict[str, Any]

    def __str__(self) -> str:
        """Name the job for errors and logs."""
        return f"search for exhausting moves, mover {self.mover}, of run {self.run_id}"


@lru_cache(maxsize=1)
def _kernel(store_uri: str, run_id: str) -> Kernel:
    store = open_store(store_uri)
    return open_kernel(store, run_id, read_plan(store, run_id))


def search_unit(job: SearchJob) -> dict[str, Any]:
    """Walk one mover outward both ways at every depth, as the central variant has it.

    Returns lists [direction, depth, fund] by name, null = none.
    """
    store = open_store(job.store)
    plan = read_plan(store, job.run_id)
    variant = read_scenarios(store, job.run_id, plan).variants[0]
    kernel, settings = _kernel(job.store, job.run_id), ExhaustionConfig(**job.settings)

    def is_exhausted(points: FloatArray) -> np.ndarray:
        """Whether each fund is exhausted at each (depth factor, move) of points [n, 2]."""
        result = kernel.run(walk(points[:, 1], points[:, 0], job.asset, kernel.book.n_assets, variant)).values
        stages = ("shortfall", "fee_offset", "fund_used", "backstop_loss")
        return np.asarray(left_uncovered(*(result[f"funds/{name}"] for name in stages)) > 0.0)

    found = search(is_exhausted, settings, kernel.book.n_funds)
    return {
        name: [[[None if np.isnan(x) else x for x in row] for row in rows] for rows in values.tolist()]
        for name, values in found.items()
    }


def search(is_exhausted: IsExhausted, settings: ExhaustionConfig, n_funds: int) -> dict[str, FloatArray]:
    """Walk outward both ways at every depth, then inside the first step that exhausts each fund.

    Returns `last_held`, `first_exhausted` and `heals_at`, fractions [direction, depth, fund], NaN = none; see
    `riskpipe.measures.funds.bracket`.
    """
    furthest = {"down": -settings.furthest_down, "up": settings.furthest_up}
    steps = np.arange(settings.steps + 1) / settings.steps
    walks = {
        (d, k): furthest[direction] * steps + 0.0  # no move is 0, not -0
        for d, direction in enumerate(DIRECTIONS)
        for k in range(len(settings.depth_factors))
    }
    seen = _looked_at(is_exhausted, walks, settings.depth_factors, n_funds)
    inner = np.arange(1, settings.refine + 1) / (settings.refine + 1)
    closer = {}
    for at, moves in walks.items():
        firsts = {int(hit[0]) for f in range(n_funds) if len(hit := np.flatnonzero(seen[at][:, f])) and hit[0] > 0}
        points = [moves[k - 1] + (moves[k] - moves[k - 1]) * inner for k in sorted(firsts)]
        closer[at] = np.concatenate(points) if points else np.empty(0)
    seen_closer = _looked_at(is_exhausted, closer, settings.depth_factors, n_funds)
    found = {name: np.full((len(DIRECTIONS), len(settings.depth_factors), n_funds), np.nan) for name in FOUND}
    for at, moves in walks.items():
        every, flags = np.concatenate((moves, closer[at])), np.concatenate((seen[at], seen_closer[at]))
        order = np.argsort(np.abs(every), kind="stable")
        for f in range(n_funds):
            _, numbers = bracket(every[order], flags[order, f])
            for name, value in zip(FOUND, numbers, strict=True):
                found[name][(*at, f)] = value
    return found


def _looked_at(
    is_exhausted: IsExhausted, walks: dict[tuple[int, int], FloatArray], depth_factors: Sequence[float], n_funds: int
) -> dict[tuple[int, int], np.ndarray]:
    """Look at all points of all walks in one slab, and return what each walk saw [its points, fund]."""
    points = np.concatenate(
        [np.stack((np.full(len(moves), depth_factors[k]), moves), axis=1) for (_, k), moves in walks.items()]
    )
    flags = is_exhausted(points) if len(points) else np.zeros((0, n_funds), dtype=np.bool_)
    ends = np.cumsum([len(moves) for moves in walks.values()])
    return dict(zip(walks, np.split(flags, ends[:-1]), strict=True))


def search_exhaustion(night: Night, book: Book) -> dict[str, np.ndarray]:
    """Return the variables of /exhaustion."""
    settings, looked_for = night.config.scenarios.exhaustion, search_of(night.config, book)
    shape = (len(looked_for.movers), len(DIRECTIONS), len(looked_for.depth_factors), book.n_funds)
    found = {name: np.full(shape, np.nan) for name in FOUND}
    furthest = np.full(len(DIRECTIONS), np.nan)
    if settings is not None:
        furthest[:] = -settings.furthest_down, settings.furthest_up
        names, given = book.names("asset"), settings.model_dump(mode="json")
        assets = [None if mover == INDEX else names.index(mover) for mover in looked_for.movers]
        jobs = [SearchJob(night.store.uri, night.run_id, n, asset, given) for n, asset in enumerate(assets)]
        _kernel.cache_clear()  # a stage that is run again may have another market

        def keep(job: SearchJob, receipt: Any) -> None:  # noqa: ANN401  whatever the unit returned
            for name in FOUND:
                found[name][job.mover] = np.array(receipt[name], dtype=np.float64)
            night.progress("exhaustion", job.mover + 1, len(jobs))

        seconds = scenario_seconds(book) * n_searched(night.config, looked_for, book.n_funds)
        is_here = seconds <= IN_PROCESS_SECONDS
        with nullcontext(SerialExecutor()) if is_here else night.open_executor() as executor:
            executor.map_blocks(search_unit, jobs, on_done=keep)
    return {**found, "furthest": furthest, "depth_factor": np.array(looked_for.depth_factors, dtype=np.float64)}
