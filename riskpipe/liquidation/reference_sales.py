"""The specification of collateral sales, which cover what a closed pool owes in assets that positions settle in."""

from typing import Protocol

from riskpipe.domain.book import Book
from riskpipe.domain.rules import VenueRules
from riskpipe.liquidation.state import Prices


class Model(Protocol):
    """What sales need of the model."""

    book: Book

    def positions(self, p: int) -> range:
        """Return the positions of a pool."""

    def settled(self, p: int, marks: dict[int, float]) -> dict[int, float]:
        """Return a pool's amounts by slot."""


def collateral_sale(model: Model, p: int, prices: Prices, order: tuple[str, ...]) -> dict[int, float]:
    """Return units bought by asset, net, when pool p is closed at these prices: the negative balances that something
    settles in, for what the pool owns, asset after asset in the venue's order, then the rest as the book has them.
    """  # noqa: D205
    book = model.book
    amounts = model.settled(p, {q: prices.mark[book.position_instrument[q]] for q in model.positions(p)})
    names, first = book.names("asset"), int(book.pool_slot_start[p])
    settles = {first + int(book.position_slot[q]) for q in model.positions(p)}
    worth = {k: amount * prices.asset[book.slot_asset[k]] for k, amount in amounts.items()}
    owed = {k: -worth[k] for k in settles if worth[k] < 0.0}
    rank = {name: n for n, name in enumerate(order)}
    owned = sorted(
        (k for k in worth if worth[k] > 0.0), key=lambda k: (rank.get(names[book.slot_asset[k]], len(rank)), k)
    )
    deficit = left = sum(owed.values())
    bought: dict[int, float] = {}
    for k in owned:
        sold = min(left, worth[k])
        left -= sold
        c = int(book.slot_asset[k])
        bought[c] = bought.get(c, 0.0) - sold / prices.asset[c]
    for k, usd in owed.items():
        c = int(book.slot_asset[k])
        bought[c] = bought.get(c, 0.0) + usd * ((deficit - left) / deficit) / prices.asset[c]
    return bought


def sell_collateral(
    model: Model, newly: list[int], prices: Prices, bought: dict[int, float], rules: list[VenueRules]
) -> None:
    """Add to what is bought, by asset, what newly closed pools buy and sell where their venue covers what they owe."""
    book = model.book
    for p in newly:
        account = int(book.pool_account[p])
        order = rules[int(book.account_venue[account])].collateral_sale
        if order is not None:
            for c, units in collateral_sale(model, p, prices, order).items():
                bought[c] = bought.get(c, 0.0) + float(book.account_weight[account]) * units
