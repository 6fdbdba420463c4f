"""What the book holds: the largest owners, crowded positions, where liquidation prices lie, collateral ratios."""

import math

import numpy as np
import xarray as xr

from riskpipe.report import numbers
from riskpipe.report.document import Block, Paragraph, Table
from riskpipe.report.report_input import ReportInput
from riskpipe.report.sections.bars import bars
from riskpipe.report.sections.names import entity_name
from riskpipe.report.wording import column, flattened, label_columns, source_of

MAX_MARKETS = 40  # drawn in the liquidation map
_SHARES = ("0.05", "0.5", "0.95")


def owners_tables(report: ReportInput) -> list[Block]:
    """How concentrated each holding and the largest shortfall are, and the largest owners of each."""
    owners, short = report.measures["owners"], report.measures["shortfall_owners"].isel(variant=0)
    found, nearby = owners.attrs["searched"], float(owners.attrs["nearby"])
    reach = " and ".join(f"{numbers.share(min(nearby, found[name]))} {name}" for name in ("down", "up"))
    total, unknown = owners["holding_total"].values, owners["holding_unknown"].values
    is_short = float(short["total"]) > 0.0
    more = [f"shortfall, scenario {int(short['scenario'])}"] if is_short else []

    def of_each(name: str, of_shortfall: xr.DataArray) -> list[float]:
        return [*owners[name].values.tolist(), *([float(of_shortfall)] if is_short else [])]

    of_all = np.where(total > 0.0, unknown / np.where(total > 0.0, total, 1.0), np.nan)
    about = Table(
        "holdings",
        "How concentrated the book is by owner. Liquidatable: positions, and debt of loans, in accounts that an index "
        f"move of up to {reach} makes liquidatable, no cascade, other axes neutral; shortfall: in the central "
        "variant's scenario with the largest, of the owners listed (lower bounds). An account of unknown owner counts "
        "as one, one that stands for several as so many",
        (
            column("holding", "Holding", "text", [*owners["holding"].values, *more]),
            column("total", "Total", "usd", of_each("holding_total", short["total"])),
            column("hhi", "HHI (10,000 = one owner)", "number", of_each("holding_hhi", short["hhi"])),
            column("top_share", "Ten largest hold", "share", of_each("top_share", short["share"].sum())),
            column("unknown_share", "Unknown owners hold", "share", [*of_all.tolist(), *([None] * len(more))]),
        ),
        source_of(report, owners, "holding_hhi"),
    )
    amount = flattened(owners, "holding_amount")
    keep = np.flatnonzero(amount > 0.0)
    holding, rank = label_columns(owners, ("holding", "rank"), ("Holding", "Rank"), ("text", "count"))
    owed = np.flatnonzero(short["shortfall"].values > 0.0)
    entity = [*flattened(owners, "holding_entity")[keep], *short["entity"].values[owed]]
    largest = Table(
        "owners",
        "Largest owners. Rows that stand for several accounts of unknown owners are in no list",
        (
            column("holding", "Holding", "text", [*(holding.values[k] for k in keep), *(more * len(owed))]),
            column("rank", "Rank", "count", [*(rank.values[k] for k in keep), *(owed + 1).tolist()]),
            column("owner", "Owner", "text", [entity_name(report, int(ix)) for ix in entity]),
            column("amount", "Amount", "usd", [*amount[keep], *short["shortfall"].values[owed]]),
            column("share", "Share", "share", [*flattened(owners, "share")[keep], *short["share"].values[owed]]),
        ),
        source_of(report, owners, "holding_amount"),
        n_shown=50,
    )
    return [about, largest]


