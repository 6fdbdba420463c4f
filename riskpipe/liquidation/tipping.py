"""Tipping: the shock that would have made an account fail which survives a scenario.

One axis moves on from where the scenario stands; all else stays as it ends, the impact of its cascade included. A
larger shock would also close others, whose flow may hit this account sooner or spare it: what is found is the distance
at the flow of this scenario, not what a night at that shock would show.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from riskpipe.domain.scenarios import ScenarioSet
from riskpipe.domain.story import Tipping
from riskpipe.liquidation.reference import Reference
from riskpipe.liquidation.state import Impact

LOWEST_INDEX, HIGHEST_INDEX = -0.99, 2.0
LARGEST_SCALE = 10.0
STEPS = 64
WIDTH = 2.0**-30  # of a step


@dataclass(frozen=True)
class AtEnd:
    """How prices end: the account's model of one scenario, and what the cascade does to them."""

    model: Reference
    impact: Impact
    dislocation: list[float]

    def fails(self, scenario: ScenarioSet) -> bool:
        """Whether any of the account's pools would fail, were the scenario this one and the impact the same."""
        model = copy.copy(self.model)
        model.scenarios = scenario
        prices = model.final(model.shocked(0), self.impact, self.dislocation)
        haircut = float(scenario.haircut_shock[0])
        return any(
            model.health(p, prices, haircut).margin_excess < 0.0
            for p in range(model.book.n_pools)
            if model.can_be_liquidated(p) or p in model.loans
        )


def tippings(end: AtEnd) -> tuple[Tipping, ...]:
    """Find the nearest shock each way, of the index alone; of the whole scenario where assets move on their own.

    Empty where nothing in reach does it, or where the account fails already.
    """
    scenario = end.model.scenarios
    if end.fails(scenario):
        return ()
    now = float(scenario.index_shock[0])

    def index(x: float) -> ScenarioSet:
        return replace(scenario, index_shock=np.array([x]))

    def scaled(factor: float) -> ScenarioSet:
        moves = ("index_shock", "basis_shock", "vol_shock", "asset_shock", "instrument_basis_shock")
        given = {name: getattr(scenario, name) for name in moves}
        return replace(scenario, **{name: move * factor for name, move in given.items() if move is not None})

    if scenario.asset_shock is not None and not np.all(np.isnan(scenario.asset_shock)):
        found = [("scenario", 1.0, _first(end, scaled, 1.0, LARGEST_SCALE))]
    else:
        limits = [min(LOWEST_INDEX, now), max(HIGHEST_INDEX, now)]
        found = [("index_shock", now, _first(end, index, now, limit)) for limit in limits]
    return tuple(Tipping(axis, start, at) for axis, start, at in found if at is not None)


def _first(end: AtEnd, moved: Callable[[float], ScenarioSet], start: float, limit: float) -> float | None:
    """Return where, from start to limit, the account first fails: by steps, then bisected; None = nowhere."""
    step = (limit - start) / STEPS
    for k in range(1, STEPS + 1):
        if not end.fails(moved(start + k * step)):
            continue
        low, high = start + (k - 1) * step, start + k * step
        while abs(high - low) > abs(step) * WIDTH:
            middle = 0.5 * (low + high)
            low, high = (low, middle) if end.fails(moved(middle)) else (middle, high)
        return high
    return None
