"""What a report is made from: plain values and measures. The report computes nothing that a measure should."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import xarray as xr

from riskpipe.domain.changes import Changes
from riskpipe.domain.controls import Control
from riskpipe.domain.engine_backtest import EngineBacktest
from riskpipe.domain.findings import Findings
from riskpipe.domain.limits import LimitState
from riskpipe.domain.replication import Replication


@dataclass(frozen=True)
class PastNight:
    """Headlines of an earlier night over its grid: headline -> low, central, high and grade; empty = not readable."""

    as_of: str
    run_id: str
    headlines: Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class ReportInput:
    """A night's results and where they come from.

    Attributes
    ----------
    run_id, book, as_of: which night; book is the name it is published under, "" for none.
    config: resolved configuration as plain JSON values.
    versions: package -> version.
    input_hashes: file or data set -> SHA-256.
    timings: stage -> seconds.
    findings, controls: of every stage.
    replication: what was found of the figures that the snapshot reports; empty where nothing was compared.
    n_blocks: blocks computed.
    cube: the cube, for its sizes.
    measures: every measure by name, as the registry of measures takes them.
    entity_labels: labels of the entities by index; those absent are shown by their number.
    sources: where the snapshots say their data come from, as "synthetic accounts"; empty where none says so.
    preflight: what was forecast of the run, predicted and measured, in words; empty where it is not at hand.
    slow_blocks: block, scenarios, seconds, host and tries of those that took longest; empty where it is not at hand.
    summary: the book in a few numbers, as the room of ingest counts them; None where it is not at hand.
    limits: what was found of the limits configured, the worst first.
    changes: what has changed since the previous night; None where there is none, or it is not known yet.
    engine_backtest: liquidations reported since, held against the engine; None where none are reported, or not yet.
    nights: headlines of the book's last published nights before this one, the oldest first.
    """

    run_id: str
    book: str
    as_of: datetime
    config: Mapping[str, Any]
    versions: Mapping[str, str]
    input_hashes: Mapping[str, str]
    timings: Mapping[str, float]
    findings: Findings
    controls: Sequence[Control]
    n_blocks: int
    cube: xr.DataTree
    measures: Mapping[str, xr.Dataset]
    entity_labels: Sequence[str] = ()
    sources: Sequence[str] = ()
    preflight: Sequence[tuple[str, str, str]] = ()
    slow_blocks: Sequence[tuple[int, str, float, str, int]] = ()
    summary: Mapping[str, Any] | None = None
    replication: Replication = field(default_factory=Replication)
    limits: Sequence[LimitState] = ()
    changes: Changes | None = None
    engine_backtest: EngineBacktest | None = None
    nights: Sequence[PastNight] = ()
