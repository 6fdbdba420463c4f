"""Nothing listens or connects beyond this machine without mutual TLS; with it, only certificate holders take part."""

import contextlib
import operator
import os
import sys

import psutil
import pytest
from support.certificates import write_certificates

from riskpipe.compute import clusters, make_executor
from riskpipe.compute.nodes import node_environment, scheduler_command, worker_command
from riskpipe.compute.security import VARIABLES, refuse_open, tls_files
from riskpipe.errors import ClusterLost, ConfigError
from riskpipe.run.processes import Service, free_port, listens, running


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return write_certificates(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def tls_cluster(certificates, tmp_path_factory):
    """A scheduler and two workers as processes of their own, over TLS on the loopback interface."""
    port, logs = free_port(), tmp_path_factory.mktemp("logs")
    address = f"tls://127.0.0.1:{port}"
    environment = node_environment() | {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    command = scheduler_command("127.0.0.1", port, security=certificates)
    services = [Service("scheduler", command, lambda: listens(port), logs / "scheduler.log", environment)]
    for n in range(2):
        command = worker_command(address, host="127.0.0.1", security=certificates)
        services.append(Service(f"worker-{n}", command, log=logs / f"worker-{n}.log", environment=environment))
    with running(services, timeout_s=60):
        yield address


def test_blocks_run_over_mutual_tls(tls_cluster, certificates):
    done = {}
    with make_executor(tls_cluster, security=certificates, block_timeout_s=60) as executor:
        executor.map_blocks(operator.neg, [2, 3, 4], on_done=done.__setitem__)
    assert done == {2: -2, 3: -3, 4: -4}


def test_a_client_without_a_certificate_is_refused(tls_cluster, monkeypatch):
    for variable in VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ConfigError, match="speaks TLS, but no certificate is given"), make_executor(tls_cluster):
        pytest.fail("connected without a certificate")


def test_a_client_with_a_certificate_of_another_authority_is_refused(tls_cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(clusters, "_CLIENT_TIMEOUT_S", 2.0)
    theirs = write_certificates(tmp_path / "theirs")
    with (
        pytest.raises(ClusterLost, match="is it of the scheduler's authority"),
        make_executor(tls_cluster, security=theirs),
    ):
        pytest.fail("connected with a foreign certificate")


def test_a_client_that_speaks_no_tls_gets_no_answer(tls_cluster, monkeypatch):
    monkeypatch.setattr(clusters, "_CLIENT_TIMEOUT_S", 2.0)
    plain = tls_cluster.replace("tls://", "tcp://")
    with pytest.raises(ClusterLost, match="no scheduler answers"), make_executor(plain):
        pytest.fail("connected without TLS")


@pytest.mark.parametrize(
    "address", ["tcp://10.0.0.5:8786", "tcp://example.org:8786", "0.0.0.0:8786", "tls://10.1.1.1:1"]
)
def test_an_address_beyond_loopback_is_refused_without_certificates(address):
    with pytest.raises(ConfigError, match="executor: "):
        refuse_open(address, has_tls=False, what="executor")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:8786", "tcp://localhost:1", "tcp://[::1]:8786", "inproc://a/b"])
def test_loopback_needs_no_certificate(address):
    refuse_open(address, has_tls=False, what="executor")


def test_no_node_listens_beyond_loopback_without_certificates(certificates, monkeypatch):
    for variable in VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ConfigError, match="scheduler"):
        scheduler_command("0.0.0.0", 8786)  # noqa: S104  what is refused
    with pytest.raises(ConfigError, match="worker"):
        worker_command("tcp://127.0.0.1:8786", host="192.168.1.4")
    with pytest.raises(ConfigError, match="worker"):  # a certificate is no use to who speaks without
        worker_command("tcp://127.0.0.1:8786", host="192.168.1.4", security=certificates)
    with pytest.raises(ConfigError, match="dashboard"):
        scheduler_command("127.0.0.1", 8786, dashboard="0.0.0.0:8787", security=certificates)
    assert "--tls-key" in scheduler_command("0.0.0.0", 8786, security=certificates)  # noqa: S104  over TLS


def test_certificates_come_from_the_environment_and_are_all_or_none(certificates, monkeypatch):
    for name, variable in VARIABLES.items():
        monkeypatch.setenv(variable, certificates[name])
    assert tls_files(None).cert == certificates["cert"]
    monkeypatch.delenv(VARIABLES["key"])
    with pytest.raises(ConfigError, match="RISKPIPE_TLS_KEY is missing"):
        tls_files(None)
    with pytest.raises(ConfigError, match=r"security\.key: cannot read"):
        tls_files(certificates | {"key": "/nowhere.pem"})


def listeners(older):
    """What this process and those it started listen on, as (process, address, port); older children do not count."""
    own = psutil.Process()
    begun = [child for child in own.children() if child not in older]
    found = set()
    for process in (own, *begun, *(below for child in begun for below in children(child))):
        with contextlib.suppress(psutil.NoSuchProcess):
            found |= {
                (process.pid, *connection.laddr)
                for connection in process.net_connections("tcp")
                if connection.status == psutil.CONN_LISTEN
            }
    return found


def children(process):
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.children(recursive=True)
    return []


def test_nodes_started_without_a_host_and_without_certificates_listen_on_loopback_only(tmp_path, monkeypatch):
    for variable in VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)
    older, port, done = psutil.Process().children(), free_port(), {}
    before, address = listeners(older), f"tcp://127.0.0.1:{port}"
    riskpipe = [sys.executable, "-m", "riskpipe"]
    services = [
        Service("scheduler", [*riskpipe, "scheduler", "--port", str(port)], lambda: listens(port), tmp_path / "s.log"),
        Service("worker", [*riskpipe, "worker", address], log=tmp_path / "w.log"),
    ]
    with running(services, timeout_s=60):
        with make_executor(address, block_timeout_s=60) as executor:
            executor.map_blocks(operator.neg, [2], on_done=done.__setitem__)
        opened = listeners(older) - before
    assert len({process for process, _, _ in opened}) >= 3, "scheduler, nanny and worker"
    assert {address for _, address, _ in opened} == {"127.0.0.1"}
    assert done == {2: -2}


