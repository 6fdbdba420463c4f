"""Listening: who is told what happens in a night, as options and the environment ask."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator

from riskpipe.compute import workers
from riskpipe.errors import ConfigError
from riskpipe.run.events import LOGGER, JsonLines
from riskpipe.run.metrics import TROUBLE, metrics_handler

FORMAT_VARIABLE = "RISKPIPE_LOG_FORMAT"


def is_json(log_format: str | None = None) -> bool:
    """Tell whether events are to be written as JSON lines: as asked for, else as the environment says.

    Raises ConfigError for a format that is neither text nor json.
    """
    chosen = log_format or os.environ.get(FORMAT_VARIABLE) or "text"
    if chosen not in {"text", "json"}:
        raise ConfigError(f"log format {chosen!r} (--log-format or {FORMAT_VARIABLE}): expected text or json")
    return chosen == "json"


@contextlib.contextmanager
def listening(log_format: str | None = None) -> Iterator[None]:
    """Write events to stderr as JSON lines and count them as metrics, each where it is asked for.

    Metrics are asked for by the environment: see `riskpipe.run.metrics.metrics_handler`.
    """
    with contextlib.ExitStack() as stack:
        if is_written := is_json(log_format):
            lines = logging.StreamHandler(sys.stderr)
            lines.setFormatter(JsonLines())
            for logger in (LOGGER, TROUBLE, workers.TROUBLE):
                _add(lines, logger, stack)
        metrics = metrics_handler()
        if metrics is not None:
            stack.callback(metrics.close)
            _add(metrics, LOGGER, stack)
        if is_written or metrics is not None:
            stack.callback(LOGGER.setLevel, LOGGER.level)
            LOGGER.setLevel(logging.INFO)
        yield


def _add(handler: logging.Handler, logger: logging.Logger, stack: contextlib.ExitStack) -> None:
    """Let a handler hear a logger until the stack ends."""
    logger.addHandler(handler)
    stack.callback(logger.removeHandler, handler)
