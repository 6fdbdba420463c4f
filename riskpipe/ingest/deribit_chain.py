"""Recorded option chains as a market: every option of a coin at one instant, with what is assumed around it.

The chains are of Deribit's test network (the recording's own downloader names test.deribit.com), with thin quotes,
default volatilities and forwards off their index: good for pricing, no picture of a market.

The folder holds, for each coin, `deribit_<btc|eth>_chain_<YYYY-MM>.parquet`: a row for each option and poll, with
`instrument_name`, `expiry`, `strike`, `cp` (C or P), `ts`, `mark_price` (coins per coin), `mark_iv` (percent),
`underlying_price` (the expiry's forward, USD), `index_price` (USD), `open_interest` (coins), `stats.volume` (coins
traded in a day). Of each option the last row at or before the instant is used.

A poll takes two minutes, in which forwards move by up to a tenth of a percent. Marks stay as recorded; one future for
each expiry carries the median of its options' forwards, so that a few marks deep in the money are worth less than
exercising at that forward.

Recordings hold no futures, perpetuals or order books. Assumed: a future of every expiry, where the venue may have had a
synthetic forward only; a perpetual at the index; and depth. An option's price moves by 1% for each 1% of its open
interest (of the mean open interest of its expiry, where that is more; at least one contract) bought or sold.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from riskpipe.errors import InputRefused
from riskpipe.ingest.columns import enumerate_some
from riskpipe.ingest.write import records

RECORDED_AS_OF = datetime(2021, 2, 11, 18, 41, tzinfo=UTC)
VENUE = "deribit"
_WHO = "option chains of Deribit's test network (bottama/Deribit-Option-Data@cc23ec3b)"
_DAYS_PER_YEAR = 365.0
_SHARE_OF_PERPETUAL = 0.1  # depth of a future
_OPTION_QUOTES = {"implied_vol": "vol", "open_interest": "open_interest", "adv_usd": "adv_usd"}


@dataclass(frozen=True)
class Coin:
    """What is assumed of a coin's market."""

    name: str
    contract_usd: float  # of perpetuals and futures
    perpetual_depth_usd: float  # that moves the mark 1%
    index_depth_usd: float
    fund: float  # coins in the insurance fund


COINS = (Coin("BTC", 10.0, 2e7, 3e7, 300.0), Coin("ETH", 1.0, 5e6, 1e7, 2000.0))


@dataclass(frozen=True)
class OptionMarket:
    """One row of `listed` for each instrument, options, futures and perpetuals of every coin, and where they come from.

    Columns: instrument_id, coin, kind, expiry (NaT = none), strike, is_call, years, forward (USD; of perpetuals the
    index), vol (a year), mark (coins; of futures and perpetuals USD), open_interest (contracts), adv_usd, depth_usd.
    """

    as_of: datetime
    source: str
    coins: tuple[Coin, ...]
    index_price: dict[str, float]
    listed: pd.DataFrame


def recorded_chains(folder: str | Path, *, as_of: datetime = RECORDED_AS_OF) -> OptionMarket:
    """Return the recorded chains of an instant as a market.

    Parameters
    ----------
    folder: holds the files that the module's text names; a coin without a file is left out.
    as_of: the instant to describe; its month names the files. Without a zone it is UTC.

    Raises
    ------
    InputRefused: no file, no row by that instant, or rows that contradict themselves; all are listed.
    """
    as_of = as_of.replace(tzinfo=UTC) if as_of.tzinfo is None else as_of.astimezone(UTC)
    root = Path(folder)
    files = {coin: root / f"deribit_{coin.name.lower()}_chain_{as_of:%Y-%m}.parquet" for coin in COINS}
    there = {coin: path for coin, path in files.items() if path.is_file()}
    problems = [] if there else [f"file {path} is missing" for path in files.values()]
    chains, notes = {}, []
    for coin, path in there.items():
        frame = pd.read_parquet(path)
        problems += [f"{path.name}: {problem}" for problem in _problems(frame, coin)]
        if problems:
            continue
        chain, note = _at(frame, coin, as_of)
        if chain.empty:
            problems.append(f"{path.name}: no option was recorded at or before {as_of.isoformat()} and expires later")
        chains[coin] = chain
        notes.append(note)
    if problems:
        raise InputRefused(f"recorded option chains in {root}", problems)
    index_price = {coin.name: float(chain["index_price"].median()) for coin, chain in chains.items()}
    listed = pd.concat([_listed(coin, chain, index_price[coin.name], as_of) for coin, chain in chains.items()])
    source = f"recorded {_WHO}; {'; '.join(notes)}; assumed: futures at the forwards, perpetuals at the index, depth"
    return OptionMarket(as_of, source, tuple(chains), index_price, listed.reset_index(drop=True))


def _problems(frame: pd.DataFrame, coin: Coin) -> Iterator[str]:
    """Find what makes a recording useless: missing columns, impossible numbers, names that say otherwise."""
    numbers = ("strike", "mark_price", "mark_iv", "underlying_price", "index_price", "open_interest", "stats.volume")
    missing = [name for name in ("instrument_name", "expiry", "cp", "ts", *numbers) if name not in frame.columns]
    if missing:
        yield f"columns are missing: {', '.join(missing)}"
        return
    rules = {}
    for name in numbers[:-1]:
        values = frame[name].to_numpy(np.float64)
        may_be_zero = name in {"mark_price", "open_interest"}
        rules[f"{name} must be a finite number, {'0 or more' if may_be_zero else 'above 0'}"] = ~(
            np.isfinite(values) & ((values >= 0.0) if may_be_zero else (values > 0.0))
        )
    written = f"{coin.name}-" + frame["expiry"].dt.strftime("%d%b%y").str.upper().str.removeprefix("0")
    written += "-" + frame["strike"].map("{:.0f}".format) + "-" + frame["cp"]
    rules["instrument_name must tell coin, expiry, strike and C or P as the other columns do"] = (
        written != frame["instrument_name"]
    ).to_numpy()
    for rule, is_bad in rules.items():
        rows = np.flatnonzero(is_bad)
        if len(rows):
            shown = [str(name) for name in frame["instrument_name"].iloc[rows[:20]]]
            yield f"{rule}: {enumerate_some(shown, len(rows))}"


