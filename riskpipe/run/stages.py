"""The stages of a night, in order: see `STAGES`."""

from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any

import numpy as np

from riskpipe.calibrate.basis import horizon_volatility
from riskpipe.calibrate.fits import FitSettings, SeriesFit
from riskpipe.calibrate.hourly import HourlySeries
from riskpipe.calibrate.market import calibrate
from riskpipe.compute import Executor
from riskpipe.compute.security import is_on_this_machine
from riskpipe.cube.books import is_whole, open_book, put_book
from riskpipe.cube.digest import canonical_json, sha256
from riskpipe.cube.layout import cube_prefix, part_key, plan_key, run_prefix
from riskpipe.cube.manifest import Wrote, write_manifest
from riskpipe.cube.marks import read_marks
from riskpipe.cube.parts import merge_parts, read_part
from riskpipe.cube.read import open_cube
from riskpipe.cube.template import create_cube
from riskpipe.domain.book import Book
from riskpipe.domain.findings import Findings, Reason, Severity
from riskpipe.domain.market import ESTIMATORS, HORIZONS_HOURS, Market
from riskpipe.errors import ComputeError, StoreError
from riskpipe.ingest.controls import control_findings, control_totals
from riskpipe.ingest.replication import replicate
from riskpipe.liquidation.accounts import account_health
from riskpipe.numerics import numerics_fingerprint
from riskpipe.run.arrival import arrive
from riskpipe.run.attribution import attribute
from riskpipe.run.block import BlockJob, compute_block, open_kernel
from riskpipe.run.events import happened
from riskpipe.run.exhaustion import search_exhaustion, search_of
from riskpipe.run.fits import fit_all, keep_fits, read_fits, score_all
from riskpipe.run.holdings import book_group
from riskpipe.run.identity import versions
from riskpipe.run.inputs import read_market, read_scenarios, rules_from_json, write_market, write_scenarios
from riskpipe.run.night import FOUND_BEFORE_SEAL, WRITTEN_BEFORE_SEAL, Night, Stage, findings_of, stage_result
from riskpipe.run.plan import create_plan, find_plan, make_plan, read_plan, template_of
from riskpipe.run.preflight import (
    Forecast,
    check_limits,
    count_text,
    expected_workers,
    memory_warning,
    worker_memory_limit,
)
from riskpipe.run.publish import report, report_options
from riskpipe.run.spreads import measure_spreads
from riskpipe.run.wiring import index_axis, scenarios_of, with_moves


def ingest(night: Night) -> dict[str, Any]:
    """Assemble and keep the book, and create the plan that the rest of the run obeys; a book that was lost or damaged
    since is assembled and kept anew.
    """  # noqa: D205
    store, run_id = night.store, night.run_id
    plan = find_plan(store, run_id)
    if plan is not None and not is_whole(store, plan["book_sha256"]):
        kept = put_book(store, arrive(night.config, night.snapshots).book)
        if kept != plan["book_sha256"]:
            raise StoreError(
                f"run {run_id}: its book {plan['book_sha256'][:16]} is lost, and what is assembled now is another, "
                f"{kept[:16]}: delete the run and start it again"
            )
    if plan is None:
        arrival = arrive(night.config, night.snapshots)  # refuses what is over its limits before anything is kept
        ingested = {"summary": arrival.summary(), "findings": arrival.findings.as_json()}
        plan = make_plan(
            identity=night.identity,
            book=arrival.book,
            book_sha256=put_book(store, arrival.book),
            rules=arrival.rules,
            scenarios=arrival.scenarios,
            search=arrival.search,
            block_size=arrival.block_size,
            predicted=arrival.predicted,
            attributes=_attributes(night),
            ingest=ingested,
        )
        plan = create_plan(store, run_id, plan)
    return {
        "plan_sha256": sha256(store.read(plan_key(run_id))),
        "book_sha256": plan["book_sha256"],
        "preflight": plan["preflight"],
        **plan["ingest"],
    }


def _has_book(night: Night) -> bool:
    """Whether the run's book is there and whole: everything after is computed from it."""
    return is_whole(night.store, read_plan(night.store, night.run_id)["book_sha256"])


