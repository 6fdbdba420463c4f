"""A Prefect server on PostgreSQL: it records nights, and nights outlive it and its database."""

import time

import pytest
from chaos.laws import nothing_or_right, right
from chaos.orchestration import Prefect
from chaos.processes import Processes, wait_until
from chaos.scene import LONGEST_S
from support.nights import marks
from support.postgresql import PASSWORD, Postgresql, why_no_postgresql

WHY_NOT = why_no_postgresql()
pytestmark = [pytest.mark.system, pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))]
STAGES = "ingest calibrate scenarios compute validate spreads exhaustion attribution accounts seal report"


@pytest.fixture(scope="module")
def database():
    with Postgresql() as server:
        yield server


@pytest.fixture(scope="module")
def prefect(database, tmp_path_factory):
    server = Prefect(tmp_path_factory.mktemp("prefect"), PREFECT_API_DATABASE_CONNECTION_URL=database.url)
    with server.processes:
        yield server


@pytest.fixture
def start(prefect, scene, tmp_path):
    """Start the night as a flow; give its command and its store. What is left of it is killed at the end."""
    with Processes(tmp_path, **prefect.environment) as processes:

        def started():
            config = scene.config(tmp_path, tmp_path / "store")
            return processes.start("flow", "-m", "flows", "nightly", "--config", config), tmp_path / "store"

        yield started


def states(database):
    """Count flow runs by the states in which the database has them."""
    return {state: int(n) for state, n in database.rows("select state_name, count(*) from flow_run group by 1")}


def newest(database):
    """Give the newest flow run's id, as the database has it."""
    return database.rows("select id from flow_run order by created desc limit 1")[0][0]


def in_the_middle(night, store):
    wait_until(lambda: night.is_over or len(marks(store)) >= 3, timeout=LONGEST_S, what="three blocks are done")
    assert not night.is_over, night.output


def tasks_of(database, run):
    """Give names and states of a flow run's tasks, in the order in which they started."""
    asked = f"select name, state_name from task_run where flow_run_id = '{run}' order by start_time"
    return [(name.rsplit("-", 1)[0], state) for name, state in database.rows(asked)]


def state_of(database, run):
    return database.rows(f"select state_name from flow_run where id = '{run}'")[0][0]


def test_a_night_is_completed_in_postgresql_with_its_stages_and_artifacts(prefect, database, scene, start):
    night, store = start()
    night.succeeds(2 * LONGEST_S)
    right(scene, store)
    run = newest(database)
    assert state_of(database, run) == "Completed"
    expected = [(name, "Completed") for name in ("open", *STAGES.split(), "publish", "changes")]
    # a server writes down its tasks' states seconds after it was told of them
    wait_until(lambda: tasks_of(database, run) == expected, timeout=60, what=f"{expected}")
    keys = {key for (key,) in database.rows(f"select key from artifact where flow_run_id = '{run}'")}
    assert keys >= {"riskpipe-headlines", "riskpipe-result", "riskpipe-summary"}
    home = prefect.processes.folder / "home"
    assert not list(home.glob("*.db")), "nothing is kept beside PostgreSQL"


@pytest.mark.parametrize("what", ["server", "database"])
def test_a_night_outlives_a_server_or_a_database_that_is_killed_and_comes_back(what, prefect, database, scene, start):
    completed = states(database).get("Completed", 0)
    night, store = start()
    in_the_middle(night, store)
    victim = prefect.server.kill_all if what == "server" else database.kill
    victim()
    time.sleep(3.0)
    (prefect.start if what == "server" else database.start)()
    prefect.wait()
    ended = night.wait(2 * LONGEST_S)
    if ended.code:  # nothing half done, no false success, and the same command finishes it
        nothing_or_right(scene, store)
        assert states(database).get("Completed", 0) == completed
        night, store = start()
        night.succeeds(2 * LONGEST_S)
    right(scene, store)
    assert states(database)["Completed"] == completed + 1


def test_the_databases_password_is_in_no_log_and_no_table(prefect, database, start):
    night, _ = start()
    night.succeeds(2 * LONGEST_S)
    logs = [command.output for command in (night, prefect.server)]
    assert not [log for log in logs if PASSWORD in log]
    assert PASSWORD not in str(database.rows("select message from log"))
