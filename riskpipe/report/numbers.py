"""Numbers as people read them: three significant digits, units, no negative zero, words for what is not a number."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from riskpipe.domain.replication import percent

NOT_AVAILABLE = "n/a"
_SCALES = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))


def usd(value: float) -> str:
    """Money as `USD 12.3M`; below half a cent it is `USD 0`."""
    if not math.isfinite(value):
        return _not_finite(value)
    if abs(value) < 0.005:
        return "USD 0"
    size = float(f"{abs(value):.3g}")  # rounded first, so that 999,950 reads 1M and not 1,000K
    sign = "-" if value < 0 else ""
    for scale, letter in _SCALES:
        if size >= scale:
            return f"USD {sign}{_significant(size / scale)}{letter}"
    return f"USD {sign}{_significant(size)}"


def share(value: float, *, is_signed: bool = False) -> str:
    """Fraction as a percentage: `12.3%`, `-40%`; signed ones above 0 carry a plus."""
    if not math.isfinite(value):
        return _not_finite(value)
    percent = 100.0 * value
    if abs(percent) < 0.00005:
        return "0%"
    text = f"{percent:,.0f}" if abs(percent) >= 1000 else _significant(abs(percent), "-" if percent < 0 else "")
    return f"{'+' if is_signed and value > 0 else ''}{text}%"


def factor(value: float) -> str:
    """A multiple as `0.1x`."""
    return f"{_significant(abs(value), '-' if value < 0 else '')}x" if math.isfinite(value) else _not_finite(value)


def count(value: float) -> str:
    """A count with thousands separated; weighted counts may have one decimal."""
    if not math.isfinite(value):
        return _not_finite(value)
    text = f"{value:,.0f}" if abs(value - round(value)) < 0.05 else f"{value:,.1f}"
    return "0" if text in {"-0", "-0.0"} else text


def number(value: float) -> str:
    """A plain number to four significant digits."""
    if not math.isfinite(value):
        return _not_finite(value)
    if value == 0.0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"


def cents(value: float) -> str:
    """Money to the cent, where a difference of a basis point must be seen."""
    return f"{value:,.2f}" if math.isfinite(value) else _not_finite(value)


def seconds(value: float) -> str:
    """A duration in seconds, minutes above 120 of them."""
    if not math.isfinite(value):
        return _not_finite(value)
    return f"{value / 60.0:,.1f} min" if value >= 120.0 else f"{value:.2f} s"


def _signed_share(value: float) -> str:
    return share(value, is_signed=True)


_WRITERS: Mapping[str, Callable[[float], str]] = {
    "usd": usd,
    "share": share,
    "signed_share": _signed_share,
    "factor": factor,
    "count": count,
    "number": number,
    "seconds": seconds,
    "matched": percent,
    "cents": cents,
}


def written(kind: str, value: Any) -> str:  # noqa: ANN401  a cell of any column
    """Write a cell of a column of the given kind; None is not available, empty text stays empty."""
    if value is None:
        return NOT_AVAILABLE
    if kind == "flag":
        return "yes" if value else "no"
    if kind == "id":
        return "none" if value < 0 else str(int(value))
    return _WRITERS[kind](float(value)) if kind in _WRITERS else str(value)


def plural(n: float, noun: str) -> str:
    """A count with its noun: `1 account`, `2 accounts`."""
    return f"{count(n)} {noun}{'' if n == 1 else 's'}"


def _significant(value: float, sign: str = "") -> str:
    """Three significant digits without an exponent and without idle zeros; value >= 0."""
    if value == 0.0:
        return "0"
    decimals = max(0, 2 - math.floor(math.log10(value)))
    text = f"{value:,.{decimals}f}"
    return sign + (text.rstrip("0").rstrip(".") if "." in text else text)


def _not_finite(value: float) -> str:
    return NOT_AVAILABLE if math.isnan(value) else ("over any bound" if value > 0 else "under any bound")
