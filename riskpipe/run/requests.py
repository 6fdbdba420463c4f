"""Requests: what someone who submits a night may choose, and what belongs to the machine that runs it.

A submitter names a configuration by its file below the deployment's folder and may change what is computed. Where
inputs and results lie, who computes, under which limits and whose night it becomes stays with that file.
"""

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, Field

from riskpipe.config import RunConfig, load, read_as_of
from riskpipe.errors import ConfigError

CONFIGS_VARIABLE = "RISKPIPE_CONFIGS"
SCHEDULER_VARIABLE = "RISKPIPE_SCHEDULER"
NOT_FOR_SUBMITTERS = (
    "alerts", "book", "executor", "history", "limits", "n_workers", "risk_limits", "security", "snapshot", "store",
)  # fmt: skip
LONGEST_BACKFILL = 4000


def configs_folder() -> Path:
    """Return the folder below which a deployment's configurations lie: RISKPIPE_CONFIGS, else `configs` here."""
    return Path(os.environ.get(CONFIGS_VARIABLE) or "configs").resolve()


def check_name(name: str) -> str:
    """Return the name of a configuration as it is; ValueError unless it is a plain path of a YAML file, going down."""
    path = PurePosixPath(name)
    is_plain = name == str(path) and not path.is_absolute() and ".." not in path.parts and "\\" not in name
    if not (is_plain and name.isprintable() and path.suffix in {".yaml", ".yml"}):
        raise ValueError(
            f"configuration {name!r}: expected the name of a YAML file below the deployment's configs folder, such as "
            "nightly.yaml, neither absolute nor with .."
        )
    return name


def check_instant(text: str) -> str:
    """Return an instant's text as it is; ValueError when it is none."""
    try:
        read_as_of(text)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    return text


ConfigName = Annotated[str, Field(pattern=r"^[^/\\]+(/[^/\\]+)*\.ya?ml$", max_length=200), AfterValidator(check_name)]
"""Parameter of a flow: the name of a configuration."""
InstantText = Annotated[str, Field(max_length=40), AfterValidator(check_instant)]
"""Parameter of a flow: an instant such as 2024-08-05T00:00Z."""
Override = Annotated[str, Field(pattern=r"^[^=]+=", max_length=10_000)]
"""Parameter of a flow: KEY=VALUE."""


def config_path(name: str) -> Path:
    """Return the file of a named configuration; ConfigError when it is none or leads out of the configs folder."""
    folder = configs_folder()
    try:
        file = (folder / check_name(name)).resolve()
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if not file.is_relative_to(folder):
        raise ConfigError(f"configuration {name!r} leads out of the deployment's configs folder")
    if not file.is_file():
        known = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.yaml"))
        raise ConfigError(f"there is no configuration {name!r}; there are {', '.join(known[:20]) or 'none'}")
    return file


def check_overrides(overrides: Sequence[str]) -> None:
    """Refuse overrides that would choose what is read, where results go, who computes them, limits, or whose they are.

    Raises ConfigError naming every such key.
    """
    keys = [override.partition("=")[0].strip() for override in overrides]
    refused = [key for key in keys if key.split(".")[0].strip() in NOT_FOR_SUBMITTERS]
    if refused:
        raise ConfigError(
            f"a flow's overrides cannot set {', '.join(refused)}: these belong to the configuration file on the "
            "machine that runs the flow"
        )


def requested(config: str, overrides: Sequence[str] = (), as_of: datetime | None = None) -> RunConfig:
    """Load a configuration as a submitter asks for it.

    Where the deployment has a scheduler (RISKPIPE_SCHEDULER, its address), `executor: local` means that one.
    """
    check_overrides(overrides)
    settings = load(config_path(config), overrides, as_of)
    scheduler = os.environ.get(SCHEDULER_VARIABLE)
    if scheduler and settings.executor == "local":
        return settings.model_copy(update={"executor": scheduler})
    return settings


def is_dated(config: str, overrides: Sequence[str] = ()) -> bool:
    """Tell whether a configuration's snapshot has a date to fill in, so that it serves many nights."""
    one, other = (requested(config, overrides, datetime(year, 1, 1, tzinfo=UTC)) for year in (2001, 2002))
    return one.snapshots != other.snapshots


def instant_of(
    config: str, overrides: Sequence[str] = (), *, as_of: str | None = None, due: datetime | None = None
) -> datetime | None:
    """Return the instant that a request is for: as asked, else when it is due where the configuration is dated.

    None = whichever instant its snapshot is of: a folder that holds the newest snapshot has no date to fill in.
    """
    if as_of is not None:
        return read_as_of(as_of)
    return due if due is not None and is_dated(config, overrides) else None


def instants(start: str, end: str, *, step_hours: int = 24) -> list[datetime]:
    """Return the nights of a range, both ends included; ConfigError for an empty or endless one."""
    first, last = read_as_of(start), read_as_of(end)
    if last < first:
        raise ConfigError(f"the range ends at {end}, before its start {start}")
    if step_hours < 1 or (last - first) / timedelta(hours=step_hours) >= LONGEST_BACKFILL:
        raise ConfigError(f"a range of more than {LONGEST_BACKFILL} nights, or a step under an hour: ask for less")
    step = timedelta(hours=step_hours)
    return [first + n * step for n in range(int((last - first) / step) + 1)]
