"""Recorded hourly candles of perpetuals and of their spot markets, as rows of a price history."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from riskpipe.calibrate.history import HOUR_US

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "binance_hourly"
needs_candles = pytest.mark.skipif(not DATA.is_dir(), reason=f"recorded market data is not at ../shared/data ({DATA})")


def candle_rows(symbol):
    """Rows of a perpetual at each bar's close, by time: its closes are the marks, spot's the index (null without)."""
    spot, perpetual = (
        pq.read_table(DATA / f"{name}.parquet", filters=[("symbol", "==", symbol)], columns=["ts", "close", "volume"])
        for name in ("spot_1h", "perp_1h")
    )
    both = perpetual.join(spot, keys="ts", right_suffix="_spot", join_type="left outer").sort_by("ts")
    microseconds = pa.timestamp("us", tz="UTC")
    n = len(both)
    return pa.table(
        {
            "ts": pc.add(both["ts"].cast(microseconds).cast(pa.int64()), HOUR_US).cast(microseconds),
            "instrument_id": pa.array([symbol] * n),
            "asset": pa.nulls(n, pa.string()),
            "mark_price": both["close"],
            "index_price": both["close_spot"],
            "funding_rate": pa.nulls(n, pa.float64()),
            "volume_usd": pc.multiply(both["volume"], both["close"]),
            "index_volume_usd": pc.fill_null(both["volume_spot"], 0.0),
        }
    )
