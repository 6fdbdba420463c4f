"""Minimum-variance hedges: how much of one instrument takes the movement out of another, and what is left.

Source: Ederington, The hedging performance of the new futures markets, Journal of Finance 34, 1979.
"""

from dataclasses import dataclass

import numpy as np

from riskpipe.domain.book import FloatArray


@dataclass(frozen=True)
class Moments:
    """Sample moments (ddof 1) of paired changes: of the position, of the hedge, and how they go together."""

    position_deviation: float
    hedge_deviation: float
    correlation: float  # 0 where either never moves
    n_pairs: int


@dataclass(frozen=True)
class Hedge:
    """A minimum-variance hedge."""

    ratio: float  # hedge units sold for each unit held
    effectiveness: float  # share of variance taken away, correlation^2
    basis_risk: float  # standard deviation left per unit held


def paired_moments(position_changes: FloatArray, hedge_changes: FloatArray) -> Moments:
    """Moments of changes [t] in any one unit, NaN left out in pairs; NaN with fewer than two pairs."""
    is_pair = np.isfinite(position_changes) & np.isfinite(hedge_changes)
    position, hedge = position_changes[is_pair], hedge_changes[is_pair]
    n = len(position)
    if n < 2:
        return Moments(np.nan, np.nan, np.nan, n)
    position, hedge = position - position.mean(), hedge - hedge.mean()
    squares, hedge_squares = float((position * position).sum()), float((hedge * hedge).sum())
    product = float((position * hedge).sum())
    correlation = product / float(np.sqrt(squares * hedge_squares)) if squares > 0.0 and hedge_squares > 0.0 else 0.0
    return Moments(
        float(np.sqrt(squares / (n - 1))), float(np.sqrt(hedge_squares / (n - 1))), min(1.0, max(-1.0, correlation)), n
    )


def minimum_variance_hedge(moments: Moments) -> Hedge:
    """Hedge ratio rho s_S / s_F, effectiveness rho^2, basis risk s_S sqrt(1 - rho^2).

    A hedge that never moves hedges nothing: ratio 0.
    """
    rho = moments.correlation
    ratio = rho * moments.position_deviation / moments.hedge_deviation if moments.hedge_deviation > 0.0 else 0.0
    return Hedge(ratio, rho * rho, moments.position_deviation * float(np.sqrt(1.0 - rho * rho)))


def hedge_contracts(ratio: float, position_size: float, contract_size: float) -> float:
    """Number of contracts, not rounded: ratio x size of the position / size of one contract."""
    return ratio * position_size / contract_size
