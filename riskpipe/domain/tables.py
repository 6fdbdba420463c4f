"""The snapshot format: every table and column, its type, unit and meaning.

One directory or object-store prefix per book and `as_of` holds these tables as Parquet plus `snapshot.json`. Money is
in the numeraire unless a column says otherwise; times are UTC; quantities are signed (+ long, - short); rates and
shocks are fractions. Integers and decimals are cast to float64; ids are strings; an all-null optional column of any
type is accepted.
"""

from dataclasses import dataclass
from typing import Literal

SNAPSHOT_FORMAT = "riskpipe-snapshot"
SNAPSHOT_VERSION = 1

Type = Literal["string", "float", "bool", "time"]
Bound = Literal["any", "positive", "non_negative", "fraction"]


@dataclass(frozen=True)
class Column:
    """One column: `required` columns must exist; `nullable` ones may hold nulls (an optional column always may)."""

    name: str
    type: Type
    doc: str
    required: bool = True
    nullable: bool = False
    bound: Bound = "any"
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """One table: its columns, and the columns that together identify a row (empty: rows add up or may repeat)."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    required: bool = True

    def column(self, name: str) -> Column:
        """Return the column called `name`."""
        return next(column for column in self.columns if column.name == name)


def _id(name: str, doc: str) -> Column:
    return Column(name, "string", doc)


def _optional(name: str, type_: Type, doc: str, bound: Bound = "any", choices: tuple[str, ...] = ()) -> Column:
    return Column(name, type_, doc, required=False, nullable=True, bound=bound, choices=choices)


def _number(name: str, doc: str, bound: Bound = "any") -> Column:
    return Column(name, "float", doc, bound=bound)


ACCOUNTS = Table(
    "accounts",
    (
        _id("account_id", "unique id"),
        _id("venue", "venue that keeps the account"),
        Column("kind", "string", "what the account is", choices=("margin", "lending")),
        _optional(
            "margin_mode", "string", "how its positions are margined (default cross)", choices=("cross", "portfolio")
        ),
        _optional("entity_id", "string", "beneficial owner; null = its own"),
        _optional("segment", "string", "free label for reports"),
        _optional("weight", "float", "identical accounts this row stands for (default 1)", "positive"),
        _optional("reported_equity", "float", "equity the venue reports, USD"),
        _optional("reported_maintenance_margin", "float", "maintenance margin the venue reports, USD", "non_negative"),
        _optional("liquidation_exempt", "bool", "never liquidated (market makers by contract, the venue's own)"),
    ),
    key=("account_id",),
)
BALANCES = Table(
    "balances",
    (
        _id("account_id", "owner"),
        _id("asset", "asset held or borrowed"),
        _number("quantity", "units of the asset; negative = borrowed"),
        _optional("liquidation_threshold", "float", "lending: this account's own threshold", "fraction"),
    ),
)
POSITIONS = Table(
    "positions",
    (
        _id("account_id", "owner"),
        _id("instrument_id", "instrument, on the account's venue"),
        _number("quantity", "contracts, + long, - short"),
        _number("entry_price", "price at which PnL is zero, in quote units (options: settlement units)", "positive"),
        _optional(
            "isolated_margin",
            "float",
            "settlement asset set apart for this position, in addition to balances; null = cross",
            "non_negative",
        ),
    ),
)
INSTRUMENTS = Table(
    "instruments",
    (
        _id("instrument_id", "unique id"),
        _id("venue", "venue that lists it"),
        Column("kind", "string", "what it is", choices=("perpetual", "future", "option")),
        _id("underlying", "asset whose index it follows"),
        _id("quote_asset", "asset its price is quoted in"),
        _id("settlement_asset", "asset its PnL is paid in (options: the underlying or the quote asset)"),
        _number("multiplier", "units of underlying per contract (inverse: quote units)", "positive"),
        Column("is_inverse", "bool", "PnL in the underlying coin on a notional in quote units"),
        _optional("expiry", "time", "delivery (futures and options)"),
        _optional("strike", "float", "options: strike in quote units", "positive"),
        _optional("option_type", "string", "options: call or put", choices=("call", "put")),
        _optional("tier_schedule", "string", "name of its margin tiers; none for what only portfolios hold"),
        _optional("fund", "string", "insurance fund that bears its losses; null = the venue's own"),
    ),
    key=("instrument_id",),
)
PRICES = Table(
    "prices",
    (
        _id("asset", "asset priced"),
        _optional("venue", "string", "null = every venue; a venue's own row values collateral there"),
        _number("index_price", "USD per unit", "positive"),
        _optional("index_beta", "float", "move per unit of index shock"),
        _optional("depth_usd_1pct", "float", "net USD of spot flow that moves the index 1%", "positive"),
    ),
    key=("asset", "venue"),
)
QUOTES = Table(
    "quotes",
    (
        _id("instrument_id", "instrument quoted"),
        _number("mark_price", "quote units (options: settlement units)", "positive"),
        _optional("implied_vol", "float", "annualised, fraction", "positive"),
        _optional("funding_rate", "float", "fraction per funding interval"),
        _optional("funding_interval_hours", "float", "hours", "positive"),
        _optional("open_interest", "float", "contracts, one side", "non_negative"),
        _optional("adv_usd", "float", "average daily volume, USD (options: of premium)", "non_negative"),
        _optional("daily_vol", "float", "standard deviation of daily returns, fraction", "non_negative"),
        _optional("depth_usd_1pct", "float", "USD that moves the price 1%", "positive"),
        _optional("price_time", "time", "when the mark held"),
    ),
    key=("instrument_id",),
)
DEPTH = Table(
    "depth",
    (
        _id("instrument_id", "instrument whose order book this is"),
        Column("side", "string", "bid takes sales, ask takes purchases", choices=("bid", "ask")),
        _number("distance_bps", "distance from mid, basis points", "positive"),
        Column("cumulative_usd", "float", "USD resting within it; null = not reached", nullable=True, bound="positive"),
    ),
    key=("instrument_id", "side", "distance_bps"),
    required=False,
)
MARGIN_TIERS = Table(
    "margin_tiers",
    (
        _id("tier_schedule", "name instruments refer to"),
        _number("floor", "USD notional where the tier starts", "non_negative"),
        _number("initial_rate", "initial margin per USD notional", "fraction"),
        _number("maintenance_rate", "maintenance margin per USD notional", "fraction"),
        _optional("deduction", "float", "USD; null = recomputed from floors and rates"),
    ),
    key=("tier_schedule", "floor"),
)
COLLATERAL = Table(
    "collateral",
    (
        _id("venue", "venue that accepts it"),
        _id("asset", "asset accepted"),
        _number("floor_usd", "USD value where the band starts", "non_negative"),
        _number("haircut", "share of the band's value that earns no credit", "fraction"),
        _optional("liquidation_threshold", "float", "lending", "fraction"),
        _optional("liquidation_bonus", "float", "lending", "non_negative"),
        _optional("close_factor", "float", "lending", "fraction"),
        _optional("borrow_maintenance_rate", "float", "maintenance margin per USD borrowed", "non_negative"),
    ),
    key=("venue", "asset", "floor_usd"),
)
INSURANCE_FUNDS = Table(
    "insurance_funds",
    (
        _id("fund", "unique id"),
        _id("venue", "venue whose rules it follows"),
        _id("asset", "asset it is kept in"),
        _number("balance", "units of the asset", "non_negative"),
    ),
    key=("fund",),
)

REALISED_LIQUIDATIONS = Table(
    "realised_liquidations",
    (
        Column("ts", "time", "when it was filled, after the previous night's instant"),
        _id("instrument_id", "instrument closed, listed now or in the previous night"),
        Column("side", "string", "side of the position that was closed", choices=("long", "short")),
        _number("quantity", "contracts closed", "positive"),
        _number("fill_price", "average price of the closing, quote units", "positive"),
        _optional("bankruptcy_price", "float", "price at which nothing was left of the position", "positive"),
        _optional("fund_pnl", "float", "USD that the insurance fund gained (+) or paid (-)"),
    ),
    required=False,
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        ACCOUNTS,
        BALANCES,
        POSITIONS,
        INSTRUMENTS,
        PRICES,
        QUOTES,
        DEPTH,
        MARGIN_TIERS,
        COLLATERAL,
        INSURANCE_FUNDS,
        REALISED_LIQUIDATIONS,
    )
}

HISTORY = Table(
    "history",
    (
        Column("ts", "time", "instant at which the prices held: a bar's close"),
        Column("instrument_id", "string", "null with `asset` = a spot series", nullable=True),
        _optional("asset", "string", "asset of a spot series"),
        _optional("mark_price", "float", "quote units", "positive"),
        Column("index_price", "float", "index the mark is compared with, quote units", nullable=True, bound="positive"),
        _optional("funding_rate", "float", "fraction per funding interval"),
        _optional("volume_usd", "float", "traded in the bar, USD", "non_negative"),
        _optional("index_volume_usd", "float", "traded in the index's bar, USD; 0 = stale", "non_negative"),
    ),
)
