"""Basis series through their guards, and statistics of how far marks stand from their index and how much that moves.

EWMA form: sigma^2_t = decay sigma^2_{t-1} + (1 - decay) change_t^2 on hourly basis changes (RiskMetrics, with the
weight kept per hour). It has no mean reversion, so a horizon of h hours has sigma sqrt(h).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from riskpipe.calibrate.history import HOUR_US, HistoryRows, floats, times_us
from riskpipe.domain.book import BoolArray, FloatArray, IntArray, OffsetArray
from riskpipe.domain.findings import Findings, Reason, Severity
from riskpipe.domain.market import HORIZONS_HOURS

MINIMUM_OBSERVATIONS = 48
SEED_OBSERVATIONS = 24


@dataclass(frozen=True)
class BasisSeries:
    """Guarded basis observations (t distinct instants, i instruments asked for).

    `basis` is mark / index - 1, NaN where there is no usable row; `changes` its change since exactly one hour before,
    NaN where either end is missing: a change across a gap is no hourly change. `index` is the index of the same rows.
    """

    ts_us: OffsetArray  # [t] microseconds since 1970, ascending
    basis: FloatArray  # [t, i]
    changes: FloatArray  # [t, i]
    index: FloatArray  # [t, i] in the unit of the marks


@dataclass(frozen=True)
class BasisStatistics:
    """Basis statistics by instrument [i]; NaN = not measured."""

    vol_1h: FloatArray  # EWMA standard deviation of hourly changes after the last one
    realised_vol: FloatArray  # [i, h] plain standard deviation (ddof 1) of overlapping changes over each horizon
    innovation_max: FloatArray  # largest |change_t| / sigma_{t-1}
    observations: FloatArray  # hourly changes used
    mean: FloatArray  # mean basis
    last: FloatArray  # last usable basis


def basis_series(history: HistoryRows, instruments: Sequence[str]) -> tuple[BasisSeries, Findings]:
    """Return the basis series of the instruments named, from the rows that pass the guards.

    Dropped, each with a finding: rows of other instruments; of a stale index (index_volume_usd 0) and the row before
    one, or before a missing index, for an index that halts in mid-hour closes at an old price; of a missing, not
    finite or non-positive mark or index; and rows of one instrument and instant that contradict each other (equal
    ones count once). Spot series have no basis and are left aside.
    """
    findings = Findings()
    table = history.table
    nameless = pc.and_(pc.is_null(table["instrument_id"]), pc.is_null(table["asset"]))
    if count := pc.sum(nameless).as_py() or 0:
        findings.add(
            Severity.WARNING, Reason.BAD_VALUE, "history", "rows name neither an instrument nor an asset", count=count
        )
    table = table.filter(pc.is_valid(table["instrument_id"]))
    instrument = pc.index_in(table["instrument_id"], value_set=pa.array(list(instruments), pa.string()))
    unknown = pc.is_null(instrument)
    if count := pc.sum(unknown).as_py() or 0:
        names = pc.unique(table["instrument_id"].filter(unknown)).to_pylist()
        findings.add(
            Severity.INFO,
            Reason.UNKNOWN_INSTRUMENT,
            "history",
            "rows of instruments that have no basis in this book are ignored",
            count=count,
            examples=sorted(names),
        )
    table = table.filter(pc.is_valid(instrument))
    columns = _Columns(
        instrument=pc.drop_null(instrument).to_numpy().astype(np.int32),
        ts_us=times_us(table),
        mark=floats(table["mark_price"]),
        index=floats(table["index_price"]),
        index_volume=floats(table["index_volume_usd"]),
    )
    columns = _guarded(columns, list(instruments), findings)
    ts_us, at = np.unique(columns.ts_us, return_inverse=True)
    basis = np.full((len(ts_us), len(instruments)), np.nan)
    basis[at, columns.instrument] = columns.mark / columns.index - 1.0
    index = np.full_like(basis, np.nan)
    index[at, columns.instrument] = columns.index
    return BasisSeries(ts_us, basis, _changes(ts_us, basis), index), findings


@dataclass(frozen=True)
class _Columns:
    """History rows as arrays [row]."""

    instrument: IntArray
    ts_us: OffsetArray
    mark: FloatArray
    index: FloatArray
    index_volume: FloatArray

    def where(self, kept: BoolArray) -> "_Columns":
        return _Columns(
            self.instrument[kept], self.ts_us[kept], self.mark[kept], self.index[kept], self.index_volume[kept]
        )


def _guarded(columns: _Columns, instruments: list[str], findings: Findings) -> _Columns:
    """Return the rows that pass the guards; what does not becomes findings."""

    def drop(bad: BoolArray, reason: Reason, message: str) -> None:
        nonlocal columns
        if not bad.any():
            return
        rows = np.flatnonzero(bad)
        when = np.array(columns.ts_us[rows[:5]], dtype="datetime64[us]")
        examples = [f"{instruments[columns.instrument[row]]} at {ts}" for row, ts in zip(rows[:5], when, strict=True)]
        findings.add(Severity.WARNING, reason, "history", message, count=len(rows), examples=examples)
        columns = columns.where(~bad)

    is_interrupted = (columns.index_volume == 0.0) | ~(np.isfinite(columns.index) & (columns.index > 0.0))
    interruptions = columns.where(is_interrupted)
    drop(columns.index_volume == 0.0, Reason.STALE_PRICE, "the index did not trade in the hour (index_volume_usd is 0)")
    usable = np.isfinite(columns.mark) & np.isfinite(columns.index) & (columns.mark > 0.0) & (columns.index > 0.0)
    drop(~usable, Reason.MISSING_PRICE, "mark or index price is missing, not finite or not positive")
    drop(
        _precedes(columns, interruptions),
        Reason.STALE_PRICE,
        "the index stops in the next hour, so its last price may be from any time before",
    )
    is_copy, contradicts = _duplicates(columns)
    if is_copy.any():
        findings.add(
            Severity.INFO,
            Reason.BAD_VALUE,
            "history",
            "rows repeat another row's instrument, instant and prices; each counts once",
            count=int(is_copy.sum()),
        )
        columns, contradicts = columns.where(~is_copy), contradicts[~is_copy]
    drop(
        contradicts, Reason.BAD_VALUE, "rows of one instrument and instant have different prices; none of them is used"
    )
    return columns


def _precedes(columns: _Columns, others: _Columns) -> BoolArray:
    """Return which rows stand exactly one hour before one of the other rows of the same instrument."""
    both = np.concatenate([columns.ts_us + HOUR_US, others.ts_us])
    _, instant = np.unique(both, return_inverse=True)
    instrument = np.concatenate([columns.instrument, others.instrument]).astype(np.int64)
    key = instrument * (len(both) + 1) + instant
    return np.isin(key[: len(columns.ts_us)], key[len(columns.ts_us) :])


def _duplicates(columns: _Columns) -> tuple[BoolArray, BoolArray]:
    """Return (is a copy of another row, contradicts another row of its instrument and instant)."""
    order = np.lexsort((columns.index, columns.mark, columns.ts_us, columns.instrument))
    key_repeats = (np.diff(columns.instrument[order]) == 0) & (np.diff(columns.ts_us[order]) == 0)
    equal = (np.diff(columns.mark[order]) == 0.0) & (np.diff(columns.index[order]) == 0.0)
    is_copy = np.zeros(len(order), dtype=np.bool_)
    is_copy[order[1:]] = key_repeats & equal
    group = np.zeros(len(order), dtype=np.int64)
    group[order[1:]] = np.cumsum(~key_repeats)
    differs = np.zeros(len(order), dtype=np.bool_)
    differs[order[1:]] = key_repeats & ~equal
    return is_copy, np.isin(group, group[differs])


def _changes(ts_us: OffsetArray, basis: FloatArray, hours: float = 1.0) -> FloatArray:
    """Return the change of each basis since exactly so many hours before; NaN where there is no such row."""
    if len(ts_us) == 0:
        return basis.copy()
    start = ts_us - round(hours * HOUR_US)
    before = np.searchsorted(ts_us, start)
    has_before = ts_us[before] == start
    return np.where(has_before[:, None], basis - basis[before], np.nan)


def ewma_basis_volatility(
    changes: FloatArray, decay: float, *, n_seed: int = SEED_OBSERVATIONS
) -> tuple[FloatArray, FloatArray]:
    """Return the EWMA standard deviation [i] after the last change, and the largest standardised innovation [i].

    Parameters
    ----------
    changes: [t, i] hourly changes in time order, NaN where there is none, which leaves the variance as it is.
    decay: weight kept per change, 0 < decay < 1.
    n_seed: the first n_seed changes give the initial variance (the mean of their squares) and no innovation.

    Returns
    -------
    Both NaN where there is no change at all. An innovation is |change_t| / sigma_{t-1}; 0 where none could be formed
    (no change beyond the seed, or only zeros before it).
    """
    if not 0.0 < decay < 1.0:
        raise ValueError(f"decay must lie between 0 and 1, got {decay}")
    is_used = ~np.isnan(changes)
    rank = np.cumsum(is_used, axis=0)
    is_seed = is_used & (rank <= n_seed)
    n_seeds = is_seed.sum(axis=0)
    squares = np.where(is_seed, np.nan_to_num(changes) ** 2, 0.0).sum(axis=0)
    variance = np.where(n_seeds > 0, squares / np.maximum(n_seeds, 1), np.nan)
    innovation_max = np.where(n_seeds > 0, 0.0, np.nan)
    for change, is_new in zip(changes, is_used & ~is_seed, strict=True):
        size = np.where(is_new, np.abs(change), 0.0)
        sigma = np.sqrt(variance)
        has_innovation = is_new & (sigma > 0.0)
        innovation = np.where(has_innovation, size / np.where(has_innovation, sigma, 1.0), 0.0)
        innovation_max = np.maximum(innovation_max, innovation)
        variance = np.where(is_new, decay * variance + (1.0 - decay) * size * size, variance)
    return np.sqrt(variance), innovation_max


def basis_statistics(
    series: BasisSeries,
    instruments: Sequence[str],
    *,
    decay: float,
    minimum_observations: int = MINIMUM_OBSERVATIONS,
) -> tuple[BasisStatistics, Findings]:
    """Return the basis statistics of a series; fewer hourly changes than the minimum give NaN and a finding.

    Raises ValueError when minimum_observations does not leave a change beyond the seed.
    """
    if minimum_observations <= SEED_OBSERVATIONS:
        raise ValueError(f"minimum_observations must be above {SEED_OBSERVATIONS}, got {minimum_observations}")
    n_changes = (~np.isnan(series.changes)).sum(axis=0)
    is_long = n_changes >= minimum_observations
    findings = Findings()
    if not is_long.all():
        short = [
            f"{name}: {count} hourly changes"
            for name, count, is_enough in zip(instruments, n_changes, is_long, strict=True)
            if not is_enough
        ]
        findings.add(
            Severity.WARNING,
            Reason.SHORT_HISTORY,
            "history",
            f"fewer than {minimum_observations} hourly basis changes: basis volatility is not measured",
            count=len(short),
            examples=short,
        )
    vol, innovation_max = ewma_basis_volatility(series.changes, decay)
    n_basis = (~np.isnan(series.basis)).sum(axis=0)
    mean = np.where(n_basis > 0, np.nan_to_num(series.basis).sum(axis=0) / np.maximum(n_basis, 1), np.nan)
    return (
        BasisStatistics(
            vol_1h=np.where(is_long, vol, np.nan),
            realised_vol=_realised_volatility(series, minimum_observations),
            innovation_max=np.where(is_long, innovation_max, np.nan),
            observations=n_changes.astype(np.float64),
            mean=mean,
            last=_last_known(series.basis),
        ),
        findings,
    )


def _realised_volatility(series: BasisSeries, minimum_observations: int) -> FloatArray:
    """Return the standard deviation of overlapping basis changes over each horizon [i, h]; NaN where too few."""
    columns = []
    for hours in HORIZONS_HOURS:
        changes = _changes(series.ts_us, series.basis, hours)
        n_changes = (~np.isnan(changes)).sum(axis=0)
        spread = _standard_deviation(changes, n_changes)
        columns.append(np.where(n_changes >= minimum_observations, spread, np.nan))
    return np.stack(columns, axis=1)


def _standard_deviation(changes: FloatArray, n_changes: OffsetArray) -> FloatArray:
    count = np.maximum(n_changes, 2)
    is_used = ~np.isnan(changes)
    centred = np.where(is_used, changes - np.nan_to_num(changes).sum(axis=0) / count, 0.0)
    return np.sqrt((centred * centred).sum(axis=0) / (count - 1))


def _last_known(values: FloatArray) -> FloatArray:
    last = np.full(values.shape[1], np.nan)
    rows, columns = np.nonzero(~np.isnan(values))
    last[columns] = values[rows, columns]  # rows ascend, so the last one stays
    return last


def horizon_volatility(vol_1h: FloatArray, horizons: Sequence[float]) -> FloatArray:
    """Return the standard deviation of basis changes over horizons in hours: [..., h] from [...], sigma sqrt(h)."""
    return vol_1h[..., None] * np.sqrt(np.asarray(horizons, dtype=np.float64))
