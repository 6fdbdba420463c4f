"""A cluster that a night starts over SSH, on hosts of its own: right, closed to strangers, and gone when it is over."""

import subprocess
import sys
from pathlib import Path

import pytest
from chaos.laws import right
from chaos.processes import wait_until
from chaos.scene import LONGEST_S
from support.hosts import beyond_loopback, hosts, why_no_hosts
from support.nights import attempts, marks

from riskpipe.compute.security import VARIABLES

SSHD = Path("/usr/sbin/sshd")
WHY_NOT = why_no_hosts() or (None if SSHD.exists() else "a cluster over SSH needs Debian's package openssh-server")
pytestmark = [pytest.mark.system, pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))]
PORT = 22


def make_key(path):
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path]
    subprocess.run(command, check=True, capture_output=True)
    return path.with_suffix(".pub").read_text().split()[:2]


def serve_ssh(host, folder, cache):
    """Start a server on a host, with a key of its own; return the line by which clients know it."""
    key = folder / f"{host.name}-key"
    kind, public = make_key(key)
    environment = {"PYTHONPATH": host.environment["PYTHONPATH"], "NUMBA_CACHE_DIR": cache, "NUMBA_NUM_THREADS": "1"}
    settings = {
        "ListenAddress": f"{host.address}:{PORT}",
        "HostKey": key,
        "AuthorizedKeysFile": folder / "client.pub",
        "PasswordAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
        "StrictModes": "no",
        "PidFile": "none",
        "SetEnv": " ".join(f"{name}={value}" for name, value in environment.items()),
    }
    config = folder / f"{host.name}.conf"
    config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    own_run = 'mount -t tmpfs tmpfs /run && mkdir -m 0755 /run/sshd && exec "$0" -D -e -f "$1"'
    server = host.execute("sshd", "unshare", "--mount", "sh", "-c", own_run, SSHD, config)
    wait_until(lambda: "listening" in server.output or server.is_over, timeout=30, what="sshd listens")
    assert not server.is_over, server.output
    return f"{host.address} {kind} {public}\n"


def test_a_night_over_ssh_is_right_strangers_are_refused_and_nothing_is_left_behind(scene, tmp_path):
    import numba

    cache = numba.config.CACHE_DIR or str(
        Path.home() / ".cache" / "riskpipe"
    )  # compiled already: by whatever made scene
    make_key(tmp_path / "client")
    with hosts(tmp_path / "hosts", "scheduler", "first", "second") as made:
        known = "".join(serve_ssh(host, tmp_path, cache) for host in made.values())
        (tmp_path / "known_hosts").write_text(known)
        scheduler, first, second = made.values()
        ssh_only = {f"{host.address}:{PORT}" for host in made.values()}
        connect = {"known_hosts": str(tmp_path / "known_hosts"), "client_keys": [str(tmp_path / "client")]}
        executor = {
            "class": "distributed.SSHCluster",
            "kwargs": {
                "hosts": [host.address for host in made.values()],
                "connect_options": {**connect, "username": "root"},
                "remote_python": sys.executable,
                "worker_options": {"nthreads": 1},
            },
        }
        files = {name: scheduler.environment[variable] for name, variable in VARIABLES.items()}
        config = scene.config(tmp_path, tmp_path / "store", executor=executor, security=files)
        night = scheduler.riskpipe("run", config)
        wait_until(
            lambda: night.is_over or len(marks(tmp_path / "store")) >= 1, timeout=LONGEST_S, what="a block is done"
        )
        beyond = [place for place in beyond_loopback(*made.values()) if place not in ssh_only]
        answers = first.answers_to_a_stranger(beyond)
        night.succeeds(LONGEST_S)
        right(scene, tmp_path / "store")
        records = [record for tries in attempts(tmp_path / "store").values() for record in tries]
        assert {record["host"] for record in records if record["state"] == "done"} == {first.name, second.name}
        assert len(beyond) >= 3, "scheduler and workers are reached over the network"
        assert set(answers.values()) == {"TLSV13_ALERT_CERTIFICATE_REQUIRED", "no-pages"}
        wait_until(lambda: set(beyond_loopback(*made.values())) == ssh_only, timeout=60, what="all nodes have ended")
