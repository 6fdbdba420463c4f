"""Results: one JSON line for each seed tried, so that a long run goes on where it stopped."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

TOO_LATE = "it was over"
"""What is told of a seed whose moment came when the night had ended: it shows less than others."""


@dataclass(frozen=True)
class Result:
    """What became of a seed."""

    target: str
    seed: int
    is_good: bool
    seconds: float
    told: str
    """What happened, or which law was broken and how."""


class Results:
    """Results in a file. Those of other sources stay there and do not count."""

    def __init__(self, path: Path, sources: str):
        self._path, self._sources = path, sources
        self._last: dict[tuple[str, int], Result] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                self._keep(line)

    def _keep(self, line: str) -> None:
        try:
            found = json.loads(line)
            if found.pop("sources") == self._sources:
                result = Result(**found)
                self._last[result.target, result.seed] = result
        except (ValueError, KeyError, TypeError):
            return  # the last line of a run that was killed

    def add(self, result: Result) -> None:
        """Keep a result."""
        self._last[result.target, result.seed] = result
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"sources": self._sources, **asdict(result)}) + "\n")

    def passed(self) -> set[tuple[str, int]]:
        """Targets and seeds that need not be done again."""
        return {key for key, result in self._last.items() if result.is_good}

    def of(self, target: str, seeds: Sequence[int]) -> list[Result]:
        """Results of a target's seeds."""
        return [self._last[target, seed] for seed in seeds if (target, seed) in self._last]

    def failed(self, targets: Sequence[str], seeds: Sequence[int]) -> list[Result]:
        """Results that broke a law."""
        return [result for target in targets for result in self.of(target, seeds) if not result.is_good]


def table(results: Results, targets: Sequence[str], seeds: Sequence[int], left_out: dict[str, str]) -> str:
    """Return a line for each target: seeds done, passed, and too late; seconds in all and of the slowest."""
    lines = [f"{'target':<10} {'seeds':>6} {'passed':>6} {'late':>6} {'seconds':>8} {'slowest':>8}"]
    for target in targets:
        done = results.of(target, seeds)
        if target in left_out:
            lines.append(f"{target:<10} left out: {left_out[target]}")
            continue
        seconds = [result.seconds for result in done]
        counts = (len(done), sum(result.is_good for result in done), sum(TOO_LATE in result.told for result in done))
        numbers = "".join(f" {count:>6}" for count in counts)
        lines.append(f"{target:<10}{numbers} {sum(seconds):>8.0f} {max(seconds, default=0.0):>8.1f}")
    return "\n".join(lines) + "\n"
