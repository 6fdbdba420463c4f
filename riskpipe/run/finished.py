"""A finished run as it was computed: its book, market, rules and scenarios, read back from its store."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from riskpipe.cube.books import open_book
from riskpipe.cube.catalogue import Pointer, night_names, pointer_of
from riskpipe.cube.manifest import read_manifest
from riskpipe.cube.store import Store
from riskpipe.domain.book import Book
from riskpipe.domain.instant import format_as_of
from riskpipe.domain.market import Market
from riskpipe.domain.rules import Rules
from riskpipe.domain.scenarios import ScenarioSet
from riskpipe.errors import StoreError
from riskpipe.run.inputs import read_market, read_scenarios, rules_from_json
from riskpipe.run.plan import read_plan


@dataclass(frozen=True)
class FinishedRun:
    """What a complete run was computed from."""

    store: Store = field(repr=False)
    run_id: str
    as_of: datetime
    source: str
    """Hash of the package's sources that computed it."""
    config: dict[str, Any] = field(repr=False)
    book: Book = field(repr=False)
    market: Market = field(repr=False)
    rules: Rules = field(repr=False)
    scenarios: ScenarioSet = field(repr=False)


def open_finished(store: Store, run_id: str, manifest_sha256: str | None = None) -> FinishedRun:
    """Open a complete run; StoreError when it is not complete, or was kept in another version's form."""
    read_manifest(store, run_id, manifest_sha256)
    plan = read_plan(store, run_id)
    attributes = plan["attributes"]
    try:
        market, rules = read_market(store, run_id), rules_from_json(plan["rules"])
        scenarios = read_scenarios(store, run_id, plan)
    except (KeyError, TypeError) as error:
        raise StoreError(
            f"run {run_id} was kept in another version's form ({error}): it can be read, but not computed again"
        ) from error
    return FinishedRun(
        store=store,
        run_id=run_id,
        as_of=datetime.fromisoformat(attributes["as_of"]),
        source=attributes["input_hashes"]["source"],
        config=json.loads(attributes["config"]),
        book=open_book(store, plan["book_sha256"]),
        market=market,
        rules=rules,
        scenarios=scenarios,
    )


def open_published(store: Store, as_of: datetime | None, book: str) -> FinishedRun:
    """Open a book's published night (None = the newest); StoreError when there is none."""
    pointer = pointer_of(store, as_of, book)
    return open_finished(store, pointer.run_id, pointer.manifest_sha256)


def pointer_before(store: Store, as_of: datetime, book: str) -> Pointer | None:
    """Return the pointer of a book's last published night before an instant; None where there is none."""
    earlier = [night.as_of for night in night_names(store, book) if format_as_of(night.as_of) < format_as_of(as_of)]
    return pointer_of(store, max(earlier), book) if earlier else None
