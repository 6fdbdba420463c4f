"""Recorded market data as a market: hourly candles and margin tiers of a linear USDT venue, at one instant.

The folder holds `binance_hourly/` (spot_1h, perp_1h, mark_1h, funding), `leverage_tiers/` and, for measured depth,
`l2_depth/`, as Parquet. What the recordings do not have is stated in the description's `source`, not hidden: spot
closes stand for the index, USDT for a dollar, perpetual closes for the mark where a contract has no mark series.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from riskpipe.domain.tables import HISTORY
from riskpipe.errors import InputRefused
from riskpipe.ingest.recorded_tables import RecordedTiers, depth_levels, recorded_tiers
from riskpipe.ingest.synthetic.arrow import arrow_table
from riskpipe.ingest.synthetic.description import (
    CollateralBand,
    DepthLevel,
    Fund,
    Instrument,
    MarketDescription,
    Price,
    Tier,
)

VENUE = "binance"
_HOUR = timedelta(hours=1)
_AVERAGING_DAYS = 30
_FILES = ("spot_1h", "perp_1h", "mark_1h", "funding")
# Haircuts and borrow rates are assumed: the recordings have none.
_HAIRCUTS = (("USDT", 0.0, 0.02), ("BTC", 0.05, 0.04), ("ETH", 0.05, 0.04), ("SOL", 0.10, 0.08), ("XRP", 0.15, 0.08))
_FUND_SHARE = 0.02


@dataclass(frozen=True)
class Candles:
    """Recorded series up to as_of by bar close: prices [ts, symbol] in USDT, volumes in USD, funding by instant."""

    spot: pd.DataFrame
    spot_volume_usd: pd.DataFrame
    perpetual: pd.DataFrame
    perpetual_volume_usd: pd.DataFrame
    mark: pd.DataFrame
    funding: pd.DataFrame


def recorded_market(
    folder: str | Path,
    *,
    as_of: datetime,
    history_days: int = 120,
    use_measured_depth: bool = False,
    index_depth_coefficient: float | None = None,
) -> MarketDescription:
    """Return the recorded market at `as_of`: instruments, quotes, tiers and hourly history of venue "binance".

    Arguments
    ---------
    folder: the data folder.
    as_of: a full hour; the bars that close then (opened an hour before) give the quotes. Without a zone it is UTC.
    history_days: length of the history; average volume and volatility need 30.
    use_measured_depth: depth tables for BTC and ETH from order books recorded on 2024-08-08, which may be later than
        as_of and then are labelled so in `source`; otherwise depth is left to volume and volatility, which quotes have.
    index_depth_coefficient: c of an index depth c x spot volume a day / daily volatility (USD per unit move); None
        gives no index depth, which switches the contagion channel off.

    Raises InputRefused when files are missing or no contract has a bar that closes at as_of.
    """
    as_of = as_of.replace(tzinfo=UTC) if as_of.tzinfo is None else as_of.astimezone(UTC)
    root = Path(folder)
    candles = read_candles(root / "binance_hourly", as_of=as_of, days=max(history_days, _AVERAGING_DAYS + 1))
    tiers = recorded_tiers(root / "leverage_tiers" / "binance_usdm_history_monthly_20coins.parquet", as_of=as_of)
    symbols, left_out = _usable(candles, tiers, as_of)
    if not symbols:
        raise InputRefused(
            f"market data in {root} as of {as_of.isoformat()}",
            left_out or ["no contract has candles in the days before; choose an as_of that the recordings cover"],
        )
    notes = [
        "recorded Binance candles (bar closes at as_of)",
        "spot close stands for the index and USDT for one USD",
        f"margin tiers of {tiers.date}",
        "collateral haircuts, borrow rates and insurance fund assumed",
    ]
    without_mark = [symbol for symbol in symbols if not _has_mark(candles, symbol)]
    if without_mark:
        notes.append(f"perpetual close stands for the mark of {', '.join(without_mark)}")
    depth: tuple[DepthLevel, ...] = ()
    if use_measured_depth:
        depth, note = depth_levels(root / "l2_depth" / "depth_bands_1s.parquet", symbols=symbols, as_of=as_of)
        notes.append(note)
    if index_depth_coefficient is not None:
        notes.append(f"index depth = {index_depth_coefficient:g} x daily spot volume / daily volatility")
    if left_out:
        notes.append(f"left out: {'; '.join(left_out)}")
    return MarketDescription(
        as_of=as_of,
        source="; ".join(notes),
        prices=_prices(candles, symbols, as_of, index_depth_coefficient),
        instruments=_instruments(candles, symbols, as_of),
        depth=depth,
        tiers=tuple(Tier(symbol, *row) for symbol in symbols for row in tiers.rows[symbol]),
        collateral=tuple(
            CollateralBand(VENUE, asset, 0.0, haircut, borrow_rate)
            for asset, haircut, borrow_rate in _HAIRCUTS
            if asset == "USDT" or f"{asset}USDT" in symbols
        ),
        funds=(Fund(VENUE, VENUE, "USDT", _FUND_SHARE),),
        history=history_table(candles, symbols, as_of=as_of, history_days=history_days),
    )


def read_candles(folder: Path, *, as_of: datetime, days: int) -> Candles:
    """Return the candles of the `days` before as_of by the instant of their close; later bars are never read.

    Raises InputRefused naming every missing file, or the series that hold a bar twice.
    """
    paths = {name: folder / f"{name}.parquet" for name in _FILES}
    if missing := [f"file {path} is missing" for path in paths.values() if not path.is_file()]:
        raise InputRefused(f"market data in {folder}", missing)
    start = as_of - timedelta(days=days)

    def read(name: str, first: datetime, last: datetime) -> pd.DataFrame:
        window = [("ts", ">=", pd.Timestamp(first)), ("ts", "<=", pd.Timestamp(last))]
        frame = pd.read_parquet(paths[name], filters=window)
        return frame.assign(symbol=frame["symbol"].astype(str))

    def pivot(frame: pd.DataFrame, column: str) -> pd.DataFrame:
        return frame.set_index(["ts", "symbol"])[column].unstack("symbol")  # noqa: PD010 - pivot_table would average copies

    frames = {name: read(name, start - _HOUR, as_of - _HOUR) for name in _FILES[:3]}
    funding = read("funding", start, as_of)
    doubled = [
        f"{name}.parquet has {count} bars twice (same symbol and ts): remove the copies"
        for name, frame in (*frames.items(), ("funding", funding))
        if (count := int(frame.duplicated(["symbol", "ts"]).sum()))
    ]
    if doubled:
        raise InputRefused(f"market data in {folder}", doubled)
    for name, frame in frames.items():
        # A bar is labelled with the instant it opens; its close is known an hour later.
        frame["ts"] = frame["ts"].dt.as_unit("us") + pd.Timedelta(_HOUR)
        if name != "mark_1h":
            frame["volume_usd"] = frame["volume"] * frame["close"]
    funding["ts"] = funding["ts"].dt.as_unit("us")
    return Candles(
        spot=pivot(frames["spot_1h"], "close"),
        spot_volume_usd=pivot(frames["spot_1h"], "volume_usd"),
        perpetual=pivot(frames["perp_1h"], "close"),
        perpetual_volume_usd=pivot(frames["perp_1h"], "volume_usd"),
        mark=pivot(frames["mark_1h"], "close"),
        funding=pivot(funding, "funding_rate"),
    )


def _usable(candles: Candles, tiers: RecordedTiers, as_of: datetime) -> tuple[list[str], list[str]]:
    """Return the contracts that can be quoted at as_of, most traded first, and what was left out and why."""
    now = pd.Timestamp(as_of)
    usable, left_out = [], []
    for symbol in map(str, candles.perpetual.columns):
        reasons = []
        if np.isnan(_at(candles.perpetual, symbol, now)):
            reasons.append("no perpetual bar closes at as_of")
        if np.isnan(_at(candles.spot, symbol, now)) or not _at(candles.spot_volume_usd, symbol, now) > 0.0:
            reasons.append("no traded spot bar closes at as_of")
        if _has_mark(candles, symbol) and np.isnan(_at(candles.mark, symbol, now)):
            reasons.append("its mark series has no bar that closes at as_of")
        if symbol not in tiers.rows:
            reasons.append(f"no margin tiers on {tiers.date}")
        if reasons:
            left_out.append(f"{symbol} ({', '.join(reasons)})")
        else:
            usable.append(symbol)
    volume: dict[str, float] = {
        symbol: _average_daily_volume(candles.perpetual_volume_usd[symbol], as_of) for symbol in usable
    }
    usable.sort(key=lambda symbol: -volume[symbol])
    return usable, left_out


def _at(frame: pd.DataFrame, symbol: str, now: pd.Timestamp) -> float:
    return float(frame[symbol].get(now, np.nan)) if symbol in frame else np.nan


def _has_mark(candles: Candles, symbol: str) -> bool:
    return symbol in candles.mark and bool(candles.mark[symbol].notna().any())


def marks(candles: Candles, symbol: str) -> "pd.Series[float]":
    """Return the mark closes of a contract, or its perpetual closes where it has no mark series at all."""
    return candles.mark[symbol] if _has_mark(candles, symbol) else candles.perpetual[symbol]


def _average_daily_volume(volume_usd: "pd.Series[float]", as_of: datetime) -> float:
    """Return the mean USD volume a day over the last 30 days: what was traded over the days that have bars."""
    window = volume_usd[volume_usd.index > pd.Timestamp(as_of - timedelta(days=_AVERAGING_DAYS))].dropna()
    return float(window.sum() / (len(window) / 24.0)) if len(window) else 0.0


def _daily_volatility(closes: "pd.Series[float]", as_of: datetime) -> float:
    """Return the standard deviation of the log returns between the last 31 closes at as_of's hour of the day."""
    days = pd.date_range(end=pd.Timestamp(as_of), periods=_AVERAGING_DAYS + 1, freq="D")
    return float(np.diff(np.log(closes.reindex(days).dropna().to_numpy(np.float64))).std(ddof=1))


