"""Addresses: where notifications go, and their delivery by Apprise. An address is a secret: nothing shows or keeps it.

Addresses come from the environment, or from whoever surrounds a night (`addressed`), never from a configuration. Each
has a name that may be shown: its variable, and its number where that holds several.
"""

import contextlib
import logging
import os
import re
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from riskpipe.config.alerts import AlertsConfig
from riskpipe.errors import ConfigError

DEFAULT_VARIABLE = "RISKPIPE_NOTIFY_URL"
PAUSES_S = (1.0, 5.0)
"""Between tries of one delivery."""
_GIVEN: ContextVar[Mapping[str, str]] = ContextVar("riskpipe_addresses", default={})  # noqa: B039  never changed
# what of a delivery would write addresses into logs, at levels that an orchestrator may ask for
_TALKATIVE = ("apprise", "urllib3", "requests", "requests_oauthlib", "oauthlib", "paho", "slixmpp")
_LEAST_SECRET = 3
_ONE_AT_A_TIME = threading.Lock()


class Undelivered(Exception):
    """A notification did not arrive; says why without the address."""


@dataclass(frozen=True)
class Address:
    """Where notifications go."""

    name: str
    url: str = field(repr=False)


@contextlib.contextmanager
def addressed(given: Mapping[str, str]) -> Iterator[None]:
    """Have addresses by variable that the environment need not hold, inside the `with` block and contexts copied."""
    token = _GIVEN.set({**_GIVEN.get(), **given})
    try:
        yield
    finally:
        _GIVEN.reset(token)


def addresses_of(alerts: AlertsConfig) -> list[Address]:
    """Return the addresses of a configuration; none where it names none and RISKPIPE_NOTIFY_URL is not set.

    Raises ConfigError naming every variable that is not set, and every one that holds something that is no address.
    """
    found, problems = [], []
    for variable in (DEFAULT_VARIABLE,) if alerts.addresses is None else alerts.addresses:
        urls = (os.environ.get(variable) or _GIVEN.get().get(variable) or "").split()
        if not urls and alerts.addresses is not None:
            problems.append(f"alerts.addresses: {variable} is not set in the environment")
        for n, url in enumerate(urls):
            name = variable if n == 0 else f"{variable}-{n + 1}"
            if _is_address(url):
                found.append(Address(name, url))
            else:
                problems.append(f"{name} is not an Apprise address (its value is a secret and not shown)")
    if problems:
        raise ConfigError(f"notifications cannot be sent: {'; '.join(problems)}")
    return found


def _is_address(url: str) -> bool:
    with _quiet([]):
        from apprise import Apprise

        return bool(Apprise().add(url))


def send(address: Address, title: str, body: str, *, pauses_s: Sequence[float] = PAUSES_S) -> None:
    """Deliver a notification in plain text; tried again after each pause. Raises Undelivered."""
    said: list[str] = []
    for pause in (*pauses_s, None):
        said.clear()
        with _quiet(said):
            try:
                from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType

                service = Apprise(asset=AppriseAsset(app_id="riskpipe", async_mode=False))
                is_told = service.add(address.url) and bool(
                    service.notify(body, title, notify_type=NotifyType.WARNING, body_format=NotifyFormat.TEXT)
                )
            except Exception as error:  # noqa: BLE001  a plugin's defect must not show the address in a traceback
                is_told = False
                said.append(type(error).__name__)
        if is_told:
            return
        if pause is not None:
            time.sleep(pause)
    reason = "; ".join(dict.fromkeys(without_secrets(one, address.url) for one in said))
    raise Undelivered(reason or "the service did not take it")


def without_secrets(text: str, url: str) -> str:
    """Return a text without any part of an address: hosts, users, keys, paths and their words."""
    parts = urlsplit(url)
    pieces = [url, parts.netloc, parts.path, parts.query, parts.fragment]
    pieces += re.split(r"[@:]", parts.netloc) + parts.path.split("/")
    pieces += [value for _, value in parse_qsl(parts.query)]
    every = {one for piece in pieces for one in (piece, unquote(piece)) if len(one) >= _LEAST_SECRET}
    for piece in sorted(every, key=len, reverse=True):
        text = text.replace(piece, "***")
    return "".join(letter if letter.isprintable() else " " for letter in text)


@contextlib.contextmanager
def _quiet(said: list[str]) -> Iterator[None]:
    """Keep what the libraries of a delivery log, or warn of, out of every log; warnings of Apprise go to `said`.

    Loggers belong to the whole process: one delivery at a time.
    """

    class Heard(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _hushed(Heard(logging.WARNING)):
            yield


@contextlib.contextmanager
def _hushed(heard: logging.Handler) -> Iterator[None]:
    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in _TALKATIVE]
    loggers = [logging.getLogger(name) for name in {*_TALKATIVE, *names}]
    before = [(one, one.propagate, one.level, list(one.handlers)) for one in loggers]
    for one in loggers:
        one.propagate, one.handlers = False, [heard] if one.name == "apprise" else [logging.NullHandler()]
        one.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for one, propagate, level, handlers in before:
            one.propagate, one.handlers = propagate, handlers
            one.setLevel(level)
