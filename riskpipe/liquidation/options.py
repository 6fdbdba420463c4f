"""Options: Black-76 as compiled code calls it, and an option's mark."""

from riskpipe.compiled import internal
from riskpipe.liquidation.lowering import Terms
from riskpipe.pricing import black76

option_value = internal(black76.option_value)
option_delta = internal(black76.delta)
option_vega = internal(black76.vega)


@internal
def option_mark(terms: Terms, i: int, forward: float, vol_factor: float, own_move: float) -> float:
    """Price of option i, units of its settlement asset, at a forward and a multiple of its volatility, moved by its own
    book as far as arbitrage lets it: between what it is worth at once and the forward (a call) or the strike (a put).
    """  # noqa: D205
    volatility = terms.option_vol[i] * vol_factor
    value = option_value(terms.is_call[i], forward, terms.strike[i], terms.years[i], volatility, 1.0)
    strike = terms.strike[i]
    least, most = (max(0.0, forward - strike), forward) if terms.is_call[i] else (max(0.0, strike - forward), strike)
    moved = min(max(value * (1.0 + own_move), least), most)
    return moved / forward if terms.is_coin_settled[i] else moved
