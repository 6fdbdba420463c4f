"""Change since an earlier night: both nights' headline scenarios computed again from mixtures of the two nights.

Each mixture has some parts of the later night and the others of the earlier one: the earlier book on the later market
is one of them, the reverse another. A handful of scenarios is computed, not the grid. What is found lies outside both
runs, under `changes/`, and changes neither.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xarray as xr

from riskpipe.cube.read import open_cube
from riskpipe.domain.book import Book, FloatArray
from riskpipe.domain.changes import MEASURES, PARTS, Change, Changes, OneSided
from riskpipe.domain.market import Market
from riskpipe.domain.scenarios import AXES, SIMULATED, ScenarioSet
from riskpipe.errors import ComputeError
from riskpipe.liquidation.kernel import Kernel
from riskpipe.measures.cells import labels, read
from riskpipe.measures.funds import UNCOVERED, left_uncovered
from riskpipe.measures.liquidation import TOTAL
from riskpipe.measures.shapley import shapley
from riskpipe.run.finished import FinishedRun
from riskpipe.run.universe import Inputs, Universe, universe_of

SAME = 1e-6
"""How far a replay may be off the run's own cube, relatively (and a cent): machines differ by 1e-9."""
MAX_EXAMPLES = 10


@dataclass(frozen=True)
class Cell:
    """A scenario that both nights are computed at: shocks, its own name, and its row in either night (None = none)."""

    shocks: tuple[float, ...]
    name: str
    rows: tuple[int | None, int | None]


def changes_between(earlier: FinishedRun, later: FinishedRun) -> Changes:
    """Explain the change of the headlines from one complete run to a later one.

    Raises StoreError where the nights cannot be compared, ComputeError where a replay does not give what the run's own
    cube holds.
    """
    runs = (earlier, later)
    cells = headline_cells(runs)
    first, second = (Inputs(one.book, one.market, one.rules, one.scenarios.variants[0]) for one in runs)
    universe = universe_of(first, second)
    n_funds = len(universe.labels["fund"])
    values: dict[frozenset[str], FloatArray] = {}
    changed = universe.changed
    for size in range(len(changed) + 1):
        for subset in combinations(changed, size):
            values[frozenset(subset)] = replayed(universe.mixed(frozenset(subset)), cells)
    effects = shapley(values, changed)
    nothing = np.zeros((len(cells), len(MEASURES), n_funds + 1))
    effects = {part: effects.get(part, nothing) for part in PARTS}
    everything = frozenset(changed)
    kept = [stored(run, cells, n, universe.labels["fund"]) for n, run in enumerate(runs)]
    _require_same(later, values[everything], kept[1], cells)
    if earlier.source == later.source:
        _require_same(earlier, values[frozenset()], kept[0], cells)
        program = np.zeros_like(nothing)
    else:
        program = values[frozenset()] - kept[0]  # NaN where the earlier night did not compute the scenario
    before = np.where(np.isnan(program), np.nan, values[frozenset()] - program)
    old_book_now = values[everything - {"positions"}]
    new_book_then = values[everything & {"positions"}]
    rows = [
        Change(
            axes=dict(zip(AXES, cell.shocks, strict=True)),
            name=cell.name,
            variant=second.variant.label,
            measure=measure,
            fund=fund,
            before=float(before[c, m, f]),
            after=float(values[everything][c, m, f]),
            program=float(program[c, m, f]),
            parts={part: float(effects[part][c, m, f]) for part in PARTS},
            old_book_now=float(old_book_now[c, m, f]),
            new_book_then=float(new_book_then[c, m, f]),
        )
        for c, cell in enumerate(cells)
        for m, measure in enumerate(MEASURES)
        for f, fund in enumerate(("", *(universe.labels["fund"] if measure != "liquidated_notional" else ())))
    ]
    is_quiet = [
        row.fund != "" and row.before == 0.0 and row.after == 0.0 and not any(row.parts.values()) for row in rows
    ]
    return Changes(
        run_id=later.run_id,
        as_of=later.as_of,
        since_run_id=earlier.run_id,
        since=earlier.as_of,
        rows=tuple(row for row, quiet in zip(rows, is_quiet, strict=True) if not quiet),
        one_sided=tuple(one_sided(universe)),
        unchanged=tuple(part for part in PARTS if part not in changed),
    )


