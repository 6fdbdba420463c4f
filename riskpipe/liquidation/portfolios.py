"""Pools margined as portfolios: evaluated one state of the market at a time, closed like any other pool.

In each state every contract that such a pool holds is repriced once, in every cell of its scan; a pool is then a sum
over its holdings. Pools of one venue and underlying share a model, and so the rows of what they hold.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from riskpipe.compiled import compiled, internal
from riskpipe.domain.book import Book, BoolArray, FloatArray, IntArray, OffsetArray
from riskpipe.liquidation.bits import add_lane, has_common, has_lane
from riskpipe.liquidation.flow import add_closed
from riskpipe.liquidation.health import equity_and_owed
from riskpipe.liquidation.lanes import Lanes, State
from riskpipe.liquidation.lowering import Pools, Terms, VariantRules, widest
from riskpipe.liquidation.positions import place_of
from riskpipe.liquidation.prices import mark_row, set_shocked_pool
from riskpipe.liquidation.rays import BISECTION_WIDTH, SCAN_STEPS, Rays, set_first_failures
from riskpipe.liquidation.records import Draft
from riskpipe.liquidation.scan_models import SPOT, Scans, lower_scans
from riskpipe.liquidation.scan_pools import UnitScratch, make_unit_scratch, unit_requirement
from riskpipe.liquidation.scan_units import UnitRows, UnitTable, make_unit_table, set_unit_row
from riskpipe.margin.scan_model import ScanModel

FIRST, LATER, LAST, CALLS = range(4)  # visits


class RiskUnits(NamedTuple):
    """Portfolio pools as risk units, and the units as holdings: rows of contracts, or of an underlying as spot."""

    pool: OffsetArray  # [m] ascending
    can_close: BoolArray  # [m] has positions or debt, and is not exempt
    unit_start: OffsetArray  # [m + 1]
    unit_model: IntArray  # [n] of the scans
    holding_start: OffsetArray  # [n + 1]
    holding_row: IntArray  # [h]
    holding_size: FloatArray  # [h] signed: underlying, quote units of inverse contracts
    row_instrument: IntArray  # [r] -1 = spot
    row_asset: IntArray  # [r] underlying
    row_model: IntArray  # [r] of the scans


class Portfolios(NamedTuple):
    """Portfolio pools, the scans that they are under, and what one state of the market makes of them."""

    units: RiskUnits
    scans: Scans
    table: UnitTable
    scratch: UnitScratch
    amount: FloatArray  # [slots] of one pool


def lower_units(book: Book, models: Mapping[tuple[int, int], ScanModel], pools: Pools) -> RiskUnits:
    """Return the risk units of every portfolio pool, in canonical order; models as `unit_models` has them."""
    place = {key: n for n, key in enumerate(models)}
    rows: dict[tuple[int, int, int], int] = {}  # of (venue, underlying, instrument or -1)
    pool = np.flatnonzero(pools.is_portfolio).astype(np.int64)
    unit_start, unit_model, holding_start = [0], [], [0]
    holding_row, holding_size, can_close = [], [], []
    multiplier = book.instrument_multiplier
    for p in pool.tolist():
        venue = int(book.account_venue[book.pool_account[p]])
        at = slice(int(book.pool_position_start[p]), int(book.pool_position_start[p + 1]))
        slots = slice(int(book.pool_slot_start[p]), int(book.pool_slot_start[p + 1]))
        held, quantity = book.position_instrument[at], book.position_quantity[at]
        is_at_stake = bool(np.any(quantity != 0.0) or np.any(book.slot_quantity[slots] < 0.0))
        can_close.append(is_at_stake and not book.account_is_exempt[book.pool_account[p]])
        for u in np.unique(book.instrument_underlying[held]).tolist():
            if (venue, u) not in place:
                continue
            for asset, amount in zip(book.slot_asset[slots].tolist(), book.slot_quantity[slots].tolist(), strict=True):
                if asset == u:
                    holding_row.append(rows.setdefault((venue, u, -1), len(rows)))
                    holding_size.append(amount)
            for i, contracts in zip(held.tolist(), quantity.tolist(), strict=True):
                if book.instrument_underlying[i] != u:
                    continue
                holding_row.append(rows.setdefault((venue, u, i), len(rows)))
                holding_size.append(contracts * float(multiplier[i]))
            unit_model.append(place[venue, u])
            holding_start.append(len(holding_row))
        unit_start.append(len(unit_model))
    return RiskUnits(
        pool=pool,
        can_close=np.array(can_close, dtype=np.bool_),
        unit_start=np.array(unit_start, dtype=np.int64),
        unit_model=np.array(unit_model, dtype=np.int32),
        holding_start=np.array(holding_start, dtype=np.int64),
        holding_row=np.array(holding_row, dtype=np.int32),
        holding_size=np.array(holding_size, dtype=np.float64),
        row_instrument=np.array([i for _, _, i in rows], dtype=np.int32),
        row_asset=np.array([u for _, u, _ in rows], dtype=np.int32),
        row_model=np.array([place[v, u] for v, u, _ in rows], dtype=np.int32),
    )


def make_portfolios(pools: Pools, terms: Terms, units: RiskUnits, models: Sequence[ScanModel]) -> Portfolios:
    """Return the portfolios of one run, with scratch of their own; `models` are those that `units` count."""
    scans, held = lower_scans(models), units.row_instrument
    is_spot, i = held < 0, np.maximum(held, 0)

    def of_rows(values: np.ndarray, of_spot: float) -> np.ndarray:
        return np.where(is_spot, of_spot, values[i]) if len(values) else np.full(len(held), of_spot)

    n = len(held)
    rows = UnitRows(
        model_ix=units.row_model,
        kind=of_rows(terms.unit_kind, SPOT),
        is_coin_settled=of_rows(terms.is_coin_settled, 0.0),
        is_call=of_rows(terms.is_call, 0.0),
        years=of_rows(terms.years, 0.0),
        strike=of_rows(terms.strike, np.nan),
        fixed_price=np.zeros(n),
        rate=np.zeros(n),
        confidence=np.ones(n),
    )
    table = make_unit_table(models, scans, rows)
    scratch = make_unit_scratch(scans, table, widest(units.holding_start))
    return Portfolios(units, scans, table, scratch, np.zeros(widest(pools.slot_start)))


def without_units(units: RiskUnits) -> RiskUnits:
    """Return units of the same types and no pools."""
    return RiskUnits(*(array[:1] if name.endswith("_start") else array[:0] for name, array in units._asdict().items()))


@internal
def set_row(terms: Terms, portfolios: Portfolios, r: int, price: FloatArray, s: int, vol_factor: float) -> None:
    """Set row r to the state of the market in lane s, and what its contract gains in every cell."""
    units, table = portfolios.units, portfolios.table
    i, u = units.row_instrument[r], units.row_asset[r]
    table.index_price[r] = price[u, s]
    if i < 0:
        table.price[r], table.quote_price[r], table.volatility[r] = price[u, s], 1.0, 0.0
        table.peg_price[r] = 1.0
    else:
        table.price[r], table.quote_price[r] = price[mark_row(terms, i), s], price[terms.quote[i], s]
        table.peg_price[r] = price[terms.settlement[i], s]
        table.volatility[r] = terms.option_vol[i] * vol_factor if terms.is_option[i] else 0.0
    set_unit_row(portfolios.scans, table, r)


@internal
def set_rows(terms: Terms, portfolios: Portfolios, price: FloatArray, s: int, vol_factor: float) -> None:
    """Set every row to the state of the market in lane s."""
    for r in range(len(portfolios.units.row_asset)):
        set_row(terms, portfolios, r, price, s, vol_factor)


@internal
def portfolio_health(
    pools: Pools, terms: Terms, portfolios: Portfolios, m: int, price: FloatArray, s: int, extra_haircut: float
) -> tuple[float, float, float]:
    """Equity, maintenance and initial margin in USD of portfolio m in lane s, to which its rows are set."""
    units = portfolios.units
    equity, owed = equity_and_owed(pools, terms, portfolios.amount, units.pool[m], price, s, extra_haircut)
    maintenance, initial = owed, owed
    for n in range(units.unit_start[m], units.unit_start[m + 1]):
        first, stop = units.holding_start[n], units.holding_start[n + 1]
        required = unit_requirement(
            portfolios.scans, portfolios.table, units.unit_model[n], units.holding_row[first:stop],
            units.holding_size[first:stop], stop - first, portfolios.scratch,
        )  # fmt: skip
        maintenance += required[0]
        initial += required[1]
    return equity, maintenance, initial


# one function, for the compiler takes as long over each that evaluates a portfolio
@compiled
def visit_portfolios(
    pools: Pools, terms: Terms, rules: VariantRules, lanes: Lanes, state: State, portfolios: Portfolios, visit: int
) -> None:
    """Look at every portfolio: at first in every group at its shocked prices, later in every active lane at its trigger
    prices, and close what fails (in the last round only note it); for margin calls, in every lane, note what is open,
    holds its maintenance margin and misses its initial margin.
    """  # noqa: D205
    units = portfolios.units
    is_first = visit == FIRST
    price = state.shocked if is_first else state.trigger
    for s in range(len(lanes.shocks.index_shock) if is_first else len(lanes.row)):
        if LATER <= visit <= LAST and not has_lane(state.active, s):
            continue
        set_rows(terms, portfolios, price, s, 1.0 + lanes.shocks.vol_shock[s if is_first else lanes.group[s]])
        for m in range(len(units.pool)):
            p = units.pool[m]
            if (visit != CALLS and not units.can_close[m]) or (not is_first and has_lane(state.closed[p], s)):
                continue
            health = portfolio_health(pools, terms, portfolios, m, price, s, terms.extra_haircut)
            if visit == CALLS:
                if health[1] <= health[0] < health[2]:
                    add_lane(state.called[p], s)
                continue
            if not health[0] < health[1]:
                continue
            if visit == LAST:
                state.is_cut_off[s] = True
                break
            if is_first:
                for w in range(len(state.active)):
                    state.closed[p, w] |= state.group_lanes[s, w]
            else:
                add_lane(state.closed[p], s)
            state.has_risen[s] = True
            state.risen[0] = s
            add_closed(pools, terms, rules, state, p, 1, price)


@compiled
def count_failing_portfolios(
    pools: Pools, terms: Terms, portfolios: Portfolios, price: FloatArray, vol_factor: FloatArray, failing: OffsetArray
) -> None:
    """Add to failing[lane] the portfolios that can be closed and have negative margin excess at the lane's prices."""
    units = portfolios.units
    for s in range(len(failing)):
        set_rows(terms, portfolios, price, s, vol_factor[s])
        for m in range(len(units.pool)):
            health = portfolio_health(pools, terms, portfolios, m, price, s, terms.extra_haircut)
            failing[s] += units.can_close[m] and health[0] < health[1]