def _instruments(candles: Candles, symbols: list[str], as_of: datetime) -> tuple[Instrument, ...]:
    now = pd.Timestamp(as_of)
    listed = []
    for symbol in symbols:
        adv_usd = _average_daily_volume(candles.perpetual_volume_usd[symbol], as_of)
        rates = candles.funding[symbol].dropna() if symbol in candles.funding else pd.Series(dtype=float)
        listed.append(
            Instrument(
                instrument_id=symbol,
                venue=VENUE,
                kind="perpetual",
                underlying=_base(symbol),
                quote_asset="USDT",
                settlement_asset="USDT",
                multiplier=1.0,
                is_inverse=False,
                tier_schedule=symbol,
                mark_price=float(marks(candles, symbol)[now]),
                open_interest_share=adv_usd,
                fund=VENUE,
                funding_rate=float(rates.iloc[-1]) if len(rates) else None,
                funding_interval_hours=8.0,
                adv_usd=adv_usd,
                daily_vol=_daily_volatility(candles.perpetual[symbol], as_of),
            )
        )
    return tuple(listed)


def _prices(candles: Candles, symbols: list[str], as_of: datetime, coefficient: float | None) -> tuple[Price, ...]:
    now = pd.Timestamp(as_of)
    coins = []
    for symbol in symbols:
        depth_usd_1pct = None
        if coefficient is not None:
            volume = _average_daily_volume(candles.spot_volume_usd[symbol], as_of)
            depth_usd_1pct = coefficient * volume / _daily_volatility(candles.spot[symbol], as_of) / 100.0
        coins.append(Price(_base(symbol), float(candles.spot[symbol][now]), depth_usd_1pct=depth_usd_1pct))
    return (*coins, Price("USDT", 1.0))


