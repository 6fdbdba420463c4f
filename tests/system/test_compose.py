"""The compose file's own commands, settings, secrets and health checks, each service on a host of its own.

No container runs: that the image holds what the commands need, and that networks keep strangers apart, is not tried.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from chaos.processes import ROOT, wait_until
from chaos.scene import LONGEST_S
from support.deployed import INFRA, compose
from support.hosts import hosts, why_no_hosts
from support.postgresql import Postgresql, why_no_postgresql

from riskpipe.compute.security import VARIABLES

WHY_NOT = why_no_hosts() or why_no_postgresql() or (None if shutil.which("wget") else "a health check asks with wget")
pytestmark = [pytest.mark.system, pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))]
SERVICES = compose()["services"]
IMAGE = "/opt/riskpipe"
ENTRYPOINT = INFRA / "container" / "entrypoint.sh"
BIN = Path(sys.executable).parent
START_S = 240.0
COMPARE = "import sys; from support.nights import *; assert_same_bits(decoded(sys.argv[1]), decoded(sys.argv[2]))"


def own_places(words):
    """Name files of the image as they lie here."""
    return [word.replace(IMAGE, str(ROOT)) for word in words]


class Composed:
    """Services started in the order in which they wait for each other."""

    def __init__(self, made, folder, configs, secrets):
        self.hosts, self._folder, self._configs, self._secrets = made, folder, configs, secrets
        self.commands = {}
        self.database = None
        shown = folder / "run-secrets"
        shown.mkdir(mode=0o700)
        for name, one in compose()["secrets"].items():
            shutil.copyfile(secrets / Path(one["file"]).name, shown / name)
        names = folder / "hosts"
        names.write_text("".join(f"{host.address} {name}\n" for name, host in made.items()) + "127.0.0.1 localhost\n")
        for host in made.values():
            for variable in VARIABLES.values():
                del host.environment[variable]  # certificates are the compose file's own
            host.wear(names, shown)

    def environment(self, name):
        """Return what the image and the compose file set, with this machine's places for the image's."""
        places = {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "RISKPIPE_CACHE": str(self._folder / "cache"),
            "PREFECT_HOME": str(self._folder / name / "prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }
        if "RISKPIPE_CONFIGS" in SERVICES[name]["environment"]:
            places["RISKPIPE_CONFIGS"] = str(self._configs)
        return {**SERVICES[name].get("environment", {}), **places}

    def start(self, name):
        one = SERVICES[name]
        for other, until in one.get("depends_on", {}).items():
            if until["condition"] == "service_healthy":
                wait_until(lambda who=other: self.is_healthy(who), timeout=START_S, what=f"{other} is healthy")
            else:
                self.commands[other].succeeds(START_S)
        host = self.hosts[name]
        if name == "postgres":
            secret = self.secrets()["postgres_password"]
            user = one["environment"]["POSTGRES_USER"]
            self.database = Postgresql(
                user=user, password=secret, port=5432, launcher=host.launcher, network="192.0.2.0/24"
            )
        elif name == "s3":
            data = self._folder / "objects"
            data.mkdir()
            words = [word.replace("-dir=/data", f"-dir={data}") for word in one["command"]]
            self.commands[name] = host.execute(name, BIN / "weed", *words)
        else:
            self.commands[name] = host.execute(name, ENTRYPOINT, *own_places(one["command"]), **self.environment(name))

    def is_healthy(self, name):
        """Ask a service's own health check, on its own host."""
        time.sleep(0.5)
        host = self.hosts[name]
        if name == "postgres":
            return self.database is not None  # it waited until it answered
        test = own_places(SERVICES[name]["healthcheck"]["test"][1:])
        environment = {**host.environment, **(self.environment(name) if name != "s3" else {})}
        done = subprocess.run([*host.launcher, *test], env=environment, capture_output=True, check=False)
        assert not self.commands[name].is_over, self.commands[name].output[-3000:]
        return done.returncode == 0

    def secrets(self):
        """Return what nobody may read in a log."""
        found = (path for path in self._secrets.iterdir() if path.name.endswith(("_password", "_auth", "_key")))
        return {path.name: path.read_text(encoding="ascii").strip() for path in found}

    def ask(self, *arguments, **environment):
        """Run a command of riskpipe where the Prefect server is published, as somebody on that machine would."""
        api = {"PREFECT_API_URL": "http://127.0.0.1:4200/api", "PREFECT_HOME": str(self._folder / "someone")}
        return self.hosts["prefect"].riskpipe(*arguments, **{**api, **environment})


@pytest.fixture(scope="module")
def composed(scene, tmp_path_factory):
    folder = tmp_path_factory.mktemp("composed")
    secrets = folder / "secrets"
    subprocess.run(["sh", INFRA / "make-secrets.sh", secrets], check=True, capture_output=True)
    configs = folder / "configs"
    scene.config(configs, "s3://riskpipe/nights", executor="local")
    with hosts(folder, *SERVICES) as made:
        running = Composed(made, folder, configs, secrets)
        try:
            for name in ("postgres", "s3", "scheduler", "prefect", "worker", "provision", "store", "flows"):
                running.start(name)
            wait_until(lambda: running.is_healthy("flows"), timeout=START_S, what="flows are healthy")
            wait_until(lambda: running.is_healthy("worker"), timeout=START_S, what="the worker is healthy")
            yield running
        finally:
            if running.database is not None:
                running.database.close()


@pytest.fixture(scope="module")
def night(composed):
    """A night that was submitted, and how it ended: whatever has something to say has said it."""
    auth = composed.secrets()["prefect_auth"]
    return composed.ask("submit", "night.yaml", "--publish", PREFECT_API_AUTH_STRING=auth).succeeds(2 * LONGEST_S)


def test_a_night_is_submitted_computed_and_kept_as_the_compose_file_says(composed, night, scene):
    assert "is done and published" in night.output
    flows, environment, store = composed.hosts["flows"], composed.environment("flows"), "s3://riskpipe/nights"

    def at_flows(name, *words):
        return flows.execute(name, ENTRYPOINT, *words, **environment).succeeds(LONGEST_S).output

    at_flows("compare", sys.executable, "-c", COMPARE, scene.clean, store)
    assert "as promised" in at_flows("verify", "riskpipe", "verify", store)
    states = composed.database.rows("select state_name from flow_run where state_type <> 'SCHEDULED'")
    assert states == [["Completed"]]


def test_nobody_is_served_without_the_password(composed):
    refused = composed.ask("submit", "night.yaml", "--publish").wait(LONGEST_S)
    assert refused.code == 2
    assert re.search(r"401|[Uu]nauthorized", refused.output)


@pytest.mark.usefixtures("night")
def test_no_secret_is_in_what_the_services_said(composed):
    secrets = composed.secrets().values()
    for name, command in composed.commands.items():
        assert command.output
        assert not [secret for secret in secrets if secret in command.output], name