def cluster(**kwargs):
    return {"class": "distributed.LocalCluster", "kwargs": {"n_workers": 1, "threads_per_worker": 1, **kwargs}}


def test_a_cluster_by_its_class_listens_on_loopback_only_and_runs_blocks():
    older, done = psutil.Process().children(), {}
    before = listeners(older)
    with make_executor(cluster(silence_logs=50), block_timeout_s=60) as executor:
        opened = listeners(older) - before
        executor.map_blocks(operator.neg, [2], on_done=done.__setitem__)
    assert len(opened) >= 4, "scheduler, its page, worker and nanny"
    assert {address for _, address, _ in opened} == {"127.0.0.1"}
    assert done == {2: -2}
    assert listeners(older) <= before


@pytest.mark.parametrize(
    "kwargs",
    [
        {"host": "0.0.0.0"},  # noqa: S104  what is refused
        {"dashboard_address": ":0"},
        {"worker_dashboard_address": ":0"},
    ],
)
def test_a_cluster_that_listens_beyond_loopback_is_refused_and_closed_at_once(kwargs):
    older = psutil.Process().children()
    before = listeners(older)
    with (
        pytest.raises(ConfigError, match="beyond this machine"),
        make_executor(cluster(silence_logs=50, **kwargs), block_timeout_s=60),
    ):
        pytest.fail("an executor was handed out")
    assert listeners(older) <= before


def test_nodes_are_asked_what_they_listen_on_for_their_addresses_do_not_tell(monkeypatch):
    monkeypatch.setattr(clusters, "refuse_open", lambda *_args, **_kwargs: None)  # as if the address were loopback's
    with (
        pytest.raises(ConfigError, match=r"listens there: tcp://0\.0\.0\.0"),
        make_executor(cluster(silence_logs=50, host="0.0.0.0", dashboard_address="127.0.0.1:0"), block_timeout_s=60),  # noqa: S104
    ):
        pytest.fail("an executor was handed out")


def test_over_tls_nodes_may_listen_anywhere_but_pages_may_not(certificates):
    anywhere = {"silence_logs": 50, "host": "0.0.0.0"}  # noqa: S104  over TLS
    with make_executor(cluster(**anywhere), security=certificates, block_timeout_s=60) as executor:
        done = {}
        executor.map_blocks(operator.neg, [2], on_done=done.__setitem__)
        assert done == {2: -2}
    with (
        pytest.raises(ConfigError, match=r"pages at 0\.0\.0\.0"),
        make_executor(cluster(**anywhere, dashboard_address=":0"), security=certificates, block_timeout_s=60),
    ):
        pytest.fail("an executor was handed out")
