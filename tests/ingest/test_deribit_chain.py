"""Recorded chains: marks and volatilities as recorded, invented accounts healthy under the venue's own scan."""

import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.nights import riskpipe_command

from riskpipe.calibrate.market import calibrate
from riskpipe.config import load, shipped
from riskpipe.domain.book import InstrumentKind
from riskpipe.domain.findings import Reason
from riskpipe.errors import InputRefused
from riskpipe.ingest.assemble import assemble
from riskpipe.ingest.controls import LONG_SHORT, control_totals
from riskpipe.ingest.deribit_chain import RECORDED_AS_OF, market_tables, recorded_chains
from riskpipe.ingest.option_accounts import LEAST_ACCOUNTS, invented_accounts
from riskpipe.ingest.read import read_snapshot
from riskpipe.ingest.write import write_tables
from riskpipe.margin.risk_unit import UnitHolding, UnitInstrument, UnitMarket
from riskpipe.margin.scan import requirement
from riskpipe.margin.scan_parameters import scan_model
from riskpipe.pricing.black76 import option_value
from riskpipe.run.wiring import rules_of, tables_of

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "deribit_options"
BTC_FILE = "deribit_btc_chain_2021-02.parquet"
N_ACCOUNTS = 120

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"recorded chains are not at ../shared/data ({DATA})")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The book, market, rules and findings of a night on the recorded chains."""
    directory = tmp_path_factory.mktemp("options") / "snapshot"
    chains = recorded_chains(DATA)
    tables = {**market_tables(chains), **invented_accounts(chains, n_accounts=N_ACCOUNTS, seed=3)}
    write_tables(directory, tables, chains.as_of, chains.source)
    config = load(shipped("deribit-options.yaml"))
    book, findings = assemble([read_snapshot(str(directory))], venues=tables_of(config, chains.as_of))
    rules, more = rules_of(config, book)
    findings.extend(more)
    market, more = calibrate(book, rules, None, stable_assets=config.stable_assets)
    findings.extend(more)
    return book, market, rules, findings


def as_recorded(coin):
    frame = pd.read_parquet(DATA / f"deribit_{coin}_chain_2021-02.parquet")
    return frame[frame["ts"] <= RECORDED_AS_OF].sort_values("ts").groupby("instrument_name").tail(1)


def test_nothing_is_quarantined_and_longs_equal_shorts(world):
    book, _, _, findings = world
    assert book.n_accounts == N_ACCOUNTS
    assert book.account_is_portfolio.all()
    assert {found.reason for found in findings} == {
        Reason.VENUE_TABLE, Reason.NO_HISTORY, Reason.QUOTED_VOL, Reason.VOL_DIFFERS
    }  # fmt: skip
    balance = [control.status for control in control_totals(book) if control.name == LONG_SHORT]
    assert len(balance) > 50
    assert set(balance) == {"ok"}


@pytest.mark.parametrize("coin", ["btc", "eth"])
def test_every_option_has_its_recorded_mark_and_terms(world, coin):
    book = world[0]
    recorded = as_recorded(coin).query("mark_price > 0").set_index("instrument_name").sort_index()
    underlying = np.array(book.names("asset"))[book.instrument_underlying]
    own = np.flatnonzero(book.is_option & (underlying == coin.upper()))
    found = pd.DataFrame(
        {
            "mark_price": book.mark_price[own],
            "mark_iv": 100.0 * book.implied_vol[own],
            "strike": book.instrument_strike[own],
            "open_interest": book.open_interest[own],
            "cp": np.where(book.instrument_is_call[own], "C", "P"),
            "expiry": pd.to_datetime(book.instrument_expiry_us[own], unit="us", utc=True),
        },
        index=pd.Index(np.array(book.names("instrument"))[own], name="instrument_name"),
    ).sort_index()
    pd.testing.assert_frame_equal(found, recorded[list(found.columns)], rtol=1e-15, check_dtype=False)


def test_the_model_gives_every_recorded_mark_but_those_a_finding_counts(world):
    book, market, _, findings = world
    gaps = []
    for ix in np.flatnonzero(book.is_option):
        forward = market.option_forward[ix]
        terms = (bool(book.instrument_is_call[ix]), forward, book.instrument_strike[ix], book.years_to_expiry[ix])
        gaps.append(abs(option_value(*terms, market.option_vol[ix], 1.0) / forward / book.mark_price[ix] - 1.0))
    (by_quote,) = [found for found in findings if found.reason is Reason.QUOTED_VOL]
    assert sum(gap > 1e-9 for gap in gaps) == by_quote.count == 35
    assert len(gaps) == 979
    assert max(gaps) < 0.008, "forwards move by a tenth of a percent during a poll"


def test_forwards_are_those_of_the_recorded_expiries(world):
    book, market, _, _ = world
    forward = dict(zip(book.names("instrument"), market.option_forward, strict=True))
    for coin in ("btc", "eth"):
        for _, chain in as_recorded(coin).query("mark_price > 0").groupby("expiry"):
            for name in chain["instrument_name"]:
                assert forward[name] == chain["underlying_price"].median()


def holdings_of(book, market, pool):
    """Return by coin what a pool holds, spot included, and its coins: balance, profits and options' worth."""
    assets, holdings, coins = book.names("asset"), {}, {}
    for k in range(book.pool_slot_start[pool], book.pool_slot_start[pool + 1]):
        coins[assets[book.slot_asset[k]]] = book.slot_quantity[k]
    for q in range(book.pool_position_start[pool], book.pool_position_start[pool + 1]):
        i, mark = book.position_instrument[q], float(book.mark_price[book.position_instrument[q]])
        coin = assets[book.instrument_underlying[i]]
        size = book.position_quantity[q] * book.instrument_multiplier[i]
        kind = InstrumentKind(book.instrument_kind[i]).name.lower()
        if kind == "option":
            terms = {"years": book.years_to_expiry[i], "strike": book.instrument_strike[i]}
            terms |= {"is_call": bool(book.instrument_is_call[i]), "volatility": market.option_vol[i]}
            unit = UnitInstrument(kind, float(market.option_forward[i]), is_coin_settled=True, **terms)
            coins[coin] += size * mark
        else:
            unit = UnitInstrument(kind, mark, is_coin_settled=True)
            coins[coin] += size * (1.0 / book.position_entry_price[q] - 1.0 / mark)
        holdings.setdefault(coin, []).append(UnitHolding(unit, size))
    return holdings, coins


