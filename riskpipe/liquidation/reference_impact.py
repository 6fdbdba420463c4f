"""The specification of forced flow and of the moves that it causes."""

from typing import Protocol

import numpy as np

from riskpipe.domain.book import Book, InstrumentKind
from riskpipe.domain.market import Market
from riskpipe.domain.rules import Rules, VenueRules
from riskpipe.domain.scenarios import ScenarioSet, Variant
from riskpipe.liquidation.state import Impact, Prices
from riskpipe.pricing.impact import LARGEST_FALL, LAW_CODES, average_impact, impact, is_limited

SMALLEST_INDEX_SHARE = 0.01


class Model(Protocol):
    """What flow and impact need of the model."""

    book: Book
    market: Market
    rules: Rules
    scenarios: ScenarioSet

    def positions(self, p: int) -> range:
        """Return the positions of a pool."""

    def position_notional(self, q: int, mark: float, asset: list[float]) -> float:
        """Return a position's notional."""

    def venue_rules(self, venue: int, variant: Variant) -> VenueRules:
        """Return a venue's rules."""


def forced_flow(model: Model, closed: list[int], shocked: Prices) -> list[float]:
    """Return Q_i: USD of forced flow at the shocked mark (a liquidated long sells: negative)."""
    book = model.book
    flow = [0.0] * book.n_instruments
    for p in closed:
        weight = float(book.account_weight[book.pool_account[p]])
        for q in model.positions(p):
            i = int(book.position_instrument[q])
            side = 1.0 if book.position_quantity[q] > 0.0 else -1.0
            flow[i] -= weight * side * model.position_notional(q, shocked.mark[i], shocked.asset)
    return flow


def market_impact(
    model: Model, s: int, flow: list[float], bought: dict[int, float], shocked: Prices, variant: Variant
) -> Impact:
    """Return the moves of every mark (own) and index that forced flow and spot bought (units) cause."""
    book, market = model.book, model.market
    factor = float(model.scenarios.depth_factor[s])
    n_assets = book.n_assets
    own, own_average = [0.0] * book.n_instruments, [0.0] * book.n_instruments
    index, index_average, index_flow = [0.0] * n_assets, [0.0] * n_assets, [0.0] * n_assets
    limits_hit = 0
    for i in range(book.n_instruments):
        u = int(book.instrument_underlying[i])
        rules = model.venue_rules(int(book.instrument_venue[i]), variant)
        moved = 0.0
        if not (np.isnan(market.index_depth[u]) or book.instrument_kind[i] == InstrumentKind.OPTION):
            capacity = np.inf if rules.arbitrage_capacity_usd is None else rules.arbitrage_capacity_usd
            moved = float(np.copysign(min(rules.kappa * abs(flow[i]), capacity), flow[i]))
        index_flow[u] += moved
        kept = flow[i] - moved
        if book.instrument_kind[i] == InstrumentKind.OPTION and flow[i] != 0.0:  # its book is as deep in contracts
            unit = shocked.mark[i] * shocked.asset[book.instrument_settlement[i]]
            kept *= market.mark_price[i] * market.index_price[book.instrument_settlement[i]] / unit
        depth = float(market.depth_bid[i] if kept < 0.0 else market.depth_ask[i]) * factor
        limit = min(1.0 - rules.price_floor, LARGEST_FALL)
        law = (LAW_CODES[rules.law], kept, depth, rules.price_floor, limit, rules.price_cap)
        own[i], own_average[i] = impact(*law), average_impact(*law)
        limits_hit += is_limited(own[i], kept, limit, rules.price_cap)
    rule = model.rules.index_impact
    for c, units in bought.items():
        index_flow[c] += units * shocked.asset[c]
    for c in range(n_assets):
        if np.isnan(market.index_depth[c]):
            continue
        limit = min(
            1.0 - rule.price_floor,
            LARGEST_FALL,
            1.0 - SMALLEST_INDEX_SHARE * float(market.index_price[c]) / shocked.asset[c],
        )
        law = (
            LAW_CODES[rule.law],
            index_flow[c],
            float(market.index_depth[c]) * factor,
            rule.price_floor,
            limit,
            rule.price_cap,
        )
        index[c], index_average[c] = impact(*law), average_impact(*law)
        limits_hit += is_limited(index[c], index_flow[c], limit, rule.price_cap)
    return Impact(own, own_average, index, index_average, limits_hit)


def dislocation(model: Model, impact_: Impact, variant: Variant) -> list[float]:
    """Return rho_i f_i, within the venue's mark band."""
    moves = []
    for i, own in enumerate(impact_.own):
        rules = model.venue_rules(int(model.book.instrument_venue[i]), variant)
        band = np.inf if rules.mark_band is None else rules.mark_band
        is_option = model.book.instrument_kind[i] == InstrumentKind.OPTION
        response = rules.option_mark_response if is_option else rules.mark_response
        moves.append(float(min(max(response * own, -band), band)))
    return moves
