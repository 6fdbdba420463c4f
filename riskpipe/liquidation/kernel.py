"""The compiled kernel: a slab of scenarios over the whole book, as one pure function.

`run_block` equals the reference to 1e-9 and gives the same bits however scenarios are cut into blocks: scenarios are
lanes that never meet, each computed in canonical order, from scratch that is new or reset.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from riskpipe.compiled import compiled
from riskpipe.domain.book import Book, FloatArray, OffsetArray
from riskpipe.domain.market import Market
from riskpipe.domain.parts import AccountPart
from riskpipe.domain.rules import Rules
from riskpipe.domain.scenarios import ScenarioSet, Variant
from riskpipe.liquidation.batches import Batch, evaluate_sketches, is_due, make_batch, make_sure
from riskpipe.liquidation.bits import BitTally, add_to_tally, empty_tally, make_tally
from riskpipe.liquidation.cascade import run_cascades
from riskpipe.liquidation.closeout import Losses, Tally, close_out, make_closing, make_losses
from riskpipe.liquidation.cushions import set_travel
from riskpipe.liquidation.exits import make_exits, set_exit_factors, set_far_exits
from riskpipe.liquidation.flags import set_flags
from riskpipe.liquidation.footprint import WIDTH, most_lanes, n_words, padded
from riskpipe.liquidation.hedges import Deltas, add_broken_hedges, make_deltas
from riskpipe.liquidation.lanes import Lanes, State, cut_lanes, distinct_lanes, make_state
from riskpipe.liquidation.loans import Loans, liquidate_loans, loan_pools, make_loans, set_first_seized
from riskpipe.liquidation.lowering import (
    Pools,
    Terms,
    VariantRules,
    lower_pools,
    lower_rules,
    lower_terms,
    without_pools,
)
from riskpipe.liquidation.portfolios import (
    FIRST,
    Portfolios,
    count_failing_portfolios,
    lower_units,
    make_portfolios,
    visit_portfolios,
    without_units,
)
from riskpipe.liquidation.prices import make_rounded, n_rows, round_prices, set_shocked_lanes
from riskpipe.liquidation.rays import SCAN_STEPS, make_rays
from riskpipe.liquidation.records import Draft, make_draft
from riskpipe.liquidation.results import GROUPS, Results, allocate, write_lane
from riskpipe.liquidation.scan_models import unit_models
from riskpipe.liquidation.shocks import cut_shocks, index_shocks, shocks_of
from riskpipe.liquidation.tape import Tape, fit, make_tape
from riskpipe.liquidation.waterfall import Winners, add_winners, ask_winners, make_winners, run_waterfall


@dataclass(frozen=True)
class BlockResult:
    """A slab's results by variable key (`funds/shortfall`, ...), scenario first, and its part of /accounts."""

    values: dict[str, np.ndarray]
    part: AccountPart


@dataclass(frozen=True)
class Ended:
    """Lanes whose cascades have ended, as the compiled steps leave them: scratch, of which nothing is to be kept."""

    pools: Pools
    terms: Terms
    lanes: Lanes
    state: State
    losses: Losses
    winners: Winners


@compiled
def _write(
    pools: Pools, terms: Terms, rules: VariantRules, draft: Draft, lanes: Lanes, state: State, loans: Loans,
    losses: Losses, winners: Winners, deltas: Deltas, out: Results,
) -> None:  # fmt: skip
    """Run the waterfalls, count broken hedges, and write every lane."""
    n = len(lanes.row)
    if ask_winners(terms, rules, lanes, state, losses, winners):
        add_winners(pools, terms, state, winners)
    has_removed = False
    first, stop = n, 0
    for s in range(n):
        r = lanes.row[s]
        has_removed = run_waterfall(terms, rules, state, losses, winners, s, out, r) or has_removed
        if state.rounds[s] > 0:
            first, stop = min(first, s), s + 1
    if stop > 0:
        first = first // WIDTH * WIDTH  # where a word may start
        add_broken_hedges(pools, terms, draft, state, loans, winners, deltas, first, stop, has_removed)
    for s in range(n):
        write_lane(terms, lanes, state, loans, losses, s, deltas.broken[s], out)


@compiled
def _count_failing(
    pools: Pools, terms: Terms, draft: Draft, low: FloatArray, high: FloatArray, tape_pool: np.ndarray,
    start: OffsetArray, number: np.ndarray, n_records: int, batch: Batch, price: FloatArray,
    rounded: np.ndarray, tally: BitTally, failing: OffsetArray,
) -> None:  # fmt: skip
    n, n_blocks = 0, price.shape[1] // WIDTH
    round_prices(price, rounded, price.shape[1])
    for j in range(n_records):
        batch.pool[n], batch.start[n] = tape_pool[j], start[j]
        n += 1
        if not is_due(n, j == n_records - 1):
            continue
        evaluate_sketches(number, batch, n, rounded, n_blocks)
        for b in range(n):
            make_sure(pools, terms, draft, batch, b, batch.pool[b], low, high, price, n_blocks)
        add_to_tally(tally, batch.failing, n, failing)
        n = 0
    empty_tally(tally, failing)


