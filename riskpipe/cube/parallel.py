"""Many small requests at once: an object store answers each in milliseconds, but a thousand of them take seconds."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_AT_ONCE = 16


def map_objects(function: Callable[[Item], Result], items: Iterable[Item], *, at_once: int = _AT_ONCE) -> list[Result]:
    """Apply a function that waits for a store to each item, and return results in order; the first error is raised."""
    given = list(items)
    if len(given) < 2:
        return [function(item) for item in given]
    with ThreadPoolExecutor(min(at_once, len(given)), thread_name_prefix="store") as pool:
        return list(pool.map(function, given))
