"""What a spread should be now, and how much of its slow movement is common to all bases."""

import numpy as np

from riskpipe.calibrate.spreads.common_factor import MINIMUM_HOURS, common_factor, slow_levels
from riskpipe.calibrate.spreads.pairs import Pairs, SpreadKind
from riskpipe.calibrate.spreads.series import SpreadSeries, beyond_carry
from riskpipe.domain.book import FloatArray

_AGAINST_INDEX = (SpreadKind.PERPETUAL_INDEX, SpreadKind.FUTURE_INDEX)


def fair_spread(series: SpreadSeries, pairs: Pairs) -> FloatArray:
    """Spread that there should be at the end of a series [n]; NaN = not known.

    0 where both legs are one thing; what its carry over the look-back makes it where the spread has an end; the median
    of an asset ratio, whose price holds the rewards.
    """
    fair = np.zeros(len(pairs))
    if len(series.spread) == 0:
        has_end = [kind in {SpreadKind.FUTURE_INDEX, SpreadKind.CALENDAR} for kind in pairs.kind]
        is_ratio = [kind == SpreadKind.ASSET_RATIO for kind in pairs.kind]
        return np.where(np.array(has_end, dtype=np.bool_) | np.array(is_ratio, dtype=np.bool_), np.nan, fair)
    carried = series.spread - beyond_carry(series)
    for row, kind in enumerate(pairs.kind):
        known = np.flatnonzero(~np.isnan(series.spread[:, row]))
        if kind == SpreadKind.ASSET_RATIO:
            fair[row] = np.median(series.spread[known, row]) if len(known) else np.nan
        elif kind in {SpreadKind.FUTURE_INDEX, SpreadKind.CALENDAR}:
            fair[row] = carried[known[-1], row] if len(known) else np.nan
    return fair


def common_share(series: SpreadSeries, pairs: Pairs) -> FloatArray:
    """Share of each slow level's variance that the common factor of all bases explains [n]; NaN = not measured.

    The factor is that of the contracts' bases against their indices; of any other pair the share is the squared
    correlation of its slow level with it, over at least 500 hours.
    """
    share = np.full(len(pairs), np.nan)
    bases = pairs.of(*_AGAINST_INDEX)
    if len(series.spread) == 0 or len(bases) == 0:
        return share
    beyond = beyond_carry(series)
    found = common_factor(beyond[:, bases])
    share[bases] = found.explained
    others = np.setdiff1d(np.arange(len(pairs)), bases)
    slow = slow_levels(beyond[:, others])
    for row, level in zip(others.tolist(), slow.T, strict=True):
        is_pair = np.isfinite(level) & np.isfinite(found.factor)
        if is_pair.sum() < MINIMUM_HOURS:
            continue
        x, y = level[is_pair] - level[is_pair].mean(), found.factor[is_pair] - found.factor[is_pair].mean()
        squares = float((x * x).sum() * (y * y).sum())
        # a level of rounding errors alone is none
        if float(np.ptp(level[is_pair])) > 1e-12 and squares > 0.0:
            share[row] = min(1.0, float((x * y).sum()) ** 2 / squares)
    return share
