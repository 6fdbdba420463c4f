"""The compiled kernel: a slab of scenarios over the whole book, as one pure function.

`run_block` equals the reference to 1e-9 and gives the same bits however scenarios are cut into blocks: every scenario
is computed alone, in canonical order, from scratch that it resets itself.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from riskpipe.domain.book import Book, FloatArray, IntArray, OffsetArray
from riskpipe.domain.market import Market
from riskpipe.domain.parts import AccountPart
from riskpipe.domain.rules import Rules
from riskpipe.domain.scenarios import ScenarioSet
from riskpipe.domain.schema import N_RANKS
from riskpipe.liquidation.cascade import run_cascade, set_exit_factors, write_instruments
from riskpipe.liquidation.compiled import Work, compiled, make_work
from riskpipe.liquidation.hedges import broken_hedges, write_exposure
from riskpipe.liquidation.losses import FundRow, close_all, run_waterfalls
from riskpipe.liquidation.lowering import (
    Pools,
    Terms,
    VariantRules,
    lower_pools,
    lower_rules,
    lower_terms,
)


class Shocks(NamedTuple):
    """The distinct scenarios of one variant of a slab: shocks, rows in the slab's results, how many are alike."""

    row: OffsetArray
    n_alike: OffsetArray
    set_index: IntArray
    index_shock: FloatArray
    basis_shock: FloatArray
    depth_factor: FloatArray
    haircut_shock: FloatArray


class Results(NamedTuple):
    """What a slab writes, scenario first; names follow the cube's schema."""

    liquidated_notional_long: FloatArray  # [n, v, u]
    liquidated_notional_short: FloatArray
    liquidated_positions: FloatArray
    shortfall: FloatArray  # [n, f]
    fee_offset: FloatArray
    fund_used: FloatArray
    backstop_loss: FloatArray
    adl_loss: FloatArray
    adl_notional: FloatArray
    socialised_loss: FloatArray
    residual: FloatArray
    fund_balance: FloatArray
    forced_flow: FloatArray  # [n, i]
    impact: FloatArray
    mark_price: FloatArray
    dislocation: FloatArray
    basis: FloatArray
    liquidated_accounts: FloatArray  # [n]
    margin_call_accounts: FloatArray
    liquidated_notional: FloatArray
    first_round_notional: FloatArray
    rounds: FloatArray
    underwater_debt: FloatArray
    broken_hedge_notional: FloatArray
    price_limits_hit: FloatArray
    max_rounds_hit: FloatArray
    entity_shortfall: FloatArray  # [n, f, 10]
    entity_uncovered_loss: FloatArray
    entity: FloatArray


_GROUPS = {
    "exposure": Results._fields[:3],
    "funds": Results._fields[3:12],
    "instruments": Results._fields[12:17],
    "system": Results._fields[17:26],
    "entities": Results._fields[26:],
}


@dataclass(frozen=True)
class BlockResult:
    """A slab's results by variable key (`funds/shortfall`, ...), scenario first, and its part of /accounts."""

    values: dict[str, np.ndarray]
    part: AccountPart


@compiled
def _run(
    pools: Pools,
    terms: Terms,
    rules: VariantRules,
    shocks: Shocks,
    work: Work,
    out: Results,
    account_shortfall: FloatArray,
    hits: OffsetArray,
    shortfall_max: FloatArray,
    is_central: bool,
) -> None:
    for n in range(len(shocks.row)):
        r = shocks.row[n]
        x, y = shocks.index_shock[n], shocks.basis_shock[n]
        haircut = shocks.haircut_shock[n]
        rounds, first_round, called, limits_hit, is_cut_off = run_cascade(
            pools, terms, rules, work, x, y, shocks.depth_factor[n], haircut
        )
        set_exit_factors(terms, rules, work)
        row = FundRow(
            out.shortfall[r],
            out.fee_offset[r],
            out.fund_used[r],
            out.backstop_loss[r],
            out.adl_loss[r],
            out.adl_notional[r],
            out.socialised_loss[r],
            out.residual[r],
            out.fund_balance[r],
            out.entity_shortfall[r],
            out.entity_uncovered_loss[r],
            out.entity[r],
        )
        close_all(pools, terms, rules, work, x, y, haircut, row, account_shortfall)
        has_removed = run_waterfalls(pools, terms, rules, work, row)
        notional, accounts = write_exposure(
            pools,
            terms,
            work,
            out.liquidated_notional_long[r],
            out.liquidated_notional_short[r],
            out.liquidated_positions[r],
        )
        write_instruments(
            terms, work, y, out.forced_flow[r], out.impact[r], out.mark_price[r], out.dislocation[r], out.basis[r]
        )
        out.liquidated_accounts[r] = accounts
        out.margin_call_accounts[r] = called
        out.liquidated_notional[r] = notional
        out.first_round_notional[r] = first_round
        out.rounds[r] = rounds
        out.underwater_debt[r] = 0.0
        out.broken_hedge_notional[r] = broken_hedges(pools, terms, work, has_removed) if rounds > 0 else 0.0
        out.price_limits_hit[r] = limits_hit
        out.max_rounds_hit[r] = 1.0 if is_cut_off else 0.0
        _count_accounts(
            pools, work, shocks.set_index[n], shocks.n_alike[n], account_shortfall, hits, shortfall_max, is_central
        )


