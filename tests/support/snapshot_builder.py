"""A minimal valid snapshot of two venues, with any table or header key replaced, written as the format's files.

Venue `alpha`: linear perpetual and future in USDT, margin tiers, haircut collateral, a listed fund. Venue `beta`: an
inverse perpetual settled in BTC, with its own price of USDT. Accounts: a cross hedger on each venue with one owner,
an isolated one, a borrower, a spot-only one.
"""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from riskpipe.domain.tables import TABLES
from riskpipe.errors import InputRefused
from riskpipe.ingest.assemble import assemble
from riskpipe.ingest.cast import ARROW_TYPES
from riskpipe.ingest.read import read_snapshot

Rows = list[dict[str, Any]]

HEADER: dict[str, Any] = {
    "format": "riskpipe-snapshot",
    "version": 1,
    "as_of": "2024-08-05T00:00:00Z",
    "numeraire": "USD",
    "source": "tests",
}


def rows() -> dict[str, Rows]:
    """Return the rows of every table, fresh copies."""
    return {
        "accounts": [
            {
                "account_id": "a1",
                "venue": "alpha",
                "kind": "margin",
                "entity_id": "fund-x",
                "segment": "pro",
                "weight": 1.0,
            },
            {"account_id": "a2", "venue": "alpha", "kind": "margin", "segment": "retail", "weight": 10.0},
            {"account_id": "a3", "venue": "alpha", "kind": "margin"},
            {"account_id": "b1", "venue": "beta", "kind": "margin", "margin_mode": "cross", "entity_id": "fund-x"},
            {"account_id": "b2", "venue": "beta", "kind": "margin", "liquidation_exempt": True},
        ],
        "balances": [
            {"account_id": "a1", "asset": "USDT", "quantity": 100_000.0},
            {"account_id": "a1", "asset": "BTC", "quantity": 1.0},
            {"account_id": "a2", "asset": "USDT", "quantity": 500.0},
            {"account_id": "a3", "asset": "BTC", "quantity": 2.0},
            {"account_id": "a3", "asset": "USDT", "quantity": -20_000.0},
            {"account_id": "b1", "asset": "BTC", "quantity": 3.0},
            {"account_id": "b2", "asset": "USDT", "quantity": 50.0},
        ],
        "positions": [
            {"account_id": "a1", "instrument_id": "BTC-PERP", "quantity": -4.0, "entry_price": 52_000.0},
            {"account_id": "a1", "instrument_id": "BTC-FUT", "quantity": 2.0, "entry_price": 51_000.0},
            {"account_id": "a2", "instrument_id": "BTC-PERP", "quantity": 0.2, "entry_price": 50_500.0},
            {
                "account_id": "a2",
                "instrument_id": "BTC-PERP",
                "quantity": 0.1,
                "entry_price": 49_000.0,
                "isolated_margin": 800.0,
            },
            {"account_id": "b1", "instrument_id": "BTC-INV", "quantity": 1_000.0, "entry_price": 50_000.0},
        ],
        "instruments": [
            instrument("BTC-PERP", "alpha", fund="alpha-fund"),
            instrument("BTC-FUT", "alpha", kind="future", expiry="2024-09-27T08:00:00+00:00"),
            instrument(
                "BTC-INV",
                "beta",
                quote_asset="USD",
                settlement_asset="BTC",
                multiplier=100.0,
                is_inverse=True,
                tier_schedule="t2",
            ),
        ],
        "prices": [
            {"asset": "BTC", "index_price": 50_000.0, "index_beta": 1.0, "depth_usd_1pct": 2e7},
            {"asset": "USDT", "index_price": 0.999, "index_beta": 0.0},
            {"asset": "USDT", "venue": "beta", "index_price": 0.998},
        ],
        "quotes": [
            {
                "instrument_id": "BTC-PERP",
                "mark_price": 50_010.0,
                "depth_usd_1pct": 1e7,
                "open_interest": 4.0,
                "funding_rate": 1e-4,
            },
            {"instrument_id": "BTC-FUT", "mark_price": 50_300.0, "adv_usd": 1e9, "daily_vol": 0.03},
            {"instrument_id": "BTC-INV", "mark_price": 49_990.0},
        ],
        "depth": [
            {"instrument_id": "BTC-INV", "side": side, "distance_bps": distance, "cumulative_usd": usd}
            for side, level in (("bid", 1.0), ("ask", 2.0))
            for distance, usd in ((50.0, 1e6 * level), (100.0, 3e6 * level), (200.0, 9e6 * level))
        ],
        "margin_tiers": [
            {"tier_schedule": "t1", "floor": 0.0, "initial_rate": 0.02, "maintenance_rate": 0.01},
            {
                "tier_schedule": "t1",
                "floor": 50_000.0,
                "initial_rate": 0.05,
                "maintenance_rate": 0.02,
                "deduction": 500.0,
            },
            {"tier_schedule": "t1", "floor": 250_000.0, "initial_rate": 0.1, "maintenance_rate": 0.05},
            {"tier_schedule": "t2", "floor": 0.0, "initial_rate": 0.01, "maintenance_rate": 0.005},
        ],
        "collateral": [
            {"venue": "alpha", "asset": "USDT", "floor_usd": 0.0, "haircut": 0.0, "borrow_maintenance_rate": 0.03},
            {"venue": "alpha", "asset": "BTC", "floor_usd": 0.0, "haircut": 0.05},
            {"venue": "alpha", "asset": "BTC", "floor_usd": 1e6, "haircut": 0.2},
            {"venue": "beta", "asset": "BTC", "floor_usd": 0.0, "haircut": 0.0},
        ],
        "insurance_funds": [{"fund": "alpha-fund", "venue": "alpha", "asset": "USDT", "balance": 1e6}],
        "realised_liquidations": [],
    }


