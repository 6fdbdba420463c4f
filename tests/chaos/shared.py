"""Servers that all seeds of a process share: each takes seconds to start, and none minds for whom it works."""

import os
from collections.abc import Callable
from typing import Any

_SHARED: dict[tuple[int, str], Any] = {}


def shared(name: str, start: Callable[[], Any]) -> Any:
    """Return the server of this name, started by whoever needs it first; it must have a method `close`."""
    if (os.getpid(), name) not in _SHARED:
        _SHARED[os.getpid(), name] = start()
    return _SHARED[os.getpid(), name]


def close_shared() -> None:
    """End the servers of this process."""
    for (pid, _), server in _SHARED.items():
        if pid == os.getpid():
            server.close()
    _SHARED.clear()
