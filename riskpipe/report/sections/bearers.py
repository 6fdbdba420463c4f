"""Who bears what auto-deleveraging takes: owners and accounts, in a tail and in the worst scenario."""

import numpy as np

from riskpipe.domain.bearers import TAIL, WORST
from riskpipe.report import numbers
from riskpipe.report.document import Block, Paragraph, Table
from riskpipe.report.report_input import ReportInput
from riskpipe.report.wording import column, scenario_words, source_of

_WORDS = {TAIL: "mean of the tail", WORST: "worst scenario"}
_RULE = (
    "In each contract every winner on the other side gives up the same share of its open profit there; a venue that "
    "ranks its winners takes more from the first of them and nothing from the last, so that single names are an "
    "estimate where it does."
)


def bearers_blocks(report: ReportInput) -> list[Block]:
    """Who bears it, in words, then owners and accounts; words alone where nothing is taken."""
    found = report.measures["adl_bearers"]
    said = Paragraph(f"Who bears it, central variant. {_worst_words(report)} {_tail_words(report)} {_RULE}")
    if not np.nansum(found["total"].values) > 0.0:
        return [said]
    return [said, _owners(report), _accounts(report)]


def _worst_words(report: ReportInput) -> str:
    found = report.measures["adl_bearers"].sel(view=WORST)
    scenario, total = int(found["scenario"]), float(found["total"])
    if scenario < 0:
        return "No scenario of it takes anything; who bears it in other variants is not measured."
    where = scenario_words(report.measures["liquidation"], scenario)
    text = (
        f"Scenario {scenario} ({where}) takes most: {numbers.usd(total)} of profit from "
        f"{numbers.plural(float(found['bearers']), 'account')}"
    )
    if float(found["entity_cost"][0]) > 0.0:
        share = numbers.share(float(found["entity_share"][0]))
        text += f", of which {share} from the owner who bears most, {found['entity_name'].values[0]}"
    return f"{text}."


def _tail_words(report: ReportInput) -> str:
    found = report.measures["adl_bearers"].sel(view=TAIL)
    total, level = float(found["total"]), float(found["level"])
    if np.isnan(level):
        return "Over a tail it is not measured: no scenario has a probability."
    where = f"over the tail of expected shortfall beyond {numbers.share(level)}"
    if total == 0.0:
        return f"Nothing is taken {where}."
    return (
        f"The mean {where} is {numbers.usd(total)}, from {numbers.plural(float(found['bearers']), 'account')} that "
        "bear some in any scenario of it."
    )


def _owners(report: ReportInput) -> Table:
    """Largest owners of each view, then all others, so that a view adds up to what is taken."""
    found = report.measures["adl_bearers"]
    views, owners, usd, shares = [], [], [], []
    for view in (WORST, TAIL):
        here = found.sel(view=view)
        total = float(here["total"])
        rows = list(zip(here["entity_name"].values.tolist(), here["entity_cost"].values.tolist(), strict=True))
        rows.append(("owners not listed", float(here["others_cost"])))
        rows.append(("rows that stand for several owners", float(here["several_cost"])))
        for name, value in rows:
            if value > 0.0:
                views.append(_WORDS[view])
                owners.append(str(name))
                usd.append(value)
                shares.append(value / total)
    return Table(
        "adl_owners",
        "Owners who bear most of what auto-deleveraging takes; each view adds up to all of it. An account whose owner "
        "is not known counts as one",
        (column("view", "Where", "text", views), column("entity", "Owner", "text", owners),
         column("cost", "Profit taken", "usd", usd), column("share", "Share", "share", shares)),
        source_of(report, found, "entity_cost"),
    )  # fmt: skip


def _accounts(report: ReportInput) -> Table:
    found = report.measures["adl_bearers"]
    order = [found["view"].values.tolist().index(view) for view in (WORST, TAIL)]
    cost = found["account_cost"].values[order]
    view, at = np.nonzero(cost > 0.0)  # NaN is not: that view is not computed
    return Table(
        "adl_accounts", "Accounts that bear most of it; rows that stand for several owners are not listed",
        (column("view", "Where", "text", [_WORDS[(WORST, TAIL)[v]] for v in view.tolist()]),
         column("account", "Account", "text", found["account_name"].values[order][view, at]),
         column("cost", "Profit taken", "usd", cost[view, at]),
         column("share", "Share", "share", found["account_share"].values[order][view, at])),
        source_of(report, found, "account_cost"),
    )  # fmt: skip
