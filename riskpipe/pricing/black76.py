"""Black-76: European options on a forward, and what a coin-settled option is worth.

A call is worth discount x (F N(d1) - K N(d2)) with d1 = ln(F/K) / s + s/2, d2 = d1 - s and s = volatility x sqrt(years)
(Black, The pricing of commodity contracts, Journal of Financial Economics 3, 1976). It is computed as intrinsic value
plus the out-of-the-money option of the same strike, so that put-call parity holds to rounding and no option is worth
less than exercising it.

Forwards and strikes are in quote units per unit of underlying, years run to expiry, volatility is a fraction a year,
the discount factor turns money of the expiry into money of today. Where nothing is uncertain (years, volatility,
forward or strike not above 0) an option is worth its discounted intrinsic value. NaN in, NaN out. `option_value`,
`delta` and `vega` call nothing but `math`, so that they compile as they stand.

A coin-settled (inverse) option pays in the underlying: its mark is the undiscounted value over the forward (Deribit,
Inverse options), so a chain of coin marks is repriced with discount 1.
"""

import math

_SQRT_HALF = math.sqrt(0.5)
_DENSITY_AT_ZERO = 1.0 / math.sqrt(2.0 * math.pi)
_WIDEST_SPREAD = 76.0  # of volatility x sqrt(years): beyond it every option is worth its bound in floating point
_MOST_STEPS = 200
_CLOSE = 1e-15


def option_value(
    is_call: bool, forward: float, strike: float, years: float, volatility: float, discount: float
) -> float:
    """Value of an option on one unit of the underlying, quote units >= 0 (Black 1976, see the module)."""
    if math.isnan(forward) or math.isnan(strike) or math.isnan(years) or math.isnan(volatility):
        return math.nan
    intrinsic = max(0.0, forward - strike if is_call else strike - forward)
    if forward <= 0.0 or strike <= 0.0 or years <= 0.0 or volatility <= 0.0:
        return discount * intrinsic
    spread = volatility * math.sqrt(years)
    distance = math.log(forward / strike) / spread
    upper, lower = distance + 0.5 * spread, distance - 0.5 * spread
    if forward <= strike:  # N(x) = erfc(-x / sqrt 2) / 2 is exact in both tails
        time_value = 0.5 * (forward * math.erfc(-upper * _SQRT_HALF) - strike * math.erfc(-lower * _SQRT_HALF))
    else:
        time_value = 0.5 * (strike * math.erfc(lower * _SQRT_HALF) - forward * math.erfc(upper * _SQRT_HALF))
    return discount * (intrinsic + max(0.0, time_value))


def delta(is_call: bool, forward: float, strike: float, years: float, volatility: float, discount: float) -> float:
    """Change of `option_value` per unit of the forward: discount x N(d1) for a call, discount x (N(d1) - 1) for a put.

    Without uncertainty a call's is 0 or 1, and 1/2 at the strike, as for ever smaller volatility.
    """
    if math.isnan(forward) or math.isnan(strike) or math.isnan(years) or math.isnan(volatility):
        return math.nan
    if forward > 0.0 and strike > 0.0 and years > 0.0 and volatility > 0.0:
        spread = volatility * math.sqrt(years)
        upper = math.log(forward / strike) / spread + 0.5 * spread
        if is_call:
            return discount * 0.5 * math.erfc(-upper * _SQRT_HALF)
        return -discount * 0.5 * math.erfc(upper * _SQRT_HALF)
    share = 0.5
    if forward != strike:
        share = 1.0 if forward > strike else 0.0
    return discount * share if is_call else discount * (share - 1.0)


def vega(forward: float, strike: float, years: float, volatility: float, discount: float) -> float:
    """Change of `option_value` per 1.00 of volatility, quote units >= 0; 0 without uncertainty."""
    if math.isnan(forward) or math.isnan(strike) or math.isnan(years) or math.isnan(volatility):
        return math.nan
    if forward <= 0.0 or strike <= 0.0 or years <= 0.0 or volatility <= 0.0:
        return 0.0
    root = math.sqrt(years)
    upper = math.log(forward / strike) / (volatility * root) + 0.5 * volatility * root
    return discount * forward * root * _DENSITY_AT_ZERO * math.exp(-0.5 * upper * upper)


def inverse_option_value(is_call: bool, forward: float, strike: float, years: float, volatility: float) -> float:
    """Mark of a coin-settled option, coins per unit of underlying >= 0: undiscounted value over the forward (> 0)."""
    return option_value(is_call, forward, strike, years, volatility, 1.0) / forward


def settlement_payoff(is_call: bool, settlement_price: float, strike: float) -> float:
    """Payoff of a coin-settled option at expiry, coins per unit: max(S - K, 0) / S, for a put max(K - S, 0) / S.

    Source: Deribit, Options, examples 1 and 2 (deribit.com/pages/docs/options).
    """
    return option_value(is_call, settlement_price, strike, 0.0, 0.0, 1.0) / settlement_price


def settlement_pnl(is_call: bool, quantity: float, settlement_price: float, strike: float, premium: float) -> float:
    """Profit in coins of `quantity` units (+ long) bought for `premium` coins each and held to expiry."""
    return quantity * (settlement_payoff(is_call, settlement_price, strike) - premium)


def implied_volatility(
    is_call: bool, price: float, forward: float, strike: float, years: float, discount: float
) -> float:
    """Volatility at which `option_value` is `price` (quote units; a coin mark times its forward, with discount 1).

    0 at the intrinsic value. NaN where no volatility gives the price: below the intrinsic value, at or above the bound
    (the discounted forward for a call, the discounted strike for a put), no time left. The logarithm of the time value
    is solved for s = volatility x sqrt(years) by Newton's steps, halved where they leave the bracket.
    """
    if not (forward > 0.0 and strike > 0.0 and years > 0.0 and discount > 0.0):
        return math.nan
    is_upper = forward <= strike  # the out-of-the-money side, whose value is the time value of both
    target = price / discount - option_value(is_call, forward, strike, 0.0, 0.0, 1.0)
    if abs(target) <= _CLOSE * max(forward, strike):
        return 0.0
    if not 0.0 < target < min(forward, strike):
        return math.nan
    low, high = 0.0, 1.0
    while high < _WIDEST_SPREAD and option_value(is_upper, forward, strike, 1.0, high, 1.0) < target:
        low, high = high, 2.0 * high
    spread = 0.5 * (low + high)
    for _ in range(_MOST_STEPS):
        value = option_value(is_upper, forward, strike, 1.0, spread, 1.0)
        if value < target:
            low = spread
        else:
            high = spread
        slope = vega(forward, strike, 1.0, spread, 1.0)
        guess = math.nan
        if value > 0.0 and slope > 0.0:
            guess = spread + math.log(target / value) * value / slope
        if not low < guess < high:
            guess = 0.5 * (low + high)
        is_found = abs(guess - spread) <= _CLOSE * spread
        spread = guess
        if is_found:
            break
    return spread / math.sqrt(years)
