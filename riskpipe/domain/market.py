"""Market: what the book's prices can do. Made by `calibrate` from a book and its price history; small, plain arrays."""

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from riskpipe.domain.book import FloatArray

HORIZONS_HOURS = (1.0, 8.0, 24.0, 168.0)
HORIZON_LABELS = ("1h", "8h", "1d", "7d")
# how basis volatility is estimated: fitted models, then naive ones; "realised" is over each horizon's own changes
ESTIMATORS = ("reverting_mixture", "garch_t", "ewma", "realised_168h", "realised_24h", "realised")
TAILS = {"lower 1%": 0.01, "lower 5%": 0.05, "upper 5%": 0.95, "upper 1%": 0.99}  # quantiles put to the test
PASSES, FAILS, NOT_CHECKED = "passes", "fails", "not checked"  # verdicts on forecasts
WIDENS, STEADY = "widens", "steady"  # what a spread does; or it is not checked

_BY_HORIZON = {"basis_vol", "basis_news_intercept", "basis_news_slope", "basis_news_first_hour"}


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
    # what scenarios do to basis volatility; left out or NaN: no estimator was fitted (see calibrate.surface)
    basis_vol: FloatArray = field(default_factory=_left_out)  # [i, h] of the estimator used, from as_of on
    basis_news_mean: FloatArray = field(default_factory=_left_out)  # [i] change expected of the next hour
    basis_news_max: FloatArray = field(default_factory=_left_out)  # [i] innovation beyond which the surface is cut
    basis_news_intercept: FloatArray = field(default_factory=_left_out)  # [i, h] variance after an hour without news
    basis_news_slope: FloatArray = field(default_factory=_left_out)  # [i, h] variance for each squared unit of news
    basis_news_first_hour: FloatArray = field(default_factory=_left_out)  # [i, h] variance for each unit in hour one
    # the next hour's variance over its average as a line in the index move: at rest, per unit of fall and of rise
    basis_index_calm: FloatArray = field(default_factory=_left_out)  # [i]
    basis_index_fall: FloatArray = field(default_factory=_left_out)  # [i] 0: not significant
    basis_index_rise: FloatArray = field(default_factory=_left_out)  # [i] 0: not significant
    basis_index_fall_max: FloatArray = field(default_factory=_left_out)  # [i] largest fall of the look-back, a size
    basis_index_rise_max: FloatArray = field(default_factory=_left_out)  # [i]

    def __post_init__(self) -> None:
        """Fill in what is left out."""
        n_instruments = len(self.mark_price)
        for item in fields(self):
            if getattr(self, item.name) is None:
                shape = (n_instruments, len(HORIZONS_HOURS)) if item.name in _BY_HORIZON else (n_instruments,)
                object.__setattr__(self, item.name, np.full(shape, np.nan))


__all__ = [
    "ESTIMATORS",
    "FAILS",
    "HORIZONS_HOURS",
    "HORIZON_LABELS",
    "NOT_CHECKED",
    "PASSES",
    "STEADY",
    "TAILS",
    "WIDENS",
    "Market",
]
