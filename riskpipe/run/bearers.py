"""Bearers: scenarios computed again for whom auto-deleveraging takes its money from, account by account."""

import numpy as np

from riskpipe.domain.book import Book, FloatArray
from riskpipe.domain.scenarios import ScenarioSet
from riskpipe.errors import ComputeError
from riskpipe.liquidation.bearers import add_bearers
from riskpipe.liquidation.kernel import Ended, Kernel
from riskpipe.run.contributors import by_segment, has_one_owner, listed

TOLERANCE = 1e-9


class Bearers:
    """What accounts bear of auto-deleveraging: a weighted sum over the scenarios added."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._cost = np.zeros(book.n_funds)
        self._n_scenarios = 0
        self.by_account: FloatArray = np.zeros(book.n_accounts)
        """USD of all accounts that a row stands for, [a]."""

    def add(self, ended: Ended, weight: FloatArray, adl_loss: FloatArray) -> None:
        """Add lanes: `weight` [lane] in the sum, `adl_loss` [lane, f] USD as the cube has it.

        Raises ComputeError where bearers do not add up to the cube's cost, to 1e-9 of the largest.
        """
        found = add_bearers(ended, weight, self.by_account).T
        if not np.allclose(found, adl_loss, rtol=TOLERANCE, atol=TOLERANCE * float(adl_loss.max(initial=0.0))):
            off = float(np.abs(found - adl_loss).max())
            raise ComputeError(
                f"what winners give up in a scenario computed once more is {off:.6g} USD off the cube's cost of "
                "auto-deleveraging. The store or this machine's numerics have changed since: delete the run and start "
                "it again"
            )
        self._cost += weight @ adl_loss
        self._n_scenarios += len(weight)

    def values(self) -> dict[str, np.ndarray]:
        """Return the variables of one view of /adl by name."""
        book = self._book
        return {
            "scenarios": np.array(float(self._n_scenarios)),
            "cost": self._cost,
            "segment_cost": by_segment(book, self.by_account),
            "several_cost": np.array(float(self.by_account[~has_one_owner(book)].sum())),
            "bearers": np.array(float(book.account_weight[self.by_account > 0.0].sum())),
            **listed(book, self.by_account, "cost")[0],
        }


def worst_scenario(scenarios: ScenarioSet, adl_loss: FloatArray) -> int | None:
    """Return the central variant's scenario in which winners of all funds together lose most, of equals the first; None
    where they lose nothing in any. `adl_loss` [scenario, f] is the cube's.
    """  # noqa: D205
    total = np.where(scenarios.variant == 0, adl_loss.sum(axis=1), 0.0)
    row = int(np.argmax(total)) if len(total) else 0
    return row if len(total) and total[row] > 0.0 else None


def worst_bearers(kernel: Kernel, scenarios: ScenarioSet, adl_loss: FloatArray) -> tuple[Bearers, int | None]:
    """Compute the worst scenario again; returns who bears it, nobody where there is none, and its row.

    Raises ComputeError where the replay is not what the cube has.
    """
    found, row = Bearers(kernel.book), worst_scenario(scenarios, adl_loss)
    if row is not None:
        kernel.run(scenarios.take(np.array([row])), lambda ended: found.add(ended, np.ones(1), adl_loss[row : row + 1]))
    return found, row
