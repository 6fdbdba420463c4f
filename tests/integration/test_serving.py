"""Everything on one machine: deployments of every flow, what is cancelled or dies, and who is told of it."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from prefect.states import Scheduled
from support.nights import GRID, settings, write_config, write_inputs
from support.receivers import Webhook
from support.serving import serving, until, wait_for

from flows.recovery import process_of
from riskpipe.run.synthesis import synthesise

CANARY = "canary-0815"
DAYS = ("2026-01-05", "2026-01-06", "2026-01-07")
NIGHTS = [f"{day}T000000Z" for day in DAYS]
WITHIN_S = 60.0
"""How long a notification may take: a loaded machine takes some seconds."""


@pytest.fixture(scope="module")
def told():
    """What is sent to the address for notifications."""
    with Webhook() as webhook:
        yield webhook


@pytest.fixture(scope="module")
def served(tmp_path_factory, told):
    """`make serve` with configurations of a night, and the flow run of a process that died without a word."""
    folder = tmp_path_factory.mktemp("served")
    configs = folder / "configs"
    configs.mkdir()
    inputs = write_inputs(folder / "inputs", n_accounts=60)
    desk = settings(inputs, folder / "store", executor="local", scenarios={"grid": GRID}, book="desk")
    write_config(configs / "desk.yaml", desk)
    write_config(configs / "orphan.yaml", desk | {"executor": "serial", "block_size": 1, "book": "orphan"})
    address = f"json://127.0.0.1:{told.port}/{CANARY}"
    with serving(folder, configs, RISKPIPE_NOTIFY_URL=address) as found:
        found.orphan = orphan(found)
        yield found


def orphan(served):
    """Kill a flow that no worker watches as soon as the server has its first heartbeat; return which, and when."""
    with (
        served.start("flows", "nightly", "--config", served.configs / "orphan.yaml") as flow,
        served.client() as client,
    ):
        name = until(flow, "Beginning flow run").split("Beginning flow run '")[1].split("'")[0]
        run = client.read_flow_runs(sort="ID_DESC", limit=1)[0]
        assert run.name == name
        asked = {"event": {"name": ["prefect.flow-run.heartbeat"]}, "resource": {"id": [f"prefect.flow-run.{run.id}"]}}
        wait_for(
            lambda: client.request("POST", "/events/filter", json={"filter": asked}).json()["events"],
            timeout=WITHIN_S,
            what="the first heartbeat",
        )
        flow.kill()
    assert flow.returncode == -signal.SIGKILL
    return run.id, time.monotonic()


@pytest.fixture
def dated(served, request):
    """A book of three dated snapshots: its name, and the folder of its inputs."""
    name = re.sub(r"\W", "_", request.node.name)[5:40].strip("_")
    inputs = served.folder / name
    for n, day in enumerate(DAYS):
        synthesise(inputs / day, n_accounts=40, seed=n, as_of=f"{day}T00:00Z")
    served.write_night(name, inputs / "{date}")
    return name, inputs


def submitted(served, *options):
    return served.start("riskpipe", "submit", "desk.yaml", *options)


def message_of(told, title):
    """Wait for a notification with this title; return its text."""
    found = wait_for(
        lambda: [post["message"] for _, post in told.posts if post["title"] == title],
        timeout=WITHIN_S,
        what=f"a notification {title!r}",
    )
    return found[-1]


def test_a_night_whose_process_is_killed_is_crashed_notified_and_finished_by_the_next(served, told):
    with submitted(served, "--publish") as first:
        said = until(first, "calibrate: 0")
        pid = int(process_of(served.run_of(said)).split("/")[2])
        os.kill(pid, signal.SIGKILL)
        rest = first.communicate(timeout=60)[0]
    assert first.returncode == 4, rest
    assert served.run_of(said).state.name == "Crashed"
    assert not served.pointers("desk")
    with submitted(served, "--publish") as second:
        done = second.communicate(timeout=120)[0]
    assert second.returncode == 0, done
    assert "ingest: 0 of 1" not in done, "the stage that was done is not done again"
    assert len(served.pointers("desk")) == 1
    report = Path(re.search(r"^report:\s+(\S+)$", done, flags=re.MULTILINE)[1])
    assert report.is_file()
    text = message_of(told, "riskpipe: ad-hoc Crashed")
    # the server sends at least once: a second copy of the same words is no second story
    assert {(post["title"], post["message"]) for _, post in told.posts if "ad-hoc" in post["title"]} == {
        ("riskpipe: ad-hoc Crashed", text)
    }


def test_ctrl_c_cancels_a_submitted_night_with_its_blocks_and_leaves_nothing_visible(served):
    before, other_runs = served.pointers("desk"), set(served.store.glob("runs/*"))
    shocks = [-0.9 + n / 100 for n in range(100)]  # times 16: minutes of blocks
    with submitted(
        served, "--publish", "--set", "block_size=1", "--set", f"scenarios.grid.index_shock={shocks}"
    ) as night:
        said = until(night, "compute: 0 of")
        (mine,) = set(served.store.glob("runs/*")) - other_runs
        wait_for(lambda: len(list(mine.glob("marks/block-*.json"))) > 1, timeout=60, what="two blocks")
        night.send_signal(signal.SIGINT)
        rest = night.communicate(timeout=90)[0]
    assert night.returncode == 130, rest
    assert served.run_of(said).state.name == "Cancelled"
    assert served.pointers("desk") == before
    begun = set(mine.glob("attempts/block-*.json"))
    assert len(begun) < 1500
    time.sleep(5)
    assert set(mine.glob("attempts/block-*.json")) == begun, "no block starts once it is cancelled"


def test_a_backfill_skips_what_is_published_names_what_fails_and_ends_with_the_rest_when_run_again(served, dated):
    book, inputs = dated
    quotes = inputs / DAYS[1] / "snapshot" / "quotes.parquet"
    asked = {"config": f"{book}.yaml", "start": "2026-01-05T00:00Z", "end": "2026-01-07T00:00Z"}
    one, _ = served.ended("backfill/backfill", **asked | {"end": asked["start"]})
    assert one.state == "COMPLETED", one.message
    first = served.pointers(book)
    shutil.move(quotes, inputs / "away")
    some, said = served.ended("backfill/backfill", **asked)
    assert (some.state, some.exit_code) == ("FAILED", 5)
    assert f"1 of 3 nights are missing: {NIGHTS[1]}" in some.message
    assert "quotes" in some.message
    assert f"{NIGHTS[0]}: is published already" in said
    assert sorted(served.pointers(book)) == [f"{NIGHTS[0]}.json", f"{NIGHTS[2]}.json"]
    shutil.move(inputs / "away", quotes)
    rest, said = served.ended("backfill/backfill", **asked)
    assert rest.state == "COMPLETED", rest.message
    assert [name for name in NIGHTS if f"{name}: is published already" in said] == [NIGHTS[0], NIGHTS[2]]
    assert sorted(served.pointers(book)) == [f"{name}.json" for name in NIGHTS]
    assert first.items() <= served.pointers(book).items(), "what was published is left as it was"


def test_a_backfill_whose_process_is_killed_is_finished_by_the_next_without_what_was_done(served, dated):
    book, _ = dated
    asked = {"config": f"{book}.yaml", "start": "2026-01-05T00:00Z", "end": "2026-01-07T00:00Z", "at_once": 1}
    with served.client() as client:
        found = client.read_deployment_by_name("backfill/backfill")
        run = client.create_flow_run_from_deployment(found.id, parameters=asked)
        wait_for(lambda: served.pointers(book), timeout=120, what="the first night")
        pid = int(process_of(client.read_flow_run(run.id)).split("/")[2])
        os.kill(pid, signal.SIGKILL)
        ended = wait_for(lambda: (now := client.read_flow_run(run.id)).state.is_final() and now, timeout=60, what="end")
        assert ended.state.name == "Crashed"
    first = served.pointers(book)
    rest, said = served.ended("backfill/backfill", **asked)
    assert rest.state == "COMPLETED", rest.message
    assert {f"{name}.json" for name in NIGHTS if f"{name}: is published already" in said} == set(first)
    assert sorted(served.pointers(book)) == [f"{name}.json" for name in NIGHTS]
    assert first.items() <= served.pointers(book).items(), "what was published is left as it was"


def test_a_failing_book_stops_no_other_and_state_and_notification_name_it(served, dated, told):
    book, inputs = dated
    shutil.copytree(inputs / DAYS[0], inputs / "broken")
    (inputs / "broken" / "snapshot" / "quotes.parquet").unlink()
    for name, folder in (("bad", "broken"), ("good", DAYS[0]), ("last", DAYS[0])):
        served.write_night(name, inputs / folder, book=f"{book}-{name}")
    ended, _ = served.ended("books/books", configs=["bad.yaml", "good.yaml", "last.yaml"], urgent=["last.yaml"])
    assert (ended.state, ended.exit_code) == ("FAILED", 5)
    assert "1 of 3 nights are missing: bad.yaml" in ended.message
    assert "quotes" in ended.message
    assert len(served.pointers(f"{book}-good")) == len(served.pointers(f"{book}-last")) == 1
    assert not served.pointers(f"{book}-bad")
    text = message_of(told, "riskpipe: books Failed")
    assert ended.name in text
    assert "1 of 3 nights are missing: bad.yaml" in text


def test_a_snapshot_with_a_bad_table_is_refused_on_arrival_with_the_table_named_and_a_good_one_is_kept(
    served, dated, told
):
    book, inputs = dated
    asked = {"config": f"{book}.yaml", "as_of": "2026-01-06T00:00Z"}
    table = inputs / DAYS[1] / "snapshot" / "positions.parquet"
    whole = table.read_bytes()
    table.write_bytes(whole[: len(whole) // 2])
    refused, _ = served.ended("snapshot/snapshot", **asked)
    assert (refused.state, refused.exit_code) == ("FAILED", 1)
    assert "positions" in refused.message
    assert "positions" in message_of(told, "riskpipe: snapshot Failed")
    table.write_bytes(whole)
    kept, said = served.ended("snapshot/snapshot", **asked)
    assert kept.state == "COMPLETED", kept.message
    assert "of 2026-01-06T000000Z is kept" in said
    assert not served.pointers(book), "an arrival publishes nothing"


def test_a_run_that_nobody_starts_is_told_as_late(served, told):
    with served.client() as client:
        found = client.read_deployment_by_name("snapshot/snapshot")
        client.create_work_queue("closed", is_paused=True, work_pool_name="riskpipe")
        due = Scheduled(scheduled_time=datetime.now(UTC) - timedelta(minutes=5))
        run = client.create_flow_run_from_deployment(found.id, work_queue_name="closed", state=due)
        text = message_of(told, "riskpipe: snapshot is late")
        client.delete_flow_run(run.id)
    assert run.name in text
    assert "has not started" in text


def test_a_flow_that_died_with_nobody_to_report_it_is_crashed_for_want_of_heartbeats_and_told(served, told):
    run, killed = served.orphan
    with served.client() as client:
        left = killed + 100 + WITHIN_S - time.monotonic()
        ended = wait_for(
            lambda: (now := client.read_flow_run(run)).state.is_final() and now,
            timeout=max(left, 1.0),
            what="the flow run that died is marked",
        )
    assert ended.state.name == "Crashed"
    assert "no heartbeat for 100 s" in ended.state.message
    assert "no heartbeat for 100 s" in message_of(told, "riskpipe: nightly Crashed")


def read(url):
    with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310  the test's own servers
        assert answer.status == 200
        return answer.read().decode()


def n_workers(metrics):
    return sum(float(n) for n in re.findall(r"^dask_scheduler_workers\{.*\} (\S+)$", metrics, flags=re.MULTILINE))


def workers_of(served):
    """Return the ids of the processes of Dask workers below the command."""
    found = set()
    for one in psutil.Process(served.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has ended meanwhile
            if "distributed.cli.dask_worker" in one.cmdline():
                found.add(one.pid)
    return found


def test_pages_of_prefect_and_dask_are_served_and_a_worker_that_dies_is_started_again(served):
    addresses = (served.folder / "home" / "serve.txt").read_text()
    prefect = re.search(r"Prefect: (\S+)", addresses)[1]
    status = re.search(r"dashboard: (\S+)", addresses)[1]
    metrics = status.replace("/status", "/metrics")
    assert "<title>Prefect Server</title>" in read(prefect)
    assert "Dask" in read(status)
    assert n_workers(read(metrics)) == 1
    old = workers_of(served)
    assert old
    for group in {os.getpgid(pid) for pid in old}:
        os.killpg(group, signal.SIGKILL)
    wait_for(lambda: (now := workers_of(served)) and not old & now, timeout=WITHIN_S, what="another process")
    wait_for(lambda: n_workers(read(metrics)) == 1, timeout=WITHIN_S, what="another worker")


def test_a_second_one_says_that_one_is_running_and_where(served):
    second = subprocess.run(
        served.command, env=served.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert second.returncode == 2
    assert served.environment["PREFECT_API_URL"].removesuffix("/api") in second.stderr


def test_the_secret_of_notifications_is_in_no_log_and_no_result(served):
    files = [path for path in served.folder.rglob("*") if path.is_file() and "prefect.db" not in path.name]
    assert any("flows.log" in path.name for path in files)
    assert not [path for path in files if CANARY.encode() in path.read_bytes()]
