"""What one unit of an instrument gains in every cell of a portfolio-margin model: the compiled form of `risk_unit`.

A row of a `UnitTable` is an instrument, or a spot asset, under one model. Its results hold for one lane (state of the
market) at a time and have the bits of `margin.risk_unit.cell_change`, `unit_delta`, `unit_vega` and `unit_value`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from riskpipe.compiled import compiled, inlined, internal
from riskpipe.domain.book import BoolArray, FloatArray, IntArray
from riskpipe.liquidation.lowering import widest
from riskpipe.liquidation.options import option_delta, option_value, option_vega
from riskpipe.liquidation.scan_models import BY_SHARE, FUTURE, OPTION, SPOT, UNMOVED, Scans, columns
from riskpipe.margin.risk_unit import vol_range
from riskpipe.margin.scan import long_value_factor
from riskpipe.margin.scan_model import ScanModel


class UnitRows(NamedTuple):
    """What does not change of rows r: see `margin.risk_unit.UnitInstrument`. NaN where a kind has no such number."""

    model_ix: IntArray  # [r]
    kind: IntArray  # [r] SPOT, PERPETUAL, FUTURE or OPTION
    is_coin_settled: BoolArray  # [r]
    is_call: BoolArray  # [r]
    years: FloatArray  # [r]
    strike: FloatArray  # [r]
    fixed_price: FloatArray  # [r]
    rate: FloatArray  # [r]
    confidence: FloatArray  # [r]


class UnitTable(NamedTuple):
    """Rows r: what does not change, with expiries e; the state of a lane, set by the caller; results by column k."""

    model_ix: IntArray  # [r]
    kind: IntArray  # [r]
    is_coin_settled: BoolArray  # [r]
    is_call: BoolArray  # [r]
    years: FloatArray  # [r] 0 of spot and perpetuals
    strike: FloatArray  # [r] 0 of all but options
    fixed_price: FloatArray  # [r]
    confidence: FloatArray  # [r]
    expiry: IntArray  # [r] equal where rows of a model net as one expiry
    strike_key: IntArray  # [r] equal where options are of one strike and expiry
    long_share: FloatArray  # [r] of an expiry's positive option value, that counts in a cell
    vol_range: FloatArray  # [e, k] change of volatility, as a share of it or added to it
    price: FloatArray  # [r] mark in quote units, of an option its forward, of spot the index
    volatility: FloatArray  # [r]
    quote_price: FloatArray  # [r] USD
    index_price: FloatArray  # [r] USD, of the row's underlying
    peg_price: FloatArray  # [r] USD, of what the row settles in; counts where that is not the underlying
    gain: FloatArray  # [r, k] USD per unit of size
    delta: FloatArray  # [r] coins per unit of size, where the model asks for it
    vega: FloatArray  # [r] USD per unit of size and 1.00 of volatility, where the model asks for it
    value: FloatArray  # [r] USD per option; 0 of others


def make_unit_table(models: Sequence[ScanModel], scans: Scans, rows: UnitRows) -> UnitTable:
    """Return a table of rows whose state is to be set: prices and volatilities are NaN, results 0.

    `scans` is `lower_scans(models)`. Time does not pass in a night, so that volatilities' ranges and what long options
    count for are computed here, by the scalar definition.
    """
    n, kind = len(rows.kind), np.asarray(rows.kind)
    years, strike = np.where(kind >= FUTURE, rows.years, 0.0), np.where(kind == OPTION, rows.strike, 0.0)
    expiry_keys = np.column_stack([rows.model_ix, np.minimum(kind, FUTURE), years]).reshape(n, 3)
    expiries, expiry = np.unique(expiry_keys, axis=0, return_inverse=True)
    _, strike_key = np.unique(np.column_stack([years, strike]).reshape(n, 2), axis=0, return_inverse=True)
    ranges = np.zeros((len(expiries), widest(scans.cell_start)))
    for e, (model_ix, kind_of_expiry, until) in enumerate(expiries.tolist()):
        model = models[int(model_ix)]
        for k, cell in enumerate(columns(model) if kind_of_expiry == FUTURE else ()):
            ranges[e, k] = vol_range(model.vol_shock(cell.vol_shock), cell.vol_move, until)
    share = np.ones(n)
    for r in np.flatnonzero((kind == OPTION) & scans.has_long_value[rows.model_ix]).tolist():
        discount = models[rows.model_ix[r]].long_value
        share[r] = long_value_factor(discount, rows.years[r], rows.rate[r]) if discount is not None else 1.0
    price, volatility, quote_price, index_price, peg_price = (np.full(n, np.nan) for _ in range(5))
    delta, vega, value = (np.zeros(n) for _ in range(3))
    return UnitTable(
        model_ix=_fixed(rows.model_ix, np.int32),
        kind=_fixed(rows.kind, np.int32),
        is_coin_settled=_fixed(rows.is_coin_settled, np.bool_),
        is_call=_fixed(rows.is_call, np.bool_),
        years=_fixed(years, np.float64),
        strike=_fixed(strike, np.float64),
        fixed_price=_fixed(rows.fixed_price, np.float64),
        confidence=_fixed(rows.confidence, np.float64),
        expiry=_fixed(expiry.reshape(n), np.int32),
        strike_key=_fixed(strike_key.reshape(n), np.int32),
        long_share=_fixed(share, np.float64),
        vol_range=_fixed(ranges, np.float64),
        price=price,
        volatility=volatility,
        quote_price=quote_price,
        index_price=index_price,
        peg_price=peg_price,
        gain=np.zeros((n, ranges.shape[1])),
        delta=delta,
        vega=vega,
        value=value,
    )


def _fixed(values: np.ndarray, dtype: type[np.generic]) -> np.ndarray:
    """Return a read-only array of its own."""
    array = np.array(values, dtype=dtype, order="C")
    array.flags.writeable = False
    return array


@compiled
def set_unit_rows(scans: Scans, table: UnitTable, first: int, stop: int) -> None:
    """Set the results of rows first to stop - 1 from their state."""
    for r in range(first, stop):
        set_unit_row(scans, table, r)


@inlined
def set_unit_row(scans: Scans, table: UnitTable, r: int) -> None:
    """Set the results of a row from its state."""
    m = table.model_ix[r]
    if table.kind[r] == OPTION:
        first, stop = scans.cell_start[m], scans.cell_start[m + 1]
        now = set_option_gains(
            table.is_call[r], table.is_coin_settled[r], scans.is_in_coin[m], table.price[r], table.fixed_price[r],
            table.strike[r], table.years[r], table.volatility[r], table.quote_price[r], table.index_price[r],
            scans.price_move[first:stop], scans.settled_at[first:stop], scans.vol_form[first:stop],
            scans.least_vol[first:stop], scans.years_passed[first:stop], table.vol_range[table.expiry[r]],
            table.gain[r],
        )  # fmt: skip
        set_greeks(scans, table, r, m, now)
    else:
        set_linear_gains(scans, table, r, m)
        if table.kind[r] == SPOT:
            table.delta[r] = 0.0 if scans.is_in_coin[m] else 1.0
        else:
            table.delta[r] = 1.0 / table.price[r] if table.is_coin_settled[r] else 1.0


@internal
def set_option_gains(
    is_call: bool, is_coin_settled: bool, is_in_coin: bool, forward: float, fixed: float, strike: float, years: float,
    volatility: float, quote_price: float, index: float, move: FloatArray, settled_at: FloatArray, vol_form: IntArray,
    least_vol: FloatArray, years_passed: FloatArray, change: FloatArray, gain: FloatArray,
) -> float:  # fmt: skip
    """Set what an option gains in each column; returns its worth before, in quote units."""
    now = option_value(is_call, forward, strike, years, volatility, 1.0)
    for k in range(len(move)):
        moved = (forward - fixed) * (1.0 + move[k]) + fixed
        vol = volatility
        if vol_form[k] != UNMOVED:
            raised = volatility * (1.0 + change[k]) if vol_form[k] == BY_SHARE else volatility + change[k]
            vol = max(least_vol[k], raised)
        then = option_value(is_call, moved, strike, years - years_passed[k], vol, 1.0)
        moved_index = index * (1.0 + move[k])
        if not is_coin_settled:
            gain[k] = (then - now) * quote_price
        elif is_in_coin:
            gain[k] = (then / moved - now / forward) * moved_index / (1.0 + settled_at[k])
        else:
            gain[k] = then / moved * moved_index - now / forward * index
    return now


@inlined
def set_greeks(scans: Scans, table: UnitTable, r: int, m: int, now: float) -> None:
    """Set an option's value, delta and vega as far as its model asks for them, from its worth in quote units."""
    forward, index = table.price[r], table.index_price[r]
    is_coin_settled = table.is_coin_settled[r]
    value = now / forward * index if is_coin_settled else now * table.quote_price[r]
    table.value[r] = value
    if scans.has_delta[m]:
        delta = option_delta(table.is_call[r], forward, table.strike[r], table.years[r], table.volatility[r], 1.0)
        table.delta[r] = delta - value / index if is_coin_settled and scans.is_in_coin[m] else delta
    if scans.has_vega[m]:
        vega = option_vega(forward, table.strike[r], table.years[r], table.volatility[r], 1.0)
        table.vega[r] = vega / forward * index if is_coin_settled else vega * table.quote_price[r]


@inlined
def set_linear_gains(scans: Scans, table: UnitTable, r: int, m: int) -> None:
    """Set what spot, a perpetual or a future gains in each column."""
    first, stop = scans.cell_start[m], scans.cell_start[m + 1]
    move, settled_at, gain = scans.price_move[first:stop], scans.settled_at[first:stop], table.gain[r]
    price, quote_price, index = table.price[r], table.quote_price[r], table.index_price[r]
    is_in_coin = scans.is_in_coin[m]
    for k in range(stop - first):
        if table.kind[r] == SPOT:
            gain[k] = 0.0 if is_in_coin else index * move[k]
        elif not table.is_coin_settled[r]:
            gain[k] = price * move[k] * quote_price
        else:
            coins = move[k] * index / price
            gain[k] = coins / (1.0 + settled_at[k]) if is_in_coin else coins