def _base(symbol: str) -> str:
    return symbol.removesuffix("USDT")


def history_table(candles: Candles, symbols: list[str], *, as_of: datetime, history_days: int) -> pa.Table:
    """Return the candles of `history_days` as history rows by time: contracts, then spot series.

    Missing bars stay missing (null) and stale ones keep their zero volume, for the reader's guards to judge.
    """
    parts = []
    start = pd.Timestamp(as_of - timedelta(days=history_days))
    for rank, symbol in enumerate(symbols):
        columns = {
            "mark_price": marks(candles, symbol),
            "index_price": candles.spot[symbol],
            "funding_rate": candles.funding.get(symbol),
            "volume_usd": candles.perpetual_volume_usd[symbol],
            "index_volume_usd": candles.spot_volume_usd[symbol],
        }
        contract = pd.DataFrame({name: values for name, values in columns.items() if values is not None})
        # Funding instants alone are no bar: a row needs a price of the contract.
        contract = contract[contract["mark_price"].notna() | contract["volume_usd"].notna()]
        spot = pd.DataFrame({name: columns[name] for name in ("index_price", "index_volume_usd")}).dropna(how="all")
        parts.append(contract.assign(instrument_id=symbol, asset=None, rank=rank))
        parts.append(spot.assign(instrument_id=None, asset=_base(symbol), rank=len(symbols) + rank))
    rows = pd.concat([part.reset_index(names="ts") for part in parts], ignore_index=True)
    rows = rows[rows["ts"] > start].sort_values(["ts", "rank"], kind="stable")
    values = {name: rows[name].to_numpy(dtype=np.float64) for name in columns if name in rows}
    identity = {name: pa.array(rows[name], pa.string(), from_pandas=True) for name in ("instrument_id", "asset")}
    ts = rows["ts"].dt.as_unit("us").dt.tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64)
    return arrow_table(HISTORY, {"ts": ts, **identity, **values})
