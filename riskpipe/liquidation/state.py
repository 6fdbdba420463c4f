"""What the reference passes from step to step of one scenario."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Prices:
    """USD prices of assets and marks of instruments at one state of the market; what options are priced by."""

    asset: list[float]
    mark: list[float]
    forward: list[float]
    """Of options, quote units; NaN else."""
    volatility: list[float]
    """Of options; NaN else."""


@dataclass(frozen=True)
class Health:
    """A pool's equity, maintenance and initial margin in USD at one state of the market."""

    equity: float
    maintenance_margin: float
    initial_margin: float

    @property
    def margin_excess(self) -> float:
        """Equity less maintenance margin: liquidatable when < 0."""
        return self.equity - self.maintenance_margin


@dataclass(frozen=True)
class Impact:
    """What forced flow does to prices; `*_average` is the law's mean along its own flow."""

    own: list[float]
    own_average: list[float]
    index: list[float]
    index_average: list[float]
    limits_hit: int


@dataclass
class CloseOut:
    """One closed pool: how far along the ray it failed, its exit prices and what is left."""

    pool: int
    ray_point: float
    exits: dict[int, float]
    true_equity: float
    fee: float
    shortfall: float
    fees_collected: float
    loss_share: dict[int, float]
    fee_share: dict[int, float]


@dataclass
class Outcome:
    """One scenario's results: `values` by variable key without the scenario dimension, and the pools closed."""

    values: dict[str, np.ndarray]
    close_outs: list[CloseOut]
    account_shortfall: dict[int, float] = field(default_factory=dict)
    liquidated_accounts: set[int] = field(default_factory=set)
    knife_edge: float = np.inf
    """Smallest |margin excess| over gross notional met by any trigger test: how close it is to another history."""
