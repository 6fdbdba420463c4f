"""The text file of metrics, which several processes share: counts add up over all of them, one after another too.

A process that wrote its own counts alone would replace those of the others, and two nights of as many blocks each would
look like one.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from filelock import FileLock
from prometheus_client import CollectorRegistry, write_to_textfile
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

_LOCK_TIMEOUT_S = 5.0
_ADDED = {"counter", "histogram"}
_Key = tuple[str, tuple[tuple[str, str], ...]]


class MetricsFile:
    """A file that holds what all processes together have counted since it was made, and the gauges last set."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._added: dict[_Key, float] = {}  # of this process's counts, what the file holds already

    def update(self, registry: CollectorRegistry) -> None:
        """Add what a registry has counted since the last time; OSError where that cannot be written now."""
        with FileLock(f"{self._path}.lock", timeout=_LOCK_TIMEOUT_S):
            own = list(registry.collect())
            write_to_textfile(str(self._path), _Merged(own, self._kept(), self._added))
        self._added = {
            _key(sample): sample.value for family in own if family.type in _ADDED for sample in family.samples
        }

    def _kept(self) -> dict[_Key, Sample]:
        """Return the file's samples; none where it is not there, or is none of ours."""
        try:
            families = list(text_string_to_metric_families(self._path.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError):
            return {}
        return {_key(sample): sample for family in families for sample in family.samples}


class _Merged:
    """What stands in the file from now on, as a registry."""

    def __init__(self, own: list[Metric], kept: Mapping[_Key, Sample], added: Mapping[_Key, float]) -> None:
        self._own, self._kept, self._added = own, kept, added

    def collect(self) -> Iterator[Metric]:
        for family in self._own:
            names = {f"{family.name}{part}" for part in ("", "_total", "_bucket", "_count", "_sum")}
            samples = {key: sample for key, sample in self._kept.items() if sample.name in names}
            for sample in family.samples:
                if sample.name in names:
                    key = _key(sample)
                    value = sample.value
                    if family.type in _ADDED:
                        value += (samples[key].value if key in samples else 0.0) - self._added.get(key, 0.0)
                    samples[key] = sample._replace(value=value)
            merged = Metric(family.name, family.documentation, family.type)
            merged.samples = list(samples.values())
            yield merged


def _key(sample: Sample) -> _Key:
    return sample.name, tuple(sorted(sample.labels.items()))
