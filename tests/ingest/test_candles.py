"""Recorded candles: a bar is known when it closes, and what a recording lacks is said, not hidden."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from riskpipe.errors import InputRefused
from riskpipe.ingest.candles import recorded_market

AS_OF = datetime(2024, 8, 5, tzinfo=UTC)
N_HOURS = 24 * 40


def bars(symbol, start_price, seed, hours_after=0):
    """Bars labelled by their opening, the last of which closes hours_after as_of."""
    rng = np.random.default_rng(seed)
    n = N_HOURS + hours_after
    last_open = pd.Timestamp(AS_OF) + pd.Timedelta(hours=hours_after - 1)
    close = start_price * np.exp(np.cumsum(rng.normal(0.0, 0.01, n)))
    return pd.DataFrame({
        "symbol": symbol,
        "ts": pd.date_range(end=last_open, periods=n, freq="h").as_unit("ms"),
        "close": close,
        "volume": rng.uniform(10.0, 20.0, n),
    })  # fmt: skip


def recording(folder, *, hours_after=0, edit=lambda frames: frames):
    frames = {
        "spot_1h": pd.concat([bars("BTCUSDT", 6e4, 1, hours_after), bars("BCHUSDT", 300.0, 2, hours_after)]),
        "perp_1h": pd.concat([bars("BTCUSDT", 6e4, 3, hours_after), bars("BCHUSDT", 300.0, 4, hours_after)]),
        "mark_1h": bars("BTCUSDT", 6e4, 5, hours_after).drop(columns="volume"),
        "funding": pd.DataFrame({
            "symbol": ["BTCUSDT"] * 2,
            "ts": [pd.Timestamp(AS_OF), pd.Timestamp(AS_OF) + pd.Timedelta(hours=8)],
            "funding_rate": [1e-4, 9e-4],
        }),
    }  # fmt: skip
    (folder / "binance_hourly").mkdir(parents=True)
    for name, frame in edit(frames).items():
        frame.to_parquet(folder / "binance_hourly" / f"{name}.parquet")
    tiers = [
        (date, f"{coin}/USDT:USDT", floor, rate * rate_factor, leverage, cum * rate_factor)
        for date, rate_factor in (("2024-06-27", 2.0), ("2024-07-20", 1.0), ("2024-08-29", 3.0))
        for coin in ("BTC", "BCH")
        for floor, rate, leverage, cum in ((0.0, 0.004, 125.0, 0.0), (5e4, 0.005, 100.0, 50.0))
    ]  # fmt: skip
    (folder / "leverage_tiers").mkdir()
    columns = ["asof", "symbol", "min_notional", "mmr", "max_leverage", "cum"]
    pd.DataFrame(tiers, columns=columns).to_parquet(
        folder / "leverage_tiers" / "binance_usdm_history_monthly_20coins.parquet"
    )
    return folder


def test_quotes_are_the_closes_of_the_bars_that_opened_an_hour_before(tmp_path):
    market = recorded_market(recording(tmp_path), as_of=AS_OF)
    marks = {row.instrument_id: row.mark_price for row in market.instruments}
    assert marks["BTCUSDT"] == bars("BTCUSDT", 6e4, 5)["close"].iloc[-1]
    assert marks["BCHUSDT"] == bars("BCHUSDT", 300.0, 4)["close"].iloc[-1]
    assert "perpetual close stands for the mark of BCHUSDT" in market.source
    prices = {row.asset: row.index_price for row in market.prices}
    assert prices == {
        "BTC": bars("BTCUSDT", 6e4, 1)["close"].iloc[-1],
        "BCH": bars("BCHUSDT", 300.0, 2)["close"].iloc[-1],
        "USDT": 1.0,
    }
    perpetual = bars("BTCUSDT", 6e4, 3)
    (bitcoin,) = (row for row in market.instruments if row.underlying == "BTC")
    month = perpetual.tail(720)
    assert bitcoin.adv_usd == pytest.approx((month["volume"] * month["close"]).sum() / 30)
    daily = np.log(perpetual["close"].iloc[::-24][:31])
    assert bitcoin.daily_vol == pytest.approx(daily.diff().std())
    assert bitcoin.funding_rate == 1e-4


def test_bars_that_close_later_change_nothing(tmp_path):
    def without_later(frames):
        last_open = pd.Timestamp(AS_OF) - pd.Timedelta(hours=1)
        known = {name: frame[frame["ts"] <= last_open] for name, frame in frames.items()}
        return {**known, "funding": frames["funding"].head(1)}

    known = recorded_market(recording(tmp_path / "known", hours_after=50, edit=without_later), as_of=AS_OF)
    later = recorded_market(recording(tmp_path / "later", hours_after=50), as_of=AS_OF)
    assert known.instruments == later.instruments
    assert known.prices == later.prices
    assert known.history.equals(later.history)
    assert pd.Timestamp(known.history["ts"].to_pandas().max()) == pd.Timestamp(AS_OF)


def test_tiers_are_the_latest_at_or_before_as_of(tmp_path):
    market = recorded_market(recording(tmp_path), as_of=AS_OF)
    assert [
        (t.floor, t.initial_rate, t.maintenance_rate, t.deduction) for t in market.tiers if t.tier_schedule == "BTCUSDT"
    ] == [
        (0.0, 1 / 125, 0.004, 0.0),
        (5e4, 0.01, 0.005, 50.0),
    ]
    assert "margin tiers of 2024-07-20" in market.source


def test_stale_and_missing_bars_reach_the_history_as_they_are(tmp_path):
    def hurt(frames):
        spot = frames["spot_1h"].reset_index(drop=True)
        spot.loc[spot["ts"] == pd.Timestamp(AS_OF) - timedelta(hours=5), "volume"] = 0.0
        return {**frames, "spot_1h": spot[spot["ts"] != pd.Timestamp(AS_OF) - timedelta(hours=9)]}

    history = recorded_market(recording(tmp_path, edit=hurt), as_of=AS_OF).history.to_pandas()
    rows = history[history["instrument_id"] == "BTCUSDT"].set_index("ts")
    assert rows.loc[pd.Timestamp(AS_OF) - timedelta(hours=4), "index_volume_usd"] == 0.0
    assert np.isnan(rows.loc[pd.Timestamp(AS_OF) - timedelta(hours=8), "index_price"])
    assert np.isfinite(rows.loc[pd.Timestamp(AS_OF) - timedelta(hours=8), "mark_price"])


def test_a_contract_that_cannot_be_quoted_is_left_out_by_name(tmp_path):
    def hurt(frames):
        spot = frames["spot_1h"]
        is_last = (spot["ts"] == pd.Timestamp(AS_OF) - timedelta(hours=1)) & (spot["symbol"] == "BCHUSDT")
        return {**frames, "spot_1h": spot[~is_last]}

    market = recorded_market(recording(tmp_path, edit=hurt), as_of=AS_OF)
    assert [row.instrument_id for row in market.instruments] == ["BTCUSDT"]
    assert "left out: BCHUSDT (no traded spot bar closes at as_of)" in market.source


def test_missing_files_doubled_bars_and_empty_days_are_refused(tmp_path):
    with pytest.raises(InputRefused, match="4 problems"):
        recorded_market(tmp_path, as_of=AS_OF)
    recording(tmp_path / "good")
    with pytest.raises(InputRefused, match="as of 2024-08-30"):
        recorded_market(tmp_path / "good", as_of=AS_OF + timedelta(days=25))

    def doubled(frames):
        return {**frames, "perp_1h": pd.concat([frames["perp_1h"], frames["perp_1h"].tail(2)])}

    with pytest.raises(InputRefused, match=r"perp_1h.parquet has 2 bars twice"):
        recorded_market(recording(tmp_path / "doubled", edit=doubled), as_of=AS_OF)
