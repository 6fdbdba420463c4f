"""The command line on bad input: one clear message on stderr, the documented exit code, nothing half-written."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.nights import riskpipe_command, settings, write_config, write_inputs


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_inputs(tmp_path_factory.mktemp("inputs"), n_accounts=40)


def replace_column(path, name, change):
    table = pq.read_table(path)
    values = change(table[name].to_pylist())
    at = table.schema.get_field_index(name)
    pq.write_table(table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type)), path)


def test_a_mistyped_key_names_the_nearest_and_exits_2(inputs, tmp_path):
    config = write_config(
        tmp_path / "c.yaml", settings(inputs, tmp_path / "store", scenarois={}, venues={"alpha": {"liqidation": {}}})
    )
    found = riskpipe_command("run", config)
    assert found.returncode == 2
    assert "unknown key scenarois: did you mean 'scenarios'?" in found.stderr
    assert "unknown key venues.alpha.liqidation: did you mean 'liquidation'?" in found.stderr
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("scenarios.grid.index_shock=[]", "at least one value"),
        ("scenarios.grid.depth_factor=[0.0]", "greater than 0"),
        ("executor=tcp:nowhere", "not serial, local, tcp"),
        ("block_size=0", "greater than or equal to 1"),
        ("venues.alpha=binanse", "no file 'binanse'"),
        ("nonsense", "expected KEY=VALUE"),
        ("book=../escape", "String should match pattern"),
        ("variants.gap_share=[2.0]", "less than or equal to 1"),
    ],
)
def test_a_bad_value_is_refused_with_exit_2(inputs, tmp_path, override, said):
    config = write_config(tmp_path / "c.yaml", settings(inputs, tmp_path / "store"))
    found = riskpipe_command("run", config, "--set", override)
    assert found.returncode == 2
    assert said in found.stderr
    assert "Traceback" not in found.stderr


def test_a_broken_snapshot_lists_every_problem_exits_1_and_leaves_no_store(tmp_path):
    broken = write_inputs(tmp_path / "broken", n_accounts=40)
    replace_column(broken / "snapshot/quotes.parquet", "mark_price", lambda values: [float("nan"), *values[1:]])
    replace_column(broken / "snapshot/margin_tiers.parquet", "floor", lambda values: values[::-1])
    (broken / "snapshot/prices.parquet").rename(tmp_path / "away.parquet")
    config = write_config(tmp_path / "c.yaml", settings(broken, tmp_path / "store"))
    found = riskpipe_command("run", config)
    assert found.returncode == 1
    assert "prices" in found.stderr
    assert not (tmp_path / "store").exists()
    (tmp_path / "away.parquet").rename(broken / "snapshot/prices.parquet")
    found = riskpipe_command("run", config)
    assert found.returncode == 1
    assert "mark_price" in found.stderr
    assert "floor" in found.stderr
    assert not list((tmp_path / "store").glob("runs/*/*"))
    assert riskpipe_command("validate", broken / "snapshot").returncode == 1


def test_validate_shows_findings_and_controls_as_text_and_json(inputs):
    text = riskpipe_command("validate", inputs / "snapshot", check=True).stdout
    assert "control totals:" in text
    data = json.loads(riskpipe_command("validate", inputs / "snapshot", "--json", check=True).stdout)
    statuses = {control["name"]: control["status"] for control in data["controls"]}
    assert statuses["reported equity"] == "ok"
    assert statuses["reported maintenance margin"] == "ok"


def test_a_wrong_as_of_is_refused(inputs, tmp_path):
    config = write_config(tmp_path / "c.yaml", settings(inputs, tmp_path / "store"))
    found = riskpipe_command("run", config, "--as-of", "2026-01-06T00:00Z")
    assert found.returncode == 1
    assert "2026-01-06T000000Z" in found.stderr


def test_with_set_a_night_is_published_only_when_asked(inputs, tmp_path):
    config = write_config(tmp_path / "c.yaml", settings(inputs, tmp_path / "store", book="desk"))
    narrow = ("--set", "scenarios.grid={index_shock: [-0.2, 0.0]}")
    first = json.loads(riskpipe_command("run", config, *narrow, "--json", check=True).stdout)
    assert not first["is_published"]
    listed = json.loads(riskpipe_command("runs", tmp_path / "store", "--json", check=True).stdout)
    assert listed["published"] == []
    assert listed["unpublished"] == [{"run_id": first["run_id"], "is_complete": True}]
    second = json.loads(riskpipe_command("run", config, *narrow, "--publish", "--json", check=True).stdout)
    assert second["run_id"] == first["run_id"]
    listed = json.loads(riskpipe_command("runs", tmp_path / "store", "--json", check=True).stdout)
    assert [(night["book"], night["run_id"]) for night in listed["published"]] == [("desk", first["run_id"])]
    riskpipe_command("report", tmp_path / "store", "--book", "desk", "--out", tmp_path / "out", check=True)
    kept = next((tmp_path / "store").glob("runs/*/report/index.html")).read_bytes()
    assert (tmp_path / "out/index.html").read_bytes() == kept


def test_a_store_that_does_not_exist_is_named(tmp_path):
    found = riskpipe_command("report", tmp_path / "nowhere", "--out", tmp_path / "out")
    assert found.returncode == 3
    assert "nowhere" in found.stderr
