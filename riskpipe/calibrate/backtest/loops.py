"""Rolling tails, compiled."""

import numpy as np

from riskpipe.compiled import compiled
from riskpipe.domain.book import FloatArray


@compiled
def rolling_lowest_mean(values: FloatArray, window: int, count: float, ordered: FloatArray, means: FloatArray) -> None:
    """Mean of the lowest `count` of the last `window` values, at each of them [t]; only whole windows are written.

    values: without NaN; count: may have a fraction, for which the value on the boundary counts in part. `ordered`
    [window] is scratch: it holds the window in order, from which each step takes one value and into which it puts one.
    """
    n_in = 0
    whole = int(count)
    for t in range(len(values)):
        at = n_in
        if n_in == window:
            for k in range(np.searchsorted(ordered, values[t - window]), window - 1):
                ordered[k] = ordered[k + 1]
            at = window - 1
        x = values[t]
        while at > 0 and ordered[at - 1] > x:
            ordered[at] = ordered[at - 1]
            at -= 1
        ordered[at] = x
        n_in = min(window, n_in + 1)
        if n_in == window:
            total = 0.0
            for k in range(whole):
                total += ordered[k]
            if whole < window:
                total += (count - whole) * ordered[whole]
            means[t] = total / count
