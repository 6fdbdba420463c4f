"""The report of a night: measured from its cube, rendered with what its stages left, and rendered again on demand."""

import json
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from riskpipe.config import read_as_of
from riskpipe.cube.books import open_book
from riskpipe.cube.catalogue import pointer_of
from riskpipe.cube.layout import run_prefix
from riskpipe.cube.manifest import read_manifest
from riskpipe.cube.marks import read_attempts
from riskpipe.cube.read import open_cube
from riskpipe.cube.store import Store, open_store
from riskpipe.domain.controls import Control
from riskpipe.domain.replication import Replication
from riskpipe.errors import StoreError
from riskpipe.measures.registry import Options, take_measures
from riskpipe.report.json_form import plain
from riskpipe.report.render import render
from riskpipe.report.report_input import PastNight, ReportInput
from riskpipe.run.comparisons import Since, since_previous, since_run
from riskpipe.run.limits import keep_limits, limit_options, limit_states
from riskpipe.run.night import FOUND_BEFORE_SEAL, Night, findings_of, stage_result
from riskpipe.run.outcome import read_outcome
from riskpipe.run.plan import read_plan
from riskpipe.run.recent import recent_nights


def report_input(store: Store, run_id: str, options: Options) -> ReportInput:
    """Gather what the report of a complete run shows."""
    plan = read_plan(store, run_id)
    attributes = plan["attributes"]
    accounts = stage_result(store, run_id, "accounts")
    cube = open_cube(store.uri, run_id=run_id)
    timings: dict[str, float] = {}
    for attempt in read_attempts(store, run_id):
        # their time is not known while the report is rendered, and rendering again must give the same bytes
        if attempt.get("stage", "report") not in {"report", "publish"}:
            timings[attempt["stage"]] = timings.get(attempt["stage"], 0.0) + float(attempt["seconds"])
    outcome = read_outcome(store, run_id)
    replication = accounts.get("replication")  # runs of earlier versions kept none
    hashes = attributes["input_hashes"]
    files = {f"snapshot {n + 1}: {name}": sha for n, by in enumerate(hashes["snapshots"]) for name, sha in by.items()}
    return ReportInput(
        run_id=run_id,
        book=attributes["book"],
        as_of=datetime.fromisoformat(attributes["as_of"]),
        config=json.loads(attributes["config"]),
        versions=attributes["versions"],
        input_hashes={
            **files,
            "history rows": hashes["history"] or "none",
            "riskpipe sources": hashes["source"],
            "book": plan["book_sha256"],
            "manifest": stage_result(store, run_id, "seal")["manifest_sha256"],
        },
        timings=timings,
        findings=findings_of(store, run_id, (*FOUND_BEFORE_SEAL, "seal")),
        controls=[Control.from_json(control) for control in accounts["controls"]],
        replication=Replication.from_json(replication) if replication is not None else Replication(),
        n_blocks=len(plan["blocks"]),
        cube=cube,
        measures=take_measures(cube, options),
        entity_labels=open_book(store, plan["book_sha256"]).names("entity"),
        sources=attributes["sources"],
        summary=plan["ingest"]["summary"],
        preflight=outcome.as_rows(),
        slow_blocks=[block.as_row() for block in outcome.slowest],
    )


def report_options(night: Night) -> dict[str, Any]:
    """Return what the report shows, which is no part of the run's identity."""
    return {
        "n_worst": night.config.report.worst_cells,
        **limit_options(night.store, night.config),
        **since_previous(night).options(),
    }


def report(night: Night) -> dict[str, Any]:
    """Measure, render and keep the report; returns what to know."""
    store, run_id = night.store, night.run_id
    shown = report_input(store, run_id, Options(n_worst=night.config.report.worst_cells))
    states = keep_limits(store, run_id, night.config, night.as_of, shown.measures)
    since = since_previous(night)
    nights = recent_nights(night)
    shown = replace(shown, limits=states, changes=since.changes, engine_backtest=since.engine_backtest, nights=nights)
    for name, content in render(shown).items():
        store.write(f"{run_prefix(run_id)}/report/{name}", content)
    return {
        "headline": headline_of(store, run_id),
        "limits": [state.as_json() for state in shown.limits],
        "nights": [plain(asdict(one)) for one in nights],
    }


def headline_of(store: Store, run_id: str) -> list[str]:
    """Return what to know of a reported run, line by line."""
    points = json.loads(store.read(f"{run_prefix(run_id)}/report/report.json"))["points"]
    return [f"{point['text']} (grade {point['grade']})" if point["grade"] else point["text"] for point in points]


def markdown_of(store: Store, run_id: str) -> str:
    """Return the kept report's Markdown summary."""
    return store.read(f"{run_prefix(run_id)}/report/summary.md").decode()


def render_again(store_uri: str, *, as_of: str | None, book: str, out: Path) -> list[Path]:
    """Render a published night's report into a folder and return the files written."""
    store = open_store(store_uri, must_exist=True)
    pointer = pointer_of(store, None if as_of is None else read_as_of(as_of), book)
    read_manifest(store, pointer.run_id, pointer.manifest_sha256)
    if out.exists() and not out.is_dir():
        raise StoreError(f"cannot write the report to {out}: it is not a folder")
    out.mkdir(parents=True, exist_ok=True)
    written = []
    found = stage_result(store, pointer.run_id, "report")
    given, nights = found.get("options", {}), [PastNight(**one) for one in found.get("nights", [])]
    options = Options(n_worst=given.get("n_worst", Options.n_worst))
    since = since_run(store, pointer.run_id, given["since"]["run_id"]) if "since" in given else Since()
    shown = report_input(store, pointer.run_id, options)
    states = limit_states(store, shown.run_id)
    shown = replace(shown, limits=states, changes=since.changes, engine_backtest=since.engine_backtest, nights=nights)
    for name, content in render(shown).items():
        (out / name).write_bytes(content)
        written.append(out / name)
    return written
