"""Price rows: one price over all lanes (states of the market), as the compiled loops stream them.

Rows of a table: assets in USD, then by instrument the USD notional and the payoff per unit of size, then the mark (of
an option its forward: its mark is its payoff).
"""

from typing import Any

import numpy as np

from riskpipe.compiled import compiled, inlined
from riskpipe.domain.book import FloatArray
from riskpipe.liquidation.footprint import CACHE_LINE
from riskpipe.liquidation.lowering import Pools, Terms
from riskpipe.liquidation.options import option_mark
from riskpipe.liquidation.shocks import Shocks, shocked_asset, shocked_basis


def n_rows(terms: Terms) -> int:
    """Count the rows of a table of prices."""
    return len(terms.index_price) + 3 * len(terms.venue)


def n_travelled(terms: Terms) -> int:
    """Count the prices whose travel is kept: the rows of a table, then what each payoff is worth in USD."""
    return n_rows(terms) + len(terms.venue)


@inlined
def notional_row(terms: Terms, i: int) -> int:
    """Row of an instrument's USD notional per unit of size."""
    return len(terms.index_price) + i


@inlined
def payoff_row(terms: Terms, i: int) -> int:
    """Row of an instrument's payoff per unit of size in its settlement asset."""
    return len(terms.index_price) + len(terms.venue) + i


@inlined
def mark_row(terms: Terms, i: int) -> int:
    """Row of an instrument's mark in quote units; of an option's forward."""
    return len(terms.index_price) + 2 * len(terms.venue) + i


@inlined
def set_mark(terms: Terms, price: FloatArray, i: int, s: int, mark: float) -> None:
    """Set an instrument's mark in lane s and what follows from it; its quote asset's price must be set."""
    quote = price[terms.quote[i], s]
    price[mark_row(terms, i), s] = mark
    if terms.is_inverse[i]:
        price[payoff_row(terms, i), s] = -1.0 / mark
        price[notional_row(terms, i), s] = quote
    else:
        price[payoff_row(terms, i), s] = mark
        price[notional_row(terms, i), s] = mark * quote


@inlined
def set_option(terms: Terms, price: FloatArray, i: int, s: int, forward: float, mark: float) -> None:
    """Set an option's forward and mark in lane s; its settlement asset's price must be set."""
    price[mark_row(terms, i), s] = forward
    price[payoff_row(terms, i), s] = mark
    price[notional_row(terms, i), s] = mark * price[terms.settlement[i], s]


@inlined
def index_ratio(terms: Terms, move: FloatArray, i: int, s: int) -> float:
    """What the index moves of lane s multiply instrument i's mark by; move [asset, lane]."""
    return (1.0 + move[terms.underlying[i], s]) / (1.0 + move[terms.quote[i], s])


@inlined
def set_shocked_mark(
    terms: Terms, price: FloatArray, i: int, s: int, shocks: Shocks, g: int, share: float, y: float, z: float
) -> None:
    """Set an instrument's mark in lane s from its assets' prices at a share of the way to group g's shocks, where the
    basis shock is y and the volatility shock z.
    """  # noqa: D205
    u, quote = terms.underlying[i], terms.quote[i]
    ratio = price[u, s] / price[quote, s]
    if terms.is_option[i]:
        forward = terms.option_forward[i] * (ratio / (terms.index_price[u] / terms.index_price[quote]))
        set_option(terms, price, i, s, forward, option_mark(terms, i, forward, 1.0 + z, 0.0))
        return
    set_mark(terms, price, i, s, ratio * (1.0 + shocked_basis(terms, shocks, i, g, share, y)))


@compiled
def set_shocked_lane(terms: Terms, price: FloatArray, s: int, shocks: Shocks, g: int, share: float) -> None:
    """Set the market at a share of the way to group g's shocks in lane s."""
    x, y, z = shocks.index_shock[g] * share, shocks.basis_shock[g] * share, shocks.vol_shock[g] * share
    for c in range(len(terms.index_price)):
        price[c, s] = shocked_asset(terms, shocks, c, g, share, x)
    for i in range(len(terms.venue)):
        set_shocked_mark(terms, price, i, s, shocks, g, share, y, z)


@compiled
def set_shocked_lanes(terms: Terms, price: FloatArray, shocks: Shocks, low: FloatArray, high: FloatArray) -> None:
    """Set the market at every shock in a lane of its own, pad the rest, and set each row's bounds."""
    n = len(shocks.index_shock)
    for s in range(n):
        set_shocked_lane(terms, price, s, shocks, s, 1.0)
    pad(price, n)
    set_bounds(price, n, low, high)


@inlined
def set_shocked_pool(
    pools: Pools, terms: Terms, price: FloatArray, p: int, s: int, shocks: Shocks, g: int, share: float
) -> None:
    """Set that market in lane s for the assets and instruments of one pool only."""
    x, y, z = shocks.index_shock[g] * share, shocks.basis_shock[g] * share, shocks.vol_shock[g] * share
    for k in range(pools.slot_start[p], pools.slot_start[p + 1]):
        c = pools.asset[k]
        price[c, s] = shocked_asset(terms, shocks, c, g, share, x)
    for q in range(pools.position_start[p], pools.position_start[p + 1]):
        i = pools.instrument[q]
        underlying, quote = terms.underlying[i], terms.quote[i]
        price[underlying, s] = shocked_asset(terms, shocks, underlying, g, share, x)
        price[quote, s] = shocked_asset(terms, shocks, quote, g, share, x)
        set_shocked_mark(terms, price, i, s, shocks, g, share, y, z)


@compiled
def pad(price: FloatArray, n_lanes: int) -> None:
    """Give the lanes that only fill up the width the prices of the first, so that they raise no false alarm."""
    for r in range(price.shape[0]):
        for s in range(n_lanes, price.shape[1]):
            price[r, s] = price[r, 0]


def make_rounded(rows: int, n_lanes: int) -> np.ndarray:
    """Allocate prices in single precision [row, lane], each row from a cache line's first byte on: a vector that lies
    across two lines is loaded twice.
    """  # noqa: D205
    return aligned_ones((rows, n_lanes), np.dtype(np.float32), CACHE_LINE)


def aligned_ones(shape: tuple[int, int], dtype: np.dtype[Any], n_bytes: int) -> np.ndarray:
    """Return an array of ones whose first byte lies at a multiple of so many bytes."""
    size = shape[0] * shape[1] * dtype.itemsize
    memory = np.empty(size + n_bytes, dtype=np.uint8)
    first = -memory.ctypes.data % n_bytes
    ones = memory[first : first + size].view(dtype).reshape(shape)
    ones[:] = 1
    return ones


@compiled
def round_prices(price: FloatArray, rounded: np.ndarray, n_lanes: int) -> None:
    """Set rounded [row, lane] to the prices of the first lanes in single precision."""
    for r in range(price.shape[0]):
        for s in range(n_lanes):
            rounded[r, s] = price[r, s]


@compiled
def set_bounds(price: FloatArray, n_lanes: int, low: FloatArray, high: FloatArray) -> None:
    """Set each row's smallest and largest price over the lanes."""
    for r in range(price.shape[0]):
        low[r], high[r] = np.inf, -np.inf
        for s in range(n_lanes):
            low[r] = min(low[r], price[r, s])
            high[r] = max(high[r], price[r, s])
