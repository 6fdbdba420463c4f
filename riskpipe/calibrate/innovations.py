"""Standardised hourly innovations of indices and bases: what filtered historical simulation draws from.

Each series is filtered by a volatility model of its own: the mixture (`estimators.mixture`), which also pulls a basis
back to its averages; where that is refused, an exponential average of half a day, with the pull of an AR(1) on a basis.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from riskpipe.calibrate.basis import basis_series
from riskpipe.calibrate.estimators.mixture import CAP, PULL_CAP, FittedMixture, Mixture
from riskpipe.calibrate.estimators.plain import Ewma, FittedPlain
from riskpipe.calibrate.estimators.reversion import fit_reversion
from riskpipe.calibrate.history import HOUR_US, HistoryRows, floats, times_us, usual_minute
from riskpipe.domain.book import Book, BoolArray, FloatArray, OffsetArray
from riskpipe.domain.findings import Findings, Reason, Severity
from riskpipe.domain.innovations import Innovations
from riskpipe.errors import InputRefused

MINIMUM_HOURS = 168  # of all series together: fewer hours repeat too often
LEAST_SHARE = 0.9  # of the market's hours that another series must have
_PRICES = Mixture(level_half_lives=())  # a price is pulled back to nothing
_BASES = Mixture()
_FALLBACK = Ewma(0.94)


@dataclass(frozen=True)
class _Series:
    """A filtered series: innovations over sqrt(h) by hour, NaN where there is none, and its state."""

    z: FloatArray  # [t]
    decay: FloatArray  # [m]
    weight: FloatArray  # [m]
    component: FloatArray  # [m]
    cap: float
    level_decay: FloatArray  # [j]
    pull: FloatArray  # [j]
    distance: FloatArray  # [j]
    pull_cap: float


def innovations(book: Book, index_beta: FloatArray, history: HistoryRows) -> tuple[Innovations, Findings]:
    """Return the innovations of every asset that follows the index axis and of every perpetual and future.

    Only hours in which every series has an innovation are kept, so that an hour is drawn whole. A series with fewer
    than 0.9 of the hours of the market's series is left out with a finding: the asset then moves by its beta times the
    market, the instrument keeps its basis. The market is the asset, of those with a series, that the book holds most of
    by gross notional of positions, then of balances. Assets of beta 0 stand still.

    Parameters
    ----------
    index_beta: [c] moves per unit of the index axis.
    history: rows up to the book's as_of.

    Raises InputRefused when no asset has a usable series, or too few hours have all series.
    """
    findings = Findings()
    hours = _hours(history)
    names, instruments = book.names("asset"), book.names("instrument")
    follows = np.flatnonzero(index_beta != 0.0).tolist()
    fitted: dict[tuple[bool, int], _Series] = {}
    for c, level in zip(follows, _log_prices(book, history, index_beta, follows, hours), strict=True):
        if (series := _filtered(level, is_basis=False)) is not None:
            fitted[True, c] = series
    with_basis = np.flatnonzero(~book.is_option).tolist()
    for i, level in zip(with_basis, _bases(history, [instruments[i] for i in with_basis], hours), strict=True):
        if (series := _filtered(level, is_basis=True)) is not None:
            fitted[False, i] = series
    market = _market(book, [c for is_asset, c in fitted if is_asset])
    n_market = int(np.count_nonzero(np.isfinite(fitted[True, market].z)))
    kept = {}
    for key, series in fitted.items():
        has_both = np.isfinite(series.z) & np.isfinite(fitted[True, market].z)
        if np.count_nonzero(has_both) >= LEAST_SHARE * n_market:
            kept[key] = series
    _tell(findings, [names[c] for c in follows if (True, c) not in kept], f"they move by their beta x {names[market]}")
    _tell(findings, [instruments[i] for i in with_basis if (False, i) not in kept], "their basis does not move")
    is_whole: BoolArray = np.all(np.isfinite(np.stack([series.z for series in kept.values()], axis=1)), axis=1)
    n_whole = int(np.count_nonzero(is_whole))
    if n_whole < MINIMUM_HOURS:
        problem = (
            f"{n_whole} hours have innovations of all {len(kept)} series, {MINIMUM_HOURS} are needed to simulate from: "
            "give a longer history or calibration.lookback_days, or leave scenarios.simulated out"
        )
        raise InputRefused("price history", [problem])
    findings.add(
        Severity.INFO,
        Reason.OBSERVED_MOVES,
        "scenarios.simulated",
        "simulated moves are drawn from observed ones, which already contain the cascades of their day: what the night "
        "adds to them may count a part of the fall twice",
        count=n_whole,
        examples=[f"the market is {names[market]}"],
    )
    return _joined(kept, market, hours, is_whole), findings


def _tell(findings: Findings, without: list[str], instead: str) -> None:
    if without:
        findings.add(
            Severity.WARNING,
            Reason.SHORT_HISTORY,
            "scenarios.simulated",
            f"without enough hours of history to simulate from: {instead}",
            count=len(without),
            examples=without,
        )


def _hours(history: HistoryRows) -> OffsetArray:
    """Return whole hours over the look-back [t], microseconds since 1970, ascending, at the minute at which most rows
    stand; the last is at as_of or less than an hour before.
    """  # noqa: D205
    end = round(history.as_of.timestamp() * 1e6)
    if history.table.num_rows:
        end -= (end - usual_minute(times_us(history.table))) % HOUR_US
    n = int(history.lookback_days * 24.0)
    return end - HOUR_US * np.arange(n, -1, -1, dtype=np.int64)


def _placed(ts_us: OffsetArray, values: FloatArray, hours: OffsetArray) -> FloatArray:
    """Return values [row] at the hours [t] at which they stand, NaN elsewhere; of copies the last."""
    placed = np.full(len(hours), np.nan)
    at = (ts_us - hours[0]) // HOUR_US
    is_there = (ts_us >= hours[0]) & ((ts_us - hours[0]) % HOUR_US == 0)
    placed[at[is_there]] = values[is_there]
    return placed


def _log_prices(
    book: Book, history: HistoryRows, index_beta: FloatArray, assets: list[int], hours: OffsetArray
) -> list[FloatArray]:
    """Return the log index of each asset by hour: its spot series, else the index of the contract on it, quoted in an
    asset that stands still, that has the most hours; NaN where there is none, or it did not trade then or soon after.
    """  # noqa: D205
    table, names = history.table, book.names("asset")
    spot = table.filter(pc.is_null(table["instrument_id"]))
    on_contract = table.filter(pc.is_valid(table["instrument_id"]))
    is_usable = ~book.is_option & (index_beta[book.instrument_quote] == 0.0)
    found = []
    for c in assets:
        rows = spot.filter(pc.equal(spot["asset"], names[c]))
        level = _log_price(rows, hours)
        for i in np.flatnonzero(is_usable & (book.instrument_underlying == c)).tolist() if not len(rows) else []:
            rows = on_contract.filter(pc.equal(on_contract["instrument_id"], book.names("instrument")[i]))
            other = _log_price(rows, hours)
            if np.count_nonzero(np.isfinite(other)) > np.count_nonzero(np.isfinite(level)):
                level = other
        found.append(level)
    return found


def _log_price(rows: pa.Table, hours: OffsetArray) -> FloatArray:
    """Return the log index price by hour, guarded as bases are: not where the index stands still, nor just before."""
    ts_us = times_us(rows)
    price = _placed(ts_us, floats(rows["index_price"]), hours)
    is_stale = _placed(ts_us, floats(rows["index_volume_usd"]), hours) == 0.0
    has_row = _placed(ts_us, np.ones(len(ts_us)), hours) == 1.0
    is_usable = np.isfinite(price) & (price > 0.0) & ~is_stale
    stops_next = np.append((has_row & ~is_usable)[1:], np.False_)
    return np.log(np.where(is_usable & ~stops_next, price, np.nan))


def _bases(history: HistoryRows, instruments: list[str], hours: OffsetArray) -> list[FloatArray]:
    """Return the guarded basis of each instrument by hour; what the guards drop is told where they are measured."""
    series, _ = basis_series(history, instruments)
    return [_placed(series.ts_us, basis, hours) for basis in series.basis.T]


def _filtered(level: FloatArray, *, is_basis: bool) -> _Series | None:
    """Filter a level's changes [t] by the first model that passes; None where none does or it never moves."""
    changes = np.diff(level, prepend=np.nan)
    if not np.any(np.nan_to_num(changes)):
        return None
    mixture = (_BASES if is_basis else _PRICES).fit(changes)
    if mixture.verdict.is_passed:
        return _by_mixture(mixture, changes)
    reversion = fit_reversion(level) if is_basis else None
    pull = 0.0
    if reversion is not None and reversion.verdict.is_passed and 0.0 < reversion.phi < 1.0:
        pull = 1.0 - reversion.phi
    centre = reversion.mean if reversion is not None and pull > 0.0 else 0.0
    before = np.concatenate(([np.nan], level[:-1]))
    innovation = changes + pull * (before - centre) if pull > 0.0 else changes
    plain = _FALLBACK.fit(innovation)
    if not plain.verdict.is_passed:
        return None
    known = level[np.isfinite(level)]
    return _by_average(plain, innovation, pull, float(known[-1]) - centre if pull > 0.0 else 0.0)


