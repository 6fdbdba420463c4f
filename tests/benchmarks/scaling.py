"""Rows about growth: two processes over one, and time against positions and scenarios."""

import subprocess
import sys
from dataclasses import replace

import numpy as np

from riskpipe.domain.scenarios import ScenarioSet
from riskpipe.liquidation.kernel import Kernel
from riskpipe.scenarios.grid import scenario_set

from . import timing
from .books import Inputs, deeper, taken, tiled
from .settings import ROOT, Figure, Measured


class _Workers:
    """Two processes that map the same book and measure on command."""

    def __init__(self, inputs: Inputs) -> None:
        book = inputs.stored_book(inputs.sizes.snapshot_accounts)
        command = [sys.executable, "-m", "tests.benchmarks.worker", *inputs.arguments(), *book]
        self.processes = [
            subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        for process in self.processes:
            assert process.stdout is not None
            answer = process.stdout.readline()
            assert answer == "ready\n", f"a worker did not start: {answer!r}"

    def rate(self, name: str, n: int, seconds: float) -> float:
        """Work a second of n processes at the same time."""
        for process in self.processes[:n]:
            process.stdin.write(f"{name} {seconds}\n")
            process.stdin.flush()
        return sum(float(process.stdout.readline()) for process in self.processes[:n])

    def close(self) -> None:
        for process in self.processes:
            process.stdin.close()
            process.wait(timeout=60)
            process.stdout.close()


def processes(inputs: Inputs) -> Measured:
    """Blocks computed by two processes over one, as a share of what the bare loop gains by a second process."""
    workers, rates = _Workers(inputs), {}
    try:
        for _ in range(2):  # in turn, the better of two
            for name in ("kernel", "bare"):
                for n in (1, 2):
                    rate = workers.rate(name, n, inputs.sizes.process_seconds)
                    rates[name, n] = max(rates.get((name, n), 0.0), rate)
    finally:
        workers.close()
    gain = {name: rates[name, 2] / rates[name, 1] for name in ("kernel", "bare")}
    return Measured(
        (
            Figure(
                "two processes over one, over the same of the bare loop", gain["kernel"] / gain["bare"], at_least=0.9
            ),
        ),
        {
            "kernel, two processes over one": gain["kernel"],
            "bare loop, two processes over one": gain["bare"],
            "scenarios a block": inputs.sizes.process_scenarios,
        },
    )


def growth(inputs: Inputs) -> Measured:
    """Exponents of a block's time in positions and in scenarios, after what one account or one scenario takes.

    Larger books are the same accounts again, on depths and funds that grow with them: each size tells the same story.
    """
    sizes = inputs.sizes
    base = inputs.book(sizes.growth_accounts)
    market, rules, _ = inputs.world(base, sizes.growth_accounts)
    repeats = max(1, sizes.repeats // 2)

    def kernel_of(n_tiles: int) -> Kernel:
        book = replace(tiled(base, n_tiles), fund_balance=base.fund_balance * n_tiles)
        return Kernel(book, deeper(market, n_tiles), rules)

    def seconds(kernel: Kernel, n_scenarios: int) -> float:
        scenarios = _slab(n_scenarios)
        return min(timing.seconds(lambda: kernel.run(scenarios)) for _ in range(repeats))

    few = sizes.growth_tiles_scenarios
    one = Kernel(taken(base, 1), market, rules)
    one.run(_slab(1))  # compiled before anything is timed
    fixed = seconds(one, few)
    by_positions = {base.n_positions * n: seconds(kernel_of(n), few) for n in sizes.growth_tiles}
    kernel = kernel_of(sizes.growth_scenarios_tiles)
    fixed_scenarios = seconds(kernel, 1)
    by_scenarios = {n: seconds(kernel, n) for n in sizes.growth_scenarios}
    return Measured(
        (
            Figure("growth exponent in positions", _exponent(by_positions, fixed), at_least=0.95, at_most=1.05),
            Figure("growth exponent in scenarios", _exponent(by_scenarios, fixed_scenarios), 0.95, 1.05),
        ),
        {
            f"seconds by positions, {few} scenarios": by_positions,
            "seconds of one account": fixed,
            f"seconds by scenarios, {kernel.book.n_positions} positions": by_scenarios,
            "seconds of one scenario": fixed_scenarios,
        },
    )


def _slab(n: int) -> ScenarioSet:
    return scenario_set(slab_axes(n))


def slab_axes(n: int) -> dict[str, tuple[float, ...]]:
    """Axes of n distinct scenarios over the same shocks, however many: the middles of equal cells."""
    n_basis, n_depth = min(n, 4), 4 if n % 16 == 0 else 1
    return {
        "index_shock": _middles(-0.5, 0.35, n // (n_basis * n_depth)),
        "basis_shock": _middles(-0.03, 0.01, n_basis),
        "depth_factor": _middles(0.1, 1.0, n_depth),
    }


def _middles(low: float, high: float, n: int) -> tuple[float, ...]:
    return tuple((low + (high - low) * (np.arange(n) + 0.5) / n).tolist())


def _exponent(seconds: dict[int, float], fixed: float) -> float:
    """Slope of log(seconds - fixed) in log(size)."""
    size, time = np.array(list(seconds.items())).T
    return float(np.polyfit(np.log(size), np.log(np.maximum(time - fixed, 1e-9)), 1)[0])
