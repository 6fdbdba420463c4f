"""Metrics of nights for Prometheus: a text file for the node exporter, or HTTP on the loopback interface.

HTTP tells what this process has counted since it began to listen, the file what all processes have that write it.
Dask's own metrics are those of the scheduler's and the workers' dashboards (`/metrics`).
"""

import errno
import logging
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from riskpipe.errors import ConfigError
from riskpipe.run.events import fields_of
from riskpipe.run.metrics_file import MetricsFile

FILE_VARIABLE, PORT_VARIABLE = "RISKPIPE_METRICS_FILE", "RISKPIPE_METRICS_PORT"
TROUBLE = logging.getLogger("riskpipe.metrics")
"""Is told why nothing is counted somewhere, which is no reason to lose a night."""
_SECONDS = (0.1, 0.3, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)


class Metrics(logging.Handler):
    """Counts events of nights."""

    def __init__(self, file: Path | None = None, port: int | None = None) -> None:
        super().__init__(logging.INFO)
        self.registry = CollectorRegistry()
        self._file = None if file is None else MetricsFile(file)
        self._is_behind = False
        self._blocks = Counter("riskpipe_blocks_done", "Blocks computed", ["book"], registry=self.registry)
        self._block_seconds = Histogram(
            "riskpipe_block_seconds", "Seconds of one block", ["book"], buckets=_SECONDS, registry=self.registry
        )
        self._stage_seconds = Histogram(
            "riskpipe_stage_seconds", "Seconds of one stage", ["book", "stage"], buckets=_SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self._bytes = Counter("riskpipe_bytes_written", "Bytes of cubes and parts", ["book"], registry=self.registry)
        self._retries = Counter(
            "riskpipe_block_retries", "Tries of blocks beyond the first", ["book"], registry=self.registry
        )
        self._nights = Counter("riskpipe_nights", "Nights ended, by how", ["book", "state"], registry=self.registry)
        self._last = Gauge(
            "riskpipe_last_complete_timestamp_seconds", "When a night was last complete", ["book"],
            registry=self.registry,
        )  # fmt: skip
        self._limits = Gauge(
            "riskpipe_limits", "Limits of the last night reported, by state", ["book", "state"], registry=self.registry
        )
        self._server: Any = None
        self._thread: threading.Thread | None = None
        if port is not None:
            self._server, self._thread = start_http_server(port, addr="127.0.0.1", registry=self.registry)

    @property
    def port(self) -> int | None:
        """The port of HTTP, None without."""
        return None if self._server is None else int(self._server.server_port)

    def emit(self, record: logging.LogRecord) -> None:
        """Count one event; the text file follows whenever a stage or a night ends."""
        fields, event = fields_of(record), record.getMessage()
        book = str(fields.get("book", ""))
        if event == "block done":
            self._blocks.labels(book).inc()
            self._block_seconds.labels(book).observe(fields["seconds"])
        elif event == "stage done":
            self._stage_seconds.labels(book, fields["stage"]).observe(fields["seconds"])
        elif event == "limits held":
            for state in ("breach", "not_measured", "warn", "ok", "acknowledged"):
                self._limits.labels(book, state).set(fields[state])
        elif event in {"night done", "night failed"}:
            self._ended(book, event, fields, record.created)
        self._is_behind = True
        if event != "block done":
            self._write()

    def _write(self) -> None:
        """Bring the text file up to date; what cannot be written now is with the next event, or at the end."""
        if self._file is None or not self._is_behind:
            return
        try:
            self._file.update(self.registry)
            self._is_behind = False
        except OSError as error:
            TROUBLE.warning("%s: cannot write metrics: %s", FILE_VARIABLE, error.strerror or error)

    def _ended(self, book: str, event: str, fields: Mapping[str, Any], instant: float) -> None:
        self._nights.labels(book, event.removeprefix("night ")).inc()
        if event == "night done":
            self._last.labels(book).set(instant)
            if not fields["was_complete"]:
                self._bytes.labels(book).inc(fields["bytes"] or 0)
                self._retries.labels(book).inc(max(0, fields["tries"] - fields["blocks"]))

    def close(self) -> None:
        """Write what is left and stop the HTTP server."""
        self._write()
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = None
        super().close()


def metrics_handler() -> Metrics | None:
    """Return what counts events, as RISKPIPE_METRICS_FILE (ends in .prom) or RISKPIPE_METRICS_PORT ask; None if neither.

    A port that another process has is a warning only: nights may run side by side. Raises ConfigError for a port or a
    file that cannot be used.
    """  # noqa: E501
    file, port = os.environ.get(FILE_VARIABLE), os.environ.get(PORT_VARIABLE)
    if port and not (port.isdecimal() and int(port) < 65536):
        raise ConfigError(f"{PORT_VARIABLE}: got {port!r}, expected the number of a port")
    if file and not Path(file).absolute().parent.is_dir():
        raise ConfigError(f"{FILE_VARIABLE}: the folder of {file} does not exist")
    path = Path(file) if file else None
    if port:
        try:
            return Metrics(path, int(port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise ConfigError(
                    f"{PORT_VARIABLE}: cannot listen on port {port}: {error.strerror or error}"
                ) from error
            TROUBLE.warning("%s: port %s is taken, metrics of this process are not served", PORT_VARIABLE, port)
    return None if path is None else Metrics(path)
