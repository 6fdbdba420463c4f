"""The image's file: linted, pinned, without root; its entrypoint and its secrets do what they say."""

import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support.deployed import INFRA, compose, entrypoint_secrets

ROOT = INFRA.parent
CONTAINER = INFRA / "container"
TEXT = (CONTAINER / "Containerfile").read_text(encoding="utf-8")


def test_the_linter_of_container_files_finds_nothing():
    beside = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([beside, CONTAINER / "Containerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_does_not_run_as_root_and_its_base_has_an_exact_version():
    assert re.findall(r"^USER (.*)$", TEXT, flags=re.MULTILINE) == ["10001:10001"]
    assert re.search(r"^ARG BASE=python:3\.\d+\.\d+-slim-\w+$", TEXT, flags=re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", TEXT, flags=re.MULTILINE)) == {"${BASE}"}


def test_everything_that_is_copied_exists_and_is_sent_to_the_builder():
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", TEXT, flags=re.MULTILINE)
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"
    }
    for name in " ".join(copied).split():
        assert (ROOT / name).exists()
        assert any(Path(name).is_relative_to(one) for one in allowed), name


def pins(path):
    return set(re.findall(r"^([\w.-]+)(?:\[[^\]]+\])?==(\S+)", path.read_text(encoding="utf-8"), flags=re.MULTILINE))


def test_the_images_lock_has_the_versions_that_tests_run_with_a_hash_each_and_no_tools_of_developers():
    image, tests = pins(CONTAINER / "requirements.lock"), pins(ROOT / "requirements.lock")
    assert image
    assert image - tests == set()
    text = (CONTAINER / "requirements.lock").read_text(encoding="utf-8")
    blocks = re.split(r"^(?=[\w.-]+(?:\[|==))", text, flags=re.MULTILINE)[1:]
    assert len(blocks) == len(image), "a version for each platform or Python that needs its own"
    assert all("--hash=sha256:" in block for block in blocks)
    assert not {"pytest", "moto", "mypy", "ruff", "kubernetes"} & {name for name, _ in image}


def run_entrypoint(environment, *command):
    return subprocess.run(
        ["sh", CONTAINER / "entrypoint.sh", *command], env={"PATH": os.environ["PATH"]} | environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("name", sorted(entrypoint_secrets()))
def test_the_entrypoint_gives_the_command_each_secret_of_a_file_and_not_the_files_name(name, tmp_path):
    (tmp_path / "secret").write_text("a $(b) 'c'\n")
    done = run_entrypoint({f"{name}_FILE": str(tmp_path / "secret")}, "sh", "-c", f'echo "${name}|${{{name}_FILE-}}"')
    assert done.stdout == "a $(b) 'c'|\n"


def test_the_entrypoint_leaves_a_secret_unset_whose_file_is_empty_and_ends_where_there_is_no_file(tmp_path):
    (tmp_path / "empty").touch()
    empty = run_entrypoint(
        {"RISKPIPE_NOTIFY_URL_FILE": str(tmp_path / "empty")}, "sh", "-c", "echo ${RISKPIPE_NOTIFY_URL-none}"
    )
    assert empty.stdout == "none\n"
    missing = run_entrypoint({"RISKPIPE_NOTIFY_URL_FILE": str(tmp_path / "missing")}, "echo", "started")
    assert missing.returncode
    assert missing.stdout == ""


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1), (204, 1)])
def test_a_container_is_healthy_when_its_page_answers_200(status, code):
    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/health"
        assert healthy(url) == code
        server.shutdown()
    assert healthy(url) == 1, "nobody answers"


def healthy(url):
    environment = os.environ | {"RISKPIPE_HEALTH_URL": url}
    return subprocess.run(
        [sys.executable, CONTAINER / "healthy.py"], env=environment, capture_output=True, check=False
    ).returncode


@pytest.mark.skipif(shutil.which("openssl") is None, reason="secrets are made with openssl")
def test_secrets_are_made_once_all_that_is_asked_for_and_certificates_hold(tmp_path):
    from riskpipe.compute.security import tls_files

    def make():
        command = ["sh", INFRA / "make-secrets.sh", tmp_path / "secrets", "IP:192.0.2.1"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    first = make()
    assert first.returncode == 0, first.stderr
    folder = tmp_path / "secrets"
    assert {Path(one["file"]).name for one in compose()["secrets"].values()} <= {path.name for path in folder.iterdir()}
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "ca.key").stat().st_mode & 0o077 == 0
    secrets = {name: (folder / name).read_text() for name in ("postgres_password", "prefect_auth", "s3_secret_key")}
    assert all(len(secret.strip()) >= 48 for secret in secrets.values())
    assert not [secret for secret in secrets.values() if secret.strip() in first.stdout]
    for name, purpose in (("node", "sslserver"), ("node", "sslclient"), ("s3", "sslserver")):
        check = ["openssl", "verify", "-purpose", purpose, "-CAfile", folder / "ca.pem", folder / f"{name}.pem"]
        assert subprocess.run(check, capture_output=True, check=False).returncode == 0
    ours = {"ca": folder / "ca.pem", "cert": folder / "node.pem", "key": folder / "node.key"}
    assert tls_files({name: str(path) for name, path in ours.items()}) is not None
    again = make()
    assert again.returncode == 2
    assert {name: (folder / name).read_text() for name in secrets} == secrets
