"""A proxy that really stands between a client and an S3 server, and misbehaves as a test asks it to."""

import http.client
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Fault:
    """What happens to one request.

    Attributes
    ----------
    status: answered instead of asking the server (0: the server is asked).
    delay_s: time before anything is done.
    keep: bytes of the body that are sent before the connection is cut; None = all.
    is_lost: the server does what it was asked, but its answer never arrives.
    without: a header that the server never sees.
    """

    status: int = 0
    delay_s: float = 0.0
    keep: int | None = None
    is_lost: bool = False
    without: str = ""


Rule = Callable[[str, str], Fault | None]
"""From method and path to what goes wrong, if anything."""


class FaultyProxy:
    """Set `rule` to make it misbehave; `seen` lists methods and paths."""

    def __init__(self, port: int):
        self.rule: Rule = lambda _method, _path: None
        self.seen: list[tuple[str, str]] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except OSError:  # the client has gone
                    self.close_connection = True

            def forward(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                proxy.seen.append((self.command, self.path))
                fault = proxy.rule(self.command, self.path) or Fault()
                time.sleep(fault.delay_s)
                if fault.status:
                    self.send_response(fault.status)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                try:
                    headers = {name: value for name, value in self.headers.items() if name.lower() != fault.without}
                    upstream.request(self.command, self.path, body, headers)
                    answer = upstream.getresponse()
                    data = answer.read()
                finally:
                    upstream.close()
                if fault.is_lost:
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in {"connection", "transfer-encoding", "server", "date"}:
                        self.send_header(name, value)
                if "content-length" not in {name.lower() for name, _ in answer.getheaders()}:
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data if fault.keep is None else data[: fault.keep])
                self.close_connection = fault.keep is not None

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = forward  # noqa: N815 - http.server's names

            def log_message(self, *_arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def first(n: int, fault: Fault, *, method: str = "", holding: str = "") -> Rule:
    """Make a rule by which the first n requests of a method whose path holds a text go wrong."""
    lock, left = threading.Lock(), n

    def rule(asked, path):
        nonlocal left
        with lock:
            if left and holding in path and method in {"", asked}:
                left -= 1
                return fault
        return None

    return rule


def every(fault: Fault, *, method: str = "", holding: str = "") -> Rule:
    """Make a rule by which all such requests go wrong."""
    return first(10**9, fault, method=method, holding=holding)
