"""Control totals: cheap sums that show whether a book is whole.

An unmeasured control reads "not checked", never green.
"""

from dataclasses import asdict, dataclass
from math import isnan, nan
from typing import Any, Literal

Status = Literal["ok", "differs", "not checked"]


@dataclass(frozen=True)
class Control:
    """One control total: what was compared, what was got, what was expected, and the verdict."""

    name: str
    subject: str
    status: Status
    value: float
    expected: float
    detail: str

    def as_json(self) -> dict[str, Any]:
        """Plain values for JSON; NaN becomes null."""
        return {key: None if isinstance(item, float) and isnan(item) else item for key, item in asdict(self).items()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Control":
        """Read back what `as_json` wrote."""
        value, expected = (nan if data[key] is None else float(data[key]) for key in ("value", "expected"))
        return cls(data["name"], data["subject"], data["status"], value, expected, data["detail"])
