"""A stranger without a certificate: `python stranger.py AUTHORITY ADDRESS:PORT ...` tells how each one answers."""

import socket
import ssl
import sys

TIMEOUT_S = 20.0


def answer_of(authority: str, address: str, port: int) -> str:
    """Return what a client without a certificate hears: why it is refused, or `answers` where it is not."""
    context = ssl.create_default_context(cafile=authority)
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


if __name__ == "__main__":
    for place in sys.argv[2:]:
        host, _, number = place.rpartition(":")
        sys.stdout.write(f"{place} {answer_of(sys.argv[1], host, int(number))}\n")
