"""Recorded loans as a snapshot: borrowers on Aave v2 and v3 with (w)stETH as collateral, each protocol a venue.

The folder holds, for each protocol, `steth_positions_aave_<v2|v3>_<YYYY-MM>.parquet` (every borrower: what collateral
and debt the protocol counts, the blended threshold, the health factor, stETH and ETH debt) and three files that sort
most of them by debt and tell more assets: `steth_b1` (ETH), `steth_b2` (other), `steth_b3` (mixed), `_v3` for v3.

Both protocols are venues of one snapshot, and so are borrowers in v3's efficiency mode, where liquidations take another
bonus: their terms and losses are their own, their assets and some of their
borrowers the same. One price holds for each asset, but the protocols' oracles were read at different times and differ
by some tenths of a percent, so a balance is the *value recorded* over that price: health is that of the files. What the
named assets leave of a total is `OTHER_ETH` (collateral, priced as ETH: it falls with the market, not with stETH's
ratio) or `OTHER_USD` (debt, priced as USD: ETH debt is told for every borrower, and of other debt that is named 99.9%
is in stable coins). Own thresholds are the account's blended one, for each of its collateral assets alike.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from riskpipe.domain.book import BoolArray, FloatArray
from riskpipe.domain.tables import TABLES
from riskpipe.errors import InputRefused
from riskpipe.ingest.columns import enumerate_some
from riskpipe.ingest.synthetic.arrow import arrow_table
from riskpipe.ingest.write import records

RECORDED_AS_OF = datetime(2023, 6, 20, tzinfo=UTC)
OTHER_COLLATERAL = "OTHER_ETH"
OTHER_DEBT = "OTHER_USD"
_WHO = "Aave borrowers with (w)stETH collateral (lidofinance/aave-liquidation-model@a44561e9)"
_COINS = {
    name.lower(): name
    for name in ("USDC", "USDT", "DAI", "FEI", "TUSD", "sUSD", "USDP", "FRAX", "GUSD", "BUSD", "LUSD", "WBTC")
}
_FOLLOWS_THE_MARKET = {"WETH", "stETH", "wstETH", "rETH", "cbETH", "WBTC", OTHER_COLLATERAL}
_SEGMENTS = ("ETH debt", "other debt", "mixed debt")
_NOT_SORTED = "not sorted"
_TOTALS = ("collateral", "debt", "threshold", "healthf", "amount", "ethdebt")
_SAME_TIME = 1e-3  # a file's prices and its totals were read minutes apart: sums that differ by less are the same sum
_EXACT = 1e-9

EFFICIENCY_MODE = "_emode"  # of the venue of those who are in it


@dataclass(frozen=True)
class RecordedLoans:
    """A snapshot of recorded loans: its instant, where it comes from, its tables by the format's names."""

    as_of: datetime
    source: str
    tables: dict[str, pa.Table]


@dataclass(frozen=True)
class _Protocol:
    venue: str
    version: str
    suffix: str  # of its sorted files
    price_unit: float  # what its recorded coin prices are divided by to be in its money
    staked: str  # the asset whose amount is recorded

    @property
    def is_in_eth(self) -> bool:
        return self.version == "v2"


_PROTOCOLS = (_Protocol("aave_v2", "v2", "", 1e18, "stETH"), _Protocol("aave_v3", "v3", "_v3", 1e8, "wstETH"))


@dataclass(frozen=True)
class _Borrowers:
    """One protocol's borrowers: collateral and debt by asset, in the protocol's money (ETH for v2, USD for v3)."""

    protocol: _Protocol
    frame: pd.DataFrame  # by account, with segment
    collateral: pd.DataFrame
    debt: pd.DataFrame


