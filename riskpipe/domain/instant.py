"""Instants: how the time that a night describes is read and written, everywhere the same."""

import re
from datetime import UTC, datetime

_COMPACT = re.compile(r"T(\d\d)(\d\d)(\d\d)Z$")


def parse_as_of(text: str) -> datetime:
    """Read an instant, UTC: ISO 8601 (2024-08-05, 2024-08-05T00:00Z; without a zone it is UTC) or as in names.

    Raises ValueError otherwise.
    """
    parsed = datetime.fromisoformat(_COMPACT.sub(r"T\1:\2:\3Z", text))
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def format_as_of(as_of: datetime) -> str:
    """Write an instant as in names: 2024-08-05T000000Z; ValueError without a zone or with fractions of a second."""
    if as_of.tzinfo is None:
        raise ValueError(f"as_of {as_of} has no time zone")
    if as_of.microsecond:
        raise ValueError(f"as_of {as_of} is not a whole second")
    return as_of.astimezone(UTC).strftime("%Y-%m-%dT%H%M%SZ")
