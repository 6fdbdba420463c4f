"""Own axes of a run: bases of some instruments move by multiples of their own volatility, so that spreads move in the
grid, and some assets move by a fraction of their own.
"""  # noqa: D205

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from riskpipe.domain.book import BoolArray, FloatArray
from riskpipe.domain.scenarios import ASSET_AXIS, BASIS_AXIS, ScenarioSet, own_axis_of

TAPER_DAYS = 30.0  # to expiry, within which a future's basis can move less and less


def taper(days_to_expiry: FloatArray) -> FloatArray:
    """Share of a basis move that is left [i], from 1 at 30 days before expiry down to 0 at it; 1 where NaN (none)."""
    share = np.clip(days_to_expiry / TAPER_DAYS, 0.0, 1.0)
    return np.where(np.isnan(share), 1.0, share)


def with_basis_axes(
    scenarios: ScenarioSet, is_moved: Mapping[str, BoolArray], volatility: FloatArray, days_to_expiry: FloatArray
) -> ScenarioSet:
    """Return the set with what its basis axes add to each contract's basis: sum of multiple x volatility x taper.

    Parameters
    ----------
    is_moved: by axis, the instruments [i] that it moves.
    volatility: [i] standard deviation of basis changes over the horizon, fraction; NaN moves nothing.
    days_to_expiry: [i] NaN = none.
    """
    axes = {name: scenarios.on_axis(f"{BASIS_AXIS}{name}") for name in _named(scenarios, BASIS_AXIS)}
    if not axes:
        return scenarios
    unit = np.nan_to_num(volatility) * taper(days_to_expiry)
    moves = np.zeros((len(scenarios), len(unit)))
    for name, multiple in axes.items():
        moves = moves + multiple[:, None] * np.where(is_moved[name], unit, 0.0)
    return replace(scenarios, instrument_basis_shock=moves)


def with_asset_axes(scenarios: ScenarioSet, is_moved: Mapping[str, BoolArray], index_beta: FloatArray) -> ScenarioSet:
    """Return the set with the moves of the assets on its asset axes: (1 + beta x index shock)(1 + own moves) - 1.

    Where every own move is 0 an asset follows the index as ever, and its entry of `asset_shock` is NaN.

    Parameters
    ----------
    is_moved: by axis, the assets [c] that it moves.
    index_beta: [c] moves per unit of the index axis.
    """
    axes = {name: scenarios.on_axis(f"{ASSET_AXIS}{name}") for name in _named(scenarios, ASSET_AXIS)}
    if not axes:
        return scenarios
    own = np.ones((len(scenarios), len(index_beta)))
    for name, move in axes.items():
        own = own * np.where(is_moved[name], 1.0 + move[:, None], 1.0)
    along = 1.0 + scenarios.index_shock[:, None] * index_beta
    return replace(scenarios, asset_shock=np.where(own == 1.0, np.nan, along * own - 1.0))


def _named(scenarios: ScenarioSet, kind: str) -> list[str]:
    return [name for axis in scenarios.own_axes if (name := own_axis_of(axis, kind)) is not None]
