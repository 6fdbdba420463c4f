"""Search for a minimum in a few dimensions: BFGS with slopes given, plain sums only.

scipy's own costs more than the losses it is given here, and multiplies matrices by libraries whose last digits depend
on the machine. Every sum here is over a handful of numbers, in one order.
"""

from collections.abc import Callable

import numpy as np

from riskpipe.domain.book import FloatArray

Loss = Callable[[FloatArray], tuple[float, FloatArray]]
"""A smooth function: its value and its slopes [k] at a place [k]; a value of 1e300 or more where it has none."""

_ENOUGH = 1e-4  # share of the fall that the slope promises with which a step is content (Armijo)
_SHORTEST = 1e-10
_LONGEST = 4.0  # first step and steps without a known curvature: no longer than this


def least(loss: Loss, start: FloatArray, *, largest_slope: float, n_rounds: int) -> tuple[FloatArray, float, bool]:
    """Return where a loss is least near the start [k], its value there, and whether it is settled.

    Settled: no slope is larger than `largest_slope`. Where it is not after so many rounds, or no step along the slope
    leads lower, what is returned is the lowest place found.
    """
    at = np.array(start, dtype=np.float64)
    value, slope = loss(at)
    unit = np.eye(len(at))
    inverse, is_scaled = unit, False
    for _ in range(n_rounds):
        if float(np.abs(slope).max()) <= largest_slope:
            return at, value, True
        direction = -(inverse * slope).sum(axis=1)
        descent = float((direction * slope).sum())
        if not descent < 0.0:
            inverse, is_scaled = unit, False
            direction, descent = -slope, -float((slope * slope).sum())
        size = float(np.abs(direction).max())
        step = min(1.0, _LONGEST / size) if is_scaled else min(1.0, 1.0 / size)
        while True:
            trial = at + step * direction
            found, found_slope = loss(trial)
            if found <= value + _ENOUGH * step * descent:
                break
            # the lowest place of the parabola through both ends, within bounds
            bend = found - value - step * descent
            shorter = -0.5 * descent * step * step / bend if 0.0 < bend < np.inf else 0.0
            step = min(max(shorter, 0.1 * step), 0.5 * step)
            if step * size < _SHORTEST:
                return at, value, False
        moved, turned = trial - at, found_slope - slope
        curvature = float((moved * turned).sum())
        if curvature > 1e-12 * float(np.sqrt((moved * moved).sum() * (turned * turned).sum())):
            if not is_scaled:
                inverse, is_scaled = unit * (curvature / float((turned * turned).sum())), True
            pulled = (inverse * turned).sum(axis=1)
            growth = (1.0 + float((turned * pulled).sum()) / curvature) / curvature
            across = np.outer(pulled, moved) / curvature
            inverse = inverse + growth * np.outer(moved, moved) - across - across.T
        at, value, slope = trial, found, found_slope
    return at, value, bool(np.abs(slope).max() <= largest_slope)
