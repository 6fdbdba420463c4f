"""Basis axes: some instruments' bases move by multiples of their own volatility, so that spreads move in the grid."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from riskpipe.domain.book import BoolArray, FloatArray
from riskpipe.domain.scenarios import ScenarioSet

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
    if scenarios.basis_multiple is None:
        return scenarios
    unit = np.nan_to_num(volatility) * taper(days_to_expiry)
    moves = np.zeros((len(scenarios), len(unit)))
    for multiple, name in zip(scenarios.basis_multiple.T, scenarios.basis_axes, strict=True):
        moves = moves + multiple[:, None] * np.where(is_moved[name], unit, 0.0)
    return replace(scenarios, instrument_basis_shock=moves)
