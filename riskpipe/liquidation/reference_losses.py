"""The specification, second half: who pays for what the closed pools have lost, and what the closings leave behind."""

from collections import defaultdict
from typing import Protocol

import numpy as np

from riskpipe.domain.book import Book, InstrumentKind
from riskpipe.domain.market import Market
from riskpipe.domain.rules import Rules, VenueRules
from riskpipe.domain.scenarios import ScenarioSet, Variant
from riskpipe.domain.schema import N_RANKS
from riskpipe.liquidation.lowering import SETTLED
from riskpipe.liquidation.reference_loans import LoanState, loan_shortfall
from riskpipe.liquidation.reference_portfolio import option_delta_usd
from riskpipe.liquidation.state import CloseOut, Health, Impact, Outcome, Prices
from riskpipe.margin.scan_model import ScanModel

LONG, SHORT = 1, -1
Stages = dict[str, np.ndarray]


class Model(Protocol):
    """What this half needs of the first."""

    book: Book
    market: Market
    rules: Rules
    scenarios: ScenarioSet
    underlyings: list[int]
    loans: list[int]
    unit_models: dict[tuple[int, int], ScanModel]
    years: list[float]

    def own_venue_price(self, p: int, c: int, asset: list[float]) -> float:
        """Return the price of what is owned."""

    def positions(self, p: int) -> range:
        """Return the positions of a pool."""

    def slots(self, p: int) -> range:
        """Return the slots of a pool."""

    def position_pnl(self, q: int, mark: float) -> float:
        """Return a position's PnL."""

    def position_notional(self, q: int, mark: float, asset: list[float]) -> float:
        """Return a position's notional."""

    def settled(self, p: int, marks: dict[int, float]) -> dict[int, float]:
        """Return a pool's amounts by slot."""

    def health(self, p: int, prices: Prices, extra_haircut: float) -> Health:
        """Return a pool's health."""

    def venue_rules(self, venue: int, variant: Variant) -> VenueRules:
        """Return a venue's rules."""

    def close_out(self, p: int, s: int, impact_: Impact, final: Prices, variant: Variant) -> CloseOut:
        """Close a pool."""


def settle(
    model: Model,
    s: int,
    variant: Variant,
    closed: list[int],
    loans: LoanState,
    shocked: Prices,
    impact: Impact,
    final: Prices,
) -> Outcome:
    """Close out, run every fund's waterfall, and count exposure, margin calls, entities and broken hedges."""
    close_outs = [model.close_out(p, s, impact, final, variant) for p in closed]
    underwater = [_of_loan(p, loan_shortfall(model, p, loans, final)) for p in model.loans]
    close_outs += [item for item in underwater if item.shortfall > 0.0]
    by_fund, by_side, fees = _losses_by_fund(model, close_outs)
    stages, removed = _waterfalls(model, closed, final, by_fund, by_side, fees, variant)
    outcome = Outcome(values=_exposure(model, closed, loans, shocked), close_outs=close_outs)
    outcome.values |= stages
    outcome.values |= _entities(model, close_outs, stages)
    outcome.values["system/underwater_debt"] = np.array(sum(item.shortfall for item in underwater))
    accounts = {int(model.book.pool_account[p]) for p in (*closed, *loans.liquidated())}
    weight = model.book.account_weight
    outcome.values["system/liquidated_accounts"] = np.array(float(sum(weight[a] for a in accounts)))
    outcome.values["system/margin_call_accounts"] = np.array(
        _margin_calls(model, closed, final, float(model.scenarios.haircut_shock[s]))
    )
    outcome.values["system/broken_hedge_notional"] = np.array(
        _broken_hedges(model, closed, loans, shocked, final, removed)
    )
    outcome.liquidated_accounts = accounts
    for item in close_outs:
        account = int(model.book.pool_account[item.pool])
        outcome.account_shortfall[account] = outcome.account_shortfall.get(account, 0.0) + item.shortfall
    return outcome


def _of_loan(p: int, shortfall: float) -> CloseOut:
    """Return what a loan leaves: it has no positions, so its shortfall falls to the venue's fund."""
    return CloseOut(
        pool=p,
        ray_point=1.0,
        exits={},
        true_equity=-shortfall,
        fee=0.0,
        shortfall=shortfall,
        fees_collected=0.0,
        loss_share={},
        fee_share={},
    )


def _side(model: Model, q: int) -> int:
    return LONG if model.book.position_quantity[q] > 0.0 else SHORT


