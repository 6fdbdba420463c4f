"""A canary secret never appears in what a night leaves, says or sends to an orchestrator."""

import json
import shutil

import pytest
from chaos.media import surroundings
from chaos.orchestration import Prefect
from chaos.processes import Processes
from chaos.scene import LONGEST_S, night_settings
from support.nights import write_config, write_inputs
from support.receivers import Webhook
from support.s3 import Moto, environment_of

from riskpipe.cube.store import open_store

CANARIES = {name: f"canary{n}Tweet{n}secret" for n, name in enumerate(("aws", "prefect", "url", "notify"))}
REACHED = {"measure": "liquidation", "variable": "rounds", "reduce": "max", "breach": 0.0, "owner": "a", "action": "b"}


@pytest.fixture
def haystack(tmp_path):
    """Every byte that a published night, a refused one and a lost store leave: output, objects, server's database."""
    inputs = write_inputs(tmp_path / "work" / f"desk:{CANARIES['url']}@vault", n_accounts=60)
    with Moto() as s3, Webhook() as hook:
        environment = environment_of(s3.endpoint, cache=tmp_path / "cache") | {
            "AWS_SECRET_ACCESS_KEY": CANARIES["aws"],
            "PREFECT_SERVER_API_AUTH_STRING": f"desk:{CANARIES['prefect']}",
            "PREFECT_API_AUTH_STRING": f"desk:{CANARIES['prefect']}",
            "PREFECT_LOGGING_LEVEL": "DEBUG",
            "RISKPIPE_LOG_FORMAT": "json",
            "RISKPIPE_NOTIFY_URL": " ".join(
                f"json://desk:{CANARIES['notify']}@127.0.0.1:{port}/{CANARIES['notify']}" for port in (hook.port, 9)
            ),
            "RUST_LOG": "debug",
        }
        uri = f"s3://{s3.make_bucket()}/nights"
        url = f"file://desk:{CANARIES['url']}@vault/snapshot"
        changes = {"executor": "local", "n_workers": 2, "snapshot": url, "risk_limits": {"rounds": REACHED}}
        config = write_config(tmp_path / "night.yaml", night_settings(inputs, uri, block_size=12, **changes))
        server = Prefect(tmp_path / "prefect", **environment)
        with server.processes, Processes(tmp_path / "work", **server.environment) as processes:
            kept = processes.start("provision", "-m", "flows", "provision").wait(LONGEST_S)
            assert kept.code == 0, kept.output
            night = processes.start("flow", "-m", "flows", "nightly", "--config", config).wait(LONGEST_S)
            assert night.code == 6, night.output  # published, but one address was not told
            told = [sent["title"] for _, sent in hook.posts]  # by the night, and by automations of the server
            assert any(title.startswith("riskpipe: 1 limit breached") for title in told)
            assert "RISKPIPE_NOTIFY_URL-2: A Connection error" in night.output
            events = [json.loads(line) for line in night.output.splitlines() if line.startswith('{"time"')]
            assert sorted(event["block"] for event in events if event["event"] == "block done") == [0, 1]
            (inputs / "snapshot" / "quotes.parquet").write_bytes(b"not whole")
            refused = processes.start("flow", "-m", "flows", "nightly", "--config", config).wait(LONGEST_S)
            assert refused.code == 1, refused.output
            other = uri.replace("://", f"://key:{CANARIES['url']}@")
            assert processes.riskpipe("run", config, "--store", other).wait(LONGEST_S).code == 3
            lost = processes.riskpipe("runs", uri, AWS_ENDPOINT_URL="http://127.0.0.1:9", RISKPIPE_S3_RETRY_SECONDS="1")
            assert lost.wait(LONGEST_S).code == 3
            with surroundings(environment):
                store = open_store(uri)
                held = {key: store.read(key) for key in store.list("")}
        shutil.rmtree(inputs)
        files = {str(path.relative_to(tmp_path)): path for path in tmp_path.rglob("*") if path.is_file()}
        database = b"".join(path.read_bytes() for name, path in files.items() if "prefect.db" in name)
        for said in (b"preflight: 2 blocks", b"riskpipe-notify", b"quotes.parquet", b"RISKPIPE_NOTIFY_URL-2"):
            assert said in database, "the database holds logs, states and blocks"
        assert any(name.endswith("manifest.json") for name in held)
        return held | {name: path.read_bytes() for name, path in files.items() if path.name != "night.yaml"}


def test_no_secret_is_in_logs_manifests_reports_or_artifacts(haystack):
    found = [
        (name, which)
        for name, data in haystack.items()
        for which, secret in CANARIES.items()
        if secret.encode() in data
    ]
    assert not found
    assert any(b"://***@" in data for data in haystack.values()), "the URL was told, without its secret"
    assert json.loads(next(data for name, data in haystack.items() if name.endswith("manifest.json")))
