"""Cubes of loans by hand: what a loan is, and the three numbers by which a cube knows it."""

from dataclasses import dataclass

import numpy as np
from support.hand_made import hand_made

from riskpipe.margin.lending import health_factor, toxic_fall


@dataclass(frozen=True)
class HandLoan:
    """A loan against one asset: USD, fractions."""

    collateral: float
    threshold: float
    bonus: float
    debt: float
    weight: float = 1.0
    venue: str = "alpha"

    @property
    def health(self) -> float:
        """Health factor."""
        return health_factor(self.collateral * self.threshold, self.debt)

    @property
    def toxic_fall(self) -> float:
        """Fall beyond which a liquidation leaves debt; at once where nothing is held."""
        return toxic_fall(self.health, self.threshold, self.bonus) if self.collateral > 0.0 else 0.0


def loan_cube(loans, *, axes=None, **changes):
    """A cube of these loans and one account without debt, on a venue of its own."""
    values = {
        "accounts/debt": [*(loan.debt for loan in loans), 0.0],
        "accounts/health_factor": [*(loan.health for loan in loans), np.nan],
        "accounts/toxic_fall": [*(loan.toxic_fall for loan in loans), np.nan],
        "accounts/weight": [*(loan.weight for loan in loans), 5.0],
        "accounts/venue": np.array([*(loan.venue for loan in loans), "exchange"], object),
    }
    names = [f"a{n}" for n in range(len(loans) + 1)]
    return hand_made(axes or {"index_shock": [-0.1, 0.0]}, values | changes, account=names)
