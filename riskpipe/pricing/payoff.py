"""Payoffs of linear and inverse contracts.

A position of `quantity` contracts has a size a = quantity x multiplier and a PnL a (P - P_entry) in the settlement
asset, where the payoff price P is the mark m for linear contracts and -1/m for inverse ones.
"""


def linear_pnl(quantity: float, multiplier: float, entry_price: float, mark_price: float) -> float:
    """Profit of a linear contract in the settlement asset (quantity in contracts, + long; prices in quote units)."""
    return quantity * multiplier * (mark_price - entry_price)


def inverse_pnl(quantity: float, multiplier: float, entry_price: float, mark_price: float) -> float:
    """Profit of an inverse contract in coins (multiplier in quote units per contract; prices in quote units)."""
    return quantity * multiplier * (1.0 / entry_price - 1.0 / mark_price)


def pnl(*, is_inverse: bool, quantity: float, multiplier: float, entry_price: float, mark_price: float) -> float:
    """Profit in the settlement asset of either kind."""
    value = inverse_pnl if is_inverse else linear_pnl
    return value(quantity, multiplier, entry_price, mark_price)


def notional_usd(
    *, is_inverse: bool, quantity: float, multiplier: float, mark_price: float, quote_price: float
) -> float:
    """Unsigned notional in USD: |q| mult m S_q for linear contracts, |q| mult S_q for inverse ones."""
    size = abs(quantity) * multiplier
    return size * quote_price if is_inverse else size * mark_price * quote_price