def _losses_by_fund(
    model: Model, close_outs: list[CloseOut]
) -> tuple[dict[int, float], dict[tuple[int, int], float], dict[int, float]]:
    """Shortfall and fees by fund, and shortfall by (instrument, side of the closed position)."""
    by_fund: dict[int, float] = defaultdict(float)
    by_side: dict[tuple[int, int], float] = defaultdict(float)
    fees: dict[int, float] = defaultdict(float)
    book = model.book
    for item in close_outs:
        venue = int(book.account_venue[book.pool_account[item.pool]])
        if not item.loss_share:
            by_fund[int(book.venue_fund[venue])] += item.shortfall
        for q, share in item.loss_share.items():
            i = int(book.position_instrument[q])
            by_fund[int(book.instrument_fund[i])] += item.shortfall * share
            by_side[i, _side(model, q)] += item.shortfall * share
        for q, share in item.fee_share.items():
            fees[int(book.instrument_fund[book.position_instrument[q]])] += item.fees_collected * share
    return by_fund, by_side, fees


def _winners(model: Model, closed: list[int], final: Prices, i: int, side: int) -> tuple[float, float]:
    """Profit and notional, USD at final prices, of open positions on one side of an instrument that are in profit."""
    book = model.book
    profit = notional = 0.0
    for p in range(book.n_pools):
        if p in closed:
            continue
        weight = float(book.account_weight[book.pool_account[p]])
        for q in model.positions(p):
            if book.position_instrument[q] != i or _side(model, q) != side:
                continue
            gain = model.position_pnl(q, final.mark[i]) * final.asset[book.instrument_settlement[i]]
            if gain > 0.0:
                profit += weight * gain
                notional += weight * model.position_notional(q, final.mark[i], final.asset)
    return profit, notional


def _waterfalls(
    model: Model,
    closed: list[int],
    final: Prices,
    by_fund: dict[int, float],
    by_side: dict[tuple[int, int], float],
    fees: dict[int, float],
    variant: Variant,
) -> tuple[Stages, dict[tuple[int, int], float]]:
    """Each fund's stages in its venue's order, and the share of every (instrument, side) that ADL removes."""
    book = model.book
    names = (
        "shortfall",
        "fee_offset",
        "fund_used",
        "backstop_loss",
        "adl_loss",
        "adl_notional",
        "socialised_loss",
        "residual",
        "fund_balance",
    )
    out = {name: np.zeros(book.n_funds) for name in names}
    removed: dict[tuple[int, int], float] = {}
    for f in range(book.n_funds):
        rules = model.venue_rules(int(book.fund_venue[f]), variant)
        balance = float(book.fund_balance[f]) * final.asset[book.fund_asset[f]] * (1.0 - rules.fund_haircut)
        shortfall = left = by_fund.get(f, 0.0)
        out["shortfall"][f], out["fund_balance"][f] = shortfall, balance
        for stage in rules.waterfall:
            if stage == "fee_offset":
                paid = out["fee_offset"][f] = min(left, fees.get(f, 0.0))
            elif stage == "fund":
                paid = out["fund_used"][f] = min(left, balance)
            else:
                paid = 0.0
                loss = left
                for (i, side), amount in sorted(by_side.items()):
                    if int(book.instrument_fund[i]) != f or loss <= 0.0 or amount <= 0.0:
                        continue
                    profit, notional = _winners(model, closed, final, i, -side)
                    taken = min(loss * (amount / shortfall), profit)
                    if taken > 0.0:
                        removed[i, -side] = taken / profit
                        out["adl_notional"][f] += notional * (taken / profit)
                        paid += taken
                paid = out["adl_loss"][f] = left if left - paid <= SETTLED * left else paid
            left -= paid
        out["residual"][f] = left
    return {f"funds/{name}": values for name, values in out.items()}, removed


def _exposure(model: Model, closed: list[int], loans: LoanState, shocked: Prices) -> dict[str, np.ndarray]:
    book = model.book
    shape = (book.n_venues, len(model.underlyings))
    longs, shorts, count = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for p in closed:
        weight = float(book.account_weight[book.pool_account[p]])
        for q in model.positions(p):
            i = int(book.position_instrument[q])
            if book.position_quantity[q] == 0.0:
                continue
            cell = int(book.instrument_venue[i]), model.underlyings.index(int(book.instrument_underlying[i]))
            table = longs if _side(model, q) == LONG else shorts
            table[cell] += weight * model.position_notional(q, shocked.mark[i], shocked.asset)
            count[cell] += weight
    for (venue, c), units in loans.seized.items():
        longs[venue, model.underlyings.index(c)] += units * shocked.asset[c]
    for (venue, c), number in loans.balances.items():
        count[venue, model.underlyings.index(c)] += number
    return {
        "exposure/liquidated_notional_long": longs,
        "exposure/liquidated_notional_short": shorts,
        "exposure/liquidated_positions": count,
        "system/liquidated_notional": np.array(longs.sum() + shorts.sum()),
    }


