"""AccountPart: what a block tells about the accounts it hit; integer counts and maxima, so that order cannot matter."""

from dataclasses import dataclass, fields

import numpy as np

from riskpipe.domain.book import FloatArray, OffsetArray


@dataclass(frozen=True)
class AccountPart:
    """Accounts hit in one block, one row per (account, set), in ascending order (n rows)."""

    account_ix: OffsetArray  # [n]
    set_ix: OffsetArray  # [n]
    liquidated_scenarios: OffsetArray  # [n] scenarios of the block's central variant that close one of its pools
    shortfall_max: FloatArray  # [n] USD, >= 0, the largest over those scenarios, weighted

    def columns(self) -> dict[str, np.ndarray]:
        """Return the columns by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
