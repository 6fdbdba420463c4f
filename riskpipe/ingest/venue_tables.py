"""Venue tables: margin tiers and haircut bands of a venue's own rules, where a snapshot brings none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc

from riskpipe.domain.findings import Findings, Reason, Severity
from riskpipe.domain.snapshot import Snapshot

Tier = tuple[float, float, float, float | None]
"""Floor, initial rate, maintenance rate, deduction (None = recomputed)."""
EVERY = "*"


@dataclass(frozen=True)
class ContractTiers:
    """Tiers of a venue's linear or inverse contracts, by instrument or underlying; "*" is the default."""

    tiers: Mapping[str, Sequence[Tier]] = field(default_factory=dict)
    is_final: bool = False
    """Whether they stand in for tiers of the snapshot too, because the venue's model has no tiers of notional."""

    def named(self, *names: str) -> str | None:
        """Return the first of the names that has tiers, else the default's; None without either."""
        return next((name for name in (*names, EVERY) if name in self.tiers), None)


@dataclass(frozen=True)
class VenueTables:
    """What a venue's rules bring for a snapshot."""

    linear: ContractTiers = ContractTiers()
    inverse: ContractTiers = ContractTiers()
    collateral: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    """Bands by asset: floor in USD, haircut."""
    loans: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Liquidation threshold and bonus by asset; "*" is the default."""
    portfolio: frozenset[str] = frozenset()
    """Underlyings for which the venue has rules of portfolio margin; "*" is all."""

    def has_portfolio(self, underlying: str | None) -> bool:
        """Tell whether portfolio accounts may hold contracts on an underlying."""
        return EVERY in self.portfolio or underlying in self.portfolio


def completed(snapshot: Snapshot, venues: Mapping[str, VenueTables]) -> Snapshot:
    """Return the snapshot with tiers for instruments that name no schedule, and with bands, thresholds and bonuses for
    assets that have no row of collateral.

    The snapshot's own rows win, except over rules that are final. Findings tell how much came from the rules.
    """  # noqa: D205
    findings = Findings(list(snapshot.findings))
    tables = dict(snapshot.tables)
    tables |= _with_tiers(tables, venues, findings)
    tables |= _with_loan_terms(tables, venues, findings)
    tables |= _with_bands(tables, venues, findings)
    return replace(snapshot, tables=tables, findings=findings)


def _with_tiers(
    tables: Mapping[str, pa.Table], venues: Mapping[str, VenueTables], findings: Findings
) -> dict[str, pa.Table]:
    table = tables["instruments"]
    columns = ("instrument_id", "venue", "kind", "underlying", "is_inverse", "tier_schedule")
    schedules, added, filled = [], {}, []
    for row in zip(*(table.column(column).to_pylist() for column in columns), strict=True):
        instrument, venue, kind, underlying, is_inverse, schedule = row
        own = venues.get(venue, VenueTables())
        contract = own.inverse if is_inverse else own.linear
        name = contract.named(instrument, underlying) if kind != "option" else None
        if name is not None and (schedule is None or contract.is_final):
            schedule = f"{venue}'s rules: {'inverse' if is_inverse else 'linear'} {name}"
            added[schedule] = contract.tiers[name]
            filled.append(instrument)
        schedules.append(schedule)
    if not filled:
        return {}
    findings.add(
        Severity.INFO,
        Reason.VENUE_TABLE,
        "margin_tiers",
        "instruments are margined by the tiers of their venue's rules, not by tiers of the snapshot",
        count=len(filled),
        examples=filled,
    )
    rows = [(name, *tier) for name, tiers in added.items() for tier in tiers]
    tiers = tables["margin_tiers"]
    return {
        "instruments": _with_column(table, "tier_schedule", schedules),
        "margin_tiers": _with_rows(
            tiers, rows, ("tier_schedule", "floor", "initial_rate", "maintenance_rate", "deduction")
        ),
    }


def _with_bands(
    tables: Mapping[str, pa.Table], venues: Mapping[str, VenueTables], findings: Findings
) -> dict[str, pa.Table]:
    table = tables["collateral"]
    own = set(zip(table.column("venue").to_pylist(), table.column("asset").to_pylist(), strict=True))
    added = [
        (venue, asset, bands)
        for venue, rules in venues.items()
        for asset, bands in rules.collateral.items()
        if (venue, asset) not in own
    ]
    present = set(tables["accounts"].column("venue").unique().to_pylist())
    added = [row for row in added if row[0] in present]
    if not added:
        return {}
    findings.add(
        Severity.INFO,
        Reason.VENUE_TABLE,
        "collateral",
        "assets are credited by the bands of their venue's rules: the snapshot has none",
        count=len(added),
        examples=(f"{asset} on {venue}" for venue, asset, _ in added),
    )
    rows = [(venue, asset, floor, haircut) for venue, asset, bands in added for floor, haircut in bands]
    return {"collateral": _with_rows(table, rows, ("venue", "asset", "floor_usd", "haircut"))}


def _with_loan_terms(
    tables: Mapping[str, pa.Table], venues: Mapping[str, VenueTables], findings: Findings
) -> dict[str, pa.Table]:
    table, accounts = tables["collateral"], tables["accounts"]
    lending = accounts.filter(pc.equal(accounts.column("kind"), "lending"))
    present = set(lending.column("venue").unique().to_pylist())
    own = list(zip(table.column("venue").to_pylist(), table.column("asset").to_pylist(), strict=True))
    held = tables["balances"].column("asset").unique().to_pylist()
    terms = {
        (venue, asset): found
        for venue in sorted(present & venues.keys())
        for asset in held
        if asset is not None and (found := venues[venue].loans.get(asset, venues[venue].loans.get(EVERY))) is not None
    }
    filled: set[tuple[str, str]] = set()
    names = ("liquidation_threshold", "liquidation_bonus")
    for n, name in enumerate(names):
        given = table.column(name).to_pylist()
        missing = {row for row, value in zip(own, given, strict=True) if value is None and row in terms}
        filled |= missing
        values = [terms[row][n] if row in missing else value for row, value in zip(own, given, strict=True)]
        table = _with_column(table, name, values)
    rows: list[tuple[str | float | None, ...]] = [
        (*row, 0.0, 1.0 - threshold, threshold, bonus) for row, (threshold, bonus) in terms.items() if row not in own
    ]
    filled |= terms.keys() - set(own)
    if not filled:
        return {}
    findings.add(
        Severity.INFO,
        Reason.VENUE_TABLE,
        "collateral",
        "loans' collateral counts by thresholds or bonuses of its venue's rules, where the snapshot has none",
        count=len(filled),
        examples=(f"{asset} on {venue}" for venue, asset in sorted(filled)),
    )
    if rows:
        table = _with_rows(table, rows, ("venue", "asset", "floor_usd", "haircut", *names))
    return {"collateral": table}


def _with_column(table: pa.Table, name: str, values: Sequence[str | float | None]) -> pa.Table:
    at = table.schema.get_field_index(name)
    return table.set_column(at, name, pa.array(values, _plain(table.schema.field(at))))


def _with_rows(table: pa.Table, rows: Sequence[tuple[str | float | None, ...]], names: tuple[str, ...]) -> pa.Table:
    """Return the table with rows added: null in every column that they do not name."""
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    added = {spec.name: pa.array(columns.get(spec.name, [None] * len(rows)), _plain(spec)) for spec in table.schema}
    arrays = [
        pa.chunked_array([*table.column(name).cast(array.type).chunks, array], array.type)
        for name, array in added.items()
    ]
    return pa.table(arrays, names=list(added))


def _plain(spec: pa.Field) -> pa.DataType:
    """Return a column's type; strings that are codes into a dictionary become plain strings."""
    return pa.string() if pa.types.is_dictionary(spec.type) else spec.type
