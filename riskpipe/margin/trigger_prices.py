"""Prices at which things happen to a pool: liquidation, bankruptcy, margin call.

All of them are marks of one instrument, in quote units, found with everything else left as it is: other positions of a
cross pool keep their unrealised PnL and their requirement at their own marks, as venues do
(https://www.binance.com/en/support/faq/b3c689c1f50a44cabb3a84e663b81d93). The coin that an inverse contract settles in
moves with the mark. Equity is at par: the haircuts of other collateral belong into `other_excess_usd`.

A price that does not exist is NaN, so that a column of prices holds it: no position (size 0), collateral that outlasts
every price above 0 (a long with more than its notional, an inverse short covered by its own coin), requirements that no
price meets, and NaN in the input.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from itertools import pairwise

from riskpipe.margin.model import Holding, Piece, PiecewiseModel, PositionModel, Requirement

# two prices closer than this, relatively, are one: what rounding may do to a root beside the mark
SAME_PRICE = 1e-12


@dataclass(frozen=True)
class TriggerPrices:
    """The marks, below and above, beyond which a pool fails; NaN = it does not fail on that side.

    For a pool that fails at its mark already, each is where it would stop to fail: the nearest mark, above for `down`
    and below for `up`, that would heal it.
    """

    down: float
    up: float


def margin_excess(
    model: PositionModel, holdings: Iterable[Holding], *, balance: float, other_excess_usd: float = 0.0
) -> float:
    """Equity less maintenance margin, USD: the pool is liquidatable when it is below 0.

    `holdings` are positions of one model in contracts that settle in one asset; `balance` is the wallet or isolated
    margin in it, `other_excess_usd` the equity less requirement of everything else in the pool. NaN in, NaN out.
    """
    pnl = requirement = 0.0
    price = math.nan
    for holding in holdings:
        price = holding.settlement_price
        pnl += _pnl(holding)
        requirement += model.maintenance_margin(holding)
    return (balance + pnl) * price + other_excess_usd - requirement


def liquidation_prices(
    model: PiecewiseModel, holdings: Sequence[Holding], *, balance: float, other_excess_usd: float = 0.0
) -> TriggerPrices:
    """Marks at which equity falls to the maintenance margin, below and above the present one.

    Parameters
    ----------
    model : the venue's, which knows its requirement piece by piece.
    holdings : one position, or the long and short leg of one instrument in hedge mode, which are margined apart and
        share their price.
    balance : wallet balance or isolated margin, in the settlement asset.
    other_excess_usd : equity less requirement of everything else in the pool, USD, frozen (0 for an isolated pool).

    Returns prices in quote units, NaN where there is none. Solved tier by tier; the solution inside its own tier is the
    one kept, so it does not matter in which tier the position is now.
    Raises ValueError when the holdings are not one instrument's.
    """
    return _prices(model, holdings, "maintenance", balance, other_excess_usd)


def liquidation_price(
    model: PiecewiseModel, holding: Holding, *, balance: float, other_excess_usd: float = 0.0
) -> float:
    """Mark at which a position's pool becomes liquidatable, quote units: below for a long, above for a short.

    Parameters as in `liquidation_prices`. NaN where there is none. For a pool that is liquidatable already, the mark
    at which it would not be.
    """
    return _of_side(holding, liquidation_prices(model, [holding], balance=balance, other_excess_usd=other_excess_usd))


def margin_call_prices(
    model: PiecewiseModel, holdings: Sequence[Holding], *, balance: float, other_excess_usd: float = 0.0
) -> TriggerPrices:
    """Marks at which equity falls to the initial margin, below and above the present one.

    Parameters as in `liquidation_prices`, where `other_excess_usd` is now equity less *initial* margin of the rest.
    Initial margin jumps at tier edges, so that equity can meet it more than once: the prices nearest to the mark count,
    and an edge at which the requirement jumps over equity is one of them.
    """
    return _prices(model, holdings, "initial", balance, other_excess_usd)


def margin_call_price(
    model: PiecewiseModel, holding: Holding, *, balance: float, other_excess_usd: float = 0.0
) -> float:
    """Mark at which a position's pool has its initial margin only: below for a long, above for a short.

    Parameters as in `margin_call_prices`. NaN where there is none.
    """
    return _of_side(holding, margin_call_prices(model, [holding], balance=balance, other_excess_usd=other_excess_usd))


def bankruptcy_price(
    holding: Holding, *, balance: float, other_equity_usd: float = 0.0, fee_rate: float = 0.0
) -> float:
    """Mark at which nothing is left of the pool: below for a long, above for a short, quote units; NaN where none.

    `balance` in the settlement asset, `other_equity_usd` the equity of the rest of a cross pool; `fee_rate` of closing
    at that price, where the venue counts it. Isolated: E - M/size for linear contracts, N/(N/E + M) for inverse ones
    (signed size and N), with M the margin: E (1 -+ 1/L) and E L/(L +- 1) at leverage L.
    Source: https://help.bybit.com/hc/en-us/articles/900000031623 (inverse), dYdX v4 for several positions:
    `riskpipe.margin.bankruptcy`.
    """
    size = holding.size
    if size == 0.0:
        return math.nan
    if holding.is_inverse:
        per_x = size + fee_rate * abs(size) - other_equity_usd * holding.mark_price / holding.settlement_price
        ahead = balance + size / holding.entry_price
        if per_x * size <= 0.0 or ahead == 0.0:  # what else the pool holds outweighs the position's own exposure
            return math.nan
        return _positive(per_x / ahead)
    fee = fee_rate * abs(size) * holding.quote_price / holding.settlement_price
    owed = size * holding.entry_price - balance - other_equity_usd / holding.settlement_price
    return _positive(owed / (size - fee))


def isolated_margin(holding: Holding, leverage: float) -> float:
    """Margin of a position opened at a leverage, settlement asset: |size| E / L (linear), |size| / (E L) (inverse)."""
    size = abs(holding.size)
    value = size / holding.entry_price if holding.is_inverse else size * holding.entry_price
    return value / leverage


def price_on_tick(price: float, tick: float, *, is_long: bool) -> float:
    """Round a bankruptcy price to the venue's tick: up for a long, down for a short, so that no deficit is left by it.

    A price within a millionth of a tick of one is that one. Source (long): help.bybit.com 900000031623, where
    7,735.3725 at a tick of 0.5 is shown as 7,735.50; the short is its mirror image.
    """
    ticks = price / tick
    if math.isnan(ticks):
        return math.nan
    return (math.ceil(ticks - 1e-6) if is_long else math.floor(ticks + 1e-6)) * tick


def _pnl(holding: Holding) -> float:
    if holding.is_inverse:
        return holding.size * (1.0 / holding.entry_price - 1.0 / holding.mark_price)
    return holding.size * (holding.mark_price - holding.entry_price)


def _positive(price: float) -> float:
    return price if 0.0 < price < math.inf else math.nan


def _of_side(holding: Holding, prices: TriggerPrices) -> float:
    return prices.down if holding.size > 0.0 else prices.up


def _prices(
    model: PiecewiseModel,
    holdings: Sequence[Holding],
    requirement: Requirement,
    balance: float,
    other_excess_usd: float,
) -> TriggerPrices:
    nothing = TriggerPrices(math.nan, math.nan)
    held = [holding for holding in holdings if holding.size != 0.0]
    numbers = [balance, other_excess_usd, *(number for holding in holdings for number in astuple(holding))]
    if not held or any(math.isnan(number) for number in numbers):
        return nothing
    one = held[0]
    if any(replace(one, size=h.size, entry_price=h.entry_price) != h for h in held):
        raise ValueError(f"holdings differ in kind or prices: expected legs of one instrument, got {holdings}")
    # equity in the settlement asset is a line in x: the mark, or 1/mark for inverse contracts
    if one.is_inverse:
        constant = balance + sum(h.size / h.entry_price for h in held)
        slope = other_excess_usd * one.mark_price / one.settlement_price - sum(h.size for h in held)
    else:
        constant = balance + other_excess_usd / one.settlement_price - sum(h.size * h.entry_price for h in held)
        slope = sum(h.size for h in held)
    curves = [model.pieces(holding, requirement) for holding in held]
    excess = _less(Piece(0.0, math.inf, constant, slope), curves)
    turns = _turns(excess)
    x = 1.0 / one.mark_price if one.is_inverse else one.mark_price
    is_failing = _value(next(p for p in excess if p.lower <= x < p.upper), x) < 0.0
    # a turn is where it fails on one side: on lower x, or on higher x
    low = _nearest([t for t, fails_above in turns if not fails_above], x, is_failing, is_below=True)
    high = _nearest([t for t, fails_above in turns if fails_above], x, is_failing, is_below=False)
    if one.is_inverse:
        return TriggerPrices(down=_positive(_inverted(high)), up=_positive(_inverted(low)))
    return TriggerPrices(down=_positive(low), up=_positive(high))


def _inverted(x: float) -> float:
    return 1.0 / x if x > 0.0 else math.nan


def _less(equity: Piece, curves: Sequence[Sequence[Piece]]) -> list[Piece]:
    """Return equity less all requirements, cut wherever one of them is."""
    edges = sorted({piece.lower for curve in curves for piece in curve})
    result = []
    for lower, upper in zip(edges, [*edges[1:], math.inf], strict=True):
        parts = [next(p for p in reversed(curve) if p.lower <= lower) for curve in curves]
        result.append(
            Piece(
                lower,
                upper,
                equity.constant - sum(p.constant for p in parts),
                equity.slope - sum(p.slope for p in parts),
                -sum(p.curvature for p in parts),
            )
        )
    return result


def _value(piece: Piece, x: float) -> float:
    if x == math.inf:
        leading = piece.curvature or piece.slope or piece.constant
        return math.copysign(math.inf, leading) if leading else 0.0
    return piece.constant + x * (piece.slope + x * piece.curvature)


def _turns(excess: Sequence[Piece]) -> list[tuple[float, bool]]:
    """Return where the excess changes between 0 or more and less, and whether it is less on the higher side."""
    turns: list[tuple[float, bool]] = []
    was_failing: bool | None = None
    for piece in excess:
        cuts = [piece.lower, piece.upper]
        if piece.curvature != 0.0:
            vertex = -piece.slope / (2.0 * piece.curvature)
            if piece.lower < vertex < piece.upper:
                cuts.insert(1, vertex)
        for lower, upper in pairwise(cuts):
            starts, ends = _value(piece, lower) < 0.0, _value(piece, upper) < 0.0
            if was_failing is not None and starts != was_failing:
                turns.append((lower, starts))
            if starts != ends:
                turns.append((_root(piece, lower, upper), ends))
            was_failing = ends
    return turns


def _root(piece: Piece, lower: float, upper: float) -> float:
    """Return the root of a piece between two places where its sign differs and between which it is monotone."""
    a, b, c = piece.curvature, piece.slope, piece.constant
    if a == 0.0:
        return min(max(-c / b, lower), upper)
    q = -0.5 * (b + math.copysign(math.sqrt(max(0.0, b * b - 4.0 * a * c)), b))
    roots = [root for root in (q / a, c / q if q != 0.0 else q / a) if not math.isnan(root)]
    return min(max(min(roots, key=lambda r: max(lower - r, r - upper)), lower), upper)


def _nearest(places: Sequence[float], x: float, is_failing: bool, *, is_below: bool) -> float:
    """Return the place nearest to x on the side where it counts: beyond x while all is well, before it afterwards."""
    is_lower = is_below != is_failing
    choose: Callable[[Iterable[float]], float] = max if is_lower else min
    slack = SAME_PRICE * x
    side = [place for place in places if (place <= x + slack if is_lower else place >= x - slack)]
    return choose(side) if side else math.nan
