"""Engine back-test: what the engine would have said of the liquidations that came, beside those that came."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self

from riskpipe.domain.instant import format_as_of, parse_as_of

READINGS = ("prices alone", "cascade on top")
"""Observed prices contain the cascade of their day: the first adds none, the second computes another."""


@dataclass(frozen=True)
class Exposure:
    """Notional closed of one market and side, USD at fills or at the path's prices; predicted by reading."""

    venue: str
    underlying: str
    side: str
    actual: float
    predicted: tuple[float, ...]


@dataclass(frozen=True)
class FundOutcome:
    """One fund over the path, USD; NaN = not reported.

    Attributes
    ----------
    shortfall: of positions filled beyond their bankruptcy prices. fund_change: what the fund gained (+) or paid (-).
    """

    fund: str
    shortfall: float
    fund_change: float
    predicted_shortfall: tuple[float, ...]
    predicted_fund_change: tuple[float, ...]


@dataclass(frozen=True)
class EngineBacktest:
    """An earlier night's book on the prices that came.

    Attributes
    ----------
    run_id, as_of: the night that reports what came. since_run_id, since: the night whose book is replayed.
    hours: of the path. still: assets without a price on it, which are taken not to move.
    n_rows: liquidations reported. unusable: why rows were left out, with how many.
    problem: why nothing was tested, else empty.
    """

    run_id: str
    as_of: datetime
    since_run_id: str
    since: datetime
    hours: int = 0
    still: tuple[str, ...] = ()
    n_rows: int = 0
    unusable: Mapping[str, int] | None = None
    exposures: tuple[Exposure, ...] = ()
    funds: tuple[FundOutcome, ...] = ()
    problem: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain values for JSON; NaN becomes null."""
        plain = asdict(self) | {"as_of": format_as_of(self.as_of), "since": format_as_of(self.since)}
        for fund in plain["funds"]:
            fund |= {key: None for key in ("shortfall", "fund_change") if math.isnan(fund[key])}
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read back what `as_json` wrote."""
        exposures = (Exposure(**{**one, "predicted": tuple(one["predicted"])}) for one in data["exposures"])
        names = ("predicted_shortfall", "predicted_fund_change")
        funds = (
            FundOutcome(
                **{
                    **one,
                    **{name: tuple(one[name]) for name in names},
                    **{name: math.nan for name in ("shortfall", "fund_change") if one[name] is None},
                }
            )
            for one in data["funds"]
        )
        about = {
            "as_of": parse_as_of(data["as_of"]),
            "since": parse_as_of(data["since"]),
            "still": tuple(data["still"]),
        }
        return cls(**{**data, **about, "exposures": tuple(exposures), "funds": tuple(funds)})
