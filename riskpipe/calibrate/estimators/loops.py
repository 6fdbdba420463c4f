"""Recursions over time, compiled: one-step variance forecasts along a series with gaps.

All arrays are float64 and made by the caller (compiled functions allocate nothing). `changes` [t] has NaN for a gap.
Forecasts stand at the hour they are for and know only hours before it; NaN before the seed is complete.
"""

import math

from riskpipe.compiled import compiled
from riskpipe.domain.book import FloatArray


@compiled
def ewma_path(changes: FloatArray, decay: float, n_seed: int, variance: FloatArray) -> float:
    """EWMA: v <- decay v + (1 - decay) change^2, started with the mean square of the first n_seed changes.

    Returns v after the last change; a gap leaves it as it is.
    """
    v = 0.0
    n_seen = 0
    for t in range(len(changes)):
        variance[t] = v if n_seen >= n_seed else math.nan
        x = changes[t]
        if math.isnan(x):
            continue
        n_seen += 1
        if n_seen <= n_seed:
            v += (x * x - v) / n_seen
        else:
            v = decay * v + (1.0 - decay) * x * x
    return v if n_seen > 0 else math.nan


@compiled
def garch_path(
    changes: FloatArray, mean: float, omega: float, alpha: float, beta: float, seed: float, variance: FloatArray
) -> float:
    """GARCH(1,1): h <- omega + alpha e^2 + beta h, e = change - mean; in a gap e^2 is taken as expected, h.

    `seed` is the first h. Returns the forecast after the last hour.
    """
    h = seed
    for t in range(len(changes)):
        variance[t] = h
        x = changes[t]
        square = h if math.isnan(x) else (x - mean) * (x - mean)
        h = omega + alpha * square + beta * h
    return h


@compiled
def deviation_path(changes: FloatArray, decay: float, deviations: FloatArray) -> float:
    """Distance of the level from its own exponential average, before each hour [t]; returns it after the last.

    With m <- decay m + (1 - decay) level, the distance d = level - m obeys d <- decay (d + change): the level itself is
    not needed. In a gap the change counts as 0.
    """
    d = 0.0
    for t in range(len(changes)):
        deviations[t] = d
        x = changes[t]
        d = decay * (d if math.isnan(x) else d + x)
    return d


@compiled
def capped_path(
    innovations: FloatArray, deviation_of: FloatArray, decay: float, cap: float, n_seed: int, variance: FloatArray
) -> float:
    """EWMA of squared innovations, each at most (cap x deviation_of[t])^2, before each hour [t].

    A deviation that is 0 or NaN cuts nothing: a series that stood still must be able to move again. Seeded as
    `ewma_path`, but with a forecast from the second observed change on.
    """
    v = 0.0
    n_seen = 0
    for t in range(len(innovations)):
        variance[t] = v if n_seen > 0 else math.nan
        e = innovations[t]
        if math.isnan(e):
            continue
        square = e * e
        limit = cap * deviation_of[t]
        if limit > 0.0:
            square = min(square, limit * limit)
        n_seen += 1
        if n_seen <= n_seed:
            v += (square - v) / n_seen
        else:
            v = decay * v + (1.0 - decay) * square
    return v


@compiled
def mixture_path(
    changes: FloatArray,
    decays: FloatArray,
    weights: FloatArray,
    jump_factor: float,
    level_decays: FloatArray,
    pulls: FloatArray,
    cap: float,
    pull_cap: float,
    n_seed: int,
    components: FloatArray,
    distances: FloatArray,
    variance: FloatArray,
    mean: FloatArray,
) -> int:
    """The mixture's filter: h = sum of weights x components, mean = -sum of pulls x distances (see `mixture`).

    The forecast variance is jump_factor x h; innovations are capped in units of sqrt(h).

    components [k] and distances [j] are scratch: the state after the last hour is left in them.
    """
    n_components, n_levels = len(decays), len(level_decays)
    for k in range(n_components):
        components[k] = 0.0
    for j in range(n_levels):
        distances[j] = 0.0
    n_seen = 0
    for t in range(len(changes)):
        h = 0.0
        for k in range(n_components):
            h += weights[k] * components[k]
        deviation = math.sqrt(h)
        mu = 0.0
        for j in range(n_levels):
            mu -= pulls[j] * max(-pull_cap * deviation, min(pull_cap * deviation, distances[j]))
        is_seeded = n_seen >= n_seed
        variance[t] = jump_factor * h if is_seeded else math.nan
        mean[t] = mu if is_seeded else math.nan
        x = changes[t]
        is_gap = math.isnan(x)
        for j in range(n_levels):
            distances[j] = level_decays[j] * (distances[j] if is_gap else distances[j] + x)
        if is_gap:
            continue
        e = x - mu
        square = e * e
        limit = cap * deviation
        if limit > 0.0 and is_seeded:
            square = min(square, limit * limit)
        n_seen += 1
        for k in range(n_components):
            if n_seen <= n_seed:
                components[k] += (square - components[k]) / n_seen
            else:
                components[k] = decays[k] * components[k] + (1.0 - decays[k]) * square
    return n_seen


