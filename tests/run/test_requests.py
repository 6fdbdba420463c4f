"""A submitter names a configuration below one folder and changes what is computed, and nothing else."""

from datetime import UTC, datetime

import pytest

from riskpipe.errors import ConfigError
from riskpipe.run.requests import check_overrides, config_path, instant_of, instants, is_dated, requested


@pytest.fixture
def folder(tmp_path, monkeypatch):
    configs = tmp_path / "configs"
    (configs / "desk").mkdir(parents=True)
    for name in ("a.yaml", "desk/b.yaml"):
        (configs / name).write_text("snapshot: s\nstore: t\n")
    (tmp_path / "secret.yaml").write_text("snapshot: s\nstore: t\n")
    (configs / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    monkeypatch.setenv("RISKPIPE_CONFIGS", str(configs))
    return configs


@pytest.mark.parametrize("name", ["a.yaml", "desk/b.yaml"])
def test_files_below_the_configs_folder_are_found(folder, name):
    assert config_path(name) == folder / name


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "/etc/x.yaml",
        "../secret.yaml",
        "desk/../a.yaml",
        "./a.yaml",
        "a.txt",
        "",
        "desk\\b.yaml",
        "a.yaml\0",
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_name_that_is_no_plain_way_down_is_refused(name):
    with pytest.raises(ConfigError, match="neither absolute nor with"):
        config_path(name)


@pytest.mark.usefixtures("folder")
def test_a_link_out_of_the_folder_is_refused_and_a_missing_name_lists_those_that_are_there():
    with pytest.raises(ConfigError, match="leads out"):
        config_path("link.yaml")
    with pytest.raises(ConfigError, match=r"there are .*a\.yaml"):
        config_path("c.yaml")


@pytest.mark.parametrize(
    "override", ["executor={class: os.system}", " store=/tmp/x", "snapshot=s3://x", "history=h", "book=theirs",
                 "security.ca=x", "n_workers=99", "limits.blocks=1", "executor .class=os.system"]
)  # fmt: skip
def test_a_submitter_cannot_choose_where_things_are_who_computes_them_or_whose_they_are(override):
    check_overrides(["scenarios.grid.vol_shock=[0.0]"])
    with pytest.raises(ConfigError, match="cannot set"):
        check_overrides(["scenarios.grid.vol_shock=[0.0]", override])


def test_local_means_the_deployments_scheduler_where_there_is_one(folder, monkeypatch):
    assert requested("a.yaml").executor == "local"
    monkeypatch.setenv("RISKPIPE_SCHEDULER", "tcp://127.0.0.1:8786")
    assert requested("a.yaml").executor == "tcp://127.0.0.1:8786"
    (folder / "a.yaml").write_text("snapshot: s\nstore: t\nexecutor: serial\n")
    assert requested("a.yaml").executor == "serial"


def test_a_range_has_both_its_ends_and_is_neither_empty_nor_endless():
    found = instants("2024-02-27T00:00Z", "2024-03-01T00:00Z")
    assert [instant.day for instant in found] == [27, 28, 29, 1]
    assert len(instants("2024-02-27T00:00Z", "2024-02-27T10:00Z", step_hours=5)) == 3
    with pytest.raises(ConfigError, match="before its start"):
        instants("2024-02-27T00:00Z", "2024-02-26T00:00Z")
    with pytest.raises(ConfigError, match="ask for less"):
        instants("1024-02-27T00:00Z", "2024-02-26T00:00Z")


def test_only_a_snapshot_with_a_date_to_fill_in_serves_many_nights(folder):
    assert not is_dated("a.yaml")
    (folder / "a.yaml").write_text("snapshot: 's/{date}'\nstore: t\n")
    assert is_dated("a.yaml")


def test_what_is_due_is_of_that_instant_only_where_there_is_a_date_to_fill_in(folder):
    due, asked = datetime(2024, 8, 5, tzinfo=UTC), "2024-08-06T00:00Z"
    assert instant_of("a.yaml") is None
    assert instant_of("a.yaml", due=due) is None
    assert instant_of("a.yaml", as_of=asked, due=due) == datetime(2024, 8, 6, tzinfo=UTC)
    (folder / "a.yaml").write_text("snapshot: 's/{as_of}'\nstore: t\n")
    assert instant_of("a.yaml", due=due) == due
    assert instant_of("a.yaml", as_of=asked, due=due) == datetime(2024, 8, 6, tzinfo=UTC)