def instrument(instrument_id: str, venue: str, **overrides: Any) -> dict[str, Any]:
    """Return an instrument row: a linear BTC perpetual of one coin unless overridden."""
    return {
        "instrument_id": instrument_id,
        "venue": venue,
        "kind": "perpetual",
        "underlying": "BTC",
        "quote_asset": "USDT",
        "settlement_asset": "USDT",
        "multiplier": 1.0,
        "is_inverse": False,
        "tier_schedule": "t1",
    } | overrides


def arrow_table(name: str, table_rows: Rows) -> pa.Table:
    """Return rows as an Arrow table with every column of the format."""
    columns = {}
    for column in TABLES[name].columns:
        values = [row.get(column.name) for row in table_rows]
        if column.type == "time":
            columns[column.name] = pa.array(values, pa.string()).cast(ARROW_TYPES["time"])
        else:
            columns[column.name] = pa.array(values, ARROW_TYPES[column.type])
    return pa.table(columns)


def write_snapshot(
    directory: Path, *, header: dict[str, Any] | None = None, without: tuple[str, ...] = (), **tables: Rows | pa.Table
) -> str:
    """Write the minimal snapshot, with header keys and whole tables replaced, and return its location.

    Parameters
    ----------
    directory: created if absent.
    header: keys of snapshot.json to replace.
    without: tables not written.
    tables: rows (or an Arrow table, written as it is) to use for the table of that name.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "snapshot.json").write_text(json.dumps(HEADER | (header or {})))
    for name, default in rows().items():
        if name in without:
            continue
        content = tables.get(name, default)
        table = content if isinstance(content, pa.Table) else arrow_table(name, content)
        pq.write_table(table, directory / f"{name}.parquet")
    return str(directory)


def assembled(path: Path, tables: dict[str, Any], **options: Any):
    """Write tables as a snapshot and assemble it: the book, and findings."""
    return assemble([read_snapshot(write_snapshot(path, **tables))], **options)


def problems_of(path: Path, tables: dict[str, Any], **options: Any) -> list[str]:
    """Return why such a snapshot is refused."""
    with pytest.raises(InputRefused) as refusal:
        assembled(path, tables, **options)
    return refusal.value.problems


def scaled_account(rows_: dict[str, Rows], n_copies: int) -> dict[str, Rows]:
    """Add healthy copies of account a1 (`copy-0`, ...), so that one bad account stays under the quarantine limit."""
    for copy in range(n_copies):
        account_id = f"copy-{copy}"
        rows_["accounts"].append({"account_id": account_id, "venue": "alpha", "kind": "margin"})
        rows_["balances"].append({"account_id": account_id, "asset": "USDT", "quantity": 1e6})
        rows_["positions"].append(
            {"account_id": account_id, "instrument_id": "BTC-PERP", "quantity": (-1) ** copy * 50.0, "entry_price": 5e4}
        )
    return rows_
