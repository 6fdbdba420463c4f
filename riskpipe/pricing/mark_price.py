"""How venues construct mark prices of perpetuals, so that recorded order books and funding can be turned into marks.

Prices are quote units per unit of underlying; arguments are floats or float64 arrays of one shape. NaN in, NaN out.
"""

import numpy as np

from riskpipe.domain.book import FloatArray, Numbers


def funding_basis_price(
    index_price: Numbers, last_funding_rate: Numbers, hours_to_funding: Numbers, interval_hours: float = 1.0
) -> Numbers:
    """Index plus the funding still to accrue: index x (1 + rate x hours to funding / interval).

    Price 1 of Binance (interval 8) and of Aevo and others whose rate is an hour's (interval 1).
    """
    return index_price * (1.0 + last_funding_rate * hours_to_funding / interval_hours)


def average_basis_price(index_price: float, mids: FloatArray, indices: FloatArray) -> float:
    """Index plus the mean of (mid - index) over recent samples [n]: Price 2 of Binance and Aevo."""
    return index_price + float(np.mean(mids - indices))


def exponential_basis(previous: float, sample: float, seconds: float, time_constant: float) -> float:
    """Exponential average of mid - index: previous + (1 - exp(-seconds / time_constant)) (sample - previous).

    Hyperliquid averages over about 150 s, Deribit over 30 s.
    """
    share = -float(np.expm1(-seconds / time_constant))
    return previous + share * (sample - previous)


def annual_basis_price(index_price: Numbers, annual_basis: Numbers, days: Numbers) -> Numbers:
    """Fair price of a dated future from an annualised basis: index x (1 + basis x days / 365)."""
    return index_price * (1.0 + annual_basis * days / 365.0)


def median_mark(first: Numbers, second: Numbers, third: Numbers) -> Numbers:
    """Middle one of three prices, elementwise: the mark of Binance, Bybit, Aevo and Lighter."""
    low, high = np.minimum(first, second), np.maximum(first, second)
    return np.maximum(low, np.minimum(high, third))


def banded_mark(index_price: Numbers, fair_price: Numbers, band: float) -> Numbers:
    """Fair price held within a share `band` of the index: index x (1 +- band)."""
    return np.minimum(index_price * (1.0 + band), np.maximum(index_price * (1.0 - band), fair_price))
