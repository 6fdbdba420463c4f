"""A night that goes on where another command left it, or stood beside it, trusts nothing that it has not compared."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import zarr
from support.nights import assert_same_bits, decoded, run_on, settings

from riskpipe.config import resolve
from riskpipe.cube.digest import canonical_json
from riskpipe.cube.manifest import verify_published
from riskpipe.cube.marks import read_mark, write_mark
from riskpipe.cube.store import open_store
from riskpipe.errors import StoreError, VerifyError
from riskpipe.run.block import BlockJob, compute_block
from riskpipe.run.night import open_night
from riskpipe.run.nightly import complete


def night_of(inputs, store):
    return open_night(resolve(settings(inputs, store), subject="test"))


@pytest.fixture(scope="module")
def right(inputs, tmp_path_factory):
    """The store of a night that nothing disturbed."""
    store = tmp_path_factory.mktemp("right") / "store"
    run_on(inputs, store)
    return store


class StoppedError(Exception):
    """A kill, as far as the store can tell: nothing is written after it."""


def until(name, do=None):
    """Do the steps of a night before a named one, then something of the test's, then stop or go on."""

    def step(step_name, work):
        if step_name == name:
            if do is None:
                raise StoppedError
            do()
        return work()

    return step


def stopped_before(stage, inputs, store):
    """Leave a night as one that was killed before a stage; return its folder."""
    with pytest.raises(StoppedError):
        complete(night_of(inputs, store), is_published=True, step=until(stage))
    (run,) = Path(store).glob("runs/*")
    return run


def change(array: Path) -> None:
    """Change an array as little as can be, so that it reads as well as before."""
    stored = zarr.open_array(array, mode="r+", zarr_format=3)
    stored[...] = stored[...] + 1e-9


@pytest.mark.parametrize("name", ["accounts/equity", "adl/cost", "exposure/index_shock"])
def test_what_changed_since_its_stage_wrote_it_is_named_and_not_published(inputs, tmp_path, name):
    run = stopped_before("seal", inputs, tmp_path / "store")
    change(run / "cube.zarr" / name)
    with pytest.raises(StoreError, match="is not as its marks say"):
        run_on(inputs, tmp_path / "store")
    assert not list((tmp_path / "store").glob("published/*"))


def test_a_plan_that_changed_since_it_was_made_is_named_and_not_published(inputs, tmp_path):
    run = stopped_before("compute", inputs, tmp_path / "store")
    plan = json.loads((run / "plan.json").read_bytes())
    plan["attributes"]["numeraire"] = "EUR"
    (run / "plan.json").write_bytes(canonical_json(plan))
    with pytest.raises(StoreError, match=r"plan\.json has SHA-256"):
        run_on(inputs, tmp_path / "store")
    assert not list((tmp_path / "store").glob("published/*"))


@pytest.mark.parametrize(
    ("stage", "damage"), [("calibrate", "changed"), ("compute", "all deleted"), ("accounts", "deleted")]
)
def test_a_book_that_was_lost_or_damaged_is_made_anew_by_the_same_command(inputs, right, tmp_path, stage, damage):
    stopped_before(stage, inputs, tmp_path / "store")
    (book,) = (tmp_path / "store").glob("books/*")
    before = {path.name: path.read_bytes() for path in book.iterdir()}
    victim = book / "position_quantity.npy"
    if damage == "changed":
        victim.write_bytes(before[victim.name][:-1] + bytes([before[victim.name][-1] ^ 1]))
    else:
        for path in [victim] if damage == "deleted" else list(book.iterdir()):
            path.unlink()
    assert run_on(inputs, tmp_path / "store").is_published
    assert {path.name: path.read_bytes() for path in book.iterdir()} == before
    assert_same_bits(decoded(right), decoded(tmp_path / "store"))


def test_the_book_of_a_published_night_is_verified_and_made_anew_by_the_same_command(inputs, tmp_path):
    store = tmp_path / "store"
    run_on(inputs, store)
    (victim,) = store.glob("books/*/position_quantity.npy")
    before = victim.read_bytes()
    for damage in (lambda: victim.write_bytes(before[:-9]), victim.unlink, (victim.parent / "book.json").unlink):
        damage()
        (problems,) = verify_published(open_store(str(store))).values()
        assert [problem.split(" ")[0] for problem in problems] == ["book"]
        assert "run the night again" in problems[0]
        assert run_on(inputs, store).was_complete
        assert victim.read_bytes() == before
        assert set(verify_published(open_store(str(store))).values()) == {()}


def test_a_run_sealed_by_another_command_is_compared_before_it_is_published(inputs, tmp_path):
    store = tmp_path / "store"

    def other_command():
        result = run_on(inputs, store, is_published=False)
        change(store / "runs" / result.run_id / "cube.zarr" / "funds" / "shortfall")

    with pytest.raises(VerifyError, match="funds/shortfall"):
        complete(night_of(inputs, store), is_published=True, step=until("seal", other_command))
    assert not list(store.glob("published/*"))


def test_a_run_that_lost_its_manifest_to_a_sweep_is_sealed_again_with_the_same(inputs, tmp_path):
    store = tmp_path / "store"
    manifest = store / "runs" / run_on(inputs, store).run_id / "manifest.json"
    before = manifest.read_bytes()
    manifest.unlink()
    assert run_on(inputs, store).is_published
    assert manifest.read_bytes() == before


def test_a_late_block_of_other_numerics_changes_nothing_of_a_run_that_is_sealed(inputs, tmp_path):
    store = open_store(str(tmp_path / "store"))
    run_id = run_on(inputs, tmp_path / "store").run_id
    mark = read_mark(store, run_id, 0)
    job = BlockJob(store.uri, run_id, 0, mark.start, mark.stop)
    compute_block(job)  # of the same numerics: the same bytes
    write_mark(store, run_id, replace(mark, fingerprint="0" * 16))
    written = {key: store.modified(key) for key in store.list(f"runs/{run_id}/cube.zarr")}
    with pytest.raises(StoreError, match="on a machine of other numerics"):
        compute_block(job)
    assert {key: store.modified(key) for key in written} == written
    assert asdict(read_mark(store, run_id, 0))["fingerprint"] == "0" * 16


def test_a_stage_that_ends_after_another_command_has_sealed_the_run_writes_nothing_into_it(inputs, tmp_path):
    night = night_of(inputs, tmp_path / "store")
    run_on(inputs, tmp_path / "store")
    before = decoded(tmp_path / "store")
    promised = night.write_once({"accounts/debt": before["/accounts/debt"] + 1.0})
    assert promised["written"].keys() == {"accounts/debt"}
    assert_same_bits(before, decoded(tmp_path / "store"))


def test_a_torn_pointer_of_an_earlier_night_stops_no_other(inputs, tmp_path):
    store = tmp_path / "store"
    (store / "published").mkdir(parents=True)
    (store / "published" / "2026-01-04T000000Z.json").write_bytes(b"{")
    assert run_on(inputs, store, report={"changes": True}).is_published
