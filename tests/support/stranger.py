"""A stranger without a certificate: `python stranger.py AUTHORITY ADDRESS:PORT ...` tells how each one answers."""

import http.client
import socket
import ssl
import sys

TIMEOUT_S = 5.0
PAGES = (
    "/health",
    "/metrics",
    "/status",
    "/info/main/workers.html",
    "/info/logs.html",
    "/json/counts.json",
)


def answer_of(authority: str, address: str, port: int) -> str:
    """Return what a client without a certificate hears: of pages, why it is refused, or `answers` where it is not."""
    try:
        return pages_of(address, port)
    except (OSError, http.client.HTTPException):
        pass  # it speaks no HTTP
    context = ssl.create_default_context(cafile=authority)
    context.check_hostname = False  # a stranger does not care whom it speaks to
    try:
        with (
            socket.create_connection((address, port), timeout=TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=address) as connection,
        ):
            connection.recv(1)  # a certificate is asked for before the handshake ends, and missed only afterwards
    except ssl.SSLError as error:
        return str(error.reason)
    except OSError as error:
        return type(error).__name__
    return "answers"


def pages_of(address: str, port: int) -> str:
    """Return `no-pages` for a server of HTTP that has none of Dask's, else the paths of those that it has."""
    found = []
    for path in PAGES:
        connection = http.client.HTTPConnection(address, port, timeout=TIMEOUT_S)
        connection.request("GET", path)
        if connection.getresponse().status != http.client.NOT_FOUND:
            found.append(path)
        connection.close()
    return ",".join(found) or "no-pages"


if __name__ == "__main__":
    for place in sys.argv[2:]:
        host, _, number = place.rpartition(":")
        sys.stdout.write(f"{place} {answer_of(sys.argv[1], host, int(number))}\n")
