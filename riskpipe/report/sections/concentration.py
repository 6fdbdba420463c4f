"""Concentration and distance: how few make the numbers, and how far accounts are from liquidation."""

from dataclasses import replace

import numpy as np

from riskpipe.report import numbers
from riskpipe.report.document import Block, Paragraph, Section, Table
from riskpipe.report.report_input import ReportInput
from riskpipe.report.sections.bars import bars
from riskpipe.report.sections.holdings import calls_blocks, map_blocks, owners_tables, positions_block, ratios_blocks
from riskpipe.report.sections.names import entity_name
from riskpipe.report.wording import axes_of, cell_words, column, flattened, label_columns, source_of


def concentration_section(report: ReportInput) -> Section:
    """Concentration of liquidations, of shortfalls by entity, and of the book by account."""
    blocks: list[Block] = []
    worst = report.measures["worst_cells"]
    if worst.sizes["rank"]:
        blocks.append(worst_cell_table(report))
    else:
        blocks.append(Paragraph("Nothing is liquidated, so that there is nothing to be concentrated."))
    blocks += [*owners_tables(report), positions_block(report), accounts_table(report)]
    return Section("concentration", "Concentration", tuple(blocks))


def worst_cell_table(report: ReportInput) -> Table:
    """Concentration in each of the worst cells."""
    worst = report.measures["worst_cells"]
    exposure, entities = report.measures["exposure_concentration"], report.measures["entity_concentration"]
    rows = worst["scenario"].values.astype(np.int64)
    market = [
        f"{venue} {underlying}".strip()
        for venue, underlying in zip(
            exposure["largest_venue"].values[rows], exposure["largest_underlying"].values[rows], strict=True
        )
    ]
    names = [entity_name(report, int(index)) for index in entities["entity"].values[rows]]
    axes = axes_of(worst)
    where = [cell_words({axis: float(worst[axis].values[k]) for axis in axes}) for k in range(len(rows))]
    return Table(
        "concentration",
        "Concentration in the worst cells: HHI of notional liquidated by venue and underlying (10,000 = one market), "
        "and the beneficial owner with the largest shortfall. A share is a lower bound where an owner is outside some "
        "fund's ten largest",
        (
            column("rank", "Rank", "count", worst["rank"].values),
            column("scenario", "Scenario", "id", rows),
            column("cell", "Cell", "text", where),
            column("variant", "Variant", "text", worst["variant"].values),
            column("hhi", "HHI", "number", exposure["hhi"].values[rows]),
            column("largest_market", "Largest market", "text", market),
            column("largest_share", "Its share", "share", exposure["largest_share"].values[rows]),
            column("entity", "Largest shortfall", "text", names),
            column("entity_shortfall", "Shortfall", "usd", entities["entity_shortfall"].values[rows]),
            column("entity_share", "Its share", "share", entities["entity_share"].values[rows]),
        ),
        source_of(report, entities, "entity_share"),
        n_shown=10,
    )


def accounts_table(report: ReportInput) -> Table:
    """The largest accounts at the snapshot."""
    top = report.measures["account_concentration"]
    keep = np.flatnonzero(flattened(top, "account") != "")
    quantity, rank = label_columns(top, ("quantity", "rank"), ("Quantity", "Rank"), ("text", "count"))
    kept_out = int(top["n_pseudo_accounts"].values)
    totals = ", ".join(
        f"{name} {numbers.usd(total)} of which the listed hold {numbers.share(part)}" if total > 0.0 else f"no {name}"
        for name, total, part in zip(
            top["quantity"].values, top["total"].values.tolist(), top["top_share"].values.tolist(), strict=True
        )
    )
    return Table(
        "largest_accounts",
        f"Largest accounts at the snapshot: {totals}. {numbers.plural(kept_out, 'row')} that stand for "
        "several accounts count in the totals only",
        (
            column("quantity", "Quantity", "text", np.array(quantity.values, object)[keep]),
            column("rank", "Rank", "count", np.array(rank.values)[keep]),
            *(
                column(name, name.capitalize(), "text", flattened(top, name)[keep])
                for name in ("account", "entity", "venue")
            ),
            column("amount", "Amount", "usd", flattened(top, "amount")[keep]),
            column("share", "Share", "share", flattened(top, "share")[keep]),
        ),
        source_of(report, top, "amount"),
        n_shown=20,
    )


def distances_section(report: ReportInput) -> Section:
    """Accounts by their distance to liquidation."""
    distances = report.measures["distances"]
    dims = ("direction", "venue", "bin")
    found = distances.attrs["searched"]
    searched = f"searched to {numbers.share(-found['down'], is_signed=True)} and "
    searched += f"{numbers.share(found['up'], is_signed=True)}, the furthest index moves of all scenarios"
    # bins beyond a direction's own search would say "nobody" where nobody looked
    is_searched = distances["is_searched"].broadcast_like(distances["accounts"]).transpose(*dims)
    keep = np.flatnonzero(np.asarray(is_searched.values).reshape(-1))
    columns = (
        *label_columns(distances, dims, ("Index", "Venue", "Distance"), ("text", "text", "text")),
        column("accounts", "Accounts", "count", flattened(distances, "accounts")),
        column("equity", "Equity", "usd", flattened(distances, "equity")),
        column("maintenance_margin", "Maintenance margin", "usd", flattened(distances, "maintenance_margin")),
    )
    table = Table(
        "distances",
        "Accounts by the smallest index move that makes them liquidatable: no cascade, other axes neutral, weighted; "
        f"{searched}",
        tuple(replace(one, values=tuple(one.values[ix] for ix in keep)) for one in columns),
        source_of(report, distances, "accounts"),
        n_shown=100,
    )
    if not distances["accounts"].values.any():
        return Section("distances", "Distance to liquidation", (Paragraph("The book holds no accounts."), table))
    chart = bars(
        "distances",
        "Accounts by distance",
        "Accounts by the index move, down or up, that alone would make them liquidatable; "
        f"{searched}. Accounts that no move reaches stand in the last bar.",
        table,
        x="bin",
        filters=(("direction", False), ("venue", True)),
        series=("accounts",),
    )
    around = (*map_blocks(report), *calls_blocks(report), *ratios_blocks(report))
    return Section("distances", "Distance to liquidation", (chart, *around))
