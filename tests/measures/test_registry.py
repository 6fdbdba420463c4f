import shutil

import numpy as np
import pytest
import xarray as xr

from riskpipe.domain.schema import VARIABLES
from riskpipe.errors import ConfigError
from riskpipe.measures import cells
from riskpipe.measures.distribution import quantile
from riskpipe.measures.registry import MEASURES, Options, check_requirements


def test_the_schema_holds_what_the_measures_need():
    check_requirements(VARIABLES)


def test_every_missing_variable_is_listed_before_the_night():
    have = set(VARIABLES) - {"funds/shortfall", "basis/mean_basis"}
    with pytest.raises(ConfigError) as refused:
        check_requirements(have)
    text = str(refused.value)
    assert "measure fund_losses needs funds/shortfall" in text
    assert "measure basis_table needs basis/mean_basis" in text
    with pytest.raises(ConfigError, match="no measure 'funds_losses'"):
        check_requirements(VARIABLES, ["funds_losses"])


@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_reads_exactly_what_it_declares(tree, monkeypatch, name):
    used = set()
    plain = cells.read

    def spy(given, key, **options):
        used.add(key)
        return plain(given, key, **options)

    for module in (
        "exhaustion",
        "flags",
        "attribution",
        "bearers",
        "liquidation",
        "funds",
        "worst",
        "variants",
        "concentration",
        "accounts",
        "basis",
        "lending",
        "losses",
        "adequacy",
        "contagion",
        "holdings",
        "spreads",
        "validation",
        "waterfall",
    ):
        monkeypatch.setattr(f"riskpipe.measures.{module}.read", spy)
    MEASURES[name].function(tree, Options())
    assert used == set(MEASURES[name].requires)


def test_every_variable_of_a_measure_has_a_unit_a_name_and_a_source(measures):
    for name, dataset in measures.items():
        for key, variable in dataset.data_vars.items():
            assert {"units", "long_name", "sources"} <= set(variable.attrs), (name, key)
            assert set(variable.attrs["sources"]) <= set(MEASURES[name].requires), (name, key)


def test_quantiles_over_an_unweighted_grid_are_refused():
    with pytest.raises(ValueError, match="unweighted grid"):
        quantile(np.array([1.0, 2.0]), np.array([0.5, np.nan]), 0.5)


@pytest.mark.parametrize(("level", "expected"), [(0.1, 1.0), (0.2, 1.0), (0.2000001, 2.0), (0.7, 2.0), (1.0, 9.0)])
def test_a_quantile_is_the_smallest_loss_reached_with_that_probability(level, expected):
    assert quantile(np.array([9.0, 1.0, 2.0]), np.array([0.3, 0.2, 0.5]), level) == expected


def test_dislocation_extremes_are_those_of_the_cube(tree, measures):
    moved, cube = measures["dislocation"], tree["instruments"]["dislocation"].values
    np.testing.assert_array_equal(moved["dislocation"].values, np.stack([cube.min(axis=0), cube.max(axis=0)], axis=1))


def test_a_variable_is_read_from_the_store_once_however_often_it_is_measured(tmp_path):
    dims = VARIABLES["funds/shortfall"].dims
    values = np.arange(6.0).reshape(2, 3)
    stored = xr.Dataset({"shortfall": (dims, values)}).chunk({dims[0]: 1})
    stored.to_zarr(tmp_path, group="funds", zarr_format=3, consolidated=False)
    with xr.open_datatree(tmp_path, engine="zarr", chunks=None, consolidated=False) as tree:
        assert (cells.read(tree, "funds/shortfall") == values).all()
        shutil.rmtree(tmp_path / "funds" / "shortfall" / "c")
        assert (cells.read(tree, "funds/shortfall") == values).all()
