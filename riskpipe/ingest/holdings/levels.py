"""The liquidation map: at which price levels accounts are liquidated and called, by venue and underlying."""

import numpy as np

from riskpipe.domain.book import Book, BoolArray, FloatArray, OffsetArray
from riskpipe.domain.holdings import LEVEL_EDGES, LEVELS, PASSED_IX
from riskpipe.ingest.holdings.contracts import Contracts


def main_positions(contracts: Contracts) -> OffsetArray:
    """Row of the largest position of every account that has one not 0, the first in canonical order of a tie."""
    size = np.abs(contracts.usd)
    held, start = np.unique(contracts.account, return_index=True)  # positions stand in the order of their accounts
    if len(held) == 0:
        return np.zeros(0, np.int64)
    most = np.maximum.reduceat(size, start)
    rows = np.flatnonzero(size == np.repeat(most, np.diff(np.append(start, len(size)))))
    _, first = np.unique(contracts.account[rows], return_index=True)
    rows = rows[first]
    return np.asarray(rows[size[rows] > 0.0], np.int64)


def level_of(price: FloatArray, mark: FloatArray, is_long: BoolArray) -> OffsetArray:
    """Index of the price level at which something happens, [n]; -1 where the price is NaN.

    A level is an interval of price / mark - 1 whose inner edge belongs to the level inside it. What hurts a long lies
    below the mark and what hurts a short above: a price on the other side, or the mark itself, has been passed.

    Parameters
    ----------
    price, mark: [n] quote units.
    is_long: [n] side of the position.
    """
    with np.errstate(invalid="ignore"):
        size = np.where(is_long, 1.0 - price / mark, price / mark - 1.0)
    edges = np.asarray(LEVEL_EDGES) * (1.0 + 1e-12)  # 1 - 0.99 is a little more than 0.01
    outward = np.searchsorted(edges, size, side="left")  # 0 = passed, else bins outward
    outward = np.where(is_long, np.minimum(outward, len(LEVEL_EDGES) - 1), outward)
    level = np.where(is_long, PASSED_IX - outward, PASSED_IX + outward)
    return np.where(np.isnan(size), -1, level).astype(np.int64)


def liquidation_map(
    book: Book, contracts: Contracts, *, liquidation_price: FloatArray, margin_call_price: FloatArray
) -> dict[str, FloatArray]:
    """Main positions and accounts by the price level at which they are liquidated and called.

    Returns dims [v, u, level], weighted: `map_long`, `map_short`, `call_notional` USD, `map_accounts`, `call_accounts`.
    Accounts without such a price (exempt, portfolio, no position, collateral that outlasts every price) are nowhere.

    Parameters
    ----------
    liquidation_price, margin_call_price: [a] marks of the main position in quote units; NaN = none.
    """
    rows = main_positions(contracts)
    account, instrument, usd = contracts.account[rows], contracts.instrument[rows], contracts.usd[rows]
    underlyings = book.underlyings
    shape = (book.n_venues, len(underlyings), len(LEVELS))
    market = book.account_venue[account].astype(np.int64) * shape[1]
    market += np.searchsorted(underlyings, book.instrument_underlying[instrument])
    is_long = usd > 0.0
    weight = book.account_weight[account]

    def at_levels(price: FloatArray, amount: FloatArray) -> FloatArray:
        level = level_of(price[account], book.mark_price[instrument], is_long)
        chosen = level >= 0
        flat = np.bincount(market[chosen] * shape[2] + level[chosen], amount[chosen], shape[0] * shape[1] * shape[2])
        return np.asarray(flat.reshape(shape), np.float64)

    return {
        "map_long": at_levels(liquidation_price, np.maximum(usd, 0.0)),
        "map_short": at_levels(liquidation_price, np.maximum(-usd, 0.0)),
        "map_accounts": at_levels(liquidation_price, weight),
        "call_accounts": at_levels(margin_call_price, weight),
        "call_notional": at_levels(margin_call_price, np.abs(usd)),
    }