def _run_lanes(
    pools: Pools,
    terms: Terms,
    rules: VariantRules,
    haircut: float,
    lanes: Lanes,
    out: Results,
    tally: Tally,
    tape: Tape,
    borrowers: OffsetArray,
    portfolios: Portfolios,
    *,
    is_central: bool,
    on_end: Callable[[Ended], None] | None = None,
) -> None:
    """Run the lanes of one variant and extra haircut, from the first round to the rows of the results."""
    n_lanes = len(lanes.row)
    draft = make_draft(pools, terms, padded(max(n_lanes, SCAN_STEPS + 1)))
    state = make_state(pools, terms, lanes)
    loans = make_loans(pools, terms, borrowers, padded(n_lanes))
    run_cascades(pools, terms, rules, draft, make_batch(padded(n_lanes)), lanes, state, tape, loans, portfolios)
    exits, closing = make_exits(pools, terms, lanes), make_closing(terms, lanes, len(state.active))
    set_exit_factors(terms, rules, lanes, state, exits)
    set_far_exits(terms, lanes, state, exits)
    is_sliding = bool(np.any(rules.gap_share < 1.0))
    rays = make_rays(terms, cut_shocks(lanes.shocks, 0, len(lanes.shocks.index_shock) if is_sliding else 0), haircut)
    losses = make_losses(terms, lanes)
    close_out(
        pools, terms, rules, draft, lanes, state, exits, rays, portfolios, closing, loans, losses, tally, is_central
    )
    winners, deltas = make_winners(terms, padded(n_lanes)), make_deltas(terms, lanes, state)
    _write(pools, terms, rules, draft, lanes, state, loans, losses, winners, deltas, out)
    if on_end is not None:
        on_end(Ended(pools, terms, lanes, state, losses, winners))


