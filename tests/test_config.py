"""Configurations: what is mistyped is refused with its place, never read as something else."""

from pathlib import Path

import pytest
import yaml

from riskpipe.config import load, resolve
from riskpipe.errors import ConfigError

PLAIN = {"snapshot": "s", "store": "t", "executor": "serial"}


def read(tmp_path, text, *overrides):
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, overrides)


def test_every_key_that_stands_twice_is_named_with_its_lines(tmp_path):
    text = """\
snapshot: s
store: t
venues:
  alpha: {fund_haircut: 0.1, fund_haircut: 0.2}
scenarios:
  grid:
    index_shock: [-0.1]
    index_shock: [-0.2]
store: elsewhere
"""
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, text)
    said = str(refused.value)
    assert "3 problems" in said
    assert "line 4: key venues.alpha.fund_haircut stands on line 4 already" in said
    assert "line 8: key scenarios.grid.index_shock stands on line 7 already" in said
    assert "line 9: key store stands on line 2 already" in said
    with pytest.raises(ConfigError, match="key blocks stands on line 1 already"):
        read(tmp_path, "snapshot: s\nstore: t\n", "limits={blocks: 1, blocks: 2}")


def test_equal_keys_of_different_mappings_and_aliases_are_no_repetition(tmp_path):
    text = """\
snapshot: s
store: t
venues:
  alpha: &rules {impact: {kappa: 0.3}}
  bravo: *rules
  charlie: {<<: *rules, fund_haircut: 0.1}
"""
    venues = read(tmp_path, text).venues
    assert [venue.impact.kappa for venue in venues.values()] == [0.3, 0.3, 0.3]


@pytest.mark.parametrize(
    ("key", "written"),
    [
        ("venues.alpha.impact.kappa", "yes"),
        ("venues.alpha.liquidation.close_out_alpha", "on"),
        ("venues.alpha.liquidation.max_rounds", "true"),
        ("scenarios.grid.index_shock", "[no]"),
        ("variants.gap_share", "[on, 0.5]"),
        ("block_size", "yes"),
        ("n_workers", "on"),
        ("limits.blocks", "on"),
        ("calibration.ewma_decay", "yes"),
    ],
)
def test_yes_and_no_are_no_numbers(key, written):
    data = yaml.safe_load(yaml.safe_dump(PLAIN))
    with pytest.raises(ConfigError, match="YAML reads yes, no, on and off as true and false"):
        resolve(data, subject="test", overrides=[f"{key}={written}"])


def test_numbers_that_yaml_reads_as_text_are_numbers(tmp_path):
    config = read(tmp_path, "snapshot: s\nstore: t\nvenues: {alpha: {impact: {kappa: 1e-3}}}\n")
    assert config.venues["alpha"].impact.kappa == 0.001


def test_a_tilde_is_the_home_it_stands_for(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    config = resolve({"snapshot": ["~/a", "s3://b/~c"], "history": "~/h.parquet", "store": "~/store"}, subject="test")
    assert config.snapshots == ("/home/somebody/a", "s3://b/~c")
    assert (config.history, config.store) == ("/home/somebody/h.parquet", "/home/somebody/store")
    assert Path("~").expanduser() == Path("/home/somebody")
    with pytest.raises(ConfigError, match="no such home"):
        resolve(PLAIN | {"store": "~nobody-of-this-name/store"}, subject="test")


def test_limits_are_strict():
    with pytest.raises(ConfigError, match=r"unknown key limits\.block: did you mean 'blocks'"):
        resolve(PLAIN | {"limits": {"block": 3}}, subject="test")
    with pytest.raises(ConfigError, match=r"limits\.store_bytes: .*greater than or equal to 1"):
        resolve(PLAIN | {"limits": {"store_bytes": 0}}, subject="test")
