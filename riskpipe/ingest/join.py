"""Join: several snapshots of one instant, one for each venue, as one.

`entity_id` is global, and so are assets: prices merge. Every other id (account, instrument, fund, tier schedule, venue)
belongs to one snapshot. A venue-null price that differs by more than a basis point from that of an earlier snapshot
becomes a row of the later snapshot's own venues, which then value collateral there; the earlier one stays venue-null.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from riskpipe.domain.findings import Findings, Reason, Severity
from riskpipe.domain.snapshot import Snapshot
from riskpipe.domain.tables import PRICES
from riskpipe.ingest.cast import arrow_schema
from riskpipe.ingest.columns import enumerate_some, rows_of, unique_names
from riskpipe.ingest.part import Part

PRICE_TOLERANCE = 1e-4
_ID_COLUMNS = (
    ("accounts", "account_id"),
    ("instruments", "instrument_id"),
    ("insurance_funds", "fund"),
    ("margin_tiers", "tier_schedule"),
)
_VENUE_TABLES = ("instruments", "accounts", "insurance_funds", "prices", "collateral")
_SHARED_COLUMNS = ("index_beta", "depth_usd_1pct")


def _ids(snapshot: Snapshot, table: str, column: str) -> pa.Array:
    return unique_names(snapshot.tables[table].column(column))


def _venues(snapshot: Snapshot) -> pa.Array:
    return unique_names(*(snapshot.tables[name].column("venue") for name in _VENUE_TABLES))


def join_problems(snapshots: Sequence[Snapshot]) -> Iterator[str]:
    """Find what keeps snapshots from being one book: another instant or numeraire, or an id in two of them."""
    first = snapshots[0]
    for index, snapshot in enumerate(snapshots):
        for earlier in snapshots[:index]:
            between = f"snapshots {earlier.uri} and {snapshot.uri}"
            if earlier is first and snapshot.as_of != first.as_of:
                instants = f"{first.as_of.isoformat()} and {snapshot.as_of.isoformat()}"
                yield f"{between} differ in as_of: {instants}. Join one instant"
            if earlier is first and snapshot.numeraire != first.numeraire:
                numeraires = f"{first.numeraire!r} and {snapshot.numeraire!r}"
                yield f"{between} differ in numeraire: {numeraires}. Convert one of them"
            for table, column in _ID_COLUMNS:
                yield from _shared(_ids(earlier, table, column), _ids(snapshot, table, column), column, between)
            yield from _shared(_venues(earlier), _venues(snapshot), "venue", between)


def _shared(earlier: pa.Array, later: pa.Array, column: str, between: str) -> Iterator[str]:
    both = later.filter(pa.array(rows_of(later, earlier) >= 0))
    if len(both):
        names = enumerate_some([repr(name) for name in both[:20].to_pylist()], len(both))
        yield f"{between} both hold {column} {names}. Only entity_id and assets may be shared: rename or remove one"


def _part_venues(part: Part) -> list[str]:
    tables = [part.tables[name].column("venue") for name in _VENUE_TABLES]
    return unique_names(*tables).to_pylist()


def _nan_as_none(record: dict[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in record.items()}


def merge_prices(parts: Sequence[Part], findings: Findings) -> pa.Table:
    """Merge the prices of snapshots, first come first kept (see the module's text).

    Parameters
    ----------
    parts: validated snapshots, in order; their usable prices only.
    findings: gets a warning for each later snapshot whose venue-null rows differ.

    Returns
    -------
    A table of the format's prices: one venue-null row for each asset that has any, and the venues' own rows.
    """
    rows: list[dict[str, Any]] = []
    common: dict[str, dict[str, Any]] = {}
    for part in parts:
        records = [_nan_as_none(record) for record in part.tables["prices"].to_pylist()]
        own = {(record["asset"], record["venue"]) for record in records if record["venue"] is not None}
        moved: list[str] = []
        overruled: list[str] = []
        for record in records:
            kept = common.get(record["asset"])
            if record["venue"] is not None or kept is None:
                rows.append(record)
                if record["venue"] is None:
                    common[record["asset"]] = record
                continue
            for column in _SHARED_COLUMNS:
                if kept[column] is None:
                    kept[column] = record[column]
                elif record[column] not in (None, kept[column]):
                    overruled.append(f"{record['asset']}: {column} {record[column]!r}, kept {kept[column]!r}")
            if abs(record["index_price"] / kept["index_price"] - 1.0) <= PRICE_TOLERANCE:
                continue
            moved.append(f"{record['asset']}: {record['index_price']!r}, kept {kept['index_price']!r}")
            nothing = dict.fromkeys(_SHARED_COLUMNS)
            rows += [
                {**record, "venue": venue, **nothing}
                for venue in _part_venues(part)
                if (record["asset"], venue) not in own
            ]
        if moved:
            findings.add(
                Severity.WARNING,
                Reason.VENUE_PRICE_DIFFERS,
                part.uri,
                f"{len(moved)} venue-null prices differ by more than 1 bp from an earlier snapshot's; they value"
                " balances on this snapshot's venues only",
                count=len(moved),
                examples=moved,
            )
        if overruled:
            findings.add(
                Severity.WARNING,
                Reason.VENUE_PRICE_DIFFERS,
                part.uri,
                "index_beta or index depth differ from an earlier snapshot's, which are kept",
                count=len(overruled),
                examples=overruled,
            )
    return pa.Table.from_pylist(rows, schema=arrow_schema(PRICES))


def join(parts: Sequence[Part], findings: Findings) -> Part:
    """Join validated snapshots, in order, into one; `join_problems` has found none.

    Parameters
    ----------
    parts: at least one.
    findings: gets what merging the prices overruled.
    """
    if len(parts) == 1:
        return parts[0]
    assets = unique_names(*(part.assets for part in parts))
    account_offset = np.cumsum([0] + [part.tables["accounts"].num_rows for part in parts])
    instrument_offset = np.cumsum([0] + [part.tables["instruments"].num_rows for part in parts])
    tables = {
        name: pa.concat_tables([part.tables[name] for part in parts]) for name in parts[0].tables if name != "prices"
    }

    def gather(name: str, offsets: np.ndarray | None = None) -> np.ndarray:
        pieces = [getattr(part, name) for part in parts]
        if offsets is not None:
            pieces = [(piece + offset).astype(np.int32) for piece, offset in zip(pieces, offsets, strict=False)]
        return np.concatenate(pieces)

    return Part(
        uri=", ".join(part.uri for part in parts),
        as_of=parts[0].as_of,
        numeraire=parts[0].numeraire,
        tables={**tables, "prices": merge_prices(parts, findings)},
        assets=assets,
        balance_account=gather("balance_account", account_offset),
        balance_asset=np.concatenate([rows_of(part.assets, assets)[part.balance_asset] for part in parts]),
        balance_quantity=gather("balance_quantity"),
        balance_threshold=gather("balance_threshold"),
        position_account=gather("position_account", account_offset),
        position_instrument=gather("position_instrument", instrument_offset),
        position_quantity=gather("position_quantity"),
        position_entry_price=gather("position_entry_price"),
        position_isolated_margin=gather("position_isolated_margin"),
    )
