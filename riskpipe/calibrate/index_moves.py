"""What a move of the index says about the basis in the hour after, beyond what the model of its volatility knows.

Squares of standardised innovations are regressed on the index's fall and rise in the hour before:

    z_(t+1)^2 = a + b_fall max(0, -r_t) + b_rise max(0, r_t) + e       squares at most 64, White's standard errors

so that over its average, m, the variance of the hour after a fall r is (a + b_fall |r|) / m times what the model
forecasts: less after a calm hour, which is left alone, and more after a large move. Only one hour: on recorded
perpetuals the coefficient of the next hour is significant for every symbol over years, and nothing is left of it after
some hours that the model's own memory of the larger innovations does not carry on. Estimated before 2022 and applied
after, squared innovations in the hour after index moves beyond three deviations are 0.8 to 1.4 times the forecast, by
symbol, instead of 1.9 to 2.6 times.
"""

from dataclasses import dataclass

import numpy as np

from riskpipe.calibrate.estimators.protocol import WIDEST_JUDGED
from riskpipe.domain.book import FloatArray

MINIMUM_PAIRS = 500
SIGNIFICANT_T = 1.96


@dataclass(frozen=True)
class IndexResponse:
    """The next hour's basis variance over its average, as a line in the index move, by direction.

    `calm` is its value after an hour in which the index stood still, `fall` and `rise` its slopes per unit of move, and
    `fall_t` and `rise_t` their t-values: estimates, NaN = not measured. `fall_max` and `rise_max` are the largest moves
    seen, sizes.
    """

    calm: float = np.nan
    fall: float = np.nan
    fall_t: float = np.nan
    fall_max: float = 0.0
    rise: float = np.nan
    rise_t: float = np.nan
    rise_max: float = 0.0

    @property
    def used_fall(self) -> float:
        """The coefficient of falls where it is significant and positive, else 0."""
        return self.fall if self.fall_t > SIGNIFICANT_T else 0.0

    @property
    def used_rise(self) -> float:
        """The coefficient of rises where it is significant and positive, else 0."""
        return self.rise if self.rise_t > SIGNIFICANT_T else 0.0


def index_response(z: FloatArray, index_move: FloatArray) -> IndexResponse:
    """Estimate how index moves widen the basis in the hour after.

    Arguments
    ---------
    z: [t] standardised innovations of the basis by hour; NaN and infinities are left out.
    index_move: [t] relative moves of the index in the same hours, signed; NaN = gap.

    Not measured with fewer than 500 pairs, where the index never falls or never rises, or where the basis never moves.
    """
    moves = index_move[np.isfinite(index_move)]
    fall_max = float(max(0.0, -moves.min(initial=0.0)))
    rise_max = float(max(0.0, moves.max(initial=0.0)))
    nothing = IndexResponse(fall_max=fall_max, rise_max=rise_max)
    before, after = index_move[:-1], z[1:]
    is_pair = np.isfinite(before) & np.isfinite(after)
    before, squares = before[is_pair], np.minimum(after[is_pair] ** 2, WIDEST_JUDGED**2)
    falls, rises = np.maximum(-before, 0.0), np.maximum(before, 0.0)
    if len(before) < MINIMUM_PAIRS or not falls.any() or not rises.any() or not squares.any():
        return nothing
    units = np.array([1.0, falls.mean(), rises.mean()])  # any; the normal equations then stay well conditioned
    rows = np.stack([np.ones(len(before)), falls, rises]) / units[:, None]
    inverse = np.linalg.inv((rows[:, None] * rows[None]).sum(axis=-1))
    slopes = (inverse * (rows * squares).sum(axis=-1)).sum(axis=-1)
    scores = rows * (squares - (slopes[:, None] * rows).sum(axis=0))
    middle = (scores[:, None] * scores[None]).sum(axis=-1)
    errors = np.sqrt(np.einsum("ij,jk,ik->i", inverse, middle, inverse))
    if not (errors > 0.0).all():
        return nothing
    calm, fall, rise = (slopes / units / squares.mean()).tolist()
    _, fall_t, rise_t = (slopes / errors).tolist()
    return IndexResponse(calm, fall, fall_t, fall_max, rise, rise_t, rise_max)
