"""Market: what the book's prices can do. Made by `calibrate` from a book and its price history; small, plain arrays."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from riskpipe.domain.book import FloatArray

HORIZONS_HOURS = (1.0, 8.0, 24.0, 168.0)
HORIZON_LABELS = ("1h", "8h", "1d", "7d")


def _left_out() -> Any:  # noqa: ANN401  an array once the market is made
    return None


@dataclass(frozen=True)
class Market:
    """Snapshot prices, responses and basis statistics (i instruments, c assets, v venues).

    Depth is the USD of net flow per unit of relative price move (a 1% move takes depth / 100).
    """

    index_price: FloatArray  # [c] USD, S_c0
    index_beta: FloatArray  # [c] move per unit of index shock
    index_depth: FloatArray  # [c] USD; NaN = unknown, the contagion channel of that asset is off
    venue_price_ratio: FloatArray  # [v, c] a venue's own price over the index; exactly 1 where it has none
    mark_price: FloatArray  # [i] quote units, m_i0; options: units of the settlement asset
    basis: FloatArray  # [i] m_i0 S_q0 / S_u0 - 1; NaN of options, which have none
    depth_bid: FloatArray  # [i] USD, for sales; NaN only where nothing is held
    depth_ask: FloatArray  # [i] USD, for purchases
    basis_vol_1h: FloatArray  # [i] EWMA standard deviation of hourly basis changes; NaN = not measured
    basis_realised_vol: FloatArray  # [i, h] standard deviation of overlapping changes over each horizon; NaN = unknown
    basis_innovation_max: FloatArray  # [i] largest |change| / sigma seen in the look-back; NaN = not measured
    basis_observations: FloatArray  # [i] hourly changes used
    basis_mean: FloatArray  # [i] mean basis over the look-back; NaN = not measured
    basis_last: FloatArray  # [i] last basis of the history; NaN = none
    ewma_decay: float  # weight kept per hour
    # options; left out: there are none. Black-76 at these, undiscounted, gives the mark
    option_forward: FloatArray = field(default_factory=_left_out)  # [i] forward of the expiry, quote units; NaN else
    option_vol: FloatArray = field(default_factory=_left_out)  # [i] implied volatility, a year; NaN else

    def __post_init__(self) -> None:
        """Fill in what is left out."""
        for name in ("option_forward", "option_vol"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, np.full(len(self.mark_price), np.nan))


__all__ = ["HORIZONS_HOURS", "HORIZON_LABELS", "Market"]
