"""Portfolios: accounts of margin mode portfolio, what their venue's rules cover, and which contracts need tiers."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from riskpipe.domain.book import BoolArray
from riskpipe.domain.findings import Findings, Reason, Severity
from riskpipe.domain.snapshot import Snapshot
from riskpipe.ingest.columns import equals, nulls, report_rows
from riskpipe.ingest.links import Links
from riskpipe.ingest.venue_tables import VenueTables


def is_portfolio(accounts: pa.Table) -> BoolArray:
    """Return which accounts are margined as portfolios, [a]."""
    return equals(accounts, "margin_mode", "portfolio")


def is_cross(snapshot: Snapshot) -> BoolArray:
    """Return which positions are in their account's cross pool, [q]."""
    return nulls(snapshot.tables["positions"], "isolated_margin")


def has_portfolio_rules(snapshot: Snapshot, venues: Mapping[str, VenueTables]) -> BoolArray:
    """Return which instruments [i] have an underlying for which their venue has rules of portfolio margin."""
    table = snapshot.tables["instruments"]
    pairs = zip(table.column("venue").to_pylist(), table.column("underlying").to_pylist(), strict=True)
    return np.array([venues.get(venue, VenueTables()).has_portfolio(asset) for venue, asset in pairs], dtype=np.bool_)


def needs_tiers(snapshot: Snapshot, links: Links, stays: BoolArray | slice) -> BoolArray:
    """Return which instruments [i] are margined by tiers: those held other than in cross pools of portfolio accounts.

    `stays` are the positions [q] that are not quarantined.
    """
    is_scanned = is_portfolio(snapshot.tables["accounts"])[links.position_account] & is_cross(snapshot)
    by_tiers = links.position_instrument[stays][~is_scanned[stays]]
    return np.bincount(by_tiers, minlength=snapshot.tables["instruments"].num_rows) > 0


def report_unchecked(accounts: pa.Table, is_out: BoolArray, findings: Findings) -> None:
    """Tell of portfolio accounts that stay although nobody looked whether their venue has rules for them."""
    rows = np.flatnonzero(is_portfolio(accounts) & ~is_out)
    what = (
        "whether venues have rules of portfolio margin for what these accounts hold: no rules were given. A night"
        " quarantines accounts whose venue has none"
    )
    shown = ("account_id", "venue")
    report_rows(findings, Severity.INFO, Reason.NOT_CHECKED, accounts, rows, "accounts.margin_mode", what, shown)