def test_every_account_is_healthy_before_any_shock_under_the_scan_of_the_configuration(world):
    book, market, rules, _ = world
    models = {coin: scan_model(parameters) for coin, parameters in rules.venues[0].portfolio.items()}
    index = dict(zip(book.names("asset"), book.index_price, strict=True))
    covers = []
    for pool in range(book.n_pools):
        holdings, coins = holdings_of(book, market, pool)
        required = 0.0
        for coin, held in holdings.items():
            spot = UnitHolding(UnitInstrument("spot", index[coin]), coins[coin])
            required += requirement(models[coin], [*held, spot], UnitMarket(index[coin])).maintenance_margin
        covers.append(sum(quantity * index[coin] for coin, quantity in coins.items()) / required)
    assert min(covers) > 1.0
    assert np.median(covers) < 6.0, "nor is the book so rich that no night would liquidate anyone"


def test_the_configuration_has_the_newest_parameters_of_the_venues_own_file(world):
    rules = world[2]
    newest = load(shipped("deribit-options.yaml"), ["venues.deribit=deribit"]).venues["deribit"].rules[-1]
    for coin in ("BTC", "ETH"):
        assert rules.venues[0].portfolio[coin] == newest.margin.portfolio[coin].parameters()


def test_the_same_seed_gives_the_same_accounts_and_another_seed_others():
    chains = recorded_chains(DATA)
    one, same, other = (invented_accounts(chains, n_accounts=40, seed=seed) for seed in (1, 1, 2))
    assert all(one[name].equals(same[name]) for name in one)
    assert not one["positions"].equals(other["positions"])
    with pytest.raises(ValueError, match="expected at least 20 accounts"):
        invented_accounts(chains, n_accounts=LEAST_ACCOUNTS - 1, seed=1)


