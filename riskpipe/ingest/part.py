"""Part: one validated snapshot on its way into a book: the rows that stay, with names already turned into rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from riskpipe.domain.book import FloatArray, IntArray


@dataclass(frozen=True)
class Part:
    """Rows that passed validation (a accounts, b balance rows, q position rows).

    Attributes
    ----------
    tables: every table but balances and positions, without the rows that were quarantined or dropped.
    assets: names behind `balance_asset`.
    balance_account, balance_asset: [b] rows of `tables["accounts"]` and of `assets`.
    balance_quantity: [b] units of the asset, negative = borrowed.
    balance_threshold: [b] the account's own liquidation threshold; NaN = none.
    position_account, position_instrument: [q] rows of `tables["accounts"]` and `tables["instruments"]`.
    position_quantity: [q] contracts, signed.
    position_entry_price: [q] quote units.
    position_isolated_margin: [q] units of the settlement asset; NaN = margined in the account's cross pool.
    """

    uri: str
    as_of: datetime
    numeraire: str
    tables: Mapping[str, pa.Table]
    assets: pa.Array
    balance_account: IntArray
    balance_asset: IntArray
    balance_quantity: FloatArray
    balance_threshold: FloatArray
    position_account: IntArray
    position_instrument: IntArray
    position_quantity: FloatArray
    position_entry_price: FloatArray
    position_isolated_margin: FloatArray
