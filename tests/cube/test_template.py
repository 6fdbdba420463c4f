"""The template is a plain Zarr cube that any reader opens, with every variable of the schema, before any block."""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
import xarray as xr
from support.cube_runs import DIMENSIONS, grid_coordinates, small_template

from riskpipe.cube.template import create_cube, cube_template, read_template_digest, scenario_coordinates
from riskpipe.domain.scenarios import ScenarioSet, Variant
from riskpipe.domain.schema import GROUPS, VARIABLES
from riskpipe.errors import StoreError

PREFIX = "runs/x/cube.zarr"


@pytest.fixture
def tree(local_store):
    create_cube(local_store, PREFIX, small_template())
    return xr.open_datatree(local_store.local_path(PREFIX), engine="zarr")


def test_every_variable_of_the_schema_is_there_as_declared(tree):
    assert set(tree.children) == set(GROUPS)
    for variable in VARIABLES.values():
        array = tree[variable.key]
        assert array.dims == variable.dims
        assert array.attrs == {"units": variable.units, "long_name": variable.long_name, "sign": variable.sign}
        if variable.dtype == "float64":
            assert array.dtype == np.float64
            assert np.all(np.isnan(array)), "what no block has written reads as NaN"
        assert variable.name in tree[variable.group].data_vars
    assert sum(len(node.data_vars) for node in tree.children.values()) == len(VARIABLES)


def test_scenario_carries_every_axis_as_a_coordinate_in_every_group(tree):
    expected = grid_coordinates()
    for name, node in tree.children.items():
        if "scenario" not in node.dims:
            continue
        assert np.array_equal(node["scenario"], np.arange(27))
        assert node["scenario"].dtype == np.int64
        for coordinate, values in expected.items():
            assert coordinate in node.coords, (name, coordinate)
            is_number = values.dtype.kind == "f"
            assert np.array_equal(node[coordinate].values, values, equal_nan=is_number)


def test_labels_come_back_as_text(tree):
    assert tree["exposure"]["underlying"].values.tolist() == ["BTC", "ETH", "naïve coin"]
    assert tree["instruments"]["horizon"].values.tolist() == ["1h", "8h", "1d", "7d"]
    assert tree["entities"]["rank"].values.tolist() == list(range(1, 11))
    assert tree["accounts"]["set"].values.tolist() == ["grid", "historical"]


def test_the_root_says_what_it_is(tree):
    assert tree.attrs["run_id"] == "2024-08-05T000000Z-0123456789abcdef"
    assert json.loads(tree.attrs["config"]) == {"book": ""}
    assert tree.attrs["inputs"] == {"snapshot/accounts.parquet": "ab"}
    assert tree.attrs["format_version"] == 1


def test_chunks_are_blocks_along_scenario_and_whole_elsewhere(local_store):
    template = small_template(block_size=5)
    shapes = template.chunk_shapes()
    assert shapes["exposure/liquidated_positions"] == [5, 2, 3]
    assert shapes["accounts/shortfall_max"] == [7, 2]
    assert small_template(block_size=1000).chunk_shapes()["system/rounds"] == [27]
    create_cube(local_store, PREFIX, template)
    for path, codec in (("exposure/liquidated_positions", "blosc"), ("exposure/venue", "vlen-utf8")):
        metadata = json.loads(local_store.read(f"{PREFIX}/{path}/zarr.json"))
        assert metadata["zarr_format"] == 3
        assert metadata["chunk_grid"]["configuration"]["chunk_shape"] == shapes[path]
        assert codec in {entry["name"] for entry in metadata["codecs"]}
    blosc = json.loads(local_store.read(f"{PREFIX}/system/rounds/zarr.json"))["codecs"][-1]["configuration"]
    assert (blosc["cname"], blosc["clevel"], blosc["shuffle"]) == ("zstd", 1, "shuffle")
    assert json.loads(local_store.read(f"{PREFIX}/exposure/venue/zarr.json"))["data_type"] == "string"


