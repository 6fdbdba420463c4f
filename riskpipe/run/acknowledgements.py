"""Acknowledgements: who knows of a limit that is over, since when, why it may stand, and until when.

Every one is kept, in one object for each limit of a book, to which entries are added by compare-and-swap; the last one
counts.
"""

import json
from collections.abc import Iterable

from riskpipe.cube.digest import canonical_json
from riskpipe.cube.layout import acknowledgements_key
from riskpipe.cube.protocol import Store
from riskpipe.domain.limits import Acknowledgement
from riskpipe.errors import StoreError

_FORMAT = "riskpipe-acknowledgements"


def acknowledgements_of(store: Store, book: str, limits: Iterable[str]) -> dict[str, Acknowledgement]:
    """Return the last acknowledgement of each limit that has one."""
    histories = {limit: history_of(store, book, limit) for limit in limits}
    return {limit: history[-1] for limit, history in histories.items() if history}


def history_of(store: Store, book: str, limit: str) -> list[Acknowledgement]:
    """Return every acknowledgement of a limit, the oldest first; StoreError where they are torn."""
    key = acknowledgements_key(book, limit)
    return _parsed(store, key, store.get(key))


def _parsed(store: Store, key: str, data: bytes | None) -> list[Acknowledgement]:
    if data is None:
        return []
    try:
        kept = json.loads(data)
        if kept["format"] != _FORMAT:
            raise ValueError(f"its format is {kept['format']!r}, not {_FORMAT!r}")  # noqa: TRY301
        return [Acknowledgement.from_json(entry) for entry in kept["entries"]]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{store.uri}/{key} is torn: {error}. Delete it, and acknowledge again what should be"
        ) from error


def remember(store: Store, book: str, said: Acknowledgement) -> None:
    """Add an acknowledgement to those of its limit; of two at once both stay.

    Raises StoreError for names that are none, or a store that ignores conditions.
    """
    key = acknowledgements_key(book, said.limit)
    if not store.honours_conditions():
        raise StoreError(
            f"{store.uri} ignores conditional writes: two acknowledgements at once would overwrite each other unseen"
        )
    for _ in range(100):
        before = store.get(key)
        entries = [*_parsed(store, key, before), said]
        kept = {"format": _FORMAT, "entries": [entry.as_json() for entry in entries]}
        if store.swap(key, before, canonical_json(kept)):
            return
    raise StoreError(f"{store.uri}/{key} changes faster than it can be added to: try again")
