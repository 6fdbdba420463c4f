"""A night with a simulated set and basis axes: labelled, with probabilities, the same bits on any workers."""

import json

import numpy as np
import pytest
from support.nights import assert_same_bits, decoded, run_on, settings, write_inputs

import riskpipe
from riskpipe.config import resolve
from riskpipe.errors import ConfigError
from riskpipe.report.numbers import usd

GRID = {"index_shock": [-0.3, 0.0], "depth_factor": [1.0, 0.2]}
FUTURES = {"futures": {"kinds": ["future"], "multiples": [0.0, 5.0]}}


def night(inputs, store, *, n=40, scenarios=None, **changes):
    given = {"grid": GRID, "basis_axes": FUTURES, "simulated": {"n": n, "horizon": "1d", "seed": 3}}
    return run_on(inputs, store, scenarios=given | (scenarios or {}), **changes)


@pytest.fixture(scope="module")
def serial(inputs, tmp_path_factory):
    store = tmp_path_factory.mktemp("serial") / "store"
    night(inputs, store)
    return store


@pytest.mark.parametrize("changes", [{"block_size": 7}, {"executor": "local", "n_workers": 2}])
def test_the_cube_has_the_same_bits_on_any_workers_and_in_any_blocks(inputs, serial, tmp_path, changes):
    night(inputs, tmp_path / "store", **changes)
    assert_same_bits(decoded(serial), decoded(tmp_path / "store"))


@pytest.mark.bench
@pytest.mark.timeout(3_600)
def test_ten_thousand_scenarios_over_200000_accounts_have_the_same_bits_on_two_workers(tmp_path):
    large = write_inputs(tmp_path / "inputs", n_accounts=200_000)
    for store, changes in (("one", {"executor": "serial"}), ("two", {"executor": "local", "n_workers": 2})):
        alone = {"grid": {}, "basis_axes": {}}
        night(large, tmp_path / store, n=10_000, scenarios=alone, variants={}, **changes)
    assert_same_bits(decoded(tmp_path / "one"), decoded(tmp_path / "two"))


def test_simulated_scenarios_are_labelled_and_form_a_distribution_in_every_variant(serial):
    system = riskpipe.open_cube(str(serial))["system"].to_dataset()
    is_simulated = system["set"].values.astype(object) == "simulated"
    assert is_simulated.sum() == 80
    assert np.array_equal(np.isfinite(system["probability"].values), is_simulated)
    variants = system["variant"].values.astype(object)
    for variant in set(variants):
        rows = is_simulated & (variants == variant)
        assert system["probability"].values[rows].sum() == pytest.approx(1.0)
        assert len(np.unique(system["index_shock"].values[rows])) == 40
    assert "observed moves, which contain their own cascades" in system["set"].attrs["long_name"]


def test_the_first_scenarios_of_a_larger_set_are_those_of_a_smaller(inputs, serial, tmp_path):
    night(inputs, tmp_path / "store", n=5)
    few, many = (riskpipe.open_cube(str(store)) for store in (tmp_path / "store", serial))

    def marks(cube):
        instruments = cube["instruments"].to_dataset()
        return instruments["mark_price"].values[instruments["set"].values.astype(object) == "simulated"]

    assert np.array_equal(marks(few)[:5], marks(many)[:5])
    assert np.array_equal(marks(few)[5:], marks(many)[40:45])


def test_a_basis_axis_moves_futures_against_perpetuals_and_stands_among_the_grids_axes(serial):
    grid = riskpipe.as_grid(riskpipe.open_cube(str(serial))["instruments"])
    still = grid.sel(index_shock=0.0, depth_factor=1.0).isel(variant=0, basis_shock=0, vol_shock=0)
    assert still.sizes["basis_axis_futures"] == 2
    basis = still["basis"] - still["dislocation"] * (1.0 + still["basis"]) / (1.0 + still["dislocation"])
    moved = (basis.sel(basis_axis_futures=5.0) - basis.sel(basis_axis_futures=0.0)).to_series()
    names = moved.index.to_series().astype(str)
    is_perpetual = names.str.contains("PERP", case=False)
    assert np.allclose(moved[is_perpetual.to_numpy()], 0.0, atol=1e-12)
    assert (moved[~is_perpetual.to_numpy()] > 1e-6).any()


def test_the_report_keeps_simulated_scenarios_out_of_headlines_and_named_ones(serial):
    report = json.loads(next(serial.glob("runs/*/report/report.json")).read_text())
    text = json.dumps(report)
    assert "observed_moves_contain_cascades" in text
    assert "cascades included" in text or "contain the cascades" in text
    assert '"named_scenarios"' not in text


def test_a_night_of_simulated_scenarios_alone_says_its_tail_and_not_that_nothing_is_liquidated(inputs, tmp_path):
    # a grid nobody asked for is one neutral cell, in which nothing happens
    run_on(inputs, tmp_path / "store", scenarios={"simulated": {"n": 60, "horizon": "7d", "seed": 3}}, variants={})
    system = riskpipe.open_cube(str(tmp_path / "store"))["system"]
    worst = float(system["liquidated_notional"].max())
    assert worst > 0.0
    report = json.loads(next((tmp_path / "store").glob("runs/*/report/report.json")).read_text())
    points = [one["text"] for one in report["points"]]
    assert not any(text.startswith("Nothing is liquidated") for text in points)
    told = next(text for text in points if text.startswith("60 simulated scenarios of equal probability over 7d"))
    assert "expected shortfall USD" in told
    assert "An observed move already contains its cascade" in told
    figures = {one["label"]: one for one in report["key_figures"]["figures"]}
    assert figures["Notional liquidated"]["value"] == usd(worst)


def test_what_cannot_be_simulated_is_refused_before_the_night(inputs, tmp_path):
    data = settings(inputs, tmp_path / "store", scenarios={"simulated": {"n": 10}})
    with pytest.raises(ConfigError, match="draws from the price history"):
        resolve(data | {"history": None}, subject="test")
    wrong = {"basis_axes": {"a": {"venues": ["nowhere"], "multiples": [1]}}}
    with pytest.raises(ConfigError, match="venue 'nowhere' is not in the book"):
        run_on(inputs, tmp_path / "store", scenarios=wrong)
    for bad in ({"n": 0}, {"n": 5, "method": "bootstrap"}, {"n": 5, "horizon": "2d"}, {"n": 5, "draws": 1}):
        with pytest.raises(ConfigError):
            resolve(settings(inputs, tmp_path, scenarios={"simulated": bad}), subject="test")
    for bad in ({"multiples": []}, {"multiples": [1, 1]}, {"multiples": [1], "kinds": ["option"]}, {"multipels": [1]}):
        with pytest.raises(ConfigError):
            resolve(settings(inputs, tmp_path, scenarios={"basis_axes": {"a": bad}}), subject="test")
