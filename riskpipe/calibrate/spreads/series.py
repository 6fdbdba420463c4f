"""Spread series of pairs, as stored, in logs, and annualised for display without the explosion at expiry.

A spread is stored as it is, price / price - 1. A year's rate of it is spread x 365 / days, so that noise of standard
deviation s becomes s x 365 / days: five basis points are 18% a year on the last day but 0.6% a month before. Annual
forms are therefore shown only where days are left and where that noise is small enough to say something.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from riskpipe.calibrate.spreads.pairs import OWN_INDEX, Pairs, SpreadKind
from riskpipe.calibrate.spreads.prices import DAY_US, PricePanel, hourly_changes
from riskpipe.calibrate.spreads.robust import middle_and_scale
from riskpipe.domain.book import Book, FloatArray, OffsetArray
from riskpipe.domain.findings import Findings, Reason, Severity
from riskpipe.pricing.carry import DAYS_PER_YEAR, EXCLUDED_DAYS, annual_basis

LARGEST_NOISE = 0.05  # a year; beyond it an annualised figure says nothing
MINIMUM_HOURS = 48


@dataclass(frozen=True)
class SpreadSeries:
    """Spreads (t hours one apart, n pairs); NaN = gap."""

    ts_us: OffsetArray  # [t] microseconds since 1970
    spread: FloatArray  # [t, n] price of the first / price of the second - 1
    days: FloatArray  # [t, n] over which the spread is earned: to expiry, or between expiries; inf where there is none


def spread_series(panel: PricePanel, pairs: Pairs, book: Book) -> tuple[SpreadSeries, Findings]:
    """Return the spread of every pair at every hour.

    Prices of contracts with different quote assets are compared in the numeraire, by the quote assets' own series in
    the panel (the numeraire is worth 1); an hour without them is a gap. A future has no spread after its expiry. The
    panel's columns are the book's instruments and assets. Pairs with fewer than 48 spreads are named in a finding.
    """
    findings = Findings()
    n_hours, n_pairs = len(panel.ts_us), len(pairs)
    spread, days = np.full((n_hours, n_pairs), np.nan), np.full((n_hours, n_pairs), np.inf)
    is_numeraire = np.array([name == book.numeraire for name in book.names("asset")], dtype=np.bool_)
    worth = np.where(is_numeraire, 1.0, panel.asset)
    is_ratio = np.array([kind == SpreadKind.ASSET_RATIO for kind in pairs.kind], dtype=np.bool_)
    is_index = ~is_ratio & (pairs.second == OWN_INDEX)
    has_two_contracts = ~is_ratio & ~is_index
    first, second = pairs.first, pairs.second
    spread[:, is_ratio] = panel.asset[:, first[is_ratio]] / panel.asset[:, second[is_ratio]] - 1.0
    spread[:, is_index] = panel.mark[:, first[is_index]] / panel.index[:, first[is_index]] - 1.0
    one, other = first[has_two_contracts], second[has_two_contracts]
    quote, other_quote = book.instrument_quote[one], book.instrument_quote[other]
    rate = np.where(quote == other_quote, 1.0, worth[:, quote] / worth[:, other_quote])
    spread[:, has_two_contracts] = panel.mark[:, one] / panel.mark[:, other] * rate - 1.0
    has_contract = ~is_ratio
    left = _days_left(panel.ts_us, book)
    near = np.where(second == OWN_INDEX, first, second)[has_contract]
    until, until_near = left[:, first[has_contract]], left[:, near]
    is_calendar = np.array([kind == SpreadKind.CALENDAR for kind in pairs.kind], dtype=np.bool_)[has_contract]
    days[:, has_contract] = np.where(is_calendar, until - np.where(is_calendar, until_near, 0.0), until)
    spread[:, has_contract] = np.where((until <= 0.0) | (until_near <= 0.0), np.nan, spread[:, has_contract])
    counts = (~np.isnan(spread)).sum(axis=0)
    if (short := np.flatnonzero(counts < MINIMUM_HOURS)).size:
        findings.add(
            Severity.WARNING,
            Reason.SHORT_HISTORY,
            "history",
            f"fewer than {MINIMUM_HOURS} hours with both prices: the spread is not measured",
            count=len(short),
            examples=[f"{pairs.name[n]}: {counts[n]} hours" for n in short],
        )
    return SpreadSeries(panel.ts_us, spread, days), findings


def log_form(spread: FloatArray) -> FloatArray:
    """Spread in logs, ln(first / second), the form in which spreads add up: [...] from simple spreads above -1."""
    return np.log1p(spread)


def fast_noise(series: SpreadSeries) -> FloatArray:
    """Deviation of what comes and goes within an hour, [n]: robust deviation of the hourly changes / sqrt(2).

    Independent noise s on prices makes changes of s sqrt(2). Jumps do not count. NaN without a change.
    """
    _, scale = middle_and_scale(hourly_changes(series.spread))
    return scale / np.sqrt(2.0)


def annual_form(
    series: SpreadSeries,
    *,
    form: Literal["simple", "log"] = "simple",
    noise: FloatArray | None = None,
    excluded_days: float = EXCLUDED_DAYS,
    is_frozen: bool = False,
) -> FloatArray:
    """Spread a year [t, n], simple or in logs: spread x 365 / days.

    NaN where the spread has no days (perpetuals, ratios), within `excluded_days` of their end, and where noise, a
    standard deviation [n] that `fast_noise` measures if it is left out, annualised exceeds 5%: its own noise in
    what is shown is never larger. With `is_frozen` those hours keep the last figure shown before them.
    """
    values = log_form(series.spread) if form == "log" else series.spread
    noise = fast_noise(series) if noise is None else noise
    has_days = np.isfinite(series.days)
    days = np.where(has_days, series.days, 0.0)
    shown = annual_basis(values, days, excluded_days=excluded_days)
    is_loud = np.nan_to_num(noise) * DAYS_PER_YEAR > LARGEST_NOISE * days
    shown = np.where(has_days & ~is_loud, shown, np.nan)
    if not is_frozen:
        return shown
    row = np.arange(len(shown))[:, None]
    last = np.maximum.accumulate(np.where(np.isnan(shown), -1, row), axis=0)
    held = np.take_along_axis(shown, np.maximum(last, 0), axis=0)
    return np.where(has_days & (days > 0.0), held, np.nan)


def beyond_carry(series: SpreadSeries) -> FloatArray:
    """What a spread has beyond a constant carry to its end [t, n]: spread - c days, c by least squares.

    A dated spread goes down a straight line to 0; what comes and goes around it is what reverts, and what a half-life
    or a volatility is of. Spreads without days are returned as they are.
    """
    has_days = np.isfinite(series.days)
    days = np.where(has_days, series.days, 0.0)
    is_used = ~np.isnan(series.spread)
    squares = np.where(is_used, days**2, 0.0).sum(axis=0)
    products = np.where(is_used, series.spread * days, 0.0).sum(axis=0)
    carry = products / np.where(squares > 0.0, squares, 1.0)
    return series.spread - carry * days


def _days_left(ts_us: OffsetArray, book: Book) -> FloatArray:
    """Days from each hour to each instrument's expiry [t, i]; infinite where it has none."""
    has_expiry = book.instrument_expiry_us >= 0
    left = (book.instrument_expiry_us[None, :] - ts_us[:, None]) / DAY_US
    return np.where(has_expiry[None, :], left, np.inf)
