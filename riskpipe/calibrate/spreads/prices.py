"""Guarded prices on whole hours: marks, indices and assets of a history, without what is stale, missing or too young.

Unlike a basis, a spread between two venues' contracts needs no index: an outage of spot must not take it away.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from riskpipe.calibrate.history import HOUR_US, HistoryRows, floats, times_us, usual_minute
from riskpipe.domain.book import BoolArray, FloatArray, OffsetArray
from riskpipe.domain.findings import Findings, Reason, Severity

DAY_US = 24 * HOUR_US


@dataclass(frozen=True)
class PriceGuards:
    """What makes a price unfit, all in hours or days.

    A price that does not change for more than `still_hours` is stale where its volume is unknown: with volume it traded
    there. `listing_days` after the first row of a series its prices are those of a listing, absurd at times; the first
    row counts as a listing where it comes more than a day after the history begins, or where `listed_us` says so.
    """

    still_hours: int = 3
    listing_days: float = 60.0
    listed_us: dict[str, int] = field(default_factory=dict)  # by instrument or asset: listed when, microseconds

    def __post_init__(self) -> None:
        """Refuse guards that nothing could pass."""
        if self.still_hours < 1 or self.listing_days < 0.0:
            raise ValueError(
                f"still_hours must be at least 1 and listing_days not negative, got {self.still_hours} and "
                f"{self.listing_days}"
            )


@dataclass(frozen=True)
class PricePanel:
    """Guarded prices (t hours without a hole, i instruments, c assets); NaN = none that can be used."""

    ts_us: OffsetArray  # [t] microseconds since 1970, one hour apart
    mark: FloatArray  # [t, i] quote units
    index: FloatArray  # [t, i] of the underlying, quote units
    asset: FloatArray  # [t, c] spot series, USD


def price_panel(
    history: HistoryRows, instruments: Sequence[str], assets: Sequence[str], guards: PriceGuards | None = None
) -> tuple[PricePanel, Findings]:
    """Return the prices of these instruments and assets that pass the guards, by whole hour.

    A price is dropped, each time with a finding of the reason, where it is missing, not finite or not positive; where
    its own volume in the hour is 0; in the hour before one of these, for what halts in mid-hour closes at an old price;
    where it stands still (see `PriceGuards`); in a listing period; and where rows of one series and instant contradict
    each other. The mark goes by `volume_usd`, the index and assets by `index_volume_usd`. The hours are those of the
    minute at which most rows stand; rows between them are left out with a finding. Rows of other series are ignored.
    """
    guards = guards or PriceGuards()
    findings = Findings()
    table, names = history.table, [*instruments, *assets]
    column = _column_of(table, instruments, assets)
    ts_us = times_us(table)
    is_known = column >= 0
    column, ts_us = column[is_known], ts_us[is_known]
    if not len(ts_us):
        nothing = np.empty((0, len(instruments)))
        return PricePanel(ts_us, nothing, nothing, np.empty((0, len(assets)))), findings
    hours = _whole_hours(ts_us, findings)
    at = (ts_us - hours[0]) // HOUR_US
    is_whole = (ts_us - hours[0]) % HOUR_US == 0
    shape = (len(hours), len(names))
    values = {}
    clashing = np.zeros(shape, dtype=np.bool_)
    for name in ("mark_price", "index_price", "volume_usd", "index_volume_usd"):
        given = floats(table[name])[is_known][is_whole]
        values[name], differs = _placed(given, at[is_whole], column[is_whole], shape)
        clashing |= differs & name.endswith("price")
    has_row = np.zeros(shape, dtype=np.bool_)
    has_row[at[is_whole], column[is_whole]] = True
    is_young = _is_young(has_row, hours, names, guards)
    n_i = len(instruments)
    sides = []
    for price, volume, what, part in (
        ("mark_price", "volume_usd", "mark price", slice(0, n_i)),
        ("index_price", "index_volume_usd", "index price", slice(0, n_i)),
        ("index_price", "index_volume_usd", "asset price", slice(n_i, None)),
    ):
        state = _Prices(values[price][:, part].copy(), values[volume][:, part], has_row[:, part], names[part], hours)
        state.guard(what, guards, findings)
        state.drop(clashing[:, part], Reason.BAD_VALUE, f"{what}: rows of one series and instant differ", findings)
        state.drop(is_young[:, part], Reason.LISTING_PERIOD, f"{what} of a listing period", findings, Severity.INFO)
        sides.append(state.prices)
    return PricePanel(hours, *sides), findings


def hourly_changes(values: FloatArray) -> FloatArray:
    """Change over the hour [t, ...] of values on whole hours; NaN in the first row and where either end is missing."""
    changes = np.full_like(values, np.nan)
    changes[1:] = values[1:] - values[:-1]
    return changes


def hourly_returns(prices: FloatArray) -> FloatArray:
    """Relative change over the hour [t, ...] of prices on whole hours; NaN like `hourly_changes`."""
    returns = np.full_like(prices, np.nan)
    returns[1:] = prices[1:] / prices[:-1] - 1.0
    return returns


@dataclass
class _Prices:
    """Prices [t, n] that lose what guards refuse."""

    prices: FloatArray
    volume: FloatArray
    has_row: BoolArray
    names: Sequence[str]
    hours: OffsetArray

    def drop(
        self, bad: BoolArray, reason: Reason, message: str, findings: Findings, severity: Severity = Severity.WARNING
    ) -> None:
        """Take out the prices that are bad, and say so."""
        bad = bad & ~np.isnan(self.prices)
        if count := int(bad.sum()):
            rows, columns = np.nonzero(bad)
            when = np.array(self.hours[rows[:5]], dtype="datetime64[us]")
            examples = [f"{self.names[n]} at {ts}" for n, ts in zip(columns[:5], when, strict=True)]
            findings.add(severity, reason, "history", message, count=count, examples=examples)
            self.prices[bad] = np.nan

    def guard(self, what: str, guards: PriceGuards, findings: Findings) -> None:
        """Drop what is missing, what did not trade, and what stands still."""
        is_bad = ~(np.isfinite(self.prices) & (self.prices > 0.0))
        is_missing = is_bad & self.has_row
        if count := int(is_missing.sum()):
            examples = [name for name, n in zip(self.names, is_missing.sum(axis=0), strict=True) if n]
            findings.add(
                Severity.WARNING,
                Reason.MISSING_PRICE,
                "history",
                f"{what} is missing, not finite or not positive",
                count=count,
                examples=examples,
            )
        self.prices[is_bad] = np.nan
        did_not_trade = self.volume == 0.0
        before = np.zeros_like(did_not_trade)
        before[:-1] = (did_not_trade | is_missing)[1:]
        is_still = _still_for(self.prices) >= guards.still_hours
        self.drop(did_not_trade, Reason.STALE_PRICE, f"{what} did not trade in the hour", findings)
        self.drop(before, Reason.STALE_PRICE, f"{what} stops in the next hour: it may be an old one", findings)
        self.drop(
            is_still & np.isnan(self.volume),
            Reason.STALE_PRICE,
            f"{what} stands still for {guards.still_hours} hours and more and has no volume",
            findings,
        )


def _column_of(table: pa.Table, instruments: Sequence[str], assets: Sequence[str]) -> OffsetArray:
    """Return the column of each row: its instrument, else its asset after them, -1 = neither."""
    by_instrument = pc.index_in(table["instrument_id"], value_set=pa.array(list(instruments), pa.string()))
    by_asset = pc.index_in(table["asset"], value_set=pa.array(list(assets), pa.string()))
    by_asset = pc.add(by_asset, len(instruments))
    column = pc.if_else(pc.is_valid(table["instrument_id"]), by_instrument, by_asset)
    return np.asarray(pc.fill_null(column, -1).to_numpy(), dtype=np.int64)


def _whole_hours(ts_us: OffsetArray, findings: Findings) -> OffsetArray:
    """Return every hour from the first to the last one at the minute at which most rows stand."""
    is_whole = ts_us % HOUR_US == usual_minute(ts_us)
    if count := int((~is_whole).sum()):
        findings.add(
            Severity.INFO, Reason.BAD_VALUE, "history.ts", "rows between whole hours are left out", count=count
        )
    return np.arange(ts_us[is_whole].min(), ts_us[is_whole].max() + 1, HOUR_US, dtype=np.int64)


def _placed(
    given: FloatArray, at: OffsetArray, column: OffsetArray, shape: tuple[int, int]
) -> tuple[FloatArray, BoolArray]:
    """Return values at their hour and column [t, n], and where two rows of one place differ."""
    placed = np.full(shape, np.nan)
    placed[at, column] = given
    differs = np.zeros(shape, dtype=np.bool_)
    other = placed[at, column]
    unlike = (given != other) & ~(np.isnan(given) & np.isnan(other))
    differs[at[unlike], column[unlike]] = True
    return placed, differs


def _still_for(prices: FloatArray) -> OffsetArray:
    """Hours [t, n] for which each price has been what it is; 0 where it just changed or is not known."""
    n_hours = len(prices)
    changed = np.ones(prices.shape, dtype=np.bool_)
    changed[1:] = prices[1:] != prices[:-1]
    row = np.arange(n_hours)[:, None]
    return row - np.maximum.accumulate(np.where(changed, row, 0), axis=0)


def _is_young(has_row: BoolArray, hours: OffsetArray, names: Sequence[str], guards: PriceGuards) -> BoolArray:
    """Return which hours [t, n] lie in the listing period of a series."""
    first = hours[np.argmax(has_row, axis=0)]
    is_listing = has_row.any(axis=0) & (first > hours[0] + DAY_US)
    until = np.where(is_listing, first + round(guards.listing_days * DAY_US), np.iinfo(np.int64).min)
    for n, name in enumerate(names):
        if name in guards.listed_us:
            until[n] = guards.listed_us[name] + round(guards.listing_days * DAY_US)
    return np.asarray(hours[:, None] < until[None, :])
