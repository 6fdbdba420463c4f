"""Funding of perpetuals: from the premium over the index, through each venue's clamp, interval and cap, to a payment.

Premiums and rates are fractions of notional (+ the perpetual above its index, and longs pay). Arguments are floats or
float64 arrays of any one shape; NaN in, NaN out.

Funding has a dead band: as long as the premium is within the clamp of the interest rate, the rate is the interest
rate, so two fifths to half of all settlements repeat it. Model the premium and apply the rule; never model the rate.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from riskpipe.domain.book import FloatArray, Numbers

HOURS_PER_YEAR = 8760.0


@dataclass(frozen=True)
class FundingRule:
    """How a venue turns a premium into a rate.

    A premium held for `premium_hours` is paid once; every `interval_hours` the share interval / premium_hours of it is
    charged. `interest` and `clamp` are fractions per premium_hours; `cap` per interval, where the venue names none (or
    one for each contract) infinite. An interest of 0 makes the clamp what venues call a damper.
    """

    interval_hours: float
    premium_hours: float
    interest: float
    clamp: float
    cap: float = math.inf
    source: str = ""

    def __post_init__(self) -> None:
        """Refuse what is no rule."""
        if not (self.interval_hours > 0.0 and self.premium_hours > 0.0):
            raise ValueError(f"hours must be above 0, got {self.interval_hours} and {self.premium_hours}")
        if self.clamp < 0.0 or self.cap < 0.0:
            raise ValueError(f"clamp and cap must not be negative, got {self.clamp} and {self.cap}")


# usual contracts; a contract's own interval, interest or cap is a `dataclasses.replace` away
RULES: Mapping[str, FundingRule] = MappingProxyType(
    {
        "binance": FundingRule(
            8.0, 8.0, 1e-4, 5e-4, source="Binance, Introduction to funding rates; caps 0.75 x maintenance rate or 2%"
        ),
        "bybit": FundingRule(8.0, 8.0, 1e-4, 5e-4, source="Bybit help, What is funding rate and predicted rate"),
        "deribit": FundingRule(
            8.0, 8.0, 0.0, 2.5e-4, source="Deribit support, Funding specifications; paid continuously, caps by contract"
        ),
        "hyperliquid": FundingRule(1.0, 8.0, 1e-4, 5e-4, 0.04, source="Hyperliquid docs, Trading, Funding"),
        "kraken": FundingRule(
            1.0, 24.0, 0.0, 0.0, 0.0025, source="Kraken support 360022835911, inverse perpetual specifications"
        ),
        "thalex": FundingRule(
            1.0, 24.0, 0.0, 0.0, source="Thalex support 8778231898385, the rule without the later damper of 0.025%"
        ),
    }
)


def premium_rate(perpetual_price: Numbers, index_price: Numbers) -> Numbers:
    """Premium of a perpetual over its index: price / index - 1."""
    return (perpetual_price - index_price) / index_price


def premium_index(impact_bid: Numbers, impact_ask: Numbers, index_price: Numbers) -> Numbers:
    """Premium by the order book: (max(0, impact bid - index) - max(0, index - impact ask)) / index.

    Impact prices are averages at which a venue's standard amount could be sold and bought (Binance, Bybit, Gate).
    """
    over = np.maximum(0.0, impact_bid - index_price)
    return (over - np.maximum(0.0, index_price - impact_ask)) / index_price


def rising_average(premiums: FloatArray) -> float:
    """Average premium of an interval with weights 1, 2, ... n, the last sample heaviest (Binance, Bybit)."""
    weights = np.arange(1.0, len(premiums) + 1.0)
    return float((weights * premiums).sum() / weights.sum())


def clamped_rate(premium: Numbers, interest: Numbers, clamp: Numbers) -> Numbers:
    """Rate before share and cap: premium + min(clamp, max(-clamp, interest - premium)).

    Equal to the interest as long as the premium is within the clamp of it, else the premium moved by the clamp towards
    it. With interest 0 it is max(clamp, P) + min(-clamp, P), the form of venues that speak of a damper.
    """
    return premium + np.minimum(clamp, np.maximum(-clamp, interest - premium))


def funding_rate(premium: Numbers, rule: FundingRule) -> Numbers:
    """Rate charged at one settlement, fraction of notional: clamp, then the interval's share, then the cap."""
    rate = clamped_rate(premium, rule.interest, rule.clamp) * (rule.interval_hours / rule.premium_hours)
    return np.minimum(rule.cap, np.maximum(-rule.cap, rate))


def rate_cap(maintenance_rate: float) -> float:
    """Binance's cap of a settlement: 0.75 x the lowest tier's maintenance rate, +-0.3% at 0.4%."""
    return 0.75 * maintenance_rate


def funding_payment(
    quantity: Numbers,
    multiplier: Numbers,
    price: Numbers,
    rate: Numbers,
    share_of_interval: Numbers = 1.0,
    *,
    is_inverse: bool = False,
) -> Numbers:
    """What a position pays, + paid, - received: quote units of a linear one, coins of an inverse one.

    quantity: contracts, + long; of an inverse position quantity x multiplier is its value in quote units. price: at
    which the venue values the position for funding, its mark or its index. share_of_interval: held part of an interval
    where funding accrues continuously.
    """
    held = quantity * multiplier
    return (held / price if is_inverse else held * price) * rate * share_of_interval


def annual_rate(rate: Numbers, interval_hours: float) -> Numbers:
    """A rate per interval as a fraction a year of 365 days, not compounded: 0.01% per 8 hours is 10.95%."""
    return rate * (HOURS_PER_YEAR / interval_hours)


def dead_band(rule: FundingRule) -> tuple[float, float]:
    """Premiums between which the rate is the interest: (interest - clamp, interest + clamp)."""
    return rule.interest - rule.clamp, rule.interest + rule.clamp


def annual_band(rule: FundingRule) -> float:
    """Half-width of the dead band as a fraction a year: how far carry may stand from fair without any funding.

    With 0.05% per 8 hours +-54.75%, the deviation at which a perpetual without a clamp would be as far from its
    no-arbitrage price (He, Manela, Ross and von Wachter, Fundamentals of perpetual futures).
    """
    return float(annual_rate(rule.clamp, rule.premium_hours))
