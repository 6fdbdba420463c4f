"""CascadePath: the prices of one scenario, round by round, and what became of some pools in it."""

from collections.abc import Mapping
from dataclasses import dataclass

from riskpipe.domain.book import FloatArray


@dataclass(frozen=True)
class CascadePath:
    """One scenario's cascade (r rounds, i instruments, c assets); place 0 of each array is the shocked market.

    Place n > 0 is what the flow of rounds 1 to n has made of it: the prices that round n + 1 tests pools at, and the
    last place those at which the scenario ends.
    """

    asset: FloatArray  # [r + 1, c] USD
    mark: FloatArray  # [r + 1, i] what the venue's mark shows, quote units
    forward: FloatArray  # [r + 1, i] of options, quote units; NaN else
    flow: FloatArray  # [r + 1, i] USD of forced flow so far at the shocked mark; sales are negative
    dislocation: FloatArray  # [r + 1, i] the mark's response to its own flow, a share
    own: FloatArray  # [r + 1, i] move of the contract's own book by its flow, a share
    own_average: FloatArray  # [r + 1, i] mean of that move along the flow
    index: FloatArray  # [r + 1, c] move of each index by flow, a share
    index_average: FloatArray  # [r + 1, c]
    closed_in: Mapping[int, int]
    """Round in which a watched pool was closed, or a watched loan first liquidated; those left out never were."""
    loan_left: Mapping[int, FloatArray]
    """Of watched loans: shares of debt and of collateral left, [r + 1, 2]."""
    is_cut_off: bool
    """The cascade was stopped at max_rounds with pools still failing."""
    removed: FloatArray | None = None
    """[i, 2] share of each winning long, short that auto-deleveraging removes; None = not asked for."""

    @property
    def n_rounds(self) -> int:
        """Count the rounds in which some pool was closed."""
        return len(self.asset) - 1
