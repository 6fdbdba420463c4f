"""A run's configuration: one YAML file, strict keys, defaults visible here.

Reading never stops at the first mistake: every unknown key (with the nearest known one) and every bad value is listed.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from riskpipe.config.alerts import AlertsConfig, LimitName, RiskLimitConfig
from riskpipe.config.sections import (
    CalibrationConfig,
    ExecutorClass,
    LimitsConfig,
    ReportConfig,
    ScenariosConfig,
    SecurityConfig,
    VariantsConfig,
)
from riskpipe.domain.instant import format_as_of, parse_as_of
from riskpipe.errors import ConfigError
from riskpipe.strict_yaml import closest_model, explained, nearest, read_yaml, unknown_keys
from riskpipe.venues.fields import Float, Int, Share, Strict
from riskpipe.venues.files import VenueFile, in_force
from riskpipe.venues.rules import IndexImpactConfig, VenueConfig


def _venue(value: Any) -> Any:  # noqa: ANN401  what a YAML file may hold
    if isinstance(value, VenueConfig | VenueFile):
        return value
    if not isinstance(value, dict):
        raise ValueError("expected a mapping of rules, or the name of a file under configs/venues")  # noqa: TRY004
    return closest_model([VenueConfig, VenueFile], value).model_validate(value)


Name = Annotated[str, Field(pattern=r"^([A-Za-z0-9_-][A-Za-z0-9._-]*)?$")]
Venue = Annotated[VenueConfig | VenueFile, BeforeValidator(_venue)]

DEFAULT_STABLE_ASSETS = ("USD", "USDT", "USDC", "DAI", "FDUSD", "PYUSD")

# what a run's identity leaves out: where things are, how they are computed, and what is done with the results
NOT_KEYED = {
    "snapshot",
    "history",
    "store",
    "executor",
    "n_workers",
    "block_size",
    "block_timeout_seconds",
    "limits",
    "report",
    "risk_limits",
    "alerts",
    "security",
}


class RunConfig(Strict):
    """A run: what is read, computed and published."""

    book: Name = ""
    snapshot: Annotated[str, Field(min_length=1)] | Annotated[tuple[str, ...], Field(min_length=1)]
    history: str | None = None
    store: str
    executor: str | ExecutorClass = "local"
    n_workers: Annotated[Int, Field(ge=1)] | None = None
    security: SecurityConfig | None = None
    """None = the files that RISKPIPE_TLS_CA, RISKPIPE_TLS_CERT and RISKPIPE_TLS_KEY name, if any."""
    block_size: Annotated[Int, Field(ge=1)] | Literal["auto"] = "auto"
    block_timeout_seconds: Annotated[Float, Field(gt=0.0)] = 900.0
    max_quarantined_share: Share = 0.01
    stable_assets: tuple[str, ...] = DEFAULT_STABLE_ASSETS
    index_beta: dict[str, Float] = Field(default_factory=dict)
    """Moves per unit of the index axis by asset, over those of the snapshot: with one asset at 1 and the rest at 0 the
    axis is that asset's own."""
    index_impact: IndexImpactConfig = IndexImpactConfig()
    calibration: CalibrationConfig = CalibrationConfig()
    scenarios: ScenariosConfig = ScenariosConfig()
    variants: VariantsConfig = VariantsConfig()
    venues: dict[str, Venue] = Field(default_factory=dict)
    limits: LimitsConfig = LimitsConfig()
    report: ReportConfig = ReportConfig()
    risk_limits: dict[LimitName, RiskLimitConfig] = Field(default_factory=dict)
    """Limits on measures, by name: what the results may be. `limits` are on what the run may take."""
    alerts: AlertsConfig = AlertsConfig()

    @model_validator(mode="after")
    def _executor_is_known(self) -> Self:
        spec = self.executor
        if isinstance(spec, str) and spec not in {"serial", "local"} and not re.match(r"^(tcp|tls)://[^/]+:\d+$", spec):
            raise ValueError(
                f"executor {spec!r} is not serial, local, tcp://host:port, tls://host:port or {{class: dotted.Name}}"
            )
        return self

    @model_validator(mode="after")
    def _simulated_has_history(self) -> Self:
        if self.scenarios.simulated is not None and self.history is None:
            raise ValueError("scenarios.simulated draws from the price history: give history, or leave it out")
        return self

    @property
    def snapshots(self) -> tuple[str, ...]:
        """The snapshot locations, one per venue or book."""
        return (self.snapshot,) if isinstance(self.snapshot, str) else self.snapshot

    def venues_at(self, as_of: datetime) -> dict[str, VenueConfig]:
        """Return every venue's rules in force at an instant; ConfigError names each venue that has none by then."""
        found, problems = {}, []
        for name, venue in self.venues.items():
            try:
                found[name] = in_force(venue, as_of, f"venue {name!r}")
            except ConfigError as error:
                problems.append(str(error))
        if problems:
            raise ConfigError("; ".join(problems))
        return found

    def keyed(self) -> dict[str, Any]:
        """Return the resolved configuration as it enters the run's identity: plain JSON values, files inlined."""
        return self.model_dump(mode="json", exclude=NOT_KEYED, by_alias=True)