@internal
def ray_excess(pools: Pools, terms: Terms, portfolios: Portfolios, rays: Rays, m: int, g: int, share: float) -> float:
    """Margin excess of portfolio m at a share of the way to group g's shocks."""
    units = portfolios.units
    vol_factor = 1.0 + rays.shocks.vol_shock[g] * share
    set_shocked_pool(pools, terms, rays.price, units.pool[m], g, rays.shocks, g, share)
    for h in range(units.holding_start[units.unit_start[m]], units.holding_start[units.unit_start[m + 1]]):
        set_row(terms, portfolios, units.holding_row[h], rays.price, g, vol_factor)
    health = portfolio_health(pools, terms, portfolios, m, rays.price, g, rays.haircut_shock * share)
    return health[0] - health[1]


@internal
def set_portfolio_failures(
    pools: Pools, terms: Terms, portfolios: Portfolios, rays: Rays, m: int, words: np.ndarray, group_lanes: np.ndarray
) -> None:
    """Set rays.point of portfolio m as `rays.set_first_failures` does, group by group.

    Halving the bracket would take 35 evaluations; this takes about ten. Source: Chandrupatla, A new hybrid
    quadratic/bisection algorithm for finding the zero of a nonlinear function, Advances in Engineering Software 28
    (1997).
    """
    for g in range(len(rays.point)):
        rays.point[g] = np.nan
        if not has_common(words, group_lanes[g]):
            continue
        step, before, excess = 0, 0.0, 0.0
        while step <= SCAN_STEPS:
            excess = ray_excess(pools, terms, portfolios, rays, m, g, step / SCAN_STEPS)
            if excess <= 0.0:
                break
            before = excess
            step += 1
        if step > SCAN_STEPS:
            continue
        rays.point[g] = 0.0
        # a is the place looked at last, b one beyond the failure from there, c the one before
        a, b = step / SCAN_STEPS, (step - 1) / SCAN_STEPS
        at_a, at_b, t = excess, before, 0.5
        while step > 0:
            least = 0.5 * BISECTION_WIDTH / abs(b - a)
            if least >= 0.5:
                rays.point[g] = a if at_a <= 0.0 else b
                break
            point = a + min(max(t, least), 1.0 - least) * (b - a)
            excess = ray_excess(pools, terms, portfolios, rays, m, g, point)
            if (excess <= 0.0) == (at_a <= 0.0):
                c, at_c = a, at_a
            else:
                c, at_c, b, at_b = b, at_b, a, at_a
            a, at_a = point, excess
            t, share, phi = 0.5, (a - b) / (c - b), (at_a - at_b) / (at_c - at_b)
            if phi * phi < share and (1.0 - phi) * (1.0 - phi) < 1.0 - share:
                t = at_a / (at_b - at_a) * (at_c / (at_b - at_c))
                t += (c - a) / (b - a) * (at_a / (at_c - at_a)) * (at_b / (at_c - at_b))


@internal
def set_failures(
    pools: Pools, terms: Terms, draft: Draft, portfolios: Portfolios, rays: Rays, p: int, words: np.ndarray,
    group_lanes: np.ndarray,
) -> None:  # fmt: skip
    """Set rays.point of pool p, whatever it is margined by, in the groups that have lanes in `words`."""
    if pools.is_portfolio[p]:
        m = place_of(portfolios.units.pool, p)
        set_portfolio_failures(pools, terms, portfolios, rays, m, words, group_lanes)
    else:
        set_first_failures(pools, terms, draft, rays, p, words, group_lanes)
