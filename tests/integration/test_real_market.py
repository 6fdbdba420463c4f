"""A night's inputs on recorded market data: basis figures equal a direct computation from the files."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from support.nights import riskpipe_command, write_config

from riskpipe.calibrate.fits import estimators
from riskpipe.calibrate.history import read_history
from riskpipe.calibrate.market import calibrate
from riskpipe.calibrate.validation import score_series
from riskpipe.cube.read import open_cube
from riskpipe.domain.findings import Reason, Severity
from riskpipe.domain.rules import Rules, VenueRules
from riskpipe.ingest.assemble import assemble
from riskpipe.ingest.candles import recorded_market
from riskpipe.ingest.read import read_snapshot
from riskpipe.ingest.synthetic.write import write_snapshot

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
AS_OF = datetime(2024, 8, 5, tzinfo=UTC)
LOOKBACK_DAYS = 60
DECAY = 0.97

pytestmark = pytest.mark.skipif(
    not (DATA / "binance_hourly").is_dir(), reason=f"recorded market data is not at ../shared/data ({DATA})"
)


def direct_basis(symbol, as_of=AS_OF, days=LOOKBACK_DAYS):
    """Hourly basis by bar close, straight from the files."""

    def series(name):
        frame = pd.read_parquet(DATA / "binance_hourly" / f"{name}.parquet")
        frame = frame[frame["symbol"] == symbol].set_index("ts")
        return frame.set_axis(frame.index + pd.Timedelta(hours=1))

    spot, mark = series("spot_1h"), series("mark_1h")
    if mark.empty:
        mark = series("perp_1h")
    both = pd.DataFrame({"mark": mark["close"], "index": spot["close"], "volume": spot["volume"]})
    both = both[(both.index > pd.Timestamp(as_of) - pd.Timedelta(days=days)) & (both.index <= pd.Timestamp(as_of))]
    stopped = ~(both["volume"] > 0.0)
    both = both[~stopped & ~stopped.shift(-1, fill_value=False)].dropna()
    basis = both["mark"] / both["index"] - 1.0
    is_next = both.index.to_series().diff() == pd.Timedelta(hours=1)
    return basis, basis.diff()[is_next]


def calibrated_night(directory, market, *, as_of, n_accounts, lookback_days):
    """Invented accounts on a recorded market: the book and its findings, the calibrated market and what it found."""
    write_snapshot(directory, n_accounts=n_accounts, seed=1, as_of=as_of, market=market)
    book, findings = assemble([read_snapshot(str(directory / "snapshot"))])
    history = read_history(str(directory / "history.parquet"), as_of=as_of, lookback_days=lookback_days)
    rules = Rules((VenueRules("binance"),))
    return book, findings, *calibrate(book, rules, history, stable_assets={"USDT"}, ewma_decay=DECAY)


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    directory, market = tmp_path_factory.mktemp("recorded"), recorded_market(DATA, as_of=AS_OF)
    book, findings, calibrated, market_findings = calibrated_night(
        directory, market, as_of=AS_OF, n_accounts=2_000, lookback_days=LOOKBACK_DAYS
    )
    findings.extend(market_findings)
    return book, calibrated, findings


def test_the_book_stands_on_the_closes_of_as_of(night):
    book, _, findings = night
    assert set(book.names("instrument")) == {
        f"{coin}USDT" for coin in ("BTC", "ETH", "SOL", "XRP", "ADA", "LTC", "BCH")
    }
    marks = dict(zip(book.names("instrument"), book.mark_price, strict=True))
    prices = dict(zip(book.names("asset"), book.index_price, strict=True))
    assert marks["BTCUSDT"] == 58142.8
    assert prices["BTC"] == 58161.0
    assert marks["BCHUSDT"] == 332.04  # no mark series: the perpetual's close
    assert book.n_accounts == 2_000
    assert not [item for item in findings if item.severity is Severity.ERROR]


def test_tiers_are_those_of_2024_07_20_and_deductions_recompute(night):
    book, _, findings = night
    at = book.names("instrument").index("BTCUSDT")
    tiers = slice(book.instrument_tier_start[at], book.instrument_tier_start[at + 1])
    assert book.tier_maintenance_rate[tiers].tolist()[:4] == [0.004, 0.005, 0.0065, 0.01]
    assert book.tier_deduction[tiers].tolist()[:4] == [0.0, 50.0, 950.0, 11_450.0]
    assert Reason.DEDUCTION_DIFFERS not in {item.reason for item in findings}


def test_depth_comes_from_volume_and_volatility_and_says_so(night):
    book, market, findings = night
    np.testing.assert_allclose(market.depth_bid, 0.4 * book.adv_usd / book.daily_vol)
    assert {Reason.DEFAULT_DEPTH, Reason.NO_INDEX_DEPTH} <= {item.reason for item in findings}


def test_basis_figures_equal_a_direct_computation_from_the_files(night):
    book, market, _ = night
    for at, symbol in enumerate(book.names("instrument")):
        basis, changes = direct_basis(symbol)
        assert market.basis_observations[at] == len(changes)
        assert market.basis[at] == pytest.approx(basis.iloc[-1], abs=1e-15)
        assert market.basis_last[at] == pytest.approx(basis.iloc[-1], abs=1e-15)
        assert market.basis_mean[at] == pytest.approx(basis.mean(), rel=1e-9)
        assert market.basis_realised_vol[at, 0] == pytest.approx(changes.std(), rel=1e-9)
        # Weights of an exponential average: the seed's mean square first, then each later square.
        seed = pd.Series([(changes.iloc[:24] ** 2).mean()])
        variance = pd.concat([seed, changes.iloc[24:] ** 2]).ewm(alpha=1.0 - DECAY, adjust=False).mean()
        assert market.basis_vol_1h[at] == pytest.approx(np.sqrt(variance.iloc[-1]), rel=1e-9)
        innovations = changes.iloc[24:].abs().to_numpy() / np.sqrt(variance.to_numpy()[:-1])
        assert market.basis_innovation_max[at] == pytest.approx(innovations.max(), rel=1e-9)


def test_a_spot_outage_makes_no_false_basis(tmp_path):
    """On 2023-03-24 spot stood still from 11:00 to 14:00 while perpetuals traded on."""
    as_of = datetime(2023, 3, 25, tzinfo=UTC)
    market = recorded_market(DATA, as_of=as_of, history_days=20)
    book, _, calibrated, findings = calibrated_night(tmp_path, market, as_of=as_of, n_accounts=100, lookback_days=20)
    assert {Reason.STALE_PRICE, Reason.MISSING_PRICE} & {item.reason for item in findings}
    at = book.names("instrument").index("BTCUSDT")
    basis, changes = direct_basis("BTCUSDT", as_of, 20)
    assert basis.abs().max() < 50e-4
    assert calibrated.basis_realised_vol[at, 0] == pytest.approx(changes.std(), rel=1e-9)


def test_measured_depth_is_used_when_asked_for_and_labelled_later_than_as_of():
    market = recorded_market(DATA, as_of=AS_OF, use_measured_depth=True, index_depth_coefficient=0.1)
    assert {level.instrument_id for level in market.depth} == {"BTCUSDT", "ETHUSDT"}
    assert "measured on 2024-08-08, LATER THAN as_of" in market.source
    assert all(price.depth_usd_1pct for price in market.prices if price.asset != "USDT")


def test_a_night_on_the_recorded_market_reports_the_basis_of_the_files(tmp_path):
    """The documented command, at a smaller number of accounts, and the report's own table against the files."""
    inputs = tmp_path / "inputs"
    riskpipe_command("synth", inputs, "--accounts", 2000, "--as-of", "2024-08-05T00:00Z", "--market", DATA, check=True)
    data = yaml.safe_load((ROOT / "configs" / "real-2024-08-05.yaml").read_text(encoding="utf-8"))
    places = {"snapshot": str(inputs / "snapshot"), "history": str(inputs / "history.parquet")}
    config = write_config(tmp_path / "c.yaml", data | places | {"store": str(tmp_path / "store"), "executor": "serial"})
    result = json.loads(riskpipe_command("run", config, "--json", check=True).stdout)
    assert result["is_published"]
    assert result["run_id"].startswith("2024-08-05T000000Z-")
    table = pd.read_parquet(Path(result["report"]).parent / "basis.parquet").set_index("instrument")
    assert len(table) == 7
    for symbol, row in table.iterrows():
        basis, changes = direct_basis(symbol, days=90)
        assert row["observations"] == len(changes)
        assert row["basis"] == pytest.approx(basis.iloc[-1], abs=1e-15)
        assert row["mean_basis"] == pytest.approx(basis.mean(), rel=1e-9)
        assert row["basis_vol_realised_1h"] == pytest.approx(changes.std(), rel=1e-9)
        by_day = basis - basis.reindex(basis.index - pd.Timedelta(days=1)).to_numpy()
        assert row["basis_vol_realised_1d"] == pytest.approx(by_day.std(), rel=1e-9)
        assert row["estimator_used"] == "reverting_mixture"
        assert row["basis_vol_7d"] < 0.5 * np.sqrt(168.0) * row["basis_vol_1h"], "the basis reverts"
        assert row["stressed_basis_vol_1h"] > row["basis_vol_1h"]
    cube = open_cube(str(tmp_path / "store"), run_id=result["run_id"])
    scored = cube["validation"].to_dataset().sel(instrument="BTCUSDT", estimator="reverting_mixture")
    _, changes = direct_basis("BTCUSDT", days=90)
    whole = changes.reindex(pd.date_range(changes.index[0], pd.Timestamp(AS_OF), freq="h")).to_numpy()
    direct = score_series(whole, estimators(DECAY)).estimators["reverting_mixture"]
    assert float(scored["qlike"]) == pytest.approx(direct.qlike, rel=1e-9)
    assert scored["hits"].to_numpy().tolist() == [tail.hits for tail in direct.tails.values()]
    assert str(scored["verdict"].values) == direct.verdict
    surface = cube["instruments"].to_dataset()
    is_moved = np.abs(surface["index_shock"].values) >= 0.1
    crash = cube["basis"].to_dataset()["crash_t"].sel(instrument="BTCUSDT")
    assert float(crash) > 1.96, "falls of the index widened the basis of bitcoin in these ninety days"
    assert (surface["basis_vol_is_extrapolated"].sel(instrument="BTCUSDT").to_numpy()[is_moved] == 1.0).all()