def headline_cells(runs: Sequence[FinishedRun]) -> list[Cell]:
    """Return the scenarios that set the headlines of either night, each once, the later night's first.

    Of the central variant; neither simulated, nor on a basis axis, whose moves are each night's own. A headline that is
    0 everywhere has none.
    """
    found: dict[tuple[float, ...], str] = {}
    usable = [_usable(one.scenarios) for one in runs]
    for n in (1, 0):
        rows = np.flatnonzero(usable[n])
        if len(rows) == 0:
            continue
        shown = _totals(runs[n])[rows]
        for m in range(len(MEASURES)):
            at = int(shown[:, m].argmax())
            if shown[at, m] > 0.0:
                scenarios, row = runs[n].scenarios, int(rows[at])
                found.setdefault(_shocks(scenarios, row), str(scenarios.name[row]))
    cells = []
    for shocks, name in found.items():
        places: list[int | None] = []
        for one, mask in zip(runs, usable, strict=True):
            of = [int(row) for row in np.flatnonzero(mask) if _shocks(one.scenarios, int(row)) == shocks]
            places.append(of[0] if of else None)
        cells.append(Cell(shocks, name, (places[0], places[1])))
    return cells


def _usable(scenarios: ScenarioSet) -> np.ndarray:
    sets = np.array(scenarios.sets, dtype=object)[scenarios.set_index]
    mask = (scenarios.variant == 0) & (sets != SIMULATED) & (scenarios.haircut_shock == 0.0)
    if scenarios.own_value is not None:
        mask &= (scenarios.own_value == 0.0).all(axis=1)
    return np.asarray(mask, dtype=np.bool_)


def _shocks(scenarios: ScenarioSet, row: int) -> tuple[float, ...]:
    return tuple(float(getattr(scenarios, axis)[row]) for axis in AXES)


def _totals(run: FinishedRun) -> FloatArray:
    """Return the measures over all funds, [scenario, measure], from a run's cube."""
    cube = open_cube(run.store, run_id=run.run_id)
    by_fund = [read(cube, key) for key in UNCOVERED]
    return np.stack([by_fund[0].sum(axis=1), left_uncovered(*by_fund).sum(axis=1), read(cube, TOTAL)], axis=1)


def stored(run: FinishedRun, cells: Sequence[Cell], n: int, funds: Sequence[str]) -> FloatArray:
    """Return what a run's cube holds of the cells, [cell, measure, fund], all funds together first; NaN = nothing."""
    cube = open_cube(run.store, run_id=run.run_id)
    own = labels(cube, "funds", "fund")
    values = np.full((len(cells), len(MEASURES), len(funds) + 1), np.nan)
    for c, cell in enumerate(cells):
        row = cell.rows[n]
        if row is None:
            continue
        # a fund that the run does not have has lost nothing
        spread = {key: _on_funds(_row(cube, key, row), own, funds) for key in UNCOVERED}
        values[c] = _measured(spread, _row(cube, TOTAL, row))[0]
    return values


def _row(cube: xr.DataTree, key: str, row: int) -> FloatArray:
    group, _, name = key.partition("/")
    return np.asarray(cube[group].to_dataset()[name].isel(scenario=[row]).values, dtype=np.float64)


def _on_funds(values: FloatArray, own: Sequence[str], funds: Sequence[str]) -> FloatArray:
    made = np.zeros((len(values), len(funds)))
    made[:, [funds.index(name) for name in own]] = values
    return made


def replayed(inputs: Inputs, cells: Sequence[Cell]) -> FloatArray:
    """Compute the cells from a mixture, [cell, measure, fund], all funds together first."""
    n_funds = len(inputs.book.labels["fund"])
    if not cells:
        return np.zeros((0, len(MEASURES), n_funds + 1))
    result = Kernel(inputs.book, inputs.market, inputs.rules).run(_scenarios(inputs, cells)).values
    return _measured(result, result[TOTAL])