def changed(folder, change, name=BTC_FILE):
    shutil.copytree(DATA, folder)
    folder.chmod(0o755)
    (folder / name).chmod(0o644)
    change(pd.read_parquet(folder / name)).to_parquet(folder / name)
    return folder


def test_rows_later_than_the_instant_are_never_read(tmp_path):
    def later(frame):
        is_later = frame["ts"] > RECORDED_AS_OF
        assert is_later.any()
        return frame.assign(**{name: frame[name].mask(is_later, 7.0) for name in ("mark_price", "index_price")})

    found, expected = recorded_chains(changed(tmp_path / "later", later)), recorded_chains(DATA)
    pd.testing.assert_frame_equal(found.listed, expected.listed)
    assert found.index_price == expected.index_price


CONTRADICTIONS = {
    "instrument_name must tell": lambda frame: frame.assign(strike=frame["strike"] + 500.0),
    "mark_price must be a finite number, 0 or more": lambda frame: frame.assign(mark_price=-frame["mark_price"]),
    "columns are missing: mark_iv": lambda frame: frame.drop(columns="mark_iv"),
    "no option was recorded at or before": lambda frame: frame.assign(ts=frame["ts"] + timedelta(days=1)),
}


@pytest.mark.parametrize("said", CONTRADICTIONS)
def test_a_recording_that_contradicts_itself_is_refused(tmp_path, said):
    with pytest.raises(InputRefused) as refusal:
        recorded_chains(changed(tmp_path / "chains", CONTRADICTIONS[said]))
    (problem,) = refusal.value.problems
    assert problem.startswith(f"{BTC_FILE}: {said}")


def test_a_coin_without_a_file_is_left_out_and_no_file_at_all_refused(tmp_path):
    shutil.copy(DATA / BTC_FILE, tmp_path / BTC_FILE)
    found = recorded_chains(tmp_path)
    assert set(found.listed["coin"]) == found.index_price.keys() == {"BTC"}
    assert {"ETH"} & set(invented_accounts(found, n_accounts=30, seed=1)["balances"]["asset"].to_pylist()) == set()
    with pytest.raises(InputRefused, match="2 problems"):
        recorded_chains(tmp_path, as_of=RECORDED_AS_OF + timedelta(days=31))


def test_the_command_writes_the_snapshot_and_refuses_what_does_not_go_with_it(tmp_path):
    riskpipe_command("synth", tmp_path / "a", "--options", DATA, "--accounts", "40", "--seed", "5", check=True)
    snapshot = read_snapshot(str(tmp_path / "a" / "snapshot"))
    assert snapshot.as_of == RECORDED_AS_OF
    chains = recorded_chains(DATA)
    assert snapshot.source == f"{chains.source}; 40 portfolio accounts invented, seed 5"
    expected = invented_accounts(chains, n_accounts=40, seed=5)["positions"]
    assert snapshot.tables["positions"].column("quantity").equals(expected.column("quantity"))
    mixed = riskpipe_command("synth", tmp_path / "b", "--options", DATA, "--profile", "calm", "--split")
    assert mixed.returncode == 2
    assert "leave out --profile, --split" in mixed.stderr
    both = riskpipe_command("synth", tmp_path / "b", "--options", DATA, "--loans", DATA)
    assert both.returncode == 2
    assert "leave out --options" in both.stderr
    assert not (tmp_path / "b").exists()
