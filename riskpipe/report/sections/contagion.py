"""Contagion: what cascades add, who loses with whom, and whose books are the same."""

import numpy as np

from riskpipe.report import numbers
from riskpipe.report.document import Block, Paragraph, Section, Table
from riskpipe.report.report_input import ReportInput
from riskpipe.report.sections.losses import HEADLINES
from riskpipe.report.sections.names import entity_name
from riskpipe.report.wording import column, flattened, label_columns, set_words, source_of


def contagion_section(report: ReportInput) -> Section:
    """Amplification, losses given distress, overlaps of what venues close and owners hold."""
    blocks: list[Block] = [
        *amplification_blocks(report),
        *conditional_blocks(report),
        *venue_blocks(report),
        *owner_blocks(report),
    ]
    if not blocks:
        blocks.append(Paragraph("Nothing is liquidated and nobody holds the same book: there is nothing to spread."))
    return Section("contagion", "Contagion", tuple(blocks))


def amplification_blocks(report: ReportInput) -> list[Block]:
    """First round against all rounds."""
    found = report.measures["amplification"]
    keep = np.flatnonzero(flattened(found, "liquidated_notional") > 0.0)
    if len(keep) == 0:
        return []
    labelled = label_columns(found, ("variant", "set", "reading"), ("Variant", "Set", "Scenario with"), ("text",) * 3)
    labelled[1] = column("set", "Set", "text", [set_words(str(label)) for label in labelled[1].values])
    return [
        Table(
            "amplification",
            "What cascades add: notional liquidated in the first round, by the shock alone, and in all rounds. The "
            "mean is over scenarios that have probabilities",
            (
                *(column(one.name, one.label, one.kind, [one.values[k] for k in keep]) for one in labelled),
                column("first_round_notional", "First round", "usd", flattened(found, "first_round_notional")[keep]),
                column("liquidated_notional", "All rounds", "usd", flattened(found, "liquidated_notional")[keep]),
                column("amplification", "Amplification", "factor", flattened(found, "amplification")[keep]),
                column("scenario", "Scenario", "id", flattened(found, "scenario")[keep]),
            ),
            source_of(report, found, "amplification"),
            n_shown=24,
        )
    ]


def conditional_blocks(report: ReportInput) -> list[Block]:
    """What parties lose when another is in distress."""
    found = report.measures["conditional_losses"]
    mean = np.asarray(found["conditional_mean"].values)
    variant, headline, distressed, party = np.nonzero(mean > 0.0)  # NaN is not
    other = distressed != party
    variant, headline, distressed, party = (ix[other] for ix in (variant, headline, distressed, party))
    if len(variant) == 0:
        return []
    usual = np.asarray(found["mean"].values)[variant, headline, party]
    given = mean[variant, headline, distressed, party]
    order = np.lexsort((-given, headline, variant))
    variant, headline, distressed, party = (ix[order] for ix in (variant, headline, distressed, party))
    usual, given = usual[order], given[order]
    level = numbers.share(1.0 - float(found.attrs["level"]))
    # a venue and the fund named after it would read alike
    names = [
        name if scope == "system" else f"{scope} {name}"
        for scope, name in zip(found["scope"].values.tolist(), found["party"].values.tolist(), strict=True)
    ]
    return [
        Table(
            "conditional_losses",
            f"Losses of one given distress of another: the worst {level} of its simulated losses, as far as it loses "
            "anything. Mean and expected shortfall of the party then, and what they are otherwise. It tells what goes "
            "together, not what causes what",
            (
                column("variant", "Variant", "text", found["variant"].values[variant]),
                column("headline", "Loss", "text", [HEADLINES[str(found["headline"].values[h])] for h in headline]),
                column("distressed", "In distress", "text", [names[k] for k in distressed]),
                column("party", "Party", "text", [names[k] for k in party]),
                column("conditional_mean", "Mean then", "usd", given),
                column("mean", "Mean", "usd", usual),
                column("multiple", "Times", "factor", given / np.where(usual > 0.0, usual, np.nan)),
                column("conditional_shortfall", "Expected shortfall then", "usd",
                       found["conditional_shortfall"].values[variant, headline, distressed, party]),
                column("expected_shortfall", "Expected shortfall", "usd",
                       found["expected_shortfall"].values[variant, headline, party]),
                column("chance", "Chance of distress", "share", found["chance"].values[variant, headline, distressed]),
                column("n_distress", "Scenarios of it", "count",
                       found["n_distress"].values[variant, headline, distressed]),
            ),
            source_of(report, found, "conditional_mean"),
            n_shown=16,
        )
    ]  # fmt: skip


