"""Market: a book's quotes and its price history as what prices can do: betas, depths, bases and their volatility."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from riskpipe.calibrate.basis import MINIMUM_OBSERVATIONS, BasisStatistics, basis_series, basis_statistics
from riskpipe.calibrate.fits import Fit, FitSettings, SeriesFit, fit_here
from riskpipe.calibrate.history import HistoryRows
from riskpipe.calibrate.hourly import hourly_series
from riskpipe.calibrate.options import option_inputs
from riskpipe.domain.book import Book, BoolArray, FloatArray
from riskpipe.domain.findings import Findings, Reason, Severity
from riskpipe.domain.market import HORIZONS_HOURS, Market
from riskpipe.domain.rules import Rules
from riskpipe.errors import ConfigError, InputRefused

DEFAULT_EWMA_DECAY = 0.97
_SIZE_OF_DEPTH_QUOTE = 0.01


def calibrate(
    book: Book,
    rules: Rules,
    history: HistoryRows | None,
    *,
    stable_assets: Collection[str],
    index_beta: Mapping[str, float] | None = None,
    ewma_decay: float = DEFAULT_EWMA_DECAY,
    minimum_observations: int = MINIMUM_OBSERVATIONS,
    fit: Fit = fit_here,
) -> tuple[Market, Findings]:
    """Return the market of a book, and findings for every figure that had to be defaulted or could not be measured.

    Parameters
    ----------
    book: the assembled book.
    rules: venues' rules in the order of the book's venues; `depth_coefficient` is used here.
    history: hourly rows up to the book's as_of; None leaves basis volatility unmeasured (NaN) with a finding.
    stable_assets: assets whose index does not follow the index axis; an explicit index_beta wins.
    index_beta: moves per unit of index shock by asset, over those of the snapshot.
    ewma_decay: weight kept per hour, between 0 and 1.
    minimum_observations: hourly changes below which an instrument's basis volatility is not measured.
    fit: how the models of all instruments that have a basis, in book order, are fitted; by default in this process.

    Raises
    ------
    InputRefused: instruments with positions have no depth by any route; all are listed.
    ConfigError: index_beta names an asset that the book does not have.
    ValueError: rules or history do not belong to the book.
    """
    venue_names = tuple(book.names("venue"))
    if tuple(venue.venue for venue in rules.venues) != venue_names:
        raise ValueError(f"rules are of venues {[venue.venue for venue in rules.venues]}, the book's are {venue_names}")
    if history is not None and history.as_of != book.as_of:
        raise ValueError(f"the history ends at {history.as_of}, the book is as of {book.as_of}")
    findings = Findings()
    is_held = np.zeros(book.n_instruments, dtype=np.bool_)
    is_held[book.position_instrument] = True
    depth_bid, depth_ask = _depths(book, rules, is_held, findings)
    statistics, fits = _basis(book, history, FitSettings(ewma_decay, minimum_observations), fit, findings)
    options = option_inputs(book, findings)
    ratio = book.venue_price / book.index_price
    return (
        Market(
            index_price=book.index_price,
            index_beta=_betas(book, stable_assets, index_beta or {}, findings),
            index_depth=_index_depth(book, is_held, findings),
            venue_price_ratio=np.where(np.isnan(ratio), 1.0, ratio),
            mark_price=book.mark_price,
            basis=_quoted_basis(book),
            depth_bid=depth_bid,
            depth_ask=depth_ask,
            basis_vol_1h=statistics.vol_1h,
            basis_realised_vol=statistics.realised_vol,
            basis_innovation_max=statistics.innovation_max,
            basis_observations=statistics.observations,
            basis_mean=statistics.mean,
            basis_last=statistics.last,
            ewma_decay=ewma_decay,
            option_forward=options.forward,
            option_vol=options.vol,
            **_surface(fits),
        ),
        findings,
    )


def _betas(book: Book, stable_assets: Collection[str], betas: Mapping[str, float], findings: Findings) -> FloatArray:
    """Return moves per unit of index shock [c]: the run's own betas, else as given, else 0 for stable assets and the
    numeraire, else 1.
    """  # noqa: D205
    names = book.names("asset")
    unknown = sorted(betas.keys() - set(names))
    if unknown:
        raise ConfigError(
            f"index_beta names assets that are not in the book: {', '.join(unknown)}. The book has {', '.join(names)}"
        )
    given = np.array([betas.get(name, beta) for name, beta in zip(names, book.index_beta.tolist(), strict=True)])
    is_given = ~np.isnan(given)
    is_stable = np.array([name in stable_assets or name == book.numeraire for name in names], dtype=np.bool_)
    defaulted = [name for name, given, stable in zip(names, is_given, is_stable, strict=True) if not (given or stable)]
    if defaulted:
        findings.add(
            Severity.INFO,
            Reason.DEFAULT_BETA,
            "prices.index_beta",
            "assets without index_beta move one for one with the index axis",
            count=len(defaulted),
            examples=defaulted,
        )
    return np.where(is_given, given, np.where(is_stable, 0.0, 1.0))


def _index_depth(book: Book, is_held: BoolArray, findings: Findings) -> FloatArray:
    """Return the USD of spot flow per unit of index move [c]; NaN where no price row gives one."""
    depth = np.where(_is_usable(book.index_depth_usd_1pct), book.index_depth_usd_1pct / _SIZE_OF_DEPTH_QUOTE, np.nan)
    held = np.union1d(book.instrument_underlying[is_held], book.loan_collateral)
    names = book.names("asset")
    without = [names[asset] for asset in held if np.isnan(depth[asset])]
    if without:
        findings.add(
            Severity.WARNING,
            Reason.NO_INDEX_DEPTH,
            "prices.depth_usd_1pct",
            "contagion channel off: these indices have no depth, so forced flow stays in the contracts' own books, and "
            "collateral of loans is sold without moving them",
            count=len(without),
            examples=without,
        )
    return depth


def _is_usable(values: FloatArray) -> BoolArray:
    return np.isfinite(values) & (values > 0.0)


def _depths(book: Book, rules: Rules, is_held: BoolArray, findings: Findings) -> tuple[FloatArray, FloatArray]:
    """Return the USD per unit of price move for sales and purchases [i], by the first route that has a figure.

    Routes: the quote's 1% figure; the depth table, side by side; depth_coefficient x ADV / daily_vol, with a finding.
    """
    quoted = np.where(_is_usable(book.depth_usd_1pct), book.depth_usd_1pct / _SIZE_OF_DEPTH_QUOTE, np.nan)
    coefficient = np.array([venue.depth_coefficient for venue in rules.venues])[book.instrument_venue]
    has_volume = _is_usable(book.adv_usd) & _is_usable(book.daily_vol)
    from_volume = np.where(has_volume, coefficient * book.adv_usd / np.where(has_volume, book.daily_vol, 1.0), np.nan)
    sides, defaulted = [], np.zeros(book.n_instruments, dtype=np.bool_)
    for table in (book.table_depth_bid, book.table_depth_ask):
        measured = np.where(np.isnan(quoted), np.where(_is_usable(table), table, np.nan), quoted)
        defaulted |= np.isnan(measured) & ~np.isnan(from_volume)
        sides.append(np.where(np.isnan(measured), from_volume, measured))
    names = book.names("instrument")
    missing = [names[at] for at in np.flatnonzero(is_held & (np.isnan(sides[0]) | np.isnan(sides[1])))]
    if missing:
        raise InputRefused(
            "market data",
            [
                f"instrument {name!r} has positions but no depth: give quotes.depth_usd_1pct, rows of both sides in "
                "the depth table, or quotes.adv_usd and quotes.daily_vol"
                for name in missing
            ],
        )
    if (held := np.flatnonzero(defaulted & is_held)).size:
        findings.add(
            Severity.WARNING,
            Reason.DEFAULT_DEPTH,
            "quotes.depth_usd_1pct",
            "depth taken as depth_coefficient x adv_usd / daily_vol",
            count=len(held),
            examples=[names[at] for at in held],
        )
    return sides[0], sides[1]


def _quoted_basis(book: Book) -> FloatArray:
    """Return mark x quote price / index - 1 by the snapshot's own quotes [i]; NaN for options, which have none."""
    quote_price = book.index_price[book.instrument_quote]
    basis = book.mark_price * quote_price / book.index_price[book.instrument_underlying] - 1.0
    return np.where(book.is_option, np.nan, basis)


