"""Engine back-test: an earlier night's book on the prices that came, beside the liquidations that came.

Hour by hour the book is computed at the observed prices. An account is closed once: from the hour in which it was, it
is exempt, and what its fund paid is gone. Observed prices contain the cascade of their day, so that two readings bound
what the engine says: prices alone (books so deep that forced trades move nothing), and a cascade computed on top.
"""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from riskpipe.calibrate.history import HistoryRows
from riskpipe.domain.book import Book, FloatArray
from riskpipe.domain.engine_backtest import EngineBacktest, Exposure, FundOutcome
from riskpipe.errors import InputRefused
from riskpipe.liquidation.kernel import Kernel
from riskpipe.run.finished import FinishedRun
from riskpipe.run.observed_path import ObservedPath, observed_path

DEEP = 1e12
"""Factor on depth at which forced trades move nothing."""
LONGEST_HOURS = 24 * 14
SIDES = ("long", "short")


@dataclass(frozen=True)
class Predicted:
    """What the engine closes over a path: USD [v, u, side]; by fund [f] shortfall, and what the fund pays."""

    notional: FloatArray
    shortfall: FloatArray
    fund_used: FloatArray


def engine_backtest(
    earlier: FinishedRun, later: FinishedRun, realised: pa.Table, history: HistoryRows | None
) -> EngineBacktest:
    """Replay an earlier run's book on the prices up to a later one, beside what was reported then.

    Parameters
    ----------
    realised: rows of the later night's snapshots, of the format's table. history: rows up to the later night.

    Raises InputRefused where there is no price between the nights, or too many hours.
    """
    path = _path(earlier, later, history)
    readings = [predicted_over(earlier, path, depth_factor) for depth_factor in (DEEP, 1.0)]
    unusable: Counter[str] = Counter()
    fills = _fills(realised, earlier, later, unusable)
    book = earlier.book
    venues, funds = book.names("venue"), book.names("fund")
    assets = book.names("asset")
    markets = [assets[c] for c in book.underlyings.tolist()]
    keys = [(venue, asset, side) for venue in venues for asset in markets for side in SIDES]
    at = {(v, u, s): place for place, (v, u, s) in zip(np.ndindex(len(venues), len(markets), 2), keys, strict=True)}
    exposures = []
    for key in dict.fromkeys((*keys, *fills.market)):
        actual = fills.market.get(key, 0.0)
        predicted = tuple(float(one.notional[at[key]]) if key in at else 0.0 for one in readings)
        if actual or any(predicted):
            exposures.append(Exposure(*key, actual, predicted))
    outcomes = [
        FundOutcome(
            fund,
            fills.shortfall.get(fund, fills.nothing("shortfall")),
            fills.fund_change.get(fund, fills.nothing("fund_change")),
            tuple(float(one.shortfall[f]) for one in readings),
            tuple(-float(one.fund_used[f]) for one in readings),
        )
        for f, fund in enumerate(funds)
        if fund in fills.shortfall or fund in fills.fund_change or any(one.shortfall[f] > 0.0 for one in readings)
    ]
    return EngineBacktest(
        later.run_id,
        later.as_of,
        earlier.run_id,
        earlier.as_of,
        path.n_hours,
        path.still,
        realised.num_rows,
        dict(unusable),
        tuple(exposures),
        tuple(outcomes),
    )


def _path(earlier: FinishedRun, later: FinishedRun, history: HistoryRows | None) -> ObservedPath:
    where = f"engine back-test from {earlier.as_of:%Y-%m-%d %H:%MZ} to {later.as_of:%Y-%m-%d %H:%MZ}"
    if history is None:
        raise InputRefused(where, ["the night has no price history"])
    path = observed_path(earlier.book, earlier.market, history, later.as_of)
    if not 1 <= path.n_hours <= LONGEST_HOURS:
        raise InputRefused(where, [f"the history has {path.n_hours} hours between them, expected 1 to {LONGEST_HOURS}"])
    return path


def predicted_over(run: FinishedRun, path: ObservedPath, depth_factor: float) -> Predicted:
    """Compute a run's book hour by hour along a path; accounts once closed, and what funds paid, are gone."""
    book, variant = run.book, run.scenarios.variants[0]
    notional = np.zeros((book.n_venues, len(book.underlyings), 2))
    shortfall, fund_used = np.zeros(book.n_funds), np.zeros(book.n_funds)
    for hour in range(path.n_hours):
        result = Kernel(book, run.market, run.rules).run(path.scenario(hour, variant, depth_factor))
        values = {key: array[0] for key, array in result.values.items()}
        for s, side in enumerate(SIDES):
            notional[:, :, s] += values[f"exposure/liquidated_notional_{side}"]
        shortfall += values["funds/shortfall"]
        used, before = values["funds/fund_used"], values["funds/fund_balance"]
        fund_used += used
        if len(result.part.account_ix) == 0:
            continue
        is_closed = np.array(book.account_is_exempt)
        is_closed[result.part.account_ix[result.part.liquidated_scenarios > 0]] = True
        left = np.where(before > 0.0, 1.0 - used / np.where(before > 0.0, before, 1.0), 1.0)
        book = replace(book, account_is_exempt=is_closed, fund_balance=book.fund_balance * left)
    return Predicted(notional, shortfall, fund_used)


