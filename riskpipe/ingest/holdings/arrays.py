"""Every variable of /book, from the book, its market and the health of its accounts."""

import numpy as np

from riskpipe.domain.book import Book, BoolArray, FloatArray
from riskpipe.domain.holdings import LIQUIDATABLE, NEARBY, RATIO_SHARES
from riskpipe.domain.market import Market
from riskpipe.domain.schema import N_RANKS
from riskpipe.ingest.holdings.contracts import (
    contracts_of,
    interest,
    interest_by_account,
    position_by_underlying,
    shared_interest,
)
from riskpipe.ingest.holdings.levels import liquidation_map
from riskpipe.ingest.holdings.margins import collateral_ratios, neutral_margins
from riskpipe.ingest.holdings.owners import concentration, largest, owners_of


def book_arrays(
    book: Book,
    market: Market,
    *,
    equity: FloatArray,
    maintenance_margin: FloatArray,
    distance_down: FloatArray,
    distance_up: FloatArray,
    liquidation_price: FloatArray,
    margin_call_price: FloatArray,
    is_neutral: BoolArray,
) -> dict[str, np.ndarray]:
    """Return the variables of /book by name, as `domain.holdings` describes them.

    Parameters
    ----------
    equity, maintenance_margin: [a] USD, of one account of a row.
    distance_down, distance_up: [a] index moves as sizes; NaN = none within the axis.
    liquidation_price, margin_call_price: [a] marks of the main position, quote units; NaN = none.
    is_neutral: [e] entities that are delta-neutral.
    """
    contracts, owners = contracts_of(book), owners_of(book)
    held = interest_by_account(book, contracts)
    is_nearby = [np.asarray(distance <= NEARBY) for distance in (distance_down, distance_up)]  # NaN is not
    at_stake = held + _loan_debt(book)
    holdings = [held, _collateral(book), *(at_stake * near for near in is_nearby)]
    owned = [owners.by_owner(amount) for amount in holdings]
    lists = [largest(amount, owners.is_listed, N_RANKS) for amount in owned]
    nearest = lists[-len(LIQUIDATABLE) :]
    depth = np.stack([market.depth_bid, market.depth_ask])
    return {
        **interest(book, contracts, owners, N_RANKS),
        "depth_sale": 0.01 * market.depth_bid,
        "depth_purchase": 0.01 * market.depth_ask,
        "daily_volume": book.adv_usd,
        "holding_total": np.array([amount.sum() for amount in owned]),
        "holding_hhi": np.array([concentration(amount, owners.n_behind) for amount in owned]),
        "holding_pseudo": np.array([owners.total_unlisted(amount) for amount in holdings]),
        "holding_unknown": np.array([owners.total_unknown(amount) for amount in holdings]),
        "holding_amount": np.stack([amount for _, amount in lists]),
        "holding_entity": np.stack([entity for entity, _ in lists]).astype(np.float64),
        "liquidatable_position": np.stack(
            [
                position_by_underlying(book, contracts, owners, entity, near)
                for (entity, _), near in zip(nearest, is_nearby, strict=True)
            ]
        ),
        "underlying_depth": 0.01 * _underlying_depth(book, depth.mean(axis=0), market.index_depth),
        "shared_interest": shared_interest(book, contracts, owners),
        **liquidation_map(
            book, contracts, liquidation_price=liquidation_price, margin_call_price=margin_call_price
        ),
        **collateral_ratios(
            book, contracts, market.index_beta, equity=equity, maintenance_margin=maintenance_margin, interest=held,
            shares=RATIO_SHARES,
        ),
        **neutral_margins(
            book, is_neutral=is_neutral, equity=equity, maintenance_margin=maintenance_margin, interest=held,
            is_nearby=is_nearby,
        ),
        "fund_venue": np.array(book.names("venue"), dtype=object)[book.fund_venue],
        "fund_balance": book.fund_balance * market.index_price[book.fund_asset],
    }  # fmt: skip


def _collateral(book: Book) -> FloatArray:
    """What an account of each row owns, at index prices, before haircuts and without what it owes, [a] USD."""
    usd = np.maximum(book.slot_quantity, 0.0) * book.index_price[book.slot_asset]
    return np.bincount(book.slot_account, np.nan_to_num(usd), book.n_accounts).astype(np.float64)


def _loan_debt(book: Book) -> FloatArray:
    """What an account of each row owes at index prices where it is a loan, else 0, [a] USD."""
    usd = np.maximum(-book.slot_quantity, 0.0) * book.index_price[book.slot_asset]
    owed = np.where(book.account_is_lending[book.slot_account], np.nan_to_num(usd), 0.0)
    return np.bincount(book.slot_account, owed, book.n_accounts).astype(np.float64)


def _underlying_depth(book: Book, depth: FloatArray, index_depth: FloatArray) -> FloatArray:
    """Depth of all contracts other than options, and of spot, by underlying [u], USD per unit; NaN = unknown."""
    followed = np.bincount(
        book.instrument_underlying, np.where(book.is_option, 0.0, np.nan_to_num(depth)), book.n_assets
    )
    total = (followed + np.nan_to_num(index_depth))[book.underlyings]
    return np.where(total > 0.0, total, np.nan)
