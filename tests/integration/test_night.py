"""Whole nights through the public command line and API, on real components."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
import uuid

import numpy as np
import pytest
from support.nights import (
    assert_same_bits,
    attempts,
    decoded,
    marks,
    riskpipe_command,
    run_on,
    settings,
    start_command,
    write_config,
    write_inputs,
)

import riskpipe
from riskpipe.errors import ConfigError, StoreError, VerifyError


@pytest.fixture(scope="module")
def night(inputs, tmp_path_factory):
    """One published night with the default block size, run serially."""
    store = tmp_path_factory.mktemp("night") / "store"
    result = run_on(inputs, store)
    return store, result


@pytest.mark.parametrize("changes", [{"block_size": 1}, {"block_size": 7}, {"executor": "local", "n_workers": 2}])
def test_the_cube_has_the_same_bits_for_every_block_size_and_executor(inputs, night, tmp_path, changes):
    store, result = night
    other = run_on(inputs, tmp_path / "store", **changes)
    assert other.run_id == result.run_id
    assert_same_bits(decoded(store), decoded(tmp_path / "store"))


def test_losses_equal_their_sources_in_every_scenario_and_fund(night):
    funds = riskpipe.open_cube(str(night[0]))["funds"]
    stages = ("fee_offset", "fund_used", "backstop_loss", "adl_loss", "socialised_loss", "residual")
    total = sum(funds[name].values for name in stages)
    shortfall = funds["shortfall"].values
    assert (shortfall > 0).any()
    assert (np.abs(total - shortfall) <= 4 * np.spacing(shortfall)).all()


def test_a_zero_shock_liquidates_nobody_and_a_crash_does(night):
    system = riskpipe.as_grid(riskpipe.open_cube(str(night[0]))["system"]).sel(basis_shock=0.0, depth_factor=1.0)
    assert (system["liquidated_accounts"].sel(index_shock=0.0) == 0).all()
    assert (system["liquidated_accounts"].sel(index_shock=-0.4) > 0).all()


def test_accounts_have_the_prices_of_their_largest_position_in_order(night):
    cube = riskpipe.open_cube(str(night[0]))
    accounts, system = cube["accounts"], riskpipe.as_grid(cube["instruments"])
    still = system["mark_price"].sel(index_shock=0.0, basis_shock=0.0, vol_shock=0.0, depth_factor=1.0)
    mark = still.isel(variant=0).to_series()
    name = accounts["main_instrument"].values.astype(object)
    held = name != ""
    assert held.mean() > 0.5
    start = mark[name[held]].to_numpy()
    moves = [
        np.abs(accounts[f"{kind}_price"].values[held] / start - 1.0)
        for kind in ("margin_call", "liquidation", "bankruptcy")
    ]
    is_well = accounts["margin_excess"].values[held] > 2.0 * accounts["maintenance_margin"].values[held]
    for nearer, further in itertools.pairwise(moves):
        both = is_well & ~np.isnan(further)
        assert both.sum() >= 30
        assert (nearer[both] <= further[both] * (1.0 + 1e-9)).all()
    assert np.isnan(accounts["health_factor"]).all()  # nobody has a loan


def test_the_same_night_again_finds_it_done(inputs, night):
    store, result = night
    before = attempts(store)
    again = run_on(inputs, store)
    assert again.was_complete
    assert again.run_id == result.run_id
    assert attempts(store) == before


def test_a_night_killed_in_mid_compute_finishes_with_the_same_bits_and_recomputes_unfinished_blocks_only(tmp_path):
    inputs = write_inputs(tmp_path / "inputs", n_accounts=4000)
    clean = write_config(tmp_path / "clean.yaml", settings(inputs, tmp_path / "clean", block_size=2))
    riskpipe_command("run", clean, check=True)
    config = write_config(tmp_path / "killed.yaml", settings(inputs, tmp_path / "killed", block_size=2))
    process = start_command("run", config)
    try:
        while len(marks(tmp_path / "killed")) < 3:
            assert process.poll() is None, "the night ended before it could be killed"
            time.sleep(0.005)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done_before = {int(path.stem.split("-")[1]) for path in marks(tmp_path / "killed")}
    n_blocks = len(json.loads(next((tmp_path / "killed").glob("runs/*/plan.json")).read_text())["blocks"])
    assert 3 <= len(done_before) < n_blocks
    assert not list((tmp_path / "killed").glob("published/*.json"))
    riskpipe_command("run", config, check=True)
    tries = attempts(tmp_path / "killed")
    assert {block for block, records in tries.items() if sum(r["state"] == "done" for r in records) > 1} <= (
        tries.keys() - done_before
    )
    assert all(len(tries[block]) == 1 for block in done_before)
    assert tries.keys() == set(range(n_blocks))
    assert_same_bits(decoded(tmp_path / "clean"), decoded(tmp_path / "killed"))


def test_a_changed_input_makes_another_run(inputs, night):
    store, result = night
    other = run_on(inputs, store, is_published=False, max_quarantined_share=0.02)
    assert other.run_id != result.run_id
    assert not other.is_published
    assert riskpipe.open_cube(str(store)).attrs["run_id"] == result.run_id


def test_history_that_grows_after_the_night_does_not_change_it(inputs, night, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pq.read_table(inputs / "history.parquet")
    last = rows.slice(rows.num_rows - 1)
    later = last.set_column(
        last.schema.get_field_index("ts"),
        last.schema.field("ts"),
        pa.array([last["ts"][0].as_py().replace(year=2030)], last.schema.field("ts").type),
    )
    pq.write_table(pa.concat_tables([later, rows]), tmp_path / "history.parquet")
    store, result = night
    again = run_on(inputs, store, history=str(tmp_path / "history.parquet"))
    assert again.run_id == result.run_id
    assert again.was_complete


def damage_a_chunk(store):
    chunk = next(path for path in sorted(store.glob("runs/*/cube.zarr/funds/shortfall/c/**/*")) if path.is_file())
    data = bytearray(chunk.read_bytes())
    data[-1] ^= 1
    chunk.write_bytes(bytes(data))


def test_verify_is_content_with_a_night_and_names_a_changed_chunk(inputs, tmp_path):
    store = tmp_path / "store"
    run_on(inputs, store)
    assert riskpipe_command("verify", store).returncode == 0
    damage_a_chunk(store)
    found = riskpipe_command("verify", store)
    assert found.returncode == 1
    assert "funds/shortfall" in found.stderr


def test_a_night_damaged_after_its_blocks_were_marked_is_not_published(inputs, tmp_path):
    store = tmp_path / "store"
    night = run_on(inputs, store)
    damage_a_chunk(store)
    with pytest.raises(VerifyError, match="funds/shortfall"):
        run_on(inputs, store)
    run = store / "runs" / night.run_id
    for name in ("manifest.json", "marks/stage-seal.json"):
        (run / name).unlink()
    with pytest.raises(StoreError, match="block 0"):
        run_on(inputs, store)


def test_a_damaged_book_is_written_again_before_another_run_reads_it(inputs, tmp_path):
    store = tmp_path / "store"
    first = run_on(inputs, store)
    book = next(store.glob("books/*/position_quantity.npy"))
    whole = book.read_bytes()
    book.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    other = run_on(inputs, store, max_quarantined_share=0.02)
    assert other.run_id != first.run_id
    assert book.read_bytes() == whole


def test_a_memory_store_runs_serially_and_is_refused_with_workers_before_anything_happens(inputs):
    uri = f"memory://{uuid.uuid4().hex}"  # stores in memory live as long as the process
    result = run_on(inputs, uri)
    assert riskpipe.open_cube(uri).attrs["run_id"] == result.run_id
    with pytest.raises(ConfigError, match="this process only"):
        run_on(inputs, uri, executor="local")


def test_a_scheduler_by_address_whose_worker_has_four_threads_computes_the_same_bits(inputs, night, tmp_path):
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=4, host="127.0.0.1", dashboard_address="127.0.0.1:0", silence_logs=50
    ) as cluster:
        run_on(inputs, tmp_path / "s", block_size=2, executor=cluster.scheduler_address)
    assert_same_bits(decoded(night[0]), decoded(tmp_path / "s"))


def test_joined_snapshots_give_the_same_system_as_one(inputs, night, tmp_path):
    from riskpipe.run.synthesis import synthesise

    synthesise(tmp_path, n_accounts=150, seed=7, split=True)
    split = [str(tmp_path / "snapshot-alpha"), str(tmp_path / "snapshot-bravo")]
    run_on(inputs, tmp_path / "s", snapshot=split)
    one, two = (riskpipe.open_cube(str(store)) for store in (night[0], tmp_path / "s"))
    for name in ("liquidated_notional", "liquidated_accounts", "rounds", "broken_hedge_notional"):
        np.testing.assert_allclose(one["system"][name].values, two["system"][name].values, rtol=1e-9, atol=1e-6)


BLOCKER = """
import sys

