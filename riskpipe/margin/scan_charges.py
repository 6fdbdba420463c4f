"""Charges of a portfolio-margin scan: what is added to the worst loss for risks that its cells do not show.

Every figure is USD >= 0 for the holdings of one risk unit; parameters and formulas stand in `scan_model`.
"""

import math
from collections.abc import Hashable, Sequence

from riskpipe.margin.risk_unit import UnitHolding, UnitInstrument, UnitMarket, unit_delta, unit_vega
from riskpipe.margin.scan_model import (
    Charge,
    ConfidenceCharge,
    DeltaCharge,
    ExpiryCharge,
    LiquidityCharge,
    Multiplier,
    NakedShortCharge,
    ScanModel,
    SizeCharge,
)


def charge_usd(model: ScanModel, charge: Charge, holdings: Sequence[UnitHolding], market: UnitMarket) -> float:
    """USD that a charge asks for the holdings of one risk unit."""
    match charge:
        case SizeCharge():
            return _size_charge(charge, holdings, market)
        case NakedShortCharge():
            return charge.rate * market.index_price * naked_shorts(holdings)
        case ExpiryCharge():
            return _expiry_charge(model, charge, holdings, market)
        case DeltaCharge():
            return _delta_charge(model, charge, holdings, market)
        case LiquidityCharge():
            return _liquidity_charge(model, charge, holdings, market)
        case ConfidenceCharge():
            return math.fsum(
                (1.0 - holding.instrument.confidence) * charge.factor * market.index_price * coins(holding)
                for holding in holdings
                if holding.instrument.confidence < charge.threshold
            )


def coins(holding: UnitHolding) -> float:
    """Units of underlying that a holding is the size of, unsigned: an inverse contract's quote units over its mark."""
    instrument, size = holding.instrument, abs(holding.size)
    if instrument.kind in {"perpetual", "future"} and instrument.is_coin_settled:
        return size / instrument.price
    return size


def naked_shorts(holdings: Sequence[UnitHolding]) -> float:
    """Options sold beyond those bought, strike by strike and expiry by expiry, calls and puts counted together.

    Source: PMRMLib._getOptionContingency, github.com/derivexyz/v2-core; Deribit's former contingency of 0.01 BTC per
    net short option counts so too (call +10 and put -20 of one strike: 10).
    """
    net: dict[tuple[float, float], float] = {}
    for holding in holdings:
        if holding.instrument.kind == "option":
            key = (holding.instrument.years, holding.instrument.strike)
            net[key] = net.get(key, 0.0) + holding.size
    return math.fsum(max(0.0, -size) for size in net.values())


def expiry_of(instrument: UnitInstrument) -> Hashable:
    """What nets with an instrument as one expiry: its time to expiry; spot and perpetuals are expiries of their own."""
    return instrument.kind if instrument.kind in {"spot", "perpetual"} else instrument.years


def multiplied(multiplier: Multiplier, figure: float) -> float:
    """Return a group's figure after its tiers, USD: what lies in each band times the band's factor."""
    tops = [*(floor for floor, _ in multiplier.tiers[1:]), math.inf]
    bands = zip(multiplier.tiers, tops, strict=True)
    return math.fsum(factor * max(0.0, min(figure, top) - floor) for (floor, factor), top in bands)


def _size_charge(charge: SizeCharge, holdings: Sequence[UnitHolding], market: UnitMarket) -> float:
    total = 0.0
    for holding in holdings:
        instrument, size = holding.instrument, holding.size
        is_counted = charge.side == "both" or (size > 0.0) == (charge.side == "long")
        if instrument.kind not in charge.kinds or not is_counted:
            continue
        mark = instrument.price * (1.0 if instrument.is_coin_settled else instrument.quote_price)
        total += coins(holding) * (market.index_price if charge.priced_at == "index" else mark)
    return charge.rate * total


def _expiry_charge(
    model: ScanModel, charge: ExpiryCharge, holdings: Sequence[UnitHolding], market: UnitMarket
) -> float:
    exposures: dict[Hashable, float] = {}
    moves: dict[Hashable, float] = {}
    for holding in holdings:
        instrument = holding.instrument
        if instrument.kind not in charge.kinds:
            continue
        if charge.exposure == "vega":
            usd = holding.size * unit_vega(instrument, market)
        else:
            usd = holding.size * unit_delta(model, instrument, market) * market.index_price
        expiry = expiry_of(instrument)
        years = 0.0 if instrument.kind in {"spot", "perpetual"} else instrument.years
        exposures[expiry] = exposures.get(expiry, 0.0) + usd
        moves[expiry] = max(charge.least_move, charge.annual_move * years)
    longs, long_cost = _total(exposures, moves, 1.0)
    shorts, short_cost = _total(exposures, moves, -1.0)
    if charge.counted == "every":
        return long_cost + short_cost
    hedged = min(longs, shorts)
    return hedged * (long_cost / longs + short_cost / shorts) if hedged > 0.0 else 0.0


def _total(exposures: dict[Hashable, float], moves: dict[Hashable, float], sign: float) -> tuple[float, float]:
    """Exposure of one side, and what its moves cost, both unsigned."""
    side = {expiry: sign * usd for expiry, usd in exposures.items() if sign * usd > 0.0}
    return math.fsum(side.values()), math.fsum(moves[expiry] * usd for expiry, usd in side.items())


def _delta_charge(model: ScanModel, charge: DeltaCharge, holdings: Sequence[UnitHolding], market: UnitMarket) -> float:
    deltas = [
        holding.size * unit_delta(model, holding.instrument, market)
        for holding in holdings
        if holding.instrument.kind in charge.kinds
    ]
    longs, shorts = math.fsum(max(0.0, d) for d in deltas), math.fsum(max(0.0, -d) for d in deltas)
    return market.index_price * (charge.net_rate * abs(longs - shorts) + charge.hedged_rate * min(longs, shorts))


def _liquidity_charge(
    model: ScanModel, charge: LiquidityCharge, holdings: Sequence[UnitHolding], market: UnitMarket
) -> float:
    bought, others = 0.0, 0.0
    for holding in holdings:
        d = holding.size * unit_delta(model, holding.instrument, market)
        if holding.instrument.kind == "option" and holding.size > 0.0:
            bought += d
        else:
            others += d
    offset = max(0.0, -bought if others > 0.0 else bought)
    d = max(0.0, abs(others) - offset)
    excess = max(0.0, d - charge.threshold_usd / market.index_price)
    return d * market.index_price * min(charge.largest_rate, charge.slope * excess)
