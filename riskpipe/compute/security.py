"""Security: mutual TLS between client, scheduler and workers, and addresses that are refused without it.

Whoever reaches a scheduler runs code on its workers. So nothing binds or connects beyond this machine's loopback
interface unless both ends show a certificate of one authority.
"""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from riskpipe.errors import ConfigError

VARIABLES = {"ca": "RISKPIPE_TLS_CA", "cert": "RISKPIPE_TLS_CERT", "key": "RISKPIPE_TLS_KEY"}


@dataclass(frozen=True)
class TlsFiles:
    """Certificate files in PEM form: the authority's, and this process's own with its key."""

    ca: str
    cert: str
    key: str

    def settings(self) -> dict[str, Any]:
        """Return the settings of Dask under which every role shows this certificate and asks for the other's."""
        own = {
            f"distributed.comm.tls.{role}.{part}": path
            for role in ("client", "scheduler", "worker")
            for part, path in (("cert", self.cert), ("key", self.key))
        }
        return {
            "distributed.comm.tls.ca-file": self.ca,
            "distributed.comm.require-encryption": True,
            "distributed.comm.default-scheme": "tls",
            # schedulers and workers that a cluster's class starts would serve pages to whoever asks, beyond loopback
            "distributed.scheduler.http.routes": [],
            "distributed.worker.http.routes": [],
            **own,
        }


def tls_files(given: Mapping[str, Any] | None) -> TlsFiles | None:
    """Return the files of `given` (ca, cert, key), or else of the environment's RISKPIPE_TLS_*; None without either.

    Raises ConfigError when one of the three is missing or cannot be read.
    """
    whose = {name: f"security.{name}" for name in VARIABLES} if given else VARIABLES
    found = {name: given.get(name) if given else os.environ.get(variable) for name, variable in VARIABLES.items()}
    if not any(found.values()):
        return None
    problems = []
    for name, path in found.items():
        try:
            if not path:
                problems.append(f"{whose[name]} is missing: mutual TLS needs all of {', '.join(whose.values())}")
            else:
                Path(path).read_bytes()
        except OSError as error:
            problems.append(f"{whose[name]}: cannot read {path}: {error.strerror or error}")
    if problems:
        raise ConfigError("; ".join(problems))
    return TlsFiles(**{name: str(path) for name, path in found.items()})


def is_loopback(host: str) -> bool:
    """Tell whether a host's name or address is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_on_this_machine(executor: object) -> bool:
    """Tell whether an executor's workers are processes of this machine, which share its cache of compiled code."""
    return executor == "local" or (
        isinstance(executor, str) and "://" in executor and is_loopback(urlsplit(executor).hostname or "")
    )


def refuse_open(address: str, *, has_tls: bool, what: str) -> None:
    """Raise ConfigError for an address beyond loopback without TLS; `what` says who would use it."""
    parts = urlsplit(address if "://" in address else f"tcp://{address}")
    if parts.scheme == "inproc" or (parts.scheme != "tls" and is_loopback(parts.hostname or "")):
        return
    if parts.scheme == "tls" and has_tls:
        return
    if parts.scheme == "tls":
        raise ConfigError(f"{what}: {address} speaks TLS, but no certificate is given: {_HOW}")
    raise ConfigError(
        f"{what}: {address} is beyond this machine and not encrypted; whoever reaches a scheduler runs code on its "
        f"workers. Use tls:// and certificates: {_HOW}"
    )


_HOW = f"set security: {{ca, cert, key}} in the configuration, or {', '.join(VARIABLES.values())}"
