"""Progress of a night on a terminal, or as plain lines where there is none."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from riskpipe.run.night import Progress, Say, mute, silent


@contextmanager
def show_progress(*, is_quiet: bool) -> Iterator[tuple[Progress, Say]]:
    """Give what draws a bar for each stage on stderr, and what writes a line there.

    Quiet, both do nothing; where stderr is no terminal there are no bars.
    """
    if is_quiet:
        yield silent, mute
        return
    if not sys.stderr.isatty():
        yield silent, _write_line
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

        def say(line: str) -> None:
            bars.console.print(line, markup=False, highlight=False)

        yield progress, say


def _write_line(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def tenths(say: Say) -> Progress:
    """Tell progress as lines, one for every tenth: enough for a log."""
    shown: dict[str, int] = {}

    def progress(stage: str, done: int, total: int) -> None:
        share = 10 * done // max(total, 1)
        if shown.get(stage) != share:
            shown[stage] = share
            say(f"{stage}: {done} of {total}")

    return progress
