"""What a person sees while rates are tried.  what is tried + how many steps -> a bar, or nothing."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def searching(evaluations: int, progress: bool | None) -> Iterator[Callable[[str, int], None]]:
    """A function to call with what is being tried and how many gradient evaluations it took.

    Args:
        evaluations: all there are to spend.
        progress: draw the bar on standard error; None: if that is a terminal.
    """
    if not (sys.stderr.isatty() if progress is None else progress):
        yield lambda what, count: None
        return
    from rich.console import Console  # only where somebody looks: it costs 50 ms
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("finding the rate"), BarColumn(24), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=evaluations)
        yield lambda what, count: bar.update(task, advance=count, description=what)
