"""Reference arrays: instruments, quotes, depth, tiers, assets, collateral and funds of a part, as the book's arrays."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from riskpipe.domain.book import FloatArray, InstrumentKind, OffsetArray
from riskpipe.domain.findings import Findings, Reason, Severity
from riskpipe.ingest.columns import (
    booleans,
    equals,
    floats,
    name_rows,
    nulls,
    one_piece,
    report_rows,
    rows_of,
    starts,
    unique_names,
)
from riskpipe.ingest.ladder_rules import group_rows
from riskpipe.ingest.market_rules import MAX_TABLE_DISTANCE_BPS
from riskpipe.ingest.part import Part

_DEDUCTION_TOLERANCE = 1e-6
_KINDS = {
    "perpetual": InstrumentKind.PERPETUAL,
    "future": InstrumentKind.FUTURE,
    "option": InstrumentKind.OPTION,
}


@dataclass(frozen=True)
class Labels:
    """Names of the book's dimensions in their order, and which funds are listed."""

    asset: pa.Array
    venue: pa.Array
    fund: pa.Array
    n_listed_funds: int


def order_labels(part: Part) -> Labels:
    """Return the names of assets, venues and funds in the book's order.

    Assets: venue-null prices in file order, then assets that only venues price, the numeraire last unless it has a row.
    Venues: as instruments, then accounts, then funds, prices and collateral mention them. Funds: as listed, then one
    named after each venue that needs a default (it keeps accounts, or lists an instrument without fund) and lists none.
    """
    prices, accounts, instruments = part.tables["prices"], part.tables["accounts"], part.tables["instruments"]
    is_common = pa.array(nulls(prices, "venue"))
    numeraire = pa.array([part.numeraire], pa.string())
    asset = unique_names(prices.filter(is_common).column("asset"), prices.column("asset"), numeraire)
    venue = unique_names(
        *(
            part.tables[name].column("venue")
            for name in ("instruments", "accounts", "insurance_funds", "prices", "collateral")
        )
    )
    listed = one_piece(part.tables["insurance_funds"].column("fund"))
    without_fund = instruments.filter(pa.array(nulls(instruments, "fund")))
    named = instruments.column("fund").filter(pa.array(~nulls(instruments, "fund")))
    needs = unique_names(accounts.column("venue"), without_fund.column("venue"), named)
    defaults = venue.filter(pa.array((rows_of(venue, needs) >= 0) & (rows_of(venue, listed) < 0)))
    return Labels(asset, venue, pa.concat_arrays([listed, defaults]), len(listed))


def instrument_arrays(part: Part, labels: Labels) -> dict[str, np.ndarray]:
    """Return the book's instrument and quote arrays, [i]."""
    table, quotes = part.tables["instruments"], part.tables["quotes"]
    kind = np.full(table.num_rows, -1, dtype=np.int32)
    for name, code in _KINDS.items():
        kind[equals(table, "kind", name)] = code
    fund = pc.coalesce(table.column("fund"), table.column("venue"))
    expiry = pc.fill_null(table.column("expiry").cast(pa.int64()), fill_value=-1)
    quote_row = rows_of(table.column("instrument_id"), quotes.column("instrument_id"))
    quoted = {
        name: floats(quotes, name)[quote_row]
        for name in (
            "mark_price",
            "funding_rate",
            "funding_interval_hours",
            "open_interest",
            "adv_usd",
            "daily_vol",
            "depth_usd_1pct",
            "implied_vol",
        )
    }
    is_option = kind == InstrumentKind.OPTION
    return {
        "instrument_venue": rows_of(table.column("venue"), labels.venue),
        "instrument_kind": kind,
        "instrument_underlying": rows_of(table.column("underlying"), labels.asset),
        "instrument_quote": rows_of(table.column("quote_asset"), labels.asset),
        "instrument_settlement": rows_of(table.column("settlement_asset"), labels.asset),
        "instrument_multiplier": floats(table, "multiplier"),
        "instrument_is_inverse": booleans(table, "is_inverse"),
        "instrument_expiry_us": expiry.to_numpy(),
        "instrument_fund": rows_of(fund, labels.fund),
        **quoted,
        "implied_vol": np.where(is_option, quoted["implied_vol"], np.nan),
        "instrument_strike": np.where(is_option, floats(table, "strike"), np.nan),
        "instrument_is_call": is_option & equals(table, "option_type", "call"),
        "table_depth_bid": _table_depth(part, "bid"),
        "table_depth_ask": _table_depth(part, "ask"),
    }