@compiled
def _count_accounts(
    pools: Pools,
    work: Work,
    set_ix: int,
    n_alike: int,
    account_shortfall: FloatArray,
    hits: OffsetArray,
    shortfall_max: FloatArray,
    is_central: bool,
) -> None:
    """Count hit accounts of the central variant, and reset the shortfall scratch of every hit account."""
    last = -1
    for p in range(len(pools.account)):
        a = pools.account[p]
        if not work.is_closed[p] or a == last:
            continue
        last = a
        if is_central:
            hits[set_ix, a] += n_alike
            shortfall_max[set_ix, a] = max(shortfall_max[set_ix, a], account_shortfall[a])
        account_shortfall[a] = 0.0


class Kernel:
    """A lowered book, market and rules, ready to run slabs of scenarios, in several threads at once if need be."""

    def __init__(self, book: Book, market: Market, rules: Rules) -> None:
        self.book = book
        self.rules = rules
        self.pools = lower_pools(book)
        self.terms = lower_terms(book, market, rules)

    def run(self, scenarios: ScenarioSet) -> BlockResult:
        """Run a slab of scenarios; every array of the result has the slab's scenarios first.

        The first call of a process compiles the kernel or loads it from the cache, even for an empty slab.
        """
        book, n = self.book, len(scenarios)
        out = _allocate(
            n, book.n_venues, int(self.terms.underlying_cell.max(initial=-1)) + 1, book.n_instruments, book.n_funds
        )
        work = make_work(self.pools, self.terms)  # of this call alone: compiled code runs without Python's lock
        n_sets = len(scenarios.sets)
        account_shortfall = np.zeros(book.n_accounts)
        hits = np.zeros((n_sets, book.n_accounts), dtype=np.int64)
        shortfall_max = np.zeros((n_sets, book.n_accounts))
        for v, variant in enumerate(scenarios.variants):
            rows, first, n_alike = _distinct(scenarios, v)
            rules = lower_rules(book, self.rules, variant)
            shocks = Shocks(
                row=rows,
                n_alike=n_alike,
                set_index=scenarios.set_index[rows].astype(np.int32),
                index_shock=scenarios.index_shock[rows],
                basis_shock=scenarios.basis_shock[rows],
                depth_factor=scenarios.depth_factor[rows],
                haircut_shock=scenarios.haircut_shock[rows],
            )
            _run(self.pools, self.terms, rules, shocks, work, out, account_shortfall, hits, shortfall_max, v == 0)
            copied = np.flatnonzero(scenarios.variant == v)
            for array in out:
                array[copied] = array[first]
        values = {f"{group}/{name}": getattr(out, name) for group, names in _GROUPS.items() for name in names}
        account, set_ix = np.nonzero(hits.T)  # in ascending order of account, then set
        part = AccountPart(
            account_ix=account.astype(np.int64),
            set_ix=set_ix.astype(np.int64),
            liquidated_scenarios=hits[set_ix, account],
            shortfall_max=shortfall_max[set_ix, account],
        )
        return BlockResult(values, part)


def _distinct(scenarios: ScenarioSet, variant: int) -> tuple[OffsetArray, OffsetArray, OffsetArray]:
    """Return a variant's distinct rows, the row each of its scenarios is alike to, and how many are alike to each.

    Nothing that is computed here depends on the volatility axis: scenarios that differ in it alone have one result.
    """
    rows = np.flatnonzero(scenarios.variant == variant).astype(np.int64)
    shocks = (scenarios.index_shock, scenarios.basis_shock, scenarios.depth_factor, scenarios.haircut_shock)
    key = np.stack([scenarios.set_index[rows], *(shock[rows] for shock in shocks)], axis=1)
    _, first, inverse, n_alike = np.unique(key, axis=0, return_index=True, return_inverse=True, return_counts=True)
    return rows[np.sort(first)], rows[first[inverse]], n_alike[np.argsort(first)].astype(np.int64)


def run_block(book: Book, market: Market, rules: Rules, scenarios: ScenarioSet) -> BlockResult:
    """Run a slab of scenarios over the whole book: a pure function of its arguments.

    Returns values by variable key with shape [n, ...] per `riskpipe.domain.schema`, float64, NaN nowhere.
    """
    return Kernel(book, market, rules).run(scenarios)


def _allocate(n: int, n_venues: int, n_underlyings: int, n_instruments: int, n_funds: int) -> Results:
    shapes = {
        "exposure": (n, n_venues, n_underlyings),
        "funds": (n, n_funds),
        "instruments": (n, n_instruments),
        "system": (n,),
        "entities": (n, n_funds, N_RANKS),
    }
    return Results(*(np.zeros(shapes[group]) for group, names in _GROUPS.items() for _ in names))
