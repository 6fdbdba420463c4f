"""Ladder rules: margin tiers and collateral bands rise step by step, and unique rows are unique.

These hold whether or not anybody uses the rows: a ladder out of order is a table written wrongly, and no number read
from it can be trusted.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from riskpipe.domain.book import BoolArray, IntArray, OffsetArray
from riskpipe.domain.snapshot import Snapshot
from riskpipe.domain.tables import COLLATERAL, INSURANCE_FUNDS, MARGIN_TIERS, TABLES, Table
from riskpipe.ingest.columns import enumerate_some, floats, name_rows, nulls, one_piece, repeated_rows
from riskpipe.ingest.names import NameIndex
from riskpipe.ingest.values import value_defects

_OF_THE_ASSET = ("borrow_maintenance_rate", "liquidation_threshold", "liquidation_bonus", "close_factor")


def complain(
    table: pa.Table, name: str, rows: IntArray | OffsetArray, shown: tuple[str, ...], what: str, remedy: str
) -> str:
    """Return one problem: table, rule, every offending row by name (the first twenty), and what to do."""
    listed = enumerate_some(name_rows(table, rows, shown), len(rows))
    return f"{name}: {what}: {listed}. {remedy}"


def repeated_key_problems(snapshot: Snapshot, accounts: NameIndex) -> Iterator[str]:
    """Find rows whose key another row has already, in every table that has a key; `accounts` are the account_ids."""
    for name, spec in TABLES.items():
        if not spec.key:
            continue
        table = snapshot.tables[name]
        if name == "accounts":
            rows = accounts.repeated()
        else:
            rows = repeated_rows(table, spec.key, null_is_value=("venue",) if name == "prices" else ())
        if len(rows):
            key = ", ".join(spec.key)
            yield complain(table, name, rows, spec.key, f"duplicate key ({key})", "Keep one row for each key")


def enumeration_problems(snapshot: Snapshot, spec: Table) -> Iterator[str]:
    """Find values of market tables outside their closed list; they are refused whether or not anybody uses them."""
    table = snapshot.tables[spec.name]
    for defect in value_defects(table, spec):
        if defect.is_enumeration:
            shown = tuple(dict.fromkeys((*spec.key, defect.column)))
            rows = np.flatnonzero(defect.is_bad)
            yield complain(
                table, spec.name, rows, shown, f"{defect.column} must be {defect.expected}", "Correct the value"
            )


def _value_problems(table: pa.Table, spec: Table) -> Iterator[str]:
    for defect in value_defects(table, spec):
        shown = tuple(dict.fromkeys((*spec.key, defect.column)))
        rows = np.flatnonzero(defect.is_bad)
        yield complain(table, spec.name, rows, shown, f"{defect.column} must be {defect.expected}", "Correct the value")


def group_rows(table: pa.Table, key: tuple[str, ...]) -> tuple[OffsetArray, OffsetArray, BoolArray]:
    """Bring rows of one key together, keeping the file's order inside a group.

    Returns
    -------
    order: [n] row numbers, group by group; group: [n] the group of each, ascending; is_first: [n] first of its group.
    """
    group = np.zeros(table.num_rows, dtype=np.int64)
    for name in key:
        codes = one_piece(table.column(name)).dictionary_encode(null_encoding="encode").indices.to_numpy()
        group = group * (int(codes.max(initial=0)) + 1) + codes
    order = np.argsort(group, kind="stable")
    group = group[order]
    is_first = np.ones(len(group), dtype=bool)
    is_first[1:] = group[1:] != group[:-1]
    return order, group, is_first


def _ladder_problems(
    table: pa.Table, spec: Table, key: tuple[str, ...], floor: str, rising: tuple[str, ...]
) -> Iterator[str]:
    if table.num_rows == 0:
        return
    order, _, is_first = group_rows(table, key)
    floors = floats(table, floor)[order]
    starts_above = is_first & (floors != 0)
    starts_above &= np.isfinite(floors)  # a missing floor is reported as such
    shown = (*key, floor)
    if starts_above.any():
        what = f"the first {floor} of each {' and '.join(key)} must be 0"
        yield complain(table, spec.name, order[starts_above], shown, what, "Add the step that starts at 0")
    is_next = ~is_first
    is_next[0] = False
    after = np.flatnonzero(is_next)
    falls = after[floors[after] <= floors[after - 1]]
    if len(falls):
        what = f"{floor} must rise strictly from row to row of one {' and '.join(key)}"
        yield complain(table, spec.name, order[falls], shown, what, "Sort the rows by floor and keep each floor once")
    for column in rising:
        values = floats(table, column)[order]
        falls = after[values[after] < values[after - 1]]
        if len(falls):
            what = f"{column} must not fall from one step of a {' and '.join(key)} to the next"
            yield complain(table, spec.name, order[falls], (*shown, column), what, "Correct the rates")


def tier_problems(snapshot: Snapshot) -> Iterator[str]:
    """Find margin tiers that are not a ladder: floors from 0 rising, rates never falling, maintenance <= initial."""
    table = snapshot.tables["margin_tiers"]
    table = table.filter(pa.array(~nulls(table, "tier_schedule")))
    yield from _value_problems(table, MARGIN_TIERS)
    yield from _ladder_problems(table, MARGIN_TIERS, ("tier_schedule",), "floor", ("initial_rate", "maintenance_rate"))
    above = np.flatnonzero(floats(table, "maintenance_rate") > floats(table, "initial_rate"))
    if len(above):
        shown = ("tier_schedule", "floor", "initial_rate", "maintenance_rate")
        yield complain(
            table, "margin_tiers", above, shown, "maintenance_rate must not exceed initial_rate", "Correct the rates"
        )


def collateral_problems(snapshot: Snapshot) -> Iterator[str]:
    """Find collateral bands that are not a ladder: floors from 0 rising; haircuts may go either way but lie in [0, 1].

    Maintenance rate of debt and terms of loans belong to the asset, not to a band: bands that give them must agree.
    """
    table = snapshot.tables["collateral"]
    table = table.filter(pa.array(~(nulls(table, "venue") | nulls(table, "asset"))))
    yield from _value_problems(table, COLLATERAL)
    key = ("venue", "asset")
    yield from _ladder_problems(table, COLLATERAL, key, "floor_usd", ())
    order, group, _ = group_rows(table, key)
    for column in _OF_THE_ASSET:
        values = floats(table, column)[order]
        given = np.flatnonzero(~np.isnan(values))
        same_group = group[given[1:]] == group[given[:-1]]
        differs = given[1:][same_group & (values[given[1:]] != values[given[:-1]])]
        if len(differs):
            shown = (*key, "floor_usd", column)
            what = f"{column} differs between the bands of one venue and asset"
            yield complain(
                table, "collateral", order[differs], shown, what, "Give one number, in the first band or in all"
            )


def fund_problems(snapshot: Snapshot) -> Iterator[str]:
    """Find insurance funds with a missing or impossible value, or named after a venue that does not run them."""
    table = snapshot.tables["insurance_funds"]
    yield from _value_problems(table, INSURANCE_FUNDS)
    venues = set(snapshot.tables["accounts"].column("venue").unique().to_pylist())
    venues |= set(snapshot.tables["instruments"].column("venue").unique().to_pylist())
    funds, owners = table.column("fund").to_pylist(), table.column("venue").to_pylist()
    for fund, owner in zip(funds, owners, strict=True):
        if fund is not None and owner is not None and fund in venues and owner != fund:
            yield (
                f"insurance_funds: fund {fund!r} is run by venue {owner!r} but has the name of venue {fund!r}, whose"
                " default fund it would be. Rename it"
            )
