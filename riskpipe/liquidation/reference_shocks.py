"""The specification of shocks: how far assets and bases move in a scenario."""

import numpy as np

from riskpipe.domain.market import Market
from riskpipe.domain.scenarios import ScenarioSet
from riskpipe.liquidation.reference_impact import SMALLEST_INDEX_SHARE


def shocked_assets(market: Market, scenarios: ScenarioSet, s: int, ray_point: float) -> list[float]:
    """USD price of every asset: its own move where the scenario gives one, else beta times the index's."""
    x = float(scenarios.index_shock[s]) * ray_point
    prices = []
    for c, (price, beta) in enumerate(zip(market.index_price.tolist(), market.index_beta.tolist(), strict=True)):
        own = np.nan if scenarios.asset_shock is None else float(scenarios.asset_shock[s, c])
        move = beta * x if np.isnan(own) else own * ray_point
        prices.append(max(price * (1.0 + move), SMALLEST_INDEX_SHARE * price))
    return prices


def shocked_basis(market: Market, scenarios: ScenarioSet, s: int, i: int, ray_point: float) -> float:
    """Basis of a perpetual or future: the scenario's move of every basis and of its own come on top."""
    move = float(scenarios.basis_shock[s])
    if scenarios.instrument_basis_shock is not None:
        move += float(scenarios.instrument_basis_shock[s, i])
    return max(float(market.basis[i]) + move * ray_point, SMALLEST_INDEX_SHARE - 1.0)
