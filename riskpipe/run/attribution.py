"""Attribution: the tail of the simulated set computed once more, account by account, and what adds to its mean.

Euler's contributions to expected shortfall are means over the scenarios of its tail, with its weights there: shortfall
adds up over accounts, so that they add up to it. Only the tail's scenarios are computed again, each as a set of its
own, because what a block tells of accounts it tells by set.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from riskpipe.config import SimulatedConfig
from riskpipe.cube.layout import cube_prefix
from riskpipe.cube.rows import read_whole
from riskpipe.domain.bearers import TAIL, VIEWS, WORST
from riskpipe.domain.book import BoolArray, FloatArray, OffsetArray
from riskpipe.domain.scenarios import SIMULATED, ScenarioSet
from riskpipe.domain.schema import N_CONTRIBUTORS, VARIABLES, Variable
from riskpipe.errors import ComputeError
from riskpipe.liquidation.kernel import Ended, Kernel
from riskpipe.measures.distribution import tail_weights
from riskpipe.run.bearers import Bearers, worst_bearers
from riskpipe.run.block import open_kernel
from riskpipe.run.contributors import by_segment, listed, summed
from riskpipe.run.inputs import read_scenarios
from riskpipe.run.night import Night
from riskpipe.run.plan import dimension_sizes, read_plan

MOST_AT_ONCE = 256
TALLY_BYTES = 256_000_000  # of counts by account and scenario: 16 bytes each
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Tail:
    """The scenarios of a tail that lose anything, n of them."""

    row: OffsetArray  # [n] of the run
    weight: FloatArray  # [n] of the mean; those that lose nothing have the rest of 1
    shortfall: FloatArray  # [n, f] USD, as the cube has it
    adl_loss: FloatArray  # [n, f] likewise


def tail_of(scenarios: ScenarioSet, shortfall: FloatArray, adl_loss: FloatArray, level: float) -> Tail:
    """Find the tail of the central variant's simulated scenarios; `shortfall`, `adl_loss` [scenario, f] as the cube."""
    rows, _ = scenarios.rows_of(SIMULATED)
    rows = rows[scenarios.variant[rows] == 0]
    losses = shortfall[rows].sum(axis=1)
    weight = tail_weights(losses, scenarios.probability[rows], level)
    counts = (weight > 0.0) & (losses > 0.0)
    return Tail(rows[counts], weight[counts], shortfall[rows[counts]], adl_loss[rows[counts]])


def attribute(night: Night) -> dict[str, Any]:
    """Write /attribution, contributions to expected shortfall where a set with probabilities is computed, and /adl, who
    bears auto-deleveraging in its tail and in the worst scenario.
    """  # noqa: D205
    store, run_id = night.store, night.run_id
    plan = read_plan(store, run_id)
    scenarios, simulated = read_scenarios(store, run_id, plan), night.config.scenarios.simulated
    kernel = open_kernel(store, run_id, plan)
    sizes = dimension_sizes(kernel.book, scenarios)
    arrays = {key: _blank(one, sizes) for key, one in VARIABLES.items() if one.group in {"attribution", "adl"}}
    adl_loss = read_whole(store, cube_prefix(run_id), "funds/adl_loss")
    told: dict[str, Any] = {}
    if simulated is not None:
        shortfall = read_whole(store, cube_prefix(run_id), "funds/shortfall")
        tail, in_tail = tail_of(scenarios, shortfall, adl_loss, simulated.attributed_level), Bearers(kernel.book)
        found = contributions(kernel, scenarios, tail, simulated, in_tail)
        arrays |= {f"attribution/{name}": values for name, values in found.items()}
        at = scenarios.sets.index(SIMULATED)
        for name, value in (("level", simulated.attributed_level), ("tail_scenarios", float(len(tail.row)))):
            arrays[f"attribution/{name}"] = np.where(np.arange(len(scenarios.sets)) == at, value, np.nan)
        _tell(arrays, TAIL, in_tail.values() | {"level": np.array(simulated.attributed_level)})
        told = {"tail_scenarios": len(tail.row)}
    worst, row = worst_bearers(kernel, scenarios, adl_loss)
    _tell(arrays, WORST, worst.values() | {"scenario": np.array(np.nan if row is None else float(row))})
    return told | night.write_once(arrays)


def _blank(variable: Variable, sizes: dict[str, int]) -> np.ndarray:
    shape = [sizes[dim] for dim in variable.dims]
    return np.full(shape, "", object) if variable.dtype == "string" else np.full(shape, np.nan)


def _tell(arrays: dict[str, np.ndarray], view: str, values: dict[str, np.ndarray]) -> None:
    """Put one view's values in its place of /adl."""
    for name, value in values.items():
        arrays[f"adl/{name}"][VIEWS.index(view)] = value


