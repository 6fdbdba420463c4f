"""Recorded margin tiers at or before an instant, and recorded order-book depth, labelled with its own date."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd

from riskpipe.errors import InputRefused
from riskpipe.ingest.synthetic.description import DepthLevel

_DISTANCES_BPS = (1, 2, 5, 10, 20, 50, 100, 150, 200, 300)
_BOOK = "binance_usdm"


@dataclass(frozen=True)
class RecordedTiers:
    """Tiers of one date: contract -> (floor USD, initial rate, maintenance rate, deduction USD) rows by floor."""

    date: str
    rows: dict[str, list[tuple[float, float, float, float]]]


def recorded_tiers(path: Path, *, as_of: datetime) -> RecordedTiers:
    """Return the tiers of the latest recording at or before as_of, of perpetuals against USDT.

    The initial rate is one over the tier's largest leverage; the deduction is the venue's own. Raises InputRefused when
    the file is missing or every recording is later.
    """
    if not path.is_file():
        raise InputRefused(f"margin tiers in {path}", [f"file {path} is missing"])
    frame = pd.read_parquet(path)
    dates = sorted(date for date in set(frame["asof"]) if date <= f"{as_of:%Y-%m-%d}")
    if not dates:
        raise InputRefused(
            f"margin tiers in {path}",
            [f"the first recording is of {min(frame['asof'])}, later than {as_of.isoformat()}; choose a later as_of"],
        )
    latest = frame[frame["asof"] == dates[-1]].sort_values("min_notional", kind="stable")
    rows: dict[str, list[tuple[float, float, float, float]]] = {}
    for row in latest.itertuples():
        # "BTC/USDT:USDT", in early recordings "BTC/USDT"; a dated future has a suffix after a dash.
        base, _, quote = str(row.symbol).partition("/")
        if quote in {"USDT", "USDT:USDT"}:
            rows.setdefault(f"{base}USDT", []).append(
                (float(row.min_notional), 1.0 / float(row.max_leverage), float(row.mmr), float(row.cum))
            )
    return RecordedTiers(dates[-1], rows)


def depth_levels(path: Path, *, symbols: list[str], as_of: datetime) -> tuple[tuple[DepthLevel, ...], str]:
    """Return the median depth of the recorded order books of the symbols, and a note that says when it was measured.

    Raises InputRefused when the file is missing.
    """
    if not path.is_file():
        raise InputRefused(f"depth in {path}", [f"file {path} is missing"])
    frame = pd.read_parquet(path)
    frame = frame[(frame["venue"] == _BOOK) & frame["symbol"].isin(symbols)]
    levels = []
    for symbol, samples in frame.groupby("symbol"):
        for side in ("bid", "ask"):
            for distance in _DISTANCES_BPS:
                usd = float(samples[f"{side}_usd_{distance}bp"].median())
                levels.append(DepthLevel(str(symbol), side, float(distance), usd if usd > 0.0 else None))
    measured = frame["ts"].min()
    when = "LATER THAN as_of" if measured > pd.Timestamp(as_of) else "before as_of"
    names = ", ".join(sorted(set(frame["symbol"])))
    return tuple(levels), f"depth of {names} measured on {measured:%Y-%m-%d}, {when}"
