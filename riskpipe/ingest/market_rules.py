"""Market rules: what held positions, balances, debts and funds need of prices, quotes, depth and instruments.

A row somebody needs must be right, else the snapshot is refused; a bad row nobody needs is dropped with a finding.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from riskpipe.domain.book import BoolArray, FloatArray
from riskpipe.domain.findings import Findings, Reason, Severity
from riskpipe.domain.snapshot import Snapshot
from riskpipe.domain.tables import DEPTH, INSTRUMENTS, PRICES, QUOTES, Table
from riskpipe.ingest.account_rules import keep
from riskpipe.ingest.columns import booleans, equals, floats, nulls, report_rows, rows_of
from riskpipe.ingest.ladder_rules import complain
from riskpipe.ingest.links import Links, usable_index_prices, usable_marks
from riskpipe.ingest.values import Defect, value_defects

MAX_TABLE_DISTANCE_BPS = 100.0


@dataclass(frozen=True)
class Holdings:
    """What the accounts that stay hold: instruments [i], those of them margined by tiers [i], debts [c], credit by
    venue [v, c], collateral of loans [c].
    """  # noqa: D205

    has_position: BoolArray
    needs_tiers: BoolArray
    has_debt: BoolArray
    has_balance: BoolArray
    has_collateral: BoolArray


@dataclass
class Verdict:
    """What checking the market tables gave: problems that refuse, findings, and the tables that stay."""

    problems: list[str] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)
    tables: dict[str, pa.Table] = field(default_factory=dict)
    instrument_row: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))  # [i] row among those kept, or -1


def _judge(verdict: Verdict, table: pa.Table, spec: Table, defects: Iterable[Defect], is_used: BoolArray) -> BoolArray:
    """Refuse bad rows that are used; return which rows are bad ([n])."""
    is_bad = np.zeros(table.num_rows, dtype=bool)
    for defect in defects:
        is_bad |= defect.is_bad
        rows = np.flatnonzero(defect.is_bad & is_used)
        if len(rows) and not defect.is_enumeration:  # unknown choices are refused for all rows elsewhere
            shown = tuple(dict.fromkeys((*spec.key, defect.column)))
            what = f"{defect.column} must be {defect.expected} where something held needs it"
            verdict.problems.append(
                complain(table, spec.name, rows, shown, what, "Correct the value, or remove what needs it")
            )
    return is_bad


def _report_dropped(verdict: Verdict, table: pa.Table, spec: Table, is_dropped: BoolArray, why: str) -> None:
    rows = np.flatnonzero(is_dropped)
    what = f"{len(rows)} rows dropped: {why}"
    report_rows(
        verdict.findings,
        Severity.INFO,
        Reason.UNUSED_MARKET_ROW,
        table,
        rows,
        spec.name,
        what,
        spec.key,
        row_numbers=True,
    )


def _mark(n: int, *rows: np.ndarray) -> BoolArray:
    result = np.zeros(n, dtype=bool)
    for some in rows:
        result[some[some >= 0]] = True
    return result


def _numeraire_problems(prices: pa.Table, numeraire: str, is_numeraire: BoolArray) -> list[str]:
    price, beta = floats(prices, "index_price"), floats(prices, "index_beta")
    is_other = (np.isfinite(price) & (price != 1.0)) | (np.isfinite(beta) & (beta != 0.0))
    rows = np.flatnonzero(is_numeraire & is_other)
    if not len(rows):
        return []
    what = f"the numeraire {numeraire!r} is worth 1 with index_beta 0 by definition"
    return [complain(prices, "prices", rows, ("asset", "index_price", "index_beta"), what, "Remove or correct the row")]


def _unpriced(asset: str, who: str) -> str:
    return f"prices: asset {asset!r} has no venue-null index_price, which {who} needs. Add a row with venue null"


def check_prices(snapshot: Snapshot, links: Links, holdings: Holdings, verdict: Verdict) -> FloatArray:
    """Check the prices: everything needs a usable venue-null row but credit balances, for which a venue's own will do.

    Collateral of loans needs the venue-null row too: when it is seized it is sold on the index market.

    Returns
    -------
    [c] usable venue-null prices, USD; NaN where there is none.
    """
    prices = snapshot.tables["prices"]
    venue_is_null = nulls(prices, "venue")
    asset_is_null = nulls(prices, "asset")
    index_price = usable_index_prices(snapshot, links)
    held = np.flatnonzero(holdings.has_position)
    named = (links.instrument_underlying[held], links.instrument_quote[held], links.instrument_settlement[held])
    has_own_row = np.zeros_like(holdings.has_balance)
    own = np.flatnonzero(~venue_is_null & ~asset_is_null)
    has_own_row[links.price_venue[own], links.price_asset[own]] = True
    uses: dict[str, BoolArray] = {
        "a held instrument": _mark(links.n_assets, *named),
        "a debt": holdings.has_debt,
        "a loan's collateral": holdings.has_collateral,
        "a balance": np.logical_or.reduce(holdings.has_balance & ~has_own_row, axis=0),
        "an insurance fund": _mark(links.n_assets, links.fund_asset),
    }
    is_needed: BoolArray = np.logical_or.reduce(list(uses.values()))
    is_used = np.where(
        venue_is_null, is_needed[links.price_asset], holdings.has_balance[links.price_venue, links.price_asset]
    )
    is_numeraire = venue_is_null & (links.price_asset == links.numeraire)
    verdict.problems += _numeraire_problems(prices, snapshot.numeraire, is_numeraire)
    is_used = (is_used & ~asset_is_null) | is_numeraire
    is_bad = _judge(verdict, prices, PRICES, value_defects(prices, PRICES), is_used)
    index_price[links.price_asset[is_bad & venue_is_null & ~asset_is_null]] = np.nan
    _report_dropped(
        verdict, prices, PRICES, is_bad & ~is_used, "a value is missing or impossible, and nothing held needs them"
    )
    has_row = _mark(links.n_assets, links.price_asset[venue_is_null], np.array([links.numeraire]))
    for asset_ix in np.flatnonzero(is_needed & ~has_row):
        who = " and ".join(user for user, needs in uses.items() if needs[int(asset_ix)])
        name = links.assets[int(asset_ix)].as_py()
        verdict.problems.append(_unpriced(name, who))
    fund_assets = snapshot.tables["insurance_funds"].column("asset").to_pylist()
    unknown = [
        name for name, asset_ix in zip(fund_assets, links.fund_asset, strict=True) if name is not None and asset_ix < 0
    ]
    verdict.problems += [_unpriced(name, "an insurance fund") for name in dict.fromkeys(unknown)]
    verdict.tables["prices"] = keep(prices, is_bad)
    return index_price


def _instrument_defects(snapshot: Snapshot, links: Links, needs_tiers: BoolArray) -> list[Defect]:
    """Find instruments that no position could be computed on."""
    table, funds = snapshot.tables["instruments"], snapshot.tables["insurance_funds"]
    defects = list(value_defects(table, INSTRUMENTS))
    expiry = table.column("expiry")
    has_expired = pc.fill_null(
        pc.less_equal(expiry, pa.scalar(snapshot.as_of, expiry.type)), fill_value=False
    ).to_numpy()
    schedules = snapshot.tables["margin_tiers"].column("tier_schedule")
    fund = table.column("fund")
    has_unknown_fund = ~nulls(table, "fund") & (rows_of(fund, funds.column("fund")) < 0)
    has_unknown_fund &= pc.fill_null(pc.not_equal(fund, table.column("venue")), fill_value=True).to_numpy()
    is_inverse, is_option = booleans(table, "is_inverse"), equals(table, "kind", "option")
    settlement = links.instrument_settlement
    pays_neither = (settlement != links.instrument_underlying) & (settlement != links.instrument_quote)
    has_schedule = ~nulls(table, "tier_schedule")
    relations = (
        ("expiry", equals(table, "kind", "future") & nulls(table, "expiry"), "given for a future"),
        ("expiry", is_option & nulls(table, "expiry"), "given for an option"),
        ("strike", is_option & np.isnan(floats(table, "strike")), "given for an option"),
        ("option_type", is_option & nulls(table, "option_type"), "given for an option"),
        ("is_inverse", is_option & is_inverse,
         "false for an option: its settlement_asset says whether it pays in coins"),
        ("settlement_asset", is_option & pays_neither, "the underlying or the quote asset of an option"),
        ("expiry", has_expired, f"later than as_of ({snapshot.as_of.isoformat()})"),
        ("settlement_asset", is_inverse & ~is_option & (settlement != links.instrument_underlying),
         "the underlying of an inverse instrument"),
        ("tier_schedule", needs_tiers & ~is_option & ~has_schedule, "given"),
        ("tier_schedule", has_schedule & ~is_option & (rows_of(table.column("tier_schedule"), schedules) < 0),
         "a schedule of margin_tiers"),
        ("fund", has_unknown_fund, "a fund of insurance_funds, the venue's name, or null"),
    )  # fmt: skip
    defects += [Defect(column, is_bad, expected) for column, is_bad, expected in relations if is_bad.any()]
    return defects


def _has_depth(snapshot: Snapshot, links: Links) -> BoolArray:
    """Return which instruments have depth for sales and purchases by some route, [i]."""
    quotes, depth = snapshot.tables["quotes"], snapshot.tables["depth"]
    n_instruments = snapshot.tables["instruments"].num_rows
    with np.errstate(invalid="ignore"):
        by_quote = floats(quotes, "depth_usd_1pct") > 0
        by_quote |= (floats(quotes, "adv_usd") > 0) & (floats(quotes, "daily_vol") > 0)
        distance = floats(depth, "distance_bps")
        is_deep = (floats(depth, "cumulative_usd") > 0) & (distance > 0) & (distance <= MAX_TABLE_DISTANCE_BPS)
    bid = _mark(n_instruments, links.depth_instrument[is_deep & equals(depth, "side", "bid")])
    ask = _mark(n_instruments, links.depth_instrument[is_deep & equals(depth, "side", "ask")])
    return _mark(n_instruments, links.quote_instrument[by_quote]) | (bid & ask)


def _check_quotes(snapshot: Snapshot, links: Links, held: BoolArray, verdict: Verdict) -> None:
    for spec, rows in ((QUOTES, links.quote_instrument), (DEPTH, links.depth_instrument)):
        table = snapshot.tables[spec.name]
        is_known = rows >= 0
        is_used = is_known & held[rows] if len(held) else is_known
        is_bad = _judge(verdict, table, spec, value_defects(table, spec), is_used)
        _report_dropped(verdict, table, spec, ~is_known, "no instrument of that instrument_id is listed")
        _report_dropped(
            verdict,
            table,
            spec,
            is_bad & is_known & ~is_used,
            "a value is missing or impossible, and no position needs it",
        )
        verdict.tables[spec.name] = keep(table, is_bad | ~is_known)
    quotes = snapshot.tables["quotes"]
    time = quotes.column("price_time")
    is_later = pc.fill_null(pc.greater(time, pa.scalar(snapshot.as_of, time.type)), fill_value=False).to_numpy()
    later = np.flatnonzero(is_later)
    what = f"{len(later)} quotes have a price_time later than as_of ({snapshot.as_of.isoformat()})"
    shown = ("instrument_id", "price_time")
    report_rows(verdict.findings, Severity.WARNING, Reason.LATER_THAN_AS_OF, quotes, later, "quotes", what, shown)


def check_instruments(
    snapshot: Snapshot, links: Links, holdings: Holdings, index_price: FloatArray, verdict: Verdict
) -> None:
    """Check instruments, quotes and depth; keep what is held and what is sound, drop the rest with findings."""
    table = snapshot.tables["instruments"]
    held = holdings.has_position
    is_bad = _judge(verdict, table, INSTRUMENTS, _instrument_defects(snapshot, links, holdings.needs_tiers), held)
    _check_quotes(snapshot, links, held, verdict)
    has_quote = _mark(len(held), links.quote_instrument)
    for rows, what, remedy in (
        (held & ~has_quote, "held instruments have no row in quotes", "Add their mark_price"),
        (
            held & has_quote & ~_has_depth(snapshot, links),
            "held instruments have no depth by any route for both sides",
            "Give quotes.depth_usd_1pct, or depth rows of both sides within 100 bps, or adv_usd and daily_vol, above 0",
        ),
    ):
        if rows.any():
            verdict.problems.append(
                complain(table, "instruments", np.flatnonzero(rows), ("instrument_id",), what, remedy)
            )
    price = np.append(index_price, np.nan)
    named = (links.instrument_underlying, links.instrument_quote, links.instrument_settlement)
    is_priced = np.isfinite(usable_marks(snapshot, links)) & np.logical_and.reduce(
        [~np.isnan(price[ix]) for ix in named]
    )
    # a quote dropped above for another value takes its instrument along, if nobody holds it
    has_kept_quote = rows_of(table.column("instrument_id"), verdict.tables["quotes"].column("instrument_id")) >= 0
    is_unsound = ~held & (is_bad | ~is_priced | ~has_kept_quote)
    why = (
        "nothing is held in them, and they are unsound (value, expiry, tiers or fund) or have no usable quote or price"
    )
    _report_dropped(verdict, table, INSTRUMENTS, is_unsound, f"{why}; their quotes and depth go with them")
    verdict.instrument_row = np.where(is_unsound, -1, np.cumsum(~is_unsound) - 1).astype(np.int32)
    verdict.tables["instruments"] = keep(table, is_unsound)
    unread = np.flatnonzero(equals(table, "kind", "option") & ~nulls(table, "tier_schedule") & ~is_unsound)
    what = f"{len(unread)} tier schedules are not read: options are margined by portfolio rules only"
    shown = ("instrument_id", "tier_schedule")
    report_rows(verdict.findings, Severity.INFO, Reason.UNREAD_VALUE, table, unread, "instruments", what, shown)


def check_unused_references(snapshot: Snapshot, verdict: Verdict) -> None:
    """Drop rows of margin_tiers and collateral without a name: nothing can refer to them."""
    for name, key in (("margin_tiers", ("tier_schedule",)), ("collateral", ("venue", "asset"))):
        table = snapshot.tables[name]
        has_no_name = np.logical_or.reduce([nulls(table, column) for column in key])
        if rows := np.flatnonzero(has_no_name).tolist():
            verdict.findings.add(
                Severity.INFO,
                Reason.UNUSED_MARKET_ROW,
                name,
                f"{len(rows)} rows dropped: {' or '.join(key)} is null, so that nothing can refer to them",
                count=len(rows),
                examples=[f"row {row}" for row in rows],
            )
        verdict.tables[name] = keep(table, has_no_name)
