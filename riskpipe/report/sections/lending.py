"""Loans: how much debt is toxic, the frontier by the fall of collateral, venues, underwater debt along the index."""

import numpy as np

from riskpipe.report import numbers
from riskpipe.report.document import Block, Paragraph, Point, Section, Table, Tone
from riskpipe.report.report_input import ReportInput
from riskpipe.report.sections.bars import bars
from riskpipe.report.wording import column, flattened, label_columns, measure_columns, source_of

# the fall named in the first sentence; the table holds the others
NAMED_FALL = 0.2
# less of all debt than this is no alarm: a basis point, as elsewhere two figures agree
SMALL_SHARE = 0.0001
_VENUE_LABELS = {
    "accounts": "Accounts",
    "debt": "Debt",
    "lowest_health": "Lowest health",
    "lowest_health_debt": "Debt of that loan",
    "liquidatable_debt": "Liquidatable now",
    "toxic_debt": "Toxic now",
    "toxic_accounts": "Toxic accounts",
    "toxic_once_liquidatable_debt": "Toxic once liquidatable",
}


def has_loans(report: ReportInput) -> bool:
    """Whether any account of the book owes a loan."""
    return report.measures["loans"].sizes["venue"] > 0


def loans_points(report: ReportInput) -> list[Point]:
    """How much debt is toxic now, and what that means; nothing without loans."""
    if not has_loans(report):
        return []
    taken = report.measures["loans"]
    whole = float(taken["debt"].sum())
    now = taken.sel(fall=0.0)
    toxic, both = (float(now[name].sum()) for name in ("toxic_debt", "liquidatable_toxic_debt"))
    later = float(taken["toxic_debt"].sel(fall=NAMED_FALL).sum()) - toxic
    if toxic > 0.0:
        now_words = "it" if both == toxic else f"{numbers.usd(both)} of it" if both > 0.0 else ""
        text = (
            f"{numbers.usd(toxic)} of {numbers.usd(whole)} of debt ({_share_words(toxic / whole)}) is toxic at the "
            "snapshot's prices (no variant moves this): the collateral is worth less than the debt with the "
            "liquidator's bonus, so that liquidating it all leaves debt unpaid; "
            + (f"{now_words} can be liquidated now" if now_words else "none of it can be liquidated yet")
        )
    else:
        text = (
            f"None of {numbers.usd(whole)} of debt is toxic at the snapshot's prices (no variant moves this): every "
            "loan's collateral is worth its debt with the liquidator's bonus"
        )
    if later > 0.0:
        more = f"another {numbers.usd(later)}" if toxic > 0.0 else f"{numbers.usd(later)} of it"
    else:
        more = "no more of it" if toxic > 0.0 else "none of it"
    text += f". A fall of all collateral by {numbers.share(NAMED_FALL)}, debts unchanged, would make {more} toxic"
    now_tone: Tone = "bad" if both > SMALL_SHARE * whole else "warn"
    tone: Tone = now_tone if toxic > 0.0 else "plain" if later > 0.0 else "good"
    return [Point(f"{text}.", tone, source_of(report, taken, "toxic_debt"))]


def loans_sections(report: ReportInput) -> tuple[Section, ...]:
    """Loans, where the book has any."""
    if not has_loans(report):
        return ()
    (first,) = loans_points(report)
    blocks: list[Block] = [
        Paragraph(first.text, first.tone),
        Paragraph(
            "A static check of each loan on its own: all that it holds falls by the same fraction at once, its debt "
            "stays, and nothing is sold: no cascade, no slippage, no cost of liquidating. Toxic debt is all that such "
            "loans owe, not what would be lost. Where a debt moves with its collateral, as ETH borrowed against staked "
            "ETH, read the fall as that of the one against the other. What is lost in the run's own scenarios, where "
            "each asset moves by its own beta and liquidations are played out, stands below as underwater debt."
        ),
        frontier_table(report),
        frontier_chart(report),
        venues_table(report),
        underwater_block(report),
    ]
    return (Section("loans", "Loans", tuple(blocks)),)


