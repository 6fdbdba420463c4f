"""A night that reports liquidations holds them against the previous night's book, and says so in its report."""

import json
from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest
from support.nights import run_on

from riskpipe.domain.tables import REALISED_LIQUIDATIONS
from riskpipe.ingest.write import records
from riskpipe.run.publish import render_again
from riskpipe.run.synthesis import synthesise


def test_reported_liquidations_are_held_against_the_previous_nights_book(tmp_path):
    for n, day in enumerate(("2026-01-05T00:00Z", "2026-01-06T00:00Z")):
        synthesise(tmp_path / str(n), n_accounts=60, seed=7, as_of=day)
    label = pq.read_table(tmp_path / "1" / "snapshot" / "instruments.parquet")["instrument_id"][0].as_py()
    row = {"ts": datetime(2026, 1, 5, 12, tzinfo=UTC), "instrument_id": label, "side": "long", "quantity": 1.0,
           "fill_price": 100.0, "bankruptcy_price": 101.0, "fund_pnl": -1.5}  # fmt: skip
    table = records(REALISED_LIQUIDATIONS.name, [row, row | {"instrument_id": "<b>nobody</b>"}])
    pq.write_table(table, tmp_path / "1" / "snapshot" / "realised_liquidations.parquet")
    run_on(tmp_path / "0", tmp_path / "store")
    later = run_on(tmp_path / "1", tmp_path / "store")
    (said,) = (line for line in later.headline if "of liquidations were reported" in line)
    assert "on prices alone" in said
    folder = tmp_path / "store" / "runs" / later.run_id / "report"
    report = json.loads((folder / "report.json").read_text())
    (section,) = (one for one in report["sections"] if one["name"] == "engine_backtest")
    assert "1 row: the instrument is in neither night" in json.dumps(section)
    (funds,) = (block for block in section["blocks"] if block.get("name") == "backtest_funds")
    names = [column["name"] for column in funds["columns"]]
    changes = [dict(zip(names, values, strict=True))["change"] for values in funds["rows"]]
    assert sum(change for change in changes if change is not None) == pytest.approx(-1.5)
    written = render_again(str(tmp_path / "store"), as_of=None, book="", out=tmp_path / "again")
    assert all(file.read_bytes() == (folder / file.name).read_bytes() for file in written)
    assert not any(
        "of liquidations were reported" in line for line in run_on(tmp_path / "0", tmp_path / "store").headline
    )
