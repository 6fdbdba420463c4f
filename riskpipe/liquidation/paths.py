"""The path of one scenario's cascade: prices by round, and when some pools were closed.

One lane over the whole book, without what only a cube needs: no margin calls, no broken hedges, no rows of results.
Prices have the bits of a block's, for the same compiled steps compute them in the same order.
"""

from collections.abc import Iterable

import numpy as np

from riskpipe.compiled import compiled
from riskpipe.domain.book import Book, FloatArray
from riskpipe.domain.market import Market
from riskpipe.domain.paths import CascadePath
from riskpipe.domain.rules import Rules
from riskpipe.domain.scenarios import ScenarioSet
from riskpipe.liquidation.batches import make_batch
from riskpipe.liquidation.cascade import run_rounds
from riskpipe.liquidation.closeout import Losses, Tally, close_out, make_closing, make_losses
from riskpipe.liquidation.exits import make_exits, set_exit_factors, set_far_exits
from riskpipe.liquidation.flags import set_closable
from riskpipe.liquidation.footprint import padded
from riskpipe.liquidation.lanes import Lanes, State, distinct_lanes, make_state
from riskpipe.liquidation.loans import Loans, loan_pools, make_loans
from riskpipe.liquidation.lowering import Pools, Terms, VariantRules, lower_pools, lower_rules, lower_terms
from riskpipe.liquidation.portfolios import Portfolios, lower_units, make_portfolios
from riskpipe.liquidation.prices import n_rows
from riskpipe.liquidation.rays import SCAN_STEPS, make_rays
from riskpipe.liquidation.records import Draft, make_draft
from riskpipe.liquidation.results import Results, allocate
from riskpipe.liquidation.scan_models import unit_models
from riskpipe.liquidation.shocks import cut_shocks
from riskpipe.liquidation.tape import Tape, make_tape
from riskpipe.liquidation.waterfall import Winners, add_winners, ask_winners, make_winners, run_waterfall


def cascade_path(
    book: Book, market: Market, rules: Rules, scenario: ScenarioSet, watched: Iterable[int], *, with_winners: bool
) -> CascadePath:
    """Follow one scenario's cascade over the whole book.

    Parameters
    ----------
    scenario: a set of exactly one scenario.
    watched: pools whose round of closing is wanted.
    with_winners: whether to close out all that is closed, too, and find what auto-deleveraging removes.

    Raises
    ------
    ValueError: for another number of scenarios.
    """
    if len(scenario) != 1:
        raise ValueError(f"a path is of one scenario, got {len(scenario)}")
    scenario.refuse_misfit(book.n_assets, book.n_instruments)
    v = int(scenario.variant[0])
    by_haircut, _, _ = distinct_lanes(scenario, v, has_options=bool(book.is_option.any()))
    (haircut, lanes), *_ = by_haircut.items()
    pools, terms = lower_pools(book), lower_terms(book, market, rules, haircut)
    set_closable(pools)  # and nothing of entities: no hedge is measured here
    of_variant = lower_rules(book, rules, scenario.variants[v])
    models = unit_models(book, rules)
    portfolios = make_portfolios(pools, terms, lower_units(book, models, pools), list(models.values()))
    draft = make_draft(pools, terms, padded(max(1, SCAN_STEPS + 1)))
    state, loans = make_state(pools, terms, lanes), make_loans(pools, terms, loan_pools(pools), padded(1))
    watch = _Watch(terms, state, loans, list(watched))
    run_rounds(
        pools, terms, of_variant, draft, make_batch(padded(1)), lanes, state, _tape(pools, terms), loans, portfolios,
        watch,
    )  # fmt: skip
    removed = _removed(book, pools, terms, of_variant, draft, lanes, state, loans, portfolios) if with_winners else None
    return watch.path(is_cut_off=bool(state.is_cut_off[0]), removed=removed)


def _tape(pools: Pools, terms: Terms) -> Tape:
    """Return a tape with a place more than there are pools: its records are not sorted, which pays for many lanes only
    and costs as much again as writing them.
    """  # noqa: D205
    tape = make_tape(pools, terms, n_rows(terms))
    tape.pool = np.empty(len(tape.pool) + 1, dtype=np.int32)
    return tape


