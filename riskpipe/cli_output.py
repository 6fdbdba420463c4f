"""What commands print: a night's result, JSON, progress on stderr."""

import json
from typing import Any

import typer


def print_json(value: Any) -> None:  # noqa: ANN401  anything JSON can hold
    """Print a value as JSON."""
    typer.echo(json.dumps(value, indent=2, default=str, allow_nan=False))


def show(result: dict[str, Any], *, is_json: bool) -> None:
    """Print a night's result, as lines or as JSON."""
    from riskpipe.run.nightly import result_lines

    if is_json:
        print_json(result)
        return
    for line in result_lines(result):
        typer.echo(line)
    typer.echo(f"cube:   {result['cube']}")
    typer.echo(f"report: {result['report']}")


def shown(*, is_quiet: bool) -> Any:  # noqa: ANN401  a context manager giving a Progress and a Say
    """Show progress on stderr, unless quiet."""
    from riskpipe.run.progress import show_progress

    return show_progress(is_quiet=is_quiet)