def contributions(
    kernel: Kernel, scenarios: ScenarioSet, tail: Tail, asked: SimulatedConfig, bearers: Bearers
) -> dict[str, np.ndarray]:
    """Compute the tail again and return what each account, entity, segment, underlying, venue and fund adds to its
    mean, by variable of /attribution; `bearers` is told who bears what auto-deleveraging takes there.

    Raises ComputeError where the tail is not what the cube has.
    """  # noqa: D205
    book = kernel.book
    by_account, by_instrument = _by_account_and_instrument(kernel, scenarios, tail, bearers)
    by_fund = tail.weight @ tail.shortfall
    cell = np.searchsorted(book.underlyings, book.instrument_underlying)
    of_funds = summed(book.instrument_fund, by_instrument, book.n_funds)
    debt = by_fund - of_funds
    debt[np.abs(debt) <= 1e-12 * max(float(by_fund.sum()), 0.0)] = 0.0
    largest, entities = listed(book, by_account, "contribution")
    without = np.full(N_CONTRIBUTORS, np.nan)
    for n, e in enumerate(entities[: asked.without_entities].tolist()):
        without[n] = mean_without(kernel, scenarios, tail, np.asarray(book.account_entity == e))
    return {
        "fund_contribution": by_fund,
        "debt_contribution": debt,
        "venue_contribution": summed(book.account_venue, by_account, book.n_venues),
        "underlying_contribution": summed(cell, by_instrument, len(book.underlyings)),
        "segment_contribution": by_segment(book, by_account),
        **largest,
        "without_entity": without,
    }


def mean_without(kernel: Kernel, scenarios: ScenarioSet, tail: Tail, is_left_out: BoolArray) -> float:
    """Mean shortfall of the same tail, with the same weights, USD, where some accounts [a] are not there.

    They count for nothing, so that they neither lose nor move prices; who is on the other side of their positions stays
    as it is. Expected shortfall without them is at least this: its own tail may be another.
    """
    book = kernel.book
    rest = replace(book, account_weight=np.where(is_left_out, 0.0, book.account_weight))
    other = Kernel(rest, kernel.market, kernel.rules)
    total = 0.0
    for at in _pieces(len(tail.row), MOST_AT_ONCE):
        shortfall = other.run(_apart(scenarios, tail.row[at], are_apart=False)).values["funds/shortfall"]
        total += float(tail.weight[at] @ shortfall.sum(axis=1))
    return total


def _by_account_and_instrument(
    kernel: Kernel, scenarios: ScenarioSet, tail: Tail, bearers: Bearers
) -> tuple[FloatArray, FloatArray]:
    """Return contributions [a] and, of what positions carry, [i]."""
    book = kernel.book
    by_account, by_instrument = np.zeros(book.n_accounts), np.zeros(book.n_instruments)
    for at in _pieces(len(tail.row), max(1, min(MOST_AT_ONCE, TALLY_BYTES // (16 * max(book.n_accounts, 1))))):
        weight, taken = tail.weight[at], tail.adl_loss[at]

        def add(ended: Ended, weight: FloatArray = weight, taken: FloatArray = taken) -> None:
            lanes = ended.lanes.row
            of_lane = ended.losses.side_shortfall[:, :, : len(lanes)].sum(axis=1)
            by_instrument[:] += of_lane @ weight[lanes]
            bearers.add(ended, weight[lanes], taken[lanes])

        result = kernel.run(_apart(scenarios, tail.row[at], are_apart=True), add)
        found = result.values["funds/shortfall"]
        if not np.allclose(found, tail.shortfall[at], rtol=TOLERANCE, atol=TOLERANCE * float(found.max(initial=0.0))):
            worst = int(np.argmax(np.abs(found - tail.shortfall[at]).sum(axis=1)))
            raise ComputeError(
                f"scenario {tail.row[at][worst]}: shortfall computed once more is not what the cube has. The store or "
                "this machine's numerics have changed since: delete the run and start it again"
            )
        part = result.part
        by_account += summed(part.account_ix, part.shortfall_max * weight[part.set_ix], book.n_accounts)
    return by_account, by_instrument


def _apart(scenarios: ScenarioSet, rows: OffsetArray, *, are_apart: bool) -> ScenarioSet:
    """Return scenarios of the central variant, each a set of its own (or all of one)."""
    n = len(rows)
    return replace(
        scenarios.take(rows),
        variants=scenarios.variants[:1],
        sets=tuple(map(str, range(n))) if are_apart else (SIMULATED,),
        set_index=(np.arange(n) if are_apart else np.zeros(n)).astype(np.int32),
    )


def _pieces(n: int, size: int) -> Iterator[slice]:
    yield from (slice(start, min(start + size, n)) for start in range(0, n, size))
