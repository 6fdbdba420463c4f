"""Innovations: what a history says about joint hourly moves of indices and bases, and where volatility stands now.

A series is the log price of an asset or the basis of an instrument. Made by `calibrate`, drawn from by `scenarios`.
"""

from dataclasses import dataclass

from riskpipe.domain.book import FloatArray, OffsetArray


@dataclass(frozen=True)
class Innovations:
    """Standardised innovations by hour, and the state from which each series goes on (k series, t hours).

    A series moves in an hour by mean + sqrt(h) z, with h = sum_m weight_m v_m. Then each component becomes
    decay_m v_m + (1 - decay_m) h min(z^2, cap^2) / (the mean of that over the hours), so that drawing hours again
    neither raises nor lowers the variance of a path. mean = -sum_j pull_j distance_j, each distance at most
    pull_cap sqrt(h); distance_j, of the level from an average of its own, becomes level_decay_j (distance_j + move).
    """

    asset: OffsetArray  # [k] column of the asset whose log price moves; -1 = the series is a basis
    instrument: OffsetArray  # [k] column of the instrument whose basis moves; -1 = the series is an index
    market: int  # the series that stands for the index axis
    hour_us: OffsetArray  # [t] microseconds since 1970, ascending: hours in which every series has an innovation
    z: FloatArray  # [t, k] innovations over sqrt(h), centred
    decay: FloatArray  # [k, m]
    weight: FloatArray  # [k, m]
    component: FloatArray  # [k, m] v_m now
    cap: FloatArray  # [k] may be infinite
    level_decay: FloatArray  # [k, j]
    pull: FloatArray  # [k, j]
    distance: FloatArray  # [k, j] now
    pull_cap: FloatArray  # [k] may be infinite

    def __len__(self) -> int:
        """Count series."""
        return len(self.asset)
