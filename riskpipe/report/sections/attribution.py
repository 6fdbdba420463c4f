"""Attribution: who and what adds to expected shortfall."""

import numpy as np

from riskpipe.report import numbers
from riskpipe.report.document import Paragraph, Section, Table
from riskpipe.report.report_input import ReportInput
from riskpipe.report.wording import column, source_of

_KINDS = (("fund", "Fund"), ("venue", "Venue"), ("underlying", "Underlying"), ("segment", "Segment"))


def attribution_sections(report: ReportInput) -> tuple[Section, ...]:
    """Contributions to the expected shortfall of the simulated set; nothing where there is none."""
    found = report.measures["attribution"]
    if not found.attrs["is_measured"]:
        return ()
    total, n = float(found["expected_shortfall"]), float(found["tail_scenarios"])
    level = numbers.share(float(found["level"]))
    title = "What adds to expected shortfall"
    if total == 0.0:
        text = f"No simulated scenario in the tail beyond {level} has any shortfall: there is nothing to attribute."
        return (Section("attribution", title, (Paragraph(text),)),)
    kinds, names, usd, shares = [], [], [], []
    for dim, label in _KINDS:
        rows = list(
            zip(found[dim].values, found[f"{dim}_contribution"].values, found[f"{dim}_share"].values, strict=True)
        )
        if dim == "underlying":
            debt = float(found["debt_contribution"].sum())
            rows.append(("debts that no position carries", debt, debt / total))
        for name, value, share in sorted(rows, key=lambda row: -row[1]):
            if value != 0.0:
                kinds.append(label)
                names.append(str(name) or "none")
                usd.append(float(value))
                shares.append(float(share))
    parts = Table(
        "attribution", "Contributions: each kind adds up to expected shortfall",
        (column("kind", "Of each", "text", kinds), column("name", "Name", "text", names),
         column("contribution", "Contribution", "usd", usd), column("share", "Share", "share", shares)),
        source_of(report, found, "fund_contribution"),
    )  # fmt: skip
    text = (
        f"The expected shortfall of all funds together beyond {level} of the simulated scenarios is "
        f"{numbers.usd(total)} (central variant, {numbers.plural(n, 'scenario')} with a shortfall). "
        "Contributions are means over those "
        "scenarios with the weights of expected shortfall there (Euler's rule): they add up to it, and say by how much "
        "it would change if one of them grew a little, not what it would be without. Rows that stand for several "
        "owners are in the sums and in no list of names."
    )
    return (Section("attribution", title, (Paragraph(text), parts, _accounts(report), _entities(report, total))),)


def _accounts(report: ReportInput) -> Table:
    found = report.measures["attribution"]
    at = np.flatnonzero(found["account_contribution"].values > 0.0)
    return Table(
        "attribution_accounts", "Accounts that add most",
        (column("account", "Account", "text", found["account_name"].values[at]),
         column("contribution", "Contribution", "usd", found["account_contribution"].values[at]),
         column("share", "Share", "share", found["account_share"].values[at])),
        source_of(report, found, "account_contribution"),
    )  # fmt: skip


def _entities(report: ReportInput, total: float) -> Table:
    found = report.measures["attribution"]
    at = np.flatnonzero(found["entity_contribution"].values > 0.0)
    without = found["without_entity"].values[at]
    return Table(
        "attribution_entities",
        "Owners that add most; without: mean of the same scenarios with none of its accounts there, others' cascades "
        "changed by that too (not computed for all)",
        (column("entity", "Owner", "text", found["entity_name"].values[at]),
         column("contribution", "Contribution", "usd", found["entity_contribution"].values[at]),
         column("share", "Share", "share", found["entity_share"].values[at]),
         column("without", "Without", "usd", without),
         column("saved", "Saved, at most", "usd", total - without)),
        source_of(report, found, "entity_contribution"),
    )  # fmt: skip