def positions_block(report: ReportInput) -> Block:
    """The largest net positions against depth and volume."""
    held = report.measures["positions"]
    multiple, size = flattened(held, "depth_multiple"), np.abs(flattened(held, "position"))
    keep = np.flatnonzero(size > 0.0)
    if len(keep) == 0:
        return Paragraph("No owner has a position in a contract: there is none to be hard to close.")
    keep = keep[np.lexsort((-size[keep], -np.nan_to_num(multiple[keep], nan=-1.0)))]
    instrument, rank = label_columns(held, ("instrument", "rank"), ("Instrument", "Rank"), ("text", "count"))
    larger = np.maximum(held["open_interest_long"].values, held["open_interest_short"].values)
    at = keep // held.sizes["rank"]
    return Table(
        "positions",
        "Largest net positions of one owner, those hardest to close first: over the flow that moves the price by 1%, "
        f"and days at {numbers.share(float(held.attrs['participation']))} of the average daily volume",
        (
            column("instrument", "Instrument", "text", [instrument.values[k] for k in keep]),
            column("owner", "Owner", "text",
                   [entity_name(report, int(ix)) for ix in flattened(held, "position_entity")[keep]]),
            column("position", "Position", "usd", flattened(held, "position")[keep]),
            column("depth_multiple", "Over 1% depth", "factor", multiple[keep]),
            column("days_to_liquidate", "Days to close", "number", flattened(held, "days_to_liquidate")[keep]),
            column("interest_share", "Share of open interest", "share", flattened(held, "interest_share")[keep]),
            column("rank", "Rank in instrument", "count", [rank.values[k] for k in keep]),
            column("open_interest", "Open interest, larger side", "usd", larger[at]),
            column("interest_hhi", "HHI by owner", "number", held["interest_hhi"].values[at]),
        ),
        source_of(report, held, "position"),
        n_shown=15,
    )  # fmt: skip


def map_blocks(report: ReportInput) -> list[Block]:
    """The liquidation map: main positions by the price level at which they are liquidated and called."""
    levels = report.measures["liquidation_map"]
    both = np.asarray((levels["map_long"] + levels["map_short"] + levels["call_notional"]).sum("level").values)
    order = np.argsort(-both.reshape(-1), kind="stable")
    n_held = int((both > 0.0).sum())
    if n_held == 0:
        return []
    chosen = order[: min(n_held, MAX_MARKETS)]
    n = levels.sizes["level"]
    keep = (chosen[:, None] * n + np.arange(n)).reshape(-1)
    labelled = label_columns(
        levels, ("venue", "underlying", "level"), ("Venue", "Underlying", "Price from mark"), ("text", "text", "text")
    )
    names = {
        "map_long": ("Longs liquidated", "usd"),
        "map_short": ("Shorts liquidated", "usd"),
        "map_accounts": ("Accounts liquidated", "count"),
        "call_accounts": ("Accounts called", "count"),
        "call_notional": ("Positions called", "usd"),
    }
    part = f" The {MAX_MARKETS} largest of {numbers.count(n_held)} markets are here." if n_held > MAX_MARKETS else ""
    table = Table(
        "liquidation_map",
        f"Main positions by the price of their contract, relative to its mark, at which they are liquidated and "
        f"called; nothing else moves, no cascade; passed: at the mark already.{part}",
        (
            *(column(one.name, one.label, one.kind, [one.values[k] for k in keep]) for one in labelled),
            *(column(name, label, kind, flattened(levels, name)[keep])  # type: ignore[arg-type]
              for name, (label, kind) in names.items()),
        ),
        source_of(report, levels, "map_long"),
    )  # fmt: skip
    return [
        bars(
            "liquidation_map",
            "Liquidation map",
            "Notional of accounts' main positions by the price level at which they would be liquidated if only that "
            f"price moved. Longs lie below the mark, shorts above it.{part}",
            table,
            x="level",
            filters=(("venue", True), ("underlying", True)),
            series=("map_long", "map_short"),
        )
    ]


def calls_blocks(report: ReportInput) -> list[Block]:
    """The margin-call ladder along the index axis."""
    calls = report.measures["margin_calls"]
    if not (calls["margin_call_accounts"] > 0.0).values.any():
        return []
    table = Table(
        "margin_calls",
        f"Accounts called (below initial margin, above maintenance) and closed at each index shock; "
        f"{calls.attrs['plane']}",
        (
            *label_columns(calls, ("variant", "index_shock"), ("Variant", "Index"), ("text", "signed_share")),
            column("margin_call_accounts", "Called", "count", flattened(calls, "margin_call_accounts")),
            column("liquidated_accounts", "Closed", "count", flattened(calls, "liquidated_accounts")),
        ),
        source_of(report, calls, "margin_call_accounts"),
    )
    return [
        bars(
            "margin_calls",
            "Margin-call ladder",
            "Accounts called and accounts closed at each index shock, after the cascade. One bar is one scenario.",
            table,
            x="index_shock",
            filters=(("variant", False),),
            series=("margin_call_accounts", "liquidated_accounts"),
        )
    ]


