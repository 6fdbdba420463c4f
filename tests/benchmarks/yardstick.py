"""The yardstick: what one core can do at best with one multiply-add per position and scenario."""

import numpy as np
from numba import njit

from riskpipe.liquidation.prices import aligned_ones

PAGE = 4096


@njit(error_model="numpy", _nrt=False, nogil=True)
def bare_loop(health, size, offset, instrument, price):
    """A streamed multiply-add over cached price rows, nothing else: no pools, no tiers, no collateral."""
    for q in range(len(size)):
        a, b, row = size[q], offset[q], price[instrument[q]]
        for s in range(len(health)):
            health[s] += a * row[s] - b


class Yardstick:
    """The bare loop over a book's positions, with random price rows of n scenarios."""

    def __init__(self, book, n_scenarios: int) -> None:
        rng = np.random.default_rng(0)
        self.size = book.position_quantity * book.instrument_multiplier[book.position_instrument]
        self.offset = self.size * 0.99
        self.instrument = np.ascontiguousarray(book.position_instrument).view(np.ndarray)
        # the loop's rate depends on where its rows lie, by as much as a half: here they lie best, in every run
        rows = aligned_ones((book.n_instruments + 1, n_scenarios), np.dtype(np.float64), PAGE)
        self.health, self.price = rows[0], rows[1:]
        self.price[:] = rng.uniform(0.5, 1.5, self.price.shape)

    @property
    def work(self) -> int:
        """Position-scenarios of one pass."""
        return len(self.size) * len(self.health)

    def run(self) -> None:
        bare_loop(self.health, self.size, self.offset, self.instrument, self.price)