def _attributes(night: Night) -> dict[str, Any]:
    """Return the cube's root attributes: which run made it, from what."""
    inputs = night.identity.inputs
    return {
        "run_id": night.run_id,
        "run_key": night.identity.run_key,
        "as_of": night.as_of.isoformat(),
        "book": night.config.book,
        "numeraire": night.snapshots[0].numeraire,
        "sources": [snapshot.source for snapshot in night.snapshots],
        "input_hashes": {"snapshots": inputs["snapshots"], "history": inputs["history"], "source": inputs["source"]},
        "config": canonical_json(inputs["config"]).decode(),
        "versions": versions(),
    }


def _book(night: Night) -> Book:
    return open_book(night.store, read_plan(night.store, night.run_id)["book_sha256"])


def calibrate_market(night: Night) -> dict[str, Any]:
    """Calibrate and keep the market, with the models of basis volatility fitted on the night's executor."""
    plan, book = read_plan(night.store, night.run_id), _book(night)
    settings = night.config.calibration
    fits: list[SeriesFit] = []

    def fit(series: HourlySeries, asked: FitSettings) -> list[SeriesFit]:
        fits.extend(fit_all(night, series, asked))
        return fits

    market, findings = calibrate(
        book,
        rules_from_json(plan["rules"]),
        night.history,
        stable_assets=night.config.stable_assets,
        index_beta=night.config.index_beta,
        ewma_decay=settings.ewma_decay,
        minimum_observations=settings.minimum_observations,
        fit=fit,
    )
    write_market(night.store, night.run_id, market)
    keep_fits(night, book, fits)
    return {"findings": findings.as_json()}


def write_template(night: Night) -> dict[str, Any]:
    """Keep the scenarios and write the cube's template."""
    store, run_id = night.store, night.run_id
    plan = read_plan(store, run_id)
    book, planned = _book(night), scenarios_of(night.config)
    search = search_of(night.config, book)
    digest = template_of(plan["attributes"], book, planned, search, plan["block_size"]).digest
    if digest != plan["template_sha256"]:
        raise StoreError(
            f"run {run_id}: the plan was made for another cube ({plan['template_sha256'][:16]}, now "
            f"{digest[:16]}): delete the run and start it again"
        )
    scenarios, findings = with_moves(night.config, planned, book, read_market(store, run_id), night.history)
    write_scenarios(store, run_id, scenarios)
    template = template_of(plan["attributes"], book, scenarios, search, plan["block_size"])
    create_cube(store, cube_prefix(run_id), template)
    return {
        "scenarios": len(scenarios),
        "blocks": len(plan["blocks"]),
        "template_sha256": template.digest,
        "findings": findings.as_json(),
    }


def compute(night: Night) -> dict[str, Any]:
    """Compute every block that is not marked done under this machine's numerics."""
    store, run_id = night.store, night.run_id
    plan = read_plan(store, run_id)
    bounds = plan["blocks"]
    fingerprint = numerics_fingerprint().sha
    marks = read_marks(store, run_id)
    done = {block for block, mark in marks.items() if mark.fingerprint == fingerprint}
    jobs = [BlockJob(store.uri, run_id, n, start, stop) for n, (start, stop) in enumerate(bounds) if n not in done]
    n_done = len(bounds) - len(jobs)
    night.progress("compute", n_done, len(bounds))

    def on_done(job: BlockJob, receipt: Any) -> None:  # noqa: ANN401  whatever the unit returned
        nonlocal n_done
        n_done += 1
        seconds = receipt["seconds"]
        happened("block done", block=job.block, done=n_done, total=len(bounds), seconds=sum(seconds.values()))
        night.progress("compute", n_done, len(bounds))

    workers, is_serial = None, False
    if jobs:
        predicted = Forecast(**plan["preflight"])
        _preflight(night, predicted, len(jobs))
        open_book(store, plan["book_sha256"], is_verified=True)  # a damaged book stops here
        if is_on_this_machine(night.config.executor):
            _compile_once(night)
        limit = worker_memory_limit(predicted, night.config.limits)
        with night.open_executor(memory_limit_bytes=limit) as executor:
            workers, is_serial = executor.n_workers, executor.is_serial
            with _performance(night, executor):
                executor.map_blocks(compute_block, jobs, on_done=on_done)
    missing = sorted(set(range(len(bounds))) - read_marks(store, run_id).keys())
    if missing:
        raise ComputeError(f"run {run_id}: blocks {missing[:10]} came back without a done-mark: run the night again")
    return {
        "blocks": len(bounds),
        "fingerprint": fingerprint,
        "workers": workers,
        "is_serial": is_serial,
        "is_one_stretch": len(jobs) == len(bounds),
    }


