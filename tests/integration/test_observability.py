"""What a real night on a cluster tells whoever watches it agrees with what its blocks left behind."""

import json
import os
import shutil
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
from support.nights import attempts, metrics_of, riskpipe_command, settings, write_config

N_BLOCKS = 8


@pytest.fixture(scope="module")
def watched(inputs, tmp_path_factory):
    """A night on local workers with everything on: its folder, result, lines of JSON and metrics by name and labels."""
    folder = tmp_path_factory.mktemp("watched")
    config = write_config(
        folder / "c.yaml", settings(inputs, folder / "s", block_size=8, executor="local", n_workers=2)
    )
    environment = os.environ | {"RISKPIPE_METRICS_FILE": str(folder / "riskpipe.prom")}
    found = riskpipe_command(
        "run", config, "--log-format", "json", "--performance", "--json", check=True, env=environment
    )
    result = json.loads(found.stdout)
    return {
        "run": folder / "s" / "runs" / result["run_id"],
        "result": result,
        "events": [json.loads(line) for line in found.stderr.splitlines()],
        "metrics": metrics_of(folder / "riskpipe.prom"),
        "attempts": attempts(folder / "s"),
    }


def working(record):
    return record["seconds"]["compute"] + record["seconds"]["write"]


def test_every_block_has_one_line_with_its_run_and_stage(watched):
    blocks = [event for event in watched["events"] if event["event"] == "block done"]
    assert sorted(event["block"] for event in blocks) == list(range(N_BLOCKS))
    assert sorted(event["done"] for event in blocks) == list(range(1, N_BLOCKS + 1))
    assert {(event["run_id"], event["stage"], event["total"]) for event in blocks} == {
        (watched["result"]["run_id"], "compute", N_BLOCKS)
    }
    for event in blocks:
        [record] = watched["attempts"][event["block"]]
        assert event["seconds"] == pytest.approx(sum(record["seconds"].values()))


def test_counters_equal_blocks_bytes_and_stages(watched):
    metrics, measured = watched["metrics"], watched["result"]["preflight"]["measured"]
    assert metrics["riskpipe_blocks_done_total", None] == metrics["riskpipe_block_seconds_count", None] == N_BLOCKS
    assert metrics["riskpipe_bytes_written_total", None] == measured["store_bytes"] > 0
    assert metrics["riskpipe_nights_total", "done"] == 1
    stages = [event for event in watched["events"] if event["event"] == "stage done"]
    assert {event["stage"] for event in stages} >= {"ingest", "compute", "seal", "report"}
    for event in stages:
        assert metrics["riskpipe_stage_seconds_sum", event["stage"]] == pytest.approx(event["seconds"])


def test_the_engines_report_of_the_blocks_is_kept(watched):
    [page] = (watched["run"] / "performance").glob("*.html")
    assert b"Dask Performance Report" in page.read_bytes()


def test_the_slowest_blocks_are_the_attempts_largest_in_result_and_report(watched):
    records = sorted((one for tries in watched["attempts"].values() for one in tries), key=working, reverse=True)
    expected = [
        (one["block"], f"{8 * one['block']} to {8 * one['block'] + 7}", pytest.approx(working(one)), one["host"], 1)
        for one in records
    ]
    slowest = watched["result"]["preflight"]["measured"]["slowest"]
    assert [(one["block"], one["seconds"]) for one in slowest] == [(row[0], row[2]) for row in expected]
    table = pq.read_table(watched["run"] / "report" / "slow_blocks.parquet").to_pylist()
    assert [tuple(row.values()) for row in table] == expected
    assert "Blocks that took longest" in (watched["run"] / "report" / "index.html").read_text()


def test_the_cost_is_that_of_the_attempts(watched):
    seconds = sum(working(one) for tries in watched["attempts"].values() for one in tries)
    stored = sum(
        path.stat().st_size
        for name in ("cube.zarr", "parts")
        for path in (watched["run"] / name).rglob("*")
        if path.is_file()
    )
    units = 150 / 1000 * 64  # thousands of accounts times scenarios
    cost = f"{1000 * seconds / units:.3g} ms of a core, "
    rows = pq.read_table(watched["run"] / "report" / "preflight.parquet").to_pylist()
    [told] = [row["measured"] for row in rows if row["what"].startswith("cost")]
    assert told.startswith(cost)
    assert 0.5 < float(told.removeprefix(cost).split()[0]) * 1000 / (stored / units) < 2, told


def test_flows_over_several_nights_tell_every_block_of_every_book(inputs, tmp_path):
    shutil.copytree(inputs / "snapshot", tmp_path / "2026-01-05")
    dated = {"snapshot": str(tmp_path / "{date}"), "book": "later"}
    books = [
        write_config(tmp_path / f"{name}.yaml", settings(inputs, tmp_path / "s", block_size=32) | changes)
        for name, changes in {"one": {"book": "one"}, "two": {"book": "two"}, "later": dated}.items()
    ]
    home = os.environ | {"PREFECT_HOME": str(tmp_path / "prefect"), "RISKPIPE_LOG_FORMAT": "json"}
    night = "2026-01-05T00:00Z"
    told = [
        subprocess.run(
            [sys.executable, "-m", "flows", *map(str, command)], env=home, capture_output=True, text=True, check=True
        ).stderr
        for command in (("books", *books[:2]), ("backfill", "--config", books[2], "--start", night, "--end", night))
    ]
    events = [json.loads(line) for output in told for line in output.splitlines() if line.startswith('{"time"')]
    blocks = [(event["book"], event["block"]) for event in events if event["event"] == "block done"]
    assert sorted(blocks) == [(book, block) for book in ("later", "one", "two") for block in (0, 1)]
