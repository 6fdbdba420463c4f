"""Recorded loans: every borrower has the health that was recorded, and shocks move what they should."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.nights import riskpipe_command

from riskpipe.config import load, shipped
from riskpipe.domain.findings import Reason
from riskpipe.errors import InputRefused
from riskpipe.ingest.aave import OTHER_COLLATERAL, OTHER_DEBT, RECORDED_AS_OF, reconciled, recorded_loans
from riskpipe.ingest.assemble import assemble
from riskpipe.ingest.read import read_snapshot
from riskpipe.ingest.write import write_tables

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "aave_steth_2023_06"
PROTOCOLS = {"aave_v2": "v2", "aave_v3": "v3"}
STAKED = ("stETH", "wstETH")
COINS = ("USDC", "USDT", "DAI", "FEI", "TUSD", "sUSD", "USDP", "FRAX", "GUSD", "BUSD", "LUSD")

recorded = pytest.mark.skipif(not DATA.is_dir(), reason=f"recorded loans are not at ../shared/data ({DATA})")


def positions(version):
    return pd.read_parquet(DATA / f"steth_positions_aave_{version}_2023-06.parquet")


@pytest.fixture(scope="module")
def files():
    """Every recorded borrower by account_id, debt also in USD."""
    frames = []
    eth_price = positions("v3")["eth_price"].iloc[0]
    for venue, version in PROTOCOLS.items():
        frame = positions(version)
        frame["debt_usd"] = frame["debt"] * (eth_price if version == "v2" else 1.0)
        frames.append(frame.assign(venue=venue).set_index(venue + "-" + frame["account"].map("{:04d}".format)))
    return pd.concat(frames)


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    directory = tmp_path_factory.mktemp("loans") / "snapshot"
    found = recorded_loans(DATA)
    write_tables(directory, found.tables, found.as_of, found.source)
    assembled, findings = assemble([read_snapshot(str(directory))])
    assert {finding.reason for finding in findings} == {Reason.NO_BONUS}, "bonuses are the venues' rules'"
    return assembled


def sides(book, price_factor=None):
    """Threshold-weighted collateral and debt by account [a], USD, with prices times a factor by asset."""
    price = book.index_price * np.array([(price_factor or {}).get(name, 1.0) for name in book.names("asset")])
    owner = np.repeat(book.pool_account, np.diff(book.pool_slot_start))
    value = book.slot_quantity * price[book.slot_asset]
    weighted = np.where(value > 0.0, value * book.slot_threshold, 0.0)
    n_accounts = book.n_accounts
    return np.bincount(owner, weighted, n_accounts), np.bincount(owner, np.maximum(-value, 0.0), n_accounts)


def health(book, price_factor=None):
    weighted, debt = sides(book, price_factor)
    return weighted / debt


def has_only(book, assets, *, debt):
    """Which accounts hold (or owe) nothing but some assets."""
    owner = np.repeat(book.pool_account, np.diff(book.pool_slot_start))
    is_other = np.isin(np.array(book.names("asset"))[book.slot_asset], assets, invert=True)
    is_other &= (book.slot_quantity < 0.0) == debt
    return np.bincount(owner[is_other], minlength=book.n_accounts) == 0


@recorded
def test_every_borrower_with_debt_has_the_recorded_health(book, files):
    assert set(book.names("account")) == set(files.index)
    assert book.account_is_lending.all()
    assert book.n_accounts == 1_309 + 502
    ordered = files.loc[book.names("account")]
    owes = (ordered["debt"] > 1.0).to_numpy()
    assert owes.sum() == 1_395
    np.testing.assert_allclose(health(book)[owes], ordered["healthf"].to_numpy()[owes], rtol=1e-9)
    np.testing.assert_allclose(sides(book)[1], ordered["debt_usd"], rtol=1e-9)


@recorded
def test_reported_equity_is_weighted_collateral_less_debt(book):
    weighted, debt = sides(book)
    assert (np.abs(book.account_reported_equity - (weighted - debt)) <= 1e-9 * (weighted + debt)).all()


@recorded
@pytest.mark.parametrize("shock", [-0.3, 0.1])
def test_an_eth_shock_spares_eth_loops_and_moves_loans_of_dollars_one_for_one(book, shock):
    moves = {name for name, beta in zip(book.names("asset"), book.index_beta, strict=True) if beta == 1.0}
    stands = {name for name, beta in zip(book.names("asset"), book.index_beta, strict=True) if beta == 0.0}
    assert stands == {*COINS, OTHER_DEBT, "USD"}
    shocked = health(book, dict.fromkeys(moves, 1.0 + shock)) / health(book)
    on_eth = has_only(book, [*moves], debt=False)
    loops, dollars = on_eth & has_only(book, [*moves], debt=True), on_eth & has_only(book, [*stands], debt=True)
    assert loops.sum() > 300
    assert dollars.sum() > 900
    np.testing.assert_allclose(shocked[loops], 1.0, rtol=1e-12)
    np.testing.assert_allclose(shocked[dollars], 1.0 + shock, rtol=1e-12)
    mixed = shocked[~loops & ~dollars]
    low, high = sorted((1.0 + shock, 1.0 / (1.0 + shock)))  # dollars against ETH borrowed go the other way
    assert ((mixed > low) & (mixed < high)).all()


@recorded
def test_a_fall_of_steth_against_eth_hits_what_is_staked_and_nothing_else(book):
    after = health(book, dict.fromkeys(STAKED, 0.9)) / health(book)
    pure, none = has_only(book, STAKED, debt=False), ~np.isin(np.arange(book.n_accounts), owners_of(book, STAKED))
    assert pure.sum() > 1_000
    np.testing.assert_allclose(after[pure], 0.9, rtol=1e-12)
    np.testing.assert_array_equal(after[none], 1.0)
    assert ((after[~pure & ~none] > 0.9) & (after[~pure & ~none] < 1.0)).all()


def owners_of(book, assets):
    held = np.isin(np.array(book.names("asset"))[book.slot_asset], assets)
    return np.unique(np.repeat(book.pool_account, np.diff(book.pool_slot_start))[held])


@recorded
def test_named_debts_are_those_of_the_files(book, files):
    """ETH owed on v2 to the coin; coins owed on v3 at their own recorded value."""
    owner = np.repeat(book.pool_account, np.diff(book.pool_slot_start))
    owed = np.maximum(-book.slot_quantity, 0.0)

    def by_account(asset):
        of_asset = book.slot_asset == book.names("asset").index(asset)
        return pd.Series(np.bincount(owner[of_asset], owed[of_asset], book.n_accounts), book.names("account"))

    of_v2 = files[files["venue"] == "aave_v2"]
    np.testing.assert_allclose(by_account("WETH")[of_v2.index], of_v2["ethdebt"], rtol=1e-3)
    sorted_ = pd.read_parquet(DATA / "steth_b2_v3.parquet")
    names = "aave_v3-" + sorted_["account"].map("{:04d}".format)
    np.testing.assert_allclose(by_account("USDC")[names], sorted_["usdc"] / 1e6, rtol=1e-3)


@recorded
def test_borrowers_on_both_protocols_are_one_entity(book):
    n_entities = len(book.entity_account_start) - 1
    both = set(positions("v2")["account"]) & set(positions("v3")["account"])
    assert n_entities == book.n_accounts - len(both)
    assert book.account_has_entity.all()


@recorded
def test_what_is_not_named_is_told_with_its_share(book):
    found = recorded_loans(DATA)
    assert found.as_of == RECORDED_AS_OF
    assert f"not named: 10.5% of collateral, taken as {OTHER_COLLATERAL} at the price of ETH" in found.source
    assert f"11.4% of debt, taken as {OTHER_DEBT} at 1 USD" in found.source
    assert {OTHER_COLLATERAL, OTHER_DEBT} < set(book.names("asset"))


@recorded
def test_the_command_writes_the_same_snapshot(tmp_path):
    riskpipe_command("synth", tmp_path / "a", "--loans", DATA, check=True)
    found = recorded_loans(DATA)
    write_tables(tmp_path / "b", found.tables, found.as_of, found.source)
    written = sorted(path.name for path in (tmp_path / "a" / "snapshot").iterdir())
    assert written == sorted(path.name for path in (tmp_path / "b").iterdir())
    for name in written:
        assert (tmp_path / "a" / "snapshot" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    mixed = riskpipe_command("synth", tmp_path / "c", "--loans", DATA, "--seed", "1", "--split")
    assert mixed.returncode == 2
    assert "leave out --seed, --split" in mixed.stderr
    assert not (tmp_path / "c").exists()


@recorded
def test_the_configuration_names_the_venues_and_the_recorded_thresholds(book):
    config = load(shipped("aave-2023-06.yaml"))
    assert set(config.venues) == set(book.names("venue")) == {*PROTOCOLS, "aave_v3_emode"}
    in_mode = book.account_venue == book.names("venue").index("aave_v3_emode")
    assert in_mode.sum() == (positions("v3")["emode"] == 1).sum() == 130
    assert 0.0 in config.scenarios.grid.index_shock
    told = pd.concat([pd.read_parquet(DATA / f"steth_b{n}.parquet") for n in (2, 3)])
    terms = config.venues_at(book.as_of)["aave_v2"].lending.assets
    for asset in ("USDC", "DAI", "TUSD", "WBTC"):
        assert terms[asset].liquidation_threshold == told[f"{asset.lower()}_threshold"].dropna().unique()
    only_staked = (positions("v2")["diff_collateral"] == 0.0) & (positions("v2")["ltv"] > 0)
    assert (positions("v2")["threshold"][only_staked] == 1e4 * terms["stETH"].liquidation_threshold).all()


def changed(folder, name, change):
    shutil.copytree(DATA, folder)
    (folder / name).chmod(0o644)
    folder.chmod(0o755)
    change(pd.read_parquet(folder / name)).to_parquet(folder / name)
    return folder


CONTRADICTIONS = {
    "healthf must be collateral x threshold": lambda frame: frame.assign(healthf=frame["healthf"] * (1 + 1e-8)),
    "collateral differs from that in its sorted file": lambda frame: frame.assign(
        collateral=frame["collateral"] * 1.01, healthf=frame["healthf"] * 1.01
    ),
    "stands in more than one row": lambda frame: pd.concat([frame, frame.head(1)]),
    "is in a sorted file but not here": lambda frame: frame.iloc[500:],
    "debt must be a finite number, 0 or more": lambda frame: frame.assign(debt=-frame["debt"]),
}


@recorded
@pytest.mark.parametrize("said", CONTRADICTIONS)
def test_a_recording_that_contradicts_itself_is_refused(tmp_path, said):
    name = "steth_positions_aave_v2_2023-06.parquet"
    with pytest.raises(InputRefused, match=rf"{name}: .*") as refusal:
        recorded_loans(changed(tmp_path / "loans", name, CONTRADICTIONS[said]))
    assert any(said in problem for problem in refusal.value.problems)


def test_missing_files_are_all_named(tmp_path):
    with pytest.raises(InputRefused, match="8 problems") as refusal:
        recorded_loans(tmp_path, as_of=datetime(2023, 7, 1, tzinfo=UTC))
    assert any("steth_positions_aave_v2_2023-07.parquet is missing" in problem for problem in refusal.value.problems)


# --- what named assets and totals make of each other -----------------------------------------------------------------


def one(total, **known):
    found = reconciled(pd.DataFrame([known], dtype=float), pd.Series([total]), "rest").iloc[0].to_dict()
    return {name: round(value, 9) for name, value in found.items()}


def test_sums_that_differ_by_the_time_of_reading_are_scaled():
    assert one(100.05, a=80.0, b=20.0) == {"a": 80.04, "b": 20.01, "rest": 0.0}
    assert one(99.95, a=80.0, b=20.0) == {"a": 79.96, "b": 19.99, "rest": 0.0}


def test_what_is_not_named_is_the_rest():
    assert one(130.0, a=80.0, b=20.0) == {"a": 80.0, "b": 20.0, "rest": 30.0}
    assert one(130.0, a=0.0, b=0.0) == {"a": 0.0, "b": 0.0, "rest": 130.0}


def test_a_deposit_that_is_no_collateral_is_left_out():
    assert one(20.0, a=80.0, b=20.0) == {"a": 0.0, "b": 20.0, "rest": 0.0}
    assert one(60.0, a=80.0, b=20.0) == {"a": 48.0, "b": 12.0, "rest": 0.0}, "none fits: all are scaled"


VALUE = st.one_of(st.just(0.0), st.floats(1e-9, 1e9))


@given(st.lists(st.tuples(VALUE, VALUE, VALUE, st.floats(1e-9, 1e9)), min_size=1, max_size=8))
def test_parts_are_never_negative_and_add_up_to_the_total(borrowers):
    known, total = pd.DataFrame([row[:3] for row in borrowers], columns=list("abc")), [row[3] for row in borrowers]
    found = reconciled(known, pd.Series(total), "rest").to_numpy()
    assert (found >= 0.0).all()
    np.testing.assert_allclose(found.sum(axis=1), total, rtol=1e-12)
    assert not found[:, :3][known.to_numpy() == 0.0].any()
