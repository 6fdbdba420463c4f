"""A manifest exists for whole runs only, is the same for the same run, and any later difference is found."""

import json
from dataclasses import replace

import pytest
import zarr
from support.cube_runs import (
    AS_OF,
    RUN_ID,
    compute_block,
    computed_run,
    finished_run,
    once_arrays,
    small_template,
    wrote,
)

from riskpipe.cube.blocks import read_block, write_once
from riskpipe.cube.catalogue import publish
from riskpipe.cube.layout import cube_prefix, inputs_key, manifest_key, mark_key, part_key, plan_key
from riskpipe.cube.manifest import read_manifest, require_verified, verify, verify_published, write_manifest
from riskpipe.cube.marks import record_attempt
from riskpipe.cube.store import open_store
from riskpipe.cube.template import create_cube
from riskpipe.domain.scenarios import block_bounds
from riskpipe.errors import StoreError, VerifyError

CUBE = cube_prefix(RUN_ID)
BOUNDS = block_bounds(27, 5)


def write(store, about=None):
    about = about or {"findings_sha256": "00"}
    return write_manifest(store, RUN_ID, as_of=AS_OF, bounds=BOUNDS, wrote=wrote(), about=about)


def test_a_whole_run_verifies(near_store):
    finished_run(near_store)
    assert verify(near_store, RUN_ID) == ()
    require_verified(near_store, RUN_ID)
    manifest = read_manifest(near_store, RUN_ID)
    assert manifest["n_blocks"] == len(manifest["blocks"]) == 6
    assert set(manifest["objects"]) == {
        key.removeprefix(f"runs/{RUN_ID}/")
        for key in (*near_store.list(CUBE), *near_store.list(f"runs/{RUN_ID}/parts"), inputs_key(RUN_ID, "market"))
    }


def test_the_same_run_has_the_same_manifest_whoever_computed_it_when(tmp_path):
    first, second = open_store(str(tmp_path / "one")), open_store("memory://two")
    record_attempt(second, RUN_ID, 0, {"host": "elsewhere", "started": "now"})
    assert finished_run(first) == finished_run(second)
    text = second.read(manifest_key(RUN_ID)).decode()
    assert "elsewhere" not in text
    assert str(tmp_path) not in text


def test_writing_again_changes_nothing_and_another_manifest_is_refused(near_store):
    digest = finished_run(near_store)
    assert write(near_store) == digest
    with pytest.raises(StoreError, match="A complete run never changes"):
        write(near_store, {"findings_sha256": "11"})


def test_an_unfinished_run_gets_no_manifest(near_store):
    create_cube(near_store, CUBE, small_template())
    for block in (0, 2):
        compute_block(near_store, RUN_ID, block, *BOUNDS[block])
    compute_block(near_store, RUN_ID, 5, 25, 27, fingerprint="0" * 16)
    near_store.delete(part_key(RUN_ID, 2))
    with pytest.raises(StoreError) as caught:
        write(near_store)
    for fault in (
        "plan.json is missing",
        "block 1 has no done-mark",
        "different numerics fingerprints: 0000000000000000, ffffffffffffffff",
        "parts/block-00002.parquet is missing",
        "funds/shortfall/c/1/0 is missing",
        "accounts/equity/c/0 is missing",
    ):
        assert fault in str(caught.value)
    assert not near_store.exists(manifest_key(RUN_ID))
    with pytest.raises(StoreError, match="it has no manifest"):
        verify(near_store, RUN_ID)


@pytest.mark.parametrize("read_bytes", [1, 10**9])
def test_of_blocks_that_are_read_together_only_the_damaged_one_is_named(near_store, monkeypatch, read_bytes):
    monkeypatch.setattr("riskpipe.cube.blocks.READ_BYTES", read_bytes)
    finished_run(near_store)
    near_store.write(f"{CUBE}/funds/shortfall/c/2/0", b"spoiled")
    assert [problem.split(" ")[1] for problem in verify(near_store, RUN_ID) if problem.startswith("block ")] == ["2"]