def _table_depth(part: Part, side: str) -> FloatArray:
    """Return USD per unit of relative move [i]: at the largest distance within 100 bps that was reached; NaN = none."""
    table, instruments = part.tables["depth"], part.tables["instruments"]
    row = rows_of(table.column("instrument_id"), instruments.column("instrument_id"))
    distance, reached = floats(table, "distance_bps"), floats(table, "cumulative_usd")
    with np.errstate(invalid="ignore"):
        is_read = (row >= 0) & equals(table, "side", side) & (reached > 0) & (distance <= MAX_TABLE_DISTANCE_BPS)
    rows = np.flatnonzero(is_read)
    rows = rows[np.argsort(distance[rows], kind="stable")]
    result = np.full(instruments.num_rows, np.nan)
    result[row[rows]] = reached[rows] / (distance[rows] / 1e4)  # of several the last one stays: the farthest
    return result


def recompute_deductions(floors: FloatArray, rates: FloatArray) -> FloatArray:
    """Return the deduction of each tier of one schedule, USD, so that margin is continuous where tiers meet.

    deduction_k = deduction_{k-1} + floor_k (rate_k - rate_{k-1}), deduction_0 = 0 (venues publish it as the maintenance
    amount).
    """
    steps = np.zeros_like(floors)
    steps[1:] = floors[1:] * (rates[1:] - rates[:-1])
    return np.cumsum(steps)


def _deductions(table: pa.Table, first: OffsetArray, findings: Findings) -> FloatArray:
    """Return given deductions, and recomputed ones where none is given; tell where the two differ."""
    floors, rates, given = (floats(table, name) for name in ("floor", "maintenance_rate", "deduction"))
    recomputed = np.empty_like(floors)
    for start, stop in pairwise(first):
        recomputed[start:stop] = recompute_deductions(floors[start:stop], rates[start:stop])
    with np.errstate(invalid="ignore"):
        differs = np.abs(given - recomputed) > _DEDUCTION_TOLERANCE * np.maximum(1.0, np.abs(recomputed))
    rows = np.flatnonzero(differs)
    if len(rows):
        names = name_rows(table, rows, ("tier_schedule", "floor", "deduction"), limit=5)
        findings.add(
            Severity.WARNING,
            Reason.DEDUCTION_DIFFERS,
            "margin_tiers",
            f"{len(rows)} given deductions differ from those that make margin continuous; the given ones are used",
            count=len(rows),
            examples=[f"{name}, recomputed {recomputed[row]!r}" for name, row in zip(names, rows[:5], strict=True)],
        )
    return np.where(np.isnan(given), recomputed, given)


def tier_arrays(part: Part, findings: Findings) -> dict[str, np.ndarray]:
    """Return each instrument's own copy of its tier schedule: none of options, nor of those that name none."""
    tiers = part.tables["margin_tiers"]
    order, _, is_first = group_rows(tiers, ("tier_schedule",))
    tiers = tiers.take(pa.array(order))
    first = np.append(np.flatnonzero(is_first), len(order)).astype(np.int64)
    deduction = _deductions(tiers, first, findings)
    schedules = one_piece(tiers.column("tier_schedule")).take(pa.array(first[:-1]))
    instruments = part.tables["instruments"]
    schedule = rows_of(instruments.column("tier_schedule"), schedules)
    has_tiers = (schedule >= 0) & ~equals(instruments, "kind", "option")
    n_tiers = np.where(has_tiers, first[schedule + 1] - first[schedule], 0)
    start = starts(n_tiers)
    rows = np.repeat(first[schedule] - start[:-1], n_tiers) + np.arange(start[-1])
    return {
        "instrument_tier_start": start,
        "tier_floor": floats(tiers, "floor")[rows],
        "tier_initial_rate": floats(tiers, "initial_rate")[rows],
        "tier_maintenance_rate": floats(tiers, "maintenance_rate")[rows],
        "tier_deduction": deduction[rows],
    }


