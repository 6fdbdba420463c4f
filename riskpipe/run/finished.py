"""A finished run as it was computed: its book, market, rules and scenarios, read back from its store."""

import json
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Self

from riskpipe.cube.books import open_book
from riskpipe.cube.catalogue import Pointer, catalogue_at, night_names, pointer_of
from riskpipe.cube.digest import sha256
from riskpipe.cube.layout import plan_key
from riskpipe.cube.manifest import read_manifest
from riskpipe.cube.store import Store
from riskpipe.domain.book import Book
from riskpipe.domain.instant import format_as_of
from riskpipe.domain.market import Market
from riskpipe.domain.rules import Rules
from riskpipe.domain.scenarios import ScenarioSet
from riskpipe.errors import StoreError, VerifyError
from riskpipe.numerics import numerics_fingerprint, source_hash
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
    fingerprint: str
    """Numerics fingerprint under which it was computed."""
    config: dict[str, Any] = field(repr=False)
    book: Book = field(repr=False)
    market: Market = field(repr=False)
    rules: Rules = field(repr=False)
    scenarios: ScenarioSet = field(repr=False)

    @property
    def differs_by(self) -> tuple[str, ...]:
        """Why what is computed from it here need not have its bits; empty = it must."""
        differs = {
            "other sources than the run": self.source != source_hash(),
            "another numerics fingerprint than the run": self.fingerprint != numerics_fingerprint().sha,
        }
        return tuple(why for why, is_so in differs.items() if is_so)

    @classmethod
    def of(cls, run: "FinishedRun") -> Self:
        """Return the run as this class, which adds nothing to its fields."""
        return cls(**{spec.name: getattr(run, spec.name) for spec in fields(run)})


def open_finished(store: Store, run_id: str, manifest_sha256: str | None = None) -> FinishedRun:
    """Open a complete run.

    Raises StoreError when it is not complete, or was kept in another version's form, VerifyError where its plan is not
    the one that was sealed.
    """
    manifest = read_manifest(store, run_id, manifest_sha256)
    if sha256(store.read(plan_key(run_id))) != manifest["plan_sha256"]:
        raise VerifyError(f"run {run_id}: plan.json is not the one that was sealed. Run verify on {run_id}")
    plan = read_plan(store, run_id)
    attributes = plan["attributes"]
    try:
        market, rules = read_market(store, run_id), rules_from_json(plan["rules"])
        scenarios = read_scenarios(store, run_id, plan)
    except (KeyError, TypeError) as error:
        raise StoreError(
            f"run {run_id} was made by a version whose inputs this one does not read ({error}): it can be read, but "
            "only that version computes it again"
        ) from error
    return FinishedRun(
        store=store,
        run_id=run_id,
        as_of=datetime.fromisoformat(attributes["as_of"]),
        source=attributes["input_hashes"]["source"],
        fingerprint=manifest["fingerprint"],
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
    """Return the pointer of a book's last published night before an instant; None where there is none.

    A pointer that is torn, or was swept since it was listed, is passed over: it is no night's any more.
    """
    earlier = [night.as_of for night in night_names(store, book) if format_as_of(night.as_of) < format_as_of(as_of)]
    for instant in sorted(earlier, reverse=True):
        for night in catalogue_at(store, instant).nights:
            if night.book == book:
                return night.pointer
    return None