def _performance(night: Night, executor: Executor) -> AbstractContextManager[None]:
    """Keep the engine's own report of the blocks beside the night's, where the configuration asks for it."""
    if not night.config.report.performance:
        return nullcontext()
    key = f"{run_prefix(night.run_id)}/performance/{datetime.now(UTC).strftime('%Y%m%dT%H%M%S%f')}.html"
    return executor.performance_report(lambda page: night.store.write(key, page))


def _preflight(night: Night, predicted: Forecast, n_jobs: int) -> None:
    """Say what the run will take; refuse what a resume's configuration no longer allows."""
    workers = expected_workers(night.config)
    check_limits(predicted, night.config.limits, workers)
    rest = (
        "" if n_jobs == predicted.blocks else f"; {count_text(n_jobs, 'block')} {'is' if n_jobs == 1 else 'are'} left"
    )
    night.say(predicted.as_text(workers) + rest)
    is_here = night.config.executor in ("serial", "local")  # a cluster by its class has no hash
    warning = memory_warning(predicted, workers) if is_here else None
    if warning is not None:
        night.say(warning)


def _compile_once(night: Night) -> None:
    """Compile here what local workers then load from the shared cache, instead of each compiling it."""
    night.progress("compile", 0, 1)
    open_kernel(night.store, night.run_id, read_plan(night.store, night.run_id)).prepare()
    night.progress("compile", 1, 1)


def write_accounts(night: Night) -> dict[str, Any]:
    """Write what no block writes: /accounts from the merged parts, /basis, /book; check what is reported."""
    store, run_id = night.store, night.run_id
    plan = read_plan(store, run_id)
    kernel, scenarios = open_kernel(store, run_id, plan), read_scenarios(store, run_id, plan)
    book = kernel.book
    health = account_health(kernel, *index_axis(scenarios))
    parts = (read_part(store, part_key(run_id, block)) for block in range(len(plan["blocks"])))
    hits, shortfall_max = merge_parts(parts, book.n_accounts, len(scenarios.sets))
    segments = np.array([*book.names("segment"), ""], dtype=object)
    instruments = np.array([*book.names("instrument"), ""], dtype=object)
    written = night.write_once(
        {
            "accounts/margin_excess": health.margin_excess,
            "accounts/equity": health.equity,
            "accounts/maintenance_margin": health.maintenance_margin,
            "accounts/distance_to_liquidation_down": health.distance_down,
            "accounts/distance_to_liquidation_up": health.distance_up,
            "accounts/main_instrument": instruments[health.main_instrument],
            "accounts/liquidation_price": health.liquidation_price,
            "accounts/margin_call_price": health.margin_call_price,
            "accounts/bankruptcy_price": health.bankruptcy_price,
            "accounts/health_factor": health.health_factor,
            "accounts/debt": health.debt,
            "accounts/toxic_fall": health.toxic_fall,
            "accounts/liquidated_scenarios": hits,
            "accounts/shortfall_max": shortfall_max,
            "accounts/weight": np.asarray(book.account_weight),
            "accounts/entity": np.array(book.names("entity"), dtype=object)[book.account_entity],
            "accounts/entity_index": book.account_entity.astype(np.float64),
            "accounts/venue": np.array(book.names("venue"), dtype=object)[book.account_venue],
            "accounts/segment": segments[book.account_segment],
            **_basis_arrays(kernel.market, read_fits(store, run_id)),
            **book_group(book, kernel.market, health),
        }
    )
    controls = control_totals(book, equity=health.equity, maintenance_margin=health.maintenance_margin)
    replication = replicate(book, equity=health.equity, maintenance_margin=health.maintenance_margin)
    return {
        "controls": [control.as_json() for control in controls],
        "replication": replication.as_json(),
        "findings": control_findings(controls).as_json(),
        **written,
    }