def asset_arrays(part: Part, labels: Labels, findings: Findings) -> dict[str, np.ndarray]:
    """Return prices by asset [c] and by venue and asset [v, c].

    An asset that only venues price (it backs balances, nothing else) takes the first such price as its index price: its
    factor needs a level, and the venues' own prices keep their ratio to it.
    """
    prices = part.tables["prices"]
    asset = rows_of(prices.column("asset"), labels.asset)
    venue = rows_of(prices.column("venue"), labels.venue)
    price = floats(prices, "index_price")
    common = np.flatnonzero(venue < 0)
    own = np.flatnonzero(venue >= 0)
    n_assets, n_venues = len(labels.asset), len(labels.venue)
    result = {name: np.full(n_assets, np.nan) for name in ("index_price", "index_beta", "index_depth_usd_1pct")}
    for rows in (own[::-1], common):  # later assignments win: the first own row, then the common one
        result["index_price"][asset[rows]] = price[rows]
        result["index_beta"][asset[rows]] = floats(prices, "index_beta")[rows]
        result["index_depth_usd_1pct"][asset[rows]] = floats(prices, "depth_usd_1pct")[rows]
    numeraire = int(rows_of(pa.array([part.numeraire], pa.string()), labels.asset)[0])
    result["index_price"][numeraire] = 1.0
    result["index_beta"][numeraire] = 0.0
    venue_price = np.full((n_venues, n_assets), np.nan)
    venue_price[venue[own], asset[own]] = price[own]
    has_common = np.zeros(n_assets, dtype=bool)
    has_common[asset[common]] = True
    has_common[numeraire] = True
    if not has_common.all():
        names = labels.asset.filter(pa.array(~has_common)).to_pylist()
        findings.add(
            Severity.INFO,
            Reason.MISSING_PRICE,
            "prices",
            f"{len(names)} assets have only venues' own prices; the first stands for the index",
            count=len(names),
            examples=names,
        )
    return {**result, "venue_price": venue_price}


def collateral_arrays(part: Part, labels: Labels, findings: Findings) -> dict[str, np.ndarray]:
    """Return collateral bands by venue and asset, maintenance rates of debt and terms of loans [v, c]."""
    table = part.tables["collateral"]
    n_assets, n_venues = len(labels.asset), len(labels.venue)
    asset = rows_of(table.column("asset"), labels.asset)
    is_priced = asset >= 0
    if not is_priced.all():
        rows = np.flatnonzero(~is_priced)
        what = f"{len(rows)} rows dropped: their assets have no price and nobody holds them"
        shown = ("venue", "asset")
        report_rows(findings, Severity.INFO, Reason.UNUSED_MARKET_ROW, table, rows, "collateral", what, shown)
        table = table.filter(pa.array(is_priced))
        asset = asset[is_priced]
    cell = rows_of(table.column("venue"), labels.venue).astype(np.int64) * n_assets + asset
    order = np.argsort(cell, kind="stable")

    def by_cell(column: str, left_out: float) -> FloatArray:
        values = floats(table, column)
        given = np.flatnonzero(~np.isnan(values))
        result = np.full(n_venues * n_assets, left_out)
        result[cell[given]] = values[given]
        return result.reshape(n_venues, n_assets)

    return {
        "collateral_band_start": starts(np.bincount(cell, minlength=n_venues * n_assets)),
        "band_floor": floats(table, "floor_usd")[order],
        "band_haircut": floats(table, "haircut")[order],
        "borrow_maintenance_rate": by_cell("borrow_maintenance_rate", 0.0),
        "lending_threshold": by_cell("liquidation_threshold", np.nan),
        "lending_bonus": by_cell("liquidation_bonus", np.nan),
        "close_factor": by_cell("close_factor", np.nan),
    }


def fund_arrays(part: Part, labels: Labels) -> dict[str, np.ndarray]:
    """Return insurance funds [f] and each venue's default fund [v]."""
    table = part.tables["insurance_funds"]
    numeraire = int(rows_of(pa.array([part.numeraire], pa.string()), labels.asset)[0])
    n_default = len(labels.fund) - labels.n_listed_funds
    default_venue = rows_of(labels.fund[labels.n_listed_funds :], labels.venue)
    return {
        "fund_venue": np.concatenate([rows_of(table.column("venue"), labels.venue), default_venue]).astype(np.int32),
        "fund_asset": np.concatenate(
            [rows_of(table.column("asset"), labels.asset), np.full(n_default, numeraire)]
        ).astype(np.int32),
        "fund_balance": np.concatenate([floats(table, "balance"), np.zeros(n_default)]),
        "venue_fund": rows_of(labels.venue, labels.fund),
    }