def in_book_order(book: Book, fits: Sequence[SeriesFit]) -> list[SeriesFit]:
    """Return what was fitted of instruments with a basis as a list over all instruments; nothing where there is none.

    `fits` are of the instruments that have a basis, or empty where there was no history.
    """
    placed = [SeriesFit()] * book.n_instruments
    if fits:
        for at, one in zip(np.flatnonzero(~book.is_option).tolist(), fits, strict=True):
            placed[at] = one
    return placed


def _surface(fits: Sequence[SeriesFit]) -> dict[str, FloatArray]:
    """Return the market's fields that say what scenarios do to basis volatility, from fits in book order."""

    def by_horizon(rows: list[Sequence[float]]) -> FloatArray:
        return np.array(rows, dtype=np.float64).reshape(len(fits), len(HORIZONS_HOURS))

    nothing = [np.nan] * len(HORIZONS_HOURS)
    return {
        "basis_vol": by_horizon([one.volatility[one.estimator] if one.estimator else nothing for one in fits]),
        "basis_news_mean": np.array([one.mean for one in fits]),
        "basis_news_max": np.array([one.largest for one in fits]),
        "basis_news_intercept": by_horizon([one.intercept for one in fits]),
        "basis_news_slope": by_horizon([one.slope for one in fits]),
        "basis_news_first_hour": by_horizon([one.first_hour for one in fits]),
        "basis_index_calm": np.array([one.index.calm for one in fits]),
        "basis_index_fall": np.array([one.index.used_fall for one in fits]),
        "basis_index_rise": np.array([one.index.used_rise for one in fits]),
        "basis_index_fall_max": np.array([one.index.fall_max for one in fits]),
        "basis_index_rise_max": np.array([one.index.rise_max for one in fits]),
    }


