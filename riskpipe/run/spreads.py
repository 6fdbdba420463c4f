"""Spreads of a night: pairs of the book measured over the history, traded at its quotes, written as /spreads."""

from functools import lru_cache
from typing import Any

import numpy as np

from riskpipe.calibrate.fits import FitSettings
from riskpipe.calibrate.history import HistoryRows
from riskpipe.calibrate.spreads.crowding import crowding
from riskpipe.calibrate.spreads.levels import common_share, fair_spread
from riskpipe.calibrate.spreads.measured import (
    PairMeasures,
    PairSeries,
    measure_pair,
    measured_arrays,
    pair_series,
    until,
)
from riskpipe.calibrate.spreads.pairs import OWN_INDEX, Pairs, SpreadKind, n_left_out, pairs_of
from riskpipe.calibrate.spreads.prices import PricePanel, price_panel
from riskpipe.calibrate.spreads.series import SpreadSeries, spread_series
from riskpipe.calibrate.spreads.trades import Trades, TradeSettings, trades
from riskpipe.cube.store import open_store
from riskpipe.domain.book import Book
from riskpipe.domain.findings import Findings, Reason, Severity
from riskpipe.domain.market import Market
from riskpipe.run.fits import SeriesJob, map_over_night
from riskpipe.run.inputs import arrays_of, read_arrays, write_arrays
from riskpipe.run.night import Night

SERIES = "spread_series"  # name of the units' inputs


@lru_cache(maxsize=1)
def _series(store_uri: str, run_id: str) -> PairSeries:
    """Read a run's series once per process."""
    return PairSeries(**read_arrays(open_store(store_uri), run_id, SERIES))


def measure_unit(job: SeriesJob) -> list[dict[str, Any]]:
    """Measure each pair of a job (`PairMeasures` as plain values)."""
    series = _series(job.store, job.run_id)
    return [measure_pair(series, row, job.settings).as_json() for row in job.rows]


def measure_spreads(night: Night, book: Book, market: Market) -> tuple[dict[str, np.ndarray], Findings]:
    """Return the variables of /spreads, and findings: pairs left out, prices dropped, what could not be measured."""
    findings = Findings()
    pairs = pairs_of(book)
    if left_out := n_left_out(book, pairs):
        findings.add(
            Severity.INFO,
            Reason.PAIRS_LEFT_OUT,
            "spreads",
            "pairs across venues that are not watched: contracts beyond the four of an underlying with the most open "
            "interest are paired with the largest one only",
            count=left_out,
        )
    panel, series = _history(night.history, book, pairs, findings)
    settings = night.config.calibration
    assumed = settings.spreads
    traded = trades(
        book,
        market,
        pairs,
        fair_spread(series, pairs),
        crowding(book),
        TradeSettings(assumed.fee_rate, assumed.financing_rate, assumed.holding_days, assumed.margin_rate),
    )
    found = [PairMeasures()] * len(pairs)
    if len(series.spread) and len(pairs):
        write_arrays(
            night.store, night.run_id, SERIES, arrays_of(pair_series(panel, series, pairs, book, traded.hedged))
        )
        _series.cache_clear()  # a stage that is run again may have others
        fit_settings = FitSettings(settings.ewma_decay, settings.minimum_observations)
        receipts = map_over_night(night, "spreads", measure_unit, len(pairs), fit_settings, "spread")
        found = [PairMeasures.from_json(receipt) for receipt in receipts]
    _say_what_failed(pairs, found, findings)
    return {
        **measured_arrays(found),
        **_traded_arrays(traded),
        **_about(book, pairs),
        "common_share": common_share(series, pairs),
    }, findings


def _history(
    history: HistoryRows | None, book: Book, pairs: Pairs, findings: Findings
) -> tuple[PricePanel, SpreadSeries]:
    """Return guarded prices and spreads by hour; without hours where there is no history, which is said elsewhere."""
    instruments, assets = book.names("instrument"), book.names("asset")
    if history is None or history.table.num_rows == 0 or len(pairs) == 0:
        nothing = np.empty((0, len(instruments)))
        panel = PricePanel(np.empty(0, dtype=np.int64), nothing, nothing, np.empty((0, len(assets))))
        return panel, SpreadSeries(panel.ts_us, *(np.empty((0, len(pairs))) for _ in range(2)))
    panel, dropped = price_panel(history, instruments, assets)
    findings.extend(dropped)
    panel = until(panel, history.as_of)
    series, short = spread_series(panel, pairs, book)
    findings.extend(short)
    return panel, series


def _say_what_failed(pairs: Pairs, found: list[PairMeasures], findings: Findings) -> None:
    failed = [f"{name}: {problem}" for name, one in zip(pairs.name, found, strict=True) for problem in one.problems]
    if failed:
        findings.add(
            Severity.WARNING,
            Reason.FAILED_DIAGNOSTIC,
            "spreads",
            "a measure of a spread failed, or no estimator of its volatility passes",
            count=len(failed),
            examples=failed,
        )


def _traded_arrays(traded: Trades) -> dict[str, np.ndarray]:
    has_interest = traded.interest_usd > 0.0
    interest = np.where(has_interest, traded.interest_usd, np.nan)
    return {
        "spread": traded.spread,
        "gap": traded.gap,
        "closing_flow": traded.closing_flow_usd,
        "gross_carry": traded.carry.gross,
        "carry_fees": traded.carry.fees,
        "net_carry": traded.carry.net,
        "break_even_days": traded.carry.break_even_days,
        "trade_side": np.where(np.isnan(traded.carry.net), np.nan, traded.side),
        "open_interest": traded.interest_usd,
        "neutral_interest": traded.neutral_usd,
        "neutral_share": traded.neutral_usd / interest,
        "unknown_share": traded.unknown_usd / interest,
    }


def _about(book: Book, pairs: Pairs) -> dict[str, np.ndarray]:
    """Return what each pair is, in words."""
    instruments, assets = book.names("instrument"), book.names("asset")
    first, second, underlying = [], [], []
    for kind, one, other in zip(pairs.kind, pairs.first.tolist(), pairs.second.tolist(), strict=True):
        if kind == SpreadKind.ASSET_RATIO:
            first.append(assets[one])
            second.append(assets[other])
            underlying.append(assets[other])
            continue
        follows = assets[book.instrument_underlying[one]]
        first.append(instruments[one])
        second.append(f"{follows} index" if other == OWN_INDEX else instruments[other])
        underlying.append(follows)
    words = {"kind": [str(kind) for kind in pairs.kind], "first": first, "second": second, "underlying": underlying}
    return {name: np.array(values, dtype=object) for name, values in words.items()}
