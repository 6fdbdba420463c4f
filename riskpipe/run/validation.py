"""Validation of a snapshot outside a night: the same reading, findings, control totals and replication check."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from riskpipe.calibrate.market import calibrate
from riskpipe.config import DEFAULT_STABLE_ASSETS
from riskpipe.domain.book import Book
from riskpipe.domain.controls import Control
from riskpipe.domain.findings import Findings, Reason, Severity
from riskpipe.domain.replication import Replication
from riskpipe.ingest.assemble import assemble
from riskpipe.ingest.controls import control_findings, control_totals, summary
from riskpipe.ingest.read import read_snapshot
from riskpipe.ingest.replication import replicate
from riskpipe.liquidation.accounts import account_health
from riskpipe.liquidation.kernel import Kernel
from riskpipe.run.wiring import default_rules


@dataclass(frozen=True)
class Validated:
    """What a valid snapshot holds, and what was noticed about it."""

    uri: str
    summary: dict[str, Any]
    findings: Findings
    controls: tuple[Control, ...]
    replication: Replication

    def as_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "uri": self.uri,
            "summary": self.summary,
            "findings": self.findings.as_json(),
            "controls": [control.as_json() for control in self.controls],
            "replication": self.replication.as_json(),
        }

    def as_text(self) -> str:
        """Lines for a terminal."""
        lines = [f"{self.uri} is valid"]
        lines += [f"  {key}: {value}" for key, value in self.summary.items()]
        lines += [f"findings: {len(self.findings)}"]
        for finding in self.findings:
            shown = f" ({', '.join(finding.examples)})" if finding.examples else ""
            lines.append(f"  {finding.severity}: {finding.where}: {finding.message}: {finding.count}{shown}")
        lines += ["control totals:"]
        lines += [
            f"  {control.status:<11} {control.name} {control.subject}: {control.detail}" for control in self.controls
        ]
        lines += [f"replication of reported figures: {self.replication.grade()}"]
        lines += [f"  {one.grade:<11} {one.figure} {one.venue}: {one.as_text()}" for one in self.replication.figures]
        lines += [
            f"  mismatch    {one.figure} {one.venue} {one.account!r}: {one.as_text()}"
            for one in self.replication.mismatches
        ]
        return "\n".join(lines)


def validate_snapshot(uri: str) -> Validated:
    """Read and assemble a snapshot as a night would; raises InputRefused when a night would refuse it.

    Equity and maintenance margin are recomputed at the snapshot's prices and compared with the reported columns, but
    for what `without_scanned` leaves out.
    """
    book, findings = assemble([read_snapshot(uri)])
    book = without_scanned(book, findings)
    rules = default_rules(book)
    market, _ = calibrate(book, rules, None, stable_assets=DEFAULT_STABLE_ASSETS)
    health = account_health(Kernel(book, market, rules), 0.0, 0.0)
    controls = control_totals(book, equity=health.equity, maintenance_margin=health.maintenance_margin)
    replication = replicate(book, equity=health.equity, maintenance_margin=health.maintenance_margin)
    findings.extend(control_findings(controls))
    return Validated(uri, summary(book, findings), findings, controls, replication)


def without_scanned(book: Book, findings: Findings) -> Book:
    """Return a book without reported maintenance margins of portfolio accounts, with a finding where there are any.

    Their requirement follows from parameters of their venue's rules, which a snapshot alone does not bring.
    """
    is_scanned = book.account_is_portfolio & ~np.isnan(book.account_reported_maintenance_margin)
    if not is_scanned.any():
        return book
    names = book.names("account")
    findings.add(
        Severity.INFO,
        Reason.NOT_CHECKED,
        "accounts.reported_maintenance_margin",
        "reported maintenance margins of portfolio accounts: they follow from venues' rules, which a night knows",
        count=int(is_scanned.sum()),
        examples=(names[row] for row in np.flatnonzero(is_scanned)),
    )
    reported = np.where(is_scanned, np.nan, book.account_reported_maintenance_margin)
    return replace(book, account_reported_maintenance_margin=reported)
