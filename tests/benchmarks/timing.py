"""Timing on a noisy machine: the fastest of several calls, and things compared measured in turn, not one by one."""

import time
from collections.abc import Callable
from typing import Any


def seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def best(function: Callable[[], Any], repeats: int) -> float:
    """Seconds of the fastest of several calls, after one that may compile."""
    function()
    return min(seconds(function) for _ in range(repeats))


def best_in_turn(functions: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Seconds of the fastest call of each: all are called once, then in turn, so that a slow spell hits all alike."""
    for function in functions.values():
        function()
    times = {name: float("inf") for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            times[name] = min(times[name], seconds(function))
    return times
