"""Progress of a night on a terminal, or as plain lines where there is none."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from riskpipe.run.night import Progress, silent


@contextmanager
def show_progress(*, is_quiet: bool) -> Iterator[Progress]:
    """Give a Progress that draws a bar for each stage on stderr; nothing when quiet or not on a terminal."""
    if is_quiet or not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    with Bars(
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    ) as bars:
        known: dict[str, object] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in known:
                known[stage] = bars.add_task(stage, total=total)
            bars.update(known[stage], completed=done, total=total)  # type: ignore[arg-type]

        yield progress
