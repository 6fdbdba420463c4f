"""The forms that margin models are lowered to, each a loop over lanes: many scenarios of one pool side by side.

A lane is one state of the market; a price row is one price over all lanes. What a pool is worth less what it must hold
is a sum of *lines* `slope x price + intercept`, one for each balance and position:

- tier lines: a position's line depends on the margin tier that its notional falls in, a balance's on its haircut band;
- collateral health: a balance's line is its amount times its liquidation threshold, or par where it is owed;
- scan: the requirement is the worst loss over K states of the market around the lane's own.

Bits: lines are added in the order given, each by a multiplication and an addition of its own, so that a lane's result
depends on neither the number of lanes nor how many lines share a loop.
"""

import math

from riskpipe.domain.book import FloatArray, IntArray
from riskpipe.liquidation.compiled import compiled, inlined, internal

GROSS, SLOPE, INTERCEPT, EDGE, SLOPE_ABOVE, INTERCEPT_ABOVE = range(6)
N_COEFFICIENTS = 6
PLAIN, ONE_EDGE, MANY_EDGES = range(3)


@inlined
def _edged(g: float, a: float, b: float, edge: float, above: float, above_intercept: float, x: float) -> float:
    below_line = a * x + b
    above_line = above * x + above_intercept
    return above_line if g * x >= edge else below_line


@internal
def add_plain(
    price: FloatArray, row: IntArray, c: FloatArray, n: int, constant: float, s0: int, s1: int, out: FloatArray
) -> int:
    """Set out[s0:s1] to a constant plus n lines without edges; returns how many lanes are negative."""
    h = out[s0:s1]
    lanes = s1 - s0
    negative, t = 0, 0
    if n == 0:
        for s in range(lanes):
            h[s] = constant
        return lanes if constant < 0.0 else 0
    while t < n:
        negative, left = 0, n - t
        a0, b0, x0 = c[SLOPE, t], c[INTERCEPT, t], price[row[t], s0:s1]
        if left == 1:
            for s in range(lanes):
                v = (constant if t == 0 else h[s]) + (a0 * x0[s] + b0)
                h[s] = v
                negative += v < 0.0
            break
        a1, b1, x1 = c[SLOPE, t + 1], c[INTERCEPT, t + 1], price[row[t + 1], s0:s1]
        if left == 2:
            for s in range(lanes):
                v = ((constant if t == 0 else h[s]) + (a0 * x0[s] + b0)) + (a1 * x1[s] + b1)
                h[s] = v
                negative += v < 0.0
            break
        a2, b2, x2 = c[SLOPE, t + 2], c[INTERCEPT, t + 2], price[row[t + 2], s0:s1]
        if left == 3:
            for s in range(lanes):
                v = (constant if t == 0 else h[s]) + (a0 * x0[s] + b0)
                v = (v + (a1 * x1[s] + b1)) + (a2 * x2[s] + b2)
                h[s] = v
                negative += v < 0.0
            break
        a3, b3, x3 = c[SLOPE, t + 3], c[INTERCEPT, t + 3], price[row[t + 3], s0:s1]
        for s in range(lanes):
            v = ((constant if t == 0 else h[s]) + (a0 * x0[s] + b0)) + (a1 * x1[s] + b1)
            v = (v + (a2 * x2[s] + b2)) + (a3 * x3[s] + b3)
            h[s] = v
            negative += v < 0.0
        t += 4
    return negative


@internal
def add_edged(
    price: FloatArray, row: IntArray, c: FloatArray, n: int, constant: float, s0: int, s1: int, out: FloatArray
) -> int:
    """Set out[s0:s1] to a constant plus n lines with at most one edge each; returns how many lanes are negative."""
    h = out[s0:s1]
    lanes = s1 - s0
    negative, t = 0, 0
    while t < n:
        negative, left = 0, n - t
        g0, a0, b0, e0, f0, i0 = c[0, t], c[1, t], c[2, t], c[3, t], c[4, t], c[5, t]
        x0 = price[row[t], s0:s1]
        if left == 1:
            for s in range(lanes):
                v = (constant if t == 0 else h[s]) + _edged(g0, a0, b0, e0, f0, i0, x0[s])
                h[s] = v
                negative += v < 0.0
            break
        u = t + 1
        g1, a1, b1, e1, f1, i1 = c[0, u], c[1, u], c[2, u], c[3, u], c[4, u], c[5, u]
        x1 = price[row[u], s0:s1]
        if left == 2:
            for s in range(lanes):
                v = (constant if t == 0 else h[s]) + _edged(g0, a0, b0, e0, f0, i0, x0[s])
                v = v + _edged(g1, a1, b1, e1, f1, i1, x1[s])
                h[s] = v
                negative += v < 0.0
            break
        u = t + 2
        g2, a2, b2, e2, f2, i2 = c[0, u], c[1, u], c[2, u], c[3, u], c[4, u], c[5, u]
        x2 = price[row[u], s0:s1]
        for s in range(lanes):
            v = (constant if t == 0 else h[s]) + _edged(g0, a0, b0, e0, f0, i0, x0[s])
            v = v + _edged(g1, a1, b1, e1, f1, i1, x1[s])
            v = v + _edged(g2, a2, b2, e2, f2, i2, x2[s])
            h[s] = v
            negative += v < 0.0
        t += 3
    return negative


@compiled
def add_scan(
    change: FloatArray, weight: FloatArray, size: FloatArray, row: IntArray, n: int, s0: int, s1: int,
    loss: FloatArray, out: FloatArray,
) -> None:  # fmt: skip
    """Set out[s0:s1] to the worst weighted loss of n holdings over K states of the market, never below 0.

    Parameters: change [k, i, lane] USD per unit of size of what row i is worth in state k less what it is worth now;
    weight [k] share of the loss that counts; size [n], row [n] which i each holding is; loss scratch [lane].
    """
    for s in range(s0, s1):
        out[s] = 0.0
    for k in range(change.shape[0]):
        for s in range(s0, s1):
            loss[s] = 0.0
        for j in range(n):
            a = size[j] * weight[k]
            x = change[k, row[j]]
            for s in range(s0, s1):
                loss[s] -= a * x[s]
        for s in range(s0, s1):
            out[s] = max(out[s], loss[s])


@inlined
def set_collateral_line(c: FloatArray, t: int, quantity: float, ratio: float, threshold: float) -> None:
    """Set line t over its asset's USD price: a balance times its liquidation threshold, a debt at par."""
    c[GROSS, t] = max(quantity, 0.0) * ratio
    c[SLOPE, t] = quantity * ratio * max(0.0, threshold) if quantity > 0.0 else quantity
    c[INTERCEPT, t] = 0.0
    c[EDGE, t] = math.inf
    c[SLOPE_ABOVE, t] = 0.0
    c[INTERCEPT_ABOVE, t] = 0.0