def ratios_blocks(report: ReportInput) -> list[Block]:
    """Collateral ratios of venues and their accounts, and how much they vary with the index."""
    found = report.measures["collateral_ratios"]
    keep = np.flatnonzero(found["ratio_accounts"].values > 0.0)
    if len(keep) == 0:
        return []
    deviation = float(found.attrs["index_deviation"])
    how = (
        "volatility is not measured: it needs the simulated set, of two scenarios at least"
        if math.isnan(deviation)
        else f"volatility: one deviation of the simulated index moves, {numbers.share(deviation)}, to first order"
    )
    has_sums = np.isfinite(found["ratio"].values[keep])  # where all that count are loans, nothing is summed
    sums = {name: np.where(has_sums, found[name].values[keep], np.nan) for name in ("equity", "maintenance_margin")}
    columns = [
        column("venue", "Venue", "text", found["venue"].values[keep]),
        column("equity", "Equity", "usd", sums["equity"]),
        column("maintenance_margin", "Maintenance margin", "usd", sums["maintenance_margin"]),
        column("ratio", "Ratio of sums", "factor", found["ratio"].values[keep]),
        column("ratio_volatility", "Volatility of that ratio", "factor", found["ratio_volatility"].values[keep]),
    ]
    for share in _SHARES:
        words = numbers.share(float(share))
        for name, what in (("collateral_ratio", "ratio"), ("account_volatility", "volatility of the ratio")):
            values = found[name].sel(share=share).values[keep]
            label = f"{words} of accounts: {what} at most"
            columns.append(column(f"{name}_{round(100 * float(share))}", label, "factor", values))
    return [
        Table(
            "collateral_ratios",
            "Collateral ratios at the snapshot: equity over maintenance margin, of loans health factors (in no sum); "
            "liquidatable below 1x. Quantiles over a venue's accounts are of each column's own number: the accounts of "
            f"small ratios are not those of small volatilities; {how}",
            tuple(columns),
            source_of(report, found, "ratio"),
        )
    ]


def neutral_blocks(report: ReportInput) -> list[Block]:
    """Margin of delta-neutral books, venue by venue."""
    found = report.measures["neutral_books"]
    keep = np.flatnonzero(found["neutral_interest"].values > 0.0)
    if len(keep) == 0:
        return [
            Paragraph("No owner is known to be delta-neutral: accounts of one owner on several venues need its name.")
        ]
    down, up = (found["nearby_share"].sel(direction=direction).values[keep] for direction in ("down", "up"))
    return [
        Table(
            "neutral_books",
            "Delta-neutral owners (longs and shorts, coins held and owed included, cancel underlying by underlying, to "
            "a tenth in sum): their positions and the margin under them, venue by venue, because what they own on one "
            "venue does not answer on another; and the part in accounts that an index move of up to 10% makes "
            "liquidatable. A lower bound",
            (
                column("venue", "Venue", "text", found["venue"].values[keep]),
                column("neutral_owners", "Owners", "count", found["neutral_owners"].values[keep]),
                column("neutral_interest", "Positions", "usd", found["neutral_interest"].values[keep]),
                column("interest_share", "Of the venue's", "share", found["interest_share"].values[keep]),
                column("neutral_equity", "Equity", "usd", found["neutral_equity"].values[keep]),
                column("neutral_maintenance_margin", "Maintenance margin", "usd",
                       found["neutral_maintenance_margin"].values[keep]),
                column("ratio", "Ratio", "factor", found["ratio"].values[keep]),
                column("nearby_down", "Liquidatable, index down", "share", down),
                column("nearby_up", "Liquidatable, index up", "share", up),
            ),
            source_of(report, found, "neutral_interest"),
        )
    ]  # fmt: skip
