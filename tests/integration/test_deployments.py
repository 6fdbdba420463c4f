"""Deployments: what a schedule is due for, what is refused, what waits, what overtakes, and what takes too long."""

import itertools
import json
import re
import shutil
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from chaos.processes import Cluster, Processes
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.events.schemas.automations import AutomationCore
from prefect.states import Cancelled, Pending, Running, Scheduled
from support.faulty_proxy import Fault, FaultyProxy
from support.nights import attempts, marks
from support.s3 import Moto, environment_of, free_port
from support.serving import serving, until, wait_for

from flows.provision import AUTOMATIONS
from flows.recovery import crash_dead_runs
from riskpipe.domain.instant import format_as_of
from riskpipe.errors import ConfigError
from riskpipe.run.synthesis import synthesise
from riskpipe.strict_yaml import read_yaml

DAYS = ("2026-01-05", "2026-01-06", "2026-01-07", "2026-01-08")
RANGE = {"start": f"{DAYS[0]}T00:00Z", "end": f"{DAYS[-1]}T00:00Z"}
N_MANY = 900
MANY = {"grid": {"index_shock": [-0.9 + n / 1000 for n in range(N_MANY)]}}
"""Blocks of half a minute and more, where each is of one scenario."""
BEHIND = timedelta(minutes=90)
ENDS_S = 120.0
NOBODY = "RISKPIPE_TEST_NOBODY"
"""The variable of an address at which nobody listens."""
REACHED = {"measure": "liquidation", "variable": "rounds", "reduce": "max", "breach": 0.0, "owner": "a", "action": "b"}
UNHEARD = {"risk_limits": {"rounds": REACHED}, "alerts": {"addresses": [NOBODY], "on_breach": 10}}
"""A limit that every night is over, of which nobody can be told."""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """`make serve` with one worker, whose server looks for what is due every other second."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "configs").mkdir()
    told = {"PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2", NOBODY: f"json://127.0.0.1:{free_port()}/"}
    with serving(folder, folder / "configs", **told) as found:
        yield found


@pytest.fixture(scope="module")
def inputs(served):
    """Snapshots of four nights."""
    folder = served.folder / "inputs"
    for n, day in enumerate(DAYS):
        synthesise(folder / day, n_accounts=40, seed=n, as_of=f"{day}T00:00Z")
    return folder


def ended(client, run_id):
    """Wait for the end of a flow run."""
    return wait_for(
        lambda: (now := client.read_flow_run(run_id)).state.is_final() and now, timeout=ENDS_S, what="the run's end"
    )


def scheduled(served, config, due):
    """Let the schedule of the nightly deployment be due once, and return how its run ended."""
    with served.client() as client:
        nightly = client.read_deployment_by_name("nightly/nightly")
        assert [schedule.parameters for schedule in nightly.schedules] == [{"behind_minutes": 90}], "what is shipped"
        daily = IntervalSchedule(interval=timedelta(days=1), anchor_date=due)
        asked = {"config": config, "behind_minutes": BEHIND.seconds // 60}
        (schedule,) = client.create_deployment_schedules(nightly.id, [(daily, True)], parameters=asked)
        try:
            first = wait_for(
                lambda: [
                    run
                    for run in client.read_flow_runs(sort="EXPECTED_START_TIME_ASC", limit=200)
                    if run.parameters.get("config") == config and run.expected_start_time == due
                ],
                timeout=30,
                what="the scheduled run",
            )[0]
            return ended(client, first.id)
        finally:
            client.delete_deployment_schedule(nightly.id, schedule.id)


def soon():
    return (datetime.now(UTC) + timedelta(seconds=8)).replace(microsecond=0)


def test_a_schedule_publishes_the_snapshot_that_lies_there_at_its_own_instant(served, inputs):
    served.write_night("newest", inputs / DAYS[0])
    run = scheduled(served, "newest.yaml", soon())
    assert run.state.type == StateType.COMPLETED, run.state.message
    assert list(served.pointers("newest")) == [f"{DAYS[0]}T000000Z.json"]


def test_a_schedule_publishes_a_dated_configuration_at_its_due_time_less_what_it_is_behind(served):
    due = soon()
    name = format_as_of(due - BEHIND)
    synthesise(served.folder / "due" / name, n_accounts=40, seed=1, as_of=(due - BEHIND).isoformat())
    served.write_night("due", served.folder / "due" / "{as_of}")
    run = scheduled(served, "due.yaml", due)
    assert run.state.type == StateType.COMPLETED, run.state.message
    assert list(served.pointers("due")) == [f"{name}.json"]


def test_parameters_that_a_deployment_does_not_allow_are_refused_and_nothing_is_kept(served, inputs):
    served.write_night("mine", inputs / "{date}", store=str(served.folder / "refused"))
    (served.folder / "outside.yaml").write_text((served.configs / "mine.yaml").read_text())
    day = f"{DAYS[0]}T00:00Z"
    for deployment, asked in (
        ("backfill/backfill", {"config": "mine.yaml", **RANGE, "at_once": 0}),
        ("backfill/backfill", {"config": "mine.yaml"}),
        ("nightly/nightly", {"config": "mine.txt", "as_of": day}),
        ("nightly/nightly", {"config": "/etc/mine.yaml", "as_of": day}),
        ("nightly/nightly", {"config": "mine.yaml", "as_of": day, "behind_minutes": -1}),
        ("books/books", {"configs": []}),
    ):
        with pytest.raises(ConfigError, match="was not started"):
            served.ended(deployment, **asked)
    for asked, why in (
        ({"config": "../outside.yaml"}, "neither absolute nor with"),
        ({"config": "mine.yaml", "overrides": ["store=elsewhere"]}, "cannot set store"),
        ({"config": "mine.yaml", "overrides": ["executor.class=os.system"]}, "cannot set executor.class"),
    ):
        run, _ = served.ended("nightly/nightly", as_of=day, **asked)
        assert (run.state, run.exit_code) == ("FAILED", 2)
        assert why in run.message
    assert not (served.folder / "refused").exists()


def test_of_two_backfills_the_second_waits_for_the_first(served, inputs):
    served.write_night("waits", inputs / "{date}")
    with served.client() as client:
        backfill = client.read_deployment_by_name("backfill/backfill")
        asked = {"config": "waits.yaml", **RANGE, "end": f"{DAYS[1]}T00:00Z"}
        runs = [client.create_flow_run_from_deployment(backfill.id, parameters=asked).id for _ in range(2)]
        ends = sorted((ended(client, run) for run in runs), key=lambda run: run.start_time)
        second = client.read_flow_run_states(ends[1].id)
    assert [run.state.type for run in ends] == [StateType.COMPLETED] * 2
    assert ends[1].start_time >= ends[0].end_time
    assert "AwaitingConcurrencySlot" in [state.name for state in second]
    assert len(served.pointers("waits")) == 2


def test_a_backfill_has_as_many_nights_side_by_side_as_it_was_asked_for(served, inputs):
    store = served.folder / "two-at-once"
    served.write_night("two", inputs / "{date}", store=str(store))
    run, _ = served.ended("backfill/backfill", config="two.yaml", **RANGE, at_once=2)
    assert run.state == "COMPLETED", run.message
    spans = []
    for night in store.glob("runs/*"):
        tries = [json.loads(path.read_text()) for path in night.glob("attempts/*.json")]
        spans.append((min(one["started"] for one in tries), max(one["finished"] for one in tries)))
    assert len(spans) == len(DAYS)
    n_at_once = [sum(start <= moment < end for start, end in spans) for moment, _ in spans]
    assert max(n_at_once) == 2, spans


def test_an_urgent_book_is_done_before_a_large_one_that_began_earlier(served, inputs):
    stores = {name: served.folder / f"store-{name}" for name in ("large", "urgent")}
    served.write_night("large", inputs / DAYS[0], store=str(stores["large"]), block_size=1, scenarios=MANY)
    served.write_night("urgent", inputs / DAYS[1], store=str(stores["urgent"]), block_size=1)
    with served.start("riskpipe", "submit", "large.yaml") as large:
        wait_for(lambda: len(marks(stores["large"])) > 1, timeout=ENDS_S, what="two blocks")
        run, _ = served.ended("books/books", configs=["urgent.yaml"], urgent=["urgent.yaml"])
        n_done = len(marks(stores["large"]))
        large.send_signal(signal.SIGINT)
        large.communicate(timeout=ENDS_S)
    assert run.state == "COMPLETED", run.message
    assert n_done < N_MANY - 2, "most of the large one is still to come"
    tries = [one for block in attempts(stores["urgent"]).values() for one in block]
    last = max(one["finished"] for one in tries)
    assert last < max(one["started"] for block in attempts(stores["large"]).values() for one in block)


def test_what_is_submitted_ad_hoc_or_changed_is_complete_and_not_published(served, inputs):
    served.write_night("tried", inputs / DAYS[0])
    with served.start("riskpipe", "submit", "tried.yaml", "--set", "block_size=1") as submitted:
        said = submitted.communicate(timeout=ENDS_S)[0]
    assert submitted.returncode == 0, said
    assert "is done, not published" in said
    run, _ = served.ended("nightly/nightly", config="tried.yaml", overrides=["scenarios.grid.index_shock=[-0.2, 0.0]"])
    assert run.state == "COMPLETED", run.message
    assert run.result["is_published"] == "False"
    assert (served.store / "runs" / run.result["run_id"] / "manifest.json").exists()
    assert not served.pointers("tried")


def submitted(served, config, *options):
    with served.start("riskpipe", "submit", config, *options) as night:
        said = night.communicate(timeout=ENDS_S)[0]
    return night.returncode, said


def test_a_submitted_night_that_is_refused_ends_with_the_exit_code_of_its_refusal(served, inputs):
    torn = shutil.copytree(inputs / DAYS[0], served.folder / "torn")
    (torn / "snapshot" / "quotes.parquet").unlink()
    served.write_night("torn", torn)
    code, said = submitted(served, "torn.yaml")
    assert code == 1, said
    assert "quotes" in said
    code, said = submitted(served, "torn.yaml", "--set", "store=elsewhere")
    assert code == 2, said
    assert "cannot set store" in said


def test_a_submitted_night_that_is_complete_says_where_though_it_is_over_its_limits_or_nobody_could_be_told(
    served, inputs
):
    served.write_night("unheard", inputs / DAYS[0], **UNHEARD)
    for options, expected, words in ((), 10, "is done, not published"), (("--publish",), 6, "is done and published"):
        code, said = submitted(served, "unheard.yaml", *options)
        assert code == expected, said
        assert words in said
        assert Path(re.search(r"^report:\s+(\S+)$", said, flags=re.MULTILINE)[1]).is_file()
    assert list(served.pointers("unheard")) == [f"{DAYS[0]}T000000Z.json"]


def test_ctrl_c_on_a_night_that_is_published_already_does_not_say_that_nothing_is(served, inputs):
    served.write_night("regretted", inputs / DAYS[0], **UNHEARD)
    with served.start("riskpipe", "submit", "regretted.yaml", "--publish") as night:
        wait_for(lambda: served.pointers("regretted"), timeout=ENDS_S, what="the pointer")
        night.send_signal(signal.SIGINT)  # while it tries to tell somebody
        said = night.communicate(timeout=ENDS_S)[0]
    assert night.returncode == 130, said
    assert "cancelling; what is done stays done" in said
    assert "nothing is published" not in said
    assert served.pointers("regretted")


def test_a_changed_backfill_is_published_only_when_asked(served, inputs):
    served.write_night("changed", inputs / "{date}", executor="serial")
    day = f"{DAYS[0]}T00:00Z"
    asked = ("--config", served.configs / "changed.yaml", "--start", day, "--end", day, "--set", "block_size=1")
    for options, names in (((), []), (("--publish",), [f"{DAYS[0]}T000000Z.json"])):
        with served.start("flows", "backfill", *asked, *options) as flow:
            said = flow.communicate(timeout=ENDS_S)[0]
        assert flow.returncode == 0, said
        assert list(served.pointers("changed")) == names


def run_named(client, said):
    """Return the flow run whose beginning a command told."""
    name = re.search(r"Beginning flow run '([^']+)'", said)[1]
    return next(run for run in client.read_flow_runs(sort="ID_DESC", limit=200) if run.name == name)


def tasks_of(client, run):
    """Return how often each task of a flow run was tried."""
    found = client.read_task_runs(
        flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])), sort="ID_DESC", limit=200
    )
    return {task.name.rsplit("-", 1)[0]: task.run_count for task in found}


def test_a_flow_whose_scheduler_comes_up_late_waits_and_goes_on(served, inputs, tmp_path):
    with Processes(tmp_path) as processes:
        port = free_port()
        served.write_night("late", inputs / DAYS[0], executor=f"tcp://127.0.0.1:{port}")
        short = {"RISKPIPE_FLOW_BACK_OFF_SECONDS": "2"}
        with served.start("flows", "nightly", "--config", served.configs / "late.yaml", **short) as flow:
            said = until(flow, "Retry 1/2 will start")
            assert "no scheduler answers" in said
            assert float(re.search(r"will start ([\d.]+) second", said)[1]) < 5
            Cluster(processes, n_workers=1, port=port)
            rest = flow.communicate(timeout=ENDS_S)[0]
    assert flow.returncode == 0, rest
    assert list(served.pointers("late")) == [f"{DAYS[0]}T000000Z.json"]
    with served.client() as client:
        run = run_named(client, said)
        tried = wait_for(lambda: (n := tasks_of(client, run)).get("compute", 0) > 1 and n, timeout=30, what="two tries")
    assert tried["calibrate"] == 1
    assert run.state.type == StateType.COMPLETED


def test_a_flow_whose_object_store_is_out_for_a_moment_waits_and_goes_on(served, inputs, tmp_path):
    short = {"RISKPIPE_FLOW_BACK_OFF_SECONDS": "2", "RISKPIPE_S3_RETRY_SECONDS": "0.3"}
    with Moto() as server, FaultyProxy(server.port) as proxy:
        served.write_night("outage", inputs / DAYS[0], executor="serial", store=f"s3://{server.make_bucket()}/nights")
        is_out = is_back = False

        def outage(_method, path):
            nonlocal is_out
            is_out = is_out or "calibrate" in path
            return Fault(status=503) if is_out and not is_back else None

        proxy.rule = outage
        environment = environment_of(proxy.endpoint, cache=tmp_path) | short
        with served.start("flows", "nightly", "--config", served.configs / "outage.yaml", **environment) as flow:
            said = until(flow, "Retry 1/2 will start")
            is_back = True
            rest = flow.communicate(timeout=ENDS_S)[0]
    assert flow.returncode == 0, rest
    assert "503" in said
    assert "is done and published" in rest


def taken(client, deployment):
    """Make a flow run that a worker takes and never begins, because it dies."""
    later = Scheduled(scheduled_time=datetime.now(UTC) + timedelta(hours=1))  # until then the worker here leaves it
    run = client.create_flow_run_from_deployment(deployment, state=later)
    client.set_flow_run_state(run.id, Pending())
    return run


def test_a_run_that_its_worker_never_began_is_crashed_by_the_next_start_and_not_one_of_another_pool(served):
    with served.client() as client:
        ours = taken(client, client.read_deployment_by_name("snapshot/snapshot").id)
        client.create_work_pool(WorkPoolCreate(name="others", type="process"))
        flow = client.create_flow_from_name("theirs")
        theirs = taken(client, client.create_deployment(flow, "theirs", work_pool_name="others"))
        both = {ours.name, theirs.name}
        assert not both & set(crash_dead_runs(client)), "its worker may still begin it"
        assert both & set(crash_dead_runs(client, begins_within=timedelta(0))) == {ours.name}
        state = client.read_flow_run(ours.id).state
        assert client.read_flow_run(theirs.id).state.name == "Pending"
    assert state.name == "Crashed"
    assert "a worker has taken it and has not begun it within 0 minutes" in state.message


def test_a_run_that_its_worker_never_began_is_crashed_by_an_automation_and_one_that_has_begun_is_not(served):
    given = read_yaml(AUTOMATIONS.read_text(encoding="utf-8"), str(AUTOMATIONS))
    shipped = next(one for one in given if one["name"] == "riskpipe-never-begun-runs")
    assert shipped["trigger"]["within"] == 600
    soon = shipped | {"name": "soon", "trigger": shipped["trigger"] | {"within": 10}}
    with served.client() as client:
        snapshot = client.read_deployment_by_name("snapshot/snapshot").id
        automation = client.create_automation(AutomationCore.model_validate(soon))
        try:
            begun = taken(client, snapshot)
            client.set_flow_run_state(begun.id, Running(), force=True)
            never = taken(client, snapshot)
            assert ended(client, never.id).state.name == "Crashed"
            assert client.read_flow_run(begun.id).state.name == "Running"
        finally:
            client.delete_automation(automation)
        client.set_flow_run_state(begun.id, Cancelled(), force=True)


@pytest.mark.parametrize("n_workers", [0, 1])
def test_a_flow_that_takes_too_long_is_timed_out_at_once_and_publishes_nothing(served, inputs, tmp_path, n_workers):
    name, changes = f"long-{n_workers}", {"block_size": 1} | ({"scenarios": MANY} if n_workers else {})
    with Processes(tmp_path) as processes:
        cluster = Cluster(processes, n_workers=n_workers)
        served.write_night(name, inputs / DAYS[0], executor=cluster.address, **changes)
        short = {"RISKPIPE_FLOW_TIMEOUT_SECONDS": "20"}
        with served.start("flows", "nightly", "--config", served.configs / f"{name}.yaml", **short) as flow:
            said = until(flow, "compile: 1 of 1")  # then it waits for a worker, or for blocks
            rest = flow.communicate(timeout=40)[0]
    assert flow.returncode == 4, rest
    assert "took too long" in rest
    assert "will start" not in rest, "what takes too long is not tried again"
    assert not served.pointers(name)
    with served.client() as client:
        assert run_named(client, said).state.name == "TimedOut"


def test_ctrl_c_ends_several_nights_within_seconds_and_tries_none_again(served, inputs):
    names = ["one", "other"]
    for name in names:
        served.write_night(name, inputs / DAYS[0], block_size=1, scenarios=MANY)
    files = [served.configs / f"{name}.yaml" for name in names]
    with served.start("flows", "books", *files) as flow:
        until(flow, "scenarios: 0 of")
        flow.send_signal(signal.SIGINT)
        rest = flow.communicate(timeout=25)[0]
    assert flow.returncode == 130, rest
    assert "will start" not in rest, "what was interrupted is not tried again"
    assert not list(itertools.chain(*map(served.pointers, names)))