def test_many_accounts_are_cut_into_chunks():
    accounts = pa.array([str(number) for number in range(300_000)])
    template = cube_template(
        dimensions={**DIMENSIONS, "account": accounts},
        scenario_coordinates=grid_coordinates(),
        attributes={"run_id": "x", "as_of": "y"},
        block_size=3,
    )
    assert template.chunk_shapes()["accounts/equity"] == [131072]
    assert template.chunk_shapes()["accounts/account"] == [131072]


def test_the_hash_read_back_is_the_hash_promised(store):
    template = small_template()
    assert create_cube(store, PREFIX, template) == template.digest == read_template_digest(store, PREFIX)


def test_the_hash_tells_templates_apart():
    other = grid_coordinates()
    other["index_shock"] = np.nextafter(other["index_shock"], 1)
    arguments = {"dimensions": DIMENSIONS, "attributes": {"run_id": "x", "as_of": "y"}, "block_size": 5}
    digests = {
        small_template().digest,
        small_template(block_size=4).digest,
        small_template(config="{}").digest,
        cube_template(scenario_coordinates=grid_coordinates(), **arguments).digest,
        cube_template(scenario_coordinates=other, **arguments).digest,
    }
    assert len(digests) == 5
    assert small_template().digest in digests


def test_creating_again_changes_nothing_and_another_template_is_refused(local_store):
    create_cube(local_store, PREFIX, small_template())
    before = {key: local_store.modified(key) for key in local_store.list("")}
    create_cube(local_store, PREFIX, small_template())
    assert {key: local_store.modified(key) for key in local_store.list("")} == before
    with pytest.raises(StoreError, match="another template"):
        create_cube(local_store, PREFIX, small_template(block_size=9))


def test_a_template_cut_off_by_a_crash_is_made_whole(near_store):
    create_cube(near_store, PREFIX, small_template())
    near_store.delete(f"{PREFIX}/zarr.json")
    near_store.delete(f"{PREFIX}/funds")
    assert create_cube(near_store, PREFIX, small_template()) == read_template_digest(near_store, PREFIX)


def test_every_fault_of_a_template_is_listed():
    coordinates = grid_coordinates()
    del coordinates["vol_shock"]
    coordinates["depth_factor"] = coordinates["depth_factor"][:-1]
    with pytest.raises(StoreError) as caught:
        cube_template(
            dimensions={**DIMENSIONS, "venue": ["a", "a"], "planet": ["earth"]} | {"fund": []},
            scenario_coordinates=coordinates,
            attributes={"run_id": "x"},
            block_size=0,
        )
    for fault in ("planet", "venue has repeated", "vol_shock is missing", "(26,)", "as_of", "block_size"):
        assert fault in str(caught.value)


def test_a_scenario_set_gives_its_coordinates():
    axes = [np.array([0.0, -0.1, -0.2]) + shift for shift in range(5)]
    probability = np.array([np.nan, 0.5, 0.5])
    scenarios = ScenarioSet(
        *axes,
        probability,
        variant=np.array([0, 1, 0], np.int32),
        set_index=np.array([0, 0, 1], np.int32),
        name=np.array(["", "", "March 2020"]),
        variants=(Variant(gap_share=1.0), Variant(gap_share=0.0)),
        sets=("grid", "historical"),
    )
    found = scenario_coordinates(scenarios)
    assert found["variant"].tolist() == ["gap_share=1", "gap_share=0", "gap_share=1"]
    assert found["set"].tolist() == ["grid", "grid", "historical"]
    assert found["name"].tolist() == ["", "", "March 2020"]
    assert found["haircut_shock"] is scenarios.haircut_shock
    assert set(found) == set(grid_coordinates())


def test_plain_xarray_opens_it_without_riskpipe_or_a_warning(local_store):
    create_cube(local_store, PREFIX, small_template())
    code = """
import sys, xarray
sys.modules["riskpipe"] = None
tree = xarray.open_datatree(sys.argv[1], engine="zarr")
print(tree["funds/shortfall"].sel(fund="bravo alts").dims, tree["funds"]["variant"].values[0])
"""
    command = [sys.executable, "-W", "error", "-c", code, str(local_store.local_path(PREFIX))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.stdout.strip() == "('scenario',) gap_share=1", done.stderr
