"""Events of nights: JSON lines with run, stage and block, metrics that count them, no secret in either."""

import contextlib
import json
import logging
import socket
import subprocess
import sys
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from riskpipe.compute import workers
from riskpipe.errors import ConfigError
from riskpipe.run.events import LOGGER, bound, happened
from riskpipe.run.listening import listening


def tell():
    with bound(book="desk", run_id="r1"):
        with bound(stage="compute"):
            happened("block done", block=3, seconds=2.5)
            happened("stage done", seconds=4.0)
        happened("night done", was_complete=False, bytes=1000, tries=5, blocks=4)
    happened("night failed", level=logging.ERROR, error="cannot read s3://key:canary@bucket/x")


def test_each_event_is_a_line_of_json_with_its_run_stage_and_block(capsys):
    with listening("json"):
        tell()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["block done", "stage done", "night done", "night failed"]
    assert {"run_id": "r1", "stage": "compute", "block": 3, "level": "info"}.items() <= lines[0].items()
    assert "stage" not in lines[2]
    assert "run_id" not in lines[3]
    assert "canary" not in json.dumps(lines)


def test_nobody_is_told_unless_somebody_listens(capsys, monkeypatch):
    monkeypatch.delenv("RISKPIPE_LOG_FORMAT", raising=False)
    with listening():
        tell()
    tell()
    assert capsys.readouterr() == ("", "")


def test_metrics_count_blocks_stages_bytes_and_retries_in_a_text_file(tmp_path, monkeypatch):
    file = tmp_path / "riskpipe.prom"
    monkeypatch.setenv("RISKPIPE_METRICS_FILE", str(file))
    with listening():
        tell()
    lines = file.read_text().splitlines()
    for line in (
        'riskpipe_blocks_done_total{book="desk"} 1.0',
        'riskpipe_block_seconds_sum{book="desk"} 2.5',
        'riskpipe_stage_seconds_sum{book="desk",stage="compute"} 4.0',
        'riskpipe_bytes_written_total{book="desk"} 1000.0',
        'riskpipe_block_retries_total{book="desk"} 1.0',
        'riskpipe_nights_total{book="desk",state="done"} 1.0',
        'riskpipe_nights_total{book="",state="failed"} 1.0',
    ):
        assert line in lines


def test_metrics_are_served_on_loopback_while_a_night_runs(monkeypatch):
    monkeypatch.setenv("RISKPIPE_METRICS_PORT", "0")
    with listening():
        tell()
        (metrics,) = (handler for handler in LOGGER.handlers if hasattr(handler, "port"))
        port = metrics.port
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
            assert b'riskpipe_blocks_done_total{book="desk"} 1.0' in page.read()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5)


ANOTHER_NIGHT = """
from riskpipe.run.events import bound, happened
from riskpipe.run.listening import listening
for _ in range(3):
    with listening(), bound(book="desk"):
        for _ in range(5):
            happened("block done", block=1, seconds=0.2)
            happened("stage done", stage="compute", seconds=4.0)
"""


def test_one_text_file_holds_what_all_processes_together_have_counted(tmp_path, monkeypatch):
    file = tmp_path / "riskpipe.prom"
    monkeypatch.setenv("RISKPIPE_METRICS_FILE", str(file))
    with listening():
        tell()
        others = [subprocess.Popen([sys.executable, "-c", ANOTHER_NIGHT]) for _ in range(3)]
        assert [other.wait(60) for other in others] == [0, 0, 0]
        tell()
    families = {family.name: family for family in text_string_to_metric_families(file.read_text())}
    found = {(s.name, s.labels.get("le")): s.value for f in families.values() for s in f.samples
             if s.labels["book"] == "desk"}  # fmt: skip
    assert found["riskpipe_blocks_done_total", None] == 47
    assert found["riskpipe_block_seconds_bucket", "1.0"] == 45
    assert found["riskpipe_block_seconds_bucket", "3.0"] == 47
    assert found["riskpipe_block_seconds_count", None] == 47
    assert found["riskpipe_stage_seconds_sum", None] == pytest.approx(4.0 * 47)
    assert found["riskpipe_nights_total", None] == 2


def test_a_port_that_another_night_has_is_a_warning_and_the_file_counts_all_the_same(tmp_path, monkeypatch, capsys):
    file = tmp_path / "riskpipe.prom"
    with listen_anywhere() as port:
        monkeypatch.setenv("RISKPIPE_METRICS_PORT", str(port))
        monkeypatch.setenv("RISKPIPE_METRICS_FILE", str(file))
        with listening("json"):
            tell()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (lines[0]["level"], lines[0]["event"]) == (
        "warning",
        f"RISKPIPE_METRICS_PORT: port {port} is taken, metrics of this process are not served",
    )
    assert 'riskpipe_blocks_done_total{book="desk"} 1.0' in file.read_text()


def test_a_file_that_cannot_be_written_costs_no_night(tmp_path, monkeypatch, caplog):
    (tmp_path / "riskpipe.prom").mkdir()
    monkeypatch.setenv("RISKPIPE_METRICS_FILE", str(tmp_path / "riskpipe.prom"))
    with listening():
        tell()
    assert "RISKPIPE_METRICS_FILE: cannot write metrics" in caplog.text


def test_what_clusters_warn_of_is_a_line_of_json_too(capsys):
    with listening("json"):
        workers.TROUBLE.warning("no answer within %g s from %s", 120, "tcp://127.0.0.1:4711")
    [line] = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (line["level"], line["event"]) == ("warning", "no answer within 120 s from tcp://127.0.0.1:4711")


@contextlib.contextmanager
def listen_anywhere():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("variable", "value"),
    [("RISKPIPE_METRICS_PORT", "many"), ("RISKPIPE_METRICS_FILE", "/nowhere/x.prom"), ("RISKPIPE_LOG_FORMAT", "xml")],
)
def test_what_cannot_be_listened_with_is_a_config_error(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=variable), listening():
        pytest.fail("listened")
