"""Options: the forward of each expiry, and the volatility at which Black-76 gives each option's mark.

A quoted volatility is its venue's own, on a surface of its own; a night reprices with the model here, so the volatility
is solved from the mark. Where the mark does not tell it, the quoted one is used and the gap that remains is a finding.

A mark tells no volatility at or below the intrinsic value and at or above the bound. It hardly tells one deep in the
money, where a digit of the mark is worth more than all that the volatility adds: the solved one counts as not
determined where `UNSURE_SHARE` of the mark would change it by more than `LARGEST_CHANGE`, of itself and to first order.
"""

from dataclasses import dataclass

import numpy as np

from riskpipe.domain.book import Book, FloatArray, InstrumentKind, IntArray
from riskpipe.domain.findings import Findings, Reason, Severity
from riskpipe.pricing.black76 import implied_volatility, option_value, vega

UNSURE_SHARE = 1e-6  # of the mark: venues print no more digits
LARGEST_CHANGE = 0.01  # of the volatility
NOTED_DIFFERENCE = 0.05  # between quoted and solved volatility, of the solved one


@dataclass(frozen=True)
class OptionInputs:
    """What reprices a book's options; [i], NaN of everything else."""

    forward: FloatArray  # quote units
    vol: FloatArray  # a year; 0 where neither mark nor quote tells it


def option_inputs(book: Book, findings: Findings) -> OptionInputs:
    """Return forward and volatility of every option.

    Parameters
    ----------
    book: marks of options are units of the settlement asset: of the underlying, or of the quote asset.
    findings: gets one for options whose forward is the index, whose volatility is the quoted one or unknown, and whose
        quoted volatility is more than `NOTED_DIFFERENCE` off the solved one; with the number of them and the worst.

    Returns
    -------
    The forward is the mark of the future of the same venue, underlying, quote asset and expiry (of several the one with
    the option's settlement asset, then the first), else the index, underlying over quote asset.
    """
    options = np.flatnonzero(book.is_option).astype(np.int32)
    nothing = np.full(book.n_instruments, np.nan)
    inputs = OptionInputs(nothing, nothing.copy())
    if not len(options):
        return inputs
    inputs.forward[options] = _forwards(book, options, findings)
    _choose_volatilities(book, inputs, options, findings)
    return inputs


def _forwards(book: Book, options: IntArray, findings: Findings) -> FloatArray:
    keys = [
        array.tolist()
        for array in (
            book.instrument_venue,
            book.instrument_underlying,
            book.instrument_quote,
            book.instrument_expiry_us,
            book.instrument_settlement,
        )
    ]
    marks: dict[tuple[int, ...], float] = {}
    for future in np.flatnonzero(book.instrument_kind == InstrumentKind.FUTURE)[::-1].tolist():  # the first wins
        key = tuple(column[future] for column in keys)
        marks[key] = marks[key[:-1]] = float(book.mark_price[future])
    price, names = book.index_price, book.names("instrument")
    forwards, by_index = np.empty(len(options)), []
    for n, option in enumerate(options.tolist()):
        key = tuple(column[option] for column in keys)
        found = marks.get(key, marks.get(key[:-1]))
        if found is None:
            found = price[book.instrument_underlying[option]] / price[book.instrument_quote[option]]
            by_index.append(names[option])
        forwards[n] = found
    if by_index:
        findings.add(
            Severity.INFO,
            Reason.INDEX_AS_FORWARD,
            "instruments",
            "no future of the same venue, underlying, quote asset and expiry is listed: the forward is the index",
            count=len(by_index),
            examples=by_index,
        )
    return forwards


@dataclass(frozen=True)
class _Option:
    """One option in quote units."""

    is_call: bool
    forward: float
    strike: float
    years: float
    price: float

    def volatility(self) -> float:
        """Return the volatility that the mark tells; NaN where it tells none, 0 at the intrinsic value."""
        solved = implied_volatility(self.is_call, self.price, self.forward, self.strike, self.years, 1.0)
        if not solved > 0.0:
            return solved
        per_vol = vega(self.forward, self.strike, self.years, solved, 1.0)
        is_unsure = UNSURE_SHARE * self.price > LARGEST_CHANGE * solved * per_vol
        return float("nan") if is_unsure else solved

    def gap(self, volatility: float) -> float:
        """Return how far the model's value is from the mark, share of the mark."""
        value = option_value(self.is_call, self.forward, self.strike, self.years, volatility, 1.0)
        return abs(value / self.price - 1.0)


def _choose_volatilities(book: Book, inputs: OptionInputs, options: IntArray, findings: Findings) -> None:
    """Fill in every volatility, and tell where it is not the mark's."""
    is_in_coin, to_expiry = book.instrument_settlement == book.instrument_underlying, book.years_to_expiry
    by_quote: list[tuple[float, int]] = []
    unknown: list[tuple[float, int]] = []
    differing: list[tuple[float, int]] = []
    for ix in options.tolist():
        forward, quoted = float(inputs.forward[ix]), float(book.implied_vol[ix])
        price = float(book.mark_price[ix]) * (forward if is_in_coin[ix] else 1.0)
        is_call, strike, years = book.instrument_is_call[ix], book.instrument_strike[ix], to_expiry[ix]
        option = _Option(bool(is_call), forward, float(strike), float(years), price)
        solved = option.volatility()
        if solved > 0.0:
            inputs.vol[ix] = solved
            if abs(quoted / solved - 1.0) > NOTED_DIFFERENCE:  # false where none is quoted
                differing.append((abs(quoted / solved - 1.0), ix))
        else:
            inputs.vol[ix] = 0.0 if np.isnan(quoted) else quoted
            (unknown if np.isnan(quoted) else by_quote).append((option.gap(float(inputs.vol[ix])), ix))
    no_vol = "marks tell no volatility (outside the model's bounds at their forward, or too deep in the money)"
    for severity, reason, found, message, of in (
        (Severity.WARNING, Reason.QUOTED_VOL, by_quote, f"{no_vol}: implied_vol is used; the model is off", "the mark"),
        (
            Severity.WARNING,
            Reason.NO_VOL,
            unknown,
            f"{no_vol}, nor is one quoted: intrinsic value; it is off",
            "the mark",
        ),
        (Severity.INFO, Reason.VOL_DIFFERS, differing, "implied_vol is off the volatility solved from the mark", "it"),
    ):
        if found:
            names, ranked = book.names("instrument"), sorted(found, key=lambda item: (-item[0], item[1]))
            findings.add(
                severity,
                reason,
                "quotes",
                f"{message} by up to {ranked[0][0]:.2%} of {of}",
                count=len(ranked),
                examples=(f"{names[ix]}: {gap:.2%}" for gap, ix in ranked),
            )
