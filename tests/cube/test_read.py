"""A published cube opens by name, and its grid scenarios become axes without changing a number."""

import numpy as np
import pytest
import xarray as xr
from support.cube_runs import AS_OF, RUN_ID, block_arrays, finished_run, once_arrays

from riskpipe.cube.catalogue import publish
from riskpipe.cube.layout import manifest_key
from riskpipe.cube.read import as_grid, open_cube
from riskpipe.cube.store import open_store
from riskpipe.domain.schema import VARIABLES
from riskpipe.errors import StoreError, VerifyError


@pytest.fixture(scope="module", params=["local", "memory"])
def night(request, tmp_path_factory):
    """A published night, to be read only."""
    store = open_store(str(tmp_path_factory.mktemp("store")) if request.param == "local" else "memory://night")
    finished_run(store)
    publish(store, RUN_ID, AS_OF)
    return store


def test_a_published_night_opens_with_every_number(night):
    blocks, once = block_arrays(0, 27), once_arrays()
    for tree in (
        open_cube(night.uri),
        open_cube(night, as_of=AS_OF),
        open_cube(night, as_of="2024-08-05T000000Z"),
        open_cube(night, run_id=RUN_ID),
        open_cube(night, as_of="2024-08-05", run_id=RUN_ID),
    ):
        assert tree.attrs["run_id"] == RUN_ID
    arrays = {
        f"{group}/{name}": array for group, node in tree.children.items() for name, array in node.data_vars.items()
    }
    assert arrays.keys() == VARIABLES.keys()
    for key, array in arrays.items():
        expected = once.get(key)
        if expected is None:
            stored = np.concatenate([block_arrays(start, min(start + 5, 27))[key] for start in range(0, 27, 5)])
            assert array.values.tobytes() == stored.tobytes(), key
        else:
            assert array.values.tolist() == expected.tolist(), key
    assert blocks.keys() | once.keys() == arrays.keys()


def test_what_is_not_published_is_an_error_that_says_what_is(near_store):
    with pytest.raises(StoreError, match="no published night"):
        open_cube(near_store)
    finished_run(near_store)
    with pytest.raises(StoreError, match="no published night"):
        open_cube(near_store)
    assert open_cube(near_store, run_id=RUN_ID).attrs["run_id"] == RUN_ID
    with pytest.raises(StoreError, match=r"is of 2024-08-05T000000Z, not of 2024-08-06T000000Z"):
        open_cube(near_store, run_id=RUN_ID, as_of="2024-08-06")
    with pytest.raises(StoreError, match="not an instant"):
        open_cube(near_store, as_of="yesterday")


def test_a_run_without_manifest_does_not_exist(near_store):
    night = near_store
    finished_run(night)
    publish(night, RUN_ID, AS_OF)
    manifest = night.read(manifest_key(RUN_ID))
    night.delete(manifest_key(RUN_ID))
    for arguments in ({}, {"run_id": RUN_ID}):
        with pytest.raises(StoreError, match="has no manifest"):
            open_cube(night, **arguments)
    night.write(manifest_key(RUN_ID), manifest + b" ")
    with pytest.raises(VerifyError, match="the pointer says"):
        open_cube(night)


def test_reading_is_lazy(night, monkeypatch):
    reads = []
    original = type(night).get
    monkeypatch.setattr(type(night), "get", lambda self, key: reads.append(key) or original(self, key))
    tree = open_cube(night)
    grid = as_grid(tree["funds"].to_dataset())
    assert not [key for key in reads if "/c/" in key and "/shortfall/" in key]
    assert not grid["shortfall"].variable._in_memory


@pytest.mark.parametrize("place", ["local", "memory"])
def test_a_run_that_is_swept_while_it_is_read_is_an_error_and_no_gap(place, request):
    store = request.getfixturevalue(f"{place}_store")
    finished_run(store)
    cube = open_cube(store, run_id=RUN_ID)
    assert np.isfinite(cube["system"]["rounds"].isel(scenario=0))
    store.delete(f"runs/{RUN_ID}")
    with pytest.raises(StoreError, match="swept meanwhile"):
        cube["system"]["rounds"].to_numpy()
    with pytest.raises(StoreError, match="swept meanwhile"):
        cube["accounts"]["venue"].to_numpy()


