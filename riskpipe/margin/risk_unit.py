"""What one unit of an instrument gains when the market of its risk unit moves as a cell of a scan says.

A risk unit is everything on one underlying. Sizes are contracts x multiplier, signed (+ long): units of underlying for
spot, linear contracts and every option, quote units for inverse perpetuals and futures. Volatilities stick to strikes;
rates do not move; forwards and marks move by the same fraction as the index (Deribit and Derive reprice so).
"""

import math
from dataclasses import dataclass

from riskpipe.margin.scan_model import DAYS_PER_YEAR, Cell, Kind, ScanModel, VolShock
from riskpipe.pricing.black76 import delta, option_value, vega


@dataclass(frozen=True)
class UnitMarket:
    """The state of a risk unit's underlying: its index in USD, and the price of the settlement stablecoin in USD."""

    index_price: float
    peg_price: float = 1.0


@dataclass(frozen=True)
class UnitInstrument:
    """An instrument of a risk unit and its state.

    `price` is the mark in quote units; of an option it is the forward of its expiry, of spot the index. `quote_price`
    is USD per quote unit. `is_coin_settled`: inverse perpetuals and futures, and options that pay in the underlying.
    `fixed_price` is the part of an option's forward that is settled already (averaging before expiry) and does not
    move. `rate` is the interest rate of the expiry, `confidence` that of the venue's price feeds in [0, 1].
    """

    kind: Kind
    price: float
    is_coin_settled: bool = False
    years: float = 0.0
    strike: float = 0.0
    is_call: bool = True
    volatility: float = 0.0
    quote_price: float = 1.0
    fixed_price: float = 0.0
    rate: float = 0.0
    confidence: float = 1.0


@dataclass(frozen=True)
class UnitHolding:
    """A signed size of an instrument (see the module for its unit)."""

    instrument: UnitInstrument
    size: float


def vol_range(shock: VolShock, vol_move: float, years: float) -> float:
    """Signed change of volatility at vol_move, as a share of it or in volatility, for an expiry `years` away."""
    days = years * DAYS_PER_YEAR
    if shock.curve:
        up, down = _on_curve(shock.curve, days)
    else:
        power = shock.short_power if days <= shock.reference_days else shock.long_power
        term = (shock.reference_days / max(shock.floor_days, days)) ** power
        up, down = shock.up * term, shock.down * term
    return vol_move * (up if vol_move > 0.0 else down)


def _on_curve(curve: tuple[tuple[float, float, float], ...], days: float) -> tuple[float, float]:
    """Ranges up and down between the rows of a curve, flat outside; NaN days give the last row."""
    left = curve[0]
    for right in curve:
        if days <= right[0]:
            share = (days - left[0]) / (right[0] - left[0]) if right[0] > left[0] else 0.0
            share = max(0.0, share)
            return left[1] + share * (right[1] - left[1]), left[2] + share * (right[2] - left[2])
        left = right
    return left[1], left[2]


def moved_volatility(shock: VolShock, vol_move: float, volatility: float, years: float) -> float:
    """Volatility of an expiry `years` away after a cell's move; unmoved where vol_move is 0."""
    if vol_move == 0.0:
        return volatility
    change = vol_range(shock, vol_move, years)
    moved = volatility * (1.0 + change) if shock.is_relative else volatility + change
    least = shock.least_raised if vol_move > 0.0 else 0.0
    return moved if math.isnan(moved) else max(least, moved)


def cell_change(model: ScanModel, cell: Cell, instrument: UnitInstrument, market: UnitMarket) -> float:
    """USD that one unit of size (long) gains in a cell, before weight and relief; measured as `model.valued_in` says.

    In the settlement asset: coins gained x today's index, coins counted at the index moved by the cell's `settled_at`.
    Spot, being the coin itself, gains none.
    """
    index, moved_index = market.index_price, market.index_price * (1.0 + cell.price_move)
    settled = cell.price_move if cell.settled_at is None else cell.settled_at
    is_in_coin = model.valued_in == "settlement"
    if instrument.kind == "option":
        now, then = option_values(model, cell, instrument)
        if not instrument.is_coin_settled:
            return (then - now) * instrument.quote_price
        return (then - now) * moved_index / (1.0 + settled) if is_in_coin else then * moved_index - now * index
    if instrument.kind == "spot":
        return 0.0 if is_in_coin else index * cell.price_move
    if not instrument.is_coin_settled:
        return instrument.price * cell.price_move * instrument.quote_price
    gain = cell.price_move * index / instrument.price  # coins gained per quote unit, at the moved index
    return gain / (1.0 + settled) if is_in_coin else gain


def option_values(model: ScanModel, cell: Cell, instrument: UnitInstrument) -> tuple[float, float]:
    """Worth of one option before and after a cell's move: quote units, or coins where it is coin-settled."""
    forward, years = instrument.price, instrument.years
    now = option_value(instrument.is_call, forward, instrument.strike, years, instrument.volatility, 1.0)
    moved = (forward - instrument.fixed_price) * (1.0 + cell.price_move) + instrument.fixed_price
    volatility = moved_volatility(model.vol_shock(cell.vol_shock), cell.vol_move, instrument.volatility, years)
    left = years - cell.days / DAYS_PER_YEAR
    then = option_value(instrument.is_call, moved, instrument.strike, left, volatility, 1.0)
    return (now / forward, then / moved) if instrument.is_coin_settled else (now, then)


def unit_value(instrument: UnitInstrument, market: UnitMarket) -> float:
    """USD that one unit of an option is worth by its volatility, 0 for other kinds (their profit is settled)."""
    if instrument.kind != "option":
        return 0.0
    value = option_value(
        instrument.is_call, instrument.price, instrument.strike, instrument.years, instrument.volatility, 1.0
    )
    return (
        value / instrument.price * market.index_price if instrument.is_coin_settled else value * instrument.quote_price
    )


def unit_delta(model: ScanModel, instrument: UnitInstrument, market: UnitMarket) -> float:
    """Coins of underlying that one unit of size moves like, signed.

    Measured in coins, a coin-settled option's delta is net of its own mark (Deribit, net transaction delta), and a
    coin's is 0: it is what is measured in.
    """
    if instrument.kind == "spot":
        return 0.0 if model.valued_in == "settlement" else 1.0
    if instrument.kind == "option":
        found = delta(
            instrument.is_call, instrument.price, instrument.strike, instrument.years, instrument.volatility, 1.0
        )
        is_net = instrument.is_coin_settled and model.valued_in == "settlement"
        return found - unit_value(instrument, market) / market.index_price if is_net else found
    return 1.0 / instrument.price if instrument.is_coin_settled else 1.0


def unit_vega(instrument: UnitInstrument, market: UnitMarket) -> float:
    """USD that one unit gains per 1.00 of volatility; 0 for what has none."""
    if instrument.kind != "option":
        return 0.0
    found = vega(instrument.price, instrument.strike, instrument.years, instrument.volatility, 1.0)
    return (
        found / instrument.price * market.index_price if instrument.is_coin_settled else found * instrument.quote_price
    )