def recorded_loans(folder: str | Path, *, as_of: datetime = RECORDED_AS_OF) -> RecordedLoans:
    """Return the recorded borrowers as the tables of a snapshot.

    Parameters
    ----------
    folder: holds the files that the module's text names.
    as_of: the instant to describe; its month names the files. Without a zone it is UTC.

    Returns
    -------
    Accounts of kind lending on venues aave_v2, aave_v3 and aave_v3_emode (v3 in its efficiency mode), with the
    borrower as entity, the file as segment and, as
    reported equity, (health factor - 1) x debt; balances; prices. The other tables are empty: terms other than the
    accounts' own thresholds are those of the venues' rules.

    Raises
    ------
    InputRefused: files are missing, or contradict themselves (a health factor that its own row does not give).
    """
    as_of = as_of.replace(tzinfo=UTC) if as_of.tzinfo is None else as_of.astimezone(UTC)
    root = Path(folder)
    files = {protocol.version: _files(root, protocol, as_of) for protocol in _PROTOCOLS}
    if missing := [f"file {path} is missing" for paths in files.values() for path in paths if not path.is_file()]:
        raise InputRefused(f"recorded loans in {root}", missing)
    frames = {protocol.version: _joined(files[protocol.version]) for protocol in _PROTOCOLS}
    if problems := [
        f"{files[version][0].name}: {problem}" for version, frame in frames.items() for problem in _problems(frame)
    ]:
        raise InputRefused(f"recorded loans in {root}", problems)
    prices = _prices(frames["v2"], frames["v3"])
    borrowers = [_split(protocol, frames[protocol.version]) for protocol in _PROTOCOLS]
    balances = pd.concat([_balances(some, prices) for some in borrowers], ignore_index=True)
    accounts = pd.concat([_accounts(some, prices["WETH"]) for some in borrowers], ignore_index=True)
    held = [asset for asset in prices if asset in set(balances["asset"])]
    empty = ("positions", "instruments", "quotes", "margin_tiers", "collateral", "insurance_funds")
    tables = {
        "accounts": arrow_table(TABLES["accounts"], _columns(accounts)),
        "balances": arrow_table(TABLES["balances"], _columns(balances)),
        "prices": records(
            "prices",
            [
                {"asset": asset, "index_price": prices[asset], "index_beta": float(asset in _FOLLOWS_THE_MARKET)}
                for asset in held
            ],
        ),
        **{name: records(name, []) for name in empty},
    }
    return RecordedLoans(as_of, _source(as_of, borrowers, prices), tables)


def _files(root: Path, protocol: _Protocol, as_of: datetime) -> list[Path]:
    """Return one protocol's files: every borrower, then the sorted ones."""
    every = f"steth_positions_aave_{protocol.version}_{as_of:%Y-%m}.parquet"
    return [root / every, *(root / f"steth_b{n}{protocol.suffix}.parquet" for n in (1, 2, 3))]


def _joined(paths: list[Path]) -> pd.DataFrame:
    """Return every borrower once, by account, with what the sorted files tell beyond that; NaN = not told."""
    every, *sorted_ = (pd.read_parquet(path) for path in paths)
    more = pd.concat([part.assign(segment=name) for part, name in zip(sorted_, _SEGMENTS, strict=True)])
    joined = every.merge(more, how="outer", on="account", suffixes=("", " sorted"), indicator=True, sort=False)
    joined["segment"] = joined["segment"].fillna(_NOT_SORTED)
    return joined


def _problems(frame: pd.DataFrame) -> Iterator[str]:
    """Find what makes a recording useless: borrowers that stand twice, impossible numbers, contradictions."""
    rules = {
        "stands in more than one row": frame["account"].duplicated().to_numpy(),
        "is in a sorted file but not here": (frame["_merge"] == "right_only").to_numpy(),
    }
    for name in _TOTALS:
        values = frame[name].to_numpy(np.float64)
        rules[f"{name} must be a finite number, 0 or more"] = ~(np.isfinite(values) & (values >= 0.0))
    for name in ("collateral", "debt"):
        rules[f"{name} differs from that in its sorted file"] = _differs(frame[name], frame[f"{name} sorted"])
    owes = (frame["debt"] > 1.0).to_numpy()
    computed = frame["collateral"] * frame["threshold"] / 1e4 / frame["debt"].where(owes)
    rules["healthf must be collateral x threshold / 10,000 / debt"] = owes & _differs(frame["healthf"], computed)
    for rule, is_bad in rules.items():
        rows = np.flatnonzero(is_bad)
        if len(rows):
            shown = [f"account {account}" for account in frame["account"].iloc[rows[:20]]]
            yield f"{rule}: {enumerate_some(shown, len(rows))}"


