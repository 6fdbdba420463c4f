"""Links: which row every name in a snapshot stands for."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from riskpipe.domain.book import FloatArray, IntArray
from riskpipe.domain.snapshot import Snapshot
from riskpipe.ingest.columns import floats, nulls, one_piece, rows_of, unique_names
from riskpipe.ingest.names import NameIndex


@dataclass(frozen=True)
class Links:
    """Rows behind the names of one snapshot as read; -1 where a name is null or unknown.

    `assets` are all that prices, collateral or instruments mention, and the numeraire; `venues` all venues mentioned.
    """

    assets: pa.Array
    venues: pa.Array
    account_venue: IntArray
    balance_account: IntArray
    balance_asset: IntArray
    position_account: IntArray
    position_instrument: IntArray
    instrument_venue: IntArray
    instrument_underlying: IntArray
    instrument_quote: IntArray
    instrument_settlement: IntArray
    quote_instrument: IntArray
    depth_instrument: IntArray
    price_asset: IntArray
    price_venue: IntArray
    fund_asset: IntArray
    numeraire: int

    @property
    def n_assets(self) -> int:
        """Count the known assets."""
        return len(self.assets)


def link(snapshot: Snapshot, account_index: NameIndex) -> Links:
    """Find the row behind every name of a snapshot; `account_index` holds its account_ids."""
    tables = snapshot.tables
    accounts, instruments, prices = tables["accounts"], tables["instruments"], tables["prices"]
    assets = unique_names(
        prices.column("asset"),
        tables["collateral"].column("asset"),
        *(instruments.column(name) for name in ("underlying", "quote_asset", "settlement_asset")),
        pa.array([snapshot.numeraire], pa.string()),
    )
    venues = unique_names(
        *(
            tables[name].column("venue")
            for name in ("instruments", "accounts", "insurance_funds", "prices", "collateral")
        )
    )
    with ThreadPoolExecutor() as threads:
        owners = {
            name: threads.submit(account_index.rows_of, one_piece(tables[name].column("account_id")))
            for name in ("balances", "positions")
        }
        return Links(
            assets=assets,
            venues=venues,
            account_venue=rows_of(accounts.column("venue"), venues),
            balance_asset=rows_of(tables["balances"].column("asset"), assets),
            position_instrument=rows_of(
                tables["positions"].column("instrument_id"), instruments.column("instrument_id")
            ),
            instrument_venue=rows_of(instruments.column("venue"), venues),
            instrument_underlying=rows_of(instruments.column("underlying"), assets),
            instrument_quote=rows_of(instruments.column("quote_asset"), assets),
            instrument_settlement=rows_of(instruments.column("settlement_asset"), assets),
            quote_instrument=rows_of(tables["quotes"].column("instrument_id"), instruments.column("instrument_id")),
            depth_instrument=rows_of(tables["depth"].column("instrument_id"), instruments.column("instrument_id")),
            price_asset=rows_of(prices.column("asset"), assets),
            price_venue=rows_of(prices.column("venue"), venues),
            fund_asset=rows_of(tables["insurance_funds"].column("asset"), assets),
            numeraire=int(rows_of(pa.array([snapshot.numeraire], pa.string()), assets)[0]),
            balance_account=owners["balances"].result(),
            position_account=owners["positions"].result(),
        )


def usable_index_prices(snapshot: Snapshot, links: Links) -> FloatArray:
    """Return each known asset's venue-null price [c], USD; 1 for the numeraire, NaN where there is no usable row."""
    prices = snapshot.tables["prices"]
    values = floats(prices, "index_price")
    with np.errstate(invalid="ignore"):
        is_usable = nulls(prices, "venue") & (links.price_asset >= 0) & np.isfinite(values) & (values > 0)
    result = np.full(links.n_assets, np.nan)
    result[links.price_asset[is_usable]] = values[is_usable]
    result[links.numeraire] = 1.0
    return result


def usable_marks(snapshot: Snapshot, links: Links) -> FloatArray:
    """Return each instrument's mark price [i], quote units; NaN where there is no usable quote."""
    values = floats(snapshot.tables["quotes"], "mark_price")
    with np.errstate(invalid="ignore"):
        is_usable = (links.quote_instrument >= 0) & np.isfinite(values) & (values > 0)
    result = np.full(snapshot.tables["instruments"].num_rows, np.nan)
    result[links.quote_instrument[is_usable]] = values[is_usable]
    return result