def test_a_spoiled_coordinate_stops_the_manifest_and_is_named_as_one(near_store):
    computed_run(near_store)
    near_store.write(f"{CUBE}/exposure/index_shock/c/0", b"spoiled")
    with pytest.raises(StoreError, match="the cube's template cannot be read"):
        write(near_store)
    assert not near_store.exists(manifest_key(RUN_ID))


@pytest.mark.parametrize(
    ("key", "named"),
    [
        (f"{CUBE}/accounts/equity/c/0", "accounts/equity: decoded array"),
        (f"{CUBE}/basis/basis_vol/c/0/0/0", "basis/basis_vol: decoded array"),
        (f"{CUBE}/exposure/index_shock/c/0", "the cube's template has SHA-256"),
        (plan_key(RUN_ID), "plan.json has SHA-256"),
    ],
)
def test_what_is_replaced_by_something_as_readable_before_the_seal_stops_the_manifest(near_store, key, named):
    computed_run(near_store)
    if key == plan_key(RUN_ID):
        near_store.write(key, b"{ }")
    else:
        array = zarr.open_array(near_store.zarr_store(key.split("/c/")[0]), mode="r+", zarr_format=3)
        array[...] = array[...] + 1e-9
    with pytest.raises(StoreError) as caught:
        write(near_store)
    assert named in str(caught.value)
    assert "1 difference" in str(caught.value)
    assert not near_store.exists(manifest_key(RUN_ID))


def test_a_variable_that_no_stage_says_it_wrote_stops_the_manifest(near_store):
    computed_run(near_store)
    said = {key: value for key, value in wrote().variables.items() if key != "accounts/debt"}
    with pytest.raises(StoreError, match="accounts/debt is there, but no stage says"):
        write_manifest(near_store, RUN_ID, as_of=AS_OF, bounds=BOUNDS, wrote=replace(wrote(), variables=said), about={})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"as_of"', b'"as_og"'),
        (b'"as_of":"2024', b'"as_of":"2o24'),
        (b'"objects"', b'"objectr"'),
        (b'"size"', b'"sizd"'),
        (b'"part_sha256"', b'"part_shb256"'),
        (b'"plan_sha256"', b'"plan_sha25v"'),
        (b'"version"', b"\xff"),
    ],
)
def test_a_manifest_that_does_not_hold_what_one_holds_is_named_and_hides_no_other_run(memory_store, before, after):
    other = RUN_ID[:-1] + "0"
    for run_id in (RUN_ID, other):
        finished_run(memory_store, run_id)
    publish(memory_store, RUN_ID, AS_OF)
    publish(memory_store, other, AS_OF, book="desk")
    manifest = memory_store.read(manifest_key(RUN_ID))
    memory_store.write(manifest_key(RUN_ID), manifest.replace(before, after, 1))
    assert memory_store.read(manifest_key(RUN_ID)) != manifest
    found = verify_published(memory_store)
    assert "manifest.json is torn" in found[RUN_ID][0]
    assert found[other] == ()
    with pytest.raises(VerifyError, match="is torn"):
        require_verified(memory_store, RUN_ID)


def test_a_block_of_other_bounds_or_a_stray_object_stops_the_manifest(near_store):
    computed_run(near_store)
    near_store.write(f"{CUBE}/funds/shortfall/c/6/0", b"stray")
    with pytest.raises(StoreError) as caught:
        write_manifest(near_store, RUN_ID, as_of=AS_OF, bounds=[(0, 27)], wrote=wrote(), about={})
    for fault in ("c/6/0 does not belong", "a mark speaks of block 5, but there are 1", "as 0:5, planned as 0:27"):
        assert fault in str(caught.value)


@pytest.fixture(scope="module")
def whole_run():
    """A complete run, for tests that put back what they change."""
    store = open_store("memory://whole-run")
    finished_run(store)
    return store


