"""A run's YAML: strict keys, defaults, overrides, and the files that it names."""

from riskpipe.config.run import DEFAULT_STABLE_ASSETS, RunConfig, load, read_as_of, resolve, shipped
from riskpipe.config.sections import (
    AssetAxisConfig,
    BasisAxisConfig,
    ExecutorClass,
    ExhaustionConfig,
    LimitsConfig,
    Preset,
    SimulatedConfig,
)

__all__ = [
    "DEFAULT_STABLE_ASSETS",
    "AssetAxisConfig",
    "BasisAxisConfig",
    "ExecutorClass",
    "ExhaustionConfig",
    "LimitsConfig",
    "Preset",
    "RunConfig",
    "SimulatedConfig",
    "load",
    "read_as_of",
    "resolve",
    "shipped",
]
