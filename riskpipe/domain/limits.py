"""Limits: levels that a measured number should not reach, what was found of it, and who has acknowledged that."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, Self

from riskpipe.domain.instant import format_as_of, parse_as_of

Direction = Literal["above", "below"]
Reduction = Literal["max", "min", "mean", "sum"]
Level = Literal["ok", "warn", "breach", "not measured"]
ROUNDING = 1e-12  # relative: sums and shares that are a level on paper may miss it by this
LEVELS: tuple[Level, ...] = ("breach", "not measured", "warn", "ok")  # as they are listed
_SEVERITY: Mapping[Level, int] = {"ok": 0, "warn": 1, "breach": 2, "not measured": 2}


@dataclass(frozen=True)
class Limit:
    """A limit on one number of a measure.

    Attributes
    ----------
    measure, variable: what is measured, as the registry of measures and the measure itself name it.
    at: labels by dimension or coordinate of the variable; what is not named is taken whole.
    reduce: what becomes of more than one cell; None = there must be one.
    direction: the side on which the levels lie; a level itself is reached.
    warn, breach: levels in the variable's own units; warn may be None.
    allow_unmeasured: cells without a number are left out.
    owner, action: whom it concerns and what to do.
    """

    name: str
    measure: str
    variable: str
    at: Mapping[str, tuple[str | float, ...]]
    reduce: Reduction | None
    direction: Direction
    warn: float | None
    breach: float
    allow_unmeasured: bool
    owner: str
    action: str

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read back what `asdict` wrote."""
        return cls(**{**data, "at": {key: tuple(labels) for key, labels in data["at"].items()}})

    def number(self) -> dict[str, Any]:
        """Return what says which number is limited, and on which side: an acknowledgement holds for this only."""
        names = ("measure", "variable", "reduce", "direction", "allow_unmeasured")
        at = {key: list(labels) for key, labels in self.at.items()}
        return {"at": at, **{name: getattr(self, name) for name in names}}

    def is_further(self, value: float, than: float) -> bool:
        """Tell whether a number lies further on the wrong side than another."""
        return value > than if self.direction == "above" else value < than

    def level_of(self, value: float) -> Level:
        """Return the level of a number; NaN is not measured. What misses a level by rounding has reached it."""
        if math.isnan(value):
            return "not measured"
        if self._is_reached(self.breach, value):
            return "breach"
        return "warn" if self.warn is not None and self._is_reached(self.warn, value) else "ok"

    def _is_reached(self, level: float, value: float) -> bool:
        return not self.is_further(level, value) or math.isclose(value, level, rel_tol=ROUNDING)


@dataclass(frozen=True)
class Acknowledgement:
    """That somebody knows of a limit that is over.

    Attributes
    ----------
    by, why: who knows, and why it may stand. at: when it was said (UTC).
    until: the last night, by its instant, for which it holds.
    level, value: how far it may go; NaN for what is not measured. run_id: the night that was looked at.
    number: which number, see `Limit.number`.
    """

    limit: str
    by: str
    why: str
    at: datetime
    until: datetime
    level: Level
    value: float
    run_id: str
    number: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            **asdict(self),
            "at": format_as_of(self.at),
            "until": format_as_of(self.until),
            "value": _number_or_none(self.value),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read back what `as_json` wrote."""
        instants = {name: parse_as_of(data[name]) for name in ("at", "until")}
        return cls(**{**data, **instants, "value": _number(data["value"])})

    def covers(self, state: "LimitState", as_of: datetime) -> bool:
        """Tell whether it holds for a state of a night: not run out, the same number, and no worse than it was."""
        if as_of > self.until or state.limit.number() != self.number:
            return False
        if "not measured" in {state.level, self.level}:
            return state.level == self.level
        return not more_severe(state.level, self.level) and not state.limit.is_further(state.value, self.value)


@dataclass(frozen=True)
class LimitState:
    """What a night found of a limit.

    Attributes
    ----------
    value: the number, NaN = not measured; units: of it. reason: why it was not measured, else empty.
    cell: labels of the cell that it was read from, where that is one.
    n_cells: selected. sources: cube variables behind it.
    acknowledgement: the one that covers it; None = none does.
    """

    limit: Limit
    level: Level
    value: float
    units: str
    reason: str = ""
    cell: Mapping[str, str | float] = field(default_factory=dict)
    n_cells: int = 0
    sources: tuple[str, ...] = ()
    acknowledgement: Acknowledgement | None = None

    @property
    def is_over(self) -> bool:
        """Tell whether the limit is breached, or not measured, and nobody has acknowledged it."""
        return self.is_told("breach")

    def is_told(self, least: Level) -> bool:
        """Tell whether somebody must know of it: at least that level, and not acknowledged."""
        return _SEVERITY[self.level] >= _SEVERITY[least] and self.acknowledgement is None

    def acknowledged(self, known: Acknowledgement | None, as_of: datetime) -> "LimitState":
        """Return the state with an acknowledgement, where that covers it and there is something to acknowledge."""
        is_covered = known is not None and self.level != "ok" and known.covers(self, as_of)
        return replace(self, acknowledgement=known if is_covered else None)

    def as_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            **asdict(self),
            "value": _number_or_none(self.value),
            "acknowledgement": None if self.acknowledgement is None else self.acknowledgement.as_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read back what `as_json` wrote."""
        known = data["acknowledgement"]
        return cls(
            **{
                **data,
                "limit": Limit.from_json(data["limit"]),
                "value": _number(data["value"]),
                "sources": tuple(data["sources"]),
                "acknowledgement": None if known is None else Acknowledgement.from_json(known),
            }
        )


def more_severe(level: Level, than: Level) -> bool:
    """Tell whether a level asks for more than another; breached and not measured are apart: neither hides the other."""
    return _SEVERITY[level] > _SEVERITY[than] or (_SEVERITY[level] == _SEVERITY[than] and level != than)


def _number_or_none(value: float) -> float | str | None:
    """A number for JSON: NaN is null, what is infinite its name."""
    return None if math.isnan(value) else value if math.isfinite(value) else str(value)


def _number(value: float | str | None) -> float:
    return math.nan if value is None else float(value)