class NoRiskpipe:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "riskpipe":
            raise ImportError("riskpipe is not here")

sys.meta_path.insert(0, NoRiskpipe())
"""


def test_plain_xarray_and_duckdb_read_the_outputs_without_riskpipe(night):
    store, result = night
    code = f"""{BLOCKER}
import duckdb, xarray, warnings
warnings.simplefilter("error")
tree = xarray.open_datatree({result.cube!r}, engine="zarr")
assert tree["funds"]["shortfall"].dims == ("scenario", "fund")
assert tree["funds"]["shortfall"].attrs["units"] == "USD"
assert float(tree["system"]["liquidated_accounts"].max()) > 0
assert "index_shock" in tree["system"].coords and "variant" in tree["system"].coords
folder = {str(store / "runs" / result.run_id / "report")!r}
[(n,)] = duckdb.sql(f"select count(*) from '{{folder}}/cells.parquet'").fetchall()
assert n > 0
assert "riskpipe" not in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=120)


def test_help_loads_no_heavy_library():
    code = """
import sys
sys.argv = ["riskpipe", "--help"]
from riskpipe.cli import main
try:
    main()
except SystemExit as end:
    assert end.code in (0, None), end.code
heavy = {"prefect", "dask", "distributed", "xarray", "numba", "numpy", "pandas", "pyarrow", "zarr", "pydantic"}
heavy &= sys.modules.keys()
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
