"""Validate: every rule applied to one snapshot: what refuses it, what leaves it, and the part that remains."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from riskpipe.domain.book import BoolArray, IntArray
from riskpipe.domain.findings import Findings
from riskpipe.domain.snapshot import Snapshot
from riskpipe.domain.tables import DEPTH, INSTRUMENTS
from riskpipe.ingest.account_rules import QUARANTINE_REASONS, Quarantine, keep, quarantine, quarantined_share, staying
from riskpipe.ingest.columns import floats, one_piece
from riskpipe.ingest.ladder_rules import (
    collateral_problems,
    enumeration_problems,
    fund_problems,
    repeated_key_problems,
    tier_problems,
)
from riskpipe.ingest.links import Links, link
from riskpipe.ingest.loans import is_lending, report_unread_thresholds
from riskpipe.ingest.market_rules import (
    Holdings,
    Verdict,
    check_instruments,
    check_prices,
    check_unused_references,
)
from riskpipe.ingest.names import NameIndex
from riskpipe.ingest.part import Part
from riskpipe.ingest.portfolios import needs_tiers
from riskpipe.ingest.venue_tables import VenueTables


@dataclass(frozen=True)
class Validation:
    """What validation found. `part` is None exactly where there are problems."""

    part: Part | None
    problems: tuple[str, ...]
    findings: Findings


def _holdings(snapshot: Snapshot, links: Links, out: Quarantine) -> Holdings:
    held = staying(out.has_position)
    instrument = links.position_instrument[held]
    has_position = np.bincount(instrument, minlength=snapshot.tables["instruments"].num_rows) > 0
    stays = staying(out.has_balance)
    quantity, asset = floats(snapshot.tables["balances"], "quantity")[stays], links.balance_asset[stays]
    has_debt = np.zeros(links.n_assets, dtype=bool)
    has_debt[asset[quantity < 0]] = True
    has_balance = np.zeros((len(links.venues), links.n_assets), dtype=bool)
    is_credit = quantity >= 0
    owner = links.balance_account[stays]
    has_balance[links.account_venue[owner][is_credit], asset[is_credit]] = True
    has_collateral = np.zeros(links.n_assets, dtype=bool)
    has_collateral[asset[is_credit & is_lending(snapshot.tables["accounts"])[owner]]] = True
    return Holdings(has_position, needs_tiers(snapshot, links, held), has_debt, has_balance, has_collateral)


def _renumbered(rows: IntArray, leaves: BoolArray) -> IntArray:
    """Return rows of a table by their numbers among those of its rows that stay."""
    return (np.cumsum(~leaves, dtype=np.int32) - 1)[rows] if leaves.any() else rows


def _assemble_part(snapshot: Snapshot, links: Links, out: Quarantine, verdict: Verdict) -> Part:
    balances, positions = snapshot.tables["balances"], snapshot.tables["positions"]
    balance, position = staying(out.has_balance), staying(out.has_position)
    has_left = verdict.instrument_row < 0
    return Part(
        uri=snapshot.uri,
        as_of=snapshot.as_of,
        numeraire=snapshot.numeraire,
        tables={
            **verdict.tables,
            "accounts": keep(snapshot.tables["accounts"], out.has_account),
            "insurance_funds": snapshot.tables["insurance_funds"],
        },
        assets=links.assets,
        balance_account=_renumbered(links.balance_account[balance], out.has_account),
        balance_asset=links.balance_asset[balance],
        balance_quantity=floats(balances, "quantity")[balance],
        balance_threshold=floats(balances, "liquidation_threshold")[balance],
        position_account=_renumbered(links.position_account[position], out.has_account),
        position_instrument=_renumbered(links.position_instrument[position], has_left),
        position_quantity=floats(positions, "quantity")[position],
        position_entry_price=floats(positions, "entry_price")[position],
        position_isolated_margin=floats(positions, "isolated_margin")[position],
    )


def validate(
    snapshot: Snapshot, *, max_quarantined_share: float = 0.01, venues: Mapping[str, VenueTables] | None = None
) -> Validation:
    """Apply every rule to a snapshot.

    Parameters
    ----------
    snapshot: as read.
    max_quarantined_share: largest share of gross notional that may be quarantined, in [0, 1]; see
        `riskpipe.ingest.account_rules.quarantined_share` for how it is measured.
    venues: what venues' rules bring, already in the snapshot's tables; here they tell for which underlyings there are
        rules of portfolio margin. None: not checked, with a finding.

    Returns
    -------
    The rows that stay, or the problems, and in either case the findings. NaN in a nullable market column means "not
    given".
    """
    findings = Findings(list(snapshot.findings))
    accounts = NameIndex(one_piece(snapshot.tables["accounts"].column("account_id")))
    problems = list(repeated_key_problems(snapshot, accounts))
    for spec in (INSTRUMENTS, DEPTH):
        problems += enumeration_problems(snapshot, spec)
    problems += tier_problems(snapshot)
    problems += collateral_problems(snapshot)
    problems += fund_problems(snapshot)
    n_accounts = snapshot.tables["accounts"].num_rows
    if n_accounts == 0:
        problems.append("accounts: the book is empty. A night without accounts is a failed export, not a safe book")
        return Validation(None, tuple(problems), findings)
    links = link(snapshot, accounts)
    out = quarantine(snapshot, links, findings, venues)
    if out.has_account.all():
        reasons = _quarantine_reasons(findings)
        problems.append(
            f"accounts: the book is empty, as all {n_accounts} accounts are quarantined. Reasons: {reasons}"
        )
        return Validation(None, tuple(problems), findings)
    share, basis = quarantined_share(snapshot, links, out)
    if share > max_quarantined_share:
        problems.append(
            f"{share:.2%} of the snapshot is quarantined ({basis}); expected at most {max_quarantined_share:.2%}."
            " Repair the rows, or raise max_quarantined_share if the rest is worth a night. Reasons: "
            + _quarantine_reasons(findings)
        )
    report_unread_thresholds(snapshot, links, out.has_balance, findings)
    verdict = Verdict()
    holdings = _holdings(snapshot, links, out)
    index_price = check_prices(snapshot, links, holdings, verdict)
    check_instruments(snapshot, links, holdings, index_price, verdict)
    check_unused_references(snapshot, verdict)
    problems += verdict.problems
    findings.extend(verdict.findings)
    if problems:
        return Validation(None, tuple(problems), findings)
    return Validation(_assemble_part(snapshot, links, out, verdict), (), findings)


def _quarantine_reasons(findings: Findings) -> str:
    return "; ".join(
        f"{finding.where}: {finding.message} (such as {finding.examples[0]})"
        for finding in findings
        if finding.reason in QUARANTINE_REASONS and finding.where in ("accounts", "balances", "positions")
    )
