"""Are funds large enough: for their largest owners, for the tail of losses, for thinner books; what ADL takes."""

import numpy as np

from riskpipe.report.document import Block, Paragraph, Table
from riskpipe.report.report_input import ReportInput
from riskpipe.report.sections.bars import bars
from riskpipe.report.sections.bearers import bearers_blocks
from riskpipe.report.sections.names import entity_name
from riskpipe.report.sections.waterfall import PAYERS
from riskpipe.report.wording import bracket_words, column, flattened, label_columns, picked, rows_of_funds, source_of


def adequacy_blocks(report: ReportInput) -> list[Block]:
    """Cover-1 and Cover-2, funds over expected shortfalls, exhausting moves by depth, the cost of ADL."""
    return [*cover_blocks(report), *tail_blocks(report), *depth_blocks(report), *adl_blocks(report)]


def cover_blocks(report: ReportInput) -> list[Block]:
    """Funds against their largest owners."""
    cover = report.measures["cover"]
    dims = ("fund", "variant", "set", "owners")
    keep = np.flatnonzero(np.isfinite(flattened(cover, "ratio")))
    if len(keep) == 0:
        return []
    labelled = label_columns(cover, dims, ("Fund", "Variant", "Set", "Owners"), ("text", "text", "text", "count"))
    ratio = flattened(cover, "ratio")
    keep = keep[np.argsort(ratio[keep], kind="stable")]
    return [
        Table(
            "cover",
            "Cover-1 and Cover-2: each fund before use over the shortfall of its one and two largest owners, in the "
            "scenario of each set that makes it smallest; below 1x the fund does not cover them. Owners are those of "
            "the fund's ten largest; an account whose owner is not known counts as one, so that the ratio may be too "
            "large",
            (
                *(column(one.name, one.label, one.kind, [one.values[k] for k in keep]) for one in labelled),
                column("ratio", "Fund over shortfall", "factor", ratio[keep]),
                column("fund_balance", "Fund", "usd", flattened(cover, "fund_balance")[keep]),
                column("owners_shortfall", "Their shortfall", "usd", flattened(cover, "owners_shortfall")[keep]),
                column("entity", "Largest owner", "text",
                       [entity_name(report, int(ix)) for ix in flattened(cover, "entity")[keep]]),
                column("scenario", "Scenario", "id", flattened(cover, "scenario")[keep]),
            ),
            source_of(report, cover, "ratio"),
            n_shown=16,
        )
    ]  # fmt: skip


def tail_blocks(report: ReportInput) -> list[Block]:
    """Funds against the expected shortfall of what falls to them, and who bears it."""
    tail = report.measures["fund_tail"]
    expected = flattened(tail, "expected_shortfall")
    keep = np.flatnonzero(expected > 0.0)  # NaN is not: without a simulated set there is nothing to tell
    if len(keep) == 0:
        return []
    labelled = label_columns(
        tail, ("fund", "variant", "level"), ("Fund", "Variant", "Level"), ("text", "text", "share")
    )
    borne = np.asarray(tail["borne"].values).reshape(-1, tail.sizes["payer"])
    payers = [str(name) for name in tail["payer"].values]
    paying = [name for k, name in enumerate(payers) if borne[keep, k].any()]
    table = Table(
        "fund_tail",
        "Expected shortfall of what falls to each fund, means over the worst 5% and 1% of its simulated shortfalls: "
        "the fund before use over it (below 1x it does not pay the mean of its tail by itself), and what each payer "
        "bears of it; they add up",
        (
            *(column(one.name, one.label, one.kind, [one.values[k] for k in keep]) for one in labelled),
            column("expected_shortfall", "Expected shortfall", "usd", expected[keep]),
            column("fund_balance", "Fund", "usd", flattened(tail, "fund_balance")[keep]),
            column("fund_over_shortfall", "Fund over it", "factor", flattened(tail, "fund_over_shortfall")[keep]),
            *(column(name, PAYERS[name], "usd", borne[keep, k]) for k, name in enumerate(payers)),
        ),
        source_of(report, tail, "expected_shortfall"),
        n_shown=16,
    )
    return [
        bars(
            "fund_tail",
            "Who bears the tail",
            "Expected shortfall of what falls to each fund over its worst simulated scenarios, by who bears it.",
            table,
            x="fund",
            filters=(("variant", False), ("level", False)),
            series=tuple(paying),
            places=tuple(list(PAYERS).index(name) for name in paying),
        )
    ]