class Kernel:
    """A lowered book, market and rules, ready to run slabs of scenarios, in several threads at once if need be."""

    def __init__(self, book: Book, market: Market, rules: Rules) -> None:
        self.book = book
        self.market = market
        self.rules = rules
        self._lowered: dict[float, tuple[Pools, Terms]] = {}
        self._spare: list[Tape] = []  # the tape of the last run, while no run has it
        self.pools, self.terms = self.lowered(0.0)
        self.borrowers = loan_pools(self.pools)
        models = unit_models(book, rules)
        self.units, self.unit_models = lower_units(book, models, self.pools), list(models.values())

    def lowered(self, extra_haircut: float) -> tuple[Pools, Terms]:
        """Return the book under an extra haircut, as the compiled steps take it."""
        if extra_haircut not in self._lowered:
            terms = lower_terms(self.book, self.market, self.rules, extra_haircut)
            pools = lower_pools(self.book)
            set_flags(pools, terms)
            self._lowered[extra_haircut] = pools, terms
        return self._lowered[extra_haircut]

    def run(self, scenarios: ScenarioSet, on_end: Callable[[Ended], None] | None = None) -> BlockResult:
        """Run a slab of scenarios; every array of the result has the slab's scenarios first.

        `on_end` is given each piece of lanes once they have ended; scenarios alike have one lane.
        """
        scenarios.refuse_misfit(self.book.n_assets, self.book.n_instruments)
        book, n, n_sets = self.book, len(scenarios), len(scenarios.sets)
        n_underlyings, has_options = int(self.terms.underlying_cell.max(initial=-1)) + 1, bool(book.is_option.any())
        out = allocate(n, book.n_venues, n_underlyings, book.n_instruments, book.n_funds)
        tally = Tally(np.zeros((n_sets, book.n_accounts), dtype=np.int64), np.zeros((n_sets, book.n_accounts)))
        portfolios = make_portfolios(self.pools, self.terms, self.units, self.unit_models)
        for v, variant in enumerate(scenarios.variants):
            rules = lower_rules(book, self.rules, variant)
            by_haircut, rows, alike = distinct_lanes(scenarios, v, has_options=has_options)
            for haircut, lanes in by_haircut.items():
                lowered = self.lowered(haircut)
                tape = self._take_tape(haircut)
                for piece in cut_lanes(lanes, most_lanes(book.n_pools, len(self.borrowers))):
                    _run_lanes(
                        *lowered, rules, haircut, piece, out, tally, tape, self.borrowers, portfolios,
                        is_central=v == 0, on_end=on_end,
                    )  # fmt: skip
                self._spare[:] = [tape]
            for array in out:
                array[rows] = array[alike]
        values = {f"{group}/{name}": getattr(out, name) for group, names in GROUPS.items() for name in names}
        # in ascending order of account, then set; a loan may be short where it was not liquidated
        account, set_ix = np.nonzero((tally.hits.T > 0) | (tally.shortfall_max.T > 0.0))
        part = AccountPart(
            account_ix=account.astype(np.int64),
            set_ix=set_ix.astype(np.int64),
            liquidated_scenarios=tally.hits[set_ix, account],
            shortfall_max=tally.shortfall_max[set_ix, account],
        )
        return BlockResult(values, part)

    def prepare(self) -> None:
        """Compile the kernel, or load it from the cache: one scenario of a book without pools, then what such a book
        never comes to, loans, portfolios and later rounds.
        """  # noqa: D205
        neutral = Lanes(
            row=np.zeros(1, dtype=np.int64),
            n_alike=np.ones(1, dtype=np.int64),
            set_index=np.zeros(1, dtype=np.int32),
            depth_factor=np.ones(1),
            group=np.zeros(1, dtype=np.int32),
            shocks=index_shocks(0.0),
        )
        book = self.book
        n_underlyings = int(self.terms.underlying_cell.max(initial=-1)) + 1
        out = allocate(1, book.n_venues, n_underlyings, book.n_instruments, book.n_funds)
        tally = Tally(np.zeros((1, 1), dtype=np.int64), np.zeros((1, 1)))
        rules = lower_rules(book, self.rules, Variant())
        pools = without_pools(self.pools)
        tape = make_tape(pools, self.terms, n_rows(self.terms))
        no_loans = np.zeros(0, dtype=np.int64)
        none = make_portfolios(pools, self.terms, without_units(self.units), self.unit_models)
        _run_lanes(pools, self.terms, rules, 0.0, neutral, out, tally, tape, no_loans, none, is_central=True)
        state, loans = make_state(pools, self.terms, neutral), make_loans(pools, self.terms, no_loans, WIDTH)
        liquidate_loans(pools, self.terms, rules, neutral, state, loans, is_first=True, is_last=False)
        set_first_seized(neutral, state, loans)
        visit_portfolios(pools, self.terms, rules, neutral, state, none, FIRST)
        set_travel(self.terms, neutral, state, True)

    def _take_tape(self, extra_haircut: float) -> Tape:
        """Return a tape for the caller alone, who puts it back: runs in several threads may share a kernel."""
        try:
            tape = self._spare.pop()
        except IndexError:
            tape = make_tape(*self.lowered(extra_haircut), n_rows(self.terms))
        if tape.extra_haircut != extra_haircut:
            tape.extra_haircut, tape.first = extra_haircut, -1  # what is on it holds under another haircut only
        return tape

    def failing_pools(self, scenarios: ScenarioSet) -> OffsetArray:
        """Count the pools with negative margin excess at each scenario's shocked prices: no cascade, every pool and
        scenario evaluated, none merged or left out. Pools that cannot be closed do not count.
        """  # noqa: D205
        scenarios.refuse_misfit(self.book.n_assets, self.book.n_instruments)
        failing = np.zeros(len(scenarios), dtype=np.int64)
        for haircut in np.unique(scenarios.haircut_shock):
            pools, terms = self.lowered(float(haircut))
            at = np.flatnonzero(scenarios.haircut_shock == haircut)
            price, bounds = np.zeros((n_rows(terms), padded(len(at)))), np.zeros((2, n_rows(terms)))
            set_shocked_lanes(terms, price, shocks_of(scenarios, at), bounds[0], bounds[1])
            tape = self._take_tape(float(haircut))
            wide = price.shape[1]
            draft, batch, tally = make_draft(pools, terms, 1), make_batch(wide), make_tally(n_words(wide))
            rounded, count = make_rounded(*price.shape), np.zeros(len(at), dtype=np.int64)
            for tile in tape.tiles(len(pools.account)):
                fit(pools, terms, draft, tape, tile, bounds[0], bounds[1], room=1.0)  # prices do not move on from here
                played = pools, terms, draft, *tape.played(), tape.n_records
                _count_failing(*played, batch, price, rounded, tally, count)
            self._spare[:] = [tape]
            if len(self.units.pool) > 0:
                portfolios = make_portfolios(pools, terms, self.units, self.unit_models)
                count_failing_portfolios(pools, terms, portfolios, price, 1.0 + scenarios.vol_shock[at], count)
            failing[at] = count
        return failing


def run_block(book: Book, market: Market, rules: Rules, scenarios: ScenarioSet) -> BlockResult:
    """Run a slab of scenarios over the whole book: a pure function of its arguments.

    Returns values by variable key with shape [n, ...] per `riskpipe.domain.schema`, float64, NaN nowhere.
    """
    return Kernel(book, market, rules).run(scenarios)
