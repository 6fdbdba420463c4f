"""Account rules: which accounts are quarantined, always whole, each counted once under the first reason found.

A bad account, balance or position row takes every row of its account with it: one leg of a hedge left alone would be a
risk nobody has. Rows whose account no table lists are left out too and counted by row.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from riskpipe.domain.book import BoolArray, FloatArray, IntArray, OffsetArray
from riskpipe.domain.findings import Findings, Reason, Severity
from riskpipe.domain.snapshot import Snapshot
from riskpipe.domain.tables import ACCOUNTS, BALANCES, POSITIONS, Table
from riskpipe.ingest import loans
from riskpipe.ingest.columns import booleans, equals, floats, name_rows, report_rows
from riskpipe.ingest.links import Links, usable_index_prices, usable_marks
from riskpipe.ingest.portfolios import has_portfolio_rules, is_cross, is_portfolio, report_unchecked
from riskpipe.ingest.values import value_defects
from riskpipe.ingest.venue_tables import VenueTables

_ROW_NAMES = {
    "accounts": ("account_id", "venue"),
    "balances": ("account_id", "asset"),
    "positions": ("account_id", "instrument_id"),
}
QUARANTINE_REASONS = frozenset(
    {
        Reason.BAD_VALUE,
        Reason.UNKNOWN_INSTRUMENT,
        Reason.UNKNOWN_ASSET,
        Reason.UNKNOWN_ACCOUNT,
        Reason.OTHER_VENUE,
        Reason.UNSUPPORTED,
        Reason.NO_PORTFOLIO_RULES,
    }
)
_REPORTED = ("reported_equity", "reported_maintenance_margin")


@dataclass(frozen=True)
class Quarantine:
    """Rows that leave the book: accounts [a], balances [b], positions [q]."""

    has_account: BoolArray
    has_balance: BoolArray
    has_position: BoolArray


@dataclass(frozen=True)
class _Charge:
    reason: Reason
    table: str
    is_bad: BoolArray
    what: str
    column: str


def _charges_of_values(snapshot: Snapshot, spec: Table, skip: tuple[str, ...]) -> Iterator[_Charge]:
    table = snapshot.tables[spec.name]
    for defect in value_defects(table, spec, nan_is_null=_REPORTED):
        if defect.column not in skip:
            what = f"{defect.column} must be {defect.expected}"
            yield _Charge(Reason.BAD_VALUE, spec.name, defect.is_bad, what, defect.column)


def _charges(snapshot: Snapshot, links: Links, venues: Mapping[str, VenueTables] | None) -> Iterator[_Charge]:
    """Yield every rule an account can break, in the order in which reasons are given."""
    accounts, instruments = snapshot.tables["accounts"], snapshot.tables["instruments"]
    yield from _charges_of_values(snapshot, ACCOUNTS, ())
    blank = equals(accounts, "account_id", "")
    yield _Charge(Reason.BAD_VALUE, "accounts", blank, "account_id must be a non-empty text", "account_id")
    lending = loans.is_lending(accounts)
    portfolio = is_portfolio(accounts)
    what = "a lending account has no margin_mode portfolio"
    yield _Charge(Reason.UNSUPPORTED, "accounts", portfolio & lending, what, "margin_mode")
    yield from _charges_of_values(snapshot, BALANCES, ("account_id", "asset"))
    unknown_asset = "asset must be named by prices, collateral or instruments"
    yield _Charge(Reason.UNKNOWN_ASSET, "balances", links.balance_asset < 0, unknown_asset, "quantity")
    contradicts = loans.contradicting_thresholds(snapshot, links, lending)
    what = "liquidation_threshold must be the same, or null, in all of a lending account's rows of one collateral asset"
    yield _Charge(Reason.BAD_VALUE, "balances", contradicts, what, "liquidation_threshold")
    has_loan = (links.position_account >= 0) & lending[links.position_account]
    what = "a lending account may hold balances only"
    yield _Charge(Reason.UNSUPPORTED, "positions", has_loan, what, "quantity")
    yield from _charges_of_values(snapshot, POSITIONS, ("account_id", "instrument_id"))
    row = links.position_instrument
    is_known = row >= 0
    yield _Charge(
        Reason.UNKNOWN_INSTRUMENT, "positions", ~is_known, "instrument_id must be listed in instruments", "quantity"
    )
    if len(links.instrument_venue) == 0:
        return
    venue = links.instrument_venue[row]
    is_elsewhere = venue != links.account_venue[links.position_account]
    is_elsewhere &= is_known & (venue >= 0) & (links.position_account >= 0)
    yield _Charge(
        Reason.OTHER_VENUE, "positions", is_elsewhere, "the instrument must be on the account's venue", "quantity"
    )
    has_owner, cross = links.position_account >= 0, is_cross(snapshot)
    in_portfolio = has_owner & portfolio[links.position_account]
    is_option = is_known & equals(instruments, "kind", "option")[row]
    what = "options are computed for accounts of margin_mode portfolio only"
    yield _Charge(Reason.UNSUPPORTED, "positions", is_option & has_owner & ~in_portfolio, what, "quantity")
    what = "options are computed in cross pools only, not in isolated positions"
    yield _Charge(Reason.UNSUPPORTED, "positions", is_option & ~cross, what, "isolated_margin")
    if venues is None:
        return
    has_rules = has_portfolio_rules(snapshot, venues)
    what = (
        "an account of margin_mode portfolio needs rules for the underlying of every cross position: its venue has none"
        " in force (venues.NAME.margin.portfolio)"
    )
    lacks_rules = in_portfolio & cross & is_known & ~has_rules[row]
    yield _Charge(Reason.NO_PORTFOLIO_RULES, "positions", lacks_rules, what, "quantity")


def quarantine(
    snapshot: Snapshot, links: Links, findings: Findings, venues: Mapping[str, VenueTables] | None = None
) -> Quarantine:
    """Find the accounts that cannot be computed, and every row of theirs.

    Parameters
    ----------
    snapshot: as read.
    links: the rows behind its names.
    findings: gets one finding for each rule broken: count = accounts quarantined for it and for no earlier rule (rows,
        for rows of unknown accounts), examples = the rows that broke it.
    venues: what venues' rules bring, by venue; None = not known: whether portfolio accounts have rules is not checked,
        and a finding says so.

    Returns
    -------
    Which rows of accounts, balances and positions leave.
    """
    tables = snapshot.tables
    n_accounts = tables["accounts"].num_rows
    owners = {
        "accounts": np.arange(n_accounts, dtype=np.int32),
        "balances": links.balance_account,
        "positions": links.position_account,
    }
    for name in ("balances", "positions"):
        orphans = np.flatnonzero(owners[name] < 0)
        what = f"{len(orphans)} rows belong to accounts that the accounts table does not list; they are left out"
        report_rows(
            findings,
            Severity.WARNING,
            Reason.UNKNOWN_ACCOUNT,
            tables[name],
            orphans,
            name,
            what,
            _ROW_NAMES[name],
            row_numbers=True,
        )
    is_out = np.zeros(n_accounts, dtype=bool)
    for charge in _charges(snapshot, links, venues):
        rows = np.flatnonzero(charge.is_bad)
        owner = owners[charge.table][rows]
        rows, owner = rows[owner >= 0], owner[owner >= 0]
        is_new = ~is_out[owner]
        newly = np.unique(owner[is_new])
        if not len(newly):
            continue
        is_out[newly] = True
        shown = (*_ROW_NAMES[charge.table], *(() if charge.column in _ROW_NAMES[charge.table] else (charge.column,)))
        findings.add(
            Severity.WARNING,
            charge.reason,
            charge.table,
            f"{charge.what}; {_whole_accounts(newly, owners)}",
            count=len(newly),
            examples=name_rows(tables[charge.table], rows[is_new], shown, limit=5, row_numbers=True),
        )
    if venues is None:
        report_unchecked(tables["accounts"], is_out, findings)
    return Quarantine(is_out, _leaves(links.balance_account, is_out), _leaves(links.position_account, is_out))


def _leaves(owner: IntArray, is_out: BoolArray) -> BoolArray:
    if not is_out.any():
        return owner < 0
    return (owner < 0) | is_out[owner]


def _whole_accounts(newly: OffsetArray, owners: dict[str, IntArray]) -> str:
    n_positions = np.count_nonzero(np.isin(owners["positions"], newly))
    n_balances = np.count_nonzero(np.isin(owners["balances"], newly))
    return f"{len(newly)} accounts quarantined whole, with {n_positions} positions and {n_balances} balances"


def _unit_notional(snapshot: Snapshot, links: Links) -> FloatArray:
    """Return the USD notional of one contract [i]; NaN where it cannot be priced."""
    instruments = snapshot.tables["instruments"]
    index_price = np.append(usable_index_prices(snapshot, links), np.nan)  # row -1: an unknown asset
    multiplier = floats(instruments, "multiplier")
    with np.errstate(invalid="ignore", over="ignore"):
        linear = multiplier * usable_marks(snapshot, links) * index_price[links.instrument_quote]
        inverse = multiplier * index_price[links.instrument_quote]
        option = multiplier * index_price[links.instrument_underlying]
    return np.where(
        equals(instruments, "kind", "option"), option, np.where(booleans(instruments, "is_inverse"), inverse, linear)
    )


def _count_unmeasured_as_mean(notional: FloatArray) -> FloatArray:
    is_measured = np.isfinite(notional)
    if is_measured.all() or not is_measured.any():
        return np.nan_to_num(notional, nan=0.0, posinf=0.0)
    return np.where(is_measured, notional, notional[is_measured].mean())


def gross_notionals(snapshot: Snapshot, links: Links) -> tuple[FloatArray, FloatArray]:
    """Measure every position and every debt of a snapshot as read, good and bad rows alike.

    Returns
    -------
    positions: [q] USD, |quantity| x multiplier x mark x quote price (inverse: without the mark; options: with the
        underlying's price for the mark), times the account's weight. What cannot be priced counts at its entry price.
    debts: [b] USD, max(0, -quantity) x index price, times the account's weight. A loan, which has no positions, counts
        by its debt at par and not by its collateral: debt is what a lending venue can lose, as notional is what others
        must close.
    A row that cannot be measured at all (NaN quantity, no price) counts as the mean measured row of its table, so that
    bad rows cannot hide their own size.
    """
    balances, positions = snapshot.tables["balances"], snapshot.tables["positions"]
    weight = np.append(floats(snapshot.tables["accounts"], "weight"), 1.0)  # row -1: an unknown account
    weight = np.where(np.isfinite(weight) & (weight > 0), weight, 1.0)
    unit = np.append(_unit_notional(snapshot, links), np.nan)[links.position_instrument]
    with np.errstate(invalid="ignore", over="ignore"):
        unit = np.where(np.isfinite(unit), unit, np.abs(floats(positions, "entry_price")))
        gross = np.abs(floats(positions, "quantity")) * unit * weight[links.position_account]
        price = np.append(usable_index_prices(snapshot, links), np.nan)[links.balance_asset]
        quantity = floats(balances, "quantity")
        debt = np.where(quantity >= 0, 0.0, -quantity * price) * weight[links.balance_account]
    return _count_unmeasured_as_mean(gross), _count_unmeasured_as_mean(debt)


def quarantined_share(snapshot: Snapshot, links: Links, out: Quarantine) -> tuple[float, str]:
    """Measure how much of a snapshot the quarantine takes away.

    Returns
    -------
    share: quarantined over total gross notional, positions plus debt (see `gross_notionals`); of accounts where the
        snapshot has neither; 0 where it is empty.
    basis: what was compared, in words.
    """
    if not (out.has_account.any() or out.has_balance.any() or out.has_position.any()):
        return 0.0, "nothing"
    gross, debt = gross_notionals(snapshot, links)
    total = float(gross.sum() + debt.sum())
    if total > 0:
        lost = float(gross[out.has_position].sum() + debt[out.has_balance].sum())
        return lost / total, f"{lost:,.0f} of {total:,.0f} USD gross notional"
    n_accounts = len(out.has_account)
    n_out = int(np.count_nonzero(out.has_account))
    return (n_out / n_accounts if n_accounts else 0.0), f"{n_out} of {n_accounts} accounts (the book has no notional)"


def keep(table: pa.Table, leaves: BoolArray) -> pa.Table:
    """Return a table without the rows that leave."""
    return table.filter(pa.array(~leaves)) if leaves.any() else table


def staying(leaves: BoolArray) -> BoolArray | slice:
    """Return what selects the rows of an array that stay: all, without a copy, where none leaves, the normal night."""
    return ~leaves if leaves.any() else slice(None)