def _margin_calls(model: Model, closed: list[int], final: Prices, haircut: float) -> float:
    called = set()
    for p in range(model.book.n_pools):
        if p in closed:
            continue
        health = model.health(p, final, haircut)
        if health.margin_excess >= 0.0 and health.equity < health.initial_margin:
            called.add(int(model.book.pool_account[p]))
    return float(sum(model.book.account_weight[a] for a in called))


def _entities(model: Model, close_outs: list[CloseOut], stages: Stages) -> dict[str, np.ndarray]:
    """The ten entities with the largest shortfall of each fund; rows that stand for several owners are left out."""
    book = model.book
    shortfall = np.zeros((book.n_funds, N_RANKS))
    uncovered = np.zeros((book.n_funds, N_RANKS))
    index = np.full((book.n_funds, N_RANKS), -1.0)
    by_entity: dict[tuple[int, int], float] = defaultdict(float)
    for item in close_outs:
        a = int(book.pool_account[item.pool])
        if book.account_weight[a] != 1.0 and not book.account_has_entity[a]:
            continue
        shares = {int(book.venue_fund[book.account_venue[a]]): 1.0} if not item.loss_share else {}
        for q, share in item.loss_share.items():
            f = int(book.instrument_fund[book.position_instrument[q]])
            shares[f] = shares.get(f, 0.0) + share
        for f, share in shares.items():
            by_entity[f, int(book.account_entity[a])] += item.shortfall * share
    for f in range(book.n_funds):
        total = stages["funds/shortfall"][f]
        paid = sum(stages[f"funds/{name}"][f] for name in ("fee_offset", "fund_used", "backstop_loss"))
        largest = sorted(((-loss, e) for (fund, e), loss in by_entity.items() if fund == f and loss > 0.0))[:N_RANKS]
        for rank, (negative, e) in enumerate(largest):
            shortfall[f, rank], index[f, rank] = -negative, e
            uncovered[f, rank] = -negative / total * max(0.0, total - paid)
    return {
        "entities/entity_shortfall": shortfall,
        "entities/entity_uncovered_loss": uncovered,
        "entities/entity": index,
    }


def _broken_hedges(
    model: Model,
    closed: list[int],
    loans: LoanState,
    shocked: Prices,
    final: Prices,
    removed: dict[tuple[int, int], float],
) -> float:
    """Growth of absolute USD delta, entity by entity and underlying by underlying, at shocked marks.

    A spot leg is a balance together with what settles in it; a futures leg counts its signed notional, an option's its
    delta.
    """
    book = model.book
    before: dict[tuple[int, int], float] = defaultdict(float)
    after: dict[tuple[int, int], float] = defaultdict(float)
    for p in range(book.n_pools):
        a = int(book.pool_account[p])
        weight, entity = float(book.account_weight[a]), int(book.account_entity[a])
        marks = {q: shocked.mark[book.position_instrument[q]] for q in model.positions(p)}
        for k, amount in model.settled(p, marks).items():
            c = int(book.slot_asset[k])
            if c in model.underlyings:
                debt_left, collateral_left = loans.left(p)
                left = debt_left if amount < 0.0 else collateral_left
                before[entity, c] += weight * amount * shocked.asset[c]
                after[entity, c] += weight * amount * left * shocked.asset[c]
        for q in model.positions(p):
            i = int(book.position_instrument[q])
            side = _side(model, q)
            delta = weight * side * model.position_notional(q, marks[q], shocked.asset)
            if book.instrument_kind[i] == InstrumentKind.OPTION:
                size = float(book.position_quantity[q] * book.instrument_multiplier[i])
                delta = weight * size * option_delta_usd(model, i, shocked)
            u = int(book.instrument_underlying[i])
            before[entity, u] += delta
            if p in closed:
                continue
            is_winner = model.position_pnl(q, final.mark[i]) > 0.0
            after[entity, u] += delta * (1.0 - (removed.get((i, side), 0.0) if is_winner else 0.0))
    return sum(max(0.0, abs(after[key]) - abs(before[key])) for key in before)
