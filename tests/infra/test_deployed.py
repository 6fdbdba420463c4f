"""Whatever is deployed runs commands that exist, with settings that something reads and secrets by reference."""

import re
from pathlib import Path

import pytest
from support.deployed import INFRA, compose_containers, entrypoint_secrets, kubernetes_containers

ROOT = INFRA.parent
CONTAINERS = {one.where: one for one in (*compose_containers(), *kubernetes_containers())}
OWN = {where: one for where, one in CONTAINERS.items() if one.is_own}
SECRET = re.compile(r"PASSWORD|AUTH_STRING|SECRET|ACCESS_KEY|NOTIFY_URL|TOKEN")


def parse_riskpipe(words):
    from typer.main import get_command

    from riskpipe.cli import app

    group = get_command(app)
    command = group.commands[words[0]]
    command.make_context(words[0], list(words[1:]))  # parses, and runs nothing


def parse_flows(words):
    from flows.__main__ import _parser

    _parser().parse_args(words)


def parse_prefect(words):
    from prefect.cli._app import _app

    _app.parse_args(list(words), exit_on_error=False, print_error=False)


def parse_script(words):
    assert (ROOT / words[0].removeprefix("/opt/riskpipe/")).is_file()


PARSERS = {
    ("riskpipe",): parse_riskpipe,
    ("python", "-m", "flows"): parse_flows,
    ("prefect",): parse_prefect,
    ("python",): parse_script,
}


def parse(command):
    for start, parser in PARSERS.items():
        if tuple(command[: len(start)]) == start:
            return parser(command[len(start) :])
    raise AssertionError(f"{command[0]} is no command of the image")


@pytest.mark.parametrize("where", OWN)
def test_a_command_is_one_that_the_image_has_with_options_that_it_knows(where):
    parse(OWN[where].command)


@pytest.mark.parametrize(
    "command", [["riskpipe", "worker", "--no-such"], ["prefect", "worker", "start", "--no-such"],
                ["python", "-m", "flows", "no-such"], ["sh", "-c", "true"]],
)  # fmt: skip
def test_a_command_that_does_not_exist_would_be_found(command):
    with pytest.raises((Exception, SystemExit)):
        parse(command)


def sources(*folders):
    return "\n".join(
        path.read_text(encoding="utf-8") for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))
    )


def is_read(name):
    """Tell whether something reads a variable: this project, Prefect's settings, or the client of object stores."""
    from prefect.settings.legacy import _get_valid_setting_names
    from prefect.settings.models.root import Settings

    if name.startswith("PREFECT_"):
        return name in _get_valid_setting_names(Settings)
    if name.startswith("AWS_"):
        return name in re.findall(r"AWS_\w+", (ROOT / "README.md").read_text(encoding="utf-8"))
    return f'"{name}"' in sources("riskpipe", "flows", "infra/container")


@pytest.mark.parametrize("where", OWN)
def test_a_variable_is_one_that_something_reads(where):
    files = entrypoint_secrets()
    unread = []
    for name in OWN[where].environment:
        base = name.removesuffix("_FILE")
        is_file = name != base and base in files
        if not is_read(base if is_file else name):
            unread.append(name)
    assert unread == []


def test_a_variable_that_nothing_reads_would_be_found():
    assert not is_read("PREFECT_SERVER_DATABASE_PASWORD")
    assert not is_read("RISKPIPE_SCHEDULE")
    assert not is_read("AWS_ENDPOINT")


@pytest.mark.parametrize("where", CONTAINERS)
def test_a_secret_is_a_reference_and_never_a_value(where):
    given = {name: value for name, value in CONTAINERS[where].environment.items() if SECRET.search(name)}
    told = {name: value for name, value in given.items() if value is not None and not value.startswith("/run/secrets/")}
    assert told == {}
    assert not [
        word for word in CONTAINERS[where].command if SECRET.search(word.upper()) and "/run/secrets/" not in word
    ]


@pytest.mark.parametrize("where", CONTAINERS)
def test_an_image_has_an_exact_version_and_names_no_registry(where):
    name, _, tag = CONTAINERS[where].image.partition(":")
    assert re.fullmatch(r"\d+\.\d+(\.\d+)?(-\w+)?", tag)
    assert "." not in name.split("/")[0]


@pytest.mark.parametrize("where", OWN)
def test_whoever_joins_the_cluster_has_a_certificate_and_speaks_tls(where):
    one = OWN[where]
    text = " ".join([*one.command, *(value or "" for value in one.environment.values())])
    assert "tcp://" not in text
    if "scheduler" in text:
        assert {"RISKPIPE_TLS_CA", "RISKPIPE_TLS_CERT", "RISKPIPE_TLS_KEY"} <= one.environment.keys()


@pytest.mark.parametrize("where", OWN)
def test_what_serves_says_where_its_health_is(where):
    ends = OWN[where].command[0] == "python"
    if ends or "prefect-server" in where:  # which Kubernetes asks over the network
        return
    url = OWN[where].environment["RISKPIPE_HEALTH_URL"]
    port = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/(?:api/)?health", url)[1]
    places = " ".join([*OWN[where].command, OWN[where].environment.get("PREFECT_WORKER_WEBSERVER_PORT", "")])
    assert port in re.findall(r"\d+", places)


@pytest.mark.parametrize("path", ["nightly.yaml", "kubernetes/nightly.yaml"])
def test_the_night_of_a_deployment_is_a_valid_configuration_that_computes_what_the_default_one_does(path):
    from riskpipe.config import load

    deployed, default = load(INFRA / path, [], None), load(ROOT / "configs/nightly.yaml", [], None)
    assert deployed.store.startswith("s3://")
    places = {"snapshot": None, "history": None, "store": ""}
    assert deployed.model_copy(update=places) == default.model_copy(update=places)


def test_no_file_names_a_registrys_host():
    for path in sorted(INFRA.rglob("*")):
        if path.is_file() and "secrets" not in path.parts:
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"docker\.io|ghcr\.io|quay\.io|gcr\.io|pypi\.org", text), path


def test_secrets_are_kept_out_of_the_repository_and_out_of_the_image():
    assert "/infra/secrets/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = [line.removeprefix("!") for line in lines if line.startswith("!")]
    assert lines[1] == "*"
    assert not [name for name in allowed if Path("infra/secrets").is_relative_to(name)]
