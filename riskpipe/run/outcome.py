"""Outcome: what a run took, beside what its preflight predicted.

Read from the records of tries, the stages' marks and the manifest's sizes; the manifest itself holds no time.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from riskpipe.cube.layout import manifest_key
from riskpipe.cube.manifest import read_manifest
from riskpipe.cube.marks import read_attempts
from riskpipe.cube.protocol import Store
from riskpipe.run.night import stage_result
from riskpipe.run.plan import read_plan
from riskpipe.run.preflight import Forecast, bytes_text, count_text, seconds_text

N_SLOWEST, N_SLOWEST_TOLD = 10, 3


@dataclass(frozen=True)
class SlowBlock:
    """A block that took long: its scenarios, seconds and host, and how often it was started."""

    block: int
    start: int
    stop: int
    seconds: float
    host: str
    tries: int

    def as_row(self) -> tuple[int, str, float, str, int]:
        """Block, scenarios, seconds, host and tries, as a table shows them."""
        return self.block, f"{self.start} to {self.stop - 1}", self.seconds, self.host, self.tries

    def as_text(self) -> str:
        """As a person reads it."""
        again = "" if self.tries == 1 else f" in try {self.tries}"
        return f"{self.block} (scenarios {self.start} to {self.stop - 1}) {seconds_text(self.seconds)}{again}"


@dataclass(frozen=True)
class Outcome:
    """What was predicted and what was measured.

    Attributes
    ----------
    workers: how many computed blocks at the same time; None before blocks are done. is_own_process: they were this very
        process (executor serial), whose memory holds what other stages left, too.
    blocks, tries: blocks done, and how often one was started.
    core_seconds: of computing and writing, over all blocks, the last try of each. load_seconds: of opening inputs and
        compiling the kernel or loading it from the cache, which each process does once.
    wall_seconds: from the moment a first process was loaded to the end of the last block; None where a run was resumed,
        for then it was not one stretch.
    worker_bytes: the most anonymous memory that a process held while it computed a block; None where the system does
        not tell.
    store_bytes: of cube and parts; None before the run has its manifest.
    n_accounts: of the book. slowest: the blocks that took longest, the slowest first.
    """

    predicted: Forecast
    workers: int | None
    is_own_process: bool
    blocks: int
    tries: int
    core_seconds: float
    load_seconds: float
    wall_seconds: float | None
    worker_bytes: int | None
    store_bytes: int | None
    n_accounts: int
    slowest: tuple[SlowBlock, ...]

    @property
    def units(self) -> float:
        """Thousands of accounts times scenarios: what costs are told per."""
        return self.n_accounts / 1000.0 * self.predicted.scenarios

    @property
    def predicted_wall_seconds(self) -> float | None:
        """What was predicted for the workers that there were."""
        return None if self.workers is None else self.predicted.wall_seconds(self.workers)

    def as_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        measured = asdict(self)
        predicted = measured.pop("predicted")
        return {"predicted": {**predicted, "wall_seconds": self.predicted_wall_seconds}, "measured": measured}

    def as_rows(self) -> list[tuple[str, str, str]]:
        """What, predicted and measured, as a person reads them; what was not measured says so."""
        wall, whose = self.predicted_wall_seconds, " (with all else in this process)" if self.is_own_process else ""
        unknown = "not measured"
        return [
            ("blocks", f"{self.predicted.blocks:,}", f"{self.blocks:,} in {count_text(self.tries, 'try', 'tries')}"),
            ("time on one core", seconds_text(self.predicted.core_seconds), seconds_text(self.core_seconds)),
            (
                "time" if self.workers is None else f"time on {count_text(self.workers, 'worker')}",
                unknown if wall is None else seconds_text(wall),
                unknown if self.wall_seconds is None else seconds_text(self.wall_seconds),
            ),
            (
                "memory of a worker",
                bytes_text(self.predicted.worker_bytes),
                unknown if self.worker_bytes is None else bytes_text(self.worker_bytes) + whose,
            ),
            (
                "stored",
                bytes_text(self.predicted.store_bytes),
                unknown if self.store_bytes is None else bytes_text(self.store_bytes),
            ),
            (
                "cost per 1,000 accounts and scenario",
                self._cost(self.predicted.core_seconds, self.predicted.store_bytes),
                self._cost(self.core_seconds, self.store_bytes),
            ),
            (
                "slowest blocks",
                f"{seconds_text(self.predicted.block_seconds)} at most",
                ", ".join(block.as_text() for block in self.slowest[:N_SLOWEST_TOLD]) or unknown,
            ),
        ]

    def _cost(self, core_seconds: float, stored: int | None) -> str:
        if not self.units:
            return "no accounts"
        bytes_each = "" if stored is None else f", {bytes_text(stored / self.units)}"
        return f"{1000.0 * core_seconds / self.units:.3g} ms of a core{bytes_each}"

    def as_text(self) -> str:
        """One line for a person."""
        return "; ".join(f"{what} {measured} (predicted {predicted})" for what, predicted, measured in self.as_rows())


def read_outcome(store: Store, run_id: str) -> Outcome:
    """Read what a run took whose blocks are done."""
    computed = stage_result(store, run_id, "compute")
    tries = [record for record in read_attempts(store, run_id) if "block" in record]
    last: dict[int, dict[str, Any]] = {}
    for record in tries:
        if record["state"] == "done" and record["finished"] >= last.get(record["block"], record)["finished"]:
            last[record["block"]] = record
    done = list(last.values())
    peaks = [record["anonymous_bytes"]["peak"] for record in done]
    objects = read_manifest(store, run_id)["objects"] if store.exists(manifest_key(run_id)) else None
    plan = read_plan(store, run_id)
    slowest = tuple(
        SlowBlock(
            block=record["block"],
            start=plan["blocks"][record["block"]][0],
            stop=plan["blocks"][record["block"]][1],
            seconds=_computing(record),
            host=record["host"],
            tries=sum(one["block"] == record["block"] for one in tries),
        )
        for record in sorted(done, key=_computing, reverse=True)[:N_SLOWEST]
    )
    return Outcome(
        predicted=Forecast(**plan["preflight"]),
        workers=computed["workers"],
        is_own_process=computed["is_serial"],
        blocks=len(done),
        tries=len(tries),
        core_seconds=sum(map(_computing, done)),
        load_seconds=sum(record["seconds"]["load"] for record in done),
        wall_seconds=_stretch(done) if computed["is_one_stretch"] else None,
        worker_bytes=max((peak for peak in peaks if peak is not None), default=None),
        store_bytes=None
        if objects is None
        else sum(entry["size"] for key, entry in objects.items() if key.startswith(("cube.zarr/", "parts/"))),
        n_accounts=int(plan["ingest"]["summary"]["accounts"]),
        slowest=slowest,
    )


def _computing(record: dict[str, Any]) -> float:
    """Seconds of a try, opening inputs and loading the kernel apart."""
    return float(record["seconds"]["compute"] + record["seconds"]["write"])


def _stretch(done: list[dict[str, Any]]) -> float:
    """Seconds from the moment a first process was loaded to the end of the last block."""
    ready = min(_instant(record["started"]) + record["seconds"]["load"] for record in done)
    return max(_instant(record["finished"]) for record in done) - ready


def _instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