def _differs(one: "pd.Series[float]", other: "pd.Series[float]") -> BoolArray:
    """Return where two numbers are told and not the same."""
    said, expected = one.to_numpy(np.float64), other.to_numpy(np.float64)
    with np.errstate(invalid="ignore"):
        return np.abs(said - expected) > _EXACT * np.maximum(np.abs(said), np.abs(expected))


def _prices(v2: pd.DataFrame, v3: pd.DataFrame) -> dict[str, float]:
    """Return one USD price for each asset: v3's oracle, which tells dollars, else v2's, which tells ETH."""
    eth = float(v3["eth_price"].median())
    prices = {
        "WETH": eth,
        "stETH": float((v2["collateral_steth_calc"] / v2["amount"]).median()) * eth,
        "wstETH": float(v3["steth_price"].median()),
        "rETH": float(v3["reth_price"].median()),
        "cbETH": float(v3["cbeth_price"].median()),
    }
    for coin, asset in _COINS.items():
        for frame, unit in ((v3, 1e8), (v2, 1e18 / eth)):
            if asset not in prices and f"{coin}_price" in frame:
                prices[asset] = float(frame[f"{coin}_price"].median()) / unit
    return {**prices, OTHER_COLLATERAL: eth, OTHER_DEBT: 1.0}


def _split(protocol: _Protocol, frame: pd.DataFrame) -> _Borrowers:
    """Split every borrower's collateral and debt by asset."""
    eth = 1.0 if protocol.is_in_eth else frame["eth_price"]
    collateral = {protocol.staked: frame["collateral_steth_calc"], "WETH": frame["weth_collateral"] / 1e18 * eth}
    debt = {"WETH": frame["ethdebt"] * eth}
    for name, asset in (("reth", "rETH"), ("cbeth", "cbETH")):
        if f"{name}_collateral" in frame:
            collateral[asset] = frame[f"{name}_collateral"] * frame[f"{name}_price"]
    for coin, asset in _COINS.items():
        if coin not in frame:
            continue
        price = frame[f"{coin}_price"] / protocol.price_unit / 10.0 ** frame[f"{coin}_decimals"]
        debt[asset] = frame[coin] * price
        if f"{coin}_collateral" in frame:
            collateral[asset] = frame[f"{coin}_collateral"] * price
    return _Borrowers(
        protocol,
        frame,
        reconciled(pd.DataFrame(collateral).fillna(0.0), frame["collateral"], OTHER_COLLATERAL),
        reconciled(pd.DataFrame(debt).fillna(0.0), frame["debt"], OTHER_DEBT),
    )


def reconciled(known: pd.DataFrame, total: "pd.Series[float]", other: str) -> pd.DataFrame:
    """Return values by asset whose sum is each borrower's total.

    Parameters
    ----------
    known: [borrower, asset] values of the assets that the files name, >= 0.
    total: [borrower] what the protocol counts, same money.
    other: column for what they leave.

    Returns
    -------
    Where the known values reach the total to 0.1%, they are scaled to it; where they do not, `other` is the rest. Where
    they exceed it, some are deposits that their owner keeps from being collateral: the asset without which the rest
    reaches the total is left out, and if there is none all are scaled.
    """
    values, all_ = known.to_numpy(np.float64), total.to_numpy(np.float64)
    slack = _SAME_TIME * all_
    rest = np.abs((all_ - values.sum(axis=1))[:, None] + values)  # without each asset in turn
    exceeds = values.sum(axis=1) - all_ > slack
    leaves = exceeds[:, None] & (rest == rest.min(axis=1, keepdims=True)) & (rest <= slack[:, None])
    values = np.where(leaves, 0.0, values)
    sums: FloatArray = values.sum(axis=1)
    gap = all_ - sums
    falls_short = gap > slack
    factor = np.where(falls_short | (sums == 0.0), 1.0, all_ / np.where(sums == 0.0, 1.0, sums))
    result = pd.DataFrame(values * factor[:, None], index=known.index, columns=known.columns)
    result[other] = np.where(falls_short, gap, 0.0)
    return result


