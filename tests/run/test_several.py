"""Several nights on one cluster: a failing one stops no other and is named; what is published is not done again."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import yaml
from support.nights import settings

from riskpipe.cube.catalogue import published
from riskpipe.cube.store import open_store
from riskpipe.errors import AlertsUndelivered, ConfigError, NightsMissing
from riskpipe.run.alerts import Alerts
from riskpipe.run.preflight import Forecast
from riskpipe.run.requests import requested
from riskpipe.run.several import Asked, priority_of, run_backfill, run_books, run_several
from riskpipe.run.synthesis import synthesise

GRID = {"grid": {"index_shock": [-0.3, 0.0]}}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Snapshots of two nights, and one that is broken between them."""
    folder = tmp_path_factory.mktemp("several")
    for day in (5, 7):
        synthesise(folder / f"2026-01-0{day}", n_accounts=40, seed=day, as_of=f"2026-01-0{day}T00:00Z")
    shutil.copytree(folder / "2026-01-05", folder / "2026-01-06")
    (folder / "2026-01-06/snapshot/quotes.parquet").unlink()
    return folder


def write(folder, name, inputs, day="{date}", **changes):
    data = settings(inputs / day, folder / "store", scenarios=GRID, variants={}, history=None, book=name) | changes
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(data))


@pytest.fixture
def configs(tmp_path, monkeypatch):
    monkeypatch.setenv("RISKPIPE_CONFIGS", str(tmp_path))
    return tmp_path


def test_a_failing_book_stops_no_other_and_is_named_with_its_reason(configs, inputs):
    write(configs, "good", inputs, "2026-01-05")
    write(configs, "bad", inputs, "2026-01-06")
    write(configs, "last", inputs, "2026-01-07")
    (configs / "typo.yaml").write_text("snapsot: x\n")
    nights = run_books(["good.yaml", "bad.yaml", "typo.yaml", "last.yaml"], urgent=["last.yaml"])
    assert list(nights.done) == ["last.yaml", "good.yaml"], "the urgent one goes first"
    assert sorted(nights.missing) == ["bad.yaml", "typo.yaml"]
    assert "quotes" in nights.missing["bad.yaml"]
    assert "did you mean 'snapshot'" in nights.missing["typo.yaml"]
    assert sorted(night.book for night in published(open_store(str(configs / "store")))) == ["good", "last"]
    with pytest.raises(NightsMissing, match=r"2 of 4 nights are missing: .*bad\.yaml") as caught:
        nights.require_all()
    assert caught.value.exit_code == 5


def test_of_books_that_are_due_dated_ones_are_of_that_night_and_others_of_their_snapshots(configs, inputs):
    write(configs, "dated", inputs)
    write(configs, "newest", inputs, "2026-01-05")
    nights = run_books(["dated.yaml", "newest.yaml"], due=datetime(2026, 1, 7, tzinfo=UTC))
    nights.require_all()
    assert {name: night.as_of.day for name, night in nights.done.items()} == {"dated.yaml": 7, "newest.yaml": 5}
    asked = run_books(["newest.yaml"], as_of="2026-01-07T00:00Z")
    assert "the night asked for is 2026-01-07T000000Z" in asked.missing["newest.yaml"]
    with pytest.raises(ConfigError, match="yesterday"):
        run_books(["newest.yaml"], as_of="yesterday")


def test_a_backfill_skips_what_is_published_names_what_fails_and_goes_on(configs, inputs):
    write(configs, "range", inputs)
    first = run_backfill("range.yaml", "2026-01-05T00:00Z", "2026-01-07T00:00Z")
    assert sorted(first.done) == ["2026-01-05T000000Z", "2026-01-07T000000Z"]
    assert list(first.missing) == ["2026-01-06T000000Z"]
    again = run_backfill("range.yaml", "2026-01-05T00:00Z", "2026-01-07T00:00Z")
    assert again.skipped == sorted(first.done)
    assert not again.done
    assert list(again.missing) == ["2026-01-06T000000Z"]


def test_every_night_of_which_somebody_could_not_be_told_is_named_with_what_tells_it(configs, inputs):
    write(configs, "range", inputs)
    nights = run_backfill("range.yaml", "2026-01-05T00:00Z", "2026-01-07T00:00Z", step_hours=48)
    nights.conclude()
    unheard = Alerts(failed={"RISKPIPE_DESK": "it is down"}, n_due=1, n_addresses=1)
    nights.done = {name: replace(night, alerts=unheard) for name, night in nights.done.items()}
    with pytest.raises(AlertsUndelivered) as caught:
        nights.conclude()
    assert len(nights.done) == 2
    for night in nights.done.values():
        assert f"night {night.run_id} is published" in str(caught.value)
    assert "the same night again (but not by a backfill" in str(caught.value)


def test_a_backfill_of_an_undated_snapshot_is_refused(configs, inputs):
    write(configs, "one", inputs, "2026-01-05")
    with pytest.raises(ConfigError, match="of one night only"):
        run_backfill("one.yaml", "2026-01-05T00:00Z", "2026-01-07T00:00Z")


def test_books_that_cannot_share_a_cluster_or_a_name_are_refused_before_any_runs(configs, inputs):
    write(configs, "a", inputs, "2026-01-05")
    write(configs, "b", inputs, "2026-01-05", executor="local", book="a")
    at = datetime(2026, 1, 5, tzinfo=UTC)
    asked = [Asked(name, requested(f"{name}.yaml"), at) for name in "ab"]
    with pytest.raises(ConfigError, match=r"another executor(.|\n)*the same book of one night"):
        run_several(asked)
    assert not (configs / "store").exists()


def test_small_nights_go_before_large_ones_and_urgent_ones_before_all():
    def forecast(core_seconds):
        return Forecast(1, 1, 1, 1.0, core_seconds, 1, {}, 1, 1, 1)

    small, large = forecast(10.0), forecast(1e6)
    assert priority_of(small, is_urgent=False) > priority_of(large, is_urgent=False)
    assert priority_of(large, is_urgent=True) > priority_of(small, is_urgent=False)