def flip(store, key):
    data = bytearray(store.read(key))
    data[len(data) // 2] ^= 1
    store.write(key, bytes(data))


@pytest.mark.parametrize(
    "key",
    [
        f"{CUBE}/funds/shortfall/c/2/0",
        f"{CUBE}/accounts/equity/c/0",
        f"{CUBE}/accounts/venue/c/0",
        f"{CUBE}/exposure/index_shock/c/0",
        f"{CUBE}/exposure/venue/c/0",
        f"{CUBE}/zarr.json",
        f"{CUBE}/funds/residual/zarr.json",
        part_key(RUN_ID, 3),
        mark_key(RUN_ID, 3),
        plan_key(RUN_ID),
        inputs_key(RUN_ID, "market"),
    ],
)
@pytest.mark.parametrize("damage", [flip, lambda store, key: store.delete(key)], ids=["flipped bit", "deleted"])
def test_any_damage_is_found_and_named(whole_run, key, damage):
    before = whole_run.read(key)
    damage(whole_run, key)
    try:
        problems = verify(whole_run, RUN_ID)
    finally:
        whole_run.write(key, before)
    assert any(key.removeprefix(f"runs/{RUN_ID}/") in problem for problem in problems), problems


def test_every_difference_is_listed_at_once(memory_store):
    store = memory_store
    finished_run(store)
    store.delete(f"{CUBE}/funds/shortfall/c/2/0")
    store.write(f"{CUBE}/funds/shortfall/c/99/0", b"extra")
    flip(store, part_key(RUN_ID, 4))
    problems = "\n".join(verify(store, RUN_ID))
    assert "cube.zarr/funds/shortfall/c/2/0 is missing" in problems
    assert "cube.zarr/funds/shortfall/c/99/0 is not in the manifest" in problems
    assert "parts/block-00004.parquet has" in problems
    assert "block 2: decoded arrays have SHA-256" in problems
    with pytest.raises(VerifyError) as caught:
        require_verified(store, RUN_ID)
    assert all(problem in str(caught.value) for problem in problems.splitlines())


def test_a_manifest_changed_after_publication_is_found(memory_store):
    store = memory_store
    digest = finished_run(store)
    publish(store, RUN_ID, AS_OF)
    manifest = json.loads(store.read(manifest_key(RUN_ID)))
    manifest["about"] = {"findings_sha256": "11"}
    store.write(manifest_key(RUN_ID), json.dumps(manifest).encode())
    assert "published as 2024-08-05T000000Z of book '' with another manifest" in verify(store, RUN_ID)
    with pytest.raises(VerifyError, match="the pointer says"):
        read_manifest(store, RUN_ID, digest)


def test_one_torn_pointer_is_named_and_every_other_run_is_verified(memory_store):
    finished_run(memory_store)
    publish(memory_store, RUN_ID, AS_OF)
    memory_store.write("published/desk/2024-08-05T000000Z.json", b"{")
    pointer = memory_store.read("published/2024-08-05T000000Z.json")
    memory_store.write("published/2024-08-06T000000Z.json", pointer.replace(b"08-05", b"08-06"))
    problems = verify_published(memory_store)
    assert problems[RUN_ID] == ()
    assert "is not a pointer" in problems["published/desk/2024-08-05T000000Z.json"][0]
    assert "has no manifest" in problems["2024-08-06T000000Z-0123456789abcdef"][0]
    flip(memory_store, part_key(RUN_ID, 3))
    assert verify_published(memory_store)[RUN_ID]


def test_runs_of_any_block_size_hold_the_same_numbers_and_verify():
    cubes = []
    for block_size in (1, 5, 27):
        store = open_store(f"memory://block-size-{block_size}")
        template = small_template(block_size)
        store.create(plan_key(RUN_ID), b"{}")
        create_cube(store, CUBE, template)
        bounds = block_bounds(27, block_size)
        for block, (start, stop) in enumerate(bounds):
            compute_block(store, RUN_ID, block, start, stop)
        write_once(store, CUBE, once_arrays())
        write_manifest(store, RUN_ID, as_of=AS_OF, bounds=bounds, wrote=wrote(block_size=block_size), about={})
        assert verify(store, RUN_ID) == ()
        cubes.append(read_block(store, CUBE, 0, 27))
    for key, array in cubes[0].items():
        assert array.tobytes() == cubes[1][key].tobytes() == cubes[2][key].tobytes()