@dataclass(frozen=True)
class _Fills:
    """What was reported: notional by market and side, shortfall and fund's change by fund, USD."""

    market: dict[tuple[str, str, str], float]
    shortfall: dict[str, float]
    fund_change: dict[str, float]

    def nothing(self, name: str) -> float:
        """What a fund without rows has: 0 where any row reports the figure, else it is not reported."""
        return 0.0 if getattr(self, name) else float("nan")


def _fills(realised: pa.Table, earlier: FinishedRun, later: FinishedRun, unusable: Counter[str]) -> _Fills:
    """Sum up reported liquidations; rows that cannot be used are counted by their first reason."""
    known = _contracts(earlier.book) | _contracts(later.book)
    contracts = list(known.values())
    of = pc.fill_null(pc.index_in(realised["instrument_id"], value_set=pa.array(list(known), pa.string())), -1)
    at = np.asarray(of.to_numpy(), dtype=np.int64)
    ts = pc.fill_null(realised["ts"].cast(pa.int64()), 0).to_numpy()
    start, end = (round(one.as_of.timestamp() * 1e6) for one in (earlier, later))
    side = pc.fill_null(pc.index_in(realised["side"], value_set=pa.array(SIDES)), -1).to_numpy()
    quantity, fill, bankruptcy, change = (
        pc.fill_null(realised[name], np.nan).to_numpy()
        for name in ("quantity", "fill_price", "bankruptcy_price", "fund_pnl")
    )
    is_left = np.ones(realised.num_rows, dtype=np.bool_)
    for reason, is_bad in (
        ("the time is not between the nights", (ts <= start) | (ts > end)),
        ("the instrument is in neither night", at < 0),
        ("the side is neither long nor short", side < 0),
        (
            "quantity or fill price is no positive number",
            ~((quantity > 0.0) & (fill > 0.0) & np.isfinite(quantity * fill)),
        ),
    ):
        if count := int((is_left & is_bad).sum()):
            unusable[reason] += count
        is_left &= ~is_bad
    found = _Fills({}, {}, {})
    for n in np.unique(at[is_left]).tolist():
        contract = contracts[n]
        for s, name in enumerate(SIDES):
            rows = is_left & (at == n) & (side == s)
            size = quantity[rows] * contract.multiplier
            if not len(size):
                continue
            key = (contract.venue, contract.underlying, name)
            found.market[key] = found.market.get(key, 0.0) + float(contract.notional(size, fill[rows]).sum())
            loss = contract.gain(size, fill[rows], bankruptcy[rows]) * (1.0 if name == "long" else -1.0)
            for figures, values in ((found.shortfall, np.maximum(loss, 0.0)), (found.fund_change, change[rows])):
                if not np.isnan(values).all():  # a fund of whose rows none reports a figure has none
                    figures[contract.fund] = figures.get(contract.fund, 0.0) + float(np.nansum(values))
    return found


@dataclass(frozen=True)
class _Contract:
    venue: str
    underlying: str
    fund: str
    multiplier: float
    is_inverse: bool
    is_option: bool
    quote_usd: float
    settlement_usd: float

    def notional(self, size: FloatArray, price: FloatArray) -> FloatArray:
        """USD of closings."""
        if self.is_option:
            return size * price * self.settlement_usd
        return size * self.quote_usd if self.is_inverse else size * price * self.quote_usd

    def gain(self, size: FloatArray, entry: FloatArray, end: FloatArray) -> FloatArray:
        """USD that long positions of these sizes gain from one price to another."""
        if self.is_inverse:
            return size * (1.0 / entry - 1.0 / end) * self.settlement_usd
        return size * (end - entry) * self.settlement_usd


def _contracts(book: Book) -> dict[str, _Contract]:
    venue, asset, fund = (book.names(name) for name in ("venue", "asset", "fund"))
    usd = book.index_price.tolist()
    return {
        label: _Contract(
            venue[book.instrument_venue[i]],
            asset[book.instrument_underlying[i]],
            fund[book.instrument_fund[i]],
            float(book.instrument_multiplier[i]),
            bool(book.instrument_is_inverse[i]),
            bool(book.is_option[i]),
            usd[book.instrument_quote[i]],
            usd[book.instrument_settlement[i]],
        )
        for i, label in enumerate(book.names("instrument"))
    }
