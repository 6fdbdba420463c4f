"""Changes: what has moved the headlines since an earlier night, part by part."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal, Self

from riskpipe.domain.instant import format_as_of, parse_as_of

PARTS = ("positions", "prices", "volatility", "depth", "parameters")
"""What a night is made of; see ARCHITECTURE.md, section Change since an earlier night."""
MEASURES = ("shortfall", "uncovered_loss", "liquidated_notional")


@dataclass(frozen=True)
class Change:
    """One measure in one scenario, USD.

    Attributes
    ----------
    axes, name, variant: the scenario, which is the same for both nights. fund: "" = all funds together.
    before, after: as the nights' own programs compute it; before is NaN where the program has changed since and the
        earlier night did not compute this scenario.
    program: what the change of the program explains; 0 where it is the same, NaN where before is.
    parts: what each part explains. They and the program add up to after less before.
    old_book_now: the earlier night's positions, all else as it is now. new_book_then: the reverse.
    """

    axes: Mapping[str, float]
    name: str
    variant: str
    measure: str
    fund: str
    before: float
    after: float
    program: float
    parts: Mapping[str, float]
    old_book_now: float
    new_book_then: float


@dataclass(frozen=True)
class OneSided:
    """Accounts or instruments that only one of two nights has: how many, and USD of positions there, weighted."""

    what: Literal["account", "instrument"]
    state: Literal["new", "vanished"]
    count: int
    gross_notional_usd: float
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Changes:
    """What has changed since an earlier night.

    Attributes
    ----------
    run_id, as_of: the night. since_run_id, since: the earlier one.
    unchanged: parts that are the same in both nights. problem: why the nights could not be compared, else empty.
    """

    run_id: str
    as_of: datetime
    since_run_id: str
    since: datetime
    rows: tuple[Change, ...] = ()
    one_sided: tuple[OneSided, ...] = ()
    unchanged: tuple[str, ...] = ()
    problem: str = field(default="")

    def as_json(self) -> dict[str, Any]:
        """Plain values for JSON; NaN becomes null."""
        plain = asdict(self) | {"as_of": format_as_of(self.as_of), "since": format_as_of(self.since)}
        for row in plain["rows"]:
            row |= {key: None for key in ("before", "program") if math.isnan(row[key])}
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read back what `as_json` wrote."""

        def number(value: float | None) -> float:
            return math.nan if value is None else value

        rows = tuple(
            Change(**{**row, "before": number(row["before"]), "program": number(row["program"])})
            for row in data["rows"]
        )
        return cls(
            **{
                **data,
                "as_of": parse_as_of(data["as_of"]),
                "since": parse_as_of(data["since"]),
                "rows": rows,
                "one_sided": tuple(
                    OneSided(**{**one, "examples": tuple(one["examples"])}) for one in data["one_sided"]
                ),
                "unchanged": tuple(data["unchanged"]),
            }
        )
