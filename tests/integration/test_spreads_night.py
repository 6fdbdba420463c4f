"""Spreads in a night: measured, stored, read back by plain xarray, verified, and told in the report."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import xarray as xr
from support.nights import run_on, write_inputs

import riskpipe
from riskpipe.cube.store import open_store
from riskpipe.domain.schema import VARIABLES

GRID = {"index_shock": [-0.3, 0.0]}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_inputs(tmp_path_factory.mktemp("inputs"), fitted=None)


@pytest.fixture(scope="module")
def night(inputs, tmp_path_factory):
    store = tmp_path_factory.mktemp("spreads") / "store"
    result = run_on(inputs, store, scenarios={"grid": GRID}, variants={})
    return store, result


@pytest.fixture(scope="module")
def spreads(night):
    return xr.open_datatree(night[1].cube, engine="zarr")["spreads"].to_dataset().load()


def test_plain_xarray_reads_every_variable_with_its_unit_and_every_kind_of_pair(spreads):
    expected = {one.name for one in VARIABLES.values() if one.group == "spreads"}
    assert set(map(str, spreads.data_vars)) == expected
    assert all(spreads[name].attrs["units"] and spreads[name].attrs["long_name"] for name in expected)
    kinds = set(spreads["kind"].values.tolist())
    assert {"perpetual_index", "future_index", "cross_venue", "calendar"} <= kinds
    assert spreads.sizes["horizon"] == 4


def test_numbers_are_those_of_the_quotes_and_hold_together(inputs, spreads):
    instruments, quotes, prices = (
        pq.read_table(inputs / f"snapshot/{name}.parquet").to_pandas() for name in ("instruments", "quotes", "prices")
    )
    mark = quotes.set_index("instrument_id")["mark_price"]
    usd = {"USD": 1.0} | prices[prices["venue"].isna()].set_index("asset")["index_price"].to_dict()
    quote = instruments.set_index("instrument_id")["quote_asset"]
    is_across = np.flatnonzero(spreads["kind"].values.astype(object) == "cross_venue")
    assert len(is_across) >= 5
    for row in is_across.tolist():
        first, second = (str(spreads[leg].values[row]) for leg in ("first", "second"))
        expected = mark[first] * usd[quote[first]] / (mark[second] * usd[quote[second]]) - 1.0
        assert spreads["spread"].values[row] == pytest.approx(expected, abs=1e-12)
    vol, used = spreads["spread_vol"].values, spreads["estimator_used"].values.astype(object)
    assert ((used != "") == np.isfinite(vol).all(axis=1)).all()
    assert (used != "").mean() > 0.9
    net = spreads["gross_carry"] - spreads["carry_fees"]
    np.testing.assert_allclose(spreads["net_carry"].values, net.values, rtol=1e-12)
    neutral, total = spreads["neutral_interest"].values, spreads["open_interest"].values
    assert (neutral[~np.isnan(neutral)] <= total[~np.isnan(neutral)] * (1 + 1e-12)).all()
    chance = spreads["exhaustion"].values
    known = np.isfinite(chance).all(axis=1)
    assert known.any()
    assert (np.diff(chance[known], axis=1) >= 0.0).all()
    share = spreads["common_share"].values
    assert ((share[~np.isnan(share)] >= 0.0) & (share[~np.isnan(share)] <= 1.0)).all()


def test_the_report_says_which_spreads_widen_and_shows_every_pair(night, spreads):
    folder = next(night[0].glob("runs/*/report"))
    report = json.loads((folder / "report.json").read_text())
    section = next(one for one in report["sections"] if one["name"] == "spreads")
    shown = pq.read_table(folder / "spreads.parquet").to_pandas()
    assert set(shown["pair"]) == set(spreads["pair"].values.tolist())
    flagged = (spreads["is_widening"].values == 1.0).any(axis=1)
    assert ((shown.set_index("pair")["state"] == "widens")[spreads["pair"].values.astype(object)] == flagged).all()
    words = section["blocks"][0]["text"]
    assert ("widen" in words) or ("None of" in words)
    assert "checked" in words
    is_told = any("with delta-neutral owners in" in one["text"] for one in report["points"])
    assert is_told == bool((flagged & (spreads["neutral_interest"].values > 0.0)).any())
    assert "legs at two venues do not help each other" in json.dumps(section)


def test_verify_covers_spreads(night):
    store, result = night
    assert riskpipe.verify(open_store(str(store)), result.run_id) == ()
    chunk = next(path for path in store.glob("runs/*/cube.zarr/spreads/spread_vol/c/**/*") if path.is_file())
    content = chunk.read_bytes()
    try:
        chunk.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        problems = riskpipe.verify(open_store(str(store)), result.run_id)
        assert any("spreads/spread_vol" in problem for problem in problems)
    finally:
        chunk.write_bytes(content)


def test_without_history_quotes_are_told_and_nothing_is_called_steady(inputs, tmp_path):
    result = run_on(inputs, tmp_path / "store", scenarios={"grid": GRID}, variants={}, history=None)
    found = riskpipe.open_cube(str(tmp_path / "store"), run_id=result.run_id)["spreads"]
    assert np.isfinite(found["spread"].values).all()
    assert np.isnan(found["spread_vol"].values).all()
    report = json.loads(next((tmp_path / "store").glob("runs/*/report/report.json")).read_text())
    section = next(one for one in report["sections"] if one["name"] == "spreads")
    assert section["blocks"][0]["text"].startswith("Not checked for")
    assert section["blocks"][0]["tone"] == "unknown"
