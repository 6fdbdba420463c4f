"""Impact laws: the relative price move caused by a net flow, and its average along that flow.

Flows are USD (+ buys, - sells), depth is the USD that moves the price by 100% to first order, moves are fractions.

- `exponential`: exp(Q/D) - 1 for purchases; for sales -(1-B)(1 - exp(-|Q|/((1-B) D))) with a price floor B. With depth
  delta = (1-B) D this is the level-dependent law of Cont and Schaanning (Fire sales, indirect contagion and systemic
  stress testing, Norges Bank WP 2/2017), integrated from the shocked price.
- `linear`: Q/D.

Every law is kept within [-limit, cap] with limit = min(1-B, 0.99, what the caller adds).
"""

import math

EXPONENTIAL = 0
LINEAR = 1
LAW_CODES = {"exponential": EXPONENTIAL, "linear": LINEAR}
LARGEST_FALL = 0.99


def impact(law: int, flow: float, depth: float, price_floor: float, fall_limit: float, price_cap: float) -> float:
    """Relative move after the whole flow has traded.

    Parameters: law code; flow in USD, signed; depth in USD, > 0 (ignored when flow is 0); price_floor B in [0, 1);
    fall_limit > = 0 the largest fall; price_cap > 0 the largest rise. Returns a fraction in [-fall_limit, price_cap].
    """
    if flow == 0.0:
        return 0.0
    if flow < 0.0:
        if law == LINEAR:
            move = flow / depth
        else:
            room = 1.0 - price_floor
            move = room * (math.exp(flow / (room * depth)) - 1.0)
        return max(-fall_limit, move)
    ratio = flow / depth
    if law == EXPONENTIAL:
        if ratio >= math.log(1.0 + price_cap):
            return price_cap
        ratio = math.exp(ratio) - 1.0
    return min(price_cap, ratio)


def is_limited(move: float, flow: float, fall_limit: float, price_cap: float) -> bool:
    """Whether the move that a flow caused stands at the law's floor or cap."""
    return (flow < 0.0 and move <= -fall_limit) or (flow > 0.0 and move >= price_cap)


def average_impact(
    law: int, flow: float, depth: float, price_floor: float, fall_limit: float, price_cap: float
) -> float:
    """Mean of the law along its own flow, (1/Q) times the integral of impact(q) from 0 to Q: what a seller who trades
    evenly through the flow pays on average. Same parameters, unit and limits as `impact`.
    """  # noqa: D205
    if flow == 0.0:
        return 0.0
    size = abs(flow)
    if flow < 0.0:
        room = 1.0 - price_floor
        if law == LINEAR:
            reached = fall_limit * depth
        elif fall_limit < room:
            reached = -math.log(1.0 - fall_limit / room) * room * depth
        else:
            reached = math.inf
    else:
        room = 1.0
        reached = price_cap * depth if law == LINEAR else math.log(1.0 + price_cap) * depth
    free = min(size, reached)  # flow traded before the limit binds
    if law == LINEAR:
        total = math.copysign(0.5 * free * free / depth, flow)
    elif flow < 0.0:
        scale = room * depth
        total = -room * (free + scale * math.expm1(-free / scale))
    else:
        total = depth * math.expm1(free / depth) - free
    if size > free:
        total += (size - free) * (price_cap if flow > 0.0 else -fall_limit)
    return total / size
