"""Controls: sums that show whether a book is whole, and what it holds in a few numbers."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from riskpipe.domain.book import Book, FloatArray, IntArray
from riskpipe.domain.controls import Control, Status
from riskpipe.domain.findings import Findings, Reason, Severity
from riskpipe.ingest.account_rules import QUARANTINE_REASONS
from riskpipe.ingest.replication import is_matched

LONG_SHORT = "long against short"
COVERAGE = "open interest covered"
EQUITY = "reported equity"
MAINTENANCE = "reported maintenance margin"
ENTITIES = "accounts without entity"

_SUM_TOLERANCE = 1e-6  # of the larger side: exchanges round contracts to far more digits
_COVERAGE_TOLERANCE = 0.01  # positions and open interest are rarely read at the same millisecond

_REASONS = {
    LONG_SHORT: (Severity.WARNING, Reason.LONG_SHORT),
    EQUITY: (Severity.WARNING, Reason.EQUITY_DIFFERS),
    MAINTENANCE: (Severity.WARNING, Reason.MAINTENANCE_DIFFERS),
    ENTITIES: (Severity.INFO, Reason.UNKNOWN_ENTITIES),
}


def _position_account(book: Book) -> IntArray:
    return np.repeat(book.pool_account, np.diff(book.pool_position_start))


def _position_weight(book: Book) -> FloatArray:
    return book.account_weight[_position_account(book)]


def gross_notional(book: Book) -> FloatArray:
    """Return each position's notional [q], USD at the snapshot's marks (options: their premium), times its account's
    weight.
    """  # noqa: D205
    row = book.position_instrument
    unit = book.instrument_multiplier * book.index_price[book.instrument_quote]
    unit = np.where(book.instrument_is_inverse, unit, unit * book.mark_price)
    premium = book.instrument_multiplier * book.mark_price * book.index_price[book.instrument_settlement]
    unit = np.where(book.is_option, premium, unit)
    return np.abs(book.position_quantity) * unit[row] * _position_weight(book)


def _long_and_short(book: Book) -> tuple[FloatArray, FloatArray]:
    contracts = book.position_quantity * _position_weight(book)
    row, n_instruments = book.position_instrument, book.n_instruments
    long = np.bincount(row, weights=np.maximum(contracts, 0.0), minlength=n_instruments)
    short = np.bincount(row, weights=np.maximum(-contracts, 0.0), minlength=n_instruments)
    return long.astype(np.float64), short.astype(np.float64)


def _contract_controls(book: Book) -> Iterator[Control]:
    long, short = _long_and_short(book)
    names = book.names("instrument")
    held = np.flatnonzero((long > 0) | (short > 0))
    for ix in held:
        gap = abs(long[ix] - short[ix])
        status: Status = "ok" if gap <= _SUM_TOLERANCE * max(long[ix], short[ix]) else "differs"
        yield Control(
            LONG_SHORT, names[ix], status, float(long[ix]), float(short[ix]), f"contracts; they differ by {gap:g}"
        )
    for ix in held:
        interest = book.open_interest[ix]
        if not interest > 0:
            yield Control(COVERAGE, names[ix], "not checked", float("nan"), 1.0, "the snapshot gives no open interest")
            continue
        coverage = float(long[ix] / interest)
        status = "ok" if abs(coverage - 1.0) <= _COVERAGE_TOLERANCE else "differs"
        yield Control(COVERAGE, names[ix], status, coverage, 1.0, f"{long[ix]:g} long contracts of {interest:g}")


def _reported_controls(name: str, book: Book, reported: FloatArray, computed: FloatArray | None) -> Iterator[Control]:
    for venue_ix, venue in enumerate(book.names("venue")):
        at_venue = book.account_venue == venue_ix
        if not at_venue.any():
            continue
        rows = np.flatnonzero(at_venue & ~np.isnan(reported))
        if not len(rows):
            yield Control(name, venue, "not checked", float("nan"), 1.0, "the snapshot reports none")
            continue
        if computed is None:
            yield Control(name, venue, "not checked", float("nan"), 1.0, "it was not computed")
            continue
        said, got, weight = reported[rows], computed[rows], book.account_weight[rows]
        agrees = is_matched(said, got)
        share = float(weight[agrees].sum() / weight.sum())
        detail = (
            f"share of {weight.sum():g} reporting accounts within 1 bp (or a cent, of whole cents); reported"
            f" {float((weight * said).sum()):,.2f} USD, computed {float((weight * got).sum()):,.2f} USD"
        )
        yield Control(name, venue, "ok" if agrees.all() else "differs", share, 1.0, detail)


def control_totals(
    book: Book, *, equity: FloatArray | None = None, maintenance_margin: FloatArray | None = None
) -> tuple[Control, ...]:
    """Compare what a book adds up to with what it should.

    Parameters
    ----------
    book: the book.
    equity, maintenance_margin: [a] USD, computed for each account (one of its `weight` identical ones) at the
        snapshot's own prices; None = not computed. NaN disagrees with any reported number.

    Returns
    -------
    For each held instrument, weighted long against short contracts (equal within 1e-6) and long contracts over open
    interest (within 1%); for each venue with accounts, the weighted share of accounts whose reported equity and
    maintenance margin are matched by the computed ones as `is_matched` says (ok only if all are); the weighted share of
    accounts without a known owner, whose figures by entity cannot be checked. What could not be measured has the status
    "not checked" and the value NaN.
    """
    unknown = float(book.account_weight[~book.account_has_entity].sum() / book.account_weight.sum())
    return (
        *_contract_controls(book),
        *_reported_controls(EQUITY, book, book.account_reported_equity, equity),
        *_reported_controls(MAINTENANCE, book, book.account_reported_maintenance_margin, maintenance_margin),
        Control(
            ENTITIES,
            "book",
            "ok" if unknown == 0.0 else "not checked",
            unknown,
            0.0,
            "share of accounts whose owner is unknown: figures by entity count each as its own, and are lower bounds",
        ),
    )


def control_findings(controls: Iterable[Control]) -> Findings:
    """Return what control totals found: one finding for each kind that differs, and one for all that were not checked.

    Coverage of open interest stays a control only: a book may hold part of a market and be whole.
    """
    listed = list(controls)
    findings = Findings()
    for name, (severity, reason) in _REASONS.items():
        wrong = ("differs", "not checked") if name == ENTITIES else ("differs",)
        differing = [control for control in listed if control.name == name and control.status in wrong]
        if differing:
            examples = [f"{control.subject}: {control.value:g} against {control.expected:g}" for control in differing]
            message = f"control total {name!r}: {differing[0].detail}"
            findings.add(severity, reason, name, message, count=len(differing), examples=examples)
    skipped = [control for control in listed if control.status == "not checked" and control.name != ENTITIES]
    if skipped:
        findings.add(
            Severity.INFO,
            Reason.NOT_CHECKED,
            "control totals",
            "some control totals could not be checked",
            count=len(skipped),
            examples=[f"{control.name} of {control.subject}: {control.detail}" for control in skipped],
        )
    return findings


def summary(book: Book, findings: Iterable[Any] = ()) -> dict[str, Any]:
    """Return a book in a few numbers, plain values for JSON.

    Parameters
    ----------
    book: the book.
    findings: those of `assemble`; their quarantines are counted here (accounts; rows, for unknown accounts).

    Returns
    -------
    `as_of`, `numeraire`, totals, `quarantined` by reason, and for each venue its accounts (rows, and weighted), pools,
    positions, instruments, gross notional (options at their premium) and debt (USD, weighted); of options also what
    they are on, `options_underlying_usd`.
    """
    n_venues = book.n_venues
    position_venue = book.instrument_venue[book.position_instrument]
    slot_account = book.slot_account
    debt = np.maximum(-book.slot_quantity, 0.0) * book.index_price[book.slot_asset] * book.account_weight[slot_account]
    gross = gross_notional(book)
    row = book.position_instrument
    covered = book.instrument_multiplier * book.index_price[book.instrument_underlying] * book.is_option
    on_options = np.abs(book.position_quantity) * covered[row] * _position_weight(book)

    def by_venue(venue: IntArray, weights: FloatArray | None = None) -> list[Any]:
        return np.bincount(venue, weights=weights, minlength=n_venues).tolist()

    columns = {
        "accounts": by_venue(book.account_venue),
        "weighted_accounts": by_venue(book.account_venue, book.account_weight),
        "pools": by_venue(book.account_venue[book.pool_account]),
        "positions": by_venue(position_venue),
        "instruments": by_venue(book.instrument_venue),
        "gross_notional_usd": by_venue(position_venue, gross),
        "debt_usd": by_venue(book.account_venue[slot_account], debt),
    }
    quarantined: dict[str, int] = {}
    for finding in findings:
        if finding.reason in QUARANTINE_REASONS and finding.where in ("accounts", "balances", "positions"):
            quarantined[str(finding.reason)] = quarantined.get(str(finding.reason), 0) + finding.count
    return {
        "as_of": book.as_of.isoformat(),
        "numeraire": book.numeraire,
        "accounts": book.n_accounts,
        "entities": len(book.entity_account_start) - 1,
        "positions": book.n_positions,
        "gross_notional_usd": float(gross.sum()),
        "options_underlying_usd": float(on_options.sum()),
        "debt_usd": float(debt.sum()),
        "loans": int(book.account_is_lending.sum()),
        "quarantined": quarantined,
        "venues": {
            venue: {name: values[ix] for name, values in columns.items()}
            for ix, venue in enumerate(book.names("venue"))
        },
    }