def _names(borrowers: _Borrowers) -> "pd.Series[str]":
    return borrowers.protocol.venue + "-" + borrowers.frame["account"].astype(int).astype(str).str.zfill(4)


def _in_efficiency_mode(frame: pd.DataFrame) -> np.ndarray:
    """Return which borrowers [a] are in an efficiency mode: its bonus is another, so that they are a venue apart."""
    return frame["emode"].to_numpy() == 1 if "emode" in frame else np.zeros(len(frame), dtype=np.bool_)


def _accounts(borrowers: _Borrowers, eth_price: float) -> pd.DataFrame:
    frame = borrowers.frame
    usd = eth_price if borrowers.protocol.is_in_eth else 1.0
    return pd.DataFrame(
        {
            "account_id": _names(borrowers),
            "venue": borrowers.protocol.venue + np.where(_in_efficiency_mode(frame), EFFICIENCY_MODE, ""),
            "kind": "lending",
            "entity_id": "borrower-" + frame["account"].astype(int).astype(str).str.zfill(4),
            "segment": frame["segment"],
            "reported_equity": (frame["healthf"] - 1.0) * frame["debt"] * usd,
        }
    )


def _balances(borrowers: _Borrowers, prices: dict[str, float]) -> pd.DataFrame:
    """Return a row for each asset held and owed, borrower by borrower, collateral first."""
    names, threshold = _names(borrowers).to_numpy(), borrowers.frame["threshold"].to_numpy(np.float64) / 1e4
    usd = prices["WETH"] if borrowers.protocol.is_in_eth else 1.0
    sides = []
    for values, sign in ((borrowers.collateral, 1.0), (borrowers.debt, -1.0)):
        row, column = np.nonzero(values.to_numpy() > 0.0)
        asset = values.columns.to_numpy()[column]
        price = np.array([prices[name] for name in values.columns])[column]
        sides.append(
            pd.DataFrame(
                {
                    "row": row,
                    "account_id": names[row],
                    "asset": asset,
                    "quantity": sign * values.to_numpy()[row, column] * usd / price,
                    "liquidation_threshold": threshold[row] if sign > 0.0 else np.nan,
                }
            )
        )
    return pd.concat(sides).sort_values("row", kind="stable").drop(columns="row")


def _columns(frame: pd.DataFrame) -> dict[str, np.ndarray | list[str]]:
    return {
        name: frame[name].tolist() if frame[name].dtype == object else frame[name].to_numpy() for name in frame.columns
    }


def _source(as_of: datetime, borrowers: list[_Borrowers], prices: dict[str, float]) -> str:
    """Return what was recorded and what was taken to be so."""
    notes = [
        f"recorded {_WHO}, about {as_of:%Y-%m-%d}",
        f"ETH {prices['WETH']:.2f} USD, stETH {prices['stETH'] / prices['WETH']:.5f} ETH",
        "balances are recorded values over one price for each asset; thresholds are the accounts' blended ones",
    ]
    for some in borrowers:
        shares = (
            some.collateral[OTHER_COLLATERAL].sum() / some.collateral.to_numpy().sum(),
            some.debt[OTHER_DEBT].sum() / some.debt.to_numpy().sum(),
        )
        notes.append(
            f"{some.protocol.venue}: {len(some.frame)} accounts; not named: {shares[0]:.1%} of collateral, taken as"
            f" {OTHER_COLLATERAL} at the price of ETH, {shares[1]:.1%} of debt, taken as {OTHER_DEBT} at 1 USD"
        )
    return "; ".join(notes)