def venue_blocks(report: ReportInput) -> list[Block]:
    """Books that venues close together, and owners they share."""
    found = report.measures["venue_overlap"]
    central = found.isel(variant=0)
    overlap, shared = np.asarray(central["overlap"].values), np.asarray(found["shared_interest"].values)
    first, second = np.nonzero((np.abs(np.nan_to_num(overlap)) > 0.0) | (shared > 0.0))
    other = first != second
    first, second = first[other], second[other]
    if len(first) == 0:
        return []
    cost = np.asarray(central["price_cost"].values)[first, second]
    order = np.lexsort((-shared[first, second], -np.abs(cost)))
    first, second, cost = first[order], second[order], cost[order]
    return [
        Table(
            "venue_overlap",
            "Venues two by two. Closings: in the central variant's scenario that liquidates most "
            f"({int(central['scenario'])}), how alike the books closed are by underlying, weighted by depth (1 = the "
            "same, -1 = opposite), and by how much one's closings worsen the other's prices. Owners: positions on the "
            "first of owners who have positions on the second, too (a lower bound)",
            (
                column("venue", "Venue", "text", found["venue"].values[first]),
                column("other_venue", "Other venue", "text", found["other_venue"].values[second]),
                column("overlap", "Overlap of closings", "number", overlap[first, second]),
                column("price_cost", "Cost of the other's", "usd", cost),
                column("shared_interest", "Shared owners' positions", "usd", shared[first, second]),
                column("shared_share", "Of the venue's", "share",
                       np.asarray(found["shared_share"].values)[first, second]),
            ),
            source_of(report, found, "overlap"),
            n_shown=16,
        )
    ]  # fmt: skip


def owner_blocks(report: ReportInput) -> list[Block]:
    """Books of the owners nearest to liquidation."""
    found, owners = report.measures["owner_overlap"], report.measures["owners"]
    overlap = np.asarray(found["overlap"].values)
    direction, first, second = np.nonzero(np.abs(np.nan_to_num(overlap)) > 0.0)
    once = first < second
    direction, first, second = direction[once], first[once], second[once]
    if len(direction) == 0:
        return []
    cost = np.asarray(found["price_cost"].values)[direction, first, second]
    order = np.argsort(-np.abs(cost), kind="stable")
    direction, first, second, cost = direction[order], first[order], second[order], cost[order]
    words = [str(label) for label in found["direction"].values]
    entity = np.stack([owners["holding_entity"].sel(holding=f"liquidatable {word}").values for word in words])
    return [
        Table(
            "owner_overlap",
            "Owners with the most positions within 10% of liquidation, two by two: how alike these positions are by "
            "underlying, weighted by depth, and by how much closing one's would worsen the other's prices",
            (
                column("direction", "Index", "text", [words[d] for d in direction]),
                column("owner", "Owner", "text", [entity_name(report, int(ix)) for ix in entity[direction, first]]),
                column(
                    "other", "Other owner", "text", [entity_name(report, int(ix)) for ix in entity[direction, second]]
                ),
                column("overlap", "Overlap", "number", overlap[direction, first, second]),
                column("price_cost", "Cost of the other's", "usd", cost),
            ),
            source_of(report, found, "overlap"),
            n_shown=12,
        )
    ]