@compiled
def garch_loss(
    changes: FloatArray, omega: float, alpha: float, beta: float, nu: float, backcast: float, slopes: FloatArray
) -> float:
    """Negative log likelihood of GARCH(1,1) but for what does not depend on the variances; nu infinite = normal.

    Changes have no gaps; the first variance is omega + (alpha + beta) backcast. Its slopes by omega, alpha, beta and nu
    are left in `slopes` [4].
    """
    h = omega + (alpha + beta) * backcast
    by_omega, by_alpha, by_beta = 1.0, backcast, backcast  # of h
    total, slope_omega, slope_alpha, slope_beta, slope_nu = 0.0, 0.0, 0.0, 0.0, 0.0
    is_normal = math.isinf(nu)
    for t in range(len(changes)):
        square = changes[t] * changes[t]
        if is_normal:
            total += 0.5 * (math.log(h) + square / h)
            by_h = 0.5 * (1.0 - square / h) / h
        else:
            ratio = square / (h * (nu - 2.0))
            share = ratio / (1.0 + ratio)
            spread = math.log1p(ratio)
            total += 0.5 * (math.log(h) + (nu + 1.0) * spread)
            by_h = 0.5 * (1.0 - (nu + 1.0) * share) / h
            slope_nu += 0.5 * (spread - (nu + 1.0) * share / (nu - 2.0))
        slope_omega += by_h * by_omega
        slope_alpha += by_h * by_alpha
        slope_beta += by_h * by_beta
        by_omega = 1.0 + beta * by_omega
        by_alpha = square + beta * by_alpha
        by_beta = h + beta * by_beta
        h = omega + alpha * square + beta * h
    slopes[0] = slope_omega
    slopes[1] = slope_alpha
    slopes[2] = slope_beta
    slopes[3] = slope_nu
    return total


@compiled
def mixture_loss(
    components: FloatArray, squares: FloatArray, weights: FloatArray, smallest: float, slopes: FloatArray
) -> float:
    """Mean of ln h + square / h over the hours of squares [t], h = weights [k] x components [k, t], at least smallest.

    Its slopes by weight are left in `slopes` [k].
    """
    n_components, n = components.shape
    for k in range(n_components):
        slopes[k] = 0.0
    total = 0.0
    for t in range(n):
        h = 0.0
        for k in range(n_components):
            h += weights[k] * components[k, t]
        h = max(h, smallest)
        total += math.log(h) + squares[t] / h
        by_variance = (h - squares[t]) / (h * h * n)
        for k in range(n_components):
            slopes[k] += components[k, t] * by_variance
    return total / n


@compiled
def responses_of(level_decays: FloatArray, pulls: FloatArray, distances: FloatArray, left: FloatArray) -> float:
    """What is left of an innovation of 1 after 0, 1, ... hours [t], in `left`; `distances` [j] is scratch.

    Returns the level after the last hour.
    """
    n_levels = len(pulls)
    level, change = 1.0, 1.0
    for j in range(n_levels):
        distances[j] = 0.0
    for t in range(len(left)):
        left[t] = level
        pulled = 0.0
        for j in range(n_levels):
            distances[j] = level_decays[j] * (distances[j] + change)
            pulled += pulls[j] * distances[j]
        change = -pulled
        level += change
    return level
