"""The impact laws and shocked asset prices in compiled form."""

from typing import NamedTuple

import numpy as np

from riskpipe.compiled import inlined, internal
from riskpipe.domain.book import FloatArray, OffsetArray
from riskpipe.domain.scenarios import ScenarioSet
from riskpipe.liquidation.lowering import Terms
from riskpipe.pricing import impact as laws

impact = internal(laws.impact)
average_impact = internal(laws.average_impact)
is_limited = internal(laws.is_limited)

SMALLEST_INDEX_SHARE = 0.01


class Shocks(NamedTuple):
    """How far the market of each group of lanes moves; at a share of the way every shock is that share of itself."""

    index_shock: FloatArray  # [group]
    basis_shock: FloatArray  # [group]
    vol_shock: FloatArray  # [group]
    asset_shock: FloatArray  # [group, c] an asset's own move, NaN = beta x the index's; [0, 0] = no asset has one
    instrument_basis_shock: FloatArray  # [group, i] added to a contract's basis besides; [0, 0] = nothing is


def shocks_of(scenarios: ScenarioSet, at: OffsetArray, *, has_options: bool = True) -> Shocks:
    """Return the shocks of some scenarios; without options the volatility shock is nil."""

    def own(moves: FloatArray | None) -> FloatArray:
        return np.zeros((0, 0)) if moves is None else np.ascontiguousarray(moves[at])

    return Shocks(
        index_shock=scenarios.index_shock[at],
        basis_shock=scenarios.basis_shock[at],
        vol_shock=scenarios.vol_shock[at] * (1.0 if has_options else 0.0),
        asset_shock=own(scenarios.asset_shock),
        instrument_basis_shock=own(scenarios.instrument_basis_shock),
    )


def index_shocks(*moves: float) -> Shocks:
    """Return shocks of the index alone, a group for each."""
    n, none = len(moves), np.zeros((0, 0))
    return Shocks(np.array(moves, dtype=np.float64), np.zeros(n), np.zeros(n), none, none)


def cut_shocks(shocks: Shocks, start: int, stop: int) -> Shocks:
    """Return the shocks of groups start to stop (exclusive)."""
    return Shocks(*(moves[start:stop] for moves in shocks))


@inlined
def shocked_asset(terms: Terms, shocks: Shocks, c: int, g: int, share: float, x: float) -> float:
    """USD price of asset c at a share of the way to group g's shocks, where the index shock is x."""
    price = terms.index_price[c]
    move = terms.index_beta[c] * x
    if shocks.asset_shock.shape[0] > 0 and not np.isnan(shocks.asset_shock[g, c]):
        move = shocks.asset_shock[g, c] * share
    return max(price * (1.0 + move), SMALLEST_INDEX_SHARE * price)


@inlined
def shocked_basis(terms: Terms, shocks: Shocks, i: int, g: int, share: float, y: float) -> float:
    """Basis of instrument i, no option, at a share of the way to group g's shocks, where the basis shock is y."""
    if shocks.instrument_basis_shock.shape[0] > 0:
        y += shocks.instrument_basis_shock[g, i] * share
    return max(terms.basis[i] + y, SMALLEST_INDEX_SHARE - 1.0)
