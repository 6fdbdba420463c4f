"""A night on every recorded stETH borrower of Aave: health as recorded, ladders of ETH and of stETH/ETH as cubes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import riskpipe
from riskpipe.config import load, shipped
from riskpipe.run.nightly import run_night
from riskpipe.run.synthesis import record_loans

DATA = Path(__file__).parents[3] / "shared/data/aave_steth_2023_06"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"recorded loans are not at ../shared/data ({DATA})")


@pytest.fixture(scope="module")
def cubes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("aave")
    record_loans(folder, DATA)
    found = {}
    for name in ("aave-2023-06", "aave-2023-06-ratio"):
        places = (f"snapshot={folder / 'snapshot'}", f"store={folder / 'store'}", "executor=serial")
        config = load(shipped(f"{name}.yaml"), places)
        run_night(config)
        found[name] = riskpipe.open_cube(str(folder / "store"), book=config.book)
    return found


def test_before_any_shock_every_loan_has_the_recorded_health(cubes):
    accounts = cubes["aave-2023-06"]["accounts"]
    health = pd.Series(accounts["health_factor"].to_numpy(), accounts["account"].to_numpy().astype(object))
    n = 0
    for version in ("v2", "v3"):
        files = pd.read_parquet(DATA / f"steth_positions_aave_{version}_2023-06.parquet")
        files = files[files["debt"] > 1.0]
        found = health[[f"aave_{version}-{account:04d}" for account in files["account"]]].to_numpy()
        np.testing.assert_allclose(found, files["healthf"], rtol=1e-9, atol=0.0)
        n += len(files)
    assert n > 1_200


@pytest.mark.parametrize("name", ["aave-2023-06", "aave-2023-06-ratio"])
def test_a_ladder_liquidates_more_the_further_it_goes(cubes, name):
    system = riskpipe.as_grid(cubes[name]["system"].to_dataset()).squeeze(drop=True)
    ladder = system.sortby("index_shock", ascending=False)
    assert np.all(np.diff(ladder["liquidated_accounts"]) >= 0.0)
    assert np.all(np.diff(ladder["underwater_debt"]) >= 0.0)
    assert ladder["liquidated_accounts"][-1] > 400.0


def test_loops_of_staked_against_plain_ether_fail_by_their_ratio_and_not_by_its_price(cubes):
    by_price, by_ratio = (
        riskpipe.as_grid(cubes[name]["exposure"].to_dataset())["liquidated_notional_long"]
        .sel(venue="aave_v3_emode", index_shock=-0.1)
        .sum()
        for name in ("aave-2023-06", "aave-2023-06-ratio")
    )
    assert by_price < 0.1 * by_ratio