def shipped(kind: str) -> Path:
    """Return the folder of shipped configurations (venues, scenarios, reports)."""
    package = Path(__file__).parent.parent
    inside = package / "configs"
    return (inside if inside.is_dir() else package.parent / "configs") / kind


def load(path: str | Path, overrides: Sequence[str] = (), as_of: datetime | None = None) -> RunConfig:
    """Read a run's YAML file, apply `key.path=value` overrides, inline named files and fill {as_of} and {date}.

    Raises ConfigError listing everything wrong at once.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not UTF-8 text") from error
    except OSError as error:
        raise ConfigError(f"cannot read configuration {file}: {error.strerror or error}") from error
    return resolve(read_yaml(text, str(file)), subject=str(file), overrides=overrides, as_of=as_of)


def resolve(
    data: Any,  # noqa: ANN401  what a YAML file may hold
    *,
    subject: str,
    overrides: Sequence[str] = (),
    as_of: datetime | None = None,
) -> RunConfig:
    """Turn raw values into a RunConfig; see `load`."""
    if not isinstance(data, dict):
        raise ConfigError(f"{subject}: expected a mapping of keys, got {type(data).__name__}")
    for override in overrides:
        _override(data, override)
    problems = _inline_files(data)
    problems += unknown_keys(RunConfig, data)
    try:
        config = RunConfig.model_validate(data)
    except ValidationError as error:
        problems += [explained(item) for item in error.errors() if item["type"] != "extra_forbidden"]
    if problems:
        listed = "".join(f"\n  - {problem}" for problem in problems)
        raise ConfigError(f"{subject}: {len(problems)} problem{'s' if len(problems) > 1 else ''}{listed}")
    places = {
        "snapshot": tuple(_at_home(_fill_date(uri, as_of)) for uri in config.snapshots),
        "history": None if config.history is None else _at_home(config.history),
        "store": _at_home(config.store),
    }
    return config.model_copy(update=places)


def _override(data: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise ConfigError(
            f"--set {override!r}: expected KEY=VALUE with dots between keys, such as scenarios.grid.vol_shock=[0]"
        )
    value = read_yaml(text, f"the value of --set {override!r}")
    node = data
    for key in keys[:-1]:
        below = node.setdefault(key, {})
        if not isinstance(below, dict):
            raise ConfigError(f"--set {override!r}: {key} holds {below!r}, not a mapping")
        node = below
    node[keys[-1]] = value


def _inline_files(data: dict[str, Any]) -> list[str]:
    problems: list[str] = []
    venues = data.get("venues")
    if isinstance(venues, dict):
        for venue, value in venues.items():
            if value is None:
                venues[venue] = {}
            elif isinstance(value, str):
                venues[venue] = _named_file("venues", value, f"venues.{venue}", problems)
    scenarios = data.get("scenarios")
    presets = scenarios.get("presets") if isinstance(scenarios, dict) else None
    if isinstance(scenarios, dict) and isinstance(presets, list):
        scenarios["presets"] = [
            _named_file("scenarios", name, f"scenarios.presets[{n}]", problems) if isinstance(name, str) else name
            for n, name in enumerate(presets)
        ]
    return problems


def _named_file(kind: str, name: str, where: str, problems: list[str]) -> Any:  # noqa: ANN401
    known = sorted(file.stem for file in shipped(kind).glob("*.yaml"))
    if name not in known:
        problems.append(f"{where}: no file {name!r} under configs/{kind}{nearest(name, known)}")
        return {}
    file = shipped(kind) / f"{name}.yaml"
    return read_yaml(file.read_text(encoding="utf-8"), str(file))


def _fill_date(uri: str, as_of: datetime | None) -> str:
    if "{as_of}" not in uri and "{date}" not in uri:
        return uri
    if as_of is None:
        raise ConfigError(f"snapshot {uri!r} has a date to fill in: pass --as-of, such as --as-of 2024-08-05T00:00Z")
    return uri.replace("{as_of}", format_as_of(as_of)).replace("{date}", as_of.astimezone(UTC).strftime("%Y-%m-%d"))


def _at_home(location: str) -> str:
    """Replace a leading `~` by the home it stands for, as a shell does; a file is never named so by accident."""
    if not location.startswith("~"):
        return location
    try:
        return str(Path(location).expanduser())
    except RuntimeError as error:
        raise ConfigError(f"{location!r}: there is no such home: write the path in full") from error


def read_as_of(text: str) -> datetime:
    """Read the instant of an option, such as --as-of; ConfigError when it is none."""
    try:
        instant = parse_as_of(text)
        format_as_of(instant)  # a whole second
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"{text!r} is not an instant of whole seconds: write it as 2024-08-05T00:00Z") from error
    return instant