def _basis_arrays(market: Market, fits: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    vol = fits["basis_vol"].copy()
    vol[:, ESTIMATORS.index("ewma")] = horizon_volatility(market.basis_vol_1h, HORIZONS_HOURS)  # whatever its gate says
    vol[:, ESTIMATORS.index("realised")] = market.basis_realised_vol
    return {
        **{f"basis/{name}": values for name, values in fits.items()},
        "basis/basis_vol": vol,
        "basis/basis": market.basis,
        "basis/mean_basis": market.basis_mean,
        "basis/last_history_basis": market.basis_last,
        "basis/observations": market.basis_observations,
        "basis/innovation_max": market.basis_innovation_max,
    }


def validate(night: Night) -> dict[str, Any]:
    """Score forecasts of basis volatility over the history, and write /validation."""
    arrays, findings = score_all(night, _book(night))
    written = night.write_once({f"validation/{name}": values for name, values in arrays.items()})
    return {"findings": findings.as_json(), **written}


def spreads(night: Night) -> dict[str, Any]:
    """Measure the spreads of the book's pairs over the history and at its quotes, and write /spreads."""
    arrays, findings = measure_spreads(night, _book(night), read_market(night.store, night.run_id))
    written = night.write_once({f"spreads/{name}": values for name, values in arrays.items()})
    return {"findings": findings.as_json(), **written}


def exhaustion(night: Night) -> dict[str, Any]:
    """Search for the smallest moves that exhaust each fund, where the configuration asks for it; write /exhaustion."""
    arrays = search_exhaustion(night, _book(night))
    return night.write_once({f"exhaustion/{name}": values for name, values in arrays.items()})


def seal(night: Night) -> dict[str, Any]:
    """Reconcile blocks and write the manifest: from here on the run exists for readers and never changes."""
    store, run_id = night.store, night.run_id
    plan = read_plan(store, run_id)
    findings = findings_of(store, run_id, FOUND_BEFORE_SEAL)
    about = {
        "input_hashes": plan["attributes"]["input_hashes"],
        "run_key": plan["run_key"],
        "versions": plan["attributes"]["versions"],
        "findings_sha256": sha256(canonical_json(findings.as_json())),
    }
    bounds = [(start, stop) for start, stop in plan["blocks"]]
    marks = {name: stage_result(store, run_id, name) for name in ("ingest", "scenarios", *WRITTEN_BEFORE_SEAL)}
    wrote = Wrote(
        plan=marks["ingest"]["plan_sha256"],
        template=marks["scenarios"]["template_sha256"],
        variables={key: value for name in WRITTEN_BEFORE_SEAL for key, value in marks[name]["written"].items()},
    )
    digest = write_manifest(store, run_id, as_of=night.as_of, bounds=bounds, wrote=wrote, about=about)
    return {"manifest_sha256": digest, "findings": _computed_findings(night).as_json()}


def _computed_findings(night: Night) -> Findings:
    """Return what the cube itself shows to be careful about."""
    findings = Findings()
    cube = open_cube(night.store.uri, run_id=night.run_id)
    system, instruments = cube["system"], cube["instruments"]
    counts = (
        (Reason.MAX_ROUNDS, Severity.WARNING, system["max_rounds_hit"] > 0, "cascades were cut off at max_rounds"),
        (Reason.PRICE_LIMIT, Severity.INFO, system["price_limits_hit"] > 0, "an impact law stood at its floor or cap"),
        (
            Reason.EXTRAPOLATED,
            Severity.INFO,
            (instruments["basis_vol_is_extrapolated"] > 0).any("instrument"),
            "a basis move is beyond any innovation of the sample: its volatility is capped",
        ),
    )
    for reason, severity, is_hit, message in counts:
        rows = np.flatnonzero(is_hit.to_numpy())
        if len(rows):
            findings.add(
                severity, reason, "cube", message, count=len(rows), examples=(f"scenario {row}" for row in rows)
            )
    return findings


STAGES = (
    Stage("ingest", ingest, stands=_has_book),
    Stage("calibrate", calibrate_market),
    Stage("scenarios", write_template),
    Stage("compute", compute),
    Stage("validate", validate),
    Stage("spreads", spreads),
    Stage("exhaustion", exhaustion),
    Stage("attribution", attribute),
    Stage("accounts", write_accounts),
    Stage("seal", seal, stands=lambda night: night.is_complete),
    Stage("report", report, report_options),
)
