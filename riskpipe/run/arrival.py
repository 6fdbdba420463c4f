"""Arrival: what a night makes of its snapshots before anything is computed, and the same on a snapshot's arrival."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from riskpipe.config import RunConfig
from riskpipe.cube.books import put_book
from riskpipe.cube.store import open_store
from riskpipe.domain.book import Book
from riskpipe.domain.findings import Findings
from riskpipe.domain.instant import format_as_of
from riskpipe.domain.rules import Rules
from riskpipe.domain.scenarios import ScenarioSet
from riskpipe.domain.snapshot import Snapshot
from riskpipe.ingest.assemble import assemble
from riskpipe.ingest.controls import summary
from riskpipe.run.exhaustion import n_searched, search_of
from riskpipe.run.night import read_snapshots
from riskpipe.run.plan import dimension_sizes
from riskpipe.run.preflight import Forecast, check_limits, choose_block_size, expected_workers, forecast
from riskpipe.run.wiring import rules_of, scenarios_of, stress_findings, tables_of
from riskpipe.scenarios.walks import Search


@dataclass(frozen=True)
class Arrival:
    """A book assembled from snapshots, the rules and scenarios of its night, and what that will take."""

    book: Book
    rules: Rules
    scenarios: ScenarioSet
    search: Search
    findings: Findings
    block_size: int
    predicted: Forecast

    def summary(self) -> dict[str, Any]:
        """What the book holds, as plain values."""
        return summary(self.book, self.findings)


def arrive(config: RunConfig, snapshots: Sequence[Snapshot]) -> Arrival:
    """Assemble snapshots of one instant as a night of this configuration would, and forecast it.

    Raises InputRefused for what cannot be used, ConfigError for rules that cannot be computed or a forecast beyond the
    configuration's limits. Nothing is kept.
    """
    tables = tables_of(config, snapshots[0].as_of)
    book, findings = assemble(snapshots, max_quarantined_share=config.max_quarantined_share, venues=tables)
    rules, more = rules_of(config, book)
    findings.extend(more)
    scenarios = scenarios_of(config)
    findings.extend(stress_findings(scenarios))
    search = search_of(config, book)
    sizes = dimension_sizes(book, scenarios, search)
    block_size = choose_block_size(config, book, scenarios, sizes)
    searched = n_searched(config, search, book.n_funds)
    predicted = forecast(book, scenarios, sizes, block_size, searched, config.scenarios.simulated)
    check_limits(predicted, config.limits, expected_workers(config))
    return Arrival(book, rules, scenarios, search, findings, block_size, predicted)


def check_arrival(config: RunConfig, as_of: datetime | None = None) -> dict[str, Any]:
    """Validate the snapshots of a night to come and keep their book, so that a refusal is known before the night.

    Makes no run: what identifies it, such as the history, may still be on its way. Returns plain values for JSON;
    raises as `arrive` does.
    """
    store = open_store(config.store)
    snapshots = read_snapshots(config, as_of)
    arrival = arrive(config, snapshots)
    return {
        "as_of": format_as_of(snapshots[0].as_of),
        "snapshots": list(config.snapshots),
        "book_sha256": put_book(store, arrival.book),
        "summary": arrival.summary(),
        "findings": arrival.findings.as_json(),
        "preflight": arrival.predicted.as_json(),
        "took": arrival.predicted.as_text(expected_workers(config)),
    }