def _measured(values: Mapping[str, FloatArray], total: FloatArray) -> FloatArray:
    shortfall, uncovered = values[UNCOVERED[0]], left_uncovered(*(values[key] for key in UNCOVERED))
    made = np.zeros((len(total), len(MEASURES), shortfall.shape[1] + 1))
    for m, by_fund in enumerate((shortfall, uncovered)):
        made[:, m, 0], made[:, m, 1:] = by_fund.sum(axis=1), by_fund
    made[:, MEASURES.index("liquidated_notional"), 0] = total
    return made


def _scenarios(inputs: Inputs, cells: Sequence[Cell]) -> ScenarioSet:
    n = len(cells)
    index, basis, volatility, depth = (np.array(moves) for moves in zip(*(cell.shocks for cell in cells), strict=True))
    return ScenarioSet(
        index_shock=index,
        basis_shock=basis,
        vol_shock=volatility,
        depth_factor=depth,
        haircut_shock=np.zeros(n),
        probability=np.full(n, np.nan),
        variant=np.zeros(n, dtype=np.int32),
        set_index=np.zeros(n, dtype=np.int32),
        name=np.array([cell.name for cell in cells], dtype=np.str_),
        variants=(inputs.variant,),
        sets=("changes",),
    )


def _require_same(run: FinishedRun, found: FloatArray, kept: FloatArray, cells: Sequence[Cell]) -> None:
    """Raise ComputeError where a replay is not what the run's own cube holds."""
    off = np.abs(found - kept) - SAME * np.abs(kept)
    bad = np.argwhere(off > 0.01)
    if len(bad):
        c, m, f = bad[0].tolist()
        raise ComputeError(
            f"run {run.run_id} computed again gives {MEASURES[m]} {found[c, m, f]:,.2f} USD at {cells[c].shocks}, its "
            f"cube holds {kept[c, m, f]:,.2f}: run `riskpipe verify` on the store; if that finds nothing, this is a "
            "defect"
        )


def one_sided(universe: Universe) -> Iterable[OneSided]:
    """Count accounts and instruments that only one of the nights has, with their positions there."""
    books = [side.inputs.book for side in universe.sides]
    notional = [gross_notional(one.inputs.book, one.inputs.market) for one in universe.sides]
    states: tuple[tuple[int, Literal["new", "vanished"]], ...] = ((1, "new"), (0, "vanished"))
    for n, state in states:
        book, amounts = books[n], notional[n]
        is_known = pc.is_in(book.labels["account"], value_set=pa.array(books[1 - n].labels["account"]))
        is_alone = ~np.asarray(is_known.to_numpy(zero_copy_only=False), dtype=np.bool_)
        account = book.pool_account[np.repeat(np.arange(book.n_pools), np.diff(book.pool_position_start))]
        alone = float(amounts[is_alone[account]].sum())
        yield OneSided("account", state, int(is_alone.sum()), alone)
        place, names = universe.sides[n].place["instrument"], universe.labels["instrument"]
        is_lone = ~universe.sides[1 - n].has["instrument"][place]
        held = float(amounts[is_lone[book.position_instrument]].sum())
        examples = tuple(names[i] for i in place[is_lone][:MAX_EXAMPLES].tolist())
        yield OneSided("instrument", state, int(is_lone.sum()), held, examples)


def gross_notional(book: Book, market: Market) -> FloatArray:
    """Return the weighted USD notional of every position at the snapshot, [q]; of options what they are worth."""
    i = book.position_instrument
    quote, settlement = (market.index_price[getattr(book, f"instrument_{name}")] for name in ("quote", "settlement"))
    price = np.where(book.is_option, market.mark_price * settlement,
                     np.where(book.instrument_is_inverse, quote, market.mark_price * quote))  # fmt: skip
    account = book.pool_account[np.repeat(np.arange(book.n_pools), np.diff(book.pool_position_start))]
    size = np.abs(book.position_quantity) * book.instrument_multiplier[i]
    return np.asarray(size * price[i] * book.account_weight[account])
