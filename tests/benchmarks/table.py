"""The table of a run, and how another run's figures differ from it."""

from collections.abc import Iterator
from typing import Any

WIDTH = 66
VERDICT = {True: "met", False: "MISSED", None: ""}


def table(result: dict[str, Any]) -> str:
    """Return the run as text: machine and versions, every figure beside its goal, then what figures were made of."""
    lines = ["", ", ".join(f"{name} {value}" for name, value in result["about"].items()), ""]
    lines += [f"{'figure':<{WIDTH}} {'measured':>12}  {'goal':<14}", "-" * (WIDTH + 36)]
    for name, figure in result["figures"].items():
        value = number(figure["value"])
        lines.append(f"{name:<{WIDTH}} {value:>12}  {figure['goal']:<14} {VERDICT[figure['is_met']]}".rstrip())
    lines += [f"{name}: {reason}" for name, reason in result["failed"].items()]
    lines += [""]
    for row, details in result["details"].items():
        if details:
            lines.append(f"{row} ({number(result['seconds'][row])} s)")
            lines += [f"  {line}" for name, value in details.items() for line in _shown(name, value)]
    lines += ["", f"all rows: {number(result['seconds']['all'])} s", ""]
    return "\n".join(lines)


def _shown(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield f"{name:<{WIDTH}} " + ", ".join(f"{key}: {number(item)}" for key, item in value.items())
    elif isinstance(value, list):
        yield f"{name}:"
        for item in value:
            yield "  " + ", ".join(f"{key} {number(part)}" for key, part in item.items())
    else:
        yield f"{name:<{WIDTH}} {number(value):>12}"


def number(value: Any) -> str:
    """Three digits of a float, all of an integer."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000.0 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def compared(result: dict[str, Any], before: dict[str, Any]) -> str:
    """Return how every figure has changed since an earlier run, and what makes the two hard to compare."""
    lines = [f"against the run of {before['about']['when']} (sources {before['about']['sources']})"]
    for part in ("sizes", "settings"):
        lines += [f"  other {part}: {line}" for line in _differences(before[part], result[part])]
    unlike = ("processor", "cores", "memory_gb", "python", "numba", "numpy")
    was, now = ({name: run["about"][name] for name in unlike} for run in (before, result))
    lines += [f"  other machine or versions: {line}" for line in _differences(was, now)]
    lines.append(f"{'figure':<{WIDTH}} {'before':>12} {'now':>12} {'change':>8}")
    for name in before["figures"].keys() | result["figures"].keys():
        if name not in result["figures"] or name not in before["figures"]:
            lines.append(f"{name:<{WIDTH}} only in the {'earlier' if name in before['figures'] else 'present'} run")
    for name, figure in result["figures"].items():
        if name in before["figures"]:
            old, new = before["figures"][name]["value"], figure["value"]
            change = f"{new / old - 1.0:+.1%}" if old else ""
            lines.append(f"{name:<{WIDTH}} {number(old):>12} {number(new):>12} {change:>8}")
    return "\n".join([*lines, ""])


def _differences(was: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return [f"{name} was {was.get(name)}, is {now.get(name)}" for name in now if was.get(name) != now[name]]
