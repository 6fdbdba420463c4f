"""Sizes and grids of the benchmarks, read from bench.yaml; and what every measurement is given and gives back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict

FILE = Path(__file__).with_name("bench.yaml")
ROOT = Path(__file__).parents[2]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Axis(_Strict):
    """Evenly spaced shocks."""

    low: float
    high: float
    steps: int

    def values(self) -> tuple[float, ...]:
        return tuple(np.linspace(self.low, self.high, self.steps).tolist())


class Tiers(_Strict):
    """Shape of the margin tiers that the health pass is given."""

    n: int
    growth: float
    crossing_share: float
    lowest_rate: float
    highest_rate: float


class Sizes(_Strict):
    """How much of everything."""

    repeats: int
    compiles_afresh: bool
    dense_accounts: int
    baseline_accounts: int
    plain_accounts: int
    plain_scenarios: int
    snapshot_accounts: int
    rounds_shares: tuple[float, ...]
    growth_accounts: int
    growth_tiles: tuple[int, ...]
    growth_tiles_scenarios: int
    growth_scenarios: tuple[int, ...]
    growth_scenarios_tiles: int
    process_seconds: float
    process_scenarios: int
    night_blocks: int
    night_block_seconds: float
    large_positions: int
    large_scenarios: int
    large_limit_bytes: int
    portfolio_accounts: int
    portfolio_scenarios: int
    fit_instruments: int
    fit_hours: int
    orchestrated_seconds: float
    few_blocks: int
    many_blocks: int
    many_blocks_accounts: int

    def changed(self, changes: Sequence[str]) -> Self:
        """Return these sizes with some given as NAME=VALUE; unknown names are refused."""
        given = dict(change.split("=", 1) for change in changes)
        return type(self).model_validate(
            self.model_dump() | {name: yaml.safe_load(value) for name, value in given.items()}
        )


class Settings(_Strict):
    """The whole file."""

    seed: int
    profile: Literal["calm", "levered"]
    night: str
    health_grid: dict[str, Axis]
    tiers: Tiers
    full: Sizes
    smoke: Sizes

    def health_axes(self) -> dict[str, tuple[float, ...]]:
        return {name: axis.values() for name, axis in self.health_grid.items()}


def read_settings() -> Settings:
    return Settings.model_validate(yaml.safe_load(FILE.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Figure:
    """One line of the table: a ratio, or a number that is reported only (no goal)."""

    name: str
    value: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def goal(self) -> str:
        """The goal in words, empty where there is none."""
        if self.at_least is not None and self.at_most is not None:
            return f"{self.at_least:g} to {self.at_most:g}"
        if self.at_least is not None:
            return f">= {self.at_least:.4g}"
        return "" if self.at_most is None else f"<= {self.at_most:.4g}"

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        if not self.goal:
            return None
        low = -np.inf if self.at_least is None else self.at_least
        high = np.inf if self.at_most is None else self.at_most
        return bool(low <= self.value <= high)

    def as_json(self) -> dict[str, Any]:
        return {"value": self.value, "goal": self.goal, "is_met": self.is_met}


@dataclass(frozen=True)
class Measured:
    """What one row gives: its figures, and what they were made of."""

    figures: tuple[Figure, ...]
    details: Mapping[str, Any] = field(default_factory=dict)