def _by_mixture(fitted: FittedMixture, changes: FloatArray) -> _Series:
    path = fitted.filter(changes)
    n = len(fitted.decays)
    return _Series(
        z=_standardised(changes - path.mean, path.variance / fitted.jump_factor),
        decay=np.array(fitted.decays),
        weight=np.array(fitted.weights),
        component=path.state[:n],
        cap=CAP,
        level_decay=np.array(fitted.level_decays),
        pull=np.array(fitted.pulls),
        distance=path.state[n:],
        pull_cap=PULL_CAP,
    )


def _by_average(fitted: FittedPlain, innovation: FloatArray, pull: float, distance: float) -> _Series:
    """Return a series under an exponential average, pulled back to one level that does not move."""
    path = fitted.filter(innovation)
    return _Series(
        z=_standardised(innovation, path.variance),
        decay=np.array([1.0 - fitted.weight]),
        weight=np.ones(1),
        component=path.state,
        cap=np.inf,
        level_decay=np.ones(1),
        pull=np.array([pull]),
        distance=np.array([distance]),
        pull_cap=np.inf,
    )


def _standardised(innovation: FloatArray, variance: FloatArray) -> FloatArray:
    """Return innovations over their deviation [t], NaN where there is none or nothing was to be expected."""
    is_open = variance > 0.0
    return np.where(is_open, innovation / np.sqrt(np.where(is_open, variance, 1.0)), np.nan)