@pytest.mark.parametrize("group", ["exposure", "funds", "instruments", "system", "entities"])
def test_every_grid_scenario_is_found_at_its_labels(night, group):
    dataset = open_cube(night)[group].to_dataset()
    grid = as_grid(dataset)
    assert dict(grid.sizes) == {
        "index_shock": 3, "basis_shock": 2, "vol_shock": 1, "depth_factor": 2, "variant": 2,
        **{name: size for name, size in dataset.sizes.items() if name != "scenario"},
    }  # fmt: skip
    assert grid["index_shock"].values.tolist() == [-0.4, -0.2, 0.1]
    assert grid["variant"].values.tolist() == ["gap_share=1", "gap_share=0"], "the central variant first"
    for scenario in range(24):
        labels = {name: dataset[name].values[scenario] for name in
                  ("index_shock", "basis_shock", "vol_shock", "depth_factor", "variant")}  # fmt: skip
        cell, flat = grid.sel(labels), dataset.isel(scenario=scenario)
        assert cell["scenario"].item() == scenario
        for name in dataset.data_vars:
            assert cell[name].values.tobytes() == flat[name].values.tobytes()
            assert cell[name].dtype == flat[name].dtype
            assert cell[name].attrs == flat[name].attrs
    assert grid.attrs == dataset.attrs


def test_selections_work_as_written_in_the_manual(night):
    grid = as_grid(open_cube(night)["funds"])
    cell = grid["shortfall"].sel(index_shock=-0.2, basis_shock=0)
    assert cell.dims == ("vol_shock", "depth_factor", "variant", "fund")
    assert np.array_equal(cell, grid["shortfall"].values[1, 1], equal_nan=True)
    assert np.array_equal(
        grid["shortfall"].isel(fund=[2, 0], index_shock=slice(None, None, -1)).values,
        grid["shortfall"].values[::-1][..., [2, 0]],
        equal_nan=True,
    )
    pointwise = grid["shortfall"].isel(index_shock=xr.DataArray([0, 2], dims="p"), fund=xr.DataArray([1, 0], dims="p"))
    assert np.array_equal(
        pointwise.transpose("p", ...).values,
        np.stack([grid["shortfall"].values[0, ..., 1], grid["shortfall"].values[2, ..., 0]]),
        equal_nan=True,
    )
    assert float(grid["shortfall"].sum()) == pytest.approx(
        float(open_cube(night)["funds"]["shortfall"][:24].sum()), rel=1e-12
    )


def test_constant_coordinates_become_scalars(night):
    grid = as_grid(open_cube(night)["system"])
    assert grid["set"].item() == "grid"
    assert grid["haircut_shock"].item() == 0
    assert np.isnan(grid["probability"].item())
    assert grid["scenario"].dims == ("index_shock", "basis_shock", "vol_shock", "depth_factor", "variant")


def test_a_grid_in_memory_of_any_order_is_the_same_grid(night):
    dataset = open_cube(night)["instruments"].to_dataset().load()
    shuffled = dataset.isel(scenario=np.random.default_rng(1).permutation(27))
    reference = as_grid(dataset)
    assert as_grid(shuffled).sel(variant="gap_share=1").load().identical(reference.sel(variant="gap_share=1").load())


def test_an_incomplete_or_repeated_grid_is_refused_with_the_place(night):
    dataset = open_cube(night)["system"].to_dataset()
    with pytest.raises(ValueError, match=r"1 combinations are missing.*index_shock=-0.4, basis_shock=0.0"):
        as_grid(dataset.isel(scenario=slice(1, None)))
    with pytest.raises(ValueError, match="1 are there more than once"):
        as_grid(dataset.isel(scenario=[0, *range(24)]))
    with pytest.raises(ValueError, match='no scenarios of set "grid"'):
        as_grid(dataset.isel(scenario=slice(24, None)))
    with pytest.raises(ValueError, match="it lacks"):
        as_grid(open_cube(night)["basis"].to_dataset())
