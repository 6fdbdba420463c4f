"""Events: what happens in a night as structured records, from which JSON lines and metrics are made.

An event is a log record of `riskpipe.night`: its message names what happened, its fields say to which run, stage and
block. Nothing is written unless someone listens (see `riskpipe.run.listening`).
"""

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from riskpipe.errors import masked

LOGGER = logging.getLogger("riskpipe.night")
LOGGER.propagate = False  # an event is written as events are, or not at all
LOGGER.addHandler(logging.NullHandler())
_BOUND: ContextVar[Mapping[str, Any]] = ContextVar("riskpipe_event_fields", default={})  # noqa: B039  never changed


@contextlib.contextmanager
def bound(**fields: Any) -> Iterator[None]:  # noqa: ANN401  anything JSON can hold
    """Add fields to every event inside the `with` block, in this thread and in contexts copied from it."""
    token = _BOUND.set({**_BOUND.get(), **fields})
    try:
        yield
    finally:
        _BOUND.reset(token)


def happened(event: str, *, level: int = logging.INFO, **fields: Any) -> None:  # noqa: ANN401  anything JSON can hold
    """Tell listeners that something happened."""
    if LOGGER.isEnabledFor(level):
        LOGGER.log(level, event, extra={"fields": {**_BOUND.get(), **fields}})


def fields_of(record: logging.LogRecord) -> Mapping[str, Any]:
    """Return an event's fields."""
    fields: Mapping[str, Any] = getattr(record, "fields", {})
    return fields


class JsonLines(logging.Formatter):
    """A record as one line of JSON, without secrets of locations."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **fields_of(record),
        }
        return masked(json.dumps(line, ensure_ascii=False, default=str, allow_nan=True))
