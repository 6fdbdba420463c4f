"""Values cut where a single hour would decide everything."""

import numpy as np

from riskpipe.calibrate.estimators.protocol import WIDEST_JUDGED
from riskpipe.domain.book import FloatArray

_MEDIAN_TO_DEVIATION = 1.4826  # median absolute deviation to standard deviation, of the normal


def middle_and_scale(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Median and robust deviation (1.4826 x median absolute deviation) of columns of [t, n], NaN left out.

    Both NaN where a column has no value; the deviation is 0 where more than half of the values are the same.
    """
    n = values.shape[1]
    middle, scale = np.full(n, np.nan), np.full(n, np.nan)
    is_known = (~np.isnan(values)).any(axis=0)
    if is_known.any():
        known = values[:, is_known]
        middle[is_known] = np.nanmedian(known, axis=0)
        scale[is_known] = _MEDIAN_TO_DEVIATION * np.nanmedian(np.abs(known - middle[is_known]), axis=0)
    return middle, scale


def cut(values: FloatArray) -> FloatArray:
    """Values [t, n] with each column kept within 8 robust deviations of its median; NaN stays.

    A column whose robust deviation is 0 is left as it is: there is nothing to measure it by.
    """
    middle, scale = middle_and_scale(values)
    limit = np.where(scale > 0.0, WIDEST_JUDGED * scale, np.inf)
    return np.clip(values, middle - limit, middle + limit)
