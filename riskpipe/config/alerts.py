"""Sections of a run's YAML about what its results may be: limits on measures, and who is told when one is over."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from riskpipe.domain.limits import Direction, Limit, Reduction
from riskpipe.venues.fields import Float, Strict, Text

Variable = Annotated[str, Field(pattern=r"^RISKPIPE_[A-Z0-9_]+$")]
Label = Annotated[str, Field(min_length=1)] | Float
LimitName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,99}$")]
"""Name of a limit: it becomes part of a path, where acknowledgements are kept."""


class RiskLimitConfig(Strict):
    """A limit on one number of a measure: where it is read, from where on it warns and is breached, and what to do."""

    measure: Text
    variable: Text
    at: dict[str, Label | Annotated[tuple[Label, ...], Field(min_length=1)]] = Field(default_factory=dict)
    """Label, or labels, by dimension or coordinate of the variable; what is left out is taken whole."""
    reduce: Reduction | None = None
    """What becomes of more than one cell; without it the selection must be one."""
    direction: Direction = "above"
    """On which side of its levels the limit is breached; a level itself is breached."""
    warn: Float | None = None
    breach: Float
    allow_unmeasured: bool = False
    """Leave out cells without a number (NaN); where none is left, the limit is not measured all the same."""
    owner: Text
    action: Text

    @model_validator(mode="after")
    def _levels_in_order(self) -> Self:
        if self.warn is not None and not (self.warn < self.breach if self.direction == "above" else
                                          self.warn > self.breach):  # fmt: skip
            side = "below" if self.direction == "above" else "above"
            raise ValueError(
                f"warn {self.warn:g} must lie {side} breach {self.breach:g} where direction is {self.direction}"
            )
        return self

    def limit(self, name: str) -> Limit:
        """Return the limit as plain values."""
        at = {key: given if isinstance(given, tuple) else (given,) for key, given in self.at.items()}
        return Limit(
            name=name,
            measure=self.measure,
            variable=self.variable,
            at=at,
            reduce=self.reduce,
            direction=self.direction,
            warn=self.warn,
            breach=self.breach,
            allow_unmeasured=self.allow_unmeasured,
            owner=self.owner,
            action=self.action,
        )


class AlertsConfig(Strict):
    """Who is told of limits that are over, and how a command ends then. Addresses themselves are never written here."""

    addresses: tuple[Variable, ...] | None = None
    """Environment variables with Apprise addresses, several in one apart by spaces. Each must be set; left out, it is
    RISKPIPE_NOTIFY_URL where that is set."""
    least: Literal["warn", "breach"] = "breach"
    """From which level on somebody is told; a limit that is not measured counts as a breach."""
    on_breach: Literal[0, 10] = 0
    """Exit status of commands and flows where a limit is breached or not measured, and nobody has acknowledged it."""

    @field_validator("addresses")
    @classmethod
    def _each_once(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if names is not None and len(set(names)) != len(names):
            raise ValueError("each variable may stand once only")
        return names
