"""Sections of a run's YAML: strict keys, bounds and defaults."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from riskpipe.domain.market import HORIZON_LABELS, HORIZONS_HOURS
from riskpipe.venues.fields import Float, Int, Law, Share, Strict


def _axis(values: Sequence[float]) -> tuple[float, ...]:
    if not values:
        raise ValueError("an axis needs at least one value: leave the key out for the neutral value")
    if len(set(values)) != len(values):
        raise ValueError("an axis may hold each value once only")
    return tuple(values)


Shock = Annotated[Float, Field(ge=-1.0, le=10.0)]
AxisName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class GridConfig(Strict):
    """The scenario grid: the product of its axes. An axis left out keeps its neutral value."""

    index_shock: tuple[Shock, ...] = (0.0,)
    basis_shock: tuple[Shock, ...] = (0.0,)
    vol_shock: tuple[Shock, ...] = (0.0,)
    depth_factor: tuple[Annotated[Float, Field(gt=0.0, le=100.0)], ...] = (1.0,)

    _check = field_validator("index_shock", "basis_shock", "vol_shock", "depth_factor")(_axis)


class PresetScenario(Strict):
    """One named scenario of a preset file."""

    name: str
    source: str
    index_shock: Shock = 0.0
    basis_shock: Shock = 0.0
    vol_shock: Shock = 0.0
    depth_factor: Annotated[Float, Field(gt=0.0, le=100.0)] = 1.0


class Preset(Strict):
    """A preset file under configs/scenarios: named scenarios without probabilities."""

    description: str
    scenarios: tuple[PresetScenario, ...]


class BasisAxisConfig(Strict):
    """An axis of the grid that moves the bases of some contracts by multiples of their own volatility over a day.

    A move fades over the last 30 days before a future's expiry.
    """

    venues: tuple[str, ...] = ()
    """Whose contracts move; empty = every venue's."""
    kinds: tuple[Literal["perpetual", "future"], ...] = ()
    """Which contracts move; empty = both."""
    multiples: tuple[Annotated[Float, Field(ge=-100.0, le=100.0)], ...]
    """Standard deviations, each once; 0 leaves bases alone."""

    _check = field_validator("multiples")(_axis)


class AssetAxisConfig(Strict):
    """An axis of the grid that moves some assets by a fraction of their own, on top of what the index moves them by."""

    assets: Annotated[tuple[str, ...], Field(min_length=1)]
    moves: tuple[Annotated[Float, Field(gt=-1.0, le=10.0)], ...]
    """Fractions, each once; 0 leaves the assets to the index."""

    _check = field_validator("moves")(_axis)


class SimulatedConfig(Strict):
    """Scenarios with probabilities, drawn from the price history."""

    method: Literal["fhs"] = "fhs"
    """Filtered historical simulation."""
    n: Annotated[Int, Field(ge=1, le=1_000_000)]
    horizon: Literal["1h", "8h", "1d", "7d"] = "1d"
    seed: Annotated[Int, Field(ge=0)] = 1
    attributed_level: Annotated[Float, Field(gt=0.0, lt=1.0)] = 0.99
    """Of the expected shortfall whose tail is computed once more, account by account."""
    without_entities: Annotated[Int, Field(ge=0, le=20)] = 3
    """How many owners, the largest first, that tail is computed without, each once more."""

    @property
    def hours(self) -> int:
        """The horizon in hours."""
        return round(HORIZONS_HOURS[HORIZON_LABELS.index(self.horizon)])


class ExhaustionConfig(Strict):
    """A search for the smallest moves that exhaust each fund: of the index, and of single assets."""

    assets: Annotated[Int, Field(ge=0, le=1000)] = 3
    """How many underlyings move alone, those with the largest gross notional."""
    furthest_down: Annotated[Float, Field(gt=0.0, lt=1.0)] = 0.6
    furthest_up: Annotated[Float, Field(gt=0.0, le=10.0)] = 0.6
    steps: Annotated[Int, Field(ge=2, le=1000)] = 10
    """Of each walk outward."""
    refine: Annotated[Int, Field(ge=0, le=1000)] = 4
    """Points inside the first step that exhausts a fund."""
    depth_factors: Annotated[tuple[Annotated[Float, Field(gt=0.0, le=100.0)], ...], Field(min_length=1)] = (1.0, 0.25)

    _check = field_validator("depth_factors")(_axis)


