"""Loans: lending accounts, the thresholds their collateral has, and those it lacks.

A lending account is one margin pool of balances: what is not negative is collateral, what is negative is debt. The
threshold of collateral is the account's own for that balance, else the one of its venue's row in `collateral`.
"""

import numpy as np
import pyarrow as pa

from riskpipe.domain.book import Book, BoolArray
from riskpipe.domain.findings import Findings, Reason, Severity
from riskpipe.domain.snapshot import Snapshot
from riskpipe.ingest.columns import equals, floats, report_rows
from riskpipe.ingest.links import Links


def is_lending(accounts: pa.Table) -> BoolArray:
    """Return which accounts are of kind lending, [a]."""
    return equals(accounts, "kind", "lending")


def contradicting_thresholds(snapshot: Snapshot, links: Links, lending: BoolArray) -> BoolArray:
    """Return the rows of balances [b] whose own threshold is not that of the first row of their account and asset.

    Only collateral of lending accounts is looked at. A null is the venue's threshold, and differs from any given.
    """
    balances = snapshot.tables["balances"]
    owner, asset = links.balance_account, links.balance_asset
    with np.errstate(invalid="ignore"):
        is_collateral = floats(balances, "quantity") >= 0
    rows = np.flatnonzero((owner >= 0) & (asset >= 0) & is_collateral)
    rows = rows[lending[owner[rows]]]
    holding = owner[rows] * np.int64(links.n_assets) + asset[rows]
    first = rows[np.unique(holding, return_index=True)[1]]
    threshold = floats(balances, "liquidation_threshold")
    of_first = threshold[first[np.unique(holding, return_inverse=True)[1]]]
    is_same = (threshold[rows] == of_first) | (np.isnan(threshold[rows]) & np.isnan(of_first))
    result = np.zeros(balances.num_rows, dtype=bool)
    result[rows[~is_same]] = True
    return result


def report_unread_thresholds(snapshot: Snapshot, links: Links, has_left: BoolArray, findings: Findings) -> None:
    """Tell of thresholds given where nothing reads one: balances of margin accounts, and debts.

    `has_left` are the rows of balances [b] that are quarantined.
    """
    balances = snapshot.tables["balances"]
    is_given = ~np.isnan(floats(balances, "liquidation_threshold")) & ~has_left
    rows = np.flatnonzero(is_given)
    if not len(rows):
        return
    lending = is_lending(snapshot.tables["accounts"])
    is_debt = floats(balances, "quantity")[rows] < 0
    rows = rows[is_debt | ~lending[links.balance_account[rows]]]
    what = f"{len(rows)} liquidation thresholds are not read: only collateral of lending accounts has one"
    shown = ("account_id", "asset")
    report_rows(findings, Severity.INFO, Reason.UNREAD_VALUE, balances, rows, "balances", what, shown, row_numbers=True)


def report_missing_thresholds(book: Book, findings: Findings) -> None:
    """Tell of loans' collateral that counts nothing, because neither its account nor its venue gives a threshold, and
    of that which liquidations take without a bonus, because its venue gives none.
    """  # noqa: D205
    if not book.account_is_lending.any():
        return
    owner = book.slot_account
    slots = np.flatnonzero(book.account_is_lending[owner] & (book.slot_quantity > 0))
    venue, asset = book.account_venue[owner[slots]], book.slot_asset[slots]
    worth = book.slot_quantity[slots] * book.index_price[asset] * book.account_weight[owner[slots]]
    venues, assets = book.names("venue"), book.names("asset")
    for reason, is_missing, message in (
        (
            Reason.NO_THRESHOLD,
            np.isnan(book.slot_threshold[slots]) & np.isnan(book.lending_threshold[venue, asset]),
            "collateral of loans counts 0: neither it nor its venue's row in collateral has a liquidation_threshold",
        ),
        (
            Reason.NO_BONUS,
            np.isnan(book.lending_bonus[venue, asset]),
            "collateral of loans is taken without a bonus: its venue's row in collateral has no liquidation_bonus",
        ),
    ):
        if not is_missing.any():
            continue
        cells = np.unique(np.stack([venue[is_missing], asset[is_missing]]), axis=1).T
        findings.add(
            Severity.WARNING,
            reason,
            "collateral",
            f"{message} (USD {worth[is_missing].sum():,.0f})",
            count=int(is_missing.sum()),
            examples=(f"{assets[asset_ix]} on {venues[venue_ix]}" for venue_ix, asset_ix in cells),
        )
