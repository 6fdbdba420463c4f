"""Bankruptcy of one position of a cross account: what remains, or lacks, is shared by positions pro rata to margin.

dYdX v4 closes a cross account position by position, so that each needs a bankruptcy price of its own: the account's net
collateral is given to positions in proportion to their maintenance margin. Source:
https://github.com/dydxprotocol/v4-chain protocol/x/clob/keeper/liquidations.go (GetBankruptcyPriceInQuoteQuantums).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

PARTS_PER_MILLION = 1_000_000


@dataclass(frozen=True)
class OraclePosition:
    """A linear position at its oracle price."""

    size: float
    """Units of the underlying, + long, - short."""
    price: float
    """Quote units."""
    maintenance_rate: float


def net_collateral(balance: float, positions: Iterable[OraclePosition]) -> float:
    """What an account is worth at oracle prices, quote units: its quote balance (- owed) and signed notionals."""
    return balance + sum(position.size * position.price for position in positions)


def cross_maintenance_margin(positions: Iterable[OraclePosition]) -> float:
    """Maintenance margin of a cross account, quote units: |size| x price x rate, added up."""
    return sum(abs(position.size) * position.price * position.maintenance_rate for position in positions)


def cross_bankruptcy_quote(balance: float, positions: Sequence[OraclePosition], closed: int, change: float) -> float:
    """Quote amount for which closing a part of a position leaves the account no better or worse than bankrupt.

    Parameters: quote balance of the account; its positions; index of the one that is closed; change of its size, of the
    opposite sign and not larger. Returns received (+, a long sold) or paid (-, a short bought back) quote units:
    -(change of notional) - net collateral x |change of its margin| / margin of the account.
    NaN where no margin is required (nothing to share by). NaN in, NaN out.
    Raises ValueError for a change that is no reduction.
    """
    position = positions[closed]
    _check_reduction(position.size, change)
    total = cross_maintenance_margin(positions)
    if total == 0.0:
        return math.nan
    freed = abs(change) * position.price * position.maintenance_rate
    return -change * position.price - net_collateral(balance, positions) * freed / total


def cross_bankruptcy_quote_in_quanta(
    balance: float, positions: Sequence[OraclePosition], closed: int, change: float, quantum: float
) -> float:
    """Return `cross_bankruptcy_quote` as the venue's integers have it: rounded up to a whole quantum.

    Notionals and the balance are whole quanta, rates whole parts per million, margins are rounded up, and the share of
    net collateral is rounded down, so that a fill at the result never needs the insurance fund. Quote units; quantum
    in quote units too (1e-6 on dYdX v4). NaN where no margin is required, or for NaN in the input.
    Raises ValueError for a change that is no reduction.
    """
    position = positions[closed]
    _check_reduction(position.size, change)
    numbers = [balance, change, *(n for p in positions for n in (p.size, p.price, p.maintenance_rate))]
    if any(math.isnan(number) for number in numbers):
        return math.nan

    def notional(size: float, price: float) -> int:
        return round(size * price / quantum)

    def margin(value: int, rate: float) -> int:
        return -(-abs(value) * round(rate * PARTS_PER_MILLION) // PARTS_PER_MILLION)

    values = [notional(p.size, p.price) for p in positions]
    total = sum(margin(value, p.maintenance_rate) for value, p in zip(values, positions, strict=True))
    if total == 0:
        return math.nan
    left = notional(position.size + change, position.price)
    freed = margin(values[closed], position.maintenance_rate) - margin(left, position.maintenance_rate)
    share = (round(balance / quantum) + sum(values)) * freed // total
    return (values[closed] - left - share) * quantum


def _check_reduction(size: float, change: float) -> None:
    if change * size >= 0.0 or abs(change) > abs(size):
        raise ValueError(
            f"change {change} of a position of {size}: expected the opposite sign, and no more than it has"
        )