def _market(book: Book, assets: list[int]) -> int:
    """Return the asset that stands for the index axis: the one that the book holds most of."""
    if not assets:
        problem = (
            "no asset that follows the index axis has enough hourly prices to simulate from: give spot rows or "
            "contracts' index_price over more hours, or leave scenarios.simulated out"
        )
        raise InputRefused("price history", [problem])
    price = book.index_price
    i = book.position_instrument
    size = np.abs(book.position_quantity) * book.instrument_multiplier[i]
    per_unit = np.where(
        book.instrument_is_inverse[i], price[book.instrument_quote[i]], price[book.instrument_underlying[i]]
    )
    held = np.zeros(book.n_assets)
    np.add.at(held, book.instrument_underlying[i], size * per_unit)
    owned = np.zeros(book.n_assets)
    np.add.at(owned, book.slot_asset, np.abs(book.slot_quantity) * price[book.slot_asset])
    return max(assets, key=lambda c: (held[c], owned[c], -c))


def _joined(kept: dict[tuple[bool, int], _Series], market: int, hours: OffsetArray, is_whole: BoolArray) -> Innovations:
    """Return the series side by side; those with fewer components or pulls are filled up with nil ones."""
    series = list(kept.values())

    def wide(rows: list[FloatArray], fill: float) -> FloatArray:
        width = max(len(row) for row in rows)
        return np.array([np.concatenate((row, np.full(width - len(row), fill))) for row in rows])

    z = np.stack([one.z[is_whole] for one in series], axis=1)
    return Innovations(
        asset=np.array([at if is_asset else -1 for is_asset, at in kept], dtype=np.int64),
        instrument=np.array([-1 if is_asset else at for is_asset, at in kept], dtype=np.int64),
        market=list(kept).index((True, market)),
        hour_us=hours[is_whole],
        z=z - z.mean(axis=0),
        decay=wide([one.decay for one in series], 1.0),
        weight=wide([one.weight for one in series], 0.0),
        component=wide([one.component for one in series], 0.0),
        cap=np.array([one.cap for one in series]),
        level_decay=wide([one.level_decay for one in series], 0.0),
        pull=wide([one.pull for one in series], 0.0),
        distance=wide([one.distance for one in series], 0.0),
        pull_cap=np.array([one.pull_cap for one in series]),
    )
