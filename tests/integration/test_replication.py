"""Replication of whole nights: columns filled from a first night's own figures, then spoiled for some accounts."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.nights import riskpipe_command, run_on, write_inputs

import riskpipe

SPOILED = 5e-4  # 5 bp
SCENARIOS = {"grid": {"index_shock": [-0.2, 0.0]}}


def write_reported(inputs, equity, maintenance):
    """Fill the reported columns of the snapshot's accounts; None empties them."""
    path = inputs / "snapshot" / "accounts.parquet"
    table = pq.read_table(path)
    for name, values in (("reported_equity", equity), ("reported_maintenance_margin", maintenance)):
        at = table.schema.get_field_index(name)
        column = pa.nulls(table.num_rows, pa.float64()) if values is None else pa.array(values)
        table = table.set_column(at, name, column)
    pq.write_table(table, path)
    return table


def kept_report(result):
    return json.loads((folder(result) / "report.json").read_text())


def folder(result):
    return Path(result.report).parent


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    """Three nights on one book: nothing reported, all reported as computed, 3% of each venue's accounts spoiled."""
    inputs = write_inputs(tmp_path_factory.mktemp("inputs"), n_accounts=400)
    table = write_reported(inputs, None, None)
    store = tmp_path_factory.mktemp("nights") / "store"
    silent = run_on(inputs, store, scenarios=SCENARIOS)
    accounts = riskpipe.open_cube(str(store), run_id=silent.run_id)["accounts"].to_dataset()
    figures = accounts.sel(account=table["account_id"].to_pylist())
    equity, maintenance = figures["equity"].to_numpy(), figures["maintenance_margin"].to_numpy()
    write_reported(inputs, equity, maintenance)
    whole = run_on(inputs, store, scenarios=SCENARIOS)
    venue = np.array(table["venue"].to_pylist())
    is_spoiled = np.zeros(len(venue), bool)
    for name in np.unique(venue):
        is_spoiled[np.flatnonzero((venue == name) & (maintenance > 0))[::33]] = True
    factor = np.where(is_spoiled, 1.0 + SPOILED, 1.0)
    write_reported(inputs, equity * factor, maintenance / factor)
    spoiled = run_on(inputs, store, scenarios=SCENARIOS)
    expected = {}
    weight = figures["weight"].to_numpy()
    for name in np.unique(venue):
        for figure, reported in (("equity", equity * factor), ("maintenance margin", maintenance / factor)):
            here = venue == name
            money = np.abs(reported) * weight
            expected[name, figure] = (
                weight[here & ~is_spoiled].sum() / weight[here].sum(),
                money[here & ~is_spoiled].sum() / money[here].sum(),
            )
    return inputs, store, (silent, whole, spoiled), expected, int(is_spoiled.sum())


def test_a_night_whose_snapshot_reports_nothing_is_not_checked(nights):
    _, _, (silent, _, _), _, _ = nights
    data = kept_report(silent)
    assert data["replication"]["grade"] == "not checked"
    assert {figure["grade"] for figure in data["key_figures"]["figures"]} <= {"not checked", "C"}
    assert any("replication not checked (" in line for line in silent.headline)


def test_figures_reported_as_they_are_computed_are_all_matched(nights):
    _, _, (_, whole, _), expected, _ = nights
    found = kept_report(whole)["replication"]
    assert found["grade"] == "A"
    assert found["mismatches"] == []
    assert len(found["figures"]) == len(expected) == 4
    assert {(one["share_of_accounts"], one["share_of_usd"]) for one in found["figures"]} == {(1.0, 1.0)}


def test_spoiled_accounts_are_missing_from_the_shares_of_their_venue_and_listed(nights):
    _, _, (_, _, spoiled), expected, n_spoiled = nights
    data = kept_report(spoiled)
    found = {(one["venue"], one["figure"]): one for one in data["replication"]["figures"]}
    assert found.keys() == expected.keys()
    for key, shares in expected.items():
        assert (found[key]["share_of_accounts"], found[key]["share_of_usd"]) == pytest.approx(shares, rel=1e-12)
    lowest = min(min(shares) for shares in expected.values())
    grade = "A" if lowest >= 0.99 else "B" if lowest >= 0.95 else "C"
    assert data["replication"]["grade"] == grade != "A"
    assert sum(one["n_mismatched"] for one in found.values()) == 2 * n_spoiled
    listed = data["replication"]["mismatches"]
    assert len(listed) == min(20, 2 * n_spoiled)
    for one in listed:
        spoiled_by = SPOILED / (1.0 + SPOILED) if one["figure"] == "equity" else SPOILED
        assert abs(one["basis_points"]) == pytest.approx(1e4 * spoiled_by, rel=1e-6)


def test_a_report_rendered_again_finds_the_same_grades(nights, tmp_path):
    _, store, (_, _, spoiled), _, _ = nights
    riskpipe_command("report", store, "--out", tmp_path / "again", check=True)
    for name in ("report.json", "summary.md", "index.html", "replication.parquet", "replication_mismatches.parquet"):
        assert (tmp_path / "again" / name).read_bytes() == (folder(spoiled) / name).read_bytes()


def test_validate_says_what_is_matched_before_any_night(nights):
    inputs = nights[0]
    data = json.loads(riskpipe_command("validate", inputs / "snapshot", "--json", check=True).stdout)
    assert data["replication"]["grade"] in {"B", "C"}
    text = riskpipe_command("validate", inputs / "snapshot", check=True).stdout
    assert f"replication of reported figures: {data['replication']['grade']}" in text
    assert "bp), weight" in text
