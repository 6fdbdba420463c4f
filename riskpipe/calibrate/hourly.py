"""Basis series on whole hours, as models of volatility want them: a missing hour is a gap, not a shorter way."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from riskpipe.calibrate.basis import BasisSeries
from riskpipe.calibrate.history import HOUR_US, usual_minute
from riskpipe.domain.book import FloatArray, OffsetArray


@dataclass(frozen=True)
class HourlySeries:
    """Guarded series by hour up to as_of (i instruments, t hours); NaN = gap."""

    changes: FloatArray  # [i, t] change of the basis over the hour, fraction
    level: FloatArray  # [i, t] basis
    index_move: FloatArray  # [i, t] relative move of the index over the hour

    def __len__(self) -> int:
        """Count instruments."""
        return len(self.changes)


def hourly_series(series: BasisSeries, as_of: datetime) -> tuple[HourlySeries, int]:
    """Return a series on whole hours, and how many observations stand between them and are left out.

    The hours are those of the minute at which most instants stand, from the first instant to the last one up to
    `as_of`: hours after the end of the history are gaps, too.
    """
    ts_us = series.ts_us
    n_instruments = series.basis.shape[1]
    if len(ts_us) == 0:
        return HourlySeries(*(np.empty((n_instruments, 0)) for _ in range(3))), 0
    is_whole = ts_us % HOUR_US == usual_minute(ts_us)
    n_between = int((~np.isnan(series.basis[~is_whole])).sum())
    kept = ts_us[is_whole]
    end_us = round(as_of.timestamp() * 1e6)
    n_hours = max(int(kept[-1] - kept[0]), end_us - int(kept[0])) // HOUR_US + 1
    at = (kept - kept[0]) // HOUR_US
    index = _placed(series.index[is_whole], at, n_hours)
    move = np.full_like(index, np.nan)
    move[:, 1:] = index[:, 1:] / index[:, :-1] - 1.0
    changes, level = (_placed(values[is_whole], at, n_hours) for values in (series.changes, series.basis))
    return HourlySeries(changes, level, move), n_between


def _placed(values: FloatArray, at: OffsetArray, n_hours: int) -> FloatArray:
    """Return rows [t, i] at their hours, instruments first."""
    placed = np.full((values.shape[1], n_hours), np.nan)
    placed[:, at] = values.T
    return placed