class _Watch:
    """Takes down lane 0 whenever its prices have moved."""

    def __init__(self, terms: Terms, state: State, loans: Loans, pools: list[int]) -> None:
        self._n_assets, self._n_instruments = len(terms.index_price), len(terms.venue)
        self._is_option = np.asarray(terms.is_option)
        self._state, self._loans, self._pools = state, loans, pools
        self._rows: list[dict[str, FloatArray]] = []
        self._closed_in: dict[int, int] = {}
        owing = np.flatnonzero(np.isin(loans.pool, pools))
        self._place = dict(zip(loans.pool[owing].tolist(), owing.tolist(), strict=True))
        self._left: dict[int, list[tuple[float, float]]] = {p: [] for p in self._place}

    def __call__(self) -> None:
        state, n_c, n_i = self._state, self._n_assets, self._n_instruments
        price = state.trigger[:, 0]
        payoff, mark = price[n_c + n_i : n_c + 2 * n_i], price[n_c + 2 * n_i :]  # an option's mark is what it pays
        self._rows.append(
            {
                "asset": price[:n_c].copy(),
                "mark": np.where(self._is_option, payoff, mark),
                "forward": np.where(self._is_option, mark, np.nan),
                "flow": state.flow[:, 0].copy(),
                "dislocation": state.dislocation[:, 0].copy(),
                "own": state.own[:, 0].copy(),
                "own_average": state.own_average[:, 0].copy(),
                "index": state.index_move[:, 0].copy(),
                "index_average": state.index_average[:, 0].copy(),
            }
        )
        for p in self._pools:
            if p not in self._closed_in and int(state.closed[p, 0]) & 1:
                self._closed_in[p] = len(self._rows) - 1
        for p, left in self._left.items():
            m = self._place[p]
            left.append((float(self._loans.debt_left[m, 0]), float(self._loans.collateral_left[m, 0])))

    def path(self, *, is_cut_off: bool, removed: FloatArray | None) -> CascadePath:
        """Return what was taken down."""
        return CascadePath(
            **{name: np.stack([row[name] for row in self._rows]) for name in self._rows[0]},
            closed_in=self._closed_in,
            loan_left={p: np.array(left) for p, left in self._left.items()},
            is_cut_off=is_cut_off,
            removed=removed,
        )


@compiled
def _pay(
    pools: Pools, terms: Terms, rules: VariantRules, lanes: Lanes, state: State, losses: Losses, winners: Winners,
    out: Results,
) -> None:  # fmt: skip
    """Run the waterfalls of all lanes, which sets what winners lose."""
    if ask_winners(terms, rules, lanes, state, losses, winners):
        add_winners(pools, terms, state, winners)
    for s in range(len(lanes.row)):
        run_waterfall(terms, rules, state, losses, winners, s, out, s)


def _removed(
    book: Book, pools: Pools, terms: Terms, rules: VariantRules, draft: Draft, lanes: Lanes, state: State,
    loans: Loans, portfolios: Portfolios,
) -> FloatArray:  # fmt: skip
    """Close out and return the share of each winning side that auto-deleveraging removes, [i, 2]."""
    exits, closing = make_exits(pools, terms, lanes), make_closing(terms, lanes, len(state.active))
    set_exit_factors(terms, rules, lanes, state, exits)
    set_far_exits(terms, lanes, state, exits)
    is_sliding = bool(np.any(rules.gap_share < 1.0))
    rays = make_rays(terms, cut_shocks(lanes.shocks, 0, 1 if is_sliding else 0), terms.extra_haircut)
    losses, n_sets = make_losses(terms, lanes), int(lanes.set_index.max()) + 1
    tally = Tally(np.zeros((n_sets, book.n_accounts), np.int64), np.zeros((n_sets, book.n_accounts)))
    close_out(
        pools, terms, rules, draft, lanes, state, exits, rays, portfolios, closing, loans, losses, tally, True
    )  # fmt: skip
    winners = make_winners(terms, padded(1))
    out = allocate(1, book.n_venues, len(book.underlyings), book.n_instruments, book.n_funds)
    _pay(pools, terms, rules, lanes, state, losses, winners, out)
    return winners.removed[:, :, 0].copy()