class ScenariosConfig(Strict):
    """What is computed."""

    grid: GridConfig = GridConfig()
    basis_axes: dict[AxisName, BasisAxisConfig] = Field(default_factory=dict)
    asset_axes: dict[AxisName, AssetAxisConfig] = Field(default_factory=dict)
    """Further axes of the grid, by name."""
    presets: tuple[str | Preset, ...] = ()
    simulated: SimulatedConfig | None = None
    exhaustion: ExhaustionConfig | None = None
    """None = not searched for."""


class VariantsConfig(Strict):
    """Readings of uncertain rules: the product is taken, the first value of each list is central."""

    gap_share: tuple[Share, ...] = ()
    law: tuple[Law, ...] = ()
    kappa: tuple[Share, ...] = ()
    adl_policy: tuple[Literal["pro_rata"], ...] = ()

    @field_validator("gap_share", "law", "kappa", "adl_policy")
    @classmethod
    def _each_once(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(values)) != len(values):
            raise ValueError("each reading may stand once only")
        return values


class SpreadsConfig(Strict):
    """What is assumed of whoever trades spreads; fractions of notional."""

    fee_rate: Annotated[Float, Field(ge=0.0, le=0.1)] = 0.0005
    """Of one trade of one leg; a trade is both legs, in and out."""
    financing_rate: Annotated[Float, Field(ge=0.0, le=10.0)] = 0.0
    """A year, of the cash that buys an asset, or that stands as margin."""
    holding_days: Annotated[Float, Field(gt=0.0)] = 30.0
    """Of a spread without an end, over which its fees are spread."""
    margin_rate: Annotated[Float, Field(gt=0.0, le=1.0)] = 0.2
    """Margin set aside for each contract leg: the trade is out of margin where what is needed is more."""


class CalibrationConfig(Strict):
    """How the price history is read."""

    lookback_days: Annotated[Int, Field(ge=1, le=36_500)] = 90
    ewma_decay: Annotated[Float, Field(gt=0.0, lt=1.0)] = 0.97
    minimum_observations: Annotated[Int, Field(ge=2)] = 48
    spreads: SpreadsConfig = SpreadsConfig()


class LimitsConfig(Strict):
    """What a run may take at most, by its forecast; a key left out sets no limit."""

    blocks: Annotated[Int, Field(ge=1)] | None = None
    core_hours: Annotated[Float, Field(gt=0.0)] | None = None
    """Of computing blocks, over all workers."""
    wall_seconds: Annotated[Float, Field(gt=0.0)] | None = None
    """Of computing blocks, with the workers of the configuration or, where it names none, one for each core."""
    worker_memory_bytes: Annotated[Int, Field(ge=1)] | None = None
    """Anonymous memory of one worker: a mapped book does not count."""
    store_bytes: Annotated[Int, Field(ge=1)] | None = None
    """Of the run's cube and parts as stored, compressed; the book is kept once for all runs on it."""


class ReportConfig(Strict):
    """What the report shows."""

    worst_cells: Annotated[Int, Field(ge=1, le=1000)] = 20
    changes: bool = True
    """Explain what has changed since the previous published night, once this one is published."""
    performance: bool = False
    """Keep Dask's own performance report of the blocks in the run's folder."""


class AdaptConfig(Strict):
    """How far a cluster follows its work."""

    minimum: Annotated[Int, Field(ge=1)] = 1
    maximum: Annotated[Int, Field(ge=1)]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError("minimum is more than maximum")
        return self


class SecurityConfig(Strict):
    """Certificate files in PEM form, for mutual TLS between client, scheduler and workers."""

    ca: str
    cert: str
    key: str


class ExecutorClass(Strict):
    """A subclass of distributed.deploy.Cluster, or a function that returns one, by dotted name."""

    cluster_class: str = Field(alias="class", pattern=r"^[A-Za-z_][\w.]*$")
    kwargs: dict[str, Any] = Field(default_factory=dict)
    adapt: AdaptConfig | None = None
