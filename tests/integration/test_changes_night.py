"""What has changed since the previous night: explained after publication, shown in the report, kept outside both."""

import json
import shutil

import pyarrow.parquet as pq
import pytest
from support.nights import riskpipe_command, run_on

from riskpipe.cube.store import open_store
from riskpipe.domain.changes import PARTS
from riskpipe.errors import ConfigError, StoreError
from riskpipe.run.comparisons import compare
from riskpipe.run.publish import render_again
from riskpipe.run.synthesis import synthesise

DAYS = ("2026-01-05T00:00Z", "2026-01-06T00:00Z")
BRAVO = {"impact": {"law": "linear", "kappa": 0.9, "price_floor": 0.5}}


def files_below(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    """Two nights of one book: other accounts, prices and rules."""
    home = tmp_path_factory.mktemp("nights")
    for n, day in enumerate(DAYS):
        synthesise(home / str(n), n_accounts=120 + 20 * n, seed=7 + n, as_of=day)
    run_on(home / "0", home / "store", book="desk")
    (before,) = (home / "store" / "runs").iterdir()
    frozen = files_below(before)
    later = run_on(home / "1", home / "store", book="desk", venues={"alpha": {}, "bravo": BRAVO})
    assert files_below(before) == frozen, "the earlier run is left as it was"
    return home, later


def test_parts_explain_the_whole_change_of_every_headline(nights):
    home, _ = nights
    found = compare(str(home / "store"), book="desk")
    assert not found.problem
    totals = [row for row in found.rows if row.fund == ""]
    assert {row.measure for row in totals} == {"shortfall", "uncovered_loss", "liquidated_notional"}
    for row in found.rows:
        explained = row.program + sum(row.parts.values())
        assert row.after - row.before == pytest.approx(explained, rel=1e-9, abs=1e-3)
    for key in ("positions", "prices", "depth", "parameters"):
        assert any(row.parts[key] != 0.0 for row in found.rows), key
    assert all(row.parts["volatility"] == 0.0 for row in found.rows), "the book has no options"
    by_fund = [row for row in found.rows if row.fund]
    for row in totals:
        same = [one for one in by_fund if (one.axes, one.measure) == (row.axes, row.measure)]
        if same:
            assert sum(one.after for one in same) == pytest.approx(row.after, rel=1e-9)
    counts = {(one.what, one.state): one.count for one in found.one_sided}
    assert counts["account", "new"] > 0
    assert counts["instrument", "vanished"] == counts["instrument", "new"] > 0


def test_the_report_of_the_later_night_shows_it_and_is_rendered_again_the_same(nights, tmp_path):
    home, later = nights
    assert any(line.startswith("Since 2026-01-05 00:00 UTC, uncovered loss at ") for line in later.headline)
    folder = home / "store" / "runs" / later.run_id / "report"
    page = json.loads((folder / "report.json").read_text())
    (section,) = (one for one in page["sections"] if one["name"] == "changes")
    columns = [column["name"] for column in section["blocks"][-2]["columns"]]
    assert set(PARTS) < set(columns)
    written = render_again(str(home / "store"), as_of=None, book="desk", out=tmp_path / "again")
    assert all(file.read_bytes() == (folder / file.name).read_bytes() for file in written)
    (first,) = (path for path in (home / "store" / "runs").iterdir() if path.name != later.run_id)
    assert "Since" not in (first / "report" / "summary.md").read_text()
    rows = [row for row in pq.read_table(folder / "nights.parquet").to_pylist() if row["run"] == first.name]
    earlier = pq.read_table(first / "report" / "range_values.parquet").to_pylist()
    kept = {row["headline"]: row["central"] for row in earlier if row["scope"] == "grid"}
    assert [row["central"] for row in rows] == [
        kept[name] for name in ("uncovered_loss", "shortfall", "liquidated_notional")
    ]
    assert not (first / "report" / "nights.parquet").exists()


def test_the_same_night_again_compares_and_reports_nothing_anew(nights):
    home, later = nights
    before = files_below(home / "store")
    again = run_on(home / "1", home / "store", book="desk", venues={"alpha": {}, "bravo": BRAVO})
    assert (again.was_complete, again.headline) == (True, later.headline)
    assert files_below(home / "store") == before


def test_a_night_that_cannot_be_compared_is_published_and_says_why(nights, tmp_path):
    home, _ = nights
    store = shutil.copytree(home / "store", tmp_path / "store")
    shutil.rmtree(store / "changes")
    (earlier,) = (path for path in (store / "runs").iterdir() if path.name.startswith("2026-01-05"))
    (earlier / "inputs" / "market.npz").unlink()
    later = run_on(home / "1", store, book="desk", venues={"alpha": {}, "bravo": BRAVO})
    assert later.is_published
    assert "Not compared with the night of 2026-01-05 00:00 UTC." in later.headline
    summary = (store / "runs" / later.run_id / "report" / "report.json").read_text()
    assert "market.npz" in summary


def test_the_command_tells_what_it_has_kept_and_refuses_a_later_night_as_the_earlier_one(nights):
    home, later = nights
    said = riskpipe_command("changes", home / "store", "--book", "desk", check=True).stdout
    assert "uncovered loss at" in said
    assert "positions" in said
    (kept,) = open_store(str(home / "store")).list(f"changes/{later.run_id}")
    plain = json.loads(riskpipe_command("changes", home / "store", "--book", "desk", "--json", check=True).stdout)
    assert plain == json.loads((home / "store" / kept).read_text())
    with pytest.raises(ConfigError, match="is not before"):
        compare(str(home / "store"), book="desk", as_of=DAYS[0], since=DAYS[1])
    with pytest.raises(StoreError, match="no published night of book 'desk' before"):
        compare(str(home / "store"), book="desk", as_of=DAYS[0])
