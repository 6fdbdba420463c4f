"""Plan: what a run will compute, fixed before its first block. A resume obeys the plan it finds."""

import json
from dataclasses import asdict
from typing import Any

from riskpipe.calibrate.spreads.pairs import pairs_of
from riskpipe.cube.digest import canonical_json
from riskpipe.cube.layout import plan_key
from riskpipe.cube.store import Store
from riskpipe.cube.template import Template, cube_template, scenario_coordinates
from riskpipe.domain.bearers import VIEWS
from riskpipe.domain.book import Book
from riskpipe.domain.holdings import HOLDINGS, LEVELS, RATIO_SHARES
from riskpipe.domain.market import ESTIMATORS, HORIZON_LABELS, TAILS
from riskpipe.domain.rules import Rules
from riskpipe.domain.scenarios import DIRECTIONS, ScenarioSet, block_bounds
from riskpipe.domain.schema import N_CONTRIBUTORS, N_RANKS
from riskpipe.errors import StoreError
from riskpipe.run.identity import Identity
from riskpipe.run.inputs import rules_as_json
from riskpipe.run.preflight import Forecast
from riskpipe.scenarios.walks import Search

NO_SEARCH = Search()


def dimension_sizes(book: Book, scenarios: ScenarioSet, search: Search = NO_SEARCH) -> dict[str, int]:
    """Return the size of every dimension of the cube."""
    return {name: len(labels) for name, labels in dimension_labels(book, scenarios, search).items()} | {
        "scenario": len(scenarios),
        "rank": N_RANKS,
    }


def dimension_labels(book: Book, scenarios: ScenarioSet, search: Search) -> dict[str, Any]:
    """Return the labels of every labelled dimension of the cube."""
    assets = book.names("asset")
    return {
        "venue": book.names("venue"),
        "other_venue": book.names("venue"),
        "underlying": [assets[c] for c in book.underlyings.tolist()],
        "fund": book.names("fund"),
        "instrument": book.names("instrument"),
        "horizon": list(HORIZON_LABELS),
        "estimator": list(ESTIMATORS),
        "tail": list(TAILS),
        "pair": list(pairs_of(book).name),
        "account": book.labels["account"],
        "segment": segment_labels(book),
        "contributor": range(1, N_CONTRIBUTORS + 1),
        "set": list(scenarios.sets),
        "view": list(VIEWS),
        **search.labels,
        "holding": list(HOLDINGS),
        "direction": list(DIRECTIONS),
        "level": list(LEVELS),
        "share": [f"{share:g}" for share in RATIO_SHARES],
    }


def segment_labels(book: Book) -> list[str]:
    """Return the labels of the book's segments, then an empty one for accounts without any."""
    return list(dict.fromkeys([*book.names("segment"), ""]))


def template_of(
    plan_attributes: dict[str, Any], book: Book, scenarios: ScenarioSet, search: Search, block_size: int
) -> Template:
    """Describe the run's cube."""
    return cube_template(
        dimensions=dimension_labels(book, scenarios, search),
        scenario_coordinates=scenario_coordinates(scenarios),
        attributes=plan_attributes,
        block_size=block_size,
    )


def make_plan(
    *,
    identity: Identity,
    book: Book,
    book_sha256: str,
    rules: Rules,
    scenarios: ScenarioSet,
    search: Search,
    block_size: int,
    predicted: Forecast,
    attributes: dict[str, Any],
    ingest: dict[str, Any],
) -> dict[str, Any]:
    """Return the plan of a run as plain JSON values."""
    template = template_of(attributes, book, scenarios, search, block_size)
    return {
        "format": "riskpipe-plan",
        "run_id": identity.run_id,
        "run_key": identity.run_key,
        "book_sha256": book_sha256,
        "block_size": block_size,
        "blocks": [list(bounds) for bounds in block_bounds(len(scenarios), block_size)],
        "chunk_shapes": template.chunk_shapes(),
        "template_sha256": template.digest,
        "attributes": attributes,
        "rules": rules_as_json(rules),
        "variants": [asdict(variant) for variant in scenarios.variants],
        "sets": list(scenarios.sets),
        "own_axes": list(scenarios.own_axes),
        "ingest": ingest,
        "preflight": predicted.as_json(),
    }


def create_plan(store: Store, run_id: str, plan: dict[str, Any]) -> dict[str, Any]:
    """Create the plan exclusively and return the one that stands: whoever was first decides."""
    store.create(plan_key(run_id), canonical_json(plan))
    return read_plan(store, run_id)


def find_plan(store: Store, run_id: str) -> dict[str, Any] | None:
    """Return a run's plan, None when it has none yet."""
    data = store.get(plan_key(run_id))
    if data is None:
        return None
    try:
        plan: dict[str, Any] = json.loads(data)
    except ValueError as error:
        raise StoreError(
            f"{store.uri}/{plan_key(run_id)} is torn: {error}. Delete the run and start it again"
        ) from error
    return plan


def read_plan(store: Store, run_id: str) -> dict[str, Any]:
    """Return a run's plan; StoreError when it has none."""
    plan = find_plan(store, run_id)
    if plan is None:
        raise StoreError(f"{store.uri} has no run {run_id}: plan.json is missing")
    return plan
