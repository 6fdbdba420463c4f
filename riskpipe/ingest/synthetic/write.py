"""Writing synthetic snapshots: the portfolio and its market as the tables of the snapshot format."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from riskpipe.domain.tables import TABLES
from riskpipe.ingest.synthetic.arrow import arrow_table
from riskpipe.ingest.synthetic.description import MarketDescription
from riskpipe.ingest.synthetic.invented_market import invented_market
from riskpipe.ingest.synthetic.population import PROFILES, SEGMENTS, Profile, expected_gross_notional
from riskpipe.ingest.synthetic.portfolio import Portfolio, portfolio
from riskpipe.ingest.synthetic.sums import sum_by
from riskpipe.ingest.write import records, write_tables

DEFAULT_HISTORY_DAYS = 120
_HISTORY_ROW_GROUP_ROWS = 16_384  # small groups, so that a reader of a short look-back skips the rest


def write_snapshot(
    directory: str | Path,
    *,
    n_accounts: int,
    seed: int,
    as_of: datetime,
    profile: Profile = "levered",
    market: MarketDescription | None = None,
    history_days: int = DEFAULT_HISTORY_DAYS,
    split: bool = False,
) -> None:
    """Write a valid snapshot of n_accounts invented accounts, and the price history that led to it.

    Arguments
    ---------
    directory: local directory; gets `snapshot/` (or `snapshot-<venue>/` for each venue with split=True) and
        `history.parquet`. Tables of an earlier call there are replaced.
    n_accounts: accounts in all, at least 20.
    seed: not negative; the same seed, arguments and library versions give the same bytes.
    as_of: the instant described; without a zone it is UTC.
    profile: leverage of the population, "calm" (median 0.4, p90 2.7) or "levered" (median 1, p90 7).
    market: the market the accounts trade on; None = an invented one of two venues. A given one must be `as_of` as_of.
    history_days: length of an invented market's hourly history.
    split: one snapshot directory per venue, to be joined by the reader.

    Raises ValueError when an argument is out of its range.
    """
    if profile not in PROFILES:
        raise ValueError(f"profile must be one of {', '.join(PROFILES)}, got {profile!r}")
    if history_days < 1:
        raise ValueError(f"history_days must be at least 1, got {history_days}")
    as_of = as_of.replace(tzinfo=UTC) if as_of.tzinfo is None else as_of.astimezone(UTC)
    streams = [np.random.Generator(np.random.PCG64(child)) for child in np.random.SeedSequence(seed).spawn(7)]
    if market is None:
        # Every other position has its counterpart in the book: one side holds about half of the gross notional.
        expected = 0.55 * expected_gross_notional(n_accounts, profile)
        market = invented_market(
            as_of, open_interest_usd=expected, history_days=history_days, streams=(streams[0], streams[1])
        )
    elif market.as_of != as_of:
        raise ValueError(
            f"the market is as of {market.as_of.isoformat()}, the snapshot is to be as of {as_of.isoformat()}"
        )
    held = portfolio(market, n_accounts, profile, streams[2:])
    source = f"{market.source}; {n_accounts} synthetic accounts, profile {profile}, seed {seed}"
    tables = _tables(market, held)
    target = Path(directory)
    target.mkdir(parents=True, exist_ok=True)
    # before the snapshot, whose snapshot.json comes last and says that all is there
    pq.write_table(
        market.history, target / "history.parquet", compression="zstd", row_group_size=_HISTORY_ROW_GROUP_ROWS
    )
    if split:
        for venue in market.venues:
            write_tables(target / f"snapshot-{venue}", _of_venue(tables, venue), as_of, f"{source}; venue {venue}")
    else:
        write_tables(target / "snapshot", tables, as_of, source)


def _tables(market: MarketDescription, held: Portfolio) -> dict[str, pa.Table]:
    account_ids = _account_ids(market, held)
    return {**_portfolio_tables(market, held, account_ids), **_market_tables(market, held)}


def _account_ids(market: MarketDescription, held: Portfolio) -> pa.Array:
    """Ids such as alpha-0000042: venue and row number."""
    numbers = pc.utf8_lpad(pa.array(np.arange(len(held.accounts))).cast(pa.string()), width=7, padding="0")
    venues = _names(market.venues, held.accounts.venue)
    return pc.binary_join_element_wise(venues, numbers, "-")


def _names(labels: tuple[str, ...], index: np.ndarray) -> pa.Array:
    """Labels by index; a negative index is null."""
    indices = pa.array(np.maximum(index, 0), mask=index < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(labels, pa.string())).cast(pa.string())


def _portfolio_tables(market: MarketDescription, held: Portfolio, account_ids: pa.Array) -> dict[str, pa.Table]:
    accounts, positions, balances = held.accounts, held.positions, held.balances
    equity, maintenance = held.health.by_account(positions.account)
    entity = pa.array(accounts.entity, mask=accounts.entity < 0).cast(pa.string())
    instrument_ids = tuple(instrument.instrument_id for instrument in market.instruments)
    n_accounts = len(accounts)
    return {
        "accounts": arrow_table(
            TABLES["accounts"],
            {
                "account_id": account_ids,
                "venue": _names(market.venues, accounts.venue),
                "kind": pa.repeat("margin", n_accounts),
                "margin_mode": pa.repeat("cross", n_accounts),
                "entity_id": pc.binary_join_element_wise("entity", entity, "-", null_handling="emit_null"),
                "segment": _names(SEGMENTS, accounts.segment),
                "weight": accounts.weight.astype(np.float64),
                "reported_equity": equity,
                "reported_maintenance_margin": maintenance,
                "liquidation_exempt": accounts.is_exempt,
            },
        ),
        "balances": arrow_table(
            TABLES["balances"],
            {
                "account_id": account_ids.take(pa.array(balances.account)),
                "asset": _names(held.listed.assets, balances.asset),
                "quantity": balances.quantity,
            },
        ),
        "positions": arrow_table(
            TABLES["positions"],
            {
                "account_id": account_ids.take(pa.array(positions.account)),
                "instrument_id": _names(instrument_ids, positions.instrument),
                "quantity": positions.quantity(held.listed),
                "entry_price": held.entry_price,
                "isolated_margin": held.isolated_margin,
            },
        ),
    }


def _market_tables(market: MarketDescription, held: Portfolio) -> dict[str, pa.Table]:
    listed = market.instruments
    positions = held.positions
    longs = np.where(positions.lots > 0, positions.lots * held.accounts.weight[positions.account], 0)
    long_contracts = sum_by(positions.instrument, longs, len(listed)) / held.listed.lots_per_contract
    open_interest_usd = long_contracts * held.listed.contract_usd
    quotes = [
        {
            "instrument_id": instrument.instrument_id,
            "mark_price": instrument.mark_price,
            "funding_rate": instrument.funding_rate,
            "funding_interval_hours": instrument.funding_interval_hours,
            "open_interest": float(contracts),
            "adv_usd": instrument.adv_usd,
            "daily_vol": instrument.daily_vol,
            "depth_usd_1pct": instrument.depth_usd_1pct,
            "price_time": market.as_of,
        }
        for instrument, contracts in zip(listed, long_contracts, strict=True)
    ]
    funds = []
    for fund in market.funds:
        covered = [(row.fund or row.venue) == fund.fund for row in listed]
        usd = fund.open_interest_share * open_interest_usd[covered].sum()
        balance = round(float(usd / held.listed.index_price[held.listed.assets.index(fund.asset)]), 6)
        funds.append({"fund": fund.fund, "venue": fund.venue, "asset": fund.asset, "balance": balance})
    tables = {
        "instruments": records("instruments", [vars(instrument) for instrument in listed]),
        "prices": records("prices", [vars(price) for price in market.prices]),
        "quotes": records("quotes", quotes),
        "margin_tiers": records("margin_tiers", [vars(tier) for tier in market.tiers]),
        "collateral": records("collateral", [vars(band) for band in market.collateral]),
        "insurance_funds": records("insurance_funds", funds),
    }
    if market.depth:
        tables["depth"] = records("depth", [vars(level) for level in market.depth])
    return tables


def _of_venue(tables: dict[str, pa.Table], venue: str) -> dict[str, pa.Table]:
    """Return one venue's part of the tables: its own rows, and prices that hold everywhere."""
    accounts = tables["accounts"].filter(pc.field("venue") == venue)
    instruments = tables["instruments"].filter(pc.field("venue") == venue)
    listed = pc.field("instrument_id").isin(instruments["instrument_id"].combine_chunks())
    owned = pc.field("account_id").isin(accounts["account_id"].combine_chunks())
    schedules = pc.field("tier_schedule").isin(instruments["tier_schedule"].combine_chunks())
    own = pc.field("venue") == venue
    parts = {
        "accounts": accounts,
        "balances": tables["balances"].filter(owned),
        "positions": tables["positions"].filter(owned),
        "instruments": instruments,
        "prices": tables["prices"].filter(own | pc.field("venue").is_null()),
        "quotes": tables["quotes"].filter(listed),
        "margin_tiers": tables["margin_tiers"].filter(schedules),
        "collateral": tables["collateral"].filter(own),
        "insurance_funds": tables["insurance_funds"].filter(own),
    }
    if "depth" in tables:
        parts["depth"] = tables["depth"].filter(listed)
    return parts
