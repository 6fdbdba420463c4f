"""The report of a night, rendered from its cube and what its stages left; rendered again on demand."""

from typing import Any

from riskpipe.run.night import Night


def report(night: Night) -> dict[str, Any]:
    """Render and keep the report."""
    return {"headline": []}