def _at(frame: pd.DataFrame, coin: Coin, as_of: datetime) -> tuple[pd.DataFrame, str]:
    """Return each option's last row by an instant, and what was left out in words."""
    known = frame[(frame["ts"] <= as_of) & (frame["expiry"] > as_of)].sort_values("ts", kind="stable")
    last = known.groupby("instrument_name", sort=True).tail(1).sort_values(["expiry", "strike", "cp"], kind="stable")
    priced = last[last["mark_price"] > 0.0]
    note = f"{len(priced)} {coin.name} options"
    if len(priced) < len(last):
        note += f" ({len(last) - len(priced)} with a mark of 0 left out)"
    return priced.reset_index(drop=True), note


def _listed(coin: Coin, chain: pd.DataFrame, index_price: float, as_of: datetime) -> pd.DataFrame:
    """Return options, then a future for each expiry, then the perpetual."""
    forward = chain.groupby("expiry")["underlying_price"].transform("median")
    mean_interest = chain.groupby("expiry")["open_interest"].transform("mean")
    usd = chain["mark_price"] * index_price
    options = pd.DataFrame(
        {
            "instrument_id": chain["instrument_name"],
            "kind": "option",
            "expiry": chain["expiry"],
            "strike": chain["strike"],
            "is_call": chain["cp"] == "C",
            "years": (chain["expiry"] - as_of).dt.total_seconds() / (_DAYS_PER_YEAR * 86_400.0),
            "forward": forward,
            "vol": chain["mark_iv"] / 100.0,
            "mark": chain["mark_price"],
            "open_interest": chain["open_interest"],
            "adv_usd": chain["stats.volume"].fillna(0.0) * usd,
            "depth_usd": 0.01 * np.maximum(np.maximum(chain["open_interest"], mean_interest), 1.0) * usd,
        }
    )
    by_expiry = options.groupby("expiry", sort=True).first().reset_index()
    futures = by_expiry[["expiry", "years", "forward"]].assign(
        instrument_id=by_expiry["instrument_id"].str.split("-").str[:2].str.join("-"),
        kind="future",
        mark=by_expiry["forward"],
        depth_usd=_SHARE_OF_PERPETUAL * coin.perpetual_depth_usd,
    )
    perpetual = pd.DataFrame(
        {
            "instrument_id": [f"{coin.name}-PERPETUAL"],
            "kind": "perpetual",
            "forward": index_price,
            "mark": index_price,
            "depth_usd": coin.perpetual_depth_usd,
        }
    )
    listed = pd.concat([options, futures, perpetual], ignore_index=True).assign(coin=coin.name)
    return listed.assign(is_call=listed["is_call"] == True)  # noqa: E712  what is no option is no call


def _fund_of(coin: str) -> str:
    return f"{VENUE}-{coin.lower()}"


def market_tables(market: OptionMarket) -> dict[str, pa.Table]:
    """Return the tables that are not of accounts: instruments, quotes, prices, collateral, funds, tiers."""
    contract = {coin.name: coin.contract_usd for coin in market.coins}
    instruments, quotes = [], []
    for row in market.listed.to_dict("records"):
        is_option = row["kind"] == "option"
        terms = {"strike": row["strike"], "option_type": "call" if row["is_call"] else "put"} if is_option else {}
        quoted = {name: row[column] for name, column in _OPTION_QUOTES.items()} if is_option else {}
        instruments.append(
            {
                "instrument_id": row["instrument_id"],
                "venue": VENUE,
                "kind": row["kind"],
                "underlying": row["coin"],
                "quote_asset": "USD",
                "settlement_asset": row["coin"],
                "multiplier": 1.0 if is_option else contract[row["coin"]],
                "is_inverse": not is_option,
                "expiry": None if row["kind"] == "perpetual" else row["expiry"].to_pydatetime(),
                "fund": _fund_of(row["coin"]),
                **terms,
            }
        )
        quotes.append(
            {
                "instrument_id": row["instrument_id"],
                "mark_price": row["mark"],
                "depth_usd_1pct": row["depth_usd"],
                **quoted,
            }
        )
    coins = market.coins
    return {
        "instruments": records("instruments", instruments),
        "quotes": records("quotes", quotes),
        "prices": records(
            "prices",
            [
                {
                    "asset": coin.name,
                    "index_price": market.index_price[coin.name],
                    "index_beta": 1.0,
                    "depth_usd_1pct": coin.index_depth_usd,
                }
                for coin in coins
            ],
        ),
        "collateral": records(
            "collateral", [{"venue": VENUE, "asset": coin.name, "floor_usd": 0.0, "haircut": 0.0} for coin in coins]
        ),
        "insurance_funds": records(
            "insurance_funds",
            [{"fund": _fund_of(coin.name), "venue": VENUE, "asset": coin.name, "balance": coin.fund} for coin in coins],
        ),
        "margin_tiers": records("margin_tiers", []),
    }