def frontier_table(report: ReportInput) -> Table:
    """The frontier of all venues: debt by the fall of all collateral."""
    taken = report.measures["loans"]
    whole = float(taken["debt"].sum())
    found = {
        name: np.asarray(taken[name].sum("venue").values)
        for name in ("liquidatable_debt", "toxic_debt", "liquidatable_toxic_debt", "toxic_accounts")
    }
    return Table(
        "loan_frontier",
        f"Of {numbers.usd(whole)} of debt, what a fall of all collateral makes liquidatable (health factor below 1), "
        "toxic (collateral below debt plus bonus: a full liquidation leaves bad debt) and both; each row holds what "
        "smaller falls do",
        (
            column("fall", "Fall", "share", taken["fall"].values),
            column("liquidatable_debt", "Liquidatable", "usd", found["liquidatable_debt"]),
            column("liquidatable_share", "Of all debt", "share", found["liquidatable_debt"] / whole),
            column("toxic_debt", "Toxic", "usd", found["toxic_debt"]),
            column("toxic_share", "Of all debt", "share", found["toxic_debt"] / whole),
            column("liquidatable_toxic_debt", "Both", "usd", found["liquidatable_toxic_debt"]),
            column("toxic_accounts", "Toxic accounts", "count", found["toxic_accounts"]),
        ),
        source_of(report, taken, "toxic_debt"),
    )


def frontier_chart(report: ReportInput) -> Block:
    """The frontier by venue, its parts apart so that they can be stacked."""
    taken = report.measures["loans"]
    liquidatable, toxic, both = (
        flattened(taken, name) for name in ("liquidatable_debt", "toxic_debt", "liquidatable_toxic_debt")
    )
    toxic_only = np.maximum(0.0, toxic - both)
    table = Table(
        "loan_frontier_venues",
        "Debt by the fall of all collateral and venue, each loan in one column at most",
        (
            *label_columns(taken, ("venue", "fall"), ("Venue", "Fall of all collateral"), ("text", "share")),
            column("both", "Liquidatable and toxic", "usd", both),
            column("liquidatable_only", "Liquidatable, not toxic", "usd", np.maximum(0.0, liquidatable - both)),
            column("toxic_only", "Toxic, not yet liquidatable", "usd", toxic_only),
        ),
        source_of(report, taken, "liquidatable_toxic_debt"),
        n_shown=100,
    )
    return bars(
        "loan_frontier_venues",
        "Toxic-liquidation frontier",
        "Debt within reach of a fall of all collateral: what can be liquidated but leaves bad debt, what can be "
        "liquidated with nothing left unpaid, and what is toxic before it can be liquidated"
        f"{'' if toxic_only.any() else ' (none)'}.",
        table,
        x="fall",
        filters=(("venue", True),),
        series=("both", "liquidatable_only", *(["toxic_only"] if toxic_only.any() else [])),
    )


def venues_table(report: ReportInput) -> Table:
    """Loans of each venue at the snapshot."""
    taken = report.measures["loans"]
    return Table(
        "loan_venues",
        "Loans of each venue at the snapshot's prices. Toxic once liquidatable: loans that no further fall makes "
        "liquidatable before they are toxic, since threshold x (1 + bonus) is 1 or more at their own mix, or since "
        "they are both already",
        (
            column("venue", "Venue", "text", taken["venue"].values),
            *measure_columns(taken.sel(fall=0.0), tuple(_VENUE_LABELS), _VENUE_LABELS),
        ),
        source_of(report, taken, "toxic_once_liquidatable_debt"),
        n_shown=100,
    )


def underwater_block(report: ReportInput) -> Block:
    """Underwater debt at each index shock, or words where there is none."""
    found = report.measures["underwater"]
    if found.sizes["index_shock"] == 0:
        return Paragraph("The run has no grid, so that there is no underwater debt along the index axis to show.")
    plane = found.attrs["plane"]
    if not np.nan_to_num(found["high"].values).any():
        return Paragraph(f"No index move of the grid leaves debt beyond its collateral ({plane}).", "good")
    low, central, high = (found[name].values for name in ("low", "central", "high"))
    brackets = [column("low", "Low", "usd", low), column("high", "High", "usd", high)]
    table = Table(
        "underwater_debt",
        f"Underwater debt at each index shock: debt of all loans beyond their collateral, after the scenario's own "
        f"liquidations, at its final prices; {plane}; low and high over the variants",
        (
            column("index_shock", "Index", "signed_share", found["index_shock"].values),
            column("central", "Underwater debt", "usd", central),
            *brackets,
        ),
        source_of(report, found, "central"),
    )
    return bars(
        "underwater_debt",
        "Underwater debt by index move",
        "Debt of all loans beyond their collateral after the liquidations of each scenario, at its final prices, the "
        f"central variant; each asset moves by its own beta; {plane}. One bar is one scenario, not a sum up to it.",
        table,
        x="index_shock",
        filters=(),
        series=("central",),
    )


def _share_words(share: float) -> str:
    """A share as a percentage; what would read 0% is not nothing."""
    return "under 0.001%" if share < 0.00001 else numbers.share(share)
