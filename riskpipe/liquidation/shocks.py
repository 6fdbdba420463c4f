"""The impact laws and shocked asset prices in compiled form."""

from riskpipe.compiled import inlined, internal
from riskpipe.liquidation.lowering import Terms
from riskpipe.pricing import impact as laws

impact = internal(laws.impact)
average_impact = internal(laws.average_impact)
is_limited = internal(laws.is_limited)

SMALLEST_INDEX_SHARE = 0.01


@inlined
def shocked_asset(terms: Terms, c: int, x: float) -> float:
    """USD price of asset c under index shock x."""
    price = terms.index_price[c]
    return max(price * (1.0 + terms.index_beta[c] * x), SMALLEST_INDEX_SHARE * price)