def depth_blocks(report: ReportInput) -> list[Block]:
    """Smallest exhausting moves over the depths of the grid."""
    walked = report.measures["exhaustion_by_depth"]
    if walked.sizes["depth_factor"] < 2 or np.isnan(walked["first_exhausted"].values).all():
        return []
    dims = ("fund", "variant", "direction", "depth_factor")
    names = ("last_held", "first_exhausted", "heals_at")
    found = {name: flattened(walked, name) for name in (*names, "status")}
    words = [bracket_words(*row) for row in zip(*(found[name].tolist() for name in (*names, "status")), strict=True)]
    table = Table(
        "exhaustion_by_depth",
        f"Smallest index move that exhausts each fund, at every depth of the grid; {walked.attrs['plane']}; nothing is "
        "interpolated",
        picked(
            (
                *label_columns(walked, dims, ("Fund", "Variant", "Index", "Depth"), ("text", "text", "text", "factor")),
                column("bracket", "Bracket", "text", words),
                column("smallest", "Smallest exhausting move", "share", np.abs(found["first_exhausted"])),
                column("last_held", "Last held", "signed_share", found["last_held"]),
                column("heals_at", "Holds again at", "signed_share", found["heals_at"]),
            ),
            rows_of_funds(report, walked, dims),
        ),
        source_of(report, walked, "first_exhausted"),
        n_shown=24,
    )
    return [
        bars(
            "exhaustion_by_depth",
            "Smallest exhausting move by depth",
            "How far the index has to move until the fund is exhausted, at each depth of the books; no bar where no "
            "move of the grid exhausts it. The first value of the grid that exhausts is drawn.",
            table,
            x="depth_factor",
            filters=(("fund", False), ("variant", False), ("direction", False)),
            series=("smallest",),
        )
    ]


def adl_blocks(report: ReportInput) -> list[Block]:
    """What auto-deleveraging takes from winners."""
    cost = report.measures["adl_cost"]
    keep = np.flatnonzero(flattened(cost, "adl_loss") > 0.0)
    if len(keep) == 0:
        return [Paragraph("Auto-deleveraging takes nothing from winners in any scenario.")]
    labelled = label_columns(cost, ("fund", "variant"), ("Fund", "Variant"), ("text", "text"))
    return [
        Paragraph(
            "Auto-deleveraging closes winners' positions at the price at which losers are bankrupt: what it takes is "
            "their profit."
        ),
        Table(
            "adl_cost",
            "Auto-deleveraging in the scenario in which it takes most",
            (
                *(column(one.name, one.label, one.kind, [one.values[k] for k in keep]) for one in labelled),
                column("adl_loss", "Profit taken", "usd", flattened(cost, "adl_loss")[keep]),
                column("adl_notional", "Positions removed", "usd", flattened(cost, "adl_notional")[keep]),
                column("loss_share", "Taken over removed", "share", flattened(cost, "loss_share")[keep]),
                column("shortfall_share", "Share of shortfall", "share", flattened(cost, "shortfall_share")[keep]),
                column("scenario", "Scenario", "id", flattened(cost, "scenario")[keep]),
                column("n_scenarios", "Scenarios with any", "count", flattened(cost, "n_scenarios")[keep]),
            ),
            source_of(report, cost, "adl_loss"),
            n_shown=16,
        ),
        *bearers_blocks(report),
    ]
