"""Receivers of notifications on the loopback interface: a mail server and a webhook, which keep what they were sent."""

import contextlib
import email
import email.policy
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from riskpipe.run.processes import free_port


class Webhook:
    """Keeps the JSON that was posted to it; refuses with 503 while `is_down`."""

    def __init__(self):
        self.posts, self.n_refused, self.is_down = [], 0, False
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if receiver.is_down:
                    receiver.n_refused += 1
                    self.send_error(503)
                    return
                receiver.posts.append((self.path, json.loads(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextlib.contextmanager
def mail_server(user, password):
    """A mail server that wants to know who sends; yields its port and the messages it has taken."""
    messages = []

    class Handler:
        async def handle_DATA(self, _server, session, envelope):  # noqa: N802  the name that the server calls
            if not session.authenticated:
                return "530 say first who you are"
            messages.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
            return "250 taken"

    def authenticated(_server, _session, _envelope, _mechanism, given):
        return AuthResult(success=(given.login.decode(), given.password.decode()) == (user, password))

    port = free_port()
    controller = Controller(
        Handler(), hostname="127.0.0.1", port=port, authenticator=authenticated, auth_require_tls=False
    )
    controller.start()
    try:
        yield port, messages
    finally:
        controller.stop()