def _basis(
    book: Book, history: HistoryRows | None, settings: FitSettings, fit: Fit, findings: Findings
) -> tuple[BasisStatistics, list[SeriesFit]]:
    """Return statistics and fits of every instrument in book order, NaN where there is no basis or no history."""
    n_instruments = book.n_instruments
    if history is None or history.table.num_rows == 0:
        what = "no price history was given" if history is None else "the price history has no row in the look-back"
        findings.add(
            Severity.WARNING,
            Reason.NO_HISTORY,
            "history",
            f"{what}: basis volatility is not measured",
            count=int(np.count_nonzero(~book.is_option)),
        )
        nothing = np.full(n_instruments, np.nan)
        by_horizon = np.full((n_instruments, len(HORIZONS_HOURS)), np.nan)
        statistics = BasisStatistics(nothing, by_horizon, nothing, np.zeros(n_instruments), nothing, nothing)
        return statistics, in_book_order(book, ())
    findings.extend(history.findings)
    has_basis = np.flatnonzero(~book.is_option)
    names = book.names("instrument")
    with_basis: Sequence[str] = [names[at] for at in has_basis]
    series, dropped = basis_series(history, with_basis)
    findings.extend(dropped)
    measured, short = basis_statistics(
        series, with_basis, decay=settings.ewma_decay, minimum_observations=settings.minimum_observations
    )
    findings.extend(short)
    hours, n_between = hourly_series(series, history.as_of)
    if n_between:
        findings.add(
            Severity.WARNING,
            Reason.BAD_VALUE,
            "history.ts",
            "rows between whole hours are not used by models of basis volatility",
            count=n_between,
        )
    fits = fit(hours, settings)
    _say_what_was_refused(with_basis, fits, findings)

    def spread(values: FloatArray, missing: float) -> FloatArray:
        result = np.full((n_instruments, *values.shape[1:]), missing)
        result[has_basis] = values
        return result

    statistics = BasisStatistics(
        vol_1h=spread(measured.vol_1h, np.nan),
        realised_vol=spread(measured.realised_vol, np.nan),
        innovation_max=spread(measured.innovation_max, np.nan),
        observations=spread(measured.observations, 0.0),
        mean=spread(measured.mean, np.nan),
        last=spread(measured.last, np.nan),
    )
    return statistics, in_book_order(book, fits)


def _say_what_was_refused(names: Sequence[str], fits: Sequence[SeriesFit], findings: Findings) -> None:
    """Add findings for instruments on a fallback, without any estimator, and with diagnostics that failed."""
    pairs = list(zip(names, fits, strict=True))
    said: tuple[tuple[Reason, str, list[str]], ...] = (
        (
            Reason.FALLBACK_ESTIMATOR,
            "the first estimator of basis volatility was refused, and the next that passes is used",
            [f"{name}: {one.estimator} used; {one.refused[0]}" for name, one in pairs if one.is_fallback],
        ),
        (
            Reason.NO_ESTIMATOR,
            "no estimator of basis volatility passes, so that none is known",
            [
                f"{name}: {' | '.join(one.refused)}"
                for name, one in pairs
                # too short a history is said already
                if not one.estimator and not one.is_short
            ],
        ),
        (
            Reason.FAILED_DIAGNOSTIC,
            "a diagnostic of basis volatility failed",
            [f"{name}: {problem}" for name, one in pairs for problem in one.problems],
        ),
    )
    for reason, message, examples in said:
        if examples:
            findings.add(Severity.WARNING, reason, "history", message, count=len(examples), examples=examples)
