"""What a night writes into /book: what its book holds by owner, price level and venue."""

import numpy as np

from riskpipe.calibrate.spreads.crowding import neutral_owners
from riskpipe.domain.book import Book
from riskpipe.domain.market import Market
from riskpipe.ingest.holdings.arrays import book_arrays
from riskpipe.liquidation.accounts import AccountHealth


def book_group(book: Book, market: Market, health: AccountHealth) -> dict[str, np.ndarray]:
    """Return the variables of /book by key."""
    arrays = book_arrays(
        book,
        market,
        equity=health.equity,
        maintenance_margin=health.maintenance_margin,
        distance_down=health.distance_down,
        distance_up=health.distance_up,
        liquidation_price=health.liquidation_price,
        margin_call_price=health.margin_call_price,
        is_neutral=neutral_owners(book),
    )
    return {f"book/{name}": values for name, values in arrays.items()}
